"""The options of `run` and `report` that ask for further forms of the report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from rollcheck.cli.renditions import Renditions


@dataclass(frozen=True, kw_only=True)
class RenditionOptions:
    """What else is written, and where to."""

    junit: Annotated[str, typer.Option("--junit", metavar="FILE", help="JUnit XML.")] = ""
    markdown: Annotated[str, typer.Option("--markdown", metavar="FILE", help="For a pull request.")] = ""
    github: Annotated[bool, typer.Option("--github", help="Annotations and the step summary of GitHub Actions.")] = (
        False
    )
    textfile: Annotated[
        str, typer.Option("--textfile", metavar="FILE", help="Prometheus text, .prom, replaced in one step.")
    ] = ""
    pushgateway: Annotated[
        str, typer.Option("--pushgateway", metavar="URL", help="Push the same to a Prometheus Pushgateway.")
    ] = ""
    failures: Annotated[
        str, typer.Option("--failures", metavar="FILE", help="Each failed request, a JSON line each.")
    ] = ""
    figures: Annotated[
        bool, typer.Option("--figures", help="Percentiles, heat map and errors as pictures too (PNG, SVG).")
    ] = False

    def chosen(self) -> Renditions:
        """What was asked for.

        Raises:
            UsageError: some of it cannot be done.
        """
        renditions = Renditions(
            junit=self.junit,
            markdown=self.markdown,
            textfile=self.textfile,
            pushgateway=self.pushgateway,
            failures=self.failures,
            github=self.github,
            figures=self.figures,
        )
        renditions.check()
        return renditions


NO_OPTIONS = RenditionOptions()
