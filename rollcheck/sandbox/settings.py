"""What a sandbox is to be like: settled by who starts it, and handed to its process as one line of JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rollcheck.errors import UsageError
from rollcheck.sandbox.network.propagation import Lag

Json = dict[str, Any]
FOLDER = ".rollcheck-sandbox"
NODES_MOST = 50
INGRESSES = ("own", "nginx", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One sandbox.

    Attributes:
        folder: where it keeps everything; made, and removed at its end with all that is in it.
        owned: whether it ends with whoever started it (its standard input ends then).
        nodes: how many.
        lag: how late the nodes' proxies follow changes of endpoints.
        client_node: the node on which clients of cluster IPs are, from 1 on.
        objects: what is created at its start, in order; `namespace` is where those go that name none.
        wait_s: how long to wait for workloads among them before it says that it is ready, and which are not.
        maps: "image=command", programs for images that the catalog does not have.
        workdir: where mapped programs run.
        shared: whether everything shares 127.0.0.1, as where no other loopback address answers.
        low_ports: whether ports below 1024 may be listened on; found out when None.
        ingress: "own", "nginx" (the machine's, when installed) or "none".
        seed: of everything that is left to chance, None for another each time.
    """

    folder: Path = Path(FOLDER)
    owned: bool = True
    nodes: int = 3
    lag: Lag = field(default_factory=Lag)
    client_node: int = 1
    objects: tuple[Json, ...] = ()
    namespace: str = "default"
    wait_s: float = 60.0
    maps: tuple[str, ...] = ()
    workdir: Path = Path()
    shared: bool = False
    low_ports: bool | None = None
    ingress: str = "own"
    seed: int | None = None

    def check(self) -> None:
        """Raise `UsageError` for what cannot be."""
        if not 1 <= self.nodes <= NODES_MOST:
            raise UsageError(f"--nodes {self.nodes}: a sandbox has 1 to {NODES_MOST} nodes")
        if not 1 <= self.client_node <= self.nodes:
            raise UsageError(f"--client-node {self.client_node}: there are the nodes 1 to {self.nodes}")
        if self.ingress not in INGRESSES:
            raise UsageError(f"--ingress {self.ingress!r}: choose {', '.join(INGRESSES)}")

    def line(self) -> bytes:
        """As JSON, in one line."""
        plain = asdict(self) | {"folder": str(self.folder), "workdir": str(self.workdir)}
        return json.dumps(plain).encode() + b"\n"


def read_line(line: bytes) -> Settings:
    """What `Settings.line` wrote."""
    raw = json.loads(line)
    return Settings(
        **raw
        | {
            "folder": Path(raw["folder"]),
            "workdir": Path(raw["workdir"]),
            "lag": Lag(**raw["lag"]),
            "objects": tuple(raw["objects"]),
            "maps": tuple(raw["maps"]),
        }
    )
