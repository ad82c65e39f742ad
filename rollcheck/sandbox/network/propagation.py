"""How late a node knows: each change reaches each node after a lag of its own, never before the change ahead of it."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Lag:
    """Seconds between a change of a Service's endpoints and the instant at which a node's proxy follows it.

    kube-proxy collects changes for up to a second (minSyncPeriod) and then takes its time: 0.2 s to 1.5 s is usual.
    """

    least_s: float = 0.2
    most_s: float = 1.5

    def draw(self, chance: random.Random) -> float:
        """One lag, evenly spread."""
        return chance.uniform(self.least_s, self.most_s)


class Draws(Protocol):
    """What a lag is drawn from."""

    def draw(self, chance: random.Random, /) -> float:
        """One lag, in seconds."""


class LagOnceUp:
    """A lag that begins when the cluster is up: until then it has no clients, and its nodes know everything at once."""

    def __init__(self, lag: Lag) -> None:
        self._lag = lag
        self._is_up = False

    def begin(self) -> None:
        """The cluster is up."""
        self._is_up = True

    def draw(self, chance: random.Random, /) -> float:
        """One lag, in seconds."""
        return self._lag.draw(chance) if self._is_up else 0.0


class Lagging(Generic[T]):
    """What a node knows of something that changes elsewhere; times are seconds of whichever clock the caller has.

    Attributes:
        known: the state that it goes by now.
    """

    def __init__(self, known: T) -> None:
        self.known = known
        self._under_way: deque[tuple[float, T]] = deque()

    @property
    def newest(self) -> T:
        """The state that it will go by when everything has arrived."""
        return self._under_way[-1][1] if self._under_way else self.known

    @property
    def due(self) -> float:
        """When the next state arrives; infinite when none is under way."""
        return self._under_way[0][0] if self._under_way else float("inf")

    def send(self, state: T, at: float) -> None:
        """`state` is to arrive at `at`, or right after what was sent before it, if that is later."""
        last = self._under_way[-1][0] if self._under_way else at
        self._under_way.append((max(at, last), state))

    def arrive(self, now: float) -> bool:
        """Take over what is due; whether anything was."""
        before = len(self._under_way)
        while self._under_way and self._under_way[0][0] <= now:
            self.known = self._under_way.popleft()[1]
        return len(self._under_way) < before
