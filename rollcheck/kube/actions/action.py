"""What every action is, and what it is given to act with."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from rollcheck.errors import ClusterDenied, ClusterRefused, ClusterUnreachable
from rollcheck.facts.actions import Action, Step
from rollcheck.facts.clock import Instant
from rollcheck.facts.cluster import PodSeen, WorkloadSeen
from rollcheck.facts.document import Fact
from rollcheck.kube.api import Api, NoAnswer
from rollcheck.kube.journal import Journal


class Ground(Protocol):
    """Where an action is carried out; the conductor of a run is one."""

    @property
    def api(self) -> Api:
        """The API server."""
        ...

    @property
    def journal(self) -> Journal:
        """What has to be put back is written there before it is changed."""
        ...

    @property
    def pods(self) -> Mapping[str, PodSeen]:
        """Uid → pod of the workloads, those that exist now."""
        ...

    @property
    def workloads(self) -> Mapping[str, WorkloadSeen | None]:
        """`deployment/web` → as it is now; None once it was deleted."""
        ...

    def pods_of(self, workload: WorkloadSeen) -> Sequence[PodSeen]:
        """The pods of one of the workloads that exist now."""
        ...

    def record(self, fact: Fact) -> None:
        """Keep a fact of the run; an action is part of the present replacement."""
        ...

    def turn(self) -> None:
        """What follows is a replacement of its own: pods that came until now may be old for it."""
        ...

    def say(self, text: str) -> None:
        """Tell the person who waits."""
        ...

    def doing(self, text: str) -> None:
        """Say what is waited for, for whoever asks why it takes so long."""
        ...

    def note(self, text: str) -> None:
        """Record what the reader of the report should know, and say so."""
        ...

    def give_up(self, text: str) -> None:
        """Record why this run will prove nothing, and say so."""
        ...

    async def until(self, done: Callable[[], bool], where: Callable[[], str]) -> bool:
        """Wait until `done`; False, and the reason recorded, when the workloads look stuck.

        Args:
            where: how far it is, for the person who waits.
        """
        ...


class Doing(Protocol):
    """One action on workloads.

    Nothing is changed by `check` and `predict`. `perform` enters into the journal what has to be put back before it
    changes it; whoever calls it has that done, whatever ends it.
    """

    @property
    def description(self) -> str:
        """What a person would call it: "restart deployment/web"."""
        ...

    async def check(self) -> None:
        """Raise `UsageError` or `ClusterError` when it cannot be done."""
        ...

    async def predict(self) -> list[str]:
        """What it would do, in sentences."""
        ...

    async def perform(self, ground: Ground) -> bool:
        """Do it and wait for its end; False when there is no point in going on (the reason is recorded)."""
        ...

    async def stop(self, ground: Ground) -> None:
        """Have what was begun not go on, as far as the journal does not see to that."""
        ...


def acted(kind: str, description: str, started: Instant, status: int | None, message: str = "") -> Action:
    """The fact of an action that ends now."""
    return Action(
        kind=kind,
        description=description,
        started_ns=started,
        ended_ns=time.monotonic_ns(),
        status=status,
        message=message,
    )


def stepped(verb: str, target: str, uid: str, status: int | None, refusal: str = "", message: str = "") -> Step:
    """The fact of a write that was answered now."""
    return Step(
        at_ns=time.monotonic_ns(),
        verb=verb,
        target=target,
        uid=uid,
        status=status,
        refusal=refusal,
        message=message,
    )


Unclear = (ClusterUnreachable, ClusterRefused)


def is_unclear(error: Exception) -> bool:
    """Whether a change may have been made although this came back: of a 5xx as of silence, etcd may have it."""
    return isinstance(error, ClusterUnreachable) or (isinstance(error, ClusterRefused) and error.status >= 500)


def words_of(error: Exception) -> str:
    """Few words for why there was no clear answer."""
    if isinstance(error, NoAnswer):
        return error.words
    if isinstance(error, ClusterRefused) and error.words:
        return error.words
    return str(error)


def status_of(error: Exception) -> int | None:
    """The HTTP status of an error that came from the API server; None when no answer came."""
    if isinstance(error, ClusterDenied):
        return 403
    return error.status if isinstance(error, ClusterRefused) else None
