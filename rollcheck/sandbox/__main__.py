"""The process of a sandbox: settings on standard input, what became of it as lines of JSON on standard output.

    {"ready": {…}, "warnings": […], "folder": "…"}  it runs; `ready` is as in state.json
    {"error": "…", "code": 2}                       it does not, and why

It ends on SIGTERM or SIGINT and, when it is owned, as soon as standard input ends.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import trio

from rollcheck.errors import RollcheckError
from rollcheck.sandbox.collector import collect_when_quiet
from rollcheck.sandbox.serve import Running, serve
from rollcheck.sandbox.settings import Settings, read_line
from rollcheck.sandbox.state import LOG


def main() -> None:
    """Read the settings, run, say what became of it."""
    settings = read_line(sys.stdin.buffer.readline())
    try:
        trio.run(_run, settings)
    except* RollcheckError as errors:
        error: BaseException = errors
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        assert isinstance(error, RollcheckError)
        _say({"error": str(error), "code": error.exit_code})
        sys.exit(error.exit_code)


async def _run(settings: Settings) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_end_on_signal, signals, nursery.cancel_scope)
            if settings.owned:
                nursery.start_soon(_end_with_owner, nursery.cancel_scope)
            running: Running = await nursery.start(serve, settings)
            nursery.start_soon(collect_when_quiet, running.version)
            _say({"ready": asdict(running.state), "warnings": running.warnings, "folder": str(settings.folder)})
            _log_to(settings.folder / LOG, keep_stdin=settings.owned)


async def _end_on_signal(signals: Any, everything: trio.CancelScope) -> None:
    async for _ in signals:
        everything.cancel()
        return


async def _end_with_owner(everything: trio.CancelScope) -> None:
    """Standard input ends when whoever started this ends, by whatever death."""
    async with trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())) as owner:
        try:
            async for _ in owner:
                pass
        except trio.BrokenResourceError:
            pass
    everything.cancel()


def _say(told: dict[str, Any]) -> None:
    with suppress(OSError):  # nobody may be there to be told
        print(json.dumps(told), flush=True)


def _log_to(path: Path, *, keep_stdin: bool) -> None:
    """Let go of the terminal and the pipes of whoever started this."""
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    if not keep_stdin:
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)


if __name__ == "__main__":
    main()
