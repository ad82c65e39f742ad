"""The results of a load: files, the report on stdout, the exit code; of one that has just ended or of a stored one."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from rollcheck.analyze.load import summarise
from rollcheck.analyze.loadmodel import LoadSummary
from rollcheck.analyze.thresholds import Judgement, Threshold, judge, parse_threshold
from rollcheck.cli.ending import DONE, INTERRUPTED, MISSED, say
from rollcheck.cli.loadlive import columns_of
from rollcheck.cli.loadplan import HLOG
from rollcheck.cli.renditions import NOTHING_FURTHER, Renditions
from rollcheck.errors import DiskFull, RollcheckError
from rollcheck.facts.document import Document
from rollcheck.render.fortio import fortio_bytes, fortio_text, result_id
from rollcheck.render.hdrlog import render_hgrm, render_hlog

JSON, TEXT, HGRM, PAGE = "fortio.json", "report.txt", "latency.hgrm", "report.html"
"""Names in the folder of --out."""
FAULTY = 3
WIDEST = 110
"""Columns of a report at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where results go.

    Attributes:
        json, hgrm: files of their own.
        folder: gets every kind of result.
        json_on_stdout: the report goes to stderr then.
        quiet: counters and percentiles only.
    """

    json: tuple[Path, ...] = ()
    hgrm: tuple[Path, ...] = ()
    folder: Path | None = None
    json_on_stdout: bool = False
    quiet: bool = False


def automatic(folder: Path, summary: LoadSummary) -> Path:
    """The file under which `-a` saves: fortio's name, with a number if there is one of that name already."""
    name = result_id(summary)
    path, number = folder / f"{name}.json", 1
    while path.exists():
        number += 1
        path = folder / f"{name}_{number}.json"
    return path


def tell(
    places: Places,
    summary: LoadSummary,
    thresholds: Sequence[Threshold],
    renditions: Renditions,
    document: Document | None = None,
) -> tuple[Judgement, ...]:
    """Write every file, then print the report: whoever stops reading it costs no file.

    Raises:
        DiskFull: a file could not be written; the report has been printed all the same.
    """
    judgements = judge(thresholds, summary)
    wrote = ""
    failure: RollcheckError | None = None
    try:
        wrote = _write_files(places, summary, judgements)
    except DiskFull as error:
        failure = error
    unmade = renditions.of_load(summary, judgements, places.folder, document)
    failure = failure or unmade
    try:
        _print(places, summary, judgements, wrote)
    except BrokenPipeError:
        raise
    except OSError as e:
        failure = failure or DiskFull(f"the report could not be printed: {e.strerror}")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python fails at it again as it ends
    if failure is not None:
        raise failure
    return judgements


def retell(
    document: Document, folder: Path, renditions: Renditions = NOTHING_FURTHER, *, json_on_stdout: bool = False
) -> int:
    """Render a stored load again, into its folder and on stdout; gives back its exit code.

    Raises:
        RollcheckError: the document cannot be read, or a file not be written.
    """
    summary = summarise(document)
    asked = document.header.options.get("threshold", "")
    thresholds = [parse_threshold(text) for text in asked.split(", ") if text]
    _write(folder / HLOG, render_hlog(document).encode())
    places = Places(folder=folder, json_on_stdout=json_on_stdout)
    judgements = tell(places, summary, thresholds, renditions, document)
    return exit_code(summary, judgements)


def exit_code(summary: LoadSummary, judgements: Sequence[Judgement]) -> int:
    """What the load came to, the more telling first."""
    if summary.interrupted:
        return INTERRUPTED
    if summary.aborted:
        return MISSED
    if summary.faults or summary.damaged:
        return FAULTY
    if not all(judgement.met for judgement in judgements):
        return MISSED
    if summary.scheduled and not summary.ok:
        say("not one request got a good answer")
        return MISSED
    return DONE


def _print(places: Places, summary: LoadSummary, judgements: Sequence[Judgement], wrote: str) -> None:
    words: TextIO = sys.stderr if places.json_on_stdout else sys.stdout
    width = min(columns_of(words), WIDEST)
    colour = words.isatty() and "NO_COLOR" not in os.environ
    if places.json_on_stdout:
        sys.stdout.write(fortio_bytes(summary).decode())
        sys.stdout.flush()
    text = fortio_text(summary, quiet=places.quiet, width=width, colour=colour, judgements=judgements)
    words.write(text + wrote)
    words.flush()


def _write_files(places: Places, summary: LoadSummary, judgements: Sequence[Judgement]) -> str:
    """Every file that was asked for; gives back what to say of the JSON, as fortio does."""
    data, wrote = fortio_bytes(summary), ""
    if places.folder is not None:
        _write(places.folder / JSON, data)
        _write(places.folder / TEXT, fortio_text(summary, judgements=judgements).encode())
        _write(places.folder / HGRM, render_hgrm(summary.response).encode())
        from rollcheck.render.html.load import render_load  # 30 ms that a load without a folder does not need

        _write(places.folder / PAGE, render_load(summary, judgements))
    for path in places.hgrm:
        _write(path, render_hgrm(summary.response).encode())
    for path in places.json:
        _write(path, data)
        wrote += f"Successfully wrote {len(data)} bytes of Json data to {path}\n"
    return wrote


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as e:
        raise DiskFull(f"{path} could not be written: {e.strerror}") from e
