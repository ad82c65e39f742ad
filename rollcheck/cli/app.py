"""The commands and their options; what they do is imported when it is done, so that --help stays quick."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rollcheck import __version__
from rollcheck.cli.durations import parse_duration
from rollcheck.errors import UsageError

if TYPE_CHECKING:
    from rollcheck.analyze.model import Analysis
    from rollcheck.load.plan import LoadPlan

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Proves that a Kubernetes workload can be replaced without any client noticing.",
)

RUN_EPILOG = """Examples:

  rollcheck run --deploy web                                  restart it under load

  rollcheck run --deploy web --qps 50 --expect-body Welcome   a 200 with another body is a failure

  rollcheck run --deploy web -- helm upgrade web ./chart      your own deploy as the trigger

Exit codes: 0 graceful, 1 not graceful, 2 usage, 3 inconclusive, 4 cluster or API failure, 130 interrupted.
"""
SYSTEM_NAMESPACES = frozenset({"kube-system", "kube-public", "kube-node-lease"})
CONNECTIONS = 16


def _version(wanted: bool) -> None:
    if wanted:
        print(f"rollcheck {__version__}")
        raise typer.Exit


@app.callback()
def top(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Proves that a Kubernetes workload can be replaced without any client noticing."""


@app.command(epilog=RUN_EPILOG)
def run(
    command: Annotated[list[str] | None, typer.Argument(metavar="-- COMMAND...", help="Your own deploy.")] = None,
    deploy: Annotated[str, typer.Option("--deploy", help="The Deployment to replace.")] = "",
    namespace: Annotated[str, typer.Option("-n", "--namespace", help="Its namespace; the context's by default.")] = "",
    context: Annotated[str, typer.Option("--context", help="The kubeconfig context.")] = "",
    kubeconfig: Annotated[str, typer.Option("--kubeconfig", help="The kubeconfig file.")] = "",
    url: Annotated[str, typer.Option("--url", help="What to ask; found by itself when not given.")] = "",
    out: Annotated[str, typer.Option("--out", help="Folder of the report [reports/NAME-TIMESTAMP].")] = "",
    output: Annotated[str, typer.Option("-o", "--output", help="text or json.")] = "text",
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask before touching what looks like production.")
    ] = False,
    qps: Annotated[float, typer.Option("--qps", help="Requests per second, over all lanes.")] = 200,
    connections: Annotated[
        int, typer.Option("--connections", "-c", help="Kept connections (fewer at low rates).")
    ] = CONNECTIONS,
    fresh_share: Annotated[
        float, typer.Option("--fresh-share", help="Share on a connection of its own, 0 to 1.")
    ] = 0.5,
    timeout: Annotated[str, typer.Option("--timeout", help="Of one request.")] = "3s",
    method: Annotated[str, typer.Option("--method", "-X", help="HTTP method.")] = "GET",
    header: Annotated[list[str] | None, typer.Option("--header", "-H", help="'Name: value', again for more.")] = None,
    body: Annotated[str, typer.Option("--body", help="Request body, or @FILE.")] = "",
    expect_status: Annotated[str, typer.Option("--expect-status", help="What is good: 200,204 or 2xx.")] = "",
    expect_body: Annotated[str, typer.Option("--expect-body", help="Text or /regex/ that a good body holds.")] = "",
    pod_header: Annotated[
        str, typer.Option("--pod-header", help="Response header that names the pod; found by itself.")
    ] = "",
    insecure: Annotated[bool, typer.Option("--insecure", "-k", help="Do not verify the target's certificate.")] = False,
    cacert: Annotated[str, typer.Option("--cacert", help="CA file that vouches for the target.")] = "",
    baseline: Annotated[str, typer.Option("--baseline", help="Load before the trigger.")] = "10s",
    tail: Annotated[str, typer.Option("--tail", help="Load after the last old pod is gone.")] = "10s",
    rollout_timeout: Annotated[str, typer.Option("--rollout-timeout", help="For every old pod to be gone.")] = "5m",
    good_answers: Annotated[int, typer.Option("--good-answers", min=1, help="Wanted in a row before the load.")] = 10,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
) -> None:
    """Put load on a Deployment, replace its pods, and say which requests were lost, and why."""
    from rollcheck.cli.progress import Progressing
    from rollcheck.load.plan import LoadPlan, parse_expectation, parse_header, parse_target
    from rollcheck.run import RunPlan, execute, lanes_of

    _check_output(output)
    if not deploy:
        raise UsageError("say which Deployment to replace, with --deploy NAME (its list: kubectl get deployments)")
    if not 0 <= fresh_share <= 1:
        raise UsageError(f"--fresh-share: {fresh_share:g} is no share; write a number from 0 to 1")
    load = LoadPlan(
        target=parse_target("http://found-by-preflight.invalid/"),
        method=method.upper(),
        headers=tuple(parse_header(text) for text in header or ()),
        body=_body(body),
        qps=qps,
        lanes=lanes_of(qps, connections, fresh_share),
        timeout_s=parse_duration(timeout, "--timeout"),
        expectation=parse_expectation(expect_status, expect_body),
        pod_header=pod_header,
        verify_tls=not insecure,
        ca_file=cacert,
    )
    plan = RunPlan(
        deploy=deploy,
        load=load,
        kubeconfig=kubeconfig,
        context=context,
        namespace=namespace,
        url=url,
        command=tuple(command or ()),
        baseline_s=parse_duration(baseline, "--baseline"),
        tail_s=parse_duration(tail, "--tail"),
        rollout_timeout_s=parse_duration(rollout_timeout, "--rollout-timeout"),
        row=good_answers,
        out=_out(out),
        options=_recorded(load, baseline, tail, rollout_timeout, good_answers),
    )
    progress = Progressing(quiet=quiet)
    finished = execute(plan, progress, lambda ctx, ns: _confirm(ctx, ns, deploy, yes))
    progress.end()
    analysis = _write_and_print(finished.document, finished.folder, output)
    if finished.failure is not None:
        print(f"rollcheck: {finished.failure}", file=sys.stderr)
        raise typer.Exit(finished.failure.exit_code)
    raise typer.Exit(130 if finished.interrupted else analysis.exit_code)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What `rollcheck run` wrote.")],
    output: Annotated[str, typer.Option("-o", "--output", help="text or json.")] = "text",
) -> None:
    """Analyse a recorded run again and render it again; needs no cluster."""
    from rollcheck.record import read_document

    _check_output(output)
    document = read_document(folder)
    analysis = _write_and_print(document, folder if folder.is_dir() else folder.parent, output)
    raise typer.Exit(analysis.exit_code)


@app.command()
def schema() -> None:
    """Print the JSON Schema of result.json."""
    from rollcheck.render.schema import result_schema

    print(json.dumps(result_schema(), indent=2))


def _write_and_print(document: object, folder: Path, output: str) -> Analysis:
    from rollcheck.facts.document import Document
    from rollcheck.render.result import render_result
    from rollcheck.render.terminal import render_terminal
    from rollcheck.report import report_paths, write_report

    assert isinstance(document, Document)
    analysis = write_report(document, folder)
    if output == "json":
        sys.stdout.write(render_result(analysis).decode())
    else:
        terminal = sys.stdout.isatty()
        width = min(os.get_terminal_size().columns, 110) if terminal else 80
        colour = terminal and "NO_COLOR" not in os.environ
        print(render_terminal(analysis, width=width, colour=colour, paths=report_paths(analysis, folder)), end="")
    sys.stdout.flush()
    return analysis


def _check_output(output: str) -> None:
    if output not in ("text", "json"):
        raise UsageError(f"-o {output!r}: choose text or json")


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


def _recorded(load: LoadPlan, baseline: str, tail: str, rollout_timeout: str, row: int) -> dict[str, str]:
    """Options as the document keeps them; headers by name only, since their values may be secrets."""
    return {
        "baseline": baseline,
        "tail": tail,
        "rollout-timeout": rollout_timeout,
        "good-answers": str(row),
        "headers": ", ".join(name for name, _ in load.headers),
        "body-bytes": str(len(load.body)),
    }


def _confirm(context: str, namespace: str, deploy: str, yes: bool) -> None:
    """Ask before touching what looks like production or belongs to the cluster itself.

    Raises:
        UsageError: the answer was no, or nobody is there to answer.
    """
    named = f"{context}/{namespace}".lower()
    risky = namespace in SYSTEM_NAMESPACES or "prod" in named
    if yes or not risky:
        return
    question = f"replace the pods of deployment/{deploy} in namespace {namespace!r} of context {context!r}?"
    if not sys.stdin.isatty():
        raise UsageError(f"{question} It looks like production or a system namespace: say so with --yes")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError("nothing was changed")
