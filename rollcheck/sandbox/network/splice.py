"""Bytes both ways between two sockets, as if nobody sat between them: a FIN goes on as a FIN, a reset as a reset."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from functools import partial

import trio
from trio.socket import SocketType

CHUNK = 65536
_AT_ONCE = struct.pack("ii", 1, 0)


def reset(sock: SocketType) -> None:
    """Close it so that its peer gets a RST instead of a FIN; what was not sent yet is lost."""
    end_by_reset(sock)
    sock.close()


def end_by_reset(sock: SocketType) -> None:
    """Whoever closes it closes it by a RST."""
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)


async def send_all(sock: SocketType, data: bytes) -> None:
    """Send every byte; raises `OSError` as `send` does."""
    sent = await sock.send(data)
    if sent == len(data):
        return
    view = memoryview(data)
    while sent < len(data):
        sent += await sock.send(view[sent:])


async def splice(left: SocketType, right: SocketType) -> None:
    """Carry bytes both ways until both sides have ended, then close both; when one resets, so is the other."""
    with left, right:
        async with trio.open_nursery() as nursery:
            for source, sink in ((left, right), (right, left)):
                nursery.start_soon(partial(_pump, source, sink, nursery.cancel_scope))


async def _pump(source: SocketType, sink: SocketType, both: trio.CancelScope) -> None:
    """One way, until its end: the sink's writing half is closed then."""
    try:
        while data := await source.recv(CHUNK):
            await send_all(sink, data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        # a reset by one side, or a side that had gone when the other still sent: neither is there for the other
        end_by_reset(source)
        end_by_reset(sink)
        both.cancel()
