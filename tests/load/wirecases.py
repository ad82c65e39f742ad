"""Answers of every kind, and what we make of each; where h11, the oracle, makes something else of it, why ours stands.

An expectation is `good(status, body)`, REFUSED (bytes that are no answer) or CUT (not whole when the peer closes).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from rollcheck.load.wire import MAX_HEAD

REFUSED = "refused"
CUT = "cut"


class Whole(NamedTuple):
    """A whole answer; `keep` is whether the connection may carry another request."""

    status: int
    body: bytes
    keep: bool
    surplus: bool


def good(status: int = 200, body: bytes = b"ok", *, keep: bool = True, surplus: bool = False) -> Whole:
    return Whole(status, body, keep, surplus)


@dataclass(frozen=True)
class Case:
    """One answer.

    Attributes:
        expect: what we make of it when the peer closes after its last byte.
        why: why that is right although h11 differs; empty where both agree.
    """

    data: bytes
    expect: Whole | str
    why: str = ""
    method: str = "GET"


def ok(*lines: bytes, body: bytes = b"ok", first: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"\r\n".join([first, *lines]) + b"\r\n\r\n" + body


TE = b"Transfer-Encoding: chunked"
CL = b"Content-Length: 2"
CHUNKS = b"2\r\nok\r\n0\r\n\r\n"
OK = ok(CL)
SHORT = len(ok(b"X: ", CL, body=b""))

ONE_LENGTH = "RFC 9110 §8.6: a repeated length may be refused or taken as one; refused, nobody can read it differently"
BARE_LF = "RFC 9112 §2.2: a lone LF may be taken for a line's end, or not; an answer read in two ways is none"
LAST_CODING = "RFC 9112 §6.3: the last coding decides where the body ends, whether or not one can decode it"
SMUGGLED = "RFC 9112 §6.3: length and chunks together ought to be handled as an error"
GRAMMAR = "RFC 9112 §7.1: not in the grammar of a chunk"

CASES = {
    # Framing
    "length": Case(OK, good()),
    "length 0": Case(ok(b"Content-Length: 0", body=b""), good(body=b"")),
    "length with spaces": Case(ok(b"Content-Length:   2  "), good()),
    "chunks": Case(ok(TE, body=CHUNKS), good()),
    "chunks, extensions": Case(ok(TE, body=b'2;a;b="c;\\" d"\r\nok\r\n0;last\r\n\r\n'), good()),
    "chunks, trailers": Case(ok(TE, body=b"1\r\no\r\n1\r\nk\r\n0\r\nX: a\r\nY: b\r\n\r\n"), good()),
    "chunks, in capitals": Case(ok(b"TRANSFER-ENCODING: CHUNKED", body=CHUNKS), good()),
    "chunks, hexadecimal": Case(ok(TE, body=b"00a\r\n0123456789\r\n0\r\n\r\n"), good(body=b"0123456789")),
    "chunks, many zeros": Case(
        ok(TE, body=b"0" * 30 + CHUNKS), good(), why="RFC 9112 §7.1: a size has any number of digits"
    ),
    "until close": Case(ok(b"Date: today", body=b"hello"), good(body=b"hello", keep=False)),
    "until close, empty": Case(ok(body=b""), good(body=b"", keep=False)),
    "HEAD, length": Case(ok(CL, body=b""), good(body=b""), method="HEAD"),
    "HEAD, chunks": Case(ok(TE, body=b""), good(body=b""), method="HEAD"),
    "HEAD, nothing": Case(ok(body=b""), good(body=b""), method="HEAD"),
    "HEAD, close": Case(ok(b"Connection: Close", CL, body=b""), good(body=b"", keep=False), method="HEAD"),
    "HEAD, a body all the same": Case(OK, good(body=b"", surplus=True), method="HEAD"),
    "HEAD, 1.0": Case(ok(body=b"", first=b"HTTP/1.0 200 OK"), good(body=b"", keep=False), method="HEAD"),
    "204": Case(ok(body=b"", first=b"HTTP/1.1 204 No Content"), good(204, b"")),
    "204, length": Case(ok(CL, first=b"HTTP/1.1 204 No Content"), good(204, b"", surplus=True)),
    "204, chunks": Case(ok(TE, body=b"", first=b"HTTP/1.1 204 No Content"), good(204, b"")),
    "304": Case(ok(body=b"", first=b"HTTP/1.1 304 Not Modified"), good(304, b"")),
    "304, length": Case(ok(CL, body=b"", first=b"HTTP/1.1 304 Not Modified"), good(304, b"")),
    "205": Case(ok(body=b"", first=b"HTTP/1.1 205 Reset Content"), good(205, b"", keep=False)),
    # Versions and what stays open
    "close": Case(ok(b"Connection: close", CL, first=b"HTTP/1.1 503 Busy"), good(503, keep=False)),
    "close among others": Case(ok(b"Connection: keep-alive, close", CL), good(keep=False)),
    "close in the second": Case(ok(b"Connection: keep-alive", b"Connection: close", CL), good(keep=False)),
    "upgrade offered": Case(ok(b"Connection: upgrade", b"Upgrade: h2c", CL), good()),
    "proxy-connection": Case(
        ok(b"Proxy-Connection: close", CL),
        good(keep=False),
        why="no standard has that header; to believe it costs a connection, not to believe it may cost a request",
    ),
    "1.0": Case(ok(CL, first=b"HTTP/1.0 200 OK"), good(keep=False)),
    "1.0, keep-alive": Case(
        ok(b"Connection: keep-alive", CL, first=b"HTTP/1.0 200 OK"),
        good(),
        why="h11 never uses a connection of HTTP/1.0 again; RFC 9112 §9.3 lets it persist",
    ),
    "1.0, keep-alive, until close": Case(
        ok(b"Connection: keep-alive", body=b"hi", first=b"HTTP/1.0 200 OK"), good(body=b"hi", keep=False)
    ),
    "1.0, chunks": Case(ok(TE, body=CHUNKS, first=b"HTTP/1.0 200 OK"), good(keep=False)),
    "no reason": Case(ok(CL, first=b"HTTP/1.1 200 "), good()),
    "no reason and no space": Case(ok(CL, first=b"HTTP/1.1 200"), good()),
    "reason with a tab": Case(ok(CL, first=b"HTTP/1.1 200 O\tK"), good()),
    "status that nobody knows": Case(ok(CL, first=b"HTTP/1.1 999 What"), good(999)),
    "1.2": Case(ok(CL, first=b"HTTP/1.2 200 OK"), REFUSED, why="there is no such version"),
    "0.9": Case(ok(CL, first=b"HTTP/0.9 200 OK"), REFUSED, why="HTTP/0.9 has no status line, so this is none"),
    "1.10": Case(ok(CL, first=b"HTTP/1.10 200 OK"), REFUSED),
    "2.0": Case(ok(CL, first=b"HTTP/2.0 200 OK"), REFUSED, why="HTTP/2 has no status line"),
    "rtsp": Case(ok(CL, first=b"RTSP/1.0 200 OK"), REFUSED),
    "lower case": Case(ok(CL, first=b"http/1.1 200 OK"), REFUSED),
    "letters for a status": Case(ok(CL, first=b"HTTP/1.1 abc OK"), REFUSED),
    "status of two digits": Case(ok(CL, first=b"HTTP/1.1 99 OK"), REFUSED),
    "status of four digits": Case(ok(CL, first=b"HTTP/1.1 2000 OK"), REFUSED),
    "status 000": Case(ok(CL, first=b"HTTP/1.1 000 OK"), REFUSED),
    "status 099": Case(ok(CL, first=b"HTTP/1.1 099 OK"), REFUSED),
    "two spaces": Case(ok(CL, first=b"HTTP/1.1  200 OK"), REFUSED),
    # 1xx
    "100": Case(b"HTTP/1.1 100 Continue\r\n\r\n" + OK, good()),
    "103 twice, then chunks": Case(b"HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n" * 2 + ok(TE, body=CHUNKS), good()),
    "100 with a length": Case(b"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n" + OK, good()),
    "103 with chunks": Case(b"HTTP/1.1 103 Early\r\nTransfer-Encoding: chunked\r\n\r\n" + OK, good()),
    "100, then line ends": Case(
        b"HTTP/1.1 100 Continue\r\n\r\n\r\n\r\n" + OK, good(), why="as line ends before an answer, below"
    ),
    "100 to HEAD": Case(b"HTTP/1.1 100 Continue\r\n\r\n" + ok(CL, body=b""), good(body=b""), method="HEAD"),
    "102 that closes": Case(
        b"HTTP/1.1 102 Processing\r\nConnection: close\r\n\r\n" + OK,
        REFUSED,
        why="RFC 9112 §9.6: who said close sends no more answers",
    ),
    "100 and no more": Case(b"HTTP/1.1 100 Continue\r\n\r\n", CUT),
    "100 forty times": Case(
        b"HTTP/1.1 100 C\r\n\r\n" * 40 + OK, REFUSED, why="h11 has no bound; endless ones must end somewhere"
    ),
    "101": Case(ok(b"Upgrade: websocket", b"Connection: Upgrade", body=b"", first=b"HTTP/1.1 101 Switching"), REFUSED),
    "101 without upgrade": Case(b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + OK, REFUSED),
    # Headers
    "empty value": Case(ok(b"X:", CL), good()),
    "bytes beyond ASCII": Case(ok(b"X: \xe9\xff", CL), good()),
    "folded": Case(
        ok(b"X: a", b" b", CL),
        REFUSED,
        why="RFC 9112 §5.2 would have a client unfold it; no server in use sends it, and we say so rather than guess",
    ),
    "folded first": Case(ok(b" X: a", CL), REFUSED),
    "space before the colon": Case(ok(b"Content-Length : 2"), REFUSED),
    "empty name": Case(ok(b": a", CL), REFUSED),
    "no colon": Case(ok(b"foo", CL), REFUSED),
    "null in a value": Case(ok(b"X: a\0b", CL), REFUSED),
    "CR in a value": Case(ok(b"X: a\rb", CL), REFUSED),
    "bare LF": Case(OK.replace(b"\r\n", b"\n"), REFUSED, why=BARE_LF),
    "bare LF at the end of the head": Case(ok(CL).replace(b"\r\n\r\n", b"\r\n\n"), REFUSED, why=BARE_LF),
    "line ends before the answer": Case(
        b"\r\n\r\n" + OK,
        good(),
        why="some servers end a body with a line end too many; RFC 9112 §2.2 asks servers to"
        " pass over them, and it costs nothing here",
    ),
    "line end after the answer": Case(OK + b"\r\n", good(), why="as before it"),
    "head up to the bound": Case(ok(b"X: " + b"a" * (MAX_HEAD - SHORT), CL), good()),
    "head beyond the bound": Case(
        ok(b"X: " + b"a" * (MAX_HEAD - SHORT + 1), CL), REFUSED, why="h11 bounds only what is not complete"
    ),
    # Lengths that lie, or contradict each other
    "length and chunks": Case(ok(CL, TE, body=CHUNKS), REFUSED, why=SMUGGLED),
    "chunks and length": Case(ok(TE, CL, body=CHUNKS), REFUSED, why=SMUGGLED),
    "two lengths": Case(ok(CL, b"Content-Length: 3"), REFUSED),
    "two equal lengths": Case(ok(CL, CL), REFUSED, why=ONE_LENGTH),
    "two equal lengths in one": Case(ok(b"Content-Length: 2, 2"), REFUSED, why=ONE_LENGTH),
    "negative length": Case(ok(b"Content-Length: -2"), REFUSED),
    "length with a sign": Case(ok(b"Content-Length: +2"), REFUSED),
    "length in words": Case(ok(b"Content-Length: two"), REFUSED),
    "empty length": Case(ok(b"Content-Length:"), REFUSED),
    "length beyond 64 bits": Case(ok(b"Content-Length: 99999999999999999999999"), REFUSED),
    "length of 2 to the 63": Case(ok(b"Content-Length: 9223372036854775808"), CUT),
    "length too long": Case(ok(b"Content-Length: 3"), CUT),
    "length too short": Case(ok(b"Content-Length: 1"), good(body=b"o", surplus=True)),
    "second answer": Case(OK + OK, good(surplus=True)),
    "rubbish after it": Case(OK + b"rubbish", good(surplus=True)),
    "gzip, chunked": Case(ok(b"Transfer-Encoding: gzip, chunked", body=CHUNKS), good(), why=LAST_CODING),
    "gzip and chunked": Case(ok(b"Transfer-Encoding: gzip", TE, body=CHUNKS), good(), why=LAST_CODING),
    "chunked and gzip": Case(ok(TE, b"Transfer-Encoding: gzip", body=b"ok"), good(keep=False), why=LAST_CODING),
    "xchunked": Case(ok(b"Transfer-Encoding: xchunked"), good(keep=False), why=LAST_CODING),
    "identity": Case(ok(b"Transfer-Encoding: identity"), good(keep=False), why=LAST_CODING),
    # Chunks
    "chunk size no number": Case(ok(TE, body=b"zz\r\nok\r\n0\r\n\r\n"), REFUSED),
    "chunk size negative": Case(ok(TE, body=b"-2\r\nok\r\n0\r\n\r\n"), REFUSED),
    "chunk size with a prefix": Case(ok(TE, body=b"0x2\r\nok\r\n0\r\n\r\n"), REFUSED),
    "chunk size with a space": Case(ok(TE, body=b"2 \r\nok\r\n0\r\n\r\n"), REFUSED, why=GRAMMAR),
    "chunk size beyond 64 bits": Case(
        ok(TE, body=b"F" * 18 + b"\r\nok"), REFUSED, why="Python's integers have no end, ours of C have"
    ),
    "chunk size of 60 bits": Case(ok(TE, body=b"F" * 15 + b"\r\nok"), CUT),
    "chunk shorter than it is": Case(ok(TE, body=b"2\r\nokk\r\n0\r\n\r\n"), REFUSED),
    "chunks with bare LF": Case(ok(TE, body=b"2\nok\n0\n\n"), REFUSED, why=GRAMMAR),
    "chunks without an end": Case(ok(TE, body=b"2\r\nok\r\n"), CUT),
    "trailer that is a length": Case(
        ok(TE, body=b"2\r\nok\r\n0\r\nContent-Length: 7\r\n\r\n"),
        REFUSED,
        why="RFC 9110 §6.5.1: a trailer must not say where the body ends; here it says so too late",
    ),
    # No HTTP at all
    "ssh": Case(b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n\r\n", REFUSED),
    "tls alert": Case(b"\x15\x03\x01\x00\x02\x02\x46", REFUSED),
    "html": Case(b"<html>\r\n\r\n</html>", REFUSED),
    "nothing": Case(b"", CUT),
    "line ends and no more": Case(b"\r\n" * 9, CUT, why="as line ends before an answer"),
}
