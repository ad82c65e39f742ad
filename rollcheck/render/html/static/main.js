// Brings a page to life: first what is drawn, then, when the browser has a moment, every fact.

function copyButtons() {
  for (const button of document.querySelectorAll("button.copy")) {
    const code = button.closest("figure").querySelector("code");
    button.hidden = false;
    button.addEventListener("click", async () => {
      const done = await copied(code);
      button.textContent = done ? "Copied" : "Selected";
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  }
}

// Where the clipboard is not ours to write to, the text is selected, to be copied by hand.
async function copied(code) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    return true;
  } catch {
    const range = document.createRange();
    range.selectNodeContents(code);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    return document.execCommand("copy");
  }
}

async function start() {
  copyButtons();
  const inspector = new Inspector();
  const timelines = [];
  const later = [];
  for (const place of document.querySelectorAll(".chart")) {
    const { side } = place.dataset;
    const moments = await unpack(`moments-${side}`);
    if (!moments) continue;
    const details = new Details(inspector, moments);
    const timeline = new Timeline(place, moments, (row, item) => details.choose(row, item));
    timelines.push(timeline);
    later.push({ side, details, timeline });
  }
  for (const timeline of timelines) timeline.followers = timelines.filter((other) => other !== timeline);
  document.documentElement.dataset.interactive = performance.now().toFixed(0);
  // The facts stand behind this script; they may still be on their way.
  if (document.readyState === "loading") await new Promise((read) => { document.addEventListener("DOMContentLoaded", read); });
  for (const { side, details, timeline } of later) {
    const raw = await unpack(`raw-${side}`);
    if (!raw) continue;
    details.tables = new Map(raw.map((each) => [each.kind, new Table(each)]));
    const place = document.querySelector(`.raw[data-side="${side}"]`);
    if (place) new Facts(place, details.tables, details, timeline);
    details.enliven();
  }
  document.documentElement.dataset.complete = performance.now().toFixed(0);
}

start().catch((error) => {
  const places = document.querySelectorAll(".chart, .raw");
  for (const place of places) {
    place.hidden = false;
    place.replaceChildren(make("p", { class: "note" }, `This browser cannot show what was packed into the page (${error.message}); the tables and timeline.png say it too.`));
  }
});
