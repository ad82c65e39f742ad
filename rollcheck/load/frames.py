"""What a worker and its parent say to each other: lists of facts, and between them reports and orders.

All are pickles behind their length: both ends are one program, forked. Reports and orders are named tuples, here and
wherever a class is made before the first request: a frozen dataclass takes a millisecond or two to make, a named tuple
a quarter of one.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable, Iterator
from dataclasses import fields
from operator import attrgetter
from typing import Any, NamedTuple

from rollcheck.errors import RollcheckError
from rollcheck.facts.attempts import Attempt
from rollcheck.facts.clock import Instant
from rollcheck.facts.connections import Connection
from rollcheck.facts.wiretotals import AccessLine

_LENGTH = struct.Struct("<I")
_FLAT = (Attempt, AccessLine, Connection)
_NAMES = tuple(tuple(f.name for f in fields(kind)) for kind in _FLAT)
_VALUES: dict[type, tuple[int, Callable[[Any], Any]]] = {
    kind: (number, attrgetter(*_NAMES[number])) for number, kind in enumerate(_FLAT)
}


# Reports, from a worker


class Ready(NamedTuple):
    """It has warmed up and waits for T0."""


class Began(NamedTuple):
    """The only worker began at that instant."""

    at_ns: Instant


class Ended(NamedTuple):
    """All its attempts are accounted for, and every fact was sent before.

    Attributes:
        scheduled: arrivals taken up, by lane.
        aborted: why it ended early, empty when it did not.
        unlogged: lines of the access log that were left out.
    """

    scheduled: dict[str, int]
    probes: int
    aborted: str
    unlogged: int


class Failed(NamedTuple):
    """It could not begin; the error is the caller's to hear."""

    error: RollcheckError


# Orders, to a worker


class Begin(NamedTuple):
    """The first arrival is due at that instant."""

    at_ns: Instant


class Stop(NamedTuple):
    """Release no more; `now` also gives up what is under way."""

    now: bool = False


def encode_frame(message: object) -> bytes:
    """A message as bytes that tell their own length."""
    data = pickle.dumps(message, protocol=5)
    return _LENGTH.pack(len(data)) + data


class FrameReader:
    """Cuts a stream of bytes into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[object]:
        """The messages that are complete with `data`."""
        buffer = self._buffer
        buffer += data
        at = 0
        try:
            while len(buffer) - at >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(buffer, at)
                if len(buffer) - at - _LENGTH.size < length:
                    return
                message = bytes(buffer[at + _LENGTH.size : at + _LENGTH.size + length])
                at += _LENGTH.size + length
                yield pickle.loads(message)  # noqa: S301  # from a process that we are the parent of
        finally:
            del buffer[:at]


def flatten(fact: object) -> object:
    """The kinds of which there are many as a tuple, which pickles in a fraction of the time."""
    known = _VALUES.get(type(fact))
    return fact if known is None else (known[0], known[1](fact))


def unflatten(message: Any) -> Any:
    """What `flatten` took apart."""
    if not isinstance(message, tuple):
        return message
    number, values = message
    return _FLAT[number](**dict(zip(_NAMES[number], values, strict=True)))
