"""Bytes of answers, taken in: what they mean, by the parser or by having met them before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rollcheck.facts.attempts import Outcome
from rollcheck.load.answers import KNOWN_BYTES, KNOWN_LIMIT, Answer
from rollcheck.load.wire import KEEP_BODY, ResponseReader, make_reader

if TYPE_CHECKING:
    from rollcheck.load.connection import Connection
    from rollcheck.load.plan import LoadPlan

SPARE_READERS = 512


class Intake:
    """Lends each connection a parser while it reads, and judges what the parser made of it.

    One server's answers mostly repeat byte for byte. A bounded memo from the exact bytes of a small answer to what the
    parser made of them leaves the parser for the first of each.
    """

    def __init__(self, plan: LoadPlan) -> None:
        self._expectation = plan.expectation
        self._method, self._pod_header = plan.method, plan.pod_header
        self._remembers = not plan.access_log
        self._spare: list[ResponseReader] = []

    def begin(self, connection: Connection) -> None:
        """The first bytes of an answer came that nobody has met before: lend a parser."""
        if connection.reader is not None:
            connection.reader.next()
        elif self._spare:
            connection.reader = self._spare.pop()
            connection.reader.start()
        else:
            keep = KEEP_BODY if self._expectation.body else 0
            connection.reader = make_reader(self._method, self._pod_header, keep_body=keep)

    def receive(self, connection: Connection, data: bytes) -> Answer | None:
        """Take in bytes; the answer once it is whole.

        Raises:
            WireError: it is not an answer we accept.
        """
        reader = connection.reader
        assert reader is not None
        if not reader.receive(data):
            return None
        answer = self._judge(connection, reader)
        whole_at_once = connection.received == len(data) <= KNOWN_BYTES and not reader.surplus
        if whole_at_once and self._remembers and answer.outcome is Outcome.OK:
            connection.lane.book.remember(data, answer, KNOWN_LIMIT)
        return answer

    def receive_eof(self, connection: Connection) -> Answer | None:
        """The peer will send no more: the answer, if that makes it whole."""
        reader = connection.reader
        return self._judge(connection, reader) if reader is not None and reader.receive_eof() else None

    def end(self, connection: Connection) -> None:
        """The connection is closed: take its parser back."""
        if connection.reader is not None and len(self._spare) < SPARE_READERS:
            self._spare.append(connection.reader)
        connection.reader = None

    def _judge(self, connection: Connection, reader: ResponseReader) -> Answer:
        return Answer(
            reader.status,
            self._expectation.judge(reader.status, reader.body),
            keep_alive=reader.keep_alive,
            pod=reader.pod,
            head_bytes=reader.head_bytes,
            total_bytes=connection.received,
        )
