"""`rollcheck sandbox`: an embedded cluster that stays until it is ended, for rollcheck, kubectl and curl."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rollcheck.cli.ending import ending, say
from rollcheck.cli.options import Output, check_output
from rollcheck.cli.sandboxoptions import (
    ClientNode,
    Ingress,
    Manifests,
    Maps,
    Namespace,
    Nodes,
    Propagation,
    Seed,
    SharedAddresses,
    many_addresses,
    parse_lag,
)
from rollcheck.errors import ClusterError, UsageError

if TYPE_CHECKING:
    from rollcheck.kube.api import Api
    from rollcheck.sandbox.state import State

Json = dict[str, Any]
FOLDER = ".rollcheck-sandbox"
END_S = 40.0
Dir = Annotated[str, typer.Option("--dir", metavar="DIR", help="Its folder.")]

sandbox = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="A cluster of rollcheck's own on loopback: pods are processes here. No evidence about a real cluster.",
)


def up(
    manifest: Manifests = None,
    dir: Dir = FOLDER,  # noqa: A002  # the option is called so
    namespace: Namespace = "default",
    nodes: Nodes = 3,
    propagation: Propagation = "",
    map: Maps = None,  # noqa: A002
    client_node: ClientNode = 1,
    ingress: Ingress = "own",
    shared_addresses: SharedAddresses = False,
    seed: Seed = None,
    wait: Annotated[str, typer.Option("--wait", metavar="DURATION", help="For what is deployed to be up.")] = "60s",
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay, and end it with Ctrl-C.")] = False,
) -> None:
    """Start a sandbox, deploy manifests in it, and leave it running."""
    from rollcheck.cli.durations import parse_duration
    from rollcheck.sandbox import state
    from rollcheck.sandbox.child import detached, owned
    from rollcheck.sandbox.manifests import load
    from rollcheck.sandbox.settings import Settings

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(dir).absolute()
    settings = Settings(
        folder=folder,
        owned=foreground,
        nodes=nodes,
        lag=parse_lag(propagation),
        client_node=client_node,
        objects=tuple(load(manifest or [])),
        namespace=namespace,
        wait_s=parse_duration(wait, "--wait"),
        maps=tuple(map or ()),
        workdir=Path.cwd(),
        shared=shared_addresses or not many_addresses(),
        ingress=ingress,
        seed=seed,
    )
    settings.check()
    state.clear(folder)
    if not foreground:
        box = detached(settings)
        _welcome(dir, box.state, box.warnings)
        return
    with owned(settings) as box:
        _welcome(dir, box.state, box.warnings, foreground=True)
        signal.pause()


def down(dir: Dir = FOLDER) -> None:  # noqa: A002
    """End the sandbox: its processes are killed, its folder is removed."""
    from rollcheck.sandbox import state

    folder = Path(dir).absolute()
    if state.find(folder) is None:
        state.clear(folder)
        print(f"no sandbox runs in {dir}")
        return
    if not state.end(folder, END_S):
        raise ClusterError(f"the sandbox in {dir} did not end within {END_S:g} s; run this again")
    print(f"the sandbox in {dir} is gone")


def status(dir: Dir = FOLDER, output: Output = "text") -> None:  # noqa: A002
    """Say what runs in the sandbox, and where it answers."""
    import trio

    check_output(output)
    found = _found(dir)
    workloads = trio.run(_workloads, Path(dir).absolute())
    if output == "json":
        whole = {"server": found.server, "version": found.version, "started": found.started, "nodes": found.nodes}
        print(json.dumps({**whole, "pid": found.pid, "workloads": workloads}, indent=2))
        return
    print(f"the sandbox in {dir} runs since {found.started}: {found.server}, {found.version}, {len(found.nodes)} nodes")
    for each in workloads:
        urls = "  ".join(each["urls"])
        print(f"  {each['name']:<40} {each['available']} of {each['replicas']} pods available  {urls}".rstrip())


def kubectl_env(dir: Dir = FOLDER) -> None:  # noqa: A002
    """Print the line that lets kubectl and rollcheck use the sandbox: eval "$(rollcheck sandbox kubectl-env)"."""
    _found(dir)
    print(f"export KUBECONFIG={shlex.quote(str(Path(dir).absolute() / 'kubeconfig'))}")


def _found(dir: str) -> State:  # noqa: A002
    from rollcheck.sandbox import state

    found = state.find(Path(dir).absolute())
    if found is None:
        raise UsageError(f"no sandbox runs in {dir}; start one with `rollcheck sandbox up`")
    return found


def _welcome(dir: str, found: State, warnings: tuple[str, ...], *, foreground: bool = False) -> None:  # noqa: A002
    where = "" if dir == FOLDER else f" --dir {shlex.quote(dir)}"
    for warning in warnings:
        say(warning)
    print(f"The sandbox is up: {len(found.nodes)} nodes, {found.version}, {found.server}")
    print(f'  use it:  eval "$(rollcheck sandbox kubectl-env{where})"')
    print("  end it:  Ctrl-C" if foreground else f"  end it:  rollcheck sandbox down{where}")
    sys.stdout.flush()


async def _workloads(folder: Path) -> list[Json]:
    from rollcheck.kube.access import load_access
    from rollcheck.kube.api import Api

    async with Api(load_access(kubeconfig=str(folder / "kubeconfig"))) as api:
        services = (await api.list_all("/api/v1/services")).items
        nodes = (await api.list_all("/api/v1/nodes")).items
        address = nodes[0]["status"]["addresses"][0]["address"] if nodes else ""
        return [each for kind in ("deployments", "statefulsets") for each in await _of(api, kind, services, address)]


async def _of(api: Api, kind: str, services: list[Json], node: str) -> list[Json]:
    found = (await api.list_all(f"/apis/apps/v1/{kind}")).items
    return [
        {
            "name": f"{kind.removesuffix('s')}/{raw['metadata']['name']} -n {raw['metadata']['namespace']}",
            "replicas": (raw.get("spec") or {}).get("replicas", 1),
            "available": (raw.get("status") or {}).get("availableReplicas", 0),
            "urls": [url for service in services for url in _urls(service, raw, node)],
        }
        for raw in found
    ]


def _urls(service: Json, workload: Json, node: str) -> list[str]:
    """Where a Service that selects the workload's pods answers."""
    spec = service.get("spec") or {}
    selector = spec.get("selector") or {}
    labels = workload["spec"]["template"]["metadata"].get("labels") or {}
    alike = selector and all(labels.get(key) == value for key, value in selector.items())
    if not alike or service["metadata"]["namespace"] != workload["metadata"]["namespace"]:
        return []
    moved = json.loads((service["metadata"].get("annotations") or {}).get("sandbox.rollcheck/ports", "{}"))
    urls = []
    for port in spec.get("ports") or ():
        if port.get("nodePort"):
            urls.append(f"http://{node}:{port['nodePort']}/")
        elif spec.get("clusterIP") not in (None, "", "None"):
            urls.append(f"http://{spec['clusterIP']}:{moved.get(str(port['port']), port['port'])}/")
    return urls


for command in (up, down, status):
    sandbox.command()(ending()(command))
sandbox.command("kubectl-env")(ending()(kubectl_env))
