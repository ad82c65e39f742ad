"""kubectl as a black box: where it lies, and how it is run against a sandbox in a thread of this process."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trio

CACHED = Path("/var/cache/rollcheck-cluster/bin/kubectl")
LONGEST_S = 90


def find() -> str | None:
    """The kubectl to use, None when there is none."""
    named = os.environ.get("ROLLCHECK_KUBECTL") or shutil.which("kubectl")
    return named or (str(CACHED) if CACHED.exists() else None)


needs_kubectl = pytest.mark.skipif(
    find() is None, reason="there is no kubectl on PATH, at $ROLLCHECK_KUBECTL or in the test cluster's cache"
)


@dataclass(frozen=True)
class Said:
    """What one call of kubectl came to."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Kubectl:
    """kubectl, pointed at one sandbox and at nothing of this machine's user."""

    kubeconfig: Path

    @property
    def environment(self) -> dict[str, str]:
        home = str(self.kubeconfig.parent)
        return {"PATH": os.environ["PATH"], "HOME": home, "KUBECONFIG": str(self.kubeconfig), "KUBECTL_COLUMNS": ""}

    def try_(self, *args: str, stdin: str = "") -> Said:
        done = subprocess.run(
            [str(find()), *args],
            input=stdin,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=LONGEST_S,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def __call__(self, *args: str, stdin: str = "") -> str:
        """Standard output of a call that must succeed."""
        said = self.try_(*args, stdin=stdin)
        assert said.code == 0, f"kubectl {' '.join(args)}: {said.code}\n{said.out}{said.err}"
        return said.out

    def table(self, *args: str) -> list[dict[str, str]]:
        """Rows of `kubectl get`, by column; cells must hold no runs of spaces."""
        head, *rows = self(*args).splitlines()
        starts = [
            at for at, letter in enumerate(head) if letter != " " and (at == 0 or head[at - 2 : at] in ("  ", " "))
        ]
        names = [head[start:end].strip() for start, end in zip(starts, [*starts[1:], None], strict=True)]
        return [
            {name: row[s:e].strip() for name, s, e in zip(names, starts, [*starts[1:], None], strict=True)}
            for row in rows
        ]


@contextmanager
def in_a_thread(serve: Callable[[trio.TaskStatus[Any]], Awaitable[None]]) -> Iterator[Any]:
    """Run `serve` in a trio loop of its own; gives what it starts with, and ends it afterwards."""
    ready = threading.Event()
    found: list[Any] = []
    stop: list[Callable[[], None]] = []
    failed: list[BaseException] = []

    async def _started(*, task_status: trio.TaskStatus[Any]) -> None:
        await serve(task_status)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            token = trio.lowlevel.current_trio_token()
            stop.append(lambda: token.run_sync_soon(nursery.cancel_scope.cancel))
            found.append(await nursery.start(_started))
            ready.set()

    def run() -> None:
        try:
            trio.run(main)
        except BaseException as e:
            failed.append(e)
        finally:
            ready.set()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(60)
    try:
        if failed:
            raise failed[0]
        yield found[0]
    finally:
        for end in stop:
            if thread.is_alive():
                end()
        thread.join(30)
    if failed:
        raise failed[0]
