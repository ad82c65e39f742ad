"""What the kernel can be asked and told about listening sockets, without any privilege."""

from __future__ import annotations

import ctypes
import errno
import os
import random
import socket
import struct
import sys

BACKLOG = 1024
OWN_PORTS = range(10_000, 20_000)
_SOCK_DIAG, _BY_FAMILY, _REQUEST, _ERROR = 4, 20, 1, 2
_LISTEN = 10
_ANY_COOKIE = 0xFFFFFFFF
_SO_ATTACH_FILTER, _SO_DETACH_FILTER, _RETURN_NOTHING = 26, 27, struct.pack("HBBI", 6, 0, 0, 0)


class ListenerTable:
    """Asks Linux which ports are listened on (NETLINK_SOCK_DIAG, 11 µs a question)."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        if sys.platform == "linux":
            try:
                self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _SOCK_DIAG)
                self._socket.setblocking(False)
            except OSError:
                self._socket = None

    def listening(self, host: str, port: int) -> bool | None:
        """Whether a connect to that IPv4 address would find somebody; None where the kernel does not tell."""
        if self._socket is None:
            return None
        try:
            self._socket.send(_question(host, port))
            answer = self._socket.recv(4096)
        except OSError:
            return None
        if struct.unpack_from("=H", answer, 4)[0] != _ERROR:
            return bool(answer[17] == _LISTEN)
        return False if -struct.unpack_from("=i", answer, 16)[0] == errno.ENOENT else None

    def close(self) -> None:
        """Ask no more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _question(host: str, port: int) -> bytes:
    names = struct.pack(">HH", port, 0) + socket.inet_aton(host) + bytes(28)
    body = struct.pack("=BBBxI", socket.AF_INET, socket.IPPROTO_TCP, 0, 1 << _LISTEN) + names
    body += struct.pack("=III", 0, _ANY_COOKIE, _ANY_COOKIE)
    return struct.pack("=IHHII", 16 + len(body), _BY_FAMILY, _REQUEST, 1, 0) + body


def listen(host: str, port: int) -> socket.socket:
    """A listening socket that does not block.

    Raises:
        OSError: the port is taken or not ours to take.
    """
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(BACKLOG)
    except OSError:
        made.close()
        raise
    return made


def stay_silent(listener: socket.socket, silent: bool) -> bool:
    """Let a listener drop every SYN, as a firewall's DROP does, or end that; False where the system cannot."""
    if sys.platform != "linux":
        return False
    try:
        if silent:
            program = ctypes.create_string_buffer(_RETURN_NOTHING)
            listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", 1, ctypes.addressof(program)))
        else:
            listener.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
    except OSError:
        return False
    return True


def may_listen(host: str, port: int) -> bool:
    """Whether this user may listen on that port at all, taken or not: ports below 1024 are root's in most places."""
    try:
        listen(host, port).close()
    except PermissionError:
        return False
    except OSError:
        pass
    return True


def free_port(host: str) -> int:
    """A port on which nobody listens, below those that the system gives to outgoing connections: it may be closed for
    a while without another program's connection taking it.

    Raises:
        OSError: there is none.
    """
    for port in random.sample(OWN_PORTS, len(OWN_PORTS)):
        try:
            listen(host, port).close()
        except OSError:
            continue
        return port
    raise OSError(errno.EADDRINUSE, f"no port of {host} is free")


def why_not(error: OSError, host: str, port: int) -> str:
    """Why one cannot listen there, in one sentence."""
    if error.errno == errno.EADDRINUSE:
        return f"{host}:{port} is taken by another program; end that, or choose another port"
    return f"{host}:{port} cannot be listened on: {os.strerror(error.errno or 0)}"
