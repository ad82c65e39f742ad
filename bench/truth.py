"""What a server that stopped must have looked like to honest clients: computed, not measured.

Clients come on a timetable and wait, in line, for one of a fixed number of connections; each connection carries one
request at a time. No clock, no sockets.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """A server that answers `delay_ns` after it read a request, and does nothing in [start_ns, end_ns).

    What arrives meanwhile is read at the end, and what was to be sent meanwhile is sent at the end.
    """

    delay_ns: int
    start_ns: int
    end_ns: int

    def answered(self, sent_ns: int) -> int:
        """When the answer leaves to a request that came at `sent_ns`."""
        return self._awake(self._awake(sent_ns) + self.delay_ns)

    def _awake(self, instant: int) -> int:
        return self.end_ns if self.start_ns <= instant < self.end_ns else instant


def response_times(arrivals: Sequence[int], connections: int, stop: Stop) -> list[int]:
    """Nanoseconds from each intended arrival to the end of its answer, in the order of arrivals."""
    free = [0] * connections
    times = []
    for intended in arrivals:
        sent = max(intended, heapq.heappop(free))
        ended = stop.answered(sent)
        heapq.heappush(free, ended)
        times.append(ended - intended)
    return times


def timetable(rate: float, seconds: float) -> list[int]:
    """Evenly spaced arrivals, nanoseconds from the first."""
    return [round(number * 1e9 / rate) for number in range(int(rate * seconds))]
