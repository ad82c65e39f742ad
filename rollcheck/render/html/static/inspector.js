// The sheet at the foot of the window that tells all of one thing.

class Inspector {
  constructor() {
    this.title = make("h2", { id: "sheet-title", tabindex: -1 });
    this.body = make("div", { class: "sheet-body", tabindex: 0, role: "region", "aria-labelledby": "sheet-title" });
    const close = make("button", { type: "button", class: "close", "aria-label": "Close details", on: { click: () => this.close() } }, "✕");
    this.sheet = make("aside", { class: "sheet", hidden: true, "aria-labelledby": "sheet-title" },
      make("div", { class: "sheet-head" }, this.title, close), this.body);
    document.body.append(this.sheet);
    document.addEventListener("keydown", (event) => { if (event.key === "Escape" && !this.sheet.hidden) this.close(); });
  }

  show(title, ...parts) {
    if (this.sheet.hidden) this.before = document.activeElement;
    this.title.textContent = title;
    this.body.replaceChildren(...parts.flat().filter(Boolean));
    this.body.scrollTop = 0;
    this.sheet.hidden = false;
    document.body.classList.add("inspecting");
  }

  close() {
    this.sheet.hidden = true;
    document.body.classList.remove("inspecting");
    if (this.before && this.before.isConnected) this.before.focus();
  }
}

// Names and values; what is nothing is left out.
function pairs(entries) {
  const told = entries.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return make("dl", { class: "pairs" }, told.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

class Details {
  constructor(inspector, moments) {
    this.inspector = inspector;
    this.moments = moments;
    this.tables = null;
    const { at, kind, cause, row } = moments.errors;
    [this.atOf, this.kindOf, this.causeOf, this.rowOf] = [at, kind, cause, row].map(reader);
  }

  when(at) {
    return at === null || at === undefined ? null : `${offset(at, 6)} s (${wall(this.moments.wall, at)})`;
  }

  choose(row, item) {
    if (row.type === "errors") this.error(row.items[item]);
    else if (row.type === "pod") this.pod(row.pod, row.events[item]);
    else this.slot(row, item);
  }

  // Makes buttons of the lost requests that stand in a table of the page.
  enliven() {
    const table = this.tables.get("Attempt");
    const told = document.querySelectorAll("[data-attempt]");
    if (!table || !told.length) return;
    const total = this.moments.kinds.reduce((sum, kind) => sum + kind.count, 0);
    const numbers = new Map();
    for (let number = 0; number < total; number++) {
      const row = this.rowOf(number);
      if (row >= 0) numbers.set(`${table.cell("lane", row)} ${table.cell("seq", row)}`, number);
    }
    for (const place of told) {
      const number = numbers.get(place.dataset.attempt);
      if (number === undefined) continue;
      place.replaceWith(make("button", { type: "button", class: "link", on: { click: () => this.error(number) } }, place.textContent));
    }
  }

  // All of one lost request, by its number on the timeline.
  error(number) {
    const { causes, nearest, kinds } = this.moments;
    const kind = kinds[this.kindOf(number)];
    const place = this.rowOf(number);
    const cause = this.causeOf(number);
    const table = this.tables && this.tables.get("Attempt");
    const title = `Lost request: ${kind.words}, ${kind.lane} lane`;
    const why = cause >= 0 ? `${cause + 1}. ${causes[cause]}` : "not explained";
    if (!table || place < 0) {
      const missing = place < 0 ? "Its further details are in facts.jsonl: the page holds those of the first of each kind." : "Its details are being unpacked.";
      this.inspector.show(title, pairs([["Began", this.when(this.atOf(number) / MICROS)], ["Cause", why]]), make("p", { class: "note" }, missing));
      return;
    }
    const fact = table.record(place);
    const began = fact.sent_ns ?? fact.intended_ns;
    const reused = fact.use === "reused" ? `reused, ${duration(fact.connection_age_ns / 1e9)} old, ${counted(fact.requests_before, "answer")} before` : "new";
    const near = nearest[`${fact.lane} ${fact.seq}`];
    this.inspector.show(`${title} · #${fact.seq}`, pairs([
      ["Began", this.when(began)],
      ["Cause", why],
      ["Nearest facts", near ? near.join("; ") : null],
      ["Ended as", `${fact.phase} / ${fact.outcome}${fact.status ? ` ${fact.status}` : ""}`],
      ["Detail", fact.detail],
      ["Took", `${duration(fact.ended_ns - fact.intended_ns)} from intended, ${fact.sent_ns === null ? "never sent" : `${duration(fact.ended_ns - fact.sent_ns)} from sent`}`],
      ["Pod", fact.pod ? `${fact.pod} (known from the ${fact.pod_from || "connection"})` : "not known"],
      ["Connection", fact.connection ? `#${fact.connection}, ${reused}` : reused],
      ["From, to", `${fact.local || "?"} → ${fact.peer || "not connected"}`],
      ["Intended", this.when(fact.intended_ns)],
      ["Released", `${this.when(fact.released_ns)}, lag ${duration(fact.released_ns - fact.intended_ns)} (ours)`],
      ["Sent", this.when(fact.sent_ns)],
      ["Connected", this.when(fact.connected_ns)],
      ["First byte", this.when(fact.first_byte_ns)],
      ["Ended", this.when(fact.ended_ns)],
      ["Bytes received", fact.bytes_received ? grouped(fact.bytes_received) : null],
      ["Stage", fact.stage],
      ["Worker, slot", `${fact.worker}, ${fact.slot}`],
    ]));
  }

  pod(pod, event) {
    const { report } = pod;
    const { traffic } = report;
    const span = (of) => (of ? `${offset(of[0])} s to ${offset(of[1])} s` : null);
    const life = make("ol", { class: "life" }, lifeOf(pod).map((each) => {
      const chosen = event && each.at === event.at && each.words === event.words;
      return make("li", { class: chosen ? "chosen" : null, "aria-current": chosen ? "true" : null }, `${offset(each.at)} s ${each.words.replace(/^: /, "")}`);
    }));
    this.inspector.show(`Pod ${pod.name}`, pairs([
      ["Generation", report.generation],
      ["Node", report.node],
      ["Answered", `${grouped(traffic.answered)} ok, ${grouped(traffic.failed)} lost`],
      ["Met while ending", traffic.met_terminating === null ? "not known" : counted(traffic.met_terminating, "request")],
      ["Deleted, server’s clock", report.deleted && span(report.deleted.reported_s)],
      ["Grace", report.grace_s === null ? null : `${report.grace_s} s`],
      ["preStop", report.prestop.map((hook) => `${hook.container}: ${hook.kind} ${hook.detail}`.trim()).join("; ")],
      ["preStop failed", report.prestop_failed],
      ["SIGTERM", report.sigterm && `${span(report.sigterm.window_s)}, inferred: ${report.sigterm.method}`],
      ["Ended", report.exits.map((exit) => `${exit.container} with ${exit.code ?? "an unknown code"}${exit.reason ? ` (${exit.reason})` : ""}`).join("; ")],
      ["After its deletion", report.took_s && `${duration(report.took_s[0])} to ${duration(report.took_s[1])}`],
      ["Killed", report.killed ? "at the end of its grace" : null],
      ["Last good answer, new connection", this.when(traffic.last_ok_new_s)],
      ["Last good answer, reused one", this.when(traffic.last_ok_reused_s)],
      ["Restarts", report.restarts || null],
      ["Not ready because", report.unready_reason],
      ["Disruption", report.disruption],
      ["UID", report.uid],
    ]), make("h3", {}, "Its life"), life);
  }

  slot(row, item) {
    const { slots, endpoints } = this.moments;
    if (row.type === "steps") {
      this.inspector.show("Ready endpoints", pairs([["From", this.when(endpoints[item][0])], ["Ready", grouped(endpoints[item][1])]]));
      return;
    }
    this.inspector.show(`${offset(slots.start[item])} s to ${offset(slots.end[item])} s`, pairs([
      ["From", this.when(slots.start[item])],
      ["Ok per second", slots.ok[item].toFixed(1)],
      ["Failed per second", slots.failed[item].toFixed(1)],
      ["p50", millis(slots.p50[item])],
      ["p99", millis(slots.p99[item])],
    ]));
  }

  fact(table, row) {
    const fact = table.record(row);
    const told = Object.entries(fact).map(([name, value]) => [name, this.value(table, name, value)]);
    this.inspector.show(`${table.kind} ${grouped(row + 1)} of ${grouped(table.rows)}`, pairs(told));
  }

  value(table, name, value) {
    if (value === null || value === undefined || value === "") return null;
    if (table.instants.has(name)) return this.when(value);
    if (typeof value === "number" && name.endsWith("_ns")) return duration(value / 1e9);
    if (typeof value === "object") {
      if (!Object.keys(value).length) return null;
      return make("pre", {}, JSON.stringify(value, null, 1));
    }
    return String(value);
  }
}
