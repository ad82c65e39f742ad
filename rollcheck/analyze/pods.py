"""The lives of pods, put together from what the watch showed of them, their events and their endpoints."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rollcheck.analyze.model import ContainerExit, Moment, PodLife, latest
from rollcheck.analyze.sigterm import infer_sigterm
from rollcheck.facts.clock import SECOND, ClockAnchor, Instant, Window
from rollcheck.facts.cluster import Change, ContainerState, KubeEvent, PodSeen, PodSpec, WatchGap

GONE = (Change.DELETED, Change.VANISHED)
SIGKILL_CODE = 137
NOT_BY_GRACE = ("OOMKilled", "ContainerStatusUnknown")
"""Reasons of a 137 that is not a kill at the end of the grace: memory, or a kubelet that lost sight of it."""
GRACE_TOLERANCE_S = 2.0
"""Finish and deletion come from the clocks of a node and of the API server, each in whole seconds."""
CROSS_WATCH_NS = SECOND
"""Pods and events come over two watches: one may be this much ahead of the other."""
POD_WATCH = ("pods", "pod")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a pod's life is read against.

    Attributes:
        trigger_ns: when the replacement began; None when nothing did. last_trigger_ns: the last of several actions.
        end_ns: the end of the run.
        events: pod uid → its events, in order.
        in_endpoints: pod uid → spans in the Service's slices.
        gaps: of the pod watch.
        workload: the one that pods are of which do not say.
        load_reaches: whether a pod with these labels may get requests of the run.
    """

    anchor: ClockAnchor
    trigger_ns: Instant | None
    end_ns: Instant
    events: Mapping[str, Sequence[KubeEvent]]
    in_endpoints: Mapping[str, tuple[Window, ...]]
    gaps: Sequence[WatchGap]
    last_trigger_ns: Instant | None = None
    workload: str = ""
    load_reaches: Callable[[Mapping[str, str]], bool] = lambda _: True


def pod_lives(seen: Iterable[PodSeen], around: Surroundings) -> tuple[PodLife, ...]:
    """Every pod's life, by first sight. Facts of one instant may come in any order."""
    by_uid: dict[str, list[PodSeen]] = defaultdict(list)
    for fact in seen:
        by_uid[fact.uid].append(fact)
    histories = [sorted(facts, key=_order) for facts in by_uid.values()]
    histories.sort(key=lambda history: (history[0].seen_ns, history[0].name, history[0].uid))
    ours: dict[str, list[Sequence[PodSeen]]] = defaultdict(list)
    for history in histories:
        if not history[0].beside:
            ours[history[0].workload].append(history)
    replaced = frozenset[str]().union(*(_replaced_templates(own, around.trigger_ns) for own in ours.values()))
    return tuple(_life(history, around, replaced) for history in histories)


def _order(fact: PodSeen) -> tuple[int, bool, int, str]:
    version = int(fact.resource_version) if fact.resource_version.isdecimal() else 0
    return fact.seen_ns, fact.change in GONE, version, repr(fact)


def _replaced_templates(histories: Sequence[Sequence[PodSeen]], trigger_ns: Instant | None) -> frozenset[str]:
    """Templates of the pods that were there at the trigger, when later ones have another; else none."""
    if trigger_ns is None:
        return frozenset()
    before = {h[0].template_hash for h in histories if h[0].seen_ns <= trigger_ns and not _ended_by(h, trigger_ns)}
    after = {h[0].template_hash for h in histories if h[0].seen_ns > trigger_ns}
    return frozenset(before) if after - before else frozenset()


def _ended_by(history: Sequence[PodSeen], at: Instant) -> bool:
    """Whether it was deleted, or being deleted, by that instant."""
    return any(f.seen_ns <= at and (f.change in GONE or f.deletion_at) for f in history)


def _generation(history: Sequence[PodSeen], around: Surroundings, replaced: frozenset[str]) -> str:
    """What came between two actions of a run is old for the last one."""
    first, trigger_ns = history[0], around.trigger_ns
    if first.beside:
        return "other"
    if trigger_ns is None:
        return "other" if any(f.change in GONE or f.deletion_at for f in history) else "old"
    if first.seen_ns > max(trigger_ns, around.last_trigger_ns or trigger_ns):
        return "old" if first.template_hash in replaced else "new"
    return "other" if _ended_by(history, trigger_ns) else "old"


def _life(history: Sequence[PodSeen], around: Surroundings, replaced: frozenset[str]) -> PodLife:
    first, last = history[0], history[-1]
    anchor = around.anchor
    spec = next((f.spec for f in history if f.spec is not None), None)
    gone = next((f for f in history if f.change in GONE), None)
    deleted = _deletion(history, around)
    grace_s = _grace(history, spec)
    events = around.events.get(first.uid, ())
    killing = _event_moment(events, "Killing", deleted, anchor)
    hook = _event_moment(events, "FailedPreStopHook", deleted, anchor)
    exits = _exits(history, spec, anchor) if deleted or gone or last.phase in ("Succeeded", "Failed") else ()
    took = _took(deleted, exits) if deleted else None
    sigterm = None
    if deleted is not None:
        sigterm = infer_sigterm(
            spec=spec, deleted=deleted, grace_s=grace_s, killing=killing, prestop_failed=hook, exits=exits
        )
    return PodLife(
        uid=first.uid,
        name=first.name,
        node=next((f.node for f in reversed(history) if f.node), ""),
        ip=next((f.ip for f in reversed(history) if f.ip), ""),
        generation=_generation(history, around, replaced),
        arrived=around.trigger_ns is not None
        and first.seen_ns > around.trigger_ns
        and first.template_hash not in replaced
        and not first.beside,
        workload="" if first.beside else first.workload or around.workload,
        beside=first.beside,
        backend=any(around.load_reaches(f.labels) for f in history),
        template_hash=first.template_hash,
        created=Moment(seen_ns=first.seen_ns, reported=anchor.bracket(first.created_at)),
        spec=spec,
        listening=_listening(history, anchor),
        ready=_ready_spans(history, around.end_ns),
        in_endpoints=around.in_endpoints.get(first.uid, ()),
        deleted=deleted,
        grace_s=grace_s,
        killing=killing,
        prestop_failed=_hook_message(events),
        sigterm=sigterm,
        exits=exits,
        took_s=took,
        killed=took is not None and grace_s is not None and _killed(exits, took, grace_s),
        gone_ns=gone.seen_ns if gone else None,
        restarts=_restarts(last) - (_restarts(first) if first.change is Change.LISTED else 0),
        unready_reason="" if last.ready or gone else _why_unready(last),
        disruption=next((f.disruption for f in reversed(history) if f.disruption), ""),
        vanished=gone is not None and gone.change is Change.VANISHED,
    )


def _deletion(history: Sequence[PodSeen], around: Surroundings) -> Moment | None:
    """The delete request: deletionTimestamp − grace, since the API adds the grace to it."""
    for fact in history:
        if fact.deletion_at:
            return Moment(seen_ns=fact.seen_ns, reported=_request(fact, history, around.anchor))
        if fact.change is Change.VANISHED:
            return Moment(seen_ns=fact.seen_ns, reported=_hidden(fact.seen_ns, history, around.gaps))
        if fact.change is Change.DELETED:
            return Moment(seen_ns=fact.seen_ns)
    return None


def _request(fact: PodSeen, history: Sequence[PodSeen], anchor: ClockAnchor) -> Window | None:
    """When the deletion that `fact` is the first to show was asked for.

    The kubelet, once all containers have ended, deletes again with a grace of 0, and that rewrites the timestamp; where
    this is all we saw, the request came at most a grace earlier.
    """
    bracket = anchor.bracket(fact.deletion_at)
    if bracket is None:
        return None
    grace_ns = (fact.deletion_grace_s or 0) * SECOND
    if grace_ns == 0 and _all_ended(fact):
        spec = next((f.spec for f in history if f.spec is not None), None)
        return Window(start=bracket.start - (spec.grace_s if spec else 0) * SECOND, end=bracket.end)
    return Window(start=bracket.start - grace_ns, end=bracket.end - grace_ns)


def _hidden(seen_ns: Instant, history: Sequence[PodSeen], gaps: Sequence[WatchGap]) -> Window:
    """The span in which a vanished pod was deleted: inside the gap that hid it, after it was last seen alive."""
    last_seen = max((f.seen_ns for f in history if f.seen_ns < seen_ns), default=seen_ns)
    start = max((g.start_ns for g in gaps if g.start_ns <= seen_ns), default=last_seen)
    return Window(start=max(last_seen, start), end=seen_ns)


def _grace(history: Sequence[PodSeen], spec: PodSpec | None) -> int | None:
    """The grace in force while its containers ran: a later delete can shorten it; the kubelet's own last one is 0."""
    running = [f.deletion_grace_s for f in history if f.deletion_at and f.change not in GONE and not _all_ended(f)]
    if running:
        return running[-1]
    forced = [f for f in history if f.change is Change.DELETED and f.deletion_at and not _all_ended(f)]
    if forced:
        return forced[0].deletion_grace_s
    return spec.grace_s if spec else None


def _all_ended(fact: PodSeen) -> bool:
    return bool(fact.containers) and all(c.state == "terminated" for c in fact.containers)


def _event_moment(
    events: Sequence[KubeEvent], reason: str, deleted: Moment | None, anchor: ClockAnchor
) -> Moment | None:
    """The first event of that reason that belongs to the deletion, not to a restart of a container before it."""
    if deleted is None:
        return None
    for event in events:
        early = event.seen_ns + CROSS_WATCH_NS < deleted.earliest
        if event.reason != reason or "will be restarted" in event.message or early:
            continue
        return Moment(seen_ns=event.seen_ns, reported=anchor.bracket(event.first_at))
    return None


def _hook_message(events: Sequence[KubeEvent]) -> str:
    return next((e.message or "the hook failed" for e in events if e.reason == "FailedPreStopHook"), "")


def _listening(history: Sequence[PodSeen], anchor: ClockAnchor) -> Moment | None:
    for fact in history:
        started = sorted(c.started_at for c in fact.containers if c.state in ("running", "terminated"))
        if started:
            return Moment(seen_ns=fact.seen_ns, reported=anchor.bracket(started[0]))
    return None


def _ready_spans(history: Sequence[PodSeen], end_ns: Instant) -> tuple[Window, ...]:
    return spans([(f.seen_ns, f.ready and f.change not in GONE) for f in history], end_ns)


def spans(steps: Iterable[tuple[Instant, bool]], end_ns: Instant) -> tuple[Window, ...]:
    """The spans in which a step function of time was true; one still open ends with the run."""
    found: list[Window] = []
    since: Instant | None = None
    for at, true in steps:
        if true and since is None:
            since = at
        elif not true and since is not None:
            found.append(Window(start=since, end=at))
            since = None
    if since is not None:
        found.append(Window(start=since, end=max(since, end_ns)))
    return tuple(found)


def _exits(history: Sequence[PodSeen], spec: PodSpec | None, anchor: ClockAnchor) -> tuple[ContainerExit, ...]:
    """The last termination of each container that serves: the main ones, then the sidecars."""
    sidecars = {c.name for c in spec.containers if c.sidecar} if spec else set()
    first_seen: dict[str, tuple[ContainerState, Instant]] = {}
    for fact in history:
        for state in (*fact.containers, *(c for c in fact.init_containers if c.name in sidecars)):
            if state.state != "terminated":
                first_seen.pop(state.name, None)
            elif state.name not in first_seen:
                first_seen[state.name] = (state, fact.seen_ns)
    return tuple(
        ContainerExit(
            container=name,
            code=state.exit_code,
            reason=state.reason,
            finished=anchor.bracket(state.finished_at),
            seen_ns=seen_ns,
        )
        for name, (state, seen_ns) in first_seen.items()
    )


def _took(deleted: Moment, exits: Sequence[ContainerExit]) -> tuple[float, float] | None:
    """Seconds from the delete request to the end of the last container, as far as both clocks tell."""
    if not exits:
        return None
    first = max(e.finished.start if e.finished else deleted.earliest for e in exits)
    last = max(latest(Moment(seen_ns=e.seen_ns, reported=e.finished)) for e in exits)
    low = max(0, first - latest(deleted))
    return low / SECOND, max(low, last - deleted.earliest) / SECOND


def _killed(exits: Sequence[ContainerExit], took: tuple[float, float], grace_s: int) -> bool:
    """Whether SIGKILL ended it at the end of its grace.

    No upper limit: when preStop eats the grace, two more seconds follow, and kubelets of 1.22 to 1.27 gave it twice.
    """
    tolerance = min(GRACE_TOLERANCE_S, grace_s / 2)
    by_signal = any(e.code == SIGKILL_CODE and e.reason not in NOT_BY_GRACE for e in exits)
    return by_signal and took[1] >= grace_s - tolerance


def _restarts(fact: PodSeen) -> int:
    return sum(c.restarts for c in (*fact.containers, *fact.init_containers))


def _why_unready(fact: PodSeen) -> str:
    waiting = (c.reason for c in (*fact.init_containers, *fact.containers) if c.state == "waiting" and c.reason)
    return next(waiting, fact.unready_reason)
