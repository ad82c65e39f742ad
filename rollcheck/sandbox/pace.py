"""The order among the cluster's own loops, so that none of them keeps a client waiting."""

from __future__ import annotations

import trio


class Pace:
    """Gives one piece of work to each round of the scheduler, in the order in which they were asked for.

    Whatever is runnable runs in one round, and only then sockets are looked at again. A look at a Deployment, a status
    written, a probe's connection take a millisecond each; without an order among them, a hundred pods that start
    together hold up every request to the API server, and what goes through the proxies, for a tenth of a second.
    """

    def __init__(self) -> None:
        self._lock = trio.Lock()

    async def turn(self) -> None:
        """Wait until it is the caller's turn; what it does then, up to its next wait, has a round of its own."""
        async with self._lock:
            pass
