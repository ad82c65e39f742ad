"""The gallery in reports/: documents of real runs and loads, and every form in which they are told.

    python -m tests.gallery        (make gallery) renders all of it anew

A folder there is what a run or a load left behind, with all further forms beside it. Those that are text are golden
files, compared byte for byte; of pictures what they show is compared (`figures.json`), as their bytes differ from one
version of matplotlib to the next. A document that is one of tests/recorded is copied from there.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rollcheck import report
from rollcheck.analyze.analysis import analyse
from rollcheck.analyze.load import summarise
from rollcheck.analyze.loadmodel import LoadSummary
from rollcheck.analyze.thresholds import Judgement, judge, parse_threshold
from rollcheck.facts.document import Document
from rollcheck.record import read_document
from rollcheck.render.chartfigures import load_images, run_images
from rollcheck.render.charts import charts_of_load, charts_of_run
from rollcheck.render.checks import check_load, check_run
from rollcheck.render.failures import render_failures, render_load_failures
from rollcheck.render.figures import timeline_images
from rollcheck.render.fortio import fortio_bytes, fortio_text
from rollcheck.render.github import render_annotations
from rollcheck.render.hdrlog import render_hgrm, render_hlog
from rollcheck.render.html.load import render_load
from rollcheck.render.html.run import render_run
from rollcheck.render.junit import render_junit
from rollcheck.render.markdown import render_load_markdown, render_markdown
from rollcheck.render.picture import picture_of
from rollcheck.render.prometheus import render_load_prometheus, render_prometheus
from rollcheck.render.result import render_result
from rollcheck.render.terminal import fix_names

ROOT = Path(__file__).parents[1]
GALLERY = ROOT / "reports"
RECORDED = ROOT / "tests" / "recorded"
INDEX = "README.md"
FACTS = "facts.jsonl"
STORIES = {
    "exit-at-once": "an app that exits at once on SIGTERM, without preStop",
    "drained": "an app that drains with `Connection: close`: graceful",
    "killed": "an app that ignores SIGTERM and is killed at the end of its grace",
    "ingress-502": "the first one, seen through an Ingress that answers 502",
    "image-not-there": "an image that does not exist: nothing was replaced, nothing is proven",
    "load": "`rollcheck load` while the pods behind its URL are replaced, with a threshold that is missed",
}
"""Name → what it shows, in the order in which they are read."""


def texts(document: Document) -> dict[str, bytes]:
    """File name → what is compared byte for byte."""
    return _texts_of_load(document) if document.header.kind == "load" else _texts_of_run(document)


def _texts_of_run(document: Document) -> dict[str, bytes]:
    analysis = analyse(document)
    checkup, fixes = check_run(analysis), fix_names(analysis)
    return {
        report.RESULT: render_result(analysis),
        report.SUMMARY: report.summary(analysis, fixes).encode(),
        **{name: patch.encode() for name, patch in fixes.items()},
        "junit.xml": render_junit(checkup),
        "annotations.txt": render_annotations(checkup).encode(),
        "report.md": render_markdown(analysis).encode(),
        "metrics.prom": render_prometheus(analysis),
        "failures.jsonl": render_failures(analysis),
        "figures.json": _plain({"timeline": asdict(picture_of(analysis)), **asdict(charts_of_run(analysis))}),
    }


def judged(document: Document) -> tuple[LoadSummary, tuple[Judgement, ...]]:
    """A load and what became of the thresholds it was started with."""
    summary = summarise(document)
    asked = document.header.options.get("threshold", "")
    return summary, judge([parse_threshold(text) for text in asked.split(", ") if text], summary)


def _texts_of_load(document: Document) -> dict[str, bytes]:
    summary, judgements = judged(document)
    checkup = check_load(summary, judgements)
    return {
        "report.txt": fortio_text(summary, judgements=judgements).encode(),
        "fortio.json": fortio_bytes(summary),
        "latency.hlog": render_hlog(document).encode(),
        "latency.hgrm": render_hgrm(summary.response).encode(),
        "junit.xml": render_junit(checkup),
        "annotations.txt": render_annotations(checkup).encode(),
        "report.md": render_load_markdown(summary, judgements).encode(),
        "metrics.prom": render_load_prometheus(summary, judgements),
        "failures.jsonl": render_load_failures(document),
        "figures.json": _plain(asdict(charts_of_load(document))),
    }


def pictures(document: Document) -> dict[str, bytes]:
    """File name → what is rendered beside, and not compared."""
    if document.header.kind == "load":
        charts = {name: data for name, data in load_images(document).items() if name.endswith(".png")}
        return {report.PAGE: render_load(*judged(document)), **charts}
    analysis = analyse(document)
    png, svg = timeline_images(analysis)
    charts = {name: data for name, data in run_images(analysis).items() if name.endswith(".png")}
    return {report.PAGE: render_run(analysis), report.TIMELINE_PNG: png, report.TIMELINE_SVG: svg, **charts}


def _plain(value: Any) -> bytes:
    """Plotted data as JSON, numbers as exact as a picture can show them."""

    def rounded(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: rounded(each) for key, each in part.items()}
        if isinstance(part, list | tuple):
            return [rounded(each) for each in part]
        return float(f"{part:.6g}") if isinstance(part, float) else part

    return (json.dumps(rounded(value), separators=(",", ":")) + "\n").encode()


def index() -> bytes:
    """The gallery's own page."""
    lines = [
        "# Reports of real runs",
        "",
        "Documents that were recorded on a real cluster (`facts.jsonl`), and every form in which they are told.",
        "`make gallery` renders all of it anew; the texts are golden files of the test suite.",
        "",
        "| | what it shows | verdict | |",
        "| --- | --- | --- | --- |",
    ]
    for name, story in STORIES.items():
        document = read_document(GALLERY / name)
        load = document.header.kind == "load"
        verdict = check_load(*judged(document)).verdict if load else analyse(document).verdict.value
        first = "report.txt" if load else "summary.txt"
        also = [
            "report.html",
            "report.md",
            "junit.xml",
            "metrics.prom",
            "failures.jsonl",
            "heatmap.png",
            "percentiles.png",
            "errors.png",
        ]
        if not load:
            also = ["timeline.png", "result.json", *also]
        links = " · ".join(f"[{each}]({name}/{each})" for each in (first, *also))
        lines.append(f"| **{name}** | {story} | {verdict} | {links} |")
    lines += [
        "",
        "`rollcheck history reports` tells them all in a table; `rollcheck report reports/NAME` one of them anew.",
    ]
    return ("\n".join(lines) + "\n").encode()


def main() -> None:
    """Write everything, and take away what is no longer made."""
    for name in STORIES:
        folder = GALLERY / name
        folder.mkdir(parents=True, exist_ok=True)
        if (RECORDED / name / f"{FACTS}.gz").exists():
            (folder / FACTS).write_bytes(gzip.decompress((RECORDED / name / f"{FACTS}.gz").read_bytes()))
        document = read_document(folder)
        made = {**texts(document), **pictures(document)}
        for path in folder.iterdir():
            if path.name not in made and path.name != FACTS:
                path.unlink()
        for file, data in made.items():
            (folder / file).write_bytes(data)
        print(f"reports/{name}: {len(made)} files")
    (GALLERY / INDEX).write_bytes(index())


if __name__ == "__main__":
    main()
