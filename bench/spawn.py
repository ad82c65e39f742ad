"""Starting processes on a chosen core, and knowing what they cost: the only module that makes any.

Every process leads a session of its own, and is ended by its id with everything it started, whatever happens here.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

PATIENCE_S = 5.0
"""How long a process may take to end when asked to."""
SETTLED_S = 0.05
"""A process that is to run another program does so within this."""
ROOT = Path(__file__).resolve().parent.parent


class BenchError(Exception):
    """A measure could not be taken; the text says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a finished process and its children cost.

    Attributes:
        code: exit code, negative for a signal.
        cpu_s: user and system time, of those children too that it waited for.
        wall_s: from its start until it was gone.
        peak_kb: most memory that it, or one of its children, held.
        out, err: what it printed.
    """

    code: int
    cpu_s: float
    wall_s: float
    peak_kb: int
    out: str
    err: str


@contextlib.contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """What is started meanwhile stays on `core`; anywhere, when None or when this machine has no such core."""
    before = os.sched_getaffinity(0)
    if core is not None and core in before:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def keep_on(pid: int, core: int) -> None:
    """Let a running process of ours run on that core alone, where this machine has it."""
    if core in os.sched_getaffinity(0):
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(pid, {core})


def processes_of(pid: int) -> list[int]:
    """A process and all that it started, itself first; those only that still live."""
    found = [pid]
    for parent in found:
        try:
            for task in Path(f"/proc/{parent}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
        except OSError:
            continue
    return found


def workers_of(pid: int) -> list[int]:
    """The processes of it that run the program it runs: neither a tool that it calls, nor one that is just made."""
    made = [other for other in processes_of(pid) if other != pid and _command_of(other) == _command_of(pid)]
    if made:
        time.sleep(SETTLED_S)
    return [other for other in made if _command_of(other) == _command_of(pid)]


def _command_of(pid: int) -> bytes:
    """What it was called with; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    """Ours and `more`; Python may keep its byte code, or each start would be spent on compiling all that it imports."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | dict(more)


class Child:
    """A running process; a context that ends it.

    Attributes:
        pid: its id, also that of its process group.
        started: the monotonic clock just before it was started, seconds.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        core: int | None = None,
        env: Mapping[str, str] | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._out: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self._err: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self.argv = list(argv)
        self._patience = patience_s
        with on_core(core):
            self.started = time.monotonic()
            self._process = subprocess.Popen(  # noqa: S603 - what is run is chosen by who runs the benchmark
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=self._out,
                stderr=self._err,
                start_new_session=True,
                cwd=ROOT,
                env=_environment(env or {}),
            )
        self.pid = self._process.pid
        self._pidfd = os.pidfd_open(self.pid)
        self._spent: Spent | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def is_over_within(self, seconds: float) -> bool:
        """Whether it ended, or ends in that time."""
        if self._spent is not None:
            return True
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        return bool(poll.poll(max(seconds, 0) * 1000))

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal, it alone."""
        if self._spent is None:
            os.kill(self.pid, number)

    def wait(self, seconds: float) -> Spent:
        """Wait for its end.

        Raises:
            BenchError: it did not end in time; it is ended then.
        """
        if not self.is_over_within(seconds):
            tail = self._text(self._err)[-300:].strip()
            self.close()
            raise BenchError(f"{Path(self.argv[0]).name} was not over within {seconds:.0f} s; it last said: {tail}")
        return self._reap()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> Spent:
        """Ask it to end, insist after a while, and give back what it cost."""
        self.send_signal(number)
        if not self.is_over_within(self._patience):
            self._signal_group(signal.SIGKILL)
        return self._reap()

    def said(self) -> str:
        """What it printed so far, on both."""
        return self._text(self._out) + self._text(self._err)

    def close(self) -> None:
        """End it and everything that it started; can be done twice."""
        if self._out.closed:
            return
        if self._spent is None:
            self._signal_group(signal.SIGTERM)
            if not self.is_over_within(self._patience):
                self._signal_group(signal.SIGKILL)
            self._reap()
        # What it started and left behind.
        self._signal_group(signal.SIGKILL)
        os.close(self._pidfd)
        self._out.close()
        self._err.close()

    def _signal_group(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def _reap(self) -> Spent:
        if self._spent is None:
            _, status, usage = os.wait4(self.pid, 0)
            wall = time.monotonic() - self.started
            code = os.waitstatus_to_exitcode(status)
            self._process.returncode = code
            self._spent = Spent(
                code=code,
                cpu_s=usage.ru_utime + usage.ru_stime,
                wall_s=wall,
                peak_kb=usage.ru_maxrss,
                out=self._text(self._out),
                err=self._text(self._err),
            )
        return self._spent

    @staticmethod
    def _text(file: IO[bytes]) -> str:
        # pread leaves the offset alone, which the child shares.
        return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode(errors="replace")


def run(argv: Sequence[str], *, limit_s: float, core: int | None = None, env: Mapping[str, str] | None = None) -> Spent:
    """Run a program to its end.

    Raises:
        BenchError: it took longer than `limit_s`.
    """
    with Child(argv, core=core, env=env) as child:
        return child.wait(limit_s)
