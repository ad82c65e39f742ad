"""Why a run cannot vouch for anything: each is one sentence; none of them excuses a loss that was seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rollcheck.analyze.exposure import replaced_pods
from rollcheck.analyze.model import Counts, PodLife, Timeline
from rollcheck.analyze.pods import GRACE_TOLERANCE_S
from rollcheck.analyze.ports import SYN_NS, left_from_before, maybe_tied_before
from rollcheck.analyze.words import listing, number
from rollcheck.facts.actions import Note
from rollcheck.facts.attempts import Attempt, Stage
from rollcheck.facts.clock import SECOND


def incomplete(timeline: Timeline) -> list[str]:
    """Why the document is not a whole run; empty when it is one."""
    document = timeline.document
    if document.seal is None:
        return [f"the document is not sealed: the run was cut short ({document.damaged or 'its end is missing'})"]
    if document.seal.interrupted:
        return [f"the run was interrupted ({document.seal.interrupted})"]
    return []


def unproven(timeline: Timeline, counts: Counts) -> list[str]:
    """Why no loss would mean nothing: the replacement was not asked for, not done, not finished, or not watched."""
    reasons = [note.text for note in timeline.document.of(Note) if note.fatal]
    reasons += _trigger_reasons(timeline)
    reasons += _rollout_reasons(timeline)
    if timeline.replacement is not None and counts.sent == 0:
        reasons.append("no request was sent while pods were replaced")
    hidden = [p.name for p in replaced_pods(timeline) if end_is_unknown(p)]
    if hidden:
        reasons.append(
            f"how {listing(hidden)} ended was not seen, so a kill at the end of the grace cannot be excluded"
        )
    return list(dict.fromkeys(reasons))


def _trigger_reasons(timeline: Timeline) -> list[str]:
    trigger = timeline.trigger
    if trigger is None:
        return ["nothing was asked of the cluster: there was no replacement to observe"]
    if trigger.succeeded:
        return []
    said = f": {trigger.message}" if trigger.message else ""
    if trigger.kind != "command" and trigger.status is None:
        return []  # nobody knows; whoever asked the cluster afterwards has noted what it said
    if trigger.kind != "command":
        return [f"{trigger.description} was not accepted{said}"]
    if trigger.status is None:
        return [f"the command did not end by itself ({trigger.description}){said}"]
    return [f"the command ended with code {trigger.status} ({trigger.description}){said}"]


def _rollout_reasons(timeline: Timeline) -> list[str]:
    if not timeline.pods:
        return ["no pod was seen: what was replaced, and how it ended, is not known"]
    replaced = replaced_pods(timeline)
    lingering = [p.name for p in timeline.pods if p.generation == "old" and p.deleted and p.gone_ns is None]
    changed = _changed_templates(timeline)
    kept = [
        p.name
        for p in timeline.pods
        if p.generation == "old" and not p.deleted and p.workload in changed and not _below_partition(timeline, p)
    ]
    stuck = [p for p in timeline.pods if p.generation == "new" and not p.ready and not p.deleted]
    reasons = []
    if not replaced and not lingering:
        reasons.append("no pod was replaced")
    elif kept:
        reasons.append(f"the rollout did not finish: {listing(kept)} of the old template {_were(kept)} never replaced")
    if lingering:
        reasons.append(f"{listing(lingering)} {_were(lingering)} still ending when the run was over")
    if stuck:
        reasons.append(f"{number(len(stuck), 'new pod')} never became ready ({_why(stuck)})")
    return reasons


def _below_partition(timeline: Timeline, pod: PodLife) -> bool:
    """Whether a StatefulSet's partition keeps a rolling update from it."""
    name, _, ordinal = pod.name.rpartition("-")
    partition = max((w.partition for w in timeline.workloads if w.name == name), default=0)
    return ordinal.isdecimal() and int(ordinal) < partition


def _were(names: Sequence[str]) -> str:
    return "was" if len(names) == 1 else "were"


def _why(stuck: Sequence[PodLife]) -> str:
    return listing([f"{p.name}: {p.unready_reason or 'no reason given'}" for p in stuck], most=3)


def _changed_templates(timeline: Timeline) -> set[str]:
    """The workloads whose new pods have another template than the old ones: deleting pods replaces only those."""
    old = {(p.workload, p.template_hash) for p in timeline.pods if p.generation == "old"}
    new = {(p.workload, p.template_hash) for p in timeline.pods if p.generation == "new"}
    return {workload for workload, _ in new - old}


def end_is_unknown(pod: PodLife) -> bool:
    """Whether a gone pod may have been killed unseen: no exit code, and it took as long as its grace."""
    if pod.exits or pod.deleted is None or pod.gone_ns is None:
        return False
    if pod.grace_s is None:
        return True
    return (pod.gone_ns - pod.deleted.earliest) / SECOND >= pod.grace_s - min(GRACE_TOLERANCE_S, pod.grace_s / 2)


def cluster_changed(timeline: Timeline) -> bool:
    """Whether losses can be a replacement's: a pod went or came since it began, or none could be seen at all."""
    if timeline.replacement is None:
        return False
    changed = any(p.generation == "new" or (p.generation == "old" and p.deleted) for p in timeline.pods)
    return changed or not timeline.pods


def blind_spots(timeline: Timeline) -> tuple[str, ...]:
    """What the run could not observe, whatever its verdict."""
    found: list[str] = []
    if not timeline.pods:
        found.append("pods: none was seen, so nothing is known of what was replaced")
    if not timeline.ready_endpoints:
        found.append("endpoints: no EndpointSlice was seen, so endpoint changes are not known")
    if timeline.pods and not timeline.tallies:
        found.append("exposure: responses do not name the pod that answered, so which pods met traffic is not known")
    if Stage.BASELINE not in timeline.stages:
        found.append("baseline: there was none, so failures that happen without any replacement cannot be told apart")
    found += [note.text for note in timeline.document.of(Note) if not note.fatal and note.topic == "permission"]
    unseen = [p.name for p in replaced_pods(timeline) if p.killing is None]
    if unseen:
        found.append(f"events: no Killing event of {listing(unseen)} was seen, so SIGTERM is placed by the deletion")
    return tuple(dict.fromkeys(found))


def unseen_ports(timeline: Timeline, unexplained: Iterable[Attempt]) -> tuple[str, ...]:
    """That connects without an answer may be due to source ports which a run before this one left tied to its pods."""
    # Where some occurred before the replacement, an explanation of later ones by a pod's end is in doubt as well.
    count = len(left_from_before(timeline, timeline.failures) or maybe_tied_before(timeline, unexplained))
    if not count:
        return ()
    text = (
        f"source ports: whether connection tracking still tied those of {number(count, 'connect')} without an answer to"
        f" a pod that died before this run cannot be seen; leave {SYN_NS // SECOND} s between runs on one Service"
    )
    return (text,)
