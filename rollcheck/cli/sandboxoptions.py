"""The options of a sandbox, shared by `run --sandbox` and `sandbox up`."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rollcheck.cli.durations import parse_duration
from rollcheck.errors import UsageError

if TYPE_CHECKING:
    from rollcheck.run import RunPlan
    from rollcheck.sandbox.network.propagation import Lag

USUAL_LAG = "0.2s..1.5s"
STDIN = "-"

Manifests = Annotated[
    list[str] | None,
    typer.Option("-f", "--manifest", metavar="FILE", help="What to deploy in the sandbox; a file, a folder, or -."),
]
Maps = Annotated[
    list[str] | None,
    typer.Option("--map", metavar="IMAGE=COMMAND", help="What the sandbox runs for an image; again for more."),
]
Propagation = Annotated[
    str,
    typer.Option("--propagation", metavar="FROM..TO", help=f"How late its proxies follow endpoints [{USUAL_LAG}]."),
]
Nodes = Annotated[int, typer.Option("--nodes", metavar="N", help="How many nodes.")]
Namespace = Annotated[str, typer.Option("-n", "--namespace", metavar="NAME", help="Where what names none is deployed.")]
ClientNode = Annotated[
    int, typer.Option("--client-node", metavar="N", help="The node whose proxy serves clients of cluster IPs.")
]
Ingress = Annotated[str, typer.Option("--ingress", metavar="WHICH", help="own, nginx (the machine's) or none.")]
SharedAddresses = Annotated[
    bool, typer.Option("--shared-addresses", help="Everything on 127.0.0.1, as where nothing else answers.")
]
Seed = Annotated[
    int | None, typer.Option("--seed", metavar="NUMBER", help="Of what is left to chance: the same each time.")
]


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """The sandbox of one run."""

    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="On a cluster of rollcheck's own, in processes here: no Kubernetes.")
    ] = False
    manifest: Manifests = None
    map: Maps = None
    propagation: Propagation = ""

    def check(self, *, kubeconfig: str, context: str) -> None:
        """Raise `UsageError` for options that contradict each other."""
        mine = {"-f": self.manifest, "--map": self.map, "--propagation": self.propagation}
        if not self.sandbox and (given := [name for name, value in mine.items() if value]):
            raise UsageError(f"{given[0]} is for a sandbox; say --sandbox too, or leave it out")
        if self.sandbox and (kubeconfig or context):
            raise UsageError("--sandbox brings a cluster of its own; leave out --kubeconfig and --context")

    @contextmanager
    def cluster(self, plan: RunPlan, say: Callable[[str], None]) -> Iterator[RunPlan]:
        """The plan as it is; with --sandbox, for a sandbox in which what it replaces has been deployed.

        Raises:
            UsageError: nothing to deploy, or it cannot be.
        """
        if not self.sandbox:
            yield plan
            return
        from rollcheck.sandbox.child import owned
        from rollcheck.sandbox.settings import Settings

        settings = Settings(
            folder=(plan.out or Path("reports")).absolute() / f".sandbox-{secrets.token_hex(3)}",
            objects=tuple(objects_of(self.manifest, [name for _, name in plan.workloads])),
            namespace=plan.namespace or "default",
            maps=tuple(self.map or ()),
            workdir=Path.cwd(),
            lag=parse_lag(self.propagation),
            shared=not many_addresses(),
        )
        say("starting a sandbox")
        with owned(settings) as box:
            for warning in box.warnings:
                say(warning)
            say(f"the sandbox runs: {len(box.state.nodes)} nodes, {box.state.server}")
            yield replace(plan, kubeconfig=box.kubeconfig)


def objects_of(manifests: list[str] | None, names: list[str]) -> list[dict[str, object]]:
    """What to deploy: the manifests, or the bundled example of that name.

    Raises:
        UsageError: there is neither.
    """
    from rollcheck.sandbox.manifests import bundled, load

    if manifests:
        return load(manifests)
    found = bundled(names[0]) if names else []
    if not found:
        raise UsageError(
            f"the sandbox has nothing to deploy as {names[0] if names else 'anything'!r}: give a manifest with -f FILE "
            "(without one there is: wordpress)"
        )
    return found


def parse_lag(text: str) -> Lag:
    """How late proxies follow: `0.2s..1.5s`, or one duration.

    Raises:
        UsageError: it is neither.
    """
    from rollcheck.sandbox.network.propagation import Lag

    least, dots, most = (text or USUAL_LAG).partition("..")
    low = parse_duration(least, "--propagation")
    high = parse_duration(most, "--propagation") if dots else low
    if high < low:
        raise UsageError(f"--propagation {text}: the first duration is the shorter one, for example {USUAL_LAG}")
    return Lag(low, high)


def many_addresses() -> bool:
    """Whether every address of 127.0.0.0/8 is this machine's, as on Linux."""
    import socket

    with socket.socket() as probe:
        try:
            probe.bind(("127.16.0.1", 0))
        except OSError:
            return False
    return not os.environ.get("ROLLCHECK_SHARED_ADDRESSES")
