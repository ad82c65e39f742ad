"""The way to the kernel: sockets, TLS contexts, addresses, and which cause an exception of theirs is."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Sequence

from rollcheck.errors import UsageError
from rollcheck.load.outcomes import Cause, Fault, describe_errno
from rollcheck.load.plan import is_ip

_TCP_CLOSE = 7

Address = tuple[int, tuple[str | int, ...]]
"""Address family and what connect() takes."""


def make_tls_context(*, verify: bool, ca_file: str) -> ssl.SSLContext:
    """One context for a whole run; building it reads the system's authorities, about 20 ms.

    Raises:
        UsageError: `ca_file` cannot be read or holds no certificate.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except OSError as e:
        raise UsageError(f"cannot take certificate authorities from {ca_file}: {e.strerror or e}") from e
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context


def literal_address(host: str, port: int) -> Address | None:
    """The address that an IP literal is; None for a name."""
    if not is_ip(host):
        return None
    return (socket.AF_INET6, (host, port, 0, 0)) if ":" in host else (socket.AF_INET, (host, port))


def lookup(host: str, port: int) -> tuple[Address, ...]:
    """The addresses of a name, as the system's resolver gives them; blocks.

    IPv4 wins where there are both, as in fortio: an attempt goes to one address, and a name such as `localhost` often
    has an IPv6 address on which nobody listens. Falling back within an attempt would be a hidden retry.

    Raises:
        OSError: there is none.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses: list[Address] = [(int(item[0]), tuple(item[4])) for item in found]  # type: ignore[arg-type]
    chosen = [a for a in addresses if a[0] == socket.AF_INET] or addresses
    return tuple(dict.fromkeys(chosen))


def open_socket(address: Address) -> socket.socket:
    """A non-blocking TCP socket of the address's family, not yet connected.

    Raises:
        OSError: this machine has none left.
    """
    sock = socket.socket(address[0], socket.SOCK_STREAM | getattr(socket, "SOCK_NONBLOCK", 0))
    sock.setblocking(False)
    # Without it a request in two pieces would wait for the peer's delayed acknowledgement.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def format_address(address: Sequence[object]) -> str:
    """`ip:port`, with brackets around an IPv6 address."""
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
    """Whether the peer has reset the connection; after its FIN the socket waits for our close, after an RST it is dead.

    Python's ssl module takes a reset for an EOF (its call to SSL_read_ex returns 0 for both, and errno is not looked
    at), so the kernel is asked, and *before* the read: at an EOF without close_notify OpenSSL writes an alert, which a
    peer that has closed answers with an RST of its own.
    """
    try:
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _TCP_CLOSE
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
