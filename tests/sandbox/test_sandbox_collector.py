"""The garbage collector walks the whole sandbox only when nothing goes on in it."""

import gc
from collections.abc import Callable, Iterator

import pytest
import trio
import trio.testing

from rollcheck.sandbox import collector
from rollcheck.sandbox.collector import QUIET_S, WORTH, collect_when_quiet


@pytest.fixture
def walks(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """When it walked."""
    seen: list[float] = []
    before = gc.get_threshold()
    monkeypatch.setattr(collector, "_walk", lambda: seen.append(trio.current_time()))
    yield seen
    assert gc.get_threshold() == before


def run_for(seconds: float, version: Callable[[float], int]) -> None:
    """Run it with a version that is a function of the seconds since its start."""

    async def main() -> None:
        start = trio.current_time()
        with trio.move_on_after(seconds):
            await collect_when_quiet(lambda: version(trio.current_time() - start))

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_it_walks_once_in_the_beginning(walks: list[float]) -> None:
    run_for(100, lambda _: 7)

    assert len(walks) == 1


def test_it_walks_once_when_a_rollout_is_over(walks: list[float]) -> None:
    run_for(100, lambda at: int(min(max(at - 9, 0), 20) * WORTH / 10))  # from second 9 to second 29

    first, second = walks
    assert 29 + QUIET_S <= second - first <= 29 + 2 * QUIET_S


def test_it_does_not_walk_for_a_few_writes(walks: list[float]) -> None:
    run_for(1000, lambda at: int(at / 10))

    assert len(walks) == 1


def test_it_does_not_walk_while_something_is_written_all_the_time(walks: list[float]) -> None:
    run_for(1000, lambda at: int(at * WORTH))

    assert len(walks) == 1


def test_python_makes_no_walk_of_its_own_meanwhile(walks: list[float]) -> None:
    found: set[int] = set()

    def version(_: float) -> int:
        found.add(gc.get_threshold()[2])
        return 1

    run_for(10, version)

    assert found == {2**31 - 1}
