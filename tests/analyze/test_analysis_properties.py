"""What holds of the analysis of any document."""

import random
from dataclasses import fields, is_dataclass, replace
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollcheck.analyze.analysis import analyse
from rollcheck.analyze.model import Analysis, Verdict
from rollcheck.facts.attempts import Lane, Outcome, Phase
from rollcheck.facts.clock import ClockAnchor
from rollcheck.facts.codec import decode_document, encode_line
from rollcheck.facts.connections import ClosedBy
from rollcheck.facts.document import Document
from tests.analyze.builders import ORIGIN, Story, pod_spec, sleep

FEW = settings(max_examples=15, deadline=None)


@cache
def documents() -> dict[str, Document]:
    """Runs in which everything that a document can hold happens."""
    clean = Story(qps=20).graceful_rollout(pods=2).end(at=34)
    lossy = Story(qps=40, spec=pod_spec(grace=6, prestop=sleep(1))).pods(2).restart(at=11)
    lossy.new_pod("new-1", created=11.2).new_pod("new-2", created=14.2, restarts=[20.0])
    lossy.delete("old-1", at=13, exit_after=0.2, code=143).delete("old-2", at=16, exit_after=6.2, code=137)
    lossy.lose(Lane.FRESH, 13.2, 13.9, every=2).lose(Lane.FRESH, 16.3, 16.6, outcome=Outcome.TIMEOUT, took=5.0)
    lossy.fail(Lane.REUSED, 22.1, Phase.AWAIT, Outcome.RESET, pod="old-2", connection=3)
    lossy.fail(Lane.REUSED, 5.0, Phase.AWAIT, Outcome.CLOSED_BEFORE_RESPONSE)
    lossy.fail(Lane.FRESH, 25.0, Phase.AWAIT, Outcome.BAD_STATUS, status=503)
    lossy.fail(Lane.FRESH, 26.0, Phase.CONNECT, Outcome.DROPPED, sent_ns=None)
    lossy.connection(3, opened=2, closed=22.1, by=ClosedBy.PEER_IN_FLIGHT, pod="old-2", reset=True)
    lossy.gap(17, 18.2).gap(20, 20.1, resource="events", relisted=False).note("no rights", at=0.5, topic="permission")
    lossy.event("FailedScheduling", at=14.3, uid="uid-new-2", name="new-2", message="0/2 nodes", type="Warning")
    lossy.health(21, stall_ns=900_000_000).workload(at=12.0, generation=2, updated=1, ready=2).end(at=34)
    command = Story(qps=20, named=False, strategy="Recreate").pods(1).command("make", at=9, until=20, output="hm")
    command.delete("old-1", at=9.5, exit_after=2).new_pod("new-1", created=12).lose(Lane.REUSED, 9.7, 13.1)
    stuck = Story(qps=20).pods(2).restart(at=9).new_pod("new-1", created=9.1, never_ready="ImagePullBackOff")
    stuck.note("the rollout did not complete within 5s", at=14, fatal=True).end(at=15)
    return {
        "clean": clean.document(),
        "lossy": lossy.document(),
        "command": command.end(at=30).document(),
        "stuck": stuck.document(),
        "interrupted": Story(qps=20).graceful_rollout(pods=1).end(at=14).document(interrupted="SIGINT"),
    }


NAMES = ("clean", "lossy", "command", "stuck", "interrupted")


@cache
def whole(name: str) -> Analysis:
    return analyse(documents()[name])


@cache
def lines(name: str) -> list[bytes]:
    document = documents()[name]
    assert document.seal is not None
    return [encode_line(document.header), *map(encode_line, document.facts), encode_line(document.seal)]


@given(st.sampled_from(NAMES), st.floats(0, 1))
@FEW
def test_every_prefix_of_a_run_is_analysed_as_inconclusive(name, share):
    kept = lines(name)[: 1 + int(share * (len(lines(name)) - 2))]

    found = analyse(decode_document(kept))

    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.exit_code == 3
    assert found.reasons


@pytest.mark.parametrize("name", NAMES)
def test_the_first_lines_of_a_run_are_analysed_one_by_one(name):
    for end in (1, 2, 3, 5, 8, 12, 20):
        assert analyse(decode_document(lines(name)[:end])).verdict is Verdict.INCONCLUSIVE


@given(st.sampled_from(NAMES), st.integers(1, 400), st.binary(max_size=40))
@FEW
def test_a_torn_end_is_cut_off_and_the_rest_analysed(name, cut, noise):
    data = b"".join(lines(name)[:-1])[:-cut] + noise
    if b"\n" not in data:
        return

    assert analyse(decode_document(data.split(b"\n"))).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("name", NAMES)
def test_a_document_read_back_from_disk_analyses_the_same(name):
    read = decode_document(lines(name))

    assert read == documents()[name]
    assert strip(analyse(read)) == strip(whole(name))


@pytest.mark.parametrize("name", NAMES)
def test_the_same_document_gives_the_same_analysis(name):
    assert analyse(documents()[name]) == whole(name)


@given(st.sampled_from(NAMES), st.integers(0, 2**32))
@FEW
def test_the_order_of_the_lines_does_not_matter(name, seed):
    document = documents()[name]
    facts = list(document.facts)
    random.Random(seed).shuffle(facts)

    assert strip(analyse(replace(document, facts=tuple(facts)))) == strip(whole(name))


@given(st.sampled_from(NAMES), st.integers(-ORIGIN // 2, 10**15))
@FEW
def test_shifting_every_instant_shifts_the_analysis_and_changes_no_verdict(name, by):
    moved = analyse(shifted(documents()[name], by))

    assert strip(moved) == strip(shifted(whole(name), by))


@pytest.mark.parametrize("name", NAMES)
def test_every_number_adds_up(name):
    found = whole(name)
    counts = found.counts
    outcomes = [n for lane, by in found.by_outcome.items() if lane != Lane.PROBE for n in by.values()]

    assert counts.scheduled == counts.sent + counts.not_sent == sum(outcomes)
    assert counts.sent == counts.ok + counts.failed
    attributed = sum(c.attempts for c in found.causes) + len(found.unattributed)
    assert attributed == len(found.timeline.failures)
    assert sum(o.attempts for o in found.outages) == len(found.timeline.failures)


@given(st.integers(1, 4), st.floats(0.1, 8.0), st.sampled_from([0, 143, 137]), st.integers(0, 30), st.booleans())
@FEW
def test_any_loss_or_kill_in_a_whole_run_is_never_graceful(pods, exit_after, code, losses, named):
    story = Story(qps=40, named=named, spec=pod_spec(grace=4)).pods(pods).restart(at=11)
    for number in range(1, pods + 1):
        story.new_pod(f"new-{number}", created=10 + number * 2)
        story.delete(f"old-{number}", at=11.3 + number * 2, exit_after=exit_after, code=code)
    for number in range(losses):
        story.fail(Lane.FRESH, 13.4 + number * 0.2)
    found = analyse(story.end(at=45).document())
    killed = any(p.killed for p in found.timeline.pods)

    assert found.verdict is (Verdict.NOT_GRACEFUL if losses or killed else Verdict.GRACEFUL)
    assert found.exit_code == (1 if losses or killed else 0)


def strip(analysis: Analysis) -> Analysis:
    """Without the document, whose facts may lie in another order."""
    timeline = replace(analysis.timeline, document=replace(analysis.timeline.document, facts=()))
    return replace(analysis, timeline=timeline)


DURATIONS = frozenset({"stall_ns", "idle_ns", "connection_age_ns", "wall_ns"})


def shifted(value: Any, by: int) -> Any:
    """`value` with every instant in it moved by `by` nanoseconds."""
    if isinstance(value, ClockAnchor):
        return replace(value, monotonic_ns=value.monotonic_ns + by)
    if is_dataclass(value) and not isinstance(value, type):
        changes = {f.name: moved(f.name, getattr(value, f.name), by) for f in fields(value)}
        return replace(value, **changes)
    if isinstance(value, tuple):
        return tuple(shifted(v, by) for v in value)
    if isinstance(value, dict):
        return {k: shifted(v, by) for k, v in value.items()}
    return value


def moved(name: str, value: Any, by: int) -> Any:
    if name == "ready_endpoints":
        return tuple((at + by, count) for at, count in value)
    if isinstance(value, int) and not isinstance(value, bool):
        instant = (name.endswith("_ns") and name not in DURATIONS) or (name in ("start", "end"))
        return value + by if instant else value
    return shifted(value, by)
