"""A network namespace's one service that pods cannot do without: `bind` to all addresses is bind to the pod's own.

On Linux a process may ask the kernel to hold its own `bind` calls and to let another process answer them
(seccomp(2), user notification; no privilege needed, kernel 5.6). A container's main process installs such a filter just
before it is executed, and the warden answers: a wildcard is bound to the pod's address and to the port that stands
for the one asked for; every other bind goes on as it is. So any server runs in three pods at once, unchanged.

Where the kernel or a policy refuses any of this, programs bind as they are told, and a mapped command has to be given
`$(POD_IP)`. Standard library only: the warden loads this file by its path.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import socket
import struct
import sys
from contextlib import suppress
from fcntl import ioctl
from pathlib import Path

MACHINE = os.uname().machine
PR_SET_NO_NEW_PRIVS = 38
SET_MODE_FILTER, NEW_LISTENER = 1, 1 << 3
NOTIF_RECV, NOTIF_SEND, NOTIF_ID_VALID = 0xC0502100, 0xC0182101, 0x40082102
CONTINUE = 1
ALLOW, NOTIFY = 0x7FFF0000, 0x7FC00000
SECCOMP, BIND = {"x86_64": (317, 49), "aarch64": (277, 200)}.get(MACHINE, (0, 0))
ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}.get(MACHINE, 0)
PIDFD_OPEN, PIDFD_GETFD = 434, 438
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
SOCKADDR_MAX = 28
WILDCARD_4, WILDCARD_6 = bytes(4), bytes(16)
MAPPED = bytes(10) + b"\xff\xff"

supported = sys.platform.startswith("linux") and SECCOMP > 0
libc = ctypes.CDLL(None, use_errno=True)


class Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def filter_code() -> bytes:
    """Ask about bind, allow everything else; another architecture's calls (32 bits) are let through."""
    steps = [(LOAD, 0, 0, 4), (EQUAL, 0, 3, ARCHITECTURE), (LOAD, 0, 0, 0), (EQUAL, 0, 1, BIND), (RETURN, 0, 0, NOTIFY)]
    return b"".join(struct.pack("=HBBI", *step) for step in [*steps, (RETURN, 0, 0, ALLOW)])


def install() -> int:
    """Have the kernel ask about our own binds from here on, and about those of all we start; where it asks, -1 if not.

    The process that calls this must not bind before somebody answers.
    """
    if not supported:
        return -1
    code = filter_code()
    kept = ctypes.create_string_buffer(code, len(code))
    program = Program(len(code) // 8, ctypes.addressof(kept))
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return -1
    return int(libc.syscall(SECCOMP, SET_MODE_FILTER, NEW_LISTENER, ctypes.byref(program)))


class Answers:
    """Answers the binds of one container.

    Args:
        listener: what `install` gave.
        pod_ip: the pod's address.
        ports: port that is asked for → port that is bound.
    """

    def __init__(self, listener: int, pod_ip: str, ports: dict[int, int]) -> None:
        self.listener = listener
        self.pod_ip = socket.inet_aton(pod_ip)
        self.ports = ports
        self.poll = select.poll()
        self.poll.register(listener, select.POLLIN)

    def answer(self) -> bool:
        """Answer one question; False when nobody is left who could ask."""
        question = bytearray(80)
        if not any(event & select.POLLIN for _, event in self.poll.poll(0)):
            return False
        try:
            ioctl(self.listener, NOTIF_RECV, question)
        except OSError as e:
            return e.errno in (errno.ENOENT, errno.EINTR)
        (id_,) = struct.unpack_from("=Q", question, 0)
        (pid,) = struct.unpack_from("=I", question, 8)
        fd, address, length = struct.unpack_from("=QQQ", question, 32)
        value, flags = 0, CONTINUE
        try:
            wanted = self.wanted(pid, address, length)
            if wanted is not None:
                ioctl(self.listener, NOTIF_ID_VALID, struct.pack("=Q", id_))
                value, flags = self.bind(pid, fd & 0xFFFFFFFF, wanted), 0
        except OSError:
            value, flags = 0, CONTINUE
        with suppress(OSError):
            ioctl(self.listener, NOTIF_SEND, bytearray(struct.pack("=QqiI", id_, 0, value, flags)))
        return True

    def wanted(self, pid: int, address: int, length: int) -> bytes | None:
        """What is to be bound instead; None when the call is good as it is."""
        with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
            memory.seek(address)
            given = memory.read(min(length, SOCKADDR_MAX))
        if len(given) < 8:
            return None
        (family,), (port,) = struct.unpack_from("=H", given, 0), struct.unpack_from("!H", given, 2)
        if port == 0:
            return None
        real = struct.pack("!H", self.ports.get(port, port))
        if family == socket.AF_INET and given[4:8] == WILDCARD_4:
            return given[:2] + real + self.pod_ip + bytes(8)
        if family == socket.AF_INET6 and given[8:24] == WILDCARD_6:
            return given[:2] + real + given[4:8] + MAPPED + self.pod_ip + given[24:28]
        return None

    def bind(self, pid: int, fd: int, wanted: bytes) -> int:
        """Bind another process's socket; 0 or a negative errno."""
        theirs = copy_of(group_of(pid), fd)
        try:
            if struct.unpack_from("=H", wanted, 0)[0] == socket.AF_INET6:
                with socket.socket(fileno=os.dup(theirs)) as sock:
                    if sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
                        return 0  # it has a socket for IPv4 as well, and nobody asks here over IPv6
            if libc.bind(theirs, wanted, len(wanted)) == 0:
                return 0
            return -ctypes.get_errno()
        finally:
            os.close(theirs)


def group_of(pid: int) -> int:
    """The process to which a thread belongs."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("Tgid:"):
            return int(line.split()[1])
    raise ProcessLookupError(errno.ESRCH, "no such process")


def copy_of(pid: int, fd: int) -> int:
    """A copy of another process's descriptor."""
    process = libc.syscall(PIDFD_OPEN, pid, 0)
    if process < 0:
        raise OSError(ctypes.get_errno(), "pidfd_open")
    try:
        copied = int(libc.syscall(PIDFD_GETFD, process, fd, 0))
        if copied < 0:
            raise OSError(ctypes.get_errno(), "pidfd_getfd")
        return copied
    finally:
        os.close(process)
