"""`rollcheck demo`: the product doing its job in a minute, on a sandbox: a rollout that loses requests, and its fix."""

from __future__ import annotations

import os
import secrets
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rollcheck.cli.ending import INTERRUPTED
from rollcheck.cli.sandboxoptions import Propagation, Seed, many_addresses, parse_lag
from rollcheck.errors import ClusterError, UsageError

if TYPE_CHECKING:
    from rollcheck.analyze.model import Analysis

Json = dict[str, Any]
NAME = "wordpress"
ROLLED_WITHIN_S = 60.0
LOOK_S = 0.1
KNOWN_S = 0.5
WIDEST, UNSEEN = 110, 80
GRACEFUL = 0


def demo(
    out: Annotated[str, typer.Option("--out", metavar="DIR", help="Folder of both reports [reports/demo-…].")] = "",
    qps: Annotated[float, typer.Option("--qps", metavar="RATE", help="Requests per second.")] = 100,
    propagation: Propagation = "",
    seed: Seed = None,
) -> None:
    """Show it all on a sandbox: roll WordPress under load, apply the fix that is found, and roll it again.

    Needs no cluster, no root and no network, and leaves nothing but its two reports.
    """
    from rollcheck.sandbox.child import owned
    from rollcheck.sandbox.manifests import bundled
    from rollcheck.sandbox.settings import Settings

    folder = _folder(out)
    settings = Settings(
        folder=folder.absolute() / ".sandbox",
        objects=tuple(bundled(NAME)),
        lag=parse_lag(propagation),
        shared=not many_addresses(),
        seed=seed,
    )
    _title("A sandbox of three nodes, and WordPress in it as most tutorials deploy it: no preStop hook")
    with owned(settings) as box:
        for warning in box.warnings:
            raise ClusterError(warning)
        _title("A restart of it under load, as it is")
        before = _run(box.kubeconfig, folder / "before", qps)
        patches = _fixes(before)
        if patches:
            _title("The fix that was found, applied: " + ", ".join(f"{folder / 'before' / name}" for name in patches))
            _apply(box.kubeconfig, patches)
            time.sleep(settings.lag.most_s + KNOWN_S)  # no proxy may still send clients to the pods before the fix
            _title("The same restart again")
            after = _run(box.kubeconfig, folder / "after", qps)
    if not patches:
        raise ClusterError(f"nothing was lost this time, so there is nothing to fix; see {folder / 'before'}")
    _title("Side by side")
    _compare(before, after)
    print(f"\nBoth reports: {folder / 'before'} and {folder / 'after'} (summary.txt, timeline.png, result.json, …)")
    print("It was a sandbox, no evidence about a real cluster. On yours: rollcheck run --deploy NAME")
    raise typer.Exit(after.exit_code)


def _folder(out: str) -> Path:
    folder = Path(out) if out else Path("reports") / f"demo-{time.strftime('%Y%m%dT%H%M%S')}-{secrets.token_hex(2)}"
    if any((folder / side / "facts.jsonl").exists() for side in ("before", "after")):
        raise UsageError(f"--out: {folder} already holds a demo; choose another folder")
    return folder


def _title(text: str) -> None:
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    print(f"\n\x1b[1m== {text}\x1b[0m\n" if colour else f"\n== {text}\n", flush=True)


def _run(kubeconfig: str, folder: Path, qps: float) -> Analysis:
    """One `rollcheck run`, as a person would type it; its analysis."""
    from rollcheck.analyze.analysis import analyse
    from rollcheck.cli.run import Course, Rate, Replacing, Requests, Workload, run
    from rollcheck.cli.sandboxoptions import Embedded
    from rollcheck.record import read_document

    with suppress(typer.Exit):
        run(
            Workload(deploy=[NAME], kubeconfig=kubeconfig, yes=True),
            Replacing(),
            Requests(),
            Rate(qps=qps),
            Course(baseline="3s", tail="3s"),
            Embedded(),
            out=str(folder),
        )
    document = read_document(folder)
    if document.seal is None or document.seal.interrupted:
        raise typer.Exit(INTERRUPTED)
    return analyse(document)


def _fixes(analysis: Analysis) -> dict[str, str]:
    from rollcheck.render.terminal import fix_names

    return fix_names(analysis)


def _apply(kubeconfig: str, patches: dict[str, str]) -> None:
    """What `kubectl patch deployment wordpress --patch-file …` and `kubectl rollout status` do."""
    import trio

    for text in patches.values():
        print("\n".join(f"  {line}" for line in text.rstrip("\n").split("\n")), flush=True)
    trio.run(_patch_and_wait, kubeconfig, list(patches.values()))


async def _patch_and_wait(kubeconfig: str, patches: list[str]) -> None:
    import trio
    from ruamel.yaml import YAML

    from rollcheck.kube.access import load_access
    from rollcheck.kube.api import Api

    path = f"/apis/apps/v1/namespaces/default/deployments/{NAME}"
    async with Api(load_access(kubeconfig=kubeconfig)) as api:
        for text in patches:
            await api.patch(path, YAML(typ="safe", pure=True).load(text))
        with trio.move_on_after(ROLLED_WITHIN_S):
            while not (_rolled_out(await api.get(path)) and not await _ending(api)):  # noqa: ASYNC110  # it is asked
                await trio.sleep(LOOK_S)
            return
    raise ClusterError(f"the fix was not rolled out within {ROLLED_WITHIN_S:g} s")


def _rolled_out(deployment: Json) -> bool:
    """As `kubectl rollout status` decides it."""
    status, wanted = deployment.get("status") or {}, deployment["spec"].get("replicas", 1)
    counts = {status.get(name) for name in ("replicas", "updatedReplicas", "availableReplicas")}
    return status.get("observedGeneration", 0) >= deployment["metadata"]["generation"] and counts == {wanted}


async def _ending(api: Any) -> bool:
    """Whether an old pod is still there."""
    pods = (await api.list_all("/api/v1/namespaces/default/pods", {"labelSelector": "tier=frontend"})).items
    return any("deletionTimestamp" in pod["metadata"] for pod in pods)


def _compare(before: Analysis, after: Analysis) -> None:
    from rollcheck.render.beside import render_beside

    terminal = sys.stdout.isatty()
    width = min(os.get_terminal_size(sys.stdout.fileno()).columns, WIDEST) if terminal else UNSEEN
    colour = terminal and "NO_COLOR" not in os.environ
    sys.stdout.write(render_beside((("as it was", before), ("after the fix", after)), width=width, colour=colour))
