"""The order among the cluster's own loops."""

import trio

from rollcheck.sandbox.pace import Pace


async def rounds_of(workers):
    """In which round of the scheduler each of that many workers had its turn, in order of their turns."""
    pace, now, seen = Pace(), [0], []

    async def count():
        while True:
            now[0] += 1
            await trio.lowlevel.checkpoint()

    async def work(name):
        await pace.turn()
        seen.append((name, now[0]))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        await trio.lowlevel.checkpoint()
        async with trio.open_nursery() as working:
            for name in range(workers):
                working.start_soon(work, name)
        nursery.cancel_scope.cancel()
    return seen


def test_each_piece_of_work_has_a_round_of_its_own():
    rounds = [number for _, number in trio.run(rounds_of, 20)]

    assert rounds[-1] - rounds[0] >= 18  # the counter may run before or after the worker of its round


def test_who_waits_is_not_overtaken_for_ever():
    assert sorted(name for name, _ in trio.run(rounds_of, 20)) == list(range(20))


def test_a_cancelled_one_gives_its_turn_away():
    async def story():
        pace = Pace()
        with trio.CancelScope() as scope:
            scope.cancel()
            await pace.turn()
        with trio.fail_after(1):
            await pace.turn()
        return scope.cancelled_caught

    assert trio.run(story)
