"""Which loopback addresses a sandbox has, and who of its inhabitants holds which.

On Linux all of 127.0.0.0/8 answers, so a sandbox takes a block 127.K.0.0/16 of its own and every pod, node and Service
an address of its own:

    127.K.0.1           API server          127.K.I.1 … 254       pods of node I
    127.K.0.(10+I)      node I              127.K.200.1 …         Services

Where only 127.0.0.1 answers (macOS), addresses are shared: everything is 127.0.0.1 and ports tell apart.
"""

from __future__ import annotations

import random
import socket
from ipaddress import IPv4Address, IPv4Network

from rollcheck.errors import UsageError

API_PORT = 6443
FIRST_BLOCK, LAST_BLOCK = 16, 250
NODES_AT_MOST = 199
PODS_AT_MOST = 254
SHARED = "127.0.0.1"
NODE_PORTS = range(30000, 32768)


class NoAddress(Exception):
    """All addresses of that sort are taken, or the one that was asked for is; says which."""


class Addresses:
    """One sandbox's addresses.

    Attributes:
        block: the second number of the addresses; 0 when they are shared.
        shared: whether everything is 127.0.0.1.
        listener: the API server's listening socket, which is the claim to the block; None when made without claiming.
        api_port: where that socket listens.
    """

    def __init__(
        self, block: int = FIRST_BLOCK, *, shared: bool = False, listener: socket.socket | None = None
    ) -> None:
        self.block = 0 if shared else block
        self.shared = shared
        self.listener = listener
        self.api_port = listener.getsockname()[1] if listener is not None else API_PORT
        self._pods: dict[int, set[str]] = {}
        self._last: dict[int, int] = {}
        self._services: set[str] = set()
        self._next_service = 0

    @classmethod
    def claim(cls, shared: bool = False) -> Addresses:
        """Take a block that no other sandbox of this machine has; close `listener` to give it back.

        The claim is the API server's listening socket itself, so it ends with the process, however that ends. A block
        is tried in a fixed order. Where something listens on port 6443 of every address (another Kubernetes), the next
        port is tried. Raises UsageError when nothing is free.
        """
        if shared:
            return cls(shared=True, listener=_listen(SHARED, 0))
        for port in range(API_PORT, API_PORT + 10):
            for block in range(FIRST_BLOCK, LAST_BLOCK + 1):
                listener = _listen(f"127.{block}.0.1", port)
                if listener is not None:
                    return cls(block, listener=listener)
        raise UsageError(
            "no block of loopback addresses is free for a sandbox: end another with `rollcheck sandbox down`, "
            "or share 127.0.0.1 with --shared-addresses"
        )

    @property
    def api(self) -> str:
        """The API server's address."""
        return SHARED if self.shared else f"127.{self.block}.0.1"

    @property
    def services_network(self) -> IPv4Network:
        """Where Services' addresses come from; of the last part of the block."""
        return IPv4Network(f"127.{self.block}.200.0/21" if not self.shared else "127.0.0.1/32")

    def node(self, index: int) -> str:
        """The address of node `index`, from 1 on."""
        if not 1 <= index <= NODES_AT_MOST:
            raise NoAddress(f"a sandbox has at most {NODES_AT_MOST} nodes")
        return SHARED if self.shared else f"127.{self.block}.0.{10 + index}"

    def pod(self, index: int) -> str:
        """Take an address for a pod of node `index`: the one that has been free for longest, roughly."""
        if self.shared:
            return SHARED
        taken = self._pods.setdefault(index, set())
        last = self._last.get(index, 0)
        for step in range(1, PODS_AT_MOST + 1):
            number = (last + step - 1) % PODS_AT_MOST + 1
            address = f"127.{self.block}.{index}.{number}"
            if address not in taken:
                taken.add(address)
                self._last[index] = number
                return address
        raise NoAddress(f"node {index} has no free address for another pod")

    def release(self, address: str) -> None:
        """Give a pod's or a Service's address back; one that is not held is ignored."""
        if self.shared:
            return
        self._services.discard(address)
        for taken in self._pods.values():
            taken.discard(address)

    def service(self, wanted: str = "") -> str:
        """Take an address for a Service, `wanted` or the next free one; raises NoAddress with the API's reason."""
        if self.shared:
            return SHARED
        if wanted:
            return self._wanted_service(wanted)
        network = self.services_network
        size = network.num_addresses - 2
        for _ in range(size):
            self._next_service = self._next_service % size + 1
            address = str(network[self._next_service])
            if address not in self._services:
                self._services.add(address)
                return address
        raise NoAddress("failed to allocate a serviceIP: range is full")

    def _wanted_service(self, wanted: str) -> str:
        network = self.services_network
        if IPv4Address(wanted) not in network:
            raise NoAddress(
                f"failed to allocate IP {wanted}: the provided IP ({wanted}) is not in the valid range. "
                f"The range of valid IPs is {network}"
            )
        if wanted in self._services:
            raise NoAddress(f"failed to allocate IP {wanted}: provided IP is already allocated")
        self._services.add(wanted)
        return wanted


def _listen(host: str, port: int) -> socket.socket | None:
    """A listening socket there, None when the place is taken or does not exist."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        # On Linux this ignores connections of the past (TIME_WAIT) and still refuses a place where somebody listens.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)
    except OSError:
        listener.close()
        return None
    return listener


def node_port(taken: set[int]) -> int:
    """A free node port by chance, as the API server picks them; raises NoAddress when all are taken."""
    free = [port for port in NODE_PORTS if port not in taken]
    if not free:
        raise NoAddress("failed to allocate a nodePort: range is full")
    return random.choice(free)
