"""Which address a new connection goes to: a literal as it is, a name looked up again at most once a second.

Lookups run in a thread, beside the load; fresh connections meanwhile use what was known before. A failed lookup is a
result too: until the next one, connections fail as not resolved, as any other client's would.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from rollcheck.facts.clock import SECOND, Instant
from rollcheck.load.transport import Address, literal_address, lookup, read_cause

MAX_AGE_NS = SECOND


class Resolver:
    """The addresses of one host, taken in turn.

    Attributes:
        known: whether there is a result, good or bad.
        failure: the last lookup's own words when it failed, else empty.
    """

    def __init__(self, host: str, port: int, on_change: Callable[[], None]) -> None:
        literal = literal_address(host, port)
        self._host, self._port = host, port
        self._on_change = on_change
        self._addresses: tuple[Address, ...] = (literal,) if literal else ()
        self._turn = 0
        self._fresh_until: Instant = 2**63 if literal else 0
        self._wanted = trio.Event()
        self.literal = literal is not None
        self.known = self.literal
        self.failure = ""

    def pick(self, now: Instant) -> Address | None:
        """The next address in turn; None while there is none (`known` and `failure` say why)."""
        if now >= self._fresh_until:
            self._wanted.set()
        if not self._addresses:
            return None
        self._turn += 1
        return self._addresses[self._turn % len(self._addresses)]

    async def run(self, clock: Callable[[], Instant]) -> None:
        """Look the name up whenever `pick` found its result too old; for ever, or not at all for a literal."""
        # Of its own: the default limiter is shared with whatever else this process does in threads.
        limiter = trio.CapacityLimiter(1)
        while not self.literal:
            await self._wanted.wait()
            await self._look_up(limiter)
            self._fresh_until = clock() + MAX_AGE_NS
            self._wanted = trio.Event()

    async def _look_up(self, limiter: trio.CapacityLimiter) -> None:
        try:
            self._addresses = await trio.to_thread.run_sync(
                lookup, self._host, self._port, abandon_on_cancel=True, limiter=limiter
            )
            self.failure = ""
        except (OSError, UnicodeError) as e:
            self._addresses = ()
            self.failure = read_cause(e)[1] if isinstance(e, OSError) else str(e)
        self.known = True
        self._on_change()
