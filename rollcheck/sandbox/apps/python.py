"""`python3` inside a sandbox's container: FILE, `-c CODE` or `-m MODULE`, the standard library only.

It is the interpreter that runs the sandbox, but for one thing: a socket bound to all addresses is bound to the
pod's ($POD_IP), because there is no network namespace and every pod of the machine wants the same port; and to the port
that $ROLLCHECK_PORTS has for it, where pods share an address or the port needs root. An IPv6 wildcard becomes the pod's
mapped IPv4 address. A socket that is bound to 127.0.0.1 or by a C library stays as it is.
"""

from __future__ import annotations

import builtins
import os
import socket
import sys
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

FLAGS = frozenset(("-u", "-B", "-I", "-S", "-s", "-E", "-O", "-OO", "-q"))
WILDCARDS = ("", "0.0.0.0", "::", "::0")  # noqa: S104 - what is looked for, not what is bound


def real_address(family: int, address: Any, pod_ip: str, ports: dict[str, int]) -> Any:
    """Where a socket is bound instead of `address`."""
    if family not in (socket.AF_INET, socket.AF_INET6) or not isinstance(address, tuple) or address[0] not in WILDCARDS:
        return address
    host = pod_ip if family == socket.AF_INET else f"::ffff:{pod_ip}"
    return (host, ports.get(str(address[1]), address[1]), *address[2:])


def bind_to_the_pod(pod_ip: str, ports: dict[str, int]) -> None:
    """Have every socket of the standard library bound where the pod is."""

    class PodSocket(socket.socket):
        """A socket whose wildcard is the pod."""

        def bind(self, address: Any) -> None:
            """Bind; a mapped IPv4 address needs a socket that speaks both."""
            real = real_address(self.family, address, pod_ip, ports)
            if real is not address and self.family == socket.AF_INET6:
                self.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            super().bind(real)

    PodSocket.__name__ = PodSocket.__qualname__ = "socket"
    setattr(socket, "socket", PodSocket)  # noqa: B010 - a class that stands for another is nothing for a type checker


def run_code(source: str, name: str) -> None:
    """Run source as `__main__`."""
    module = types.ModuleType("__main__")
    module.__dict__["__builtins__"] = builtins
    module.__dict__["__file__"] = name
    sys.modules["__main__"] = module
    exec(compile(source, name, "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - it is the container's program


def main(argv: list[str]) -> None:
    """Run what the command line says; without FILE there is nothing to do, for standard input is empty."""
    pod_ip = os.environ.get("POD_IP", "")
    if pod_ip:
        pairs = [pair.split("=") for pair in os.environ.get("ROLLCHECK_PORTS", "").split(",") if pair]
        bind_to_the_pod(pod_ip, {port: int(real) for port, real in pairs})
    args = argv[1:]
    while args and args[0] in FLAGS:
        del args[0]
    if not args:
        return
    if args[0] == "-c" and len(args) > 1:
        sys.argv[:] = ["-c", *args[2:]]
        run_code(args[1], "<string>")
    elif args[0] == "-m" and len(args) > 1:
        import runpy  # noqa: PLC0415 - slow, and seldom asked for

        sys.argv[:] = args[1:]
        runpy.run_module(args[1], run_name="__main__", alter_sys=True)
    elif args[0] in ("-V", "--version"):
        print("Python", sys.version.split()[0])
    elif args[0].startswith("-"):
        sys.exit(f"python3: the sandbox's python has no option {args[0]}")
    else:
        sys.argv[:] = args
        sys.path.insert(0, os.path.dirname(os.path.abspath(args[0])))  # noqa: PTH100, PTH120 - quick to start
        try:
            with open(args[0], encoding="utf-8") as file:  # noqa: PTH123
                source = file.read()
        except OSError as e:
            print(f"python3: can't open file {args[0]!r}: [Errno {e.errno}] {e.strerror}", file=sys.stderr)
            sys.exit(2)
        run_code(source, args[0])


if __name__ == "__main__":
    main(["python3", *sys.argv[1:]])
