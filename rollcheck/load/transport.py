"""The way to the kernel: sockets, TLS contexts, addresses, and which cause an exception of theirs is."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from rollcheck.errors import UsageError
from rollcheck.load.outcomes import Cause, Fault, describe_errno
from rollcheck.load.plan import Target, is_ip

_TCP_CLOSE = 7

Address = tuple[int, tuple[str | int, ...] | str]
"""Address family and what connect() takes; of a Unix socket that is a path."""

_FAMILIES = {"ip4": socket.AF_INET, "ip6": socket.AF_INET6, "any": socket.AF_UNSPEC}
_NO_SUCH = frozenset(getattr(socket, name, 0) for name in ("EAI_NONAME", "EAI_NODATA", "EAI_ADDRFAMILY"))
_UNIX_PATH = 107
"""Bytes of a Unix socket's path, at most."""


def make_tls_context(*, verify: bool, ca_file: str, cert_file: str = "", key_file: str = "") -> ssl.SSLContext:
    """One context for a whole run; building it reads the system's authorities, about 20 ms, where they are needed.

    Args:
        verify: whether the server's certificate, and the name in it, are checked.
        ca_file: PEM file of the authorities to trust instead of the system's.
        cert_file: PEM file of our own certificate, with the ones between it and its authority; empty for none.
        key_file: PEM file of its private key; empty where `cert_file` holds that too.

    Raises:
        UsageError: a file cannot be read, or does not hold what it should.
    """
    try:
        if verify:
            context = ssl.create_default_context(cafile=ca_file or None)
        else:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            if ca_file:
                context.load_verify_locations(ca_file)
    except OSError as e:
        raise UsageError(f"cannot take certificate authorities from {ca_file}: {e.strerror or e}") from e
    if cert_file:
        _load_certificate(context, cert_file, key_file)
    elif key_file:
        raise UsageError(f"the key {key_file} is of no use without its certificate; give that too")
    context.set_alpn_protocols(["http/1.1"])
    return context


def _load_certificate(context: ssl.SSLContext, cert_file: str, key_file: str) -> None:
    holder = key_file or cert_file
    for path in dict.fromkeys((cert_file, holder)):
        try:
            Path(path).read_bytes()
        except OSError as e:
            raise UsageError(f"cannot read {path}: {e.strerror}") from e

    def refuse() -> str:
        # OpenSSL would ask on the terminal.
        raise UsageError(f"the key in {holder} has a passphrase; decrypt it first: openssl pkey -in {holder} -out …")

    try:
        context.load_cert_chain(cert_file, key_file or None, password=refuse)
    except ssl.SSLError as e:
        if e.reason == "KEY_VALUES_MISMATCH":
            raise UsageError(f"the key in {holder} is not the one of the certificate in {cert_file}") from e
        raise UsageError(f"cannot take a certificate from {cert_file} with a key from {holder}: {e.strerror}") from e


def literal_address(host: str, port: int) -> Address | None:
    """The address that an IP literal is; None for a name.

    Raises:
        UsageError: its zone (`fe80::1%eth0`) is no interface of this machine.
    """
    if not is_ip(host):
        return None
    if "%" in host:
        try:
            return _addresses(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST))[0]
        except OSError as e:
            raise UsageError(f"{host}: this machine has no interface {host.partition('%')[2]!r}") from e
    return (socket.AF_INET6, (host, port, 0, 0)) if ":" in host else (socket.AF_INET, (host, port))


def unix_address(path: str) -> Address:
    """The address of a Unix socket; `@name` is one in Linux's abstract namespace.

    Raises:
        UsageError: no socket can have that path.
    """
    if not path or "\0" in path or len(os.fsencode(path)) > _UNIX_PATH:
        raise UsageError(f"{path!r} cannot be a Unix socket: its path has 1 to {_UNIX_PATH} bytes")
    return (socket.AF_UNIX, "\0" + path[1:] if path.startswith("@") else path)


def find_address(target: Target) -> Address | None:
    """The address of a target that needs no lookup: its Unix socket, or its IP; None for a name.

    Raises:
        UsageError: see `unix_address` and `literal_address`.
    """
    if target.unix_socket:
        return unix_address(target.unix_socket)
    return literal_address(target.connect_host, target.port)


def lookup(host: str, port: int, family: str = "ip4") -> tuple[Address, ...]:
    """The addresses of a name, as the system's resolver gives them; blocks.

    Args:
        host: a name.
        port: of all the addresses.
        family: "ip6" takes IPv6 alone, "any" both. "ip4" takes IPv4 where there is one: an attempt goes to one
            address, a name such as `localhost` often has an IPv6 address on which nobody listens, and falling back
            within an attempt would be a hidden retry.

    Raises:
        OSError: there is none.
    """
    try:
        found = socket.getaddrinfo(host, port, family=_FAMILIES[family], type=socket.SOCK_STREAM)
    except socket.gaierror as e:
        if family != "ip4" or e.errno not in _NO_SUCH:
            raise
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return _addresses(found)


def _addresses(found: Sequence[tuple[int, int, int, str, Any]]) -> tuple[Address, ...]:
    return tuple(dict.fromkeys((int(item[0]), tuple(item[4])) for item in found))


_NONBLOCK = getattr(socket, "SOCK_NONBLOCK", 0)
STREAM = int(socket.SOCK_STREAM) | _NONBLOCK


def open_socket(address: Address, *, light: bool = False) -> socket.socket:
    """A non-blocking stream socket of the address's family, not yet connected.

    Args:
        address: where it will be connected to.
        light: make the C class under Python's own, which costs half as much and does all that this package asks of a
            socket; TLS wants Python's.

    Raises:
        OSError: this machine has none left.
    """
    kind = cast(type[socket.socket], socket.SocketType) if light else socket.socket
    sock = kind(address[0], STREAM)
    if not _NONBLOCK:
        sock.setblocking(False)
    return sock


def send_at_once(sock: socket.socket) -> None:
    """Let no small piece of a request wait for the peer's delayed acknowledgement; for requests of several pieces.

    One that goes out whole on an idle connection never waits, so that nearly no connection needs the call.
    """
    if sock.family != socket.AF_UNIX:
        with suppress(OSError):  # gone already: the next write will say so
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def begin_connect(sock: socket.socket, address: Address) -> int:
    """Call connect(); 0, EINPROGRESS or the errno of what went wrong.

    A Unix socket whose queue is full answers EAGAIN, which of TCP means that *our* ports have run out. It is the
    target that takes no more, so it is called what TCP would say: refused.
    """
    number = sock.connect_ex(address[1])
    return errno.ECONNREFUSED if number == errno.EAGAIN and address[0] == socket.AF_UNIX else number


def format_address(address: Sequence[object]) -> str:
    """`ip:port`, with brackets around an IPv6 address; a Unix socket's path, empty for one without a name."""
    if isinstance(address, str | bytes):
        path = os.fsdecode(address)
        return "@" + path[1:] if path.startswith("\0") else path
    host, port = str(address[0]), address[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def read_cause(error: OSError, *, reset: bool = False) -> tuple[Cause, str]:
    """What an exception of a socket means, and a short detail without addresses.

    `reset` says what the kernel knew when TLS failed (`was_reset`): TLS itself cannot tell a reset from a close.
    """
    if isinstance(error, ssl.SSLError):
        if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
            if reset:
                return errno.ECONNRESET, describe_errno(errno.ECONNRESET)
            return Fault.EOF, "closed without close_notify"
        # Both are set by OpenSSL only: an error made by Python has neither.
        said = getattr(error, "verify_message", "") or getattr(error, "reason", "") or type(error).__name__
        return Fault.TLS, str(said)
    if isinstance(error, socket.gaierror):
        return Fault.LOOKUP, str(error.strerror or error)
    number = error.errno or errno.EIO
    return number, describe_errno(number)


def was_reset(sock: socket.socket) -> bool:
    """Whether it was an RST that ended the connection, asked after TLS has read its end.

    Python's ssl module takes a reset for an EOF (its call to SSL_read_ex returns 0 for both, and errno is not looked
    at), so the kernel is asked. An EOF without close_notify makes OpenSSL write an alert, which a peer that has closed
    answers with an RST of its own: the socket is closed then as well, but that RST, coming after a FIN, is an EPIPE
    that nobody has been told of yet, whereas a reset has been read. A Unix socket has no such state: False.
    """
    if sock.family == socket.AF_UNIX:
        return False
    try:
        if sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != _TCP_CLOSE:
            return False
        return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != errno.EPIPE
    except OSError:
        return True


def count_open_files() -> int:
    """File descriptors of this process; 0 where the system does not say."""
    for folder in ("/proc/self/fd", "/dev/fd"):
        try:
            return len(os.listdir(folder)) - 1  # noqa: PTH208  # a Path for each of thousands is waste
        except OSError:
            continue
    return 0


def file_limit() -> int:
    """The most file descriptors this process may open."""
    import resource  # noqa: PLC0415  # not on every system

    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
