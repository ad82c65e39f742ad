"""A stand-in for MariaDB and MySQL: takes TCP connections on 3306 and greets them as a server does; it holds no data.

What a client sends is answered with an error packet (1045, access denied), and the connection is closed. SIGTERM
ends it with code 0. PORT, POD_IP, ROLLCHECK_PORTS: as in `web`; START_AFTER is in seconds (0.2).
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import sys
import time

VERSION = b"10.11.0-MariaDB-stand-in"


def packet(number: int, payload: bytes) -> bytes:
    """A packet of the MySQL protocol: three bytes of length, one of sequence."""
    return len(payload).to_bytes(3, "little") + bytes([number]) + payload


GREETING = packet(
    0,
    b"\x0a" + VERSION + b"\0" + b"\x01\0\0\0" + b"abcdefgh\0" + b"\xff\xf7" + b"\x21\x02\0" + b"\xff\x81" + b"\x15"
    + b"\0" * 10 + b"ijklmnopqrst\0" + b"mysql_native_password\0",
)  # fmt: skip
DENIED = packet(2, b"\xff" + (1045).to_bytes(2, "little") + b"#28000Access denied: this is a stand-in without data")


def listener() -> socket.socket:
    """The listening socket, on the pod's address."""
    port = os.environ.get("PORT", "3306")
    ports = dict(pair.split("=") for pair in os.environ.get("ROLLCHECK_PORTS", "").split(",") if pair)
    return socket.create_server((os.environ.get("POD_IP", ""), int(ports.get(port, port))), backlog=128)


def main(argv: list[str]) -> None:
    """Serve until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    time.sleep(float(os.environ.get("START_AFTER", "0.2")))
    selector = selectors.DefaultSelector()
    server = listener()
    selector.register(server, selectors.EVENT_READ)
    print(f"{argv[0]}: ready for connections. Version: '{VERSION.decode()}'", flush=True)
    while True:
        for key, _ in selector.select():
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            try:
                if sock is server:
                    client, _ = server.accept()
                    client.sendall(GREETING)
                    selector.register(client, selectors.EVENT_READ)
                    continue
                if sock.recv(65536):
                    sock.sendall(DENIED)
            except OSError:
                pass
            if sock is not server:
                selector.unregister(sock)
                sock.close()


if __name__ == "__main__":
    main(sys.argv)
