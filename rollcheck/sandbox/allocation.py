"""Which Service holds which address and node port (`pkg/registry/core/service/storage`)."""

from __future__ import annotations

from collections.abc import Callable

from rollcheck.sandbox.addresses import NODE_PORTS, Addresses, NoAddress, node_port
from rollcheck.sandbox.status import Cause
from rollcheck.sandbox.trees import Json
from rollcheck.sandbox.validation.causes import invalid
from rollcheck.sandbox.validation.network import WITH_ADDRESS

WITH_NODE_PORTS = ("NodePort", "LoadBalancer")


class Refused(Exception):
    """What was asked for is not free; carries the cause."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause.message)
        self.cause = cause


def wants_address(spec: Json) -> bool:
    """Whether a Service of that kind has an address at all, headless ones included."""
    return spec.get("type", "ClusterIP") in WITH_ADDRESS


def wants_node_ports(spec: Json) -> bool:
    """Whether its ports are to be had on the nodes."""
    if spec.get("type") == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is False:
        return False
    return spec.get("type") in WITH_NODE_PORTS


def wants_health_port(spec: Json) -> bool:
    """Whether a load balancer asks the nodes who has pods of it."""
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def normalize(spec: Json, old: Json | None) -> None:
    """Let clusterIP and clusterIPs say the same, whichever of them was written."""
    one, many = spec.get("clusterIP"), spec.get("clusterIPs")
    if old is not None and many == old.get("clusterIPs") and one != old.get("clusterIP"):
        many = None
    if one and not many:
        spec["clusterIPs"] = [one]
    elif many and not one and old is None:
        spec["clusterIP"] = many[0]
    for part in ("clusterIP", "clusterIPs"):
        if part in spec and not spec[part]:
            del spec[part]


def carry_over(spec: Json, old: Json) -> None:
    """Give a changed Service what it had and did not name, and take what its new type cannot have.

    Both as `patchAllocatedValues` and `dropTypeDependentFields` do it: what the client changed itself is left alone.
    """
    if wants_address(spec) and wants_address(old):
        if not spec.get("clusterIP") and old.get("clusterIP"):
            spec["clusterIP"] = old["clusterIP"]
        if not spec.get("clusterIPs") and spec.get("clusterIP") == old.get("clusterIP") and old.get("clusterIPs"):
            spec["clusterIPs"] = old["clusterIPs"]
    elif wants_address(old) and spec.get("clusterIP") == old.get("clusterIP"):
        for part in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"):
            spec.pop(part, None)
    _carry_ports(spec, old)
    if wants_health_port(spec) and wants_health_port(old):
        spec.setdefault("healthCheckNodePort", old.get("healthCheckNodePort"))
    elif not wants_health_port(spec):
        spec.pop("healthCheckNodePort", None)
    if spec.get("type") not in WITH_NODE_PORTS and spec.get("externalTrafficPolicy") == old.get(
        "externalTrafficPolicy"
    ):
        spec.pop("externalTrafficPolicy", None)
    if spec.get("type") != "LoadBalancer":
        spec.pop("allocateLoadBalancerNodePorts", None)


def _carry_ports(spec: Json, old: Json) -> None:
    before = {(port.get("protocol"), port.get("port")): port.get("nodePort") for port in old.get("ports") or ()}
    if wants_node_ports(spec) and wants_node_ports(old):
        named = {port.get("nodePort") for port in spec.get("ports") or ()}
        for port in spec.get("ports") or ():
            number = before.get((port.get("protocol"), port.get("port")))
            if not port.get("nodePort") and number and number not in named:
                port["nodePort"] = number
    elif wants_node_ports(old) and spec.get("type") not in WITH_NODE_PORTS:
        was = {number for number in before.values() if number}
        for port in spec.get("ports") or ():
            if port.get("nodePort") in was:
                del port["nodePort"]


class Allocator:
    """Keeps who holds what; a refusal leaves everything as it was."""

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses
        self._node_ports: set[int] = set()

    def allocate(self, spec: Json, old: Json | None, *, dry_run: bool) -> None:
        """Give `spec` the addresses and ports it wants and has not; raises Refused. A dry run takes nothing."""
        undo: list[Callable[[], None]] = []
        try:
            self._allocate(spec, old or {}, undo)
        except Refused:
            _unwind(undo)
            raise
        if dry_run:
            _unwind(undo)

    def _allocate(self, spec: Json, old: Json, undo: list[Callable[[], None]]) -> None:
        if (
            wants_address(spec)
            and spec.get("clusterIP") != "None"
            and spec.get("clusterIP") != old.get("clusterIP", "")
        ):
            self._allocate_address(spec, undo)
        if wants_node_ports(spec):
            held = {port.get("nodePort") for port in old.get("ports") or ()}
            for index, port in enumerate(spec.get("ports") or ()):
                if not port.get("nodePort"):
                    port["nodePort"] = self._any_port(undo)
                elif port["nodePort"] not in held:
                    self._that_port(f"spec.ports[{index}].nodePort", port["nodePort"], undo)
        if wants_health_port(spec) and not spec.get("healthCheckNodePort"):
            spec["healthCheckNodePort"] = self._any_port(undo)

    def _allocate_address(self, spec: Json, undo: list[Callable[[], None]]) -> None:
        wanted = spec.get("clusterIP", "")
        try:
            address = self._addresses.service(wanted)
        except NoAddress as e:
            raise Refused(invalid("spec.clusterIPs", [wanted] if wanted else None, str(e))) from e
        undo.append(lambda: self._addresses.release(address))
        spec["clusterIP"], spec["clusterIPs"] = address, [address]

    def _any_port(self, undo: list[Callable[[], None]]) -> int:
        try:
            number = node_port(self._node_ports)
        except NoAddress as e:
            raise Refused(invalid("spec.ports", None, str(e))) from e
        self._take(number, undo)
        return number

    def _that_port(self, path: str, number: int, undo: list[Callable[[], None]]) -> None:
        if number not in NODE_PORTS:
            what = (
                "provided port is not in the valid range. The range of valid ports is "
                f"{NODE_PORTS.start}-{NODE_PORTS.stop - 1}"
            )
            raise Refused(invalid(path, number, what))
        if number in self._node_ports:
            raise Refused(invalid(path, number, "provided port is already allocated"))
        self._take(number, undo)

    def _take(self, number: int, undo: list[Callable[[], None]]) -> None:
        self._node_ports.add(number)
        undo.append(lambda: self._node_ports.discard(number))

    def release(self, old: Json, new: Json | None) -> None:
        """Free what `old` held and `new`, if there is one, no longer holds."""
        kept = new or {}
        address = old.get("clusterIP")
        if address and address != "None" and address != kept.get("clusterIP"):
            self._addresses.release(address)
        self._node_ports -= _ports(old) - _ports(kept)


def _ports(spec: Json) -> set[int]:
    found = {port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")}
    if spec.get("healthCheckNodePort"):
        found.add(spec["healthCheckNodePort"])
    return found


def _unwind(undo: list[Callable[[], None]]) -> None:
    for step in reversed(undo):
        step()
