// Draws a scene on a canvas. Every class has a mark or a texture of its own beside its colour.

const FAMILIES = ["refused", "reset", "timeout", "status", "other", "not sent"];
const STATES = ["starting", "running", "ready", "terminating"];

class Painter {
  constructor(canvas, scene) {
    this.canvas = canvas;
    this.scene = scene;
    this.context = canvas.getContext("2d");
    this.readColours();
  }

  readColours() {
    const style = getComputedStyle(this.canvas);
    const value = (name) => style.getPropertyValue(`--${name}`).trim();
    const names = ["ink", "muted", "line", "surface", "accent", "bad", "good", "tint", "endpoint", "p50", "p99"];
    this.colours = Object.fromEntries(names.map((name) => [name, value(name)]));
    this.families = Object.fromEntries(FAMILIES.map((name) => [name, value(`family-${name.replace(" ", "-")}`)]));
    this.states = Object.fromEntries(STATES.map((name) => [name, value(`state-${name}`)]));
    this.font = style.fontFamily;
    this.hatch = null;
  }

  resize() {
    const width = this.canvas.parentElement.clientWidth;
    const ratio = window.devicePixelRatio || 1;
    this.width = width;
    this.left = Math.round(Math.min(236, Math.max(96, width * 0.21)));
    this.scene.layout(width < 560);
    this.right = 14;
    this.canvas.style.height = `${this.scene.height}px`;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(this.scene.height * ratio);
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
  }

  get plot() {
    return this.width - this.left - this.right;
  }

  x(at) {
    return this.left + ((at - this.from) / (this.to - this.from)) * this.plot;
  }

  second(x) {
    return this.from + ((x - this.left) / this.plot) * (this.to - this.from);
  }

  // `chosen` and `hovered` are {row, item} or null.
  paint(view, chosen, hovered) {
    const { context, scene } = this;
    [this.from, this.to] = view;
    context.clearRect(0, 0, this.width, scene.height);
    context.textBaseline = "middle";
    this.background();
    for (const row of scene.rows) {
      if (row.type === "steps" || row.type === "rate" || row.type === "latency") this.scale(row);
      else this.label(row);
    }
    context.save();
    context.beginPath();
    context.rect(this.left - 1, 0, this.plot + 2, scene.height);
    context.clip();
    for (const row of scene.rows) this[row.type](row);
    this.pointer(hovered, false);
    this.pointer(chosen, true);
    context.restore();
  }

  text(size, weight = 400) {
    this.context.font = `${weight} ${size}px ${this.font}`;
  }

  // Stages, outages, what rollcheck did, and the axis, behind everything.
  background() {
    const { context, scene, colours } = this;
    const { stages, outages, gaps, marks, zero } = scene.moments;
    const bottom = scene.height - BOTTOM;
    context.save();
    context.beginPath();
    context.rect(this.left, 0, this.plot, scene.height);
    context.clip();
    this.text(11, 600);
    context.textAlign = "left";
    for (const [name, start, end] of stages) {
      const [a, b] = [Math.max(this.left, this.x(start)), Math.min(this.left + this.plot, this.x(end))];
      if (b <= a) continue;
      if (name === "replacement") this.box(a, 0, b - a, bottom, colours.tint, 1);
      context.fillStyle = colours.muted;
      if (b - a > context.measureText(name).width + 8) context.fillText(name, a + 4, 9);
    }
    for (const [start, end] of outages) this.box(this.x(start), 18, Math.max(1.5, this.x(end) - this.x(start)), bottom - 18, colours.bad, 0.1);
    for (const [start, end] of gaps) this.box(this.x(start), 18, Math.max(1.5, this.x(end) - this.x(start)), bottom - 18, colours.muted, 0.16);
    this.ticks(bottom);
    context.setLineDash([3, 3]);
    for (const [at] of zero === "trigger" ? [[0], ...marks] : marks) this.upright(this.x(at), 18, bottom, colours.muted);
    context.setLineDash([]);
    context.restore();
  }

  ticks(bottom) {
    const { context, colours } = this;
    const step = niceStep((this.to - this.from) / Math.max(2, this.plot / (this.plot < 400 ? 62 : 84)));
    const digits = step >= 1 ? 0 : Math.min(6, Math.ceil(-Math.log10(step) - 1e-9));
    this.text(11);
    context.textAlign = "center";
    for (let n = Math.ceil(this.from / step); n * step <= this.to; n++) {
      const x = this.x(n * step);
      this.upright(x, TOP - 8, bottom, colours.line);
      context.fillStyle = colours.muted;
      const text = n === 0 ? "0" : `${offset(n * step, digits)} s`;
      const half = context.measureText(text).width / 2;
      context.fillText(text, Math.min(this.left + this.plot - half, Math.max(this.left + half, x)), TOP - 16);
    }
  }

  upright(x, top, bottom, colour) {
    const { context } = this;
    context.strokeStyle = colour;
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(Math.round(x) + 0.5, top);
    context.lineTo(Math.round(x) + 0.5, bottom);
    context.stroke();
  }

  box(x, y, width, height, colour, alpha = 1) {
    this.context.globalAlpha = alpha;
    this.context.fillStyle = colour;
    this.context.fillRect(x, y, width, height);
    this.context.globalAlpha = 1;
  }

  label(row) {
    const { context, colours } = this;
    const title = row.type === "title";
    this.text(title ? 11.5 : row.tall < 15 ? 9.5 : 12, title ? 650 : 400);
    context.textAlign = title ? "left" : "right";
    context.fillStyle = title ? colours.ink : colours.muted;
    const y = row.y + row.tall / 2 + (title ? 3 : 0);
    if (row.type === "errors") {
      this.errorLabel(row, y);
    } else {
      const room = title ? this.width : this.left - 8;
      context.fillText(shortened(row.label, room, (text) => context.measureText(text).width), title ? 0 : this.left - 8, y);
    }
  }

  errorLabel(row, y) {
    const { context, colours } = this;
    const count = grouped(row.size);
    const over = row.lift > 0;
    this.text(12, 600);
    const width = context.measureText(count).width;
    context.fillStyle = colours.ink;
    context.fillText(count, over ? width : this.left - 8, over ? row.y + 9 : y);
    this.text(12);
    context.fillStyle = colours.muted;
    context.textAlign = over ? "left" : "right";
    const words = clipped(row.label, over ? this.width - width - 8 : this.left - 18 - width, context);
    context.fillText(words, over ? width + 6 : this.left - 15 - width, over ? row.y + 9 : y);
  }

  title() {}

  errors(row) {
    const { context } = this;
    const colour = this.families[row.kind.family];
    const [low, high] = [firstFrom(row.times, this.from), firstFrom(row.times, this.to + 1e-9)];
    const middle = row.y + row.lift + row.tall / 2;
    this.level(middle);
    context.fillStyle = context.strokeStyle = colour;
    if ((high - low) * 8 <= this.plot) {
      for (let i = low; i < high; i++) mark(context, row.kind.family, this.x(row.times[i]), middle, 4.2);
      return;
    }
    const bins = new Float64Array(Math.ceil(this.plot / 2) + 1);
    let most = 1;
    for (let i = low; i < high; i++) {
      const bin = Math.floor((this.x(row.times[i]) - this.left) / 2);
      most = Math.max(most, ++bins[bin]);
    }
    const scale = (row.tall - 8) / Math.log(1 + most);
    bins.forEach((count, bin) => {
      const height = 4 + Math.log(1 + count) * scale;
      if (count) context.fillRect(this.left + bin * 2, middle - height / 2, 2, height);
    });
  }

  level(y) {
    const { context } = this;
    context.strokeStyle = this.colours.line;
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(this.left, Math.round(y) + 0.5);
    context.lineTo(this.left + this.plot, Math.round(y) + 0.5);
    context.stroke();
  }

  pod(row) {
    const { context, colours } = this;
    const { pod } = row;
    const dense = row.height < 18;
    const [top, tall] = [row.y + (dense ? 2 : 4), row.height - (dense ? 6 : 11)];
    for (const [state, start, end] of pod.states) {
      const [a, b] = [this.x(start), this.x(end)];
      this.box(a, top, Math.max(1, b - a), tall, this.states[state]);
    }
    if (pod.prestop) {
      const [a, b] = pod.prestop.map((at) => this.x(at));
      context.fillStyle = this.hatching();
      context.fillRect(a, top, Math.max(1, b - a), tall);
    }
    if (pod.sigterm) {
      const [a, b] = pod.sigterm.map((at) => this.x(at));
      this.box(a, top + tall / 2 - 1, Math.max(2, b - a), 2, colours.ink);
      for (const end of [a, b]) this.box(end - 1, top - 1, 2, tall + 2, colours.ink);
    }
    for (const [start, end] of pod.endpoints) {
      const [a, b] = [this.x(start), this.x(end)];
      this.box(a, top + tall + 1, Math.max(1, b - a), dense ? 2 : 3, colours.endpoint);
    }
    if (pod.ended) this.exit(pod, top + tall / 2, dense);
  }

  exit(pod, y, dense) {
    const { context, colours } = this;
    const [at, codes] = pod.ended;
    const x = this.x(at);
    if (pod.bad) this.box(x - 5.5, y - 5.5, 11, 11, colours.surface, 0.75);
    context.fillStyle = context.strokeStyle = pod.bad ? colours.bad : colours.ink;
    if (pod.bad) mark(context, "refused", x, y, dense ? 3.4 : 4.4);
    else mark(context, "dot", x, y, dense ? 2.6 : 3.6);
    this.text(dense ? 9.5 : 11, pod.bad ? 700 : 500);
    // Behind the end of the bar, where nothing is drawn.
    const behind = Math.max(x + 8, this.x(pod.states.length ? pod.states[pod.states.length - 1][2] : at) + 5);
    const room = behind + context.measureText(codes).width < this.left + this.plot;
    context.fillStyle = pod.bad ? colours.bad : colours.ink;
    context.textAlign = room ? "left" : "right";
    this.haloed(codes, room ? behind : x - 8, y + 0.5);
  }

  // Words that stay legible on whatever lies under them.
  haloed(words, x, y) {
    const { context } = this;
    context.strokeStyle = this.colours.surface;
    context.lineWidth = 3;
    context.lineJoin = "round";
    context.strokeText(words, x, y);
    context.fillText(words, x, y);
  }

  hatching() {
    if (this.hatch) return this.hatch;
    const tile = document.createElement("canvas");
    tile.width = tile.height = 6;
    const pen = tile.getContext("2d");
    pen.strokeStyle = this.colours.surface;
    pen.lineWidth = 1.6;
    pen.beginPath();
    for (const shift of [-6, 0, 6]) { pen.moveTo(shift, 6); pen.lineTo(shift + 6, 0); }
    pen.stroke();
    this.hatch = this.context.createPattern(tile, "repeat");
    return this.hatch;
  }

  steps(row) {
    const { endpoints, end } = this.scene.moments;
    const { base, level } = this.gauge(row);
    const { endpoint, bad } = this.colours;
    endpoints.forEach(([at, ready], i) => {
      const until = i + 1 < endpoints.length ? endpoints[i + 1][0] : end;
      const [a, b] = [this.x(at), this.x(until)];
      if (ready) this.box(a, level(ready), b - a, base - level(ready), endpoint, 0.3);
      this.box(a, level(ready) - 1, Math.max(1, b - a), 2, ready ? endpoint : bad);
    });
  }

  rate(row) {
    const { slots, asked } = this.scene.moments;
    const { colours, context } = this;
    const { base, level } = this.gauge(row);
    for (const i of this.visible(slots)) {
      const [a, b] = [this.x(slots.start[i]), this.x(slots.end[i])];
      const top = level(slots.ok[i]);
      this.box(a, top, b - a + 0.4, base - top, this.states.ready, 0.75);
      if (slots.failed[i]) {
        const height = Math.max(2, base - level(slots.failed[i]));
        this.box(a, top - height, Math.max(1.5, b - a), height, colours.bad);
      }
    }
    if (!asked) return;
    context.setLineDash([5, 4]);
    this.polyline([[this.from, asked], [this.to, asked]], level, colours.muted, 1);
    context.setLineDash([]);
  }

  latency(row) {
    const { slots } = this.scene.moments;
    const { level } = this.gauge(row);
    for (const name of ["p99", "p50"]) {
      let points = [];
      for (const i of this.visible(slots)) {
        const value = slots[name][i];
        if (value !== null && value > 0) {
          points.push([(slots.start[i] + slots.end[i]) / 2, value]);
        } else {
          this.polyline(points, level, this.colours[name], 1.6);
          points = [];
        }
      }
      this.polyline(points, level, this.colours[name], 1.6);
      const shown = points.filter(([at]) => at <= this.to);
      if (!shown.length) continue;
      const [at, value] = shown[shown.length - 1];
      this.text(11, 600);
      this.context.textAlign = "right";
      this.context.fillStyle = this.colours[name];
      this.haloed(name, Math.min(this.x(at), this.left + this.plot) - 2, level(value) + (name === "p99" ? -8 : 9));
    }
  }

  // The slots that can be seen, and one more to each side.
  *visible(slots) {
    const first = Math.max(0, firstFrom(slots.start, this.from) - 2);
    const last = Math.min(slots.start.length - 1, firstFrom(slots.start, this.to) + 1);
    for (let i = first; i <= last; i++) yield i;
  }

  polyline(points, level, colour, width) {
    const { context } = this;
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.lineJoin = "round";
    context.beginPath();
    points.forEach(([at, value], i) => (i ? context.lineTo(this.x(at), level(value)) : context.moveTo(this.x(at), level(value))));
    context.stroke();
    if (points.length === 1) {
      context.fillStyle = colour;
      mark(context, "dot", this.x(points[0][0]), level(points[0][1]), 2.5);
    }
  }

  // Levels of a curve that bear a number, and how a value becomes one.
  gauge(row) {
    const base = row.y + row.height - 6;
    if (row.type === "latency") {
      const tall = (row.height - 16) / (row.high - row.low);
      const level = (value) => base - (Math.log10(value) - row.low) * tall;
      const values = [];
      for (let power = Math.ceil(row.low); power <= row.high; power++) values.push(10 ** power);
      if (values.length < 2) values.splice(0, 1, 10 ** row.low, 10 ** row.high);
      return { base, level, lines: values.map((value) => [level(value), millis(value).replace(/\.0+ /, " ")]) };
    }
    const level = (value) => base - (value / row.most) * (row.height - 16);
    return { base, level, lines: [[level(row.most), grouped(row.most)], [base, "0"]] };
  }

  scale(row) {
    const { context } = this;
    this.text(11);
    context.textAlign = "right";
    for (const [y, words] of this.gauge(row).lines) {
      this.level(y);
      context.fillStyle = this.colours.muted;
      context.fillText(words, this.left - 8, y);
    }
  }

  pointer(at, chosen) {
    if (!at) return;
    const { context, colours } = this;
    const { row, item } = at;
    const x = this.x(row.times[item]);
    if (chosen) this.upright(x, TOP - 8, this.scene.height - BOTTOM, colours.accent);
    context.strokeStyle = colours.accent;
    context.lineWidth = chosen ? 2 : 1.5;
    const y = row.y + row.lift + row.tall / 2;
    if (row.type === "errors") {
      context.beginPath();
      context.arc(x, y, 8, 0, 2 * Math.PI);
      context.stroke();
    } else {
      context.strokeRect(this.left + 0.5, row.y + 0.5, this.plot - 1, row.height - 1);
      if (row.type === "pod" && chosen) {
        context.fillStyle = colours.accent;
        mark(context, "dot", x, y, 3);
      }
    }
  }
}

function clipped(text, room, context) {
  if (context.measureText(text).width <= room) return text;
  let end = text.length;
  while (end > 1 && context.measureText(`${text.slice(0, end)}…`).width > room) end -= 1;
  return `${text.slice(0, end)}…`;
}

function niceStep(least) {
  const power = 10 ** Math.floor(Math.log10(least));
  return power * [1, 2, 5, 10].find((factor) => factor * power >= least);
}

// A shape for each family, drawn in the pen's colours.
function mark(pen, family, x, y, r) {
  pen.lineWidth = 2;
  pen.beginPath();
  if (family === "refused") {
    pen.moveTo(x - r, y - r); pen.lineTo(x + r, y + r); pen.moveTo(x + r, y - r); pen.lineTo(x - r, y + r);
    pen.stroke();
    return;
  }
  if (family === "other") {
    pen.moveTo(x - r, y); pen.lineTo(x + r, y); pen.moveTo(x, y - r); pen.lineTo(x, y + r);
    pen.stroke();
    return;
  }
  if (family === "not sent") {
    pen.moveTo(x, y - r - 1); pen.lineTo(x, y + r + 1);
    pen.stroke();
    return;
  }
  if (family === "reset") { pen.moveTo(x - r, y - r * 0.8); pen.lineTo(x + r, y - r * 0.8); pen.lineTo(x, y + r); }
  else if (family === "timeout") pen.rect(x - r * 0.85, y - r * 0.85, r * 1.7, r * 1.7);
  else if (family === "status") { pen.moveTo(x, y - r * 1.15); pen.lineTo(x + r * 1.15, y); pen.lineTo(x, y + r * 1.15); pen.lineTo(x - r * 1.15, y); }
  else pen.arc(x, y, r, 0, 2 * Math.PI);
  pen.closePath();
  pen.fill();
}
