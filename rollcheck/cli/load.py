"""`rollcheck load`: from the command line to the exit code.

Nothing large is imported before the workers are on their way: the first request leaves within 0.3 s. Words for people
go to stdout (to stderr when the JSON goes to stdout), progress and diagnostics to stderr.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rollcheck.cli.ending import DONE, MISSED, say
from rollcheck.cli.loadparse import Values, dashed, help_text, parse
from rollcheck.errors import UsageError

if TYPE_CHECKING:
    from rollcheck.analyze.loadmodel import LoadSummary
    from rollcheck.analyze.thresholds import Threshold
    from rollcheck.bench import BenchPlan
    from rollcheck.cli.loadplan import Asked
    from rollcheck.cli.loadresults import Places
    from rollcheck.cli.renditions import Renditions
    from rollcheck.facts.attempts import Attempt


def command(arguments: Sequence[str]) -> int:
    """Do what the arguments behind `rollcheck load` ask for; gives back the exit code.

    Raises:
        RollcheckError: they cannot be followed, or a result cannot be written; one sentence.
    """
    values = parse(arguments)
    if values.help:
        print(help_text())
        return DONE
    # What is imported stays: to look through it for garbage, again and again, would take a twentieth of the start.
    gc.disable()
    try:
        from rollcheck.cli.loadplan import plan_load

        asked = plan_load(values)
        thresholds = _thresholds(values)
        _check(values)
        renditions = _renditions(values)
        plan = _bench_plan(values, asked)
        return _run(values, asked, plan, thresholds, renditions)
    finally:
        gc.enable()


def _thresholds(values: Values) -> list[Threshold]:
    if not values.all("threshold"):
        return []
    from rollcheck.analyze.thresholds import parse_threshold

    return [parse_threshold(text) for text in values.all("threshold")]


def _check(values: Values) -> None:
    """Refuse what would only be found out at the end."""
    from rollcheck.cli.loadplan import parse_percentiles
    from rollcheck.cli.renditions import check_place

    parse_percentiles(values.text("p"))
    if values.number("r") <= 0:
        raise UsageError(f"-r: a resolution of {values.text('r')} s is none; write for example 0.001")
    if values.text("access-log-format") not in ("json", "influx"):
        raise UsageError(f"-access-log-format: there is no {values.text('access-log-format')!r}; choose json or influx")
    for name in ("json", "hlog", "hgrm"):
        path = values.text(name)
        if path and path != "-":
            check_place(Path(path), dashed(name))
    if values.on("a"):
        folder = Path(values.text("data-dir"))
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            raise UsageError(f"-data-dir: cannot write to {folder}; give a folder that is there")
    out = values.text("out")
    if out and (Path(out) / "facts.jsonl").exists():
        raise UsageError(f"--out: {out} already holds a run; choose another folder")


def _bench_plan(values: Values, asked: Asked) -> BenchPlan:
    from rollcheck.bench import BenchPlan
    from rollcheck.load.workers import Speech, plan_workers

    return BenchPlan(
        load=asked.load,
        workers=plan_workers(asked.load, asked.workers),
        options=asked.options,
        out=_path(values, "out"),
        failures=_path(values, "failures"),
        access_log=_path(values, "access-log-file"),
        access_format=values.text("access-log-format"),
        hlogs=_hlogs(values),
        speech=Speech(http2=values.on("h2"), follow=values.on("L")),
        yield_cpu=True,
    )


def _places(values: Values, summary: LoadSummary) -> Places:
    """Where the results go."""
    from rollcheck.cli.loadresults import Places, automatic

    file = values.text("json")
    own = [Path(file)] if file not in ("", "-") else []
    if values.on("a") and not file:
        own = [automatic(Path(values.text("data-dir")), summary)]
    return Places(
        json=tuple(own),
        hgrm=tuple(Path(path) for path in values.all("hgrm")[-1:]),
        folder=_path(values, "out"),
        json_on_stdout=file == "-",
        quiet=values.on("quiet"),
    )


def _hlogs(values: Values) -> tuple[Path, ...]:
    """Logs that are written as the load goes on."""
    folder = _path(values, "out")
    from rollcheck.cli.loadplan import HLOG

    return tuple(Path(path) for path in values.all("hlog")[-1:]) + ((folder / HLOG,) if folder else ())


def _path(values: Values, name: str) -> Path | None:
    return Path(values.text(name)) if values.text(name) else None


def _renditions(values: Values) -> Renditions:
    """The further forms of the report that were asked for; failures are written on the way."""
    from rollcheck.cli.renditions import Renditions

    renditions = Renditions(
        junit=values.text("junit"),
        markdown=values.text("markdown"),
        textfile=values.text("textfile"),
        pushgateway=values.text("pushgateway"),
        github=values.on("github"),
        figures=values.on("figures"),
    )
    renditions.check()
    if renditions.figures and not values.text("out"):
        raise UsageError("--figures: say with --out DIR where the pictures are to go")
    return renditions


def _run(values: Values, asked: Asked, plan: BenchPlan, thresholds: Sequence[Threshold], renditions: Renditions) -> int:
    from rollcheck.bench import execute
    from rollcheck.cli.loadlive import Live

    load = plan.load
    live = Live(quiet=values.on("quiet"), every_s=values.seconds("report-interval"), length_s=load.length_s)
    for sentence in asked.sentences:
        live.say(f"rollcheck: {sentence}")
    try:
        benched = execute(plan, live)
    finally:
        live.end()
    summary = benched.summary
    if summary.aborted and not summary.scheduled and not benched.interrupted:
        say(f"the warm-up failed, nothing was measured: {_why(live.first_failure, summary)}")
        return MISSED
    from rollcheck.cli.loadresults import exit_code, tell

    judgements = tell(_places(values, summary), summary, thresholds, renditions)
    if benched.failure is not None:
        say(str(benched.failure))
        return benched.failure.exit_code
    return exit_code(summary, judgements)


def _why(failure: Attempt | None, summary: LoadSummary) -> str:
    """What went wrong on the first try, in words."""
    if failure is None:
        return summary.aborted
    from rollcheck.facts.attempts import Outcome

    url = summary.header.options["unix-socket"] or summary.header.url
    detail = f" ({failure.detail})" if failure.detail else ""
    said = {
        Outcome.REFUSED: f"{url} refused the connection: nobody listens there",
        Outcome.UNREACHABLE: f"{url} cannot be reached{detail}",
        Outcome.NOT_RESOLVED: f"the name in {url} does not resolve{detail}",
        Outcome.TIMEOUT: f"{url} did not answer in time (-timeout)",
        Outcome.TLS_FAILED: f"TLS with {url} failed{detail}; -cacert names another authority, -k does not verify",
        Outcome.BAD_STATUS: f"{url} answered {failure.status}; --expect-status says what is good",
        Outcome.WRONG_BODY: f"{url} answered {failure.status} with another body than --expect-body asks for",
    }.get(failure.outcome, f"{url}: {failure.phase}/{failure.outcome}{detail}")
    return f"{said}. -allow-initial-errors goes on all the same"
