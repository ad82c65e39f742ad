"""The user's own COMMAND as the trigger of a replacement: run, its words recorded, ended with the run."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import trio

from rollcheck.errors import UsageError
from rollcheck.facts.actions import Action, CommandOutput
from rollcheck.facts.clock import Instant

LINE_LENGTH = 2000
LINES_MOST = 5000
TERM_WAIT_S = 5.0
READ_ON_S = 0.5
READ_BYTES = 65536


def check_command(argv: Sequence[str]) -> None:
    """Make sure that COMMAND can be run, before anything else happens.

    Raises:
        UsageError: there is no such command, or it may not be executed.
    """
    if not argv or not argv[0]:
        raise UsageError("there is no command after `--`; give one, or leave out `--` to have rollcheck restart it")
    name = argv[0]
    if shutil.which(name):
        return
    if "/" not in name:
        raise UsageError(f"the command {name!r} was not found in PATH; give its full path, or check its spelling")
    if not os.path.exists(name):  # noqa: PTH110  # a name as given, not a path of ours
        raise UsageError(f"the command {name!r} does not exist; check its path")
    what = "a folder" if os.path.isdir(name) else "not executable"  # noqa: PTH112
    raise UsageError(f"the command {name!r} is {what}; name a program, or make it one with chmod +x")


async def run_command(
    argv: Sequence[str],
    sink: Callable[[CommandOutput | Action], None],
    echo: Callable[[CommandOutput], None] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
) -> Action:
    """Run COMMAND to its end; its exit code is the action's status (128 + N when signal N ended it).

    It has a process group of its own and no stdin. Its end is what counts: output of a process that it left behind is
    read for `READ_ON_S` more. When cancelled, its whole group gets SIGTERM, and SIGKILL `TERM_WAIT_S` later; the
    action then has no status.

    Args:
        argv: the command; no shell is involved.
        sink: called with each line, cut at `LINE_LENGTH` characters, at most `LINES_MOST` of them, and with the action
            at the end, whatever that was.
        echo: called with each line as well, those beyond the bound included: for a person who watches.
        environ: what to add to or replace in our own environment (KUBECONFIG).

    Raises:
        UsageError: it cannot be started.
    """
    started = time.monotonic_ns()
    try:
        process = await trio.lowlevel.open_process(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, **(environ or {})},
        )
    except OSError as e:
        raise UsageError(f"the command {argv[0]!r} cannot be started: {e.strerror}") from e
    lines = _Lines(sink, echo)
    # Shielded: what it says while it is being ended is worth as much as the rest.
    reading = trio.CancelScope(shield=True)
    code: int | None = None
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lines.read_both, process, reading)
            try:
                code = await process.wait()
            finally:
                if code is None:
                    await _end(process)
                reading.deadline = trio.current_time() + READ_ON_S
    finally:
        lines.finish()
        action = _action(argv, started, code)
        sink(action)
    return action


def _action(argv: Sequence[str], started: Instant, code: int | None) -> Action:
    if code is None:
        status, message = None, "it was still running and was stopped"
    elif code < 0:
        status, message = 128 - code, f"it was ended by {signal.Signals(-code).name}"
    else:
        status, message = code, f"it ended with exit code {code}" if code else ""
    return Action(
        kind="command",
        description=shlex.join(argv),
        started_ns=started,
        ended_ns=time.monotonic_ns(),
        status=status,
        message=message,
    )


async def _end(process: trio.Process) -> None:
    """SIGTERM to the group, SIGKILL after a while; returns when the process is gone."""
    kill = partial(_signal_group, process.pid)
    with trio.CancelScope(shield=True):
        kill(signal.SIGTERM)
        with trio.move_on_after(TERM_WAIT_S):
            await process.wait()
        kill(signal.SIGKILL)  # what is left of the group, if the command itself has ended
        await process.wait()


def _signal_group(pid: int, number: signal.Signals) -> None:
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return


class _Lines:
    """Cuts two byte streams into lines and hands them on, within bounds."""

    def __init__(self, sink: Callable[[CommandOutput], None], echo: Callable[[CommandOutput], None] | None) -> None:
        self._sink = sink
        self._echo = echo
        self._count = 0
        self._rest: dict[str, bytes] = {}

    async def read_both(self, process: trio.Process, scope: trio.CancelScope) -> None:
        """Until both streams have ended, or the scope's time is up."""
        assert process.stdout is not None
        assert process.stderr is not None
        with scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.read, process.stdout, "stdout")
                nursery.start_soon(self.read, process.stderr, "stderr")

    async def read(self, stream: trio.abc.ReceiveStream, name: str) -> None:
        self._rest[name] = b""
        while data := await stream.receive_some(READ_BYTES):
            *whole, rest = (self._rest[name] + data).split(b"\n")
            for line in whole:
                self._hand_on(name, line)
            # what lies beyond the bound would be cut off anyway: a line without an end must not fill the memory
            self._rest[name] = rest[: 4 * LINE_LENGTH]

    def finish(self) -> None:
        for name, rest in self._rest.items():
            if rest:
                self._hand_on(name, rest)
        self._rest.clear()

    def _hand_on(self, name: str, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip("\r")[:LINE_LENGTH]
        output = CommandOutput(at_ns=time.monotonic_ns(), stream=name, text=text)
        if self._echo is not None:
            self._echo(output)
        self._count += 1
        if self._count <= LINES_MOST:
            self._sink(output)
        elif self._count == LINES_MOST + 1:
            text = f"[rollcheck: the lines after the first {LINES_MOST} are not recorded]"
            self._sink(CommandOutput(at_ns=output.at_ns, stream=name, text=text))
