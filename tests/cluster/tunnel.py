"""A way to the API server that a test can cut: a TCP forwarder on loopback, and a kubeconfig that goes through it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

RESET = struct.pack("ii", 1, 0)


class Tunnel:
    """Forwards connections to one address; everything that is called from a test returns when it has been done.

    Attributes:
        port: where it listens on 127.0.0.1.
        accepted: connections so far.
    """

    def __init__(self, host: str, port: int) -> None:
        self.accepted = 0
        self.port = 0
        self._to = (host, port)
        self._loop = asyncio.new_event_loop()
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.listen()

    def listen(self) -> None:
        """Take connections (again)."""
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(5)

    def cut(self) -> int:
        """Reset every connection; how many there were. New ones are taken as before."""
        return asyncio.run_coroutine_threadsafe(self._cut(), self._loop).result(5)

    def refuse(self) -> None:
        """Reset every connection and refuse new ones, until `listen`."""
        asyncio.run_coroutine_threadsafe(self._refuse(), self._loop).result(5)

    def close(self) -> None:
        """End it."""
        self.refuse()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _cut(self) -> int:
        count = len(self._open)
        for writer in list(self._open):
            with contextlib.suppress(OSError):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()
        return count

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._cut()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self._open.add(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._to)
            try:
                await asyncio.wait(
                    [asyncio.create_task(copy(reader, far_writer)), asyncio.create_task(copy(far_reader, writer))],
                    return_when=asyncio.FIRST_COMPLETED,
                )
            finally:
                far_writer.transport.abort()
        except OSError:
            pass  # the other end is away: so is this one
        finally:
            self._open.discard(writer)
            writer.transport.abort()


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hand on what comes until either side ends."""
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


@contextlib.contextmanager
def through_a_tunnel(kubectl: Callable[..., str], folder: Path) -> Iterator[tuple[Tunnel, str]]:
    """A tunnel to the API server of the current context, and the path of a kubeconfig that uses it."""
    config: Any = json.loads(kubectl("config", "view", "--minify", "--flatten", "--raw", "-o", "json"))
    cluster = config["clusters"][0]["cluster"]
    server = urlsplit(cluster["server"])
    assert server.hostname
    tunnel = Tunnel(server.hostname, server.port or 443)
    try:
        cluster["server"] = f"{server.scheme}://127.0.0.1:{tunnel.port}"
        cluster.setdefault("tls-server-name", server.hostname)
        path = folder / "kubeconfig-through-the-tunnel"
        path.write_text(json.dumps(config))
        yield tunnel, str(path)
    finally:
        tunnel.close()
