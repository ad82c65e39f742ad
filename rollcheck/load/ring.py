"""Reading from many sockets, or writing to them, in one system call: what io_uring is used for here, and all of it.

A system call costs about a microsecond before it does anything, as much as the rest of Python's part in a request. So
where dozens of answers wait, they are read by one call, and the next requests are written by another. Every operation
is complete when the call returns, as if it had been made on the sockets one after the other: none waits in the kernel,
none can outlive its buffer, and readiness stays epoll's. Linux 5.18 and later have it, unless it is forbidden (many a
container's seccomp profile does); where it is not to be had, sockets are read and written one by one.

Source: io_uring(7), io_uring_setup(2), io_uring_enter(2); include/uapi/linux/io_uring.h.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import socket
import struct
import sys
from array import array
from collections.abc import Sequence

ENTRIES = 64
"""Sockets at once."""
SEND, RECV = 26, 27

_SETUP, _ENTER = 425, 426  # the same number on every architecture that has them, but for alpha
_CQSIZE, _SUBMIT_ALL = 1 << 3, 1 << 7
_SINGLE_MMAP = 1 << 0
_AT_SQES = 0x1000_0000
_GETEVENTS = 1 << 0
_SQE = struct.Struct("<BBHiQQIIQQQQ")
_CQE = struct.Struct("<QiI")
_FD_AT = 1
"""Of the 16 words of a submission, the one with the descriptor."""
_WORD = 0xFFFF_FFFF
FD_SIZE = 4
_PACKERS = tuple(struct.Struct(f"{number}i").pack for number in range(ENTRIES + 1))
_FLAGS = getattr(socket, "MSG_DONTWAIT", 0) | getattr(socket, "MSG_NOSIGNAL", 0)


def pack_fds(fds: Sequence[int]) -> bytes:
    """As a ring takes them; an `array` would take twice as long to fill."""
    return _PACKERS[len(fds)](*fds)


class _Offsets(ctypes.Structure):
    """Where things lie in shared memory: seventh is a submission queue's array, sixth a completion queue's entries."""

    _fields_ = (
        *((name, ctypes.c_uint32) for name in ("head", "tail", "mask", "entries", "fifth", "sixth", "seventh", "_")),
        ("_address", ctypes.c_uint64),
    )


class _Params(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_uint32) for name in ("sq_entries", "cq_entries", "flags", "cpu", "idle", "features", "wq")),
        ("_", ctypes.c_uint32 * 3),
        ("sq", _Offsets),
        ("cq", _Offsets),
    )


class Ring:
    """Does one kind of operation on up to `ENTRIES` sockets at a time.

    Args:
        operation: `SEND` or `RECV`.
        addresses: of the bytes that each of them is about, `ENTRIES` of them, which must outlive the ring.
        length: how many bytes.

    Attributes:
        broken: the kernel did not do all that it was asked, or not at once; do not ask it again.

    Raises:
        OSError: this system has none, or does not let us have one.
    """

    def __init__(self, operation: int, addresses: Sequence[int], length: int) -> None:
        if not sys.platform.startswith("linux"):
            raise OSError(errno.ENOSYS, "no io_uring on this system")
        libc = ctypes.CDLL(None, use_errno=True)
        # Nothing waits in these calls, so there is nobody to let run meanwhile.
        self._call = ctypes.PyDLL(None).syscall
        self._call.restype = ctypes.c_long
        params = _Params(flags=_CQSIZE | _SUBMIT_ALL, cq_entries=ENTRIES)
        self.fd: int = libc.syscall(_SETUP, ENTRIES, ctypes.byref(params))
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "io_uring_setup")
        try:
            self._queues, self._entries = self._map(params)
        except OSError:
            os.close(self.fd)
            raise
        array_at, cqes_at = params.sq.seventh, params.cq.sixth
        self._words = memoryview(self._queues).cast("I")
        self._descriptors = memoryview(self._entries).cast("i")
        self._sq_tail, self._cq_head, self._cq_tail = params.sq.tail // 4, params.cq.head // 4, params.cq.tail // 4
        self._array_at, self._cqes_at = array_at // 4, cqes_at
        self._turned = memoryview(array("I", [*range(ENTRIES), *range(ENTRIES)]))
        for slot, address in enumerate(addresses):
            entry = _SQE.pack(operation, 0, 0, -1, 0, address, length, _FLAGS, slot, 0, 0, 0)
            self._entries[_SQE.size * slot : _SQE.size * (slot + 1)] = entry
        self._position = 0
        self._found = self._usual = b""
        self.broken = False

    def _map(self, params: _Params) -> tuple[mmap.mmap, mmap.mmap]:
        """The memory that is shared with the kernel: both queues, and the submissions' entries."""
        if not params.features & _SINGLE_MMAP:
            raise OSError(errno.ENOSYS, "io_uring is too old here")
        queues = mmap.mmap(self.fd, max(params.sq.seventh + 4 * ENTRIES, params.cq.sixth + _CQE.size * ENTRIES))
        return queues, mmap.mmap(self.fd, _SQE.size * ENTRIES, offset=_AT_SQES)

    def expect(self, result: int) -> None:
        """Take that for the usual result from now on."""
        self._usual = b"".join(_CQE.pack(slot, result, 0) for slot in range(ENTRIES))

    def run(self, fds: bytes) -> bool:
        """Do it on these sockets, at most `ENTRIES` of them, packed; True when each had the usual result."""
        number, position = len(fds) // FD_SIZE, self._position
        base = position % ENTRIES
        end = self._position = (position + number) & _WORD
        words = self._words
        # The first socket always takes the first entry, wherever the queue stands.
        words[self._array_at : self._array_at + ENTRIES] = self._turned[ENTRIES - base : 2 * ENTRIES - base]
        self._descriptors[_FD_AT : 16 * number : 16] = memoryview(fds).cast("i")
        words[self._sq_tail] = end
        taken = self._call(_ENTER, self.fd, number, 0, 0, None, 0)
        if taken != number or words[self._cq_tail] != end:
            number = self._make_up(max(taken, 0), position)
        at, size, room = self._cqes_at + _CQE.size * base, _CQE.size * number, _CQE.size * (ENTRIES - base)
        found = self._queues[at : at + min(size, room)]
        if size > room:
            found += self._queues[self._cqes_at : self._cqes_at + size - room]
        self._found = found
        words[self._cq_head] = self._position
        return found == self._usual[:size] and not self.broken

    def _make_up(self, taken: int, position: int) -> int:
        """Take back what the kernel did not take, and wait for what it put off; gives back how many it took."""
        self.broken = True
        self._position = (position + taken) & _WORD
        self._words[self._sq_tail] = self._position
        for _ in range(ENTRIES):
            if self._words[self._cq_tail] == self._position:
                return taken
            self._call(_ENTER, self.fd, 0, taken, _GETEVENTS, None, 0)
        raise OSError(errno.EIO, "io_uring does not come back with what it was given")

    def results(self, number: int) -> list[int]:
        """What came of the last run on so many sockets: bytes, or an error's number, negative; EAGAIN where it was
        not done.
        """
        results = [-errno.EAGAIN] * number
        for slot, result, _ in _CQE.iter_unpack(self._found):
            results[slot] = result
        return results

    def close(self) -> None:
        """Give it back."""
        self._words.release()
        self._descriptors.release()
        self._entries.close()
        self._queues.close()
        os.close(self.fd)
