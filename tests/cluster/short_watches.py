"""rollcheck, but with watches that end after SECONDS instead of five minutes: short_watches.py SECONDS LOG ARGUMENT…

The API server ends a watch when the client asked it to (`timeoutSeconds`), and this is the one way to have that happen
often in a short run. LOG gets a line for each watch: the resource's path and the version it went on from.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from rollcheck.cli import main
from rollcheck.kube import reflector
from rollcheck.kube.api import READ_S, Api

stream = Api.stream


def logging_to(log: Path) -> None:
    """Have each watch of the program written to `log` when it is asked for."""

    @asynccontextmanager
    async def logged(
        api: Api, path: str, params: Mapping[str, str], *, read_s: float = READ_S
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        with log.open("a") as lines:
            lines.write(f"{path} {params['resourceVersion']}\n")
        async with stream(api, path, params, read_s=read_s) as pieces:
            yield pieces

    Api.stream = logged  # type: ignore[method-assign]


if __name__ == "__main__":
    _, seconds, log, *arguments = sys.argv
    reflector.WATCH_S = int(seconds)
    logging_to(Path(log))
    sys.argv = ["rollcheck", *arguments]
    main()
