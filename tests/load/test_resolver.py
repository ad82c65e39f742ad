"""The resolver's policies: pure turns, then the loop of lookups on a clock that jumps, with answers that we make up."""

import socket
from collections import Counter

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from rollcheck.errors import UsageError
from rollcheck.facts.clock import SECOND
from rollcheck.load import resolver as module
from rollcheck.load.resolver import Resolver, Ring


def ip(n: int):
    return (socket.AF_INET, (f"10.0.0.{n}", 80))


A, B, C, D = map(ip, range(1, 5))


def take(ring: Ring, times: int) -> list:
    return [ring.take() for _ in range(times)]


def test_addresses_are_taken_in_turn_from_the_first():
    assert take(Ring([A, B, C]), 4) == [A, B, C, A]


def test_workers_begin_at_different_addresses():
    assert [Ring([A, B, C], turn=worker).take() for worker in range(4)] == [A, B, C, A]


def test_an_empty_ring_gives_nothing_and_takes_what_comes():
    ring = Ring()

    assert ring.take() is None
    ring.update([A])
    assert ring.take() == A


def test_the_turn_survives_an_answer_in_another_order():
    ring = Ring([A, B, C])
    first = take(ring, 1)
    ring.update([C, B, A])

    assert first + take(ring, 3) == [A, B, C, A]


def test_a_new_address_is_taken_up_at_the_end_of_the_turn():
    ring = Ring([A, B])
    ring.take()
    ring.update([A, B, C])

    assert take(ring, 4) == [B, A, C, B]


def test_a_vanished_address_is_dropped_at_once():
    ring = Ring([A, B, C])
    ring.take()
    ring.update([A, C])

    assert take(ring, 4) == [C, A, C, A]


def test_addresses_that_all_changed_replace_the_old_ones():
    ring = Ring([A, B])
    ring.update([C, D])

    assert set(take(ring, 2)) == {C, D}


def test_no_address_left_is_none_and_the_next_answer_holds():
    ring = Ring([A])
    ring.update([])

    assert ring.take() is None
    ring.update([B])
    assert ring.take() == B


@given(st.lists(st.permutations([A, B, C, D]), min_size=1, max_size=8), st.lists(st.integers(0, 7), min_size=8))
def test_the_turn_is_even_whatever_order_the_answers_have(answers, picks):
    ring = Ring()
    taken = Counter()
    for answer, n in zip(answers, picks, strict=False):
        ring.update(answer)
        taken.update(take(ring, n))

    shares = [taken[address] for address in (A, B, C, D)]
    assert max(shares) - min(shares) <= 1


SETS = st.sets(st.sampled_from([A, B, C, D])).map(sorted)


@given(st.lists(st.tuples(SETS, st.integers(0, 9)), max_size=10))
def test_only_addresses_of_the_latest_answer_are_ever_taken(steps):
    ring = Ring()
    for answer, n in steps:
        ring.update(answer)
        taken = take(ring, n)
        assert set(taken) <= (set(answer) or {None})
        if n >= len(answer):
            assert set(answer) <= set(taken)


class Names:
    """A resolver on a clock that jumps; `answers` are given one after another, the last one for ever."""

    def __init__(self, monkeypatch, *answers) -> None:
        self.answers = list(answers)
        self.asked = []
        self.at = []
        monkeypatch.setattr(module, "lookup", self._lookup)

    def _lookup(self, *question):
        self.asked.append(question)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return tuple(answer)

    def run(self, turns: int, **options):
        """Pick twice after each of the first `turns` changes; gives back the picks and the resolver."""
        picks = []
        changes_in, changes = trio.open_memory_channel(100)
        resolver = Resolver("shop.test", 80, lambda: changes_in.send_nowait(None), **options)

        async def main():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(resolver.run, clock)
                for _ in range(turns):
                    await changes.receive()
                    self.at.append(clock())
                    picks.append((resolver.pick(), resolver.pick()))
                nursery.cancel_scope.cancel()

        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
        return picks, resolver


def clock() -> int:
    return round(trio.current_time() * SECOND)


def test_a_name_is_looked_up_at_once_and_then_each_second(monkeypatch):
    names = Names(monkeypatch, [A], [B], [C])
    picks, _ = names.run(3)

    assert picks == [(A, A), (B, B), (C, C)]
    assert [round((at - names.at[0]) / SECOND, 3) for at in names.at] == [0, 1, 2]


def test_an_answer_that_says_the_same_wakes_nobody(monkeypatch):
    names = Names(monkeypatch, [A], [A], [A], [B])
    names.run(2)

    assert len(names.asked) == 4
    assert round((names.at[1] - names.at[0]) / SECOND, 3) == 3


def test_round_robin_keeps_the_turn_over_answers(monkeypatch):
    picks, _ = Names(monkeypatch, [A, B, C], [B, C, A], [D, C]).run(3, policy="round-robin")

    assert picks == [(A, B), (C, A), (C, D)]


def test_reresolve_takes_what_is_named_first(monkeypatch):
    picks, _ = Names(monkeypatch, [A, B, C], [B, C, A]).run(2, policy="reresolve")

    assert picks == [(A, A), (B, B)]


def test_cached_looks_up_once(monkeypatch):
    names = Names(monkeypatch, [A, B])
    finished = []

    async def main():
        resolver = Resolver("shop.test", 80, lambda: None, policy="cached")
        await resolver.run(clock)
        await trio.sleep(3600)
        finished.append([resolver.pick() for _ in range(3)])

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))

    assert finished == [[A, B, A]]
    assert len(names.asked) == 1


def test_cached_holds_on_to_no_failure(monkeypatch):
    picks, resolver = Names(monkeypatch, socket.gaierror(socket.EAI_AGAIN, "not now"), [A]).run(2, policy="cached")

    assert picks == [(None, None), (A, A)]
    assert resolver.failure == ""


@pytest.mark.parametrize("policy", module.POLICIES)
def test_a_failed_lookup_is_a_result_and_says_why(monkeypatch, policy):
    picks, resolver = Names(monkeypatch, socket.gaierror(socket.EAI_NONAME, "no such name")).run(1, policy=policy)

    assert picks == [(None, None)]
    assert (resolver.known, resolver.failure) == (True, "no such name")


def test_a_name_that_stops_to_resolve_is_no_longer_connected_to(monkeypatch):
    picks, _ = Names(monkeypatch, [A], socket.gaierror(socket.EAI_NONAME, "gone"), [B]).run(3)

    assert picks == [(A, A), (None, None), (B, B)]


def test_a_name_that_cannot_be_encoded_is_a_failed_lookup(monkeypatch):
    _, resolver = Names(monkeypatch, UnicodeError("label too long")).run(1)

    assert resolver.failure == "label too long"


def test_before_the_first_answer_nothing_is_known():
    resolver = Resolver("shop.test", 80, lambda: None)

    assert (resolver.pick(), resolver.known, resolver.literal) == (None, False, False)


def test_the_family_is_asked_for(monkeypatch):
    names = Names(monkeypatch, [A])
    names.run(1, family="ip6")

    assert names.asked == [("shop.test", 80, "ip6")]


@pytest.mark.parametrize(
    ("host", "address"),
    [("127.0.0.1", (socket.AF_INET, ("127.0.0.1", 80))), ("::1", (socket.AF_INET6, ("::1", 80, 0, 0)))],
)
def test_an_ip_is_never_looked_up_whatever_the_policy(monkeypatch, host, address):
    monkeypatch.setattr(module, "lookup", lambda *_: pytest.fail("looked up"))
    for policy in module.POLICIES:
        resolver = Resolver(host, 80, lambda: None, policy=policy, turn=3)
        trio.run(resolver.run, clock)
        assert (resolver.pick(), resolver.known) == (address, True)


def test_a_unix_socket_stands_for_the_host():
    resolver = Resolver("shop.test", 80, lambda: None, unix_socket="/run/shop.sock")

    assert resolver.pick() == (socket.AF_UNIX, "/run/shop.sock")
    assert resolver.literal


def test_a_policy_that_is_none_is_refused():
    with pytest.raises(UsageError, match="round-robin"):
        Resolver("shop.test", 80, lambda: None, policy="random")
