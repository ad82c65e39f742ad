"""Every fact of a document placed on one axis: the single input of causes, verdict and pictures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from rollcheck.analyze.endpoints import endpoint_history, history_elsewhere
from rollcheck.analyze.model import Moment, PodLife, PodTraffic, Timeline, began
from rollcheck.analyze.pods import POD_WATCH, Surroundings, pod_lives
from rollcheck.analyze.ports import find_ties
from rollcheck.facts.actions import Action, CommandOutput, Note, StageMark, Step
from rollcheck.facts.attempts import Attempt, ConnectionUse, Interval, Lane, Outcome, PodTally, Stage
from rollcheck.facts.clock import Instant, Window
from rollcheck.facts.cluster import KubeEvent, PodSeen, ServiceSeen, SliceSeen, WatchGap, WorkloadSeen
from rollcheck.facts.connections import Connection
from rollcheck.facts.document import Document, Fact
from rollcheck.facts.health import HealthSample
from rollcheck.facts.wiretotals import SlotTotals, WireTotals

TRIGGERS = ("restart", "set-image", "undo", "scale", "delete-pod", "evict", "drain", "none", "command")


def build_timeline(document: Document) -> Timeline:
    """Place every fact of `document`; total over any document, a run's first lines included."""
    window = _window(document)
    stages = _stages(document, window)
    trigger = _trigger(document)
    replacement = _replacement(trigger, stages, window)
    seen = document.of(PodSeen)
    slices, service = document.of(SliceSeen), _asked_service(document)
    in_endpoints, steps = endpoint_history(slices, seen, service, window.end)
    elsewhere = history_elsewhere(slices, seen, service, window.end) if service and _several(document) else {}
    for windows, _ in elsewhere.values():
        in_endpoints = windows | in_endpoints
    events = tuple(sorted(document.of(KubeEvent), key=lambda e: (e.seen_ns, repr(e))))
    around = Surroundings(
        anchor=document.header.anchor,
        trigger_ns=replacement.start if replacement else None,
        last_trigger_ns=_last_trigger(document),
        end_ns=window.end,
        events=_by_uid(events),
        in_endpoints=in_endpoints,
        gaps=sorted((g for g in document.of(WatchGap) if g.resource.lower() in POD_WATCH), key=lambda g: g.start_ns),
        workload=document.header.workload,
        load_reaches=_reached_by_load(document),
    )
    attempts = _in_order(document.of(Attempt))
    timetabled = [a for a in attempts if a.lane is not Lane.PROBE and a.outcome is not Outcome.OK]
    tallies = tuple(sorted(document.of(PodTally), key=lambda t: (t.start_ns, t.lane, t.use, t.pod)))
    pods = _with_traffic(pod_lives(seen, around), tallies, attempts)
    return Timeline(
        document=document,
        window=window,
        stages=stages,
        pods=pods,
        failures=tuple(a for a in timetabled if was_lost(a)),
        not_sent=tuple(a for a in timetabled if not was_sent(a) and not was_lost(a)),
        probes=tuple(a for a in attempts if a.lane is Lane.PROBE),
        intervals=tuple(sorted(document.of(Interval), key=lambda i: (i.start_ns, i.lane, i.end_ns))),
        tallies=tallies,
        ready_endpoints=steps,
        ready_elsewhere={name: others for name, (_, others) in elsewhere.items()},
        events=events,
        workloads=tuple(sorted(document.of(WorkloadSeen), key=lambda w: (w.seen_ns, _version(w), repr(w)))),
        abandoned=tuple(a for a in timetabled if was_sent(a) and not was_lost(a)),
        ties=find_ties(attempts, document.of(Connection), pods, document.header.route),
        trigger=trigger,
        replacement=replacement,
    )


def _several(document: Document) -> bool:
    """Whether pods of several workloads were watched."""
    return len({w.ref for w in document.of(WorkloadSeen)}) > 1 or any(p.beside for p in document.of(PodSeen))


def _asked_service(document: Document) -> str:
    """The Service that the load went through: the one that leads to the URL, or the only one there is."""
    only = {s.name for s in document.of(ServiceSeen)}
    return document.header.service or (only.pop() if len(only) == 1 and _several(document) else "")


def _reached_by_load(document: Document) -> Callable[[Mapping[str, str]], bool]:
    """Tells by a pod's labels whether requests of this run may come to it.

    Of one workload all pods are taken to be behind the URL; of several those that the Service which is asked selects,
    where that is known.
    """
    asked = next((s for s in document.of(ServiceSeen) if s.name == _asked_service(document)), None)
    if asked is None or not asked.selector or not _several(document):
        return lambda _: True
    selector = asked.selector.items()
    return lambda labels: selector <= labels.items()


def was_sent(attempt: Attempt) -> bool:
    """Whether it came to a first act on the network."""
    return attempt.sent_ns is not None


def was_lost(attempt: Attempt) -> bool:
    """Whether a client lost it: not answered well, and neither dropped by us nor cut off by the end of the run.

    A name that did not resolve is lost though nothing was sent: the client asked, and the world did not answer.
    """
    return attempt.outcome not in (Outcome.OK, Outcome.DROPPED, Outcome.ABANDONED)


def instants(fact: Fact) -> Iterator[Instant]:
    """Every instant of our clock that a fact bears."""
    match fact:
        case Attempt():
            yield from (fact.intended_ns, fact.ended_ns)
        case Interval() | PodTally() | HealthSample() | WatchGap():
            yield from (fact.start_ns, fact.end_ns)
        case Connection():
            yield from (fact.opened_ns, fact.closed_ns)
        case Action():
            yield fact.started_ns
            if fact.ended_ns is not None:
                yield fact.ended_ns
        case StageMark() | CommandOutput() | Note() | Step():
            yield fact.at_ns
        case SlotTotals() | WireTotals():
            return  # sums over a whole load
        case _:
            yield fact.seen_ns


def _window(document: Document) -> Window:
    """From the first stage (else the first fact) to the seal, or the last fact where that is later."""
    marks = [m.at_ns for m in document.of(StageMark)]
    every = [at for fact in document.facts for at in instants(fact)]
    start = min(marks or every or [document.header.anchor.monotonic_ns])
    ends = [*every, start, *([document.seal.ended_ns] if document.seal else [])]
    return Window(start=start, end=max(ends))


def _stages(document: Document, window: Window) -> dict[Stage, Window]:
    marks = sorted(document.of(StageMark), key=lambda m: (m.at_ns, list(Stage).index(m.stage)))
    edges = [*(m.at_ns for m in marks), window.end]
    stages: dict[Stage, Window] = {}
    for mark, (start, end) in zip(marks, pairwise(edges), strict=True):
        stages.setdefault(mark.stage, Window(start=start, end=end))
    return stages


def _trigger(document: Document) -> Action | None:
    actions = [a for a in document.of(Action) if a.kind in TRIGGERS]
    return min(actions, key=lambda a: (a.started_ns, repr(a)), default=None)


def _last_trigger(document: Document) -> Instant | None:
    """When the last of several replacements began: `--repeat`, and the way back of a scaling."""
    actions = [a for a in document.of(Action) if a.kind in TRIGGERS]
    last = max((a.round for a in actions), default=0)
    return min((a.started_ns for a in actions if a.round == last), default=None)


def _replacement(trigger: Action | None, stages: dict[Stage, Window], window: Window) -> Window | None:
    """From whichever of the trigger and the stage's mark came first: intervals are cut at the mark."""
    begins = [trigger.started_ns] if trigger else []
    if Stage.REPLACEMENT in stages:
        begins.append(stages[Stage.REPLACEMENT].start)
    return Window(start=min(begins), end=window.end) if begins else None


def _by_uid(events: Iterable[KubeEvent]) -> dict[str, list[KubeEvent]]:
    grouped: dict[str, list[KubeEvent]] = defaultdict(list)
    for event in events:
        grouped[event.uid].append(event)
    return grouped


def _version(fact: WorkloadSeen) -> int:
    return int(fact.resource_version) if fact.resource_version.isdecimal() else 0


class PodIndex:
    """Which pods an attempt is known to have been on: by name, or by their address when we asked them directly."""

    def __init__(self, pods: Iterable[PodLife]) -> None:
        self._names: dict[str, list[PodLife]] = defaultdict(list)
        self._addresses: dict[str, list[PodLife]] = defaultdict(list)
        for pod in pods:
            self._names[pod.name].append(pod)
            if pod.ip:
                self._addresses[pod.ip].append(pod)

    def of(self, attempt: Attempt) -> Sequence[PodLife]:
        """Those pods: mostly one or none; several where a name or an address was given out again."""
        if attempt.pod:
            return self.named_at(attempt.pod, attempt.ended_ns)
        return self._addresses.get(attempt.peer.rpartition(":")[0].strip("[]"), ()) if attempt.peer else ()

    def named_at(self, name: str, at: Instant) -> Sequence[PodLife]:
        """The pods of that name, one where time tells: a StatefulSet gives a name out again once its pod is gone."""
        named = self.named(name)
        return [p for p in named if _bore_name(p, at, named)] if len(named) > 1 else named

    def named(self, name: str) -> Sequence[PodLife]:
        """The pods of that name."""
        return self._names.get(name, ())


def _bore_name(pod: PodLife, at: Instant, named: Sequence[PodLife]) -> bool:
    """Whether it was the one of these namesakes at that instant: the last that had come by then, else the first."""
    come = [p.created.seen_ns for p in named if p.created.seen_ns <= at]
    return pod.created.seen_ns == (max(come) if come else min(p.created.seen_ns for p in named))


def _in_order(attempts: Iterable[Attempt]) -> list[Attempt]:
    """By start, lane and number; what is alike in all of them, by all that is known of it."""
    groups: dict[tuple[Instant, Lane, int], list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        groups[began(attempt), attempt.lane, attempt.seq].append(attempt)
    ordered: list[Attempt] = []
    for key in sorted(groups):
        ordered += groups[key] if len(groups[key]) == 1 else sorted(groups[key], key=repr)
    return ordered


def _with_traffic(
    pods: Sequence[PodLife], tallies: Sequence[PodTally], attempts: Iterable[Attempt]
) -> tuple[PodLife, ...]:
    """The pods with what clients got from each."""
    index, attempts_of = PodIndex(pods), defaultdict[str, list[Attempt]](list)
    tallies_of: dict[str, list[PodTally]] = defaultdict(list)
    for tally in tallies:
        for pod in index.named_at(tally.pod, tally.last_ended_ns):
            tallies_of[pod.uid].append(tally)
    for attempt in attempts:
        for pod in index.of(attempt):
            attempts_of[pod.uid].append(attempt)
    return tuple(
        replace(
            pod,
            traffic=_traffic(pod, tallies_of[pod.uid], attempts_of[pod.uid], known=bool(tallies)),
            backend=pod.backend or bool(tallies_of[pod.uid] or attempts_of[pod.uid]),
        )
        for pod in pods
    )


def _traffic(pod: PodLife, own: Sequence[PodTally], attempts: Sequence[Attempt], *, known: bool) -> PodTraffic:
    """Of its tallies and its attempts; fresh probes tell when it answered, but are nobody's requests.

    `known` is whether responses name pods at all.
    """
    asked = [t for t in own if t.lane is not Lane.PROBE]
    lost = [a for a in attempts if was_lost(a)]
    counted = [a for a in lost if a.lane is not Lane.PROBE]
    answered = [a for a in attempts if a.outcome is Outcome.OK]
    late = [a for a in lost if pod.deleted is not None and a.ended_ns >= pod.deleted.earliest]
    return PodTraffic(
        answered=sum(t.ok for t in asked),
        failed=len(counted),
        met_terminating=_met_terminating(pod.deleted, asked, counted) if known else None,
        last_ok_new_ns=_last_ok(own, answered, ConnectionUse.NEW),
        last_ok_reused_ns=_last_ok(own, answered, ConnectionUse.REUSED),
        first_fail_new_ns=_first_fail(late, ConnectionUse.NEW),
        first_fail_reused_ns=_first_fail(late, ConnectionUse.REUSED),
    )


def _met_terminating(deleted: Moment | None, tallies: Iterable[PodTally], lost: Iterable[Attempt]) -> int:
    """A lower bound: intervals are cut where a pod's life changes, one that is not proves a single late answer."""
    if deleted is None:
        return 0
    since = deleted.seen_ns
    met = sum(t.ok if max(t.start_ns, t.first_sent_ns) >= since else int(t.last_ended_ns >= since) for t in tallies)
    return met + sum(1 for a in lost if a.ended_ns >= since)


def _last_ok(tallies: Iterable[PodTally], answered: Iterable[Attempt], use: ConnectionUse) -> Instant | None:
    """The start of the last good answer: of the tallies, and of the fresh probes, which are listed one by one."""
    starts = [t.last_sent_ns for t in tallies if t.use is use] + [began(a) for a in answered if a.use is use]
    return max(starts, default=None)


def _first_fail(lost: Iterable[Attempt], use: ConnectionUse) -> Instant | None:
    return min((began(a) for a in lost if a.use is use), default=None)
