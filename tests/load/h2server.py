"""The server's side of HTTP/2 on one connection of `scripted.Server`, which may misbehave frame by frame."""

from __future__ import annotations

import h2.config
import h2.connection
import h2.errors
import h2.events
from scripted import Peer, Script


class H2Peer:
    """What a script talks through.

    Attributes:
        served: requests answered.
    """

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.number = peer.number
        # What a hostile server sends is not to be refused by our own end.
        config = h2.config.H2Configuration(
            client_side=False, validate_outbound_headers=False, normalize_outbound_headers=False
        )
        self.h2 = h2.connection.H2Connection(config=config)
        self.h2.initiate_connection()
        self._events: list[h2.events.Event] = []
        self.headers: dict[bytes, bytes] = {}
        self.body = b""
        self.served = 0
        self.flush()

    def flush(self) -> None:
        self.peer.send(self.h2.data_to_send())

    def request(self) -> int:
        """Wait for a whole request; its stream, 0 when the client has closed."""
        self.body = b""
        while True:
            while self._events:
                event = self._events.pop(0)
                if isinstance(event, h2.events.RequestReceived):
                    self.headers = {bytes(name): bytes(value) for name, value in event.headers}
                elif isinstance(event, h2.events.DataReceived):
                    self.body += event.data
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    self.flush()
                elif isinstance(event, h2.events.StreamEnded):
                    return event.stream_id
            data = self.peer.sock.recv(65_536)
            if not data:
                return 0
            self._events += self.h2.receive_data(data)
            self.flush()

    def answer(self, stream: int, body: bytes = b"ok", *, status: int = 200, headers=()) -> None:
        self.begin(stream, status=status, headers=[("content-length", str(len(body))), *headers])
        self.h2.send_data(stream, body, end_stream=True)
        self.flush()
        self.served += 1

    def begin(self, stream: int, *, status: int = 200, headers=(), end: bool = False) -> None:
        """The head alone."""
        self.h2.send_headers(stream, [(":status", str(status)), *headers], end_stream=end)
        self.flush()

    def goaway(self, last: int, error: int = 0) -> None:
        """A GOAWAY after which this end goes on as before."""
        payload = last.to_bytes(4, "big") + error.to_bytes(4, "big")
        self.peer.send(frame(7, payload))


def frame(kind: int, payload: bytes = b"", *, flags: int = 0, stream: int = 0) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def h2_script(act) -> Script:
    """A script for `scripted.Server` out of one for an `H2Peer`."""
    return lambda peer: act(H2Peer(peer))


def serve_well(peer: H2Peer) -> None:
    while stream := peer.request():
        peer.answer(stream)
