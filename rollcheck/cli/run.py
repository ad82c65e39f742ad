"""`rollcheck run`: a Deployment is replaced under load, and what was lost is told."""

from __future__ import annotations

import math
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rollcheck.cli.durations import parse_duration
from rollcheck.cli.ending import INTERRUPTED, say
from rollcheck.cli.options import Output, check_output
from rollcheck.cli.telling import tell
from rollcheck.errors import UsageError

if TYPE_CHECKING:
    from rollcheck.facts.document import LanePlan
    from rollcheck.load.plan import LoadPlan

RUN_EPILOG = """Examples:

\b
  restart it under load:
    rollcheck run --deploy web
  a 200 with another body is a failure:
    rollcheck run --deploy web --qps 50 --expect-body Welcome
  your own deploy as the trigger:
    rollcheck run --deploy web -- helm upgrade web ./chart

\b
Durations are written as 500ms, 10s, 1m30s, or as bare seconds.
Exit codes: 0 graceful, 1 not graceful, 2 usage, 3 inconclusive,
4 cluster or API failure, 130 interrupted.
"""
SYSTEM_NAMESPACES = frozenset({"kube-system", "kube-public", "kube-node-lease"})
CONNECTIONS = 16


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What is replaced, and how to get there."""

    deploy: Annotated[str, typer.Option("--deploy", metavar="NAME", help="The Deployment to replace.")] = ""
    namespace: Annotated[
        str, typer.Option("-n", "--namespace", metavar="NAME", help="Its namespace; the context's by default.")
    ] = ""
    context: Annotated[str, typer.Option("--context", metavar="NAME", help="The kubeconfig context.")] = ""
    kubeconfig: Annotated[
        str, typer.Option("--kubeconfig", metavar="FILE", help="The kubeconfig; COMMAND gets all three as KUBECONFIG.")
    ] = ""
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before touching what looks like production.")] = (
        False
    )

    def check(self) -> None:
        """Raise `UsageError` when no Deployment is named."""
        if not self.deploy:
            raise UsageError("say which Deployment to replace, with --deploy NAME (its list: kubectl get deployments)")

    def confirm(self, context: str, namespace: str) -> None:
        """Ask before touching what looks like production or belongs to the cluster itself.

        Raises:
            UsageError: the answer was no, or nobody is there to answer.
        """
        risky = namespace in SYSTEM_NAMESPACES or "prod" in f"{context}/{namespace}".lower()
        if self.yes or not risky:
            return
        question = f"replace the pods of deployment/{self.deploy} in namespace {namespace!r} of context {context!r}?"
        if not sys.stdin.isatty():
            raise UsageError(f"{question} It looks like production or a system namespace: say so with --yes")
        print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise UsageError("nothing was changed")


@dataclass(frozen=True, kw_only=True)
class Requests:
    """What is sent, and which answer is good."""

    url: Annotated[str, typer.Option("--url", metavar="URL", help="What to ask; found by itself when not given.")] = ""
    timeout: Annotated[str, typer.Option("--timeout", metavar="DURATION", help="Of one request.")] = "3s"
    method: Annotated[str, typer.Option("--method", "-X", metavar="METHOD", help="HTTP method.")] = "GET"
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", metavar="HEADER", help="'Name: value', again for more.")
    ] = None
    body: Annotated[str, typer.Option("--body", metavar="BODY", help="Request body, or @FILE.")] = ""
    expect_status: Annotated[
        str, typer.Option("--expect-status", metavar="STATUS", help="What is good: 200,204 or 2xx.")
    ] = ""
    expect_body: Annotated[
        str, typer.Option("--expect-body", metavar="TEXT", help="Text or /regex/ that a good body holds.")
    ] = ""
    pod_header: Annotated[
        str, typer.Option("--pod-header", metavar="NAME", help="Response header that names the pod; found by itself.")
    ] = ""
    insecure: Annotated[bool, typer.Option("--insecure", "-k", help="Do not verify the target's certificate.")] = False
    cacert: Annotated[str, typer.Option("--cacert", metavar="FILE", help="CA file that vouches for the target.")] = ""

    def plan(self, rate: Rate) -> LoadPlan:
        """The load at that rate; its target is a placeholder, until one that answers has been found.

        Raises:
            UsageError: an option has a value that it cannot have.
        """
        from rollcheck.load.plan import LoadPlan, parse_expectation, parse_header, parse_target

        return LoadPlan(
            target=parse_target("http://found-by-preflight.invalid/"),
            method=self.method.upper(),
            headers=tuple(parse_header(text) for text in self.header or ()),
            body=_body(self.body),
            qps=rate.checked_qps(),
            lanes=rate.lanes(),
            timeout_s=parse_duration(self.timeout, "--timeout"),
            expectation=parse_expectation(self.expect_status, self.expect_body),
            pod_header=self.pod_header,
            verify_tls=not self.insecure,
            ca_file=self._checked_cacert(),
        )

    def _checked_cacert(self) -> str:
        if self.cacert and not Path(self.cacert).is_file():
            raise UsageError(f"--cacert: there is no file {self.cacert}; give a PEM file of authorities")
        return self.cacert


@dataclass(frozen=True, kw_only=True)
class Rate:
    """How much is sent, over which connections."""

    qps: Annotated[float, typer.Option("--qps", metavar="RATE", help="Requests per second, over all lanes.")] = 200
    connections: Annotated[
        int, typer.Option("--connections", "-c", metavar="N", help="Kept connections (fewer at low rates).")
    ] = CONNECTIONS
    fresh_share: Annotated[
        float, typer.Option("--fresh-share", metavar="SHARE", help="Share on a connection of its own, 0 to 1.")
    ] = 0.5

    def checked_qps(self) -> float:
        """The rate; raises `UsageError` for what is none."""
        if not math.isfinite(self.qps) or self.qps <= 0:
            raise UsageError(f"--qps: {self.qps:g} is no rate; write requests per second, for example 50")
        return self.qps

    def lanes(self) -> tuple[LanePlan, ...]:
        """The lanes that it makes; raises `UsageError` for a share that is none."""
        from rollcheck.run import lanes_of

        if not 0 <= self.fresh_share <= 1:
            raise UsageError(f"--fresh-share: {self.fresh_share:g} is no share; write a number from 0 to 1")
        return lanes_of(self.checked_qps(), self.connections, self.fresh_share)


@dataclass(frozen=True, kw_only=True)
class Course:
    """How long the parts of the run take."""

    baseline: Annotated[str, typer.Option("--baseline", metavar="DURATION", help="Load before the trigger.")] = "10s"
    tail: Annotated[str, typer.Option("--tail", metavar="DURATION", help="Load after the last old pod is gone.")] = (
        "10s"
    )
    rollout_timeout: Annotated[
        str,
        typer.Option("--rollout-timeout", metavar="DURATION", help="For every old pod to be gone, COMMAND included."),
    ] = "5m"
    good_answers: Annotated[
        int, typer.Option("--good-answers", metavar="N", min=1, help="Wanted in a row before the load.")
    ] = 10

    def checked_rollout_timeout_s(self) -> float:
        """How long a replacement may take; raises `UsageError` for no time at all."""
        seconds = parse_duration(self.rollout_timeout, "--rollout-timeout")
        if not seconds:
            raise UsageError("--rollout-timeout: no replacement takes no time; write for example 5m")
        return seconds

    def recorded(self, load: LoadPlan) -> dict[str, str]:
        """Options as the document keeps them; headers by name only, since their values may be secrets."""
        return {
            "baseline": self.baseline,
            "tail": self.tail,
            "rollout-timeout": self.rollout_timeout,
            "good-answers": str(self.good_answers),
            "headers": ", ".join(name for name, _ in load.headers),
            "body-bytes": str(len(load.body)),
        }


def run(
    workload: Workload,
    requests: Requests,
    rate: Rate,
    course: Course,
    command: Annotated[list[str] | None, typer.Argument(metavar="-- COMMAND...", help="Your own deploy.")] = None,
    out: Annotated[
        str, typer.Option("--out", metavar="DIR", help="Folder of the report [reports/NAME-TIMESTAMP].")
    ] = "",
    output: Output = "text",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
) -> None:
    """Put load on a Deployment, replace its pods, and say which requests were lost, and why."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C, before and after the run as well
    from rollcheck.cli.progress import Progressing
    from rollcheck.run import RunPlan, execute

    check_output(output)
    workload.check()
    load = requests.plan(rate)
    plan = RunPlan(
        deploy=workload.deploy,
        load=load,
        kubeconfig=workload.kubeconfig,
        context=workload.context,
        namespace=workload.namespace,
        url=requests.url,
        command=tuple(command or ()),
        baseline_s=parse_duration(course.baseline, "--baseline"),
        tail_s=parse_duration(course.tail, "--tail"),
        rollout_timeout_s=course.checked_rollout_timeout_s(),
        row=course.good_answers,
        out=_out(out),
        options=course.recorded(load),
    )
    with Progressing(quiet=quiet) as progress:
        finished = execute(plan, progress, workload.confirm)
    if finished.interrupted:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # an impatient second one must not cost the report of the first
    analysis, unwritten = tell(finished.document, finished.folder, output)
    failure = finished.failure or unwritten
    if failure is not None:
        say(str(failure))
    if finished.interrupted:
        raise typer.Exit(INTERRUPTED)
    raise typer.Exit(failure.exit_code if failure else analysis.exit_code)


def _body(text: str) -> bytes:
    if not text.startswith("@"):
        return text.encode()
    try:
        return Path(text[1:]).read_bytes()
    except OSError as e:
        raise UsageError(f"--body: cannot read {text[1:]}: {e.strerror}") from e


def _out(out: str) -> Path | None:
    if not out:
        return None
    folder = Path(out)
    if (folder / "facts.jsonl").exists():
        raise UsageError(f"--out: {folder} already holds a run; choose another folder")
    return folder
