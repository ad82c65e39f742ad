// Every fact in one table, a page at a time: by time, filtered by kind, by words, and by what the timeline shows.

const PAGE = 20;

// What a fact says, in a line.
const TOLD = {
  Attempt: (f) => `#${f.seq} ${f.lane}: ${f.phase}/${f.outcome}${f.status ? ` ${f.status}` : ""} ${f.detail} ${f.pod}`,
  Interval: (f) => `${f.lane}: ${f.ok} ok, ${f.failed} failed, ${f.not_sent} not sent${f.response_p99_us ? `, p99 ${millis(f.response_p99_us / 1000)}` : ""}`,
  PodTally: (f) => `${f.pod}: ${f.ok} ok on ${f.use} connections, ${f.lane}`,
  Connection: (f) => `#${f.id} ${f.lane}: ${f.requests} answers, closed: ${f.closed_by} ${f.pod}`,
  HealthSample: (f) => `asked ${f.asked}, released ${f.released}, lag p99 ${f.lag_p99_us ?? "–"} µs, stall ${duration(f.stall_ns / 1e9)}`,
  StageMark: (f) => f.stage,
  Action: (f) => `${f.description}: ${f.status ?? "no answer"} ${f.message}`,
  CommandOutput: (f) => `${f.stream}: ${f.text}`,
  Note: (f) => f.text,
  PodSeen: (f) => `${f.name}: ${f.change}, ${f.phase}${f.ready ? ", ready" : ""}${f.deletion_at ? ", being deleted" : ""}`,
  SliceSeen: (f) => `${f.name}: ${f.endpoints.filter((e) => e.ready).length} ready of ${f.endpoints.length}`,
  KubeEvent: (f) => `${f.kind} ${f.name}: ${f.reason}: ${f.message}`,
  WorkloadSeen: (f) => `${f.name}: ${f.updated} updated, ${f.ready} ready, ${f.available} available of ${f.replicas}`,
  ReplicaSetSeen: (f) => `${f.name}: ${f.ready} ready of ${f.replicas}`,
  ServiceSeen: (f) => `${f.name}: ${f.type} ${f.cluster_ip}`,
  WatchGap: (f) => `${f.resource}: ${f.reason}`,
};

class Facts {
  constructor(place, tables, details, timeline) {
    this.tables = [...tables.values()];
    this.details = details;
    this.timeline = timeline;
    this.page = 0;
    this.order();
    this.build(place);
    this.filter();
  }

  order() {
    const total = this.tables.reduce((sum, table) => sum + table.rows, 0);
    this.entries = new Array(total);
    let n = 0;
    for (const table of this.tables) {
      for (let row = 0; row < table.rows; row++) this.entries[n++] = { table, row, at: table.at(row) ?? -Infinity };
    }
    this.entries.sort((one, other) => one.at - other.at);
  }

  build(place) {
    const again = () => { this.page = 0; this.filter(); };
    const kinds = this.tables.map((table) => make("option", { value: table.kind }, `${table.kind} (${grouped(table.total)})`));
    this.kind = make("select", { on: { change: again } }, make("option", { value: "" }, "Every kind"), kinds);
    this.search = make("input", { type: "search", placeholder: "a name, an error, a reason", on: { input: again } });
    this.within = make("input", { type: "checkbox", on: { change: again } });
    this.body = make("tbody");
    this.said = make("p", { class: "note", role: "status" });
    const turn = (words, by) => make("button", { type: "button", on: { click: () => { this.page += by; this.list(); } } }, words);
    this.back = turn("← Earlier", -1);
    this.next = turn("Later →", 1);
    const heads = ["Time", "Kind", "What it says"].map((name) => make("th", { scope: "col" }, name));
    place.append(
      make("div", { class: "tools" },
        make("label", {}, "Kind ", this.kind), make("label", {}, "Find ", this.search),
        make("label", { class: "check" }, this.within, " only what the timeline shows")),
      make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Facts" },
        make("table", { class: "facts" }, make("thead", {}, make("tr", {}, heads)), this.body)),
      make("div", { class: "tools" }, this.back, this.next, this.said));
    place.hidden = false;
  }

  filter() {
    const words = this.search.value.trim().toLowerCase();
    const [from, to] = this.timeline ? this.timeline.view : [-Infinity, Infinity];
    this.found = this.entries.filter((entry) => {
      if (this.kind.value && entry.table.kind !== this.kind.value) return false;
      if (this.within.checked && (entry.at < from || entry.at > to)) return false;
      if (!words) return true;
      entry.text ??= JSON.stringify(entry.table.record(entry.row)).toLowerCase();
      return entry.text.includes(words);
    });
    this.list();
  }

  list() {
    const pages = Math.max(1, Math.ceil(this.found.length / PAGE));
    this.page = Math.min(pages - 1, Math.max(0, this.page));
    const shown = this.found.slice(this.page * PAGE, (this.page + 1) * PAGE);
    this.body.replaceChildren(...shown.map((entry) => this.line(entry)));
    this.back.disabled = this.page === 0;
    this.next.disabled = this.page === pages - 1;
    const notes = this.tables.filter((table) => table.note && (!this.kind.value || this.kind.value === table.kind));
    const asides = notes.map((table) => ` ${table.kind}: ${table.note}.`).join("");
    this.said.textContent = `${counted(this.found.length, "fact")}, page ${this.page + 1} of ${grouped(pages)}.${asides}`;
  }

  line({ table, row, at }) {
    const fact = table.record(row);
    const said = TOLD[table.kind];
    const show = () => this.details.fact(table, row);
    const time = make("button", { type: "button", class: "link", on: { click: show } }, Number.isFinite(at) ? `${offset(at)} s` : "whole run");
    return make("tr", {}, make("td", {}, time), make("td", {}, table.kind), make("td", { class: "said" }, said ? said(fact) : ""));
  }
}
