"""One address and port of a Service: it listens, picks an endpoint for each connection, and carries the bytes.

A kernel that translates addresses lets the pod itself refuse. We accept first, so a pod that is gone but still in the
table would show as an accepted connection that is then reset. Instead, while some endpoints of the table are dead, time
is cut into slices; for each an endpoint is drawn as it would be for a connection, and when it is a dead one the
listening socket stays closed for the slice: the share of connections that are refused is the share of the table that is
dead. With no endpoint at all it stays closed until there is one.
"""

from __future__ import annotations

import errno
import random
import socket
from collections.abc import Callable
from contextlib import suppress

import trio

from rollcheck.sandbox.network.endpoints import Endpoint
from rollcheck.sandbox.network.liveness import Address, Liveness
from rollcheck.sandbox.network.places import Place
from rollcheck.sandbox.network.sockets import listen, stay_silent, why_not
from rollcheck.sandbox.network.splice import reset, splice

SLICE_S = 0.005
"""Below the 5 ms between two requests at 200 a second, so that a slice rarely decides for more than one."""
UNUSED_SLICE_S = 0.05
"""Where nobody ever connected."""
RETRY_S = 1.0
"""How often a port that another program has is asked for again."""
FULL_S = 0.05
"""A pause when no more files may be opened."""


class Frontend:
    """The listening side of a `Place`; `run` it, and tell it its endpoints with `route`.

    Args:
        problem: told in one sentence why the port cannot be listened on, and "" when it can again.
    """

    def __init__(
        self, place: Place, liveness: Liveness, chance: random.Random, problem: Callable[[Place, str], None]
    ) -> None:
        self.place = place
        self.connections = 0
        self._liveness = liveness
        self._chance = chance
        self._problem = problem
        self._table: tuple[Endpoint, ...] = ()
        self._suspects: set[Address] = set()
        self._stale: frozenset[Address] = frozenset()
        self._silent = self._silenced = False
        self._sticky: dict[str, tuple[Endpoint, float]] = {}
        self._listener: socket.socket | None = None
        self._waiting = trio.CancelScope()
        self._troubled = ""

    def route(self, table: tuple[Endpoint, ...], stale: frozenset[Address], *, silent: bool = False) -> None:
        """From now on new connections go to the endpoints of `table`.

        Args:
            stale: those of them that are no endpoints any more, of which this node does not know yet. They may be
                dead, as those may that have just come: both are looked at before each slice.
            silent: whether an empty table means that nothing answers at all, instead of a refusal.
        """
        came = {e.address for e in table} - {e.address for e in self._table}
        self._suspects = {e.address for e in table if e.address in came or e.address in self._suspects} | stale
        self._table, self._stale, self._silent = table, stale, silent and not table
        self._waiting.cancel()

    async def run(self, nursery: trio.Nursery) -> None:
        """Listen until cancelled; connections live on in `nursery`."""
        try:
            while True:
                self._open_or_close(nursery)
                with trio.CancelScope(deadline=trio.current_time() + self._patience()) as self._waiting:
                    if self._listener is None or self._silent:
                        await trio.sleep_forever()
                    else:
                        await trio.lowlevel.wait_readable(self._listener)
                if not self._accept(nursery):
                    await trio.sleep(FULL_S)
        finally:
            self._close(nursery)

    def _patience(self) -> float:
        """How long the present state of the listening socket may stay as it is."""
        if self._troubled:
            return RETRY_S
        if not self._suspects:
            return float("inf")
        return SLICE_S if self.connections else UNUSED_SLICE_S

    def _open_or_close(self, nursery: trio.Nursery) -> None:
        wanted = self._silent or (bool(self._table) and not self._draws_a_dead_one())
        if not wanted:
            self._close(nursery)
        elif self._listener is None:
            try:
                self._listener = listen(self.place.address, self.place.port)
            except OSError as e:
                self._say(why_not(e, self.place.address, self.place.port))
                return
            self._say("")
        if self._listener is not None and self._silenced != self._silent:
            self._silenced = self._silent
            if not stay_silent(self._listener, self._silent):
                self._close(nursery)

    def _draws_a_dead_one(self) -> bool:
        dead = {address for address in self._suspects if self._liveness.dead(address)}
        self._suspects = dead | self._stale  # whom somebody listens at, and who is to stay, is above suspicion
        if not dead:
            return False
        kept = [e for e, until in self._sticky.values() if until > trio.current_time() and e in self._table]
        drawn = kept[-1] if kept else self._chance.choice(self._table)
        return drawn.address in dead

    def _say(self, trouble: str) -> None:
        if trouble != self._troubled:
            self._troubled = trouble
            self._problem(self.place, trouble)

    def _close(self, nursery: trio.Nursery) -> None:
        """Stop listening; whom the kernel has accepted already is served."""
        if self._listener is not None:
            if not self._silent:
                self._accept(nursery)
            self._listener.close()
            self._listener, self._silenced = None, False

    def _accept(self, nursery: trio.Nursery) -> bool:
        """Take every connection that waits; False when no more files may be opened."""
        while self._listener is not None:
            try:
                client, peer = self._listener.accept()
            except OSError as e:
                return e.errno not in (errno.EMFILE, errno.ENFILE)
            client.setblocking(False)
            self.connections += 1
            nursery.start_soon(self._carry, trio.socket.from_stdlib_socket(client), peer[0])
        return True

    async def _carry(self, client: trio.socket.SocketType, peer: str) -> None:
        """One connection from its first byte to its last."""
        endpoint = self._pick(peer)
        if endpoint is None:
            reset(client)
            return
        pod = trio.socket.socket()
        with client, pod:
            try:
                await pod.connect(endpoint.address)
            except OSError:
                self._found_dead(endpoint)
                reset(client)
                return
            for sock in (client, pod):
                with suppress(OSError):  # it may have been reset already
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await splice(client, pod)

    def _pick(self, peer: str) -> Endpoint | None:
        """Any endpoint that is not known to be dead, as iptables' statistic module picks: by chance."""
        now = trio.current_time()
        if peer in self._sticky:
            kept, until = self._sticky[peer]
            if until > now and kept in self._table:
                return kept
        if not self._table:
            return None
        alive = [e for e in self._table if not (e.address in self._suspects and self._liveness.dead(e.address))]
        picked = self._chance.choice(alive or list(self._table))
        if self.place.sticky_s:
            self._sticky[peer] = (picked, now + self.place.sticky_s)
        return picked

    def _found_dead(self, endpoint: Endpoint) -> None:
        self._liveness.refused(endpoint.address)
        if endpoint in self._table and endpoint.address not in self._suspects:
            self._suspects.add(endpoint.address)
            self._waiting.cancel()
