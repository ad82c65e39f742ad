"""The parent's side of the warden (`warden_process`): start a process in a container, signal it, learn of its end.

Asked: `spawn` {id, container, argv, app, env, cwd, log, capture, bind}, `signal` {id, signal}, `kill` {id}. Told: `up`,
`spawned` {id, pid}, `failed` {id, errno, message}, `exited` {id, code, signal, output}. What is asked is done in order.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from rollcheck.errors import RollcheckError, UsageError
from rollcheck.sandbox.processes import MARK

PROGRAM = Path(__file__).with_name("warden_process.py")
START_S = 20.0
END_S = 10.0


class WardenLost(RollcheckError):
    """The warden ended by itself: every container is gone, and so is the sandbox."""


class SpawnFailed(Exception):
    """A command could not be started.

    Attributes:
        number: the errno.
    """

    def __init__(self, number: int, message: str) -> None:
        super().__init__(message)
        self.number = number


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to start.

    Attributes:
        argv: program and arguments; the program is looked up on the PATH of `env`.
        env: the whole environment.
        folder: working directory.
        app: a bundled program that runs in the forked process instead of argv[0]; None to execute argv.
        log: file for its output, in the form of the CRI; None when `capture` is set.
        capture: whether the first 10 KiB of its output are kept for `Process.output`.
        inside: the container in which it is started; None makes it a container of its own.
        bind: address and ports (asked for → bound) that stand for all addresses when it executes `argv`, where the
            system can do that (see `binding`); None to leave its binds alone.
    """

    argv: Sequence[str]
    env: Mapping[str, str]
    folder: Path
    app: str | None = None
    log: Path | None = None
    capture: bool = False
    inside: str | None = None
    bind: tuple[str, Mapping[int, int]] | None = None


@dataclass(eq=False)
class Process:
    """A process of a container.

    Attributes:
        id: names it to the warden; of a container's main process, it is the container's id.
        exited: set once it has ended and, for a main process, everything else in its container as well.
        code: its exit code as containers have it (128 + signal), None while it runs.
        signal: the signal that ended it, 0 for none.
        output: what was captured of its output.
    """

    id: str
    warden: Warden
    pid: int = 0
    exited: trio.Event = field(default_factory=trio.Event)
    code: int | None = None
    signal: int = 0
    output: str = ""

    def send_signal(self, number: int) -> None:
        """Send a signal as process 1 would get it: dropped when nobody there handles it (see `warden_process`)."""
        self.warden.ask({"op": "signal", "id": self.id, "signal": number})

    def kill(self) -> None:
        """SIGKILL for its group; for a main process, everything in its container follows."""
        self.warden.ask({"op": "kill", "id": self.id})


class Warden:
    """The warden of one sandbox; `run` is its life.

    Args:
        folder: made here, must be empty or absent; it is removed with everything in it when the warden ends.
        python: the interpreter that runs it.

    Raises:
        UsageError: the folder is not empty.
    """

    def __init__(self, folder: Path, *, python: str = sys.executable) -> None:
        self.folder = folder
        self.python = python
        self.pid = 0
        self.ended = False
        self._started: dict[str, trio.Event] = {}
        self._processes: dict[str, Process] = {}
        self._failures: dict[str, SpawnFailed] = {}
        self._count = 0
        self._asked, self._to_send = trio.open_memory_channel[bytes](100_000)
        folder.mkdir(parents=True, exist_ok=True)
        if next(folder.iterdir(), None) is not None:
            raise UsageError(f"{folder} is not empty, and a sandbox removes its folder: choose another one")

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run the warden until cancelled; everything it started is then dead and its folder removed.

        Raises:
            WardenLost: it ended by itself.
        """
        ours, its = socket.socketpair()
        with its, (self.folder / "warden.log").open("wb") as errors:
            child = subprocess.Popen(  # noqa: S603, ASYNC220 - our own program; starting it takes a millisecond
                [self.python, "-I", "-S", str(PROGRAM), str(self.folder.resolve())],
                stdin=its.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
                cwd="/",
                env={"PATH": os.environ.get("PATH", os.defpath)},
            )
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._send, stream)
                await self._receive(stream, task_status)
                nursery.cancel_scope.cancel()
            words = self._last_words()
            self._clean_up()
            raise WardenLost(f"the process that keeps the sandbox's containers ended: {words}")
        finally:
            self._end()
            with trio.CancelScope(shield=True), trio.move_on_after(END_S):
                await stream.aclose()
                with suppress(subprocess.TimeoutExpired):
                    await trio.to_thread.run_sync(child.wait, END_S, abandon_on_cancel=True)

    async def spawn(self, command: Command) -> Process:
        """Start a process; it is not cancelled half way.

        Raises:
            SpawnFailed: there is no such program, or it may not be executed.
        """
        if self.ended:
            raise SpawnFailed(errno.ECANCELED, "the sandbox ends")
        self._count += 1
        process = Process(id=f"{self.pid:x}-{self._count}", warden=self)
        container = command.inside or process.id
        self._processes[process.id] = process
        self._started[process.id] = started = trio.Event()
        self.ask(
            {
                "op": "spawn",
                "id": process.id,
                "container": container,
                "argv": list(command.argv),
                "app": command.app,
                "env": {**command.env, MARK: container},
                "cwd": str(command.folder),
                "log": None if command.log is None else str(command.log),
                "capture": command.capture,
                "bind": None if command.bind is None else {"ip": command.bind[0], "ports": dict(command.bind[1])},
            }
        )
        with trio.CancelScope(shield=True):
            await started.wait()
        failure = self._failures.pop(process.id, None)
        if failure is not None:
            raise failure
        return process

    async def execute(self, command: Command) -> Process:
        """Start a process and wait for its end; it is killed when this is cancelled.

        Raises:
            SpawnFailed: as `spawn`.
        """
        process = await self.spawn(command)
        try:
            await process.exited.wait()
        except trio.Cancelled:
            process.kill()
            raise
        return process

    def ask(self, request: dict[str, Any]) -> None:
        """Queue a request; after the end there is nobody to ask, and nothing left to ask for."""
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            self._asked.send_nowait(json.dumps(request).encode() + b"\n")

    async def _send(self, stream: trio.SocketStream) -> None:
        async for line in self._to_send:
            with suppress(trio.BrokenResourceError):  # its end is noticed where its answers are read
                await stream.send_all(line)

    async def _receive(self, stream: trio.SocketStream, task_status: trio.TaskStatus[None]) -> None:
        rest = b""
        try:
            with trio.fail_after(START_S) as starting:
                async for data in stream:
                    *lines, rest = (rest + data).split(b"\n")
                    for line in lines:
                        self._take(json.loads(line))
                    if self.pid and starting.deadline != float("inf"):
                        starting.deadline = float("inf")
                        task_status.started()
        except trio.BrokenResourceError:
            return

    def _take(self, told: dict[str, Any]) -> None:
        if told["event"] == "up":
            self.pid = told["pid"]
            return
        process = self._processes[told["id"]]
        if told["event"] == "exited":
            process.code, process.signal, process.output = told["code"], told["signal"], told["output"]
            process.exited.set()
            del self._processes[process.id]
            return
        if told["event"] == "failed":
            self._failures[process.id] = SpawnFailed(told["errno"], told["message"])
            del self._processes[process.id]
        else:
            process.pid = told["pid"]
        self._started.pop(process.id).set()

    def _end(self) -> None:
        """From here on nothing is started: who waits for a start is told so."""
        self.ended = True
        for id_, started in self._started.items():
            self._failures[id_] = SpawnFailed(errno.ECANCELED, "the sandbox ends")
            started.set()
        self._started.clear()

    def _clean_up(self) -> None:
        """Do what a lost warden cannot do any more; what left its container's process group escapes."""
        for process in self._processes.values():
            if process.pid:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _last_words(self) -> str:
        try:
            lines = (self.folder / "warden.log").read_text(errors="replace").strip().splitlines()
        except OSError:
            lines = []
        return lines[-1] if lines else "it was killed, or its folder was removed"
