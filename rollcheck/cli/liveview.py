"""The process that shows a run: frames on its stdin become a screen on its stderr, until there are no more.

It is a process of its own so that drawing costs the one that times requests nothing. The second screen of the terminal
is drawn over as a whole each time, so that nothing flickers and no resize leaves anything behind; what was said in
words is printed on the first one when the run is over.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from rich.console import Console, ConsoleDimensions, ConsoleOptions
from rich.live import Live
from rich.segment import Segment
from rich.style import Style

from rollcheck.render.live import live_lines
from rollcheck.render.livestate import LiveState

EVERY_S = 0.25
"""Between two pictures, at least."""
IDLE_S = 0.5
"""Where no frame comes, the clock goes on so often."""
STEP_BACK = 10
"""How much nicer than the run this process is."""
READ_BYTES = 1 << 16
HOLD, SHOW = "\x1b[?2026h", "\x1b[?2026l"
"""Around a picture: a terminal that knows them shows it when it is whole, the others pass over them."""
TONES = {
    "bold": Style(bold=True),
    "dim": Style(dim=True),
    "good": Style(color="green"),
    "bad": Style(color="red", bold=True),
    "unsure": Style(color="yellow"),
    "": Style(),
}


class View:
    """What rich draws: the lines of the state, as large as the terminal is at that moment."""

    def __init__(self, state: LiveState) -> None:
        self.state = state

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        height = options.height or console.height
        # The last column and line stay empty: a terminal that is made smaller while it is drawn on wraps nothing.
        for line in live_lines(self.state, max(8, options.max_width - 1), max(1, height - 1), time.monotonic_ns()):
            yield from (Segment(text, TONES[tone]) for text, tone in line)
            yield Segment.line()


def show(state: LiveState, console: Console, source: int) -> None:
    """Draw the state, from the first stage until the source has ended, which a frame or its end says."""
    frames = Frames(source)
    while not (state.stages or state.ended or frames.ended):
        for frame in frames.wait(None):
            state.apply(frame)
    fit(console)
    with Live(View(state), console=console, screen=True, auto_refresh=False) as live:
        drawn = 0.0
        while not state.ended:
            for frame in frames.wait(IDLE_S):
                state.apply(frame)
            if frames.ended:
                break
            pause = drawn + EVERY_S - time.monotonic()
            if pause > 0:
                time.sleep(pause)
            drawn = time.monotonic()
            fit(console)
            console.file.write(HOLD)
            live.refresh()
            console.file.write(SHOW)
            console.file.flush()


def fit(console: Console) -> None:
    """Give the console the size that its terminal has now: an exported COLUMNS would be that of another time."""
    with suppress(OSError, ValueError):
        size = os.get_terminal_size(console.file.fileno())
        console.size = ConsoleDimensions(max(1, size.columns), max(1, size.lines))


class Frames:
    """Frames as they come through a pipe."""

    def __init__(self, source: int) -> None:
        self._source = source
        self._rest = b""
        self.ended = False

    def wait(self, seconds: float | None) -> list[dict[str, Any]]:
        """Those that are there, or come within so long, for ever with None; none when none do."""
        if not select.select([self._source], [], [], seconds)[0]:
            return []
        data = os.read(self._source, READ_BYTES)
        self.ended = not data
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in lines]


def main() -> None:
    """What the process does from its begin to its end."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)  # they are meant for the run, which ends this process when it is done
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    with suppress(OSError):
        os.nice(STEP_BACK)
    state = LiveState()
    with suppress(BrokenPipeError):  # the terminal was closed
        show(state, Console(stderr=True), sys.stdin.fileno())
        for line in state.log:
            print(line, file=sys.stderr)
