"""The logs of containers: where they lie, and how they are read.

One file for each attempt of a container, in the form that container runtimes write: `TIME stdout|stderr F|P TEXT`. They
go when their pod goes, as on a node.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any

import trio

from rollcheck.sandbox import status
from rollcheck.sandbox.registry import Registry
from rollcheck.sandbox.resources import PODS

FOLLOW_S = 0.05
CHUNK = 65536


def log_folder(folder: Path, pod: Mapping[str, Any]) -> Path:
    """Where a pod's logs lie."""
    meta = pod["metadata"]
    return folder / "logs" / f"{meta['namespace']}_{meta['name']}_{meta['uid']}"


def log_file(folder: Path, pod: Mapping[str, Any], container: str, attempt: int) -> Path:
    """The log of one attempt of a container."""
    return log_folder(folder, pod) / container / f"{attempt}.log"


class PodLogs:
    """Reads the logs of every pod of a sandbox; what the API server's `pods/log` answers.

    Args:
        registry: knows the pods.
        folder: the sandbox's.
    """

    def __init__(self, registry: Registry, folder: Path) -> None:
        self.registry = registry
        self.folder = folder

    async def lines(
        self,
        namespace: str,
        pod: str,
        container: str,
        *,
        follow: bool = False,
        previous: bool = False,
        timestamps: bool = False,
        tail: int | None = None,
        since: datetime | int | None = None,
    ) -> AsyncIterator[bytes]:
        """The lines of a log, each with its end of line.

        Args:
            namespace: of the pod.
            pod: its name.
            container: its name; "" for the only one.
            follow: go on until the container has ended.
            previous: of the attempt before this one.
            timestamps: each line begins with its time, in nanoseconds, and a space.
            tail: only so many of the last lines; None or negative for all.
            since: only lines at or after this instant, or of the last so many seconds.

        Raises:
            ApiFailure: 404 for the pod, 400 for a container that is not there or has not started.
        """
        found = self.registry.get(PODS, namespace, pod)
        path, running = self.locate(found, container, previous=previous)
        if isinstance(since, int):
            since = self.registry.clock.now() - timedelta(seconds=since)
        cut = "" if since is None else since.strftime("%Y-%m-%dT%H:%M:%S.%f")
        with closing(LogReader(path)) as written:
            for line in last(written.read(), tail):
                if (text := shown(line, cut, timestamps=timestamps)) is not None:
                    yield text
            while follow and running:
                running = self.still_runs(found, container)
                for line in written.read():
                    if (text := shown(line, cut, timestamps=timestamps)) is not None:
                        yield text
                if running:
                    await trio.sleep(FOLLOW_S)

    def locate(self, pod: dict[str, Any], container: str, *, previous: bool) -> tuple[Path, bool]:
        """The file of a log, and whether its container still writes to it."""
        name = pod["metadata"]["name"]
        spec = pod["spec"]
        names = [c["name"] for c in [*(spec.get("initContainers") or ()), *spec["containers"]]]
        if not container:
            if len(names) > 1:
                raise status.bad_request(
                    f"a container name must be specified for pod {name}, choose one of: [{' '.join(names)}]"
                )
            container = names[0]
        if container not in names:
            raise status.bad_request(f"container {container} is not valid for pod {name}")
        found = find_status(pod, container)
        state = (found or {}).get("state", {})
        restarts = (found or {}).get("restartCount", 0)
        if previous:
            if restarts == 0:
                raise status.bad_request(f'previous terminated container "{container}" in pod "{name}" not found')
            return log_file(self.folder, pod, container, restarts - 1), False
        path = log_file(self.folder, pod, container, restarts)
        if found is None or ("waiting" in state and not path.exists()):
            reason = state.get("waiting", {}).get("reason", "ContainerCreating")
            raise status.bad_request(f'container "{container}" in pod "{name}" is waiting to start: {reason}')
        return path, "running" in state

    def still_runs(self, pod: dict[str, Any], container: str) -> bool:
        """Whether the attempt that is followed goes on."""
        meta = pod["metadata"]
        now = self.registry.peek(PODS, meta["namespace"], meta["name"])
        if now is None or now["metadata"]["uid"] != meta["uid"]:
            return False
        container = container or pod["spec"]["containers"][0]["name"]
        before, after = find_status(pod, container) or {}, find_status(now, container) or {}
        return after.get("restartCount") == before.get("restartCount") and "running" in after.get("state", {})


def find_status(pod: Mapping[str, Any], container: str) -> dict[str, Any] | None:
    """A container's status, None when there is none yet."""
    known = pod.get("status", {})
    everyone = [*(known.get("initContainerStatuses") or ()), *(known.get("containerStatuses") or ())]
    return next((s for s in everyone if s["name"] == container), None)


class LogReader:
    """Reads a log's whole lines, each once; the file stays open, so that a log outlives its pod for who reads it.

    Args:
        path: of the log, which need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file: IO[bytes] | None = None
        self.rest = b""

    def read(self) -> Iterator[bytes]:
        """What was written since the last call; of a file that was begun anew, the old one's rest first."""
        yield from self.read_open()
        if self.begun_anew():
            yield from self.read_open()
            self.close()
            with suppress(FileNotFoundError):
                self.file = self.path.open("rb")
            yield from self.read_open()

    def read_open(self) -> Iterator[bytes]:
        """What there is to read in the open file."""
        while self.file is not None and (data := self.file.read(CHUNK)):
            *lines, self.rest = (self.rest + data).split(b"\n")
            yield from lines

    def begun_anew(self) -> bool:
        """Whether another file than the open one lies at the path."""
        try:
            there = self.path.stat().st_ino
        except FileNotFoundError:
            return False
        return self.file is None or there != os.fstat(self.file.fileno()).st_ino

    def close(self) -> None:
        """Read no more."""
        if self.file is not None:
            self.file.close()
            self.file = None


def shown(line: bytes, cut: str, *, timestamps: bool) -> bytes | None:
    """A line of the file as it is shown; None when it is older than `cut`."""
    time, _, rest = line.partition(b" ")
    _stream, _, rest = rest.partition(b" ")
    part, _, text = rest.partition(b" ")
    if cut and time.decode() < cut:
        return None
    end = b"" if part == b"P" else b"\n"
    return (time + b" " if timestamps else b"") + text + end


def last(lines: Iterable[bytes], count: int | None) -> Iterable[bytes]:
    """The last so many of them; all for None or a negative count."""
    return lines if count is None or count < 0 else deque(lines, maxlen=count)
