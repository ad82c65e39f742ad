"""From EndpointSlices to where a connection may go: the rules of kube-proxy, on plain JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One pod's port behind a Service; `ready`, `serving` and `terminating` as the slice says, None read as kube-proxy
    reads it (ready and serving unless it says no).
    """

    host: str
    port: int
    node: str
    ready: bool = True
    serving: bool = True
    terminating: bool = False

    @property
    def address(self) -> tuple[str, int]:
        """Where to connect to."""
        return self.host, self.port


class ServiceEndpoints:
    """The endpoints of one Service as its slices were at one time; those of a port are read from them once."""

    def __init__(self, slices: Iterable[Json] = ()) -> None:
        self._slices = tuple(slices)
        self._of_port: dict[str, tuple[Endpoint, ...]] = {}

    def of(self, port_name: str) -> tuple[Endpoint, ...]:
        """Those of its port of that name."""
        if port_name not in self._of_port:
            self._of_port[port_name] = endpoints_of(self._slices, port_name)
        return self._of_port[port_name]


def endpoints_of(slices: Iterable[Json], port_name: str) -> tuple[Endpoint, ...]:
    """Every endpoint that the slices of one Service have for its port of that name, each address and port once."""
    found: dict[tuple[str, int], Endpoint] = {}
    for each in slices:
        ports = [p.get("port") for p in each.get("ports") or () if (p.get("name") or "") == port_name]
        for raw in each.get("endpoints") or ():
            for endpoint in (e for port in ports if port for e in _endpoints(raw, port)):
                found.setdefault(endpoint.address, endpoint)
    return tuple(found.values())


def chosen(endpoints: Iterable[Endpoint], local_to: str = "") -> tuple[Endpoint, ...]:
    """Those that a new connection may go to: the ready ones, and where there is none, those that still serve while
    they end (KEP-1669).

    Args:
        endpoints: all of a Service's port.
        local_to: the node whose endpoints alone count (policy Local), empty for all.
    """
    eligible = [e for e in endpoints if not local_to or e.node == local_to]
    ready = tuple(e for e in eligible if e.ready)
    return ready or tuple(e for e in eligible if e.serving and e.terminating)


def _endpoints(raw: Json, port: int) -> list[Endpoint]:
    conditions = raw.get("conditions") or {}
    ready = conditions.get("ready") is not False
    serving = conditions.get("serving")
    return [
        Endpoint(
            host=str(host),
            port=int(port),
            node=str(raw.get("nodeName") or ""),
            ready=ready,
            serving=ready if serving is None else bool(serving),
            terminating=bool(conditions.get("terminating")),
        )
        for host in raw.get("addresses") or ()
    ]
