"""A timer that is a file descriptor, so that one epoll set wakes for sockets and for the timetable alike.

Python gets `os.timerfd_create` in 3.13; before, libc's own is called. Waits with a time-out have a granularity of a
millisecond; a timerfd is an hrtimer without slack. Where there is none, the engine waits with a time-out.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from contextlib import suppress

from rollcheck.facts.clock import SECOND, Instant

Clock = Callable[[], Instant]
"""What tells the time: `time.monotonic_ns`, or a test's own."""

_CLOCK_MONOTONIC = 1
_TFD_TIMER_ABSTIME = 1
_FLAGS = os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0)


class _Timespec(ctypes.Structure):
    _fields_ = (("sec", ctypes.c_long), ("nsec", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class TimerFd:
    """Readable from the instant it is set to until it is set again.

    Raises:
        OSError: this system has no timerfd.
    """

    def __init__(self) -> None:
        if not sys.platform.startswith("linux"):
            raise OSError("no timerfd on this system")
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd: int = libc.timerfd_create(_CLOCK_MONOTONIC, _FLAGS)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._settime = libc.timerfd_settime
        self._spec = _Itimerspec()
        self._value = self._spec.value
        self._argument = ctypes.byref(self._spec)
        self._at: Instant = 0

    def set(self, at: Instant) -> None:
        """Fire at that instant, at once when it is past."""
        if at == self._at:
            return
        self._at = at
        # 0.0 would disarm it.
        self._value.sec, self._value.nsec = divmod(max(at, 1), SECOND)
        self._settime(self.fd, _TFD_TIMER_ABSTIME, self._argument, None)

    def clear(self) -> None:
        """It has fired: make it unreadable until it is set again."""
        self._at = 0
        with suppress(BlockingIOError):  # set anew since
            os.read(self.fd, 8)

    def close(self) -> None:
        """Give the descriptor back."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def make_timer() -> TimerFd | None:
    """A timer, or None where the system has none."""
    try:
        return TimerFd()
    except (OSError, AttributeError):
        return None
