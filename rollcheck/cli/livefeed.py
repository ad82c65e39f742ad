"""Tells the process that shows a run how it goes on: small frames through a pipe, about four times a second.

This side lives in the process that times the requests, so it never waits: the pipe does not block, a frame that finds
it full is left out (the next one says the same and more), and only what people are told in words is kept for later.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rollcheck.facts.cluster import ContainerState, PodSeen, SliceSeen
    from rollcheck.load.progress import Progress

BOOT = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from rollcheck.cli.liveview import main; main()"
"""What the other process runs: with our own search path, so that nothing of the working folder is taken for ours."""
MOST_PENDING = 256 * 1024
"""Bytes of words that wait for the other process at most; a terminal that was stopped (Ctrl-S) reads nothing."""
END_WAIT_S = 3.0
"""How long the other process may take to leave the terminal as it found it."""


class LiveFeed:
    """Frames for a process of its own that shows them on stderr.

    Args:
        subject: what is replaced.
        qps: the rate that is asked for.

    Attributes:
        alive: whether frames still reach somebody.
        drawing: whether the other process has been told to draw.

    Raises:
        OSError: no process can be started.
    """

    def __init__(self, subject: str, qps: float) -> None:
        self._pending = bytearray()
        self._known: dict[str, tuple[str, bool]] = {}
        self._seen: list[PodSeen | SliceSeen] = []
        self.alive, self.drawing = True, False
        self._process = _start()
        pipe = self._process.stdin
        assert pipe is not None
        self._pipe = pipe.fileno()
        os.set_blocking(self._pipe, False)
        self._send({"kind": "begin", "subject": subject, "qps": qps}, keep=True)

    def say(self, text: str) -> None:
        """A line of words."""
        self._send({"kind": "say", "text": text}, keep=True)

    def stage(self, name: str, seconds: float | None) -> None:
        """A stage began; with the first one the drawing begins."""
        self.drawing = True
        self._send({"kind": "stage", "name": name, "seconds": seconds}, keep=True)

    def tick(self, progress: Progress, doing: str) -> None:
        """Where the load stands."""
        self._send(
            {
                "kind": "tick",
                "doing": doing,
                "counts": {
                    "scheduled": progress.scheduled,
                    "ok": progress.ok,
                    "failed": progress.failed,
                    "not_sent": progress.not_sent,
                    "in_flight": progress.in_flight,
                    "backlog": progress.backlog,
                },
                "by_outcome": progress.by_outcome,
                "p50_us": progress.p50_us,
                "p99_us": progress.p99_us,
                "failures": [
                    {
                        "at": failed.intended_ns if failed.sent_ns is None else failed.sent_ns,
                        "kind": failed.kind,
                        "lane": failed.lane,
                        "detail": failed.detail,
                        "pod": failed.pod,
                        "peer": failed.peer,
                    }
                    for failed in progress.last_failures
                ],
            }
        )

    def see(self, pods: Mapping[str, PodSeen], slices: Collection[SliceSeen]) -> None:
        """The pods that are there now, by uid; only what changed since the last frame that was sent is told."""
        seen: list[PodSeen | SliceSeen] = [*pods.values(), *slices]
        if seen == self._seen:
            return  # mostly so, and found out fast: the same facts are the same objects
        inside = {each.pod_uid for found in slices for each in found.endpoints if each.ready}
        now = {uid: (pod.resource_version, uid in inside) for uid, pod in pods.items()}
        changed = [uid for uid, mark in now.items() if self._known.get(uid) != mark]
        gone = [uid for uid in self._known if uid not in now]
        if not changed and not gone:
            self._seen = seen
            return
        frame = {"kind": "pods", "changed": [pod_row(uid, pods[uid], uid in inside) for uid in changed], "gone": gone}
        if self._send(frame):
            self._known, self._seen = now, seen

    def end(self) -> bool:
        """Let the other process leave the terminal; gives back whether it did so by itself, or never drew at all."""
        if not self.drawing:
            self.drop()
            self._process.wait()
            return True
        self._pending += _encoded({"kind": "end"})
        with suppress(OSError):  # it is gone already
            while self._pending and select.select([], [self._pipe], [], END_WAIT_S)[1]:
                del self._pending[: os.write(self._pipe, self._pending)]
        self._close()
        try:
            return self._process.wait(END_WAIT_S) == 0
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return False

    def drop(self) -> None:
        """End the other process without waiting for it."""
        self.alive = False
        self._process.kill()
        self._close()

    def _close(self) -> None:
        self.alive = False
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()

    def _send(self, frame: dict[str, Any], *, keep: bool = False) -> bool:
        """Put a frame into the pipe; one that is not to be kept is left out where there is no room for it."""
        if not self.alive:
            return False
        self._flush()
        if self._pending and not (keep and len(self._pending) < MOST_PENDING):
            return False
        self._pending += _encoded(frame)
        self._flush()
        return True

    def _flush(self) -> None:
        while self._pending and self.alive:
            try:
                del self._pending[: os.write(self._pipe, self._pending)]
            except BlockingIOError:
                return
            except OSError:
                self.alive = False  # whoever showed it is gone


def pod_row(uid: str, pod: PodSeen, in_endpoints: bool) -> dict[str, Any]:
    """What a frame tells of a pod."""
    worst = _worst(pod.containers)
    return {
        "uid": uid,
        "name": pod.name,
        "ip": pod.ip,
        "ready": pod.ready,
        "in_endpoints": in_endpoints,
        "deleting": bool(pod.deletion_at),
        "grace_s": pod.deletion_grace_s,
        "state": worst.state if worst else "",
        "reason": worst.reason if worst else pod.unready_reason,
        "exit_code": worst.exit_code if worst else None,
    }


def _worst(containers: Iterable[ContainerState]) -> ContainerState | None:
    """The container that says most of its pod: one that ended, else one that waits, else the first."""
    rank = {"terminated": 0, "waiting": 1}
    return min(containers, key=lambda each: (rank.get(each.state, 2), not each.exit_code), default=None)


def _encoded(frame: dict[str, Any]) -> bytes:
    return json.dumps({"at": time.monotonic_ns(), **frame}, separators=(",", ":")).encode() + b"\n"


def _start() -> subprocess.Popen[bytes]:
    """The other process; signals of the terminal are meant for the run, so it begins with them blocked."""
    ours = {signal.SIGINT, signal.SIGTERM}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ours)
    try:
        return subprocess.Popen(  # noqa: S603  # our own interpreter and our own words
            [sys.executable, "-P", "-c", BOOT, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            bufsize=0,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
