"""Look-ups that bisect say the same as a walk over everything."""

from __future__ import annotations

from types import SimpleNamespace

from hypothesis import given, settings
from hypothesis import strategies as st

from rollcheck.analyze.causes.nearest import NEAREST, Chronicle
from rollcheck.analyze.causes.scene import Spans
from rollcheck.analyze.endpoints import ready_at
from rollcheck.analyze.exposure import _nearest, _outside
from rollcheck.analyze.model import Moment
from rollcheck.facts.clock import Window

# Few and small, so that instants coincide often.
AT = st.integers(-3, 12)
WINDOWS = st.lists(st.tuples(AT, st.integers(0, 5)).map(lambda w: Window(start=w[0], end=w[0] + w[1])), max_size=6)


@settings(deadline=None)
@given(WINDOWS, AT, st.integers(0, 4))
def test_spans_meet_what_one_of_their_windows_meets(windows, first, length):
    last = first + length

    assert Spans(windows).meet(first, last) == any(w.start <= last and first <= w.end for w in windows)


@settings(deadline=None)
@given(st.dictionaries(AT, st.integers(0, 3)), AT)
def test_the_count_of_ready_pods_is_that_of_the_last_step_before(steps, at):
    before = [count for since, count in sorted(steps.items()) if since <= at]

    assert ready_at(sorted(steps.items()), at) == (before[-1] if before else None)


@settings(deadline=None)
@given(st.lists(AT), WINDOWS)
def test_what_is_outside_is_held_by_no_span(instants, windows):
    outside = [at for at in sorted(instants) if not any(w.holds(at) for w in windows)]

    assert _outside(sorted(instants), windows) == outside


@settings(deadline=None)
@given(st.lists(AT), st.lists(st.tuples(AT, st.sampled_from("abcd")), min_size=1))
def test_the_nearest_pod_is_the_one_deleted_nearest_and_of_several_the_least(instants, deleted):
    pods = [SimpleNamespace(uid=uid, deleted=Moment(seen_ns=at)) for at, uid in deleted]
    expected = {min((abs(at - when), uid) for when, uid in deleted)[1] for at in instants}

    assert _nearest(instants, pods) == expected


@settings(deadline=None)
@given(st.lists(st.tuples(AT, st.sampled_from("abcdef"))), AT)
def test_the_facts_around_an_instant_hold_the_nearest_ones(facts, at):
    chronicle = Chronicle(SimpleNamespace())
    chronicle.facts = sorted(facts)

    def nearest(pool):
        return sorted(pool, key=lambda fact: (abs(fact[0] - at), fact))[:NEAREST]

    assert nearest(chronicle._around(at)) == nearest(facts)
