"""Which endpoints of a table nobody listens at: their pods have ended, or have not begun."""

from __future__ import annotations

from collections.abc import Callable

from rollcheck.sandbox.network.sockets import ListenerTable

Address = tuple[str, int]

FRESH_S = 0.002
"""An answer of the kernel is taken for true this long: several tables ask about the same pod."""
BELIEVED_S = 0.05
"""Where the kernel cannot be asked, a refused connect counts this long; then a client finds out again."""


class Liveness:
    """Remembers what the kernel said of each endpoint, or what the last connect found where the kernel says nothing."""

    def __init__(self, now: Callable[[], float], listeners: ListenerTable) -> None:
        self._now = now
        self._listeners = listeners
        self._said: dict[Address, tuple[float, bool]] = {}
        self._refused: dict[Address, float] = {}

    def dead(self, address: Address) -> bool:
        """Whether a connect there would be refused."""
        now = self._now()
        at, alive = self._said.get(address, (-FRESH_S, True))
        if now - at < FRESH_S:
            return not alive
        told = self._listeners.listening(*address)
        if told is None:
            return now - self._refused.get(address, -BELIEVED_S) < BELIEVED_S
        self._said[address] = (now, told)
        return not told

    def refused(self, address: Address) -> None:
        """A connect there was refused."""
        self._refused[address] = self._now()
        self._said.pop(address, None)

    def forget(self, address: Address) -> None:
        """No table has it any more."""
        self._said.pop(address, None)
        self._refused.pop(address, None)
