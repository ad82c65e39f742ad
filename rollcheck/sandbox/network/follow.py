"""Hears of every object of a resource: those that exist, then each change."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import trio

from rollcheck.sandbox.registry import Registry
from rollcheck.sandbox.resources import Resource

Json = dict[str, Any]


async def follow(
    registry: Registry,
    resource: Resource,
    tell: Callable[[str, Json], None],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Call `tell` with ADDED, MODIFIED or DELETED and the object, forever; `started()` after those that exist.

    The objects are the registry's own: not to be changed.
    """
    since = registry.version()
    for found in registry.list(resource):
        tell("ADDED", found)
    async with aclosing(registry.watch(resource, since=since)) as changes:
        task_status.started()
        async for change in changes:
            if change.type != "BOOKMARK":
                tell(change.type, change.object)
