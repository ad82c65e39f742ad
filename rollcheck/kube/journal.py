"""What has to be put back, on disk before it is changed.

One file a run, JSON Lines: who runs, then an entry for each change, then the number of each entry that needs nothing
any more. The run holds a lock on its file, which the system takes from it however it ends: a file that nobody holds and
that has entries left is what `rollcheck cleanup` puts back. A file without any left is removed.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rollcheck.errors import UsageError

Json = dict[str, Any]

SUFFIX = ".journal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One change that has to be put back.

    Attributes:
        kind: "node" (was cordoned), "replicas", "images" or "template".
        path: of the object in the API; uid: of the object, so that another one of its name is left alone.
        what: what a person would call it: "node/n1".
        before, after: what it was, and what we made of it; put back only where it still is what we made of it.
    """

    kind: str
    path: str
    uid: str
    what: str
    before: Json = field(default_factory=dict)
    after: Json = field(default_factory=dict)


class Journal:
    """The journal of one run; its file appears with the first entry.

    Args:
        folder: of the journals of this user.
        run_id: names the file.
        about: of the run, for whoever cleans up: kubeconfig, context, namespace, workload.
    """

    def __init__(self, folder: Path, run_id: str, about: Mapping[str, str]) -> None:
        self.path = folder / f"{run_id}{SUFFIX}"
        self.about = dict(about)
        self._entries: dict[int, Entry] = {}
        self._count = 0
        self._fd = -1

    @property
    def open(self) -> list[tuple[int, Entry]]:
        """The entries that still have to be put back, the latest first."""
        return sorted(self._entries.items(), reverse=True)

    def enter(self, entry: Entry) -> int:
        """Have the entry on disk, and its number; call it before the change is made.

        Raises:
            UsageError: it cannot be written, so nothing may be changed.
        """
        try:
            if self._fd < 0:
                self._begin()
            self._write({"number": self._count, "entry": asdict(entry)})
        except OSError as e:
            raise _unwritable(self.path, e) from e
        self._entries[self._count] = entry
        self._count += 1
        return self._count - 1

    def amend(self, number: int, after: Json) -> None:
        """Say what the change came to, once that is known."""
        entry = self._entries[number]
        amended = Entry(
            kind=entry.kind, path=entry.path, uid=entry.uid, what=entry.what, before=entry.before, after=after
        )
        self._entries[number] = amended
        self._note({"number": number, "entry": asdict(amended)})

    def strike(self, number: int) -> None:
        """Nothing is left to put back of this entry."""
        self._entries.pop(number, None)
        self._note({"struck": number})

    def close(self) -> None:
        """Let go of the file, and remove it unless something is left to put back."""
        if self._fd < 0:
            return
        if not self._entries:
            self.path.unlink(missing_ok=True)
        os.close(self._fd)
        self._fd = -1

    def _begin(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._write({"pid": os.getpid(), **self.about})

    def _note(self, line: Json) -> None:
        """A line whose loss does no harm: putting back looks at what is there first."""
        try:
            self._write(line)
        except OSError:
            return

    def _write(self, line: Json) -> None:
        os.write(self._fd, json.dumps(line).encode() + b"\n")
        os.fsync(self._fd)


class Left(Journal):
    """The journal of a run that is no more.

    Raises:
        BlockingIOError: its run still goes on.
        OSError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path.parent, path.name.removesuffix(SUFFIX), {})
        self._fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._read(path.read_bytes())
        except OSError:
            os.close(self._fd)
            self._fd = -1
            raise

    def _read(self, data: bytes) -> None:
        for number, text in enumerate(data.splitlines()):
            try:
                line = json.loads(text)
                if number == 0:
                    self.about = {name: str(value) for name, value in line.items()}
                elif "struck" in line:
                    self._entries.pop(line["struck"], None)
                else:
                    self._entries[line["number"]] = Entry(**line["entry"])
            except (ValueError, KeyError, TypeError, AttributeError):
                continue  # a torn last line: its change was not begun
        self._count = max(self._entries, default=-1) + 1


def check_folder(folder: Path) -> None:
    """Make sure that journals can be written there, before anything else happens.

    Raises:
        UsageError: they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as e:
        raise _unwritable(folder, e) from e


def _unwritable(path: Path, error: OSError) -> UsageError:
    return UsageError(
        f"the journal {path} cannot be written ({error.strerror}), so nothing was changed; set XDG_STATE_HOME to a "
        "folder that can"
    )


def journals_in(folder: Path) -> list[Path]:
    """The journals of this user, the oldest first."""
    return sorted(folder.glob(f"*{SUFFIX}"), key=lambda path: path.stat().st_mtime) if folder.is_dir() else []
