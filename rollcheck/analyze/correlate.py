"""Each failed attempt to exactly one cause, or to nobody with the nearest facts.

The order is one of exclusion: what our own machine did; what a node's connection tracking did, for reasons seen in the
same document; what failed before as well; no ready endpoint at all;
containers that restarted in place; what the new version brought for good; the late life of old pods; the early life of
new ones. Where two causes survive for the same attempts, one claims them and names the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rollcheck.analyze.causes import (
    before,
    early,
    ends,
    eviction,
    generator,
    late,
    outage,
    restarts,
    shutdown,
    stuck,
    tracked,
)
from rollcheck.analyze.causes.late import Loss
from rollcheck.analyze.causes.nearest import Chronicle
from rollcheck.analyze.causes.scene import Scene, Spans
from rollcheck.analyze.causes.signs import Kind, from_proxy, kind_of, no_entry, stale_paths
from rollcheck.analyze.model import Cause, Timeline, Unattributed, began
from rollcheck.facts.attempts import Attempt
from rollcheck.facts.clock import SECOND, Instant, Window

CONFIDENCE = ("high", "medium", "low")
DENSER = 3.0
"""A lasting failure is taken for a pod's end only in a burst there, this much more frequent than afterwards."""
BURST = 5
BURST_LEAST_S = 0.2


def attribute(
    timeline: Timeline, *, prestop_s: int | None = None
) -> tuple[tuple[Cause, ...], tuple[Unattributed, ...]]:
    """The causes, most attempts first, then the surest; and the attempts that none of them explains.

    Every failed attempt of the timetable is claimed by exactly one cause or is unattributed. Causes that lost nothing
    this time but would (a pod killed at the end of its grace, a stuck rollout) are there with 0 attempts.

    Args:
        timeline: of the run.
        prestop_s: a recommended preStop from measured propagation, for the patches; else it is taken from the losses.
    """
    return Attribution(Scene(timeline, prestop_s)).result()


class Attribution:
    """One pass over the failures of a timeline; `left` shrinks as causes claim from it."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.left: list[Attempt] = list(scene.timeline.failures)
        self.causes: list[Cause] = []

    def result(self) -> tuple[tuple[Cause, ...], tuple[Unattributed, ...]]:
        """Run every family in its order."""
        self._ours()
        self._tied()
        known = self._before()
        self._outage()
        self._restarts()
        self._pods()
        self._evictions()
        self._rest(known)
        chronicle = Chronicle(self.scene)
        causes = sorted(self.causes, key=lambda c: (-c.attempts, CONFIDENCE.index(c.confidence), c.mode))
        return tuple(causes), tuple(Unattributed(attempt=a, nearest=chronicle.near(a)) for a in self.left)

    def _take(self, attempts: Iterable[Attempt]) -> list[Attempt]:
        """Remove these from what is left; those that are."""
        wanted = {id(a) for a in attempts}
        if not wanted:
            return []
        taken = [a for a in self.left if id(a) in wanted]
        self.left = [a for a in self.left if id(a) not in wanted]
        return taken

    def _add(self, cause: Cause | None) -> None:
        if cause is not None:
            self.causes.append(cause)

    def _ours(self) -> None:
        self._add(generator.mode_40_generator(self.scene, self._take(generator.by_generator(self.scene, self.left))))

    def _tied(self) -> None:
        """Source ports tied to a dead pod, before the replacement and in it."""
        for by_replacement in (False, True):
            found = self._take(tracked.from_tied_ports(self.scene, self.left, by_replacement=by_replacement))
            self._add(tracked.mode_34_tied_port(self.scene, found, by_replacement=by_replacement))

    def _before(self) -> list[Attempt]:
        """Keep-alive races, saturation, and what failed at the same rate; answers what failed before."""
        scene = self.scene
        self._add(before.mode_05_idle_race(scene, self._take(before.idle_races(scene, self.left))))
        why = before.saturated_before(scene)
        if why:
            self._add(before.mode_28_saturated(scene, self._take(before.too_slow(scene, self.left)), why))
        return self._take(before.background(scene, self.left))

    def _outage(self) -> None:
        found = outage.in_outage(self.scene, self.left)
        if found is None:
            return
        mode, attempts, spans = found
        make = {
            11: outage.mode_11_too_few_replicas,
            12: outage.mode_12_forced_unavailable,
            13: outage.mode_13_recreate,
            14: outage.mode_14_all_at_once,
        }[mode]
        self._add(make(self.scene, self._take(attempts), spans))

    def _restarts(self) -> None:
        """Liveness and memory; a new pod that crashes by itself is a stuck rollout, or a broken version."""
        scene = self.scene
        crashes = restarts.crashes(scene)
        for by, mode in (("liveness", restarts.mode_18_liveness_kill), ("oom", restarts.mode_27_out_of_memory)):
            ends = [c for c in crashes if c.by == by]
            attempts = self._take(a for c in ends for a in restarts.lost_to(scene, c, self.left))
            self._add(mode(scene, attempts, ends))
        own = [c for c in crashes if c.by == "itself" and c.pod.name in scene.new_names]
        crashed = [a for c in own for a in restarts.lost_to(scene, c, self.left)]
        stuck_now = bool(stuck.stuck_facts(scene))
        self._add(stuck.mode_20_stuck_rollout(scene, self._take(crashed if stuck_now else [])))
        self.crashed = [] if stuck_now else crashed

    def _pods(self) -> None:
        """The late life of old pods and the early life of new ones; what lasts is the new version's."""
        scene = self.scene
        deaf = early.deaf_windows(scene, self.left)
        losses = late.explain(scene, self.left)
        losses = self._without_lasting(losses)
        losses, refused, contested = self._without_deaf(losses, deaf)
        losses = self._ended_otherwise(losses)
        shares = late.assign(scene, losses)
        taken = {mode: self._claimed(share) for mode, share in shares.items()}
        young = self._take(refused)
        stale = self._take(stale_paths([x.attempt for x in taken.get(1, [])], self.left))
        self._shutdown(taken, stale, [(7, "new pods without readiness probe refused too")] if contested else [])
        rival = [(1, "old pods exited at once at the same time")] if contested else []
        self._add(early.mode_07_no_readiness(scene, young, deaf, rival))
        broken = self._take([*early.of_new_version(scene, self.left), *self.crashed])
        self._add(early.mode_19_new_version_broken(scene, broken))
        self._add(early.mode_08_ready_too_early(scene, self._take(early.of_young_pods(scene, self.left))))

    def _evictions(self) -> None:
        """What kept pods from being evicted: nothing was lost to it, but the replacement did not come about."""
        for cause in eviction.blocked(self.scene):
            self._add(cause)

    def _claimed(self, share: Sequence[Loss]) -> list[Loss]:
        self._take(x.attempt for x in share)
        return list(share)

    def _shutdown(self, taken: dict[int, list[Loss]], stale: list[Attempt], rivals: list[tuple[int, str]]) -> None:
        scene = self.scene
        self._add(shutdown.mode_01_immediate_exit(scene, taken.get(1, []), stale, rivals))
        for mode, make in (
            (2, shutdown.mode_02_sigterm_ignored),
            (3, shutdown.mode_03_longer_than_grace),
            (4, shutdown.mode_04_in_flight_dropped),
            (6, shutdown.mode_06_pinned),
            (9, shutdown.mode_09_prestop_takes_grace),
            (10, shutdown.mode_10_prestop_fails),
            (35, shutdown.mode_35_never_read),
        ):
            self._add(make(scene, taken.get(mode, [])))

    def _ended_otherwise(self, losses: list[Loss]) -> list[Loss]:
        """Without what was lost on pods that were deleted by force, or taken away by an autoscaler."""
        scene = self.scene
        for chosen, make in (
            (ends.forced(scene), ends.mode_39_forced),
            (ends.autoscaled(scene), ends.mode_31_autoscaled),
        ):
            mine = self._claimed([x for x in losses if x.ending.pod.uid in chosen])
            taken = {id(x.attempt) for x in mine}
            losses = [x for x in losses if id(x.attempt) not in taken]
            self._add(make(scene, mine))
        return losses

    def _without_lasting(self, losses: list[Loss]) -> list[Loss]:
        """Without kinds that go on after the rollout, unless they are much denser at the pods' ends."""
        lasting = early.persistent_kinds(self.scene)
        if not lasting:
            return losses
        groups: dict[tuple[str, Kind], list[Instant]] = {}
        for loss in losses:
            groups.setdefault((loss.ending.pod.uid, kind_of(loss.attempt)), []).append(began(loss.attempt))
        dense = {
            key
            for key, at in groups.items()
            if len(at) >= BURST
            and len(at) / max(BURST_LEAST_S, (max(at) - min(at)) / SECOND) >= DENSER * lasting.get(key[1], 0)
        }
        return [
            x for x in losses if kind_of(x.attempt) not in lasting or (x.ending.pod.uid, kind_of(x.attempt)) in dense
        ]

    def _without_deaf(self, losses: list[Loss], deaf: dict[str, Window]) -> tuple[list[Loss], list[Attempt], bool]:
        """What refusals of new pods explain better than the ends of old ones; and whether both explain some.

        The one that alone explains more of what the other cannot, takes what both could. A pod that lived on after
        SIGTERM gave no sign of refusing anybody.
        """
        scene = self.scene
        if not deaf:
            return losses, [], False
        spans = Spans(deaf.values())
        inside = [a for a in self.left if early.maybe_deaf(scene, a) and spans.hold(began(a))]
        if not inside:
            return losses, [], False
        hasty = {
            id(x.attempt) for x in losses if x.ending.at_once and (no_entry(x.attempt) or from_proxy(scene, x.attempt))
        }
        both = {id(a) for a in inside} & hasty
        only_new = len(inside) - len(both)
        only_old = len(hasty) - len(both)
        mine = [a for a in inside if id(a) not in both or only_new > only_old]
        taken = {id(a) for a in mine}
        return [x for x in losses if id(x.attempt) not in taken], mine, bool(both)

    def _rest(self, known: list[Attempt]) -> None:
        scene = self.scene
        self._add(before.mode_28_short_of_capacity(scene, self._take(before.short_of_capacity(scene, self.left))))
        later = self._take(before.unexplained_background(scene, self.left, known))
        self._add(before.mode_00_background(scene, [*known, *later]))
