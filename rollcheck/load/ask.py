"""One request on a fresh connection, by the rules of the load: for the preflight, before there is any load."""

from __future__ import annotations

import errno
import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass

import trio

from rollcheck import __version__
from rollcheck.facts.attempts import Outcome, Phase
from rollcheck.load.outcomes import Fault, describe_errno, find_outcome
from rollcheck.load.plan import Expectation, Target
from rollcheck.load.transport import (
    Address,
    begin_connect,
    find_address,
    format_address,
    lookup,
    make_tls_context,
    open_socket,
    read_cause,
    was_reset,
)
from rollcheck.load.wire import KEEP_BODY, ResponseReader, WireError, build_request, make_reader

SHOWN_BODY = 64 * 1024
CHUNK = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of one request.

    Attributes:
        ok: whether it was what is expected.
        status: HTTP status, 0 when there was none.
        headers: of the answer, in its order and spelling.
        body: its first 64 KiB.
        phase, outcome, detail: as in `facts.attempts.Attempt`.
        elapsed_ns: from the start of the lookup or connect() to the end.
        peer: the address that was connected to, "ip:port"; empty when none was.
    """

    ok: bool
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    phase: Phase
    outcome: Outcome
    detail: str
    elapsed_ns: int
    peer: str


async def ask(
    target: Target,
    *,
    method: str = "GET",
    headers: Sequence[tuple[str, str]] = (),
    body: bytes = b"",
    expectation: Expectation | None = None,
    timeout_s: float = 3.0,
    verify_tls: bool = True,
    ca_file: str = "",
    cert_file: str = "",
    key_file: str = "",
    family: str = "ip4",
) -> Answer:
    """Send one request with `Connection: close`; whatever the target does is in the answer.

    Args:
        target: where to, by its Unix socket when it has one.
        method, headers, body, expectation: as in `plan.LoadPlan`.
        timeout_s: seconds for all of it, the lookup included.
        verify_tls, ca_file, cert_file, key_file: as in `transport.make_tls_context`.
        family: as in `transport.lookup`.

    Raises:
        UsageError: a file, or the Unix socket's path, cannot be used.
    """
    context = None
    if target.tls:
        context = make_tls_context(verify=verify_tls, ca_file=ca_file, cert_file=cert_file, key_file=key_file)
    request = build_request(target, method, headers, body, close=True, agent=f"rollcheck/{__version__}")
    reader = make_reader(method, keep_body=KEEP_BODY, headers=True)
    exchange = _Exchange(target, context, reader, find_address(target), family)
    start = time.monotonic_ns()
    outcome, detail = None, ""
    try:
        with trio.move_on_after(timeout_s) as scope:
            await exchange.run(request)
        if scope.cancelled_caught:
            outcome = find_outcome(exchange.phase, Fault.DEADLINE)
    except WireError as e:
        outcome, detail = find_outcome(exchange.phase, Fault.PARSER), str(e)[:200]
    except OSError as e:
        cause, detail = read_cause(e, reset=exchange.sock is not None and was_reset(exchange.sock))
        outcome = find_outcome(exchange.phase, cause)
    except _Eof as e:
        outcome = find_outcome(exchange.phase, e.fault)
    finally:
        exchange.close()
    return _make_answer(exchange, outcome, detail, time.monotonic_ns() - start, expectation or Expectation())


class _Eof(Exception):
    """The peer closed before its answer was whole."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.fault = fault


class _Exchange:
    """The steps of one request; `phase` says which one is under way."""

    def __init__(
        self,
        target: Target,
        context: ssl.SSLContext | None,
        reader: ResponseReader,
        address: Address | None,
        family: str,
    ) -> None:
        self.target, self.context, self.reader = target, context, reader
        self.address, self.family = address, family
        self.phase = Phase.RESOLVE
        self.peer = ""
        self.sock: socket.socket | None = None

    async def run(self, request: bytes) -> None:
        """Until the answer is whole."""
        target = self.target
        address = self.address or await self._look_up()
        self.phase = Phase.CONNECT
        self.sock = sock = open_socket(address)
        await _connect(sock, address)
        self.peer = format_address(address[1])
        if self.context is not None:
            self.phase = Phase.TLS
            self.sock = sock = self.context.wrap_socket(
                sock, server_hostname=target.server_name, do_handshake_on_connect=False
            )
            await _shake_hands(sock)
        self.phase = Phase.SEND
        try:
            await self._send(sock, memoryview(request))
        except OSError as e:
            await self._read_last(sock, e)
        else:
            self.phase = Phase.AWAIT
            await self._read(sock)

    async def _look_up(self) -> Address:
        try:
            found = await trio.to_thread.run_sync(
                lookup, self.target.connect_host, self.target.port, self.family, abandon_on_cancel=True
            )
        except UnicodeError as e:
            raise socket.gaierror(socket.EAI_NONAME, str(e)) from e
        return found[0]

    async def _send(self, sock: socket.socket, rest: memoryview) -> None:
        while rest:
            try:
                rest = rest[sock.send(rest) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                await trio.lowlevel.wait_writable(sock)
            except ssl.SSLWantReadError:
                await trio.lowlevel.wait_readable(sock)

    async def _read_last(self, sock: socket.socket, failed: OSError) -> None:
        """The request could not be written: what came before is still there to be read, and may be a whole answer
        (413), or TLS's own word on why the peer hung up.
        """
        try:
            await self._read(sock)
        except ssl.SSLError as e:
            raise (e if read_cause(e)[0] is Fault.TLS else failed) from failed
        except (OSError, WireError, _Eof) as e:
            raise failed from e

    async def _read(self, sock: socket.socket) -> None:
        while not self.reader.done:
            try:
                data = sock.recv(CHUNK)
            except (BlockingIOError, ssl.SSLWantReadError):
                await trio.lowlevel.wait_readable(sock)
                continue
            if data:
                self.reader.receive(data)
            elif was_reset(sock):
                raise ConnectionResetError(errno.ECONNRESET, "reset under TLS")
            elif not self.reader.receive_eof():
                raise _Eof(Fault.CUT if self.reader.received else Fault.EOF)
            if self.reader.head_done:
                self.phase = Phase.BODY

    def close(self) -> None:
        """Give the socket back."""
        if self.sock is not None:
            self.sock.close()


async def _connect(sock: socket.socket, address: Address) -> None:
    error = begin_connect(sock, address)
    if error == errno.EINPROGRESS:
        await trio.lowlevel.wait_writable(sock)
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        raise OSError(error, describe_errno(error))


async def _shake_hands(sock: ssl.SSLSocket) -> None:
    while True:
        try:
            sock.do_handshake()
        except ssl.SSLWantReadError:
            await trio.lowlevel.wait_readable(sock)
        except ssl.SSLWantWriteError:
            await trio.lowlevel.wait_writable(sock)
        else:
            return


def _make_answer(
    exchange: _Exchange, outcome: Outcome | None, detail: str, elapsed_ns: int, expectation: Expectation
) -> Answer:
    reader = exchange.reader
    if outcome is None:
        outcome = expectation.judge(reader.status, reader.body)
    return Answer(
        ok=outcome is Outcome.OK,
        status=reader.status if reader.head_done else 0,
        headers=tuple(reader.headers) if reader.head_done else (),
        body=reader.body[:SHOWN_BODY],
        phase=exchange.phase,
        outcome=outcome,
        detail=detail,
        elapsed_ns=elapsed_ns,
        peer=exchange.peer,
    )
