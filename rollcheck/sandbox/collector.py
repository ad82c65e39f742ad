"""When the garbage collector walks everything that the sandbox holds: not while anything is going on.

With a hundred pods that walk takes a sixth of a second, in which the API server answers nobody and the proxies forward
nothing. What a rollout leaves in cycles is little, and can wait.
"""

from __future__ import annotations

import gc
from collections.abc import Callable

import trio

QUIET_S = 2.0
"""Without a write for so long, nothing is going on."""
WORTH = 20_000
"""Writes since the last walk that make another one worth its while: some ten rollouts of a hundred pods, each of which
leaves three thousand objects in cycles."""
_NEVER = 2**31 - 1


async def collect_when_quiet(version: Callable[[], int]) -> None:
    """Take the walks over from Python, until cancelled; what lives only for moments it goes on collecting by itself.

    Args:
        version: the number of the newest write.
    """
    before = gc.get_threshold()
    gc.set_threshold(*before[:2], _NEVER)
    try:
        _walk()
        walked = seen = version()
        while True:
            await trio.sleep(QUIET_S)
            now = version()
            if now == seen and now - walked >= WORTH:
                _walk()
                walked = now
            seen = now
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _walk() -> None:
    gc.unfreeze()
    gc.collect()
    gc.freeze()  # what lives on need not be looked at by the smaller collections
