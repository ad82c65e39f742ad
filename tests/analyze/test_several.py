"""Runs in which pods of several workloads are watched: behind one Service, or each behind its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from rollcheck.analyze.analysis import analyse
from rollcheck.analyze.causes.scene import Scene
from rollcheck.analyze.model import PodLife, Timeline
from rollcheck.analyze.timeline import build_timeline
from rollcheck.facts.attempts import Lane
from rollcheck.facts.cluster import PodSeen, ServiceSeen, SliceSeen, WorkloadSeen
from rollcheck.facts.document import Document, Fact
from tests.analyze.builders import Story, ns

BAD = {"exit_after": 0.1, "code": 143}


def story() -> Story:
    """Both of `web` drain; the only one of `api`, old-3, exits at once and comes back four seconds later."""
    made = Story(named=False).pods(3).restart(at=10)
    made.new_pod("new-1", created=10.1, ready=12).delete("old-1", at=12.1, exit_after=6)
    made.new_pod("new-2", created=13.1, ready=15).delete("old-2", at=15.1, exit_after=6)
    made.delete("old-3", at=20, **BAD).new_pod("new-3", created=20.1, ready=24)
    return made.end(at=40)


def apart(document: Document, *, asked: str = "web") -> Document:
    """With pods *-3 as those of deployment/api behind a Service of its own."""

    def told(fact: Fact) -> Iterator[Fact]:
        match fact:
            case PodSeen():
                ref = "api" if fact.name.endswith("-3") else "web"
                yield replace(fact, labels={"app": ref}, workload=f"deployment/{ref}")
            case SliceSeen():
                own = tuple(e for e in fact.endpoints if not e.pod_name.endswith("-3"))
                others = tuple(e for e in fact.endpoints if e.pod_name.endswith("-3"))
                yield replace(fact, endpoints=own)
                yield replace(fact, endpoints=others, uid="uid-slice-api", name="api-abcde", service="api")
            case ServiceSeen():
                yield fact
                yield replace(fact, name="api", uid="uid-api", selector={"app": "api"})
            case WorkloadSeen():
                yield fact
                yield replace(
                    fact, name="api", uid="uid-deployment-api", replicas=1, max_surge="0", max_unavailable="1"
                )
            case _:
                yield fact

    facts = tuple(made for fact in document.facts for made in told(fact))
    seal = replace(document.seal, lines=len(facts) + 1) if document.seal else None
    return replace(document, header=replace(document.header, service=asked), facts=facts, seal=seal)


def canary(document: Document) -> Document:
    """With pods *-3 as a canary beside the workload, behind the same Service."""

    def told(fact: Fact) -> Fact:
        beside = isinstance(fact, PodSeen) and fact.name.endswith("-3")
        return replace(fact, beside=True, labels={"app": "web", "track": "canary"}) if beside else fact  # type: ignore[type-var]

    return replace(document, facts=tuple(map(told, document.facts)))


def pod(timeline: Timeline, name: str) -> PodLife:
    (found,) = (p for p in timeline.pods if p.name == name)
    return found


class TestEachBehindAServiceOfItsOwn:
    def test_ready_endpoints_are_those_of_the_service_that_is_asked(self):
        timeline = build_timeline(apart(story().document()))

        assert {count for _, count in timeline.ready_endpoints} == {2, 3}

    def test_pods_of_the_other_are_placed_by_its_own_endpoints(self):
        other = pod(build_timeline(apart(story().document())), "old-3")

        assert [span.end for span in other.in_endpoints] == [pytest.approx(ns(20.03), abs=ns(0.1) - ns(0))]

    def test_each_pod_is_of_its_workload_and_only_those_that_are_asked_are_backends(self):
        timeline = build_timeline(apart(story().document()))

        assert {(p.workload, p.backend) for p in timeline.pods} == {("deployment/web", True), ("deployment/api", False)}
        assert {p.generation for p in timeline.pods if not p.backend} == {"old", "new"}

    def test_the_end_of_a_pod_that_no_request_can_meet_explains_no_loss(self):
        document = apart(story().lose(Lane.FRESH, 20.1, 20.6).document())
        named = {e.pod.name for e in Scene(build_timeline(document)).met}

        assert named == {"old-1", "old-2"}
        assert not any("old-3" in line for cause in analyse(document).causes for line in cause.evidence)

    def test_the_propagation_of_a_pod_that_no_request_can_meet_is_not_measured(self):
        document = apart(story().lose(Lane.FRESH, 20.1, 20.6).document())

        assert "old-3" not in {measured.pod for measured in analyse(document).propagation}

    def test_a_service_without_load_that_had_no_pod_is_told(self):
        (said,) = (o for o in analyse(apart(story().document())).observations if o.startswith("service/api"))

        assert said.startswith("service/api had no ready pod from +10.0")
        assert said.endswith("no request of this run went there")

    def test_when_the_other_service_is_asked_its_pod_is_the_backend_and_its_gap_the_cause(self):
        document = apart(story().lose(Lane.FRESH, 20.1, 23.9).lose(Lane.REUSED, 20.1, 23.9).document(), asked="api")
        analysis = analyse(replace(document, header=replace(document.header, workload="deployment/api")))

        assert {e.pod.name for e in Scene(analysis.timeline).met} == {"old-3"}
        assert analysis.causes[0].mode == 11, analysis.causes

    def test_replacing_pods_that_no_request_can_meet_narrows_no_bound(self):
        bounds = analyse(apart(story().document())).bounds

        assert bounds.pods_replaced == 3
        assert bounds.loss_per_pod == pytest.approx(1 - 0.05 ** (1 / 2))

    def test_a_workload_that_kept_its_template_did_not_leave_the_rollout_unfinished(self):
        kept = Story(named=False).pods(3).restart(at=10)
        kept.new_pod("new-1", created=10.1, ready=12).delete("old-1", at=12.1, exit_after=6)
        kept.new_pod("new-2", created=13.1, ready=15).delete("old-2", at=15.1, exit_after=6)
        reasons = analyse(apart(kept.end(at=40).document())).reasons

        assert not any("never replaced" in reason for reason in reasons), reasons


class TestBehindOneService:
    def canary_kept(self) -> Document:
        made = Story(named=False).pods(3).restart(at=10)
        made.new_pod("new-1", created=10.1, ready=12).delete("old-1", at=12.1, exit_after=6)
        made.new_pod("new-2", created=13.1, ready=15).delete("old-2", at=15.1, exit_after=6)
        return canary(made.end(at=40).document())

    def test_a_canary_is_a_backend_and_of_neither_generation(self):
        timeline = build_timeline(self.canary_kept())

        assert {count for _, count in timeline.ready_endpoints} == {3, 4}
        beside = pod(timeline, "old-3")
        assert (beside.generation, beside.backend, beside.workload, beside.beside) == ("other", True, "", True)

    def test_a_canary_that_stays_is_not_missed_among_the_replaced(self):
        analysis = analyse(self.canary_kept())

        assert analysis.verdict == "graceful", analysis.reasons
        assert analysis.bounds.pods_replaced == 2
        assert (
            "1 pod of other workloads served the same clients and was not to be replaced (old-3)"
            in analysis.observations
        )

    def test_a_canary_that_ends_meanwhile_explains_what_is_lost_at_its_end(self):
        document = canary(story().lose(Lane.FRESH, 20.1, 20.6).document())
        analysis = analyse(document)

        assert analysis.bounds.pods_replaced == 2
        assert analysis.causes[0].mode == 1, analysis.causes
        assert any("old-3" in line for line in analysis.causes[0].evidence)
        assert any("old-3" in said and "ended during the run" in said for said in analysis.observations)

    def test_what_a_canary_loses_that_exits_at_once_is_not_laid_to_a_pod_that_drains_at_the_same_time(self):
        made = Story(named=False).pods(3).restart(at=10)
        made.new_pod("new-1", created=10.1, ready=12).delete("old-3", at=12.0, **BAD)
        made.delete("old-1", at=12.2, exit_after=6)
        made.new_pod("new-2", created=13.1, ready=15).delete("old-2", at=19.1, exit_after=6)
        document = canary(made.lose(Lane.FRESH, 12.0, 13.0).end(at=40).document())
        named = [line for line in analyse(document).causes[0].evidence if line.startswith("pod ")]

        assert [line.split(":")[0] for line in named] == ["pod old-3"]
