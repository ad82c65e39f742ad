"""`rollcheck run`: the pods of a workload are replaced under load, and what was lost is told."""

from __future__ import annotations

import math
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rollcheck.cli.durations import parse_duration
from rollcheck.cli.ending import INTERRUPTED, say
from rollcheck.cli.options import Output, check_output
from rollcheck.cli.renditionoptions import NO_OPTIONS, RenditionOptions
from rollcheck.cli.sandboxoptions import Embedded
from rollcheck.cli.telling import tell
from rollcheck.errors import UsageError

if TYPE_CHECKING:
    from rollcheck.facts.document import LanePlan
    from rollcheck.kube.actions.request import Request
    from rollcheck.load.plan import LoadPlan
    from rollcheck.run import RunPlan

EPILOG = """Examples:

\b
  restart it under load:
    rollcheck run --deploy web
  a 200 with another body is a failure:
    rollcheck run --deploy web --qps 50 --expect-body Welcome
  your own deploy as the trigger:
    rollcheck run --deploy web -- helm upgrade web ./chart
  without a cluster, on a sandbox in processes here:
    rollcheck run --sandbox --deploy web -f web.yaml
  another way to lose pods, and what it would do beforehand:
    rollcheck run --deploy web --action 'drain n1' --dry-run

\b
Actions: restart, 'set-image CONTAINER=IMAGE', 'undo [REVISION]',
'scale N' (and back), 'delete-pod [POD...|N|all]',
'evict [POD...|N|all]', 'drain NODE', none (only watch).

\b
Durations are written as 500ms, 10s, 1m30s, or as bare seconds.
Exit codes: 0 graceful, 1 not graceful, 2 usage, 3 inconclusive,
4 cluster or API failure, 130 interrupted.
"""
SYSTEM_NAMESPACES = frozenset({"kube-system", "kube-public", "kube-node-lease"})
CONNECTIONS = 16
RATE_CAP = 2000
KINDS = {"deployment": "Deployment", "deploy": "Deployment", "statefulset": "StatefulSet", "sts": "StatefulSet",
         "daemonset": "DaemonSet", "ds": "DaemonSet"}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What is replaced, and how to get there."""

    deploy: Annotated[
        list[str] | None,
        typer.Option("--deploy", metavar="NAME", help="The Deployment to replace; again, or KIND/NAME, for more."),
    ] = None
    statefulset: Annotated[
        list[str] | None, typer.Option("--statefulset", metavar="NAME", help="A StatefulSet to replace.")
    ] = None
    daemonset: Annotated[
        list[str] | None, typer.Option("--daemonset", metavar="NAME", help="A DaemonSet to replace.")
    ] = None
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

    def targets(self) -> tuple[tuple[str, str], ...]:
        """Kind and name of each workload, in the order Deployments, StatefulSets, DaemonSets.

        Raises:
            UsageError: none is named, one is named twice, or a kind is not known.
        """
        named = [
            *(_kind_and_name(text) for text in self.deploy or ()),
            *(("StatefulSet", text) for text in self.statefulset or ()),
            *(("DaemonSet", text) for text in self.daemonset or ()),
        ]
        if not named or not all(name for _, name in named):
            raise UsageError("say which Deployment to replace, with --deploy NAME (its list: kubectl get deployments)")
        if len(set(named)) < len(named):
            raise UsageError("a workload is named twice; name each once")
        return tuple(named)

    def confirm(self, context: str, namespace: str) -> None:
        """Ask before touching what looks like production or belongs to the cluster itself.

        Raises:
            UsageError: the answer was no, or nobody is there to answer.
        """
        risky = namespace in SYSTEM_NAMESPACES or "prod" in f"{context}/{namespace}".lower()
        if self.yes or not risky:
            return
        named = ", ".join(f"{kind.lower()}/{name}" for kind, name in self.targets())
        question = f"replace the pods of {named} in namespace {namespace!r} of context {context!r}?"
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

    def check_cap(self, sure: bool) -> None:
        """Raise `UsageError` for a rate that a slip of the finger makes, unless one is sure."""
        if self.qps > RATE_CAP and not sure:
            raise UsageError(
                f"--qps: {self.qps:g} requests per second are more than the {RATE_CAP} that a rollout's check needs; "
                "say with --yes that the target can take them"
            )

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


@dataclass(frozen=True, kw_only=True)
class Replacing:
    """What is done to the workloads."""

    action: Annotated[str, typer.Option("--action", metavar="ACTION", help="How pods are replaced, see below.")] = (
        "restart"
    )
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what the action would do, and change nothing.")] = (
        False
    )
    repeat: Annotated[int, typer.Option("--repeat", metavar="K", min=1, help="Do it K times, back to back.")] = 1
    abort_on_errors: Annotated[
        str, typer.Option("--abort-on-errors", metavar="SHARE", help="Stop it when more fails than this, as 20%.")
    ] = ""
    undo_on_failure: Annotated[
        bool,
        typer.Option("--undo-on-failure", help="Keep a new image or revision, unless its rollout fails."),
    ] = False
    grace_period: Annotated[
        int | None, typer.Option("--grace-period", metavar="SECONDS", help="Of pods deleted, evicted or drained.")
    ] = None
    force: Annotated[bool, typer.Option("--force", help="As kubectl drain and delete have it.")] = False
    at_once: Annotated[bool, typer.Option("--at-once", help="Evict without waiting for the pod before.")] = False
    node_of_pod: Annotated[
        str, typer.Option("--node-of-pod", metavar="POD", help="Drain the node on which it runs.")
    ] = ""
    ignore_daemonsets: Annotated[bool, typer.Option("--ignore-daemonsets", help="As kubectl drain has it.")] = False
    delete_emptydir_data: Annotated[bool, typer.Option("--delete-emptydir-data", help="As kubectl drain has it.")] = (
        False
    )
    disable_eviction: Annotated[bool, typer.Option("--disable-eviction", help="As kubectl drain has it.")] = False

    def request(self, command: list[str] | None, *, yes: bool) -> Request:
        """What was asked for; raises `UsageError` for what cannot be."""
        from rollcheck.kube.actions.request import Request, parse_action

        name, words = parse_action(self.action)
        if command:
            if self.action != "restart":
                raise UsageError("--action and a command after `--` are two ways to replace pods; choose one")
            name, words = "command", ()
        asked = Request(
            name=name,
            words=words,
            command=tuple(command or ()),
            grace_s=self.grace_period,
            force=self.force,
            at_once=self.at_once,
            ignore_daemonsets=self.ignore_daemonsets,
            delete_emptydir_data=self.delete_emptydir_data,
            disable_eviction=self.disable_eviction,
            node_of_pod=self.node_of_pod,
            yes=yes,
        )
        asked.check()
        if self.repeat > 1 and not asked.sort.repeats:
            raise UsageError(f"--repeat: {name} cannot be done twice in a row; leave it out")
        named = [word for word in words if word != "all" and not word.isdecimal()]
        if self.repeat > 1 and name in ("delete-pod", "evict") and named:
            raise UsageError(f"--repeat: pod {named[0]} is gone after the first round; say how many instead, or all")
        if self.repeat > 1 and name == "drain" and words:
            raise UsageError(
                f"--repeat: after the first round no pod is left on node {words[0]}; name a pod with --node-of-pod, "
                "and the node is chosen anew in each round"
            )
        if self.undo_on_failure and name not in ("set-image", "undo"):
            raise UsageError(f"--undo-on-failure is for set-image and undo, not for {name}")
        return asked

    def abort_share(self) -> float:
        """The share of requests that may fail, 0 for no limit; raises `UsageError` for what is none."""
        text = self.abort_on_errors.strip()
        if not text:
            return 0.0
        try:
            share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            share = math.nan
        if not 0 < share <= 1:
            raise UsageError(f"--abort-on-errors: {text!r} is no share of requests; write for example 20%")
        return share

    def recorded(self) -> dict[str, str]:
        """What of it the document keeps beside the action itself."""
        said = {
            "repeat": str(self.repeat) if self.repeat > 1 else "",
            "abort-on-errors": self.abort_on_errors,
            "undo-on-failure": "yes" if self.undo_on_failure else "",
            "grace-period": "" if self.grace_period is None else str(self.grace_period),
            "at-once": "yes" if self.at_once else "",
        }
        return {name: value for name, value in said.items() if value}


def run(
    workload: Workload,
    replacing: Replacing,
    requests: Requests,
    rate: Rate,
    course: Course,
    embedded: Embedded,
    command: Annotated[list[str] | None, typer.Argument(metavar="-- COMMAND...", help="Your own deploy.")] = None,
    out: Annotated[
        str, typer.Option("--out", metavar="DIR", help="Folder of the report [reports/NAME-TIMESTAMP].")
    ] = "",
    output: Output = "text",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
    no_live: Annotated[bool, typer.Option("--no-live", help="Plain lines of progress, on a terminal too.")] = False,
    further: RenditionOptions = NO_OPTIONS,
) -> None:
    """Put load on a workload, replace its pods, and say which requests were lost, and why."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C, before and after the run as well
    from rollcheck.cli.progress import Progressing, is_live
    from rollcheck.run import execute

    check_output(output)
    renditions = further.chosen()
    embedded.check(kubeconfig=workload.kubeconfig, context=workload.context)
    plan = _plan(workload, replacing, requests, rate, course, command, out)
    if replacing.dry_run:
        _foretell(plan, embedded, quiet=quiet)
        raise typer.Exit
    live = is_live(wanted=not no_live)
    subject = ", ".join(f"{kind.lower()}/{name}" for kind, name in plan.targets)
    with (
        Progressing(quiet=quiet, live=live, subject=subject, qps=plan.load.qps) as progress,
        embedded.cluster(plan, progress.say) as plan,
    ):
        finished = execute(plan, progress, workload.confirm)
    if finished.interrupted:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # an impatient second one must not cost the report of the first
    analysis, unwritten = tell(finished.document, finished.folder, output, renditions)
    failure = finished.failure or unwritten
    if failure is not None:
        say(str(failure))
    if finished.interrupted:
        raise typer.Exit(INTERRUPTED)
    raise typer.Exit(failure.exit_code if failure else analysis.exit_code)


def _plan(
    workload: Workload,
    replacing: Replacing,
    requests: Requests,
    rate: Rate,
    course: Course,
    command: list[str] | None,
    out: str,
) -> RunPlan:
    """What was asked for; raises `UsageError` for what cannot be."""
    from rollcheck.run import RunPlan

    targets = workload.targets()
    asked = replacing.request(command, yes=workload.yes)
    rate.check_cap(workload.yes)
    load = requests.plan(rate)
    return RunPlan(
        workloads=targets,
        request=asked,
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
        options=course.recorded(load) | replacing.recorded(),
        journals=journals_folder(),
        repeat=replacing.repeat,
        abort_on=replacing.abort_share(),
        keep=replacing.undo_on_failure,
    )


def _foretell(plan: RunPlan, embedded: Embedded, *, quiet: bool) -> None:
    """Print what the action would do."""
    from rollcheck.cli.progress import Progressing
    from rollcheck.run import foretell

    with Progressing(quiet=quiet) as progress, embedded.cluster(plan, progress.say) as known:
        told = foretell(known, progress, lambda context, namespace: None)
    print("\n".join([*told, "Nothing was changed (--dry-run)."]))


def journals_folder() -> Path:
    """Where this user's runs write what they have to put back."""
    state = os.environ.get("XDG_STATE_HOME", "")
    base = Path(state) if state.startswith("/") else Path(os.path.expanduser("~/.local/state"))  # noqa: PTH111
    return base / "rollcheck"


def _kind_and_name(text: str) -> tuple[str, str]:
    kind, slash, name = text.partition("/")
    if not slash:
        return "Deployment", text
    if kind.lower() not in KINDS:
        raise UsageError(f"--deploy: {kind!r} is no kind of workload; write deployment/, statefulset/ or daemonset/")
    return KINDS[kind.lower()], name


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
