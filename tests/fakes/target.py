"""What the load is put on: a server that counts every request on its side, and resets or refuses on demand."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

from tests.load.scripted import Peer, Server

POD_HEADER = "X-Pod-Name"


class Target(Server):
    """Answers 200, naming in `X-Pod-Name` the pod that `pick` gives.

    Attributes:
        pick: the pod that answers now; empty when the answer is to name none.
        resetting: while set, every request is read and answered by RST.
        status: what it answers, `delay_s` after the request.
        answered, reset: requests so far, by what became of them.
    """

    def __init__(self, pick: Callable[[], str] = lambda: "") -> None:
        super().__init__()
        self.pick = pick
        self.resetting = False
        self.status = 200
        self.delay_s = 0.0
        self.answered = 0
        self.reset = 0
        self._counting = threading.Lock()
        self.script = self._answer

    def refuse(self) -> None:
        """Listen no more: new connections are refused, open ones are served on."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def listen(self) -> None:
        """Listen again, on the same port."""
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=512)
        self._start(self._accept)

    def _answer(self, peer: Peer) -> None:
        while head := peer.request():
            with self._counting:
                resetting = self.resetting
                if resetting:
                    self.reset += 1
                else:
                    self.answered += 1
            if resetting:
                peer.reset()
                return
            time.sleep(self.delay_s)
            pod = self.pick()
            named = f"{POD_HEADER}: {pod}\r\n" if pod else ""
            peer.send(f"HTTP/1.1 {self.status} Said\r\n{named}Content-Length: 2\r\n\r\nok".encode())
            if b"connection: close" in head.lower():
                return
