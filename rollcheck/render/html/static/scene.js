// What there is to draw: rows from top to bottom, each with the items that can be pointed at, in order of time.

const TITLE = 24;
const TOP = 40;
const BOTTOM = 10;
const ERRORS = 20;
const STEPS = 40;
const RATE = 84;
const LATENCY = 96;

class Scene {
  constructor(moments) {
    this.moments = moments;
    this.causeOf = reader(moments.errors.cause);
    this.rows = [...this.errorRows(), ...this.podRows(), ...this.curveRows()];
    this.focusable = this.rows.filter((row) => row.size > 0);
  }

  // Where a phone leaves no room beside a row for its label, the label goes over it.
  layout(narrow) {
    this.height = TOP;
    for (const row of this.rows) {
      row.lift = narrow && row.type === "errors" ? 14 : 0;
      row.y = this.height;
      row.height = row.tall + row.lift;
      this.height += row.height;
    }
    this.height += BOTTOM;
  }

  errorRows() {
    const { kinds, errors, listed, unlisted } = this.moments;
    const [at, kind] = [reader(errors.at), reader(errors.kind)];
    const total = kinds.reduce((sum, each) => sum + each.count, 0);
    const found = kinds.map(() => []);
    for (let i = 0; i < total; i++) found[kind(i)].push(i);
    this.errorTimes = Float64Array.from({ length: total }, (_, i) => at(i) / MICROS);
    const rows = kinds.map((each, number) => ({
      type: "errors",
      label: `${each.lane}: ${each.words}`,
      kind: each,
      tall: ERRORS,
      items: found[number],
      times: Float64Array.from(found[number], (i) => this.errorTimes[i]),
      size: found[number].length,
    }));
    if (!listed) return rows;
    const more = unlisted > 0 ? `, and ${grouped(unlisted)} more without details` : "";
    return [titleRow(total ? `Lost requests (${grouped(total)})${more}` : `Lost requests: ${more ? `${grouped(unlisted)} without details` : "none"}`), ...rows];
  }

  podRows() {
    const { pods } = this.moments;
    const height = pods.length > 60 ? 13 : pods.length > 24 ? 16 : 24;
    const rows = [];
    for (const [generation, words] of [["other", "Other pods"], ["old", "Old pods"], ["new", "New pods"]]) {
      const of = pods.filter((pod) => pod.generation === generation);
      if (!of.length) continue;
      rows.push(titleRow(`${words} (${of.length})`));
      for (const pod of of) {
        const events = lifeOf(pod);
        const times = Float64Array.from(events, (event) => event.at);
        rows.push({ type: "pod", label: pod.name, pod, tall: height, events, times, size: events.length });
      }
    }
    return rows;
  }

  curveRows() {
    const { endpoints, slots, asked } = this.moments;
    const rows = [];
    if (endpoints.length) {
      const most = Math.max(1, ...endpoints.map((step) => step[1]));
      const times = Float64Array.from(endpoints, (step) => step[0]);
      rows.push(titleRow("Ready endpoints"), { type: "steps", tall: STEPS, most, times, size: times.length });
    }
    if (slots.start.length) {
      const times = Float64Array.from(slots.start);
      let most = 1;
      slots.ok.forEach((ok, i) => { most = Math.max(most, ok + slots.failed[i]); });
      const shared = { times, size: times.length };
      rows.push(titleRow("Requests per second"));
      rows.push({ ...shared, type: "rate", tall: RATE, most: Math.max(most, asked || 0) });
      const known = [...slots.p50, ...slots.p99].filter((value) => value !== null && value > 0);
      if (known.length) {
        let [low, high] = [Infinity, 0];
        for (const value of known) { low = Math.min(low, value); high = Math.max(high, value); }
        rows.push(titleRow("Response time, p50 and p99"));
        rows.push({ ...shared, type: "latency", tall: LATENCY, low: Math.log10(low) - 0.1, high: Math.log10(high) + 0.1 });
      }
    }
    return rows;
  }

  rowAt(y) {
    return this.rows.find((row) => y >= row.y && y < row.y + row.height);
  }

  // The item of a row that is nearest to a second; of curves the slot that holds it.
  nearest(row, at) {
    const next = firstFrom(row.times, at);
    if (row.type === "rate" || row.type === "latency" || row.type === "steps") {
      return Math.min(row.size - 1, Math.max(0, row.times[next] === at ? next : next - 1));
    }
    if (next === 0) return 0;
    if (next === row.size) return row.size - 1;
    return at - row.times[next - 1] <= row.times[next] - at ? next - 1 : next;
  }

  // One line on an item, for the eye that hovers and the ear that listens.
  words(row, item) {
    const { slots, endpoints, causes } = this.moments;
    const at = `${offset(row.times[item])} s`;
    if (row.type === "errors") {
      const cause = this.causeOf(row.items[item]);
      const why = cause >= 0 ? `, cause ${cause + 1}: ${causes[cause]}` : "";
      return `${at}: ${row.kind.words}, ${row.kind.lane} lane${why}`;
    }
    if (row.type === "pod") return `${at}: ${row.pod.name} ${row.events[item].words}`;
    if (row.type === "steps") return `${at}: ${counted(endpoints[item][1], "ready endpoint")}`;
    const span = `${at} to ${offset(slots.end[item])} s`;
    if (row.type === "rate") return `${span}: ${slots.ok[item]} ok and ${slots.failed[item]} failed per second`;
    return `${span}: p50 ${millis(slots.p50[item])}, p99 ${millis(slots.p99[item])}`;
  }
}

// How a pod is at a second.
function stateOf(pod, at) {
  const within = (span) => span && span[0] <= at && at < span[1];
  const state = pod.states.find(([, start, end]) => within([start, end]));
  if (!state) return at < (pod.states.length ? pod.states[0][1] : Infinity) ? "not there yet" : "gone";
  const told = [state[0] === "running" ? "running, not ready" : state[0]];
  if (pod.endpoints.some(within)) told.push("in the endpoints");
  if (within(pod.prestop)) told.push("in its preStop hook");
  if (within(pod.sigterm)) told.push("SIGTERM was sent about now");
  return told.join(", ");
}

function titleRow(label) {
  return { type: "title", label, tall: TITLE, size: 0 };
}

// What happened to a pod, in order; brackets are told by their later end, when it is sure to have happened.
function lifeOf(pod) {
  const report = pod.report;
  const events = [];
  const put = (at, words) => { if (at !== null && at !== undefined) events.push({ at, words }); };
  put(report.created.seen_s, "was created or first seen");
  if (report.listening) put(report.listening.seen_s, "had a container running");
  for (const [start, end] of report.ready_s) { put(start, "became ready"); put(end, "was ready no more"); }
  for (const [start, end] of report.in_endpoints_s) { put(start, "came into the endpoints"); put(end, "left the endpoints"); }
  if (report.deleted) put(report.deleted.seen_s, "was deleted");
  if (pod.prestop) put(pod.prestop[0], "began its preStop hook");
  if (report.sigterm) put(report.sigterm.window_s[1], "had been sent SIGTERM by then (inferred)");
  for (const end of report.exits) put(end.seen_s, `: ${end.container} ended with ${end.code === null ? "an unknown code" : end.code}`);
  if (report.gone_s !== null) put(report.gone_s, "was gone");
  return events.sort((a, b) => a.at - b.at);
}
