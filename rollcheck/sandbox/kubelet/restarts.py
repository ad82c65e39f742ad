"""When a container is started again: policy, back-off, and the figures that both take. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The kubelet's own seconds, with the values of Kubernetes; tests take smaller ones.

    Attributes:
        crash_backoff: before the second restart; it doubles with each one after.
        crash_backoff_max: it doubles no further. A container that ran for twice this begins anew.
        pull_backoff: the same for an image that cannot be had.
        pull_backoff_max: its limit.
        resync: between attempts of a container whose configuration is not there, and between BackOff events.
        mount_retry: before the second attempt to make a volume; it doubles up to two minutes.
        relist: between looks at the runtime: so late a start, or an end that nobody asked for, is noticed and shown.
        teardown: from the last status of a deleted pod to the removal of its object, in which volumes are unmounted and
            the network is taken down; 0.1 to 0.7 s were seen on an idle cluster, over 2 s on a busy one.
        lease: between renewals of the node's Lease.
    """

    crash_backoff: float = 10.0
    crash_backoff_max: float = 300.0
    pull_backoff: float = 10.0
    pull_backoff_max: float = 300.0
    resync: float = 10.0
    mount_retry: float = 0.5
    relist: float = 1.0
    teardown: float = 1.0
    lease: float = 10.0


class BackOff:
    """How long to wait before the next attempt: nothing at first, then `base`, doubling up to `limit`.

    As client-go's flowcontrol.Backoff, the way the kubelet uses it: the wait counts from the container's end, and an
    entry that was not renewed for twice `limit` is forgotten.
    """

    def __init__(self, base: float, limit: float) -> None:
        self.base = base
        self.limit = limit
        self.wait = 0.0
        self.updated = 0.0

    def forgotten(self, since: float) -> bool:
        """Whether what happened at `since` is so late that the entry no longer counts."""
        return self.wait == 0 or since - self.updated > 2 * self.limit

    def remaining(self, since: float, now: float) -> float:
        """Seconds still to wait at `now` for an end at `since`; 0 when the next attempt may begin."""
        if self.forgotten(since):
            return 0.0
        return max(0.0, self.wait - (now - since))

    def next(self, since: float, now: float) -> None:
        """An attempt begins: the wait after it is twice as long."""
        self.wait = self.base if self.forgotten(since) else min(2 * self.wait, self.limit)
        self.updated = now


def should_restart(*, init: bool, sidecar: bool, policy: str, code: int) -> bool:
    """Whether a container that ended with `code` is started again.

    Args:
        init: it is an init container.
        sidecar: it is one with restartPolicy Always, which is always started again.
        policy: the pod's restartPolicy; Always means OnFailure for an init container.
        code: its exit code.
    """
    if sidecar:
        return True
    if init:
        return code != 0 and policy != "Never"
    return policy == "Always" or (policy == "OnFailure" and code != 0)


def duration(seconds: float) -> str:
    """Seconds as Go prints them in messages: `10s`, `1m20s`, `500ms`."""
    if seconds < 1:
        return f"{round(seconds * 1000)}ms"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
