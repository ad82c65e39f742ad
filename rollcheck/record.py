"""The document of a run on disk: appended while the run goes on, sealed at its end.

`append` is sync and has no checkpoint, so that no cancellation can lose a fact. Lines are gathered and handed to the
kernel by `flush` (the run calls it several times a second, and at every stage), so a kill -9 loses at most
what came since.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Self

from rollcheck.errors import DiskFull, DocumentError
from rollcheck.facts.clock import Instant
from rollcheck.facts.codec import decode_document, encode_line
from rollcheck.facts.document import Document, Fact, Header, Seal

FACTS = "facts.jsonl"


class Recorder:
    """Appends facts to `path`, which must not exist yet, and keeps them in memory for the analysis that follows.

    Args:
        path: of the document.
        header: its first line.
        remember: whether facts are kept in memory; without, `document` is of no use, and a load may last for days.

    Raises:
        DocumentError: the file exists, or its folder cannot be written.
    """

    def __init__(self, path: Path, header: Header, *, remember: bool = True) -> None:
        self.path = path
        self.header = header
        self._remember = remember
        self._lines = 1
        self.facts: list[Fact] = []
        self.seal: Seal | None = None
        self.failure: DiskFull | None = None
        self._pending: list[bytes] = []
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as e:
            raise DocumentError(f"cannot write {path}: {e.strerror}; choose another folder with --out") from e
        self._pending.append(encode_line(header))
        self.flush()

    def append(self, fact: Fact) -> None:
        """Record one fact."""
        if self._remember:
            self.facts.append(fact)
        self._lines += 1
        self._pending.append(encode_line(fact))

    def flush(self) -> None:
        """Hand what is pending to the kernel.

        A full disk is remembered in `failure` and raised by nobody: the run ends in good order with what it has in
        memory, and its document stays unsealed.
        """
        if self.failure is not None or not self._pending:
            return
        data = memoryview(b"".join(self._pending))
        self._pending.clear()
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError as e:
            self.failure = DiskFull(f"{self.path} could not be written any further: {e.strerror}")

    def finish(self, seal: Seal) -> None:
        """Append the seal and force everything to the disk."""
        self.seal = seal
        self._pending.append(encode_line(seal))
        self.flush()
        if self.failure is None:
            os.fsync(self._fd)

    def close(self) -> None:
        """Flush and close the file; the document stays unsealed unless `finish` was called."""
        if self._fd >= 0:
            self.flush()
            os.close(self._fd)
            self._fd = -1

    def document(self) -> Document:
        """What was recorded, as analysis takes it."""
        seal = None if self.failure else self.seal
        return Document(header=self.header, facts=tuple(self.facts), seal=seal, damaged=str(self.failure or ""))

    def next_seal(self, ended_ns: Instant, interrupted: str, scheduled: dict[str, int], probes: int) -> Seal:
        """The seal that fits what was recorded so far."""
        return Seal(ended_ns=ended_ns, lines=self._lines, interrupted=interrupted, scheduled=scheduled, probes=probes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_document(folder: Path) -> Document:
    """The document in `folder` (or at that path).

    Raises:
        DocumentError: there is none, or it cannot be read.
    """
    path = folder / FACTS if folder.is_dir() else folder
    try:
        data = path.read_bytes()
    except OSError as e:
        raise DocumentError(f"no document at {path}: {e.strerror}; give the folder that `rollcheck run` wrote") from e
    return decode_document(data.splitlines())
