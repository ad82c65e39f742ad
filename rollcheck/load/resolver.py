"""Which address a new connection goes to: a literal as it is, a name by one of three policies.

- round-robin: looked up each second, and the turn survives it: every address of a headless Service gets its share to
  within one connection. New addresses are taken up at the end of the turn, vanished ones are dropped at once.
- reresolve: looked up each second, and what the answer names first is taken, as the simplest clients do.
- cached: looked up once; the addresses that were named then are taken in turn for the whole run.

No connection goes to what was true more than a second before, unless the resolver itself takes longer than that.
Lookups run in a thread, beside the load; connections opened meanwhile use what was known before. A failed lookup is a
result too: until the next one, connections fail as not resolved, as any other client's would.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Self

import trio

from rollcheck.errors import UsageError
from rollcheck.facts.clock import SECOND, Instant
from rollcheck.load.plan import LoadPlan
from rollcheck.load.transport import Address, literal_address, lookup, read_cause, unix_address

MAX_AGE_NS = SECOND

POLICIES = ("reresolve", "cached", "round-robin")


class Ring:
    """Addresses taken in turn; `turn` of them are passed over at first."""

    def __init__(self, addresses: Sequence[Address] = (), *, turn: int = 0) -> None:
        self._turn = turn
        self._next: deque[Address] = deque()
        self.update(addresses)

    def update(self, addresses: Sequence[Address]) -> None:
        """From now on there are these; those that were there before keep their turn."""
        if not self._next:
            self._next = deque(addresses)
            self._next.rotate(-(self._turn % len(addresses)) if addresses else 0)
            return
        held, stay = set(self._next), set(addresses)
        kept = [address for address in self._next if address in stay]
        self._next = deque(kept + [address for address in addresses if address not in held])

    def take(self) -> Address | None:
        """The next in turn; None when there is none."""
        if len(self._next) < 2:
            return self._next[0] if self._next else None
        self._turn += 1
        self._next.rotate(-1)
        return self._next[-1]


class Resolver:
    """The addresses of one target.

    Args:
        host: an IP, or a name to look up.
        port: of the addresses.
        on_change: called after a lookup that says something else than the one before.
        policy: one of `POLICIES`.
        family: as in `transport.lookup`.
        turn: addresses to pass over at first; with the number of the worker here, workers of a few connections each do
            not all begin at the same one.
        unix_socket: the path of a Unix socket to connect to instead; nothing is looked up then.

    Attributes:
        literal: whether there is nothing to look up.
        known: whether there is a result, good or bad.
        failure: the last lookup's own words when it failed, else empty.

    Raises:
        UsageError: there is no such policy, or no such Unix socket can be.
    """

    def __init__(
        self,
        host: str,
        port: int,
        on_change: Callable[[], None],
        *,
        policy: str = "round-robin",
        family: str = "ip4",
        turn: int = 0,
        unix_socket: str = "",
    ) -> None:
        if policy not in POLICIES:
            raise UsageError(f"there is no DNS policy {policy!r}; there are {', '.join(POLICIES)}")
        fixed = unix_address(unix_socket) if unix_socket else literal_address(host, port)
        self._question = (host, port) if family == "ip4" else (host, port, family)
        self._on_change = on_change
        self._once = policy == "cached"
        self._taken = 1 if policy == "reresolve" else None
        self._answer: tuple[Address, ...] = (fixed,) if fixed else ()
        self._ring = Ring(self._answer, turn=turn)
        self.literal = self.known = fixed is not None
        self.failure = ""

    @classmethod
    def of(cls, plan: LoadPlan, on_change: Callable[[], None], *, worker: int) -> Self:
        """The one that a plan asks for, in one of its workers."""
        target = plan.target
        return cls(
            target.connect_host,
            target.port,
            on_change,
            policy=plan.dns,
            family=plan.resolve_ip_type,
            turn=worker,
            unix_socket=target.unix_socket,
        )

    def pick(self, _now: Instant = 0) -> Address | None:
        """The next address in turn; None while there is none (`known` and `failure` say why)."""
        return self._ring.take()

    async def run(self, clock: Callable[[], Instant]) -> None:
        """Look the name up at once and then each `MAX_AGE_NS`, for ever; not at all where there is nothing to look up.

        A failure is never held on to: also `cached` asks again until it has an answer.
        """
        # Of its own: the default limiter is shared with whatever else this process does in threads.
        limiter = trio.CapacityLimiter(1)
        while not self.literal:
            began = clock()
            await self._look_up(limiter)
            if self._once and not self.failure:
                return
            await trio.sleep(max(0, began + MAX_AGE_NS - clock()) / SECOND)

    async def _look_up(self, limiter: trio.CapacityLimiter) -> None:
        answer: tuple[Address, ...] = ()
        failure = ""
        try:
            answer = await trio.to_thread.run_sync(lookup, *self._question, abandon_on_cancel=True, limiter=limiter)
        except (OSError, UnicodeError) as e:
            failure = read_cause(e)[1] if isinstance(e, OSError) else str(e)
        if self.known and (answer, failure) == (self._answer, self.failure):
            return
        self._answer, self.failure, self.known = answer, failure, True
        self._ring.update(answer[: self._taken])
        self._on_change()
