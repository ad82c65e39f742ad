"""Where results go: a file, whole or not at all, and a Pushgateway."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from rollcheck.errors import DiskFull, DocumentError

PUSH_WAIT_S = 10.0
FORMAT = "text/plain; version=0.0.4"
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def replace_file(path: Path, data: bytes) -> None:
    """Write a file so that whoever looks finds the old one or the new one, never half of it.

    Raises:
        OSError: as the system has it.
    """
    if path.exists() and not path.is_file():
        path.write_bytes(data)  # a pipe or a terminal cannot be replaced
        return
    temporary = path.with_name(f".{path.name[:200]}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def deliver_file(path: Path, data: bytes, option: str) -> None:
    """The same, with errors for people; `option` is how they asked for it.

    Raises:
        DiskFull: there is no room.
        DocumentError: it cannot be written for another reason.
    """
    try:
        replace_file(path, data)
    except OSError as e:
        kind = DiskFull if e.errno in NO_ROOM else DocumentError
        raise kind(f"{option}: {path} could not be written: {e.strerror}") from e


def push(address: str, path: str, data: bytes) -> str:
    """Replace a group of a Pushgateway's metrics; gives back why that failed, in one sentence, or nothing.

    Args:
        address: of the gateway, with user and password if it asks for them.
        path: of the group.
        data: in Prometheus' text format.
    """
    import httpx  # noqa: PLC0415  # 60 ms that few need

    try:
        url = httpx.URL(address.rstrip("/") + path)
        shown = str(url.copy_with(username=None, password=None))
        answer = httpx.put(
            url, content=data, headers={"Content-Type": "text/plain; version=0.0.4"}, timeout=PUSH_WAIT_S
        )
    except (httpx.HTTPError, httpx.InvalidURL) as e:
        return (
            f"--pushgateway: the metrics could not be pushed to {address.rpartition('@')[2]}: {e or type(e).__name__}"
        )
    if not answer.is_success:
        said = " ".join(answer.text.split())[:200]
        return f"--pushgateway: {shown} refused the metrics: {answer.status_code} {said}".rstrip()
    return ""
