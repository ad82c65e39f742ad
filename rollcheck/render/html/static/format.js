// Numbers and elements. Text becomes a text node and nothing else: no name can turn into markup.

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") {
      for (const [kind, listener] of Object.entries(value)) element.addEventListener(kind, listener);
    } else {
      element.setAttribute(name, value === true ? "" : value);
    }
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

const grouped = (number) => Math.round(number).toLocaleString("en-US");

function counted(number, noun) {
  return `${grouped(number)} ${noun}${number === 1 ? "" : "s"}`;
}

// Seconds from zero with their sign, as exactly as `span` seconds across a screen deserve.
function offset(at, digits = 3) {
  const text = Math.abs(at).toFixed(digits);
  return `${at < 0 && Number(text) !== 0 ? "−" : "+"}${text}`;
}

function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const size = Math.abs(seconds);
  if (size < 0.001) return `${(seconds * 1e6).toFixed(0)} µs`;
  if (size < 0.1) return `${(seconds * 1e3).toFixed(size < 0.01 ? 2 : 1)} ms`;
  return `${seconds.toFixed(size < 10 ? 3 : 1)} s`;
}

function millis(value) {
  if (value === null || value === undefined) return "–";
  if (value >= 1000) return `${(value / 1000).toFixed(value >= 10000 ? 1 : 2)} s`;
  return `${value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2)} ms`;
}

// UTC to the microsecond, which a Date alone does not hold.
function wall(zeroMillis, at) {
  const micros = Math.round((zeroMillis % 1000) * 1000 + at * MICROS);
  const base = Math.floor(zeroMillis / 1000) * 1000 + Math.floor(micros / MICROS) * 1000;
  const rest = ((micros % MICROS) + MICROS) % MICROS;
  return `${new Date(base).toISOString().slice(11, 19)}.${String(rest).padStart(6, "0")}Z`;
}

// The end of a pod's name tells it from its siblings, so that is what stays.
function shortened(text, width, measure) {
  if (measure(text) <= width) return text;
  let low = 0;
  let high = text.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (measure(`…${text.slice(middle)}`) <= width) high = middle;
    else low = middle + 1;
  }
  return `…${text.slice(low)}`;
}

// The first place in sorted `values` that is not below `value`.
function firstFrom(values, value) {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
