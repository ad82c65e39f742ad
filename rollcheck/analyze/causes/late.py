"""The late life of a pod: what is lost between its deletion and its disappearance.

Three things end for a pod, in an order that decides which attempts die: new connections stop being sent to it (the
endpoint leaves, then every proxy learns of it), it is told to stop (SIGTERM), and it exits. An attempt is matched to a
pod's end first (`explains`), by the pod's name where responses tell it and by time otherwise; then the manner of that
end and the use of the connection decide the mode (`judge`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rollcheck.analyze.causes.scene import SLACK_NS, Ending, Scene, once
from rollcheck.analyze.causes.signs import cut, from_app, from_proxy, no_entry, on_reused, silent
from rollcheck.analyze.model import began
from rollcheck.facts.attempts import Attempt
from rollcheck.facts.clock import MILLISECOND, SECOND, Instant, Window

CROSSING_NS = 5 * MILLISECOND
"""A request that failed this quickly may have crossed the server's FIN: it need not have been under way there."""
FEW_IN_BACKLOG = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A failed attempt, and the end of a pod that explains it."""

    attempt: Attempt
    ending: Ending


def explain(scene: Scene, attempts: Iterable[Attempt]) -> list[Loss]:
    """The attempts that the end of some pod explains, each with the nearest such end."""
    found = []
    for attempt in attempts:
        ends = explaining(scene, attempt)
        if len(ends) > 1:
            found.append(Loss(attempt=attempt, ending=min(ends, key=lambda e: _distance(scene, e, attempt))))
        elif ends:
            found.append(Loss(attempt=attempt, ending=ends[0]))
    return found


def _distance(scene: Scene, ending: Ending, attempt: Attempt) -> tuple[int, bool, int, str]:
    """How far the attempt's decisive instant is from that pod's end.

    For one that found the pod dead, its start from the instant at which the pod may have stopped accepting; for one
    that was cut, its end from the pod's exit. A pod that had exited found it more certainly than one that lived on and
    may have stopped accepting: pods of another workload may end at the same time in another manner.
    """
    window = entry_window(scene, ending)
    at = began(attempt)
    if window is not None and window.start <= at <= window.end and (no_entry(attempt) or from_proxy(scene, attempt)):
        alive = ending.lingered and at < ending.exit.start
        return 0, alive, at - window.start, ending.pod.name
    at = attempt.ended_ns
    outside = max(ending.exit.start - at, at - ending.exit.end, 0)
    return outside, False, abs(at - ending.exit.start), ending.pod.name


class Reach:
    """The ends of pods by the span in which each loses attempts of one kind."""

    def __init__(self, spans: Iterable[tuple[Window, Ending]]) -> None:
        ordered = sorted(spans, key=lambda span: span[0].start)
        self._starts = [window.start for window, _ in ordered]
        self._ends = [(window.end, ending) for window, ending in ordered]

    def of(self, since: Instant, until: Instant) -> list[Ending]:
        """Those whose span has begun by `since` and goes on at least to `until`."""
        return [e for end, e in self._ends[: bisect_right(self._starts, since)] if until <= end]


class Reaches:
    """Which ends of pods can have lost an attempt, for each kind of attempt."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        ends = scene.met
        self._named: dict[str, list[Ending]] = defaultdict(list)
        for ending in ends:
            self._named[ending.pod.name].append(ending)
        self._entry = Reach((w, e) for e in ends if (w := entry_window(scene, e)) is not None)
        self._proxy = Reach((proxy_window(scene, e), e) for e in ends)
        self._silent = Reach((_vanished(scene, e), e) for e in ends)
        self._cut = Reach((Window(start=_stop(e) - SLACK_NS, end=e.exit.end + SECOND), e) for e in ends)
        self._known: dict[int, list[Ending]] = {}

    def of(self, attempt: Attempt) -> list[Ending]:
        """Those that can have lost it; found once for each attempt of the timeline."""
        key = id(attempt)
        if key not in self._known:
            self._known[key] = self._find(attempt)
        return self._known[key]

    def _find(self, attempt: Attempt) -> list[Ending]:
        """By the pod's name where that is known, and by time."""
        start, name = began(attempt), self._scene.pod_of(attempt)
        if no_entry(attempt):
            return self._entry.of(start, start)
        if from_app(self._scene, attempt):
            own = self._named.get(name, ()) if name and attempt.status >= 500 else ()
            return [e for e in own if start >= e.sigterm.start - SLACK_NS]
        found: list[Ending] = []
        if from_proxy(self._scene, attempt):
            found = self._proxy.of(attempt.ended_ns, start)
        elif silent(attempt):
            found = self._silent.of(attempt.ended_ns, start)
        elif cut(attempt):
            found = self._cut.of(attempt.ended_ns, max(start, attempt.ended_ns))
        return [e for e in found if e.pod.name == name] if name else found


@once
def _reaches(scene: Scene) -> Reaches:
    return Reaches(scene)


def explaining(scene: Scene, attempt: Attempt) -> list[Ending]:
    """The ends of pods that can have lost that attempt."""
    return _reaches(scene).of(attempt)


def _vanished(scene: Scene, ending: Ending) -> Window:
    """When a request can have found nobody there to answer or to refuse it."""
    return Window(start=ending.exit.start - SLACK_NS, end=ending.exit.end + scene.propagation_ns)


def _stop(ending: Ending) -> Instant:
    """The earliest instant at which it can have cut anything: a pod that ignores SIGTERM does so when it is killed."""
    return ending.exit.start if ending.pod.killed else ending.stops


def entry_window(scene: Scene, ending: Ending) -> Window | None:
    """When a new connection can have met it dead: from its stop until every proxy knew.

    None when proxies had long known before it stopped.
    """
    stop = _stop(ending)
    if ending.left_ns is not None and stop - ending.left_ns >= scene.propagation_ns:
        return None
    known = stop if ending.left_ns is None else max(ending.left_ns, stop)
    if ending.left_ns is None:
        known = max(known, ending.exit.end)
    return Window(start=stop - SLACK_NS, end=known + scene.propagation_ns)


def proxy_window(scene: Scene, ending: Ending) -> Window:
    """When a proxy can have met it dead, on a new connection or on one that it kept."""
    entry = entry_window(scene, ending)
    end = ending.exit.end + SECOND
    return Window(start=_stop(ending) - SLACK_NS, end=max(end, entry.end) if entry else end)


def assign(scene: Scene, losses: Sequence[Loss]) -> dict[int, list[Loss]]:
    """Mode → its losses."""
    manners = Manners(scene, losses)
    shares: dict[int, list[Loss]] = {}
    for loss in losses:
        shares.setdefault(manners.judge(loss), []).append(loss)
    return shares


class Manners:
    """How each pod ended, read off all that was lost on it."""

    def __init__(self, scene: Scene, losses: Sequence[Loss]) -> None:
        self.scene = scene
        self.cuts: dict[str, list[Attempt]] = {}
        for loss in losses:
            if cut(loss.attempt):
                self.cuts.setdefault(loss.ending.pod.uid, []).append(loss.attempt)
        self.refusing = {loss.ending.pod.uid for loss in losses if no_entry(loss.attempt)}
        self.idle_was_killed = any(
            e.pod.killed and not any(long_running(e, a) for a in self.cuts.get(e.pod.uid, ())) for e in scene.endings
        )

    def judge(self, loss: Loss) -> int:
        """The mode that lost this attempt."""
        attempt, ending = loss.attempt, loss.ending
        if ending.pod.killed:
            return self._when_killed(attempt, ending)
        if ending.pod.prestop_failed:
            return 10
        if no_entry(attempt):
            return 1
        if from_app(self.scene, attempt):
            return 6 if self.pinned(attempt, ending) else 1
        if self.never_read(attempt, ending):
            return 35
        if ending.at_once:
            return 1
        behind_proxy = from_proxy(self.scene, attempt) or (silent(attempt) and not self.scene.direct)
        if behind_proxy and self._sent_to_it_dead(attempt, ending):
            return 1
        return self._drop_or_pin(attempt, ending)

    def _when_killed(self, attempt: Attempt, ending: Ending) -> int:
        if overruns(ending):
            return 9
        return 3 if long_running(ending, attempt) and not self.idle_was_killed else 2

    def _sent_to_it_dead(self, attempt: Attempt, ending: Ending) -> bool:
        """Begun when the pod had stopped and proxies did not know it; what had begun before was under way there."""
        window = entry_window(self.scene, ending)
        return window is not None and window.start <= began(attempt) <= window.end

    def _drop_or_pin(self, attempt: Attempt, ending: Ending) -> int:
        """4: the app dropped what was under way. 6: it served on in order, and a kept connection was used too long."""
        mine = self.cuts.get(ending.pod.uid, [])
        if not self.pinned(attempt, ending) or any(not on_reused(a) for a in mine) or ending.code != 0:
            return 4
        sent_after_sigterm = ending.lingered and began(attempt) > ending.sigterm.end
        crossed = all(a.ended_ns - began(a) <= CROSSING_NS for a in mine)
        return 6 if sent_after_sigterm or crossed else 4

    def pinned(self, attempt: Attempt, ending: Ending) -> bool:
        """On a connection older than the removal of the endpoint, which proxies had long known of."""
        if not on_reused(attempt) or ending.left_ns is None or not self._reaches_pods(attempt):
            return False
        opened = began(attempt) - attempt.connection_age_ns
        older = attempt.connection_age_ns == 0 or opened < ending.left_ns + self.scene.propagation_ns
        return older and attempt.ended_ns > ending.left_ns + SECOND

    def _reaches_pods(self, attempt: Attempt) -> bool:
        """Whether the client's connection goes to the pod itself; an ingress ends it and has its own behind."""
        return self.scene.header.route != "ingress" and not from_proxy(self.scene, attempt)

    def never_read(self, attempt: Attempt, ending: Ending) -> bool:
        """Accepted by the kernel, answered nothing, by a server that ended in order and lost nothing else.

        Where new connections were refused as well it left too early, and that explains these too.
        """
        mine = self.cuts.get(ending.pod.uid, [])
        alone = all(not on_reused(a) and a.bytes_received == 0 and a.connected_ns is not None for a in mine)
        at_sigterm = attempt.ended_ns <= ending.sigterm.end + SLACK_NS
        few = len(mine) <= FEW_IN_BACKLOG and ending.pod.uid not in self.refusing
        return cut(attempt) and alone and few and at_sigterm and ending.code == 0


def overruns(ending: Ending) -> bool:
    """Whether preStop is as long as the grace, or longer."""
    grace = ending.pod.grace_s
    return bool(ending.prestop_s) and grace is not None and (ending.prestop_s or 0) >= grace


def long_running(ending: Ending, attempt: Attempt) -> bool:
    """Whether it was under way when the pod was deleted, and for longer than preStop left of the grace."""
    if ending.pod.deleted is None or ending.pod.grace_s is None:
        return False
    left = ending.pod.grace_s - (ending.prestop_s or 0.0)
    age = (attempt.ended_ns - began(attempt)) / SECOND
    return began(attempt) <= ending.pod.deleted.seen_ns and age >= left - 1
