// A timeline that is zoomed, pointed at and walked through with the keyboard. `onchoose(row, item)` shows an item.

const SHORTEST = 0.02;
const KEYS = "Arrow keys walk from item to item and from row to row, Enter shows one, plus and minus zoom, 0 shows all.";

class Timeline {
  constructor(place, moments, onchoose) {
    this.moments = moments;
    this.scene = new Scene(moments);
    this.onchoose = onchoose;
    this.whole = [moments.start, Math.max(moments.end, moments.start + SHORTEST)];
    this.view = [...this.whole];
    this.followers = [];
    this.chosen = this.hovered = null;
    this.build(place);
    this.painter = new Painter(this.canvas, this.scene);
    this.listen();
    new ResizeObserver(() => { this.painter.resize(); this.paint(); }).observe(this.plot);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { this.painter.readColours(); this.paint(); });
    this.painter.resize();
    this.paint();
  }

  build(place) {
    this.canvas = make("canvas", { "aria-hidden": "true" });
    this.tip = make("div", { class: "tip", hidden: true, "aria-hidden": "true" });
    this.brush = make("div", { class: "brush", hidden: true });
    this.status = make("p", { class: "unseen", role: "status" });
    this.plot = make("div", {
      class: "plot", tabindex: 0, role: "application", "aria-roledescription": "timeline", "aria-label": `Timeline. ${KEYS}`,
    }, this.canvas, this.brush, this.tip);
    this.range = make("span", { class: "range" });
    place.append(this.toolbar(), this.legend(), this.plot, this.overview(), this.status);
    place.hidden = false;
  }

  toolbar() {
    const button = (words, label, act) => make("button", { type: "button", "aria-label": label, on: { click: act } }, words);
    const { stages } = this.moments;
    const bar = make("div", { class: "tools", role: "toolbar", "aria-label": "Zoom" });
    bar.append(button("Whole run", "Show the whole run", () => this.show(this.whole)));
    const replacement = stages.find((stage) => stage[0] === "replacement");
    if (replacement) bar.append(button("Replacement", "Show the replacement", () => this.show([replacement[1] - 1, replacement[2] + 1])));
    const times = this.scene.errorTimes;
    if (times.length) {
      const [low, high] = [Math.min(...ends(times)), Math.max(...ends(times))];
      const margin = Math.max(0.2, (high - low) * 0.1);
      bar.append(button("Losses", "Show the lost requests", () => this.show([low - margin, high + margin])));
    }
    bar.append(button("+", "Zoom in", () => this.zoom(0.5)), button("−", "Zoom out", () => this.zoom(2)), this.range);
    return bar;
  }

  legend() {
    const { kinds, pods, slots, endpoints, asked } = this.moments;
    const entry = (kind, words) => make("li", {}, make("span", { class: `swatch ${kind}`, "aria-hidden": "true" }), words);
    const list = make("ul", { class: "legend", "aria-label": "Legend" });
    if (pods.length) {
      for (const [state, words] of [["starting", "starting"], ["running", "running, not ready"], ["ready", "ready"], ["terminating", "terminating"]]) {
        if (pods.some((pod) => pod.states.some((each) => each[0] === state))) list.append(entry(state, words));
      }
      if (endpoints.length) list.append(entry("endpoint", "in the endpoints"));
      if (pods.some((pod) => pod.prestop)) list.append(entry("prestop", "preStop"));
      if (pods.some((pod) => pod.sigterm)) list.append(entry("sigterm", "SIGTERM, inferred"));
      if (pods.some((pod) => pod.ended && !pod.bad)) list.append(entry("exit", "exit code"));
      if (pods.some((pod) => pod.ended && pod.bad)) list.append(entry("exit bad", "bad exit code"));
    }
    if (kinds.length && this.moments.outages.length) list.append(entry("outage", "outage"));
    if (slots.start.length) list.append(entry("p50", "p50"), entry("p99", "p99"));
    if (asked) list.append(entry("asked", "rate asked for"));
    return list;
  }

  // A strip of the whole run, in which the part that is shown can be moved.
  overview() {
    this.strip = make("div", { class: "strip", "aria-hidden": "true" });
    this.frame = make("div", { class: "frame" });
    const [start, end] = this.whole;
    const share = (at) => `${(((at - start) / (end - start)) * 100).toFixed(3)}%`;
    const spans = this.moments.stages.filter((stage) => stage[0] === "replacement").map(([, a, b]) => [a, b, "tinted"]);
    const seen = new Set();
    for (const at of this.scene.errorTimes) {
      const bin = Math.floor(((at - start) / (end - start)) * 400);
      if (!seen.has(bin)) { seen.add(bin); spans.push([at, at, "lost"]); }
    }
    for (const [a, b, kind] of spans) {
      const part = make("span", { class: kind });
      part.style.left = share(a);
      part.style.width = `calc(${share(start + b - a)} + 1px)`;
      this.strip.append(part);
    }
    this.strip.append(this.frame);
    return this.strip;
  }

  listen() {
    const { plot } = this;
    plot.addEventListener("keydown", (event) => this.key(event));
    plot.addEventListener("pointerdown", (event) => this.press(event));
    plot.addEventListener("pointermove", (event) => this.move(event));
    plot.addEventListener("pointerup", (event) => this.release(event));
    plot.addEventListener("pointercancel", () => { this.pressed = null; this.pinch.clear(); this.brush.hidden = true; });
    plot.addEventListener("pointerleave", () => this.hover(null));
    plot.addEventListener("dblclick", (event) => this.zoom(0.4, this.painter.second(this.place(event).x)));
    plot.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.strip.addEventListener("pointerdown", (event) => { this.strip.setPointerCapture(event.pointerId); this.jump(event); });
    this.strip.addEventListener("pointermove", (event) => { if (event.buttons) this.jump(event); });
    this.pinch = new Map();
  }

  // The view, clamped; both runs of a comparison move together.
  show([from, to], told = false) {
    const [start, end] = this.whole;
    const length = Math.min(end - start, Math.max(SHORTEST, to - from));
    from = Math.min(end - length, Math.max(start, (from + to) / 2 - length / 2));
    this.view = [from, from + length];
    if (!told) for (const other of this.followers) other.show(this.view, true);
    this.paint();
  }

  zoom(factor, around = (this.view[0] + this.view[1]) / 2) {
    const [from, to] = this.view;
    this.show([around - (around - from) * factor, around + (to - around) * factor]);
  }

  paint() {
    if (this.due) return;
    this.due = requestAnimationFrame(() => {
      this.due = 0;
      this.painter.paint(this.view, this.chosen, this.hovered);
      const [start, end] = this.whole;
      const [from, to] = this.view;
      this.frame.style.left = `${((from - start) / (end - start)) * 100}%`;
      this.frame.style.width = `${((to - from) / (end - start)) * 100}%`;
      const digits = to - from < 10 ? 2 : to - from < 100 ? 1 : 0;
      this.range.textContent = `${offset(from, digits)} s to ${offset(to, digits)} s`;
    });
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  // The item under the pointer, at most a finger's width away.
  find(event) {
    const { x, y } = this.place(event);
    const row = this.scene.rowAt(y);
    if (!row || !row.size) return null;
    const item = this.scene.nearest(row, this.painter.second(Math.max(x, this.painter.left)));
    const far = row.type === "errors" && Math.abs(this.painter.x(row.times[item]) - x) > (event.pointerType === "touch" ? 22 : 10);
    return far ? null : { row, item };
  }

  press(event) {
    if (event.button) return;
    this.pinch.set(event.pointerId, event.clientX);
    this.plot.setPointerCapture(event.pointerId);
    this.pressed = { x: this.place(event).x, view: [...this.view], touch: event.pointerType !== "mouse", moved: false, spread: this.spread() };
  }

  spread() {
    const at = [...this.pinch.values()];
    return at.length === 2 ? Math.max(10, Math.abs(at[0] - at[1])) : 0;
  }

  move(event) {
    const { pressed } = this;
    if (!pressed) { this.hover(event); return; }
    this.pinch.set(event.pointerId, event.clientX);
    const { x } = this.place(event);
    if (Math.abs(x - pressed.x) > 5) pressed.moved = true;
    if (pressed.spread && this.spread()) {
      const middle = (pressed.view[0] + pressed.view[1]) / 2;
      const half = ((pressed.view[1] - pressed.view[0]) / 2) * (pressed.spread / this.spread());
      this.show([middle - half, middle + half]);
    } else if (pressed.moved && (pressed.touch || event.shiftKey)) {
      const shift = ((pressed.x - x) / this.painter.plot) * (pressed.view[1] - pressed.view[0]);
      this.show([pressed.view[0] + shift, pressed.view[1] + shift]);
    } else if (pressed.moved) {
      this.brush.hidden = false;
      this.brush.style.left = `${Math.min(x, pressed.x)}px`;
      this.brush.style.width = `${Math.abs(x - pressed.x)}px`;
    }
  }

  release(event) {
    const { pressed } = this;
    this.pinch.delete(event.pointerId);
    this.pressed = null;
    if (!pressed) return;
    if (!this.brush.hidden) {
      this.brush.hidden = true;
      const [a, b] = [pressed.x, this.place(event).x].sort((one, other) => one - other).map((x) => this.painter.second(x));
      this.show([a, b]);
    } else if (!pressed.moved) {
      const found = this.find(event);
      if (found) this.choose(found);
    }
  }

  wheel(event) {
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      this.zoom(Math.exp(Math.max(-50, Math.min(50, event.deltaY)) * 0.01), this.painter.second(this.place(event).x));
    } else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      event.preventDefault();
      const shift = (event.deltaX / this.painter.plot) * (this.view[1] - this.view[0]);
      this.show([this.view[0] + shift, this.view[1] + shift]);
    }
  }

  jump(event) {
    const box = this.strip.getBoundingClientRect();
    const at = this.whole[0] + ((event.clientX - box.left) / box.width) * (this.whole[1] - this.whole[0]);
    const half = (this.view[1] - this.view[0]) / 2;
    this.show([at - half, at + half]);
  }

  hover(event) {
    const found = event ? this.find(event) : null;
    this.hovered = found;
    this.tip.hidden = !found;
    this.plot.style.cursor = found ? "pointer" : "crosshair";
    if (found) {
      const { x, y } = this.place(event);
      const at = this.painter.second(Math.max(x, this.painter.left));
      this.tip.textContent = found.row.type === "pod"
        ? `${offset(at)} s: ${found.row.pod.name}: ${stateOf(found.row.pod, at)}`
        : this.scene.words(found.row, found.item);
      const width = Math.min(320, this.tip.offsetWidth);
      this.tip.style.left = `${Math.max(0, Math.min(x + 14, this.painter.width - width))}px`;
      this.tip.style.top = `${y + 18}px`;
    }
    this.paint();
  }

  choose(found, shown = true) {
    this.chosen = found;
    const at = found.row.times[found.item];
    const [from, to] = this.view;
    if (at < from || at > to) this.show([at - (to - from) / 2, at + (to - from) / 2]);
    this.status.textContent = this.scene.words(found.row, found.item);
    if (shown) this.onchoose(found.row, found.item);
    this.reveal(found.row);
    this.paint();
  }

  // Scrolls where a row is beyond the window, or under the details.
  reveal(row) {
    const sheet = document.querySelector(".sheet");
    const top = 110;
    const bottom = sheet && !sheet.hidden ? sheet.getBoundingClientRect().top : window.innerHeight;
    const y = this.canvas.getBoundingClientRect().top + row.y;
    if (y < top || y + row.height > bottom) window.scrollBy(0, y - (top + bottom - row.height) / 2);
  }

  key(event) {
    const acts = {
      ArrowRight: () => this.step(1), ArrowLeft: () => this.step(-1),
      ArrowDown: () => this.change(1), ArrowUp: () => this.change(-1),
      Home: () => this.end(0), End: () => this.end(1),
      Enter: () => this.chosen && this.choose(this.chosen),
      " ": () => this.chosen && this.choose(this.chosen),
      "+": () => this.zoom(0.5, this.focus()), "=": () => this.zoom(0.5, this.focus()),
      "-": () => this.zoom(2, this.focus()), "0": () => this.show(this.whole),
    };
    const act = acts[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  }

  focus() {
    return this.chosen ? this.chosen.row.times[this.chosen.item] : undefined;
  }

  step(by) {
    if (!this.chosen) { this.change(0); return; }
    const { row, item } = this.chosen;
    this.choose({ row, item: Math.min(row.size - 1, Math.max(0, item + by)) }, this.isShown());
  }

  change(by) {
    const rows = this.scene.focusable;
    if (!rows.length) return;
    if (!this.chosen) { this.choose({ row: rows[0], item: 0 }, this.isShown()); return; }
    const { row, item } = this.chosen;
    const next = rows[Math.min(rows.length - 1, Math.max(0, rows.indexOf(row) + by))];
    const there = next === row ? item : this.scene.nearest(next, row.times[item]);
    this.choose({ row: next, item: there }, this.isShown());
  }

  end(which) {
    if (this.chosen) this.choose({ row: this.chosen.row, item: which ? this.chosen.row.size - 1 : 0 }, this.isShown());
  }

  // While details are open they follow the keyboard.
  isShown() {
    return document.body.classList.contains("inspecting");
  }
}

// The ends of sorted times; there may be too many of them to be spread over arguments.
function ends(times) {
  return [times[0], times[times.length - 1]];
}
