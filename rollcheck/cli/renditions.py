"""The further forms in which a run or a load is told: which were asked for, and where they go.

Without typer, whose start `load` would wait for.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rollcheck.cli.ending import say
from rollcheck.errors import RollcheckError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rollcheck.analyze.loadmodel import LoadSummary
    from rollcheck.analyze.model import Analysis
    from rollcheck.analyze.thresholds import Judgement
    from rollcheck.facts.document import Document
    from rollcheck.render.checks import Checkup

    Render = Callable[[], bytes]
    Words = Callable[[], str]

STEP_SUMMARY = "GITHUB_STEP_SUMMARY"
"""Names the file that a step of GitHub Actions may add Markdown to."""


@dataclass(frozen=True, kw_only=True)
class Renditions:
    """What was asked for beside the report's own files.

    Attributes:
        junit, markdown, textfile, failures: files, empty for none.
        pushgateway: address of a Prometheus Pushgateway, empty for none.
        github: annotations for GitHub Actions, and its step's summary.
        figures: every picture, in the report's folder.
    """

    junit: str = ""
    markdown: str = ""
    textfile: str = ""
    pushgateway: str = ""
    failures: str = ""
    github: bool = False
    figures: bool = False

    def check(self) -> None:
        """Refuse what would only be found out at the end.

        Raises:
            UsageError: a file that cannot be written there, or no address of a gateway.
        """
        for name in ("junit", "markdown", "textfile", "failures"):
            if getattr(self, name):
                check_place(Path(getattr(self, name)), f"--{name}")
        if self.textfile and not self.textfile.endswith(".prom"):
            raise UsageError(f"--textfile {self.textfile}: node_exporter reads only names that end with .prom")
        if self.pushgateway:
            _check_gateway(self.pushgateway)

    def of_run(self, analysis: Analysis, folder: Path) -> RollcheckError | None:
        """Make them of a run; gives back the first error, which does not keep the others back."""
        from rollcheck.render.checks import check_run
        from rollcheck.render.failures import render_failures
        from rollcheck.render.markdown import render_markdown
        from rollcheck.render.prometheus import push_path, render_prometheus

        making = _Making(self, check_run(analysis))
        making.file(self.failures, "--failures", lambda: render_failures(analysis))
        making.file(self.textfile, "--textfile", lambda: render_prometheus(analysis))
        making.words(lambda: render_markdown(analysis))
        if self.figures:
            from rollcheck.render.chartfigures import run_images

            making.images(folder, lambda: run_images(analysis))
        if self.pushgateway:
            making.push(push_path(analysis.timeline.document.header), render_prometheus(analysis))
        return making.failure

    def of_load(
        self, summary: LoadSummary, judgements: Sequence[Judgement], folder: Path | None, document: Document | None
    ) -> RollcheckError | None:
        """Make them of a load, likewise; without a document its failures have been written on the way."""
        from rollcheck.render.checks import check_load
        from rollcheck.render.markdown import render_load_markdown
        from rollcheck.render.prometheus import push_path, render_load_prometheus

        making = _Making(self, check_load(summary, judgements))
        if document is not None:
            from rollcheck.render.failures import render_load_failures

            making.file(self.failures, "--failures", lambda: render_load_failures(document))
        making.file(self.textfile, "--textfile", lambda: render_load_prometheus(summary, judgements))
        making.words(lambda: render_load_markdown(summary, judgements))
        if self.figures and folder is not None:
            from rollcheck.record import read_document
            from rollcheck.render.chartfigures import load_images

            making.images(folder, lambda: load_images(document or read_document(folder)))
        if self.pushgateway:
            making.push(push_path(summary.header), render_load_prometheus(summary, judgements))
        return making.failure


NOTHING_FURTHER = Renditions()


class _Making:
    """Makes one rendition after the other, and keeps the first error."""

    def __init__(self, asked: Renditions, checkup: Checkup) -> None:
        self.asked = asked
        self.checkup = checkup
        self.failure: RollcheckError | None = None

    def file(self, path: str, option: str, render: Render) -> None:
        """Write one, if it was asked for."""
        if path:
            self._write(Path(path), render(), option)

    def words(self, markdown: Words) -> None:
        """JUnit, Markdown and what GitHub shows."""
        from rollcheck.render.junit import render_junit

        self.file(self.asked.junit, "--junit", lambda: render_junit(self.checkup))
        self.file(self.asked.markdown, "--markdown", lambda: markdown().encode())
        if self.asked.github:
            self._github(markdown())

    def images(self, folder: Path, draw: Callable[[], Mapping[str, bytes]]) -> None:
        """Write pictures, by name."""
        try:
            images = draw()
        except RollcheckError as error:
            self.failure = self.failure or error
            return
        for name, data in images.items():
            self._write(folder / name, data, "--figures")

    def push(self, path: str, data: bytes) -> None:
        """Tell a gateway; when it does not answer, the verdict stands all the same."""
        from rollcheck.deliver import push

        failed = push(self.asked.pushgateway, path, data)
        if failed:
            say(failed)

    def _write(self, path: Path, data: bytes, option: str) -> None:
        from rollcheck.deliver import deliver_file

        try:
            deliver_file(path, data, option)
        except RollcheckError as error:
            self.failure = self.failure or error

    def _github(self, markdown: str) -> None:
        from rollcheck.errors import DiskFull
        from rollcheck.render.github import fitted_summary, render_annotations

        with suppress(OSError):  # on stderr, for stdout may hold JSON; the runner obeys lines of both
            sys.stderr.write(render_annotations(self.checkup))
            sys.stderr.flush()
        place = os.environ.get(STEP_SUMMARY)
        if not place:
            return
        try:
            taken = Path(place).stat().st_size if Path(place).exists() else 0
            with Path(place).open("a", encoding="utf-8") as file:
                file.write(fitted_summary(markdown, taken))
        except OSError as e:
            self.failure = self.failure or DiskFull(f"--github: {place} could not be written: {e.strerror}")


def check_place(path: Path, option: str) -> None:
    """Raise `UsageError` where no file can be written."""
    place = path if path.exists() else path.parent
    if path.is_dir() or not place.exists() or not os.access(place, os.W_OK):
        raise UsageError(f"{option}: cannot write {path}; choose a file in a folder that is there")


def _check_gateway(address: str) -> None:
    try:
        parts = urlsplit(address)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good:
        raise UsageError(f"--pushgateway {address!r} is no address; write for example http://pushgateway:9091")
