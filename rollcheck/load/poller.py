"""What waits for many sockets at once: the kernel's epoll, or poll(2) with epoll's face where there is none."""

from __future__ import annotations

import select
from collections.abc import Sequence
from typing import Protocol

Ready = Sequence[tuple[int, int]]
"""File descriptors and what they are ready for, as bits of epoll (those of poll are the same)."""

READABLE = getattr(select, "EPOLLIN", 1)
WRITABLE = getattr(select, "EPOLLOUT", 4)
INTEREST = READABLE | getattr(select, "EPOLLRDHUP", 0x2000)
"""What a connection is watched for while an answer, or its end, may come."""
RESET = getattr(select, "EPOLLERR", 8)
"""An ordinary close of a Unix socket is a HUP alone; a reset always leaves an error behind as well."""
GONE = getattr(select, "EPOLLRDHUP", 0x2000) | getattr(select, "EPOLLHUP", 16) | RESET


class Poller(Protocol):
    """A set of sockets."""

    def register(self, fd: int, events: int, /) -> None:
        """Watch a descriptor."""

    def modify(self, fd: int, events: int, /) -> None:
        """Watch it for something else."""

    def poll(self, timeout: float, maxevents: int, /) -> Ready:
        """What is ready; waits up to `timeout` seconds for the first."""
        ...

    def close(self) -> None:
        """Watch nothing any more."""


class PollSet:
    """poll(2) instead of epoll: every call costs as much as there are connections."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._masks: dict[int, int] = {}

    def register(self, fd: int, events: int, /) -> None:
        """See `Poller`; a descriptor that was closed and opened anew is a new one."""
        self._masks[fd] = events
        self._poll.register(fd, events & 0x1F | getattr(select, "POLLRDHUP", 0) & events)

    modify = register

    def poll(self, timeout: float, maxevents: int, /) -> Ready:
        """See `Poller`."""
        ready = self._poll.poll(timeout * 1000)
        for fd, event in ready:
            if event & select.POLLNVAL:  # closed: poll, unlike epoll, keeps it
                self._poll.unregister(fd)
        return [(fd, event) for fd, event in ready[:maxevents] if not event & select.POLLNVAL]

    def close(self) -> None:
        """See `Poller`."""


def make_poller(*, portable: bool = False) -> Poller:
    """An epoll set, or what stands in for one; `portable` asks for the latter."""
    if portable or not hasattr(select, "epoll"):
        return PollSet()
    return select.epoll()
