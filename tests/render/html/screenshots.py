"""Takes the pictures of docs/report.md anew, of recorded runs: PYTHONPATH=. python tests/render/html/screenshots.py."""

from __future__ import annotations

import gzip
import io
import sys
import tempfile
from pathlib import Path

from browser import Browser, browser
from PIL import Image

from rollcheck.analyze.analysis import analyse
from rollcheck.analyze.model import Analysis
from rollcheck.facts.codec import decode_document
from rollcheck.render.html.pair import render_runs
from rollcheck.render.html.run import render_run

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
COLOURS = 255
RIGHT, DOWN, ENTER = "\ue014", "\ue015", "\ue007"
TIMELINE = "document.querySelector('#timeline').scrollIntoView()"
DRAWN = "return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"


def recorded(name: str) -> Analysis:
    lines = gzip.decompress((ROOT / "tests" / "recorded" / name / "facts.jsonl.gz").read_bytes()).splitlines()
    return analyse(decode_document(lines))


def take(window: Browser, name: str) -> None:
    """Write what the window shows as docs/NAME.png."""
    window.wait_for(DRAWN)
    assert window.errors() == []
    shown = Image.open(io.BytesIO(window.screenshot())).convert("RGB")
    # The commonest colours as they are, edges of letters by the nearest of them: a third of the bytes.
    commonest = sorted(shown.getcolors(shown.width * shown.height) or [], reverse=True)[:COLOURS]
    palette = Image.new("P", (1, 1))
    palette.putpalette([value for _, colour in commonest for value in colour])
    image = shown.quantize(palette=palette, dither=Image.Dither.NONE)
    image.save(DOCS / f"{name}.png", optimize=True)


def main() -> None:
    lost, drained = recorded("exit-at-once"), recorded("drained")
    with tempfile.TemporaryDirectory() as place, browser(Path(place)) as window:
        run, pair = Path(place) / "run.html", Path(place) / "pair.html"
        run.write_bytes(render_run(lost))
        pair.write_bytes(render_runs(lost, drained, ("before: exits at once", "after: drains")))

        window.look()
        window.open_and_wait(run)
        take(window, "report")
        window.look(width=390, height=844, phone=True)
        window.open_and_wait(run)
        take(window, "report-phone")

        window.look(dark=True, height=1000)
        window.open_and_wait(run)
        window.run(TIMELINE)
        take(window, "report-timeline-dark")
        window.look(width=390, height=844, phone=True, dark=True)
        window.open_and_wait(run)
        window.run(TIMELINE)
        take(window, "report-phone-dark")

        window.look(height=900)
        window.open_and_wait(run)
        window.run("document.querySelector('.plot').focus()")
        window.keys(RIGHT, DOWN, DOWN, DOWN, ENTER)
        take(window, "report-detail")
        window.look(height=900)
        window.open_and_wait(pair)
        take(window, "report-compare")


if __name__ == "__main__":
    sys.exit(main())
