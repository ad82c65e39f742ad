"""The clock of a container's end, to the second: on a clock that jumps, with containers that tell what they get."""

from __future__ import annotations

import signal
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from rollcheck.sandbox.kubelet.ending import Turns, kill
from rollcheck.sandbox.kubelet.records import Record, Running

Json = dict[str, Any]


class Process:
    """Ends so many seconds after its signal; None: only of SIGKILL."""

    def __init__(self, told: list[tuple[float, str]], name: str, ends_after: float | None) -> None:
        self.told = told
        self.name = name
        self.ends_after = ends_after
        self.asked = trio.Event()
        self.exited = trio.Event()

    def send_signal(self, number: int) -> None:
        self.told.append((trio.current_time(), f"{self.name} {signal.Signals(number).name}"))
        self.asked.set()

    def kill(self) -> None:
        self.told.append((trio.current_time(), f"{self.name} SIGKILL"))
        self.exited.set()

    async def live(self) -> None:
        if self.ends_after is not None:
            await self.asked.wait()
            await trio.sleep(self.ends_after)
            self.exited.set()


class Container:
    """What `kill` needs of a container."""

    stop_signal = signal.SIGTERM

    def __init__(
        self,
        told: list[tuple[float, str]],
        name: str = "app",
        *,
        hook: Json | None = None,
        ends_after: float | None = None,
        sidecar: bool = False,
        hook_fails: bool = False,
    ) -> None:
        spec: Json = {"name": name, "image": "i", **({"lifecycle": {"preStop": hook}} if hook else {})}
        self.record = Record(spec, init=sidecar, sidecar=sidecar, state=Running("T", 0.0))
        self.name = name
        self.told = told
        self.hook_fails = hook_fails
        self.process = Process(told, name, ends_after)

    def event(self, _kind: str, reason: str, _message: str) -> None:
        self.told.append((trio.current_time(), f"{self.name} {reason}"))

    async def run_hook(self, hook: Json) -> str:
        await trio.sleep(hook["sleep"]["seconds"])
        return "it failed" if self.hook_fails else ""

    def settle_exit(self) -> None:
        self.told.append((trio.current_time(), f"{self.name} ended"))


def told_of(*containers: tuple[str, Json], grace: int) -> list[tuple[float, str]]:
    """What happened when, in seconds since the deletion, to containers made with these settings."""
    told: list[tuple[float, str]] = []

    async def main() -> None:
        made = [Container(told, name, **settings) for name, settings in containers]
        turns = Turns(made)  # type: ignore[arg-type]
        async with trio.open_nursery() as living:
            for one in made:
                living.start_soon(one.process.live)
            async with trio.open_nursery() as killing:
                for one in made:
                    killing.start_soon(partial(kill, one, grace=grace, turns=turns))  # type: ignore[arg-type]

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    return [(round(at, 1), what) for at, what in told]


def sleeps(seconds: float) -> Json:
    return {"sleep": {"seconds": seconds}}


@pytest.mark.parametrize(
    ("grace", "hook_s", "signal_at", "kill_at"),
    [
        (30, None, 0, 30),
        (30, 10, 10, 30),
        (30, 1.9, 1.9, 30.9),  # whole seconds are taken: 1.9 s cost one
        (30, 0.9, 0.9, 30.9),
        (30, 29, 29, 31),  # at least two seconds after the signal
        (30, 30, 30, 32),
        (30, 50, 30, 32),  # the hook is not waited for any longer than the grace
        (1, None, 0, 2),
        (0, 10, 0, 2),  # no grace, no hook
    ],
)
def test_the_grace_is_the_hooks_and_the_signals_together(
    grace: int, hook_s: float | None, signal_at: float, kill_at: float
) -> None:
    told = told_of(("app", {"hook": None if hook_s is None else sleeps(hook_s)}), grace=grace)

    assert [what for what in told if what[1] != "app ended"] == [
        (0, "app Killing"),
        (signal_at, "app SIGTERM"),
        (kill_at, "app SIGKILL"),
    ]


def test_a_container_that_ends_in_time_is_not_killed() -> None:
    told = told_of(("app", {"hook": sleeps(5), "ends_after": 3}), grace=30)

    assert told == [(0, "app Killing"), (5, "app SIGTERM"), (8, "app ended")]


def test_a_hook_that_fails_is_told_and_its_time_counts_all_the_same() -> None:
    told = told_of(("app", {"hook": sleeps(4), "hook_fails": True}), grace=10)

    assert told == [
        (0, "app Killing"),
        (4, "app FailedPreStopHook"),
        (4, "app SIGTERM"),
        (10, "app SIGKILL"),
        (10, "app ended"),
    ]


def test_a_hook_that_runs_out_of_time_is_not_told_as_failed() -> None:
    told = told_of(("app", {"hook": sleeps(40), "hook_fails": True}), grace=10)

    assert "app FailedPreStopHook" not in [what for _, what in told]


def test_sidecars_wait_for_the_main_containers_and_for_those_started_after_them() -> None:
    told = told_of(
        ("first", {"sidecar": True, "ends_after": 1}),
        ("second", {"sidecar": True, "ends_after": 1}),
        ("app", {"ends_after": 5}),
        ("other", {"ends_after": 3}),
        grace=30,
    )
    signals = [(at, what) for at, what in told if "SIG" in what]

    assert sorted(signals[:2]) == [(0, "app SIGTERM"), (0, "other SIGTERM")]
    assert signals[2:] == [(5, "second SIGTERM"), (6, "first SIGTERM")]


def test_hooks_of_sidecars_begin_with_the_end_of_the_pod() -> None:
    told = told_of(
        ("side", {"sidecar": True, "ends_after": 0, "hook": sleeps(2)}), ("app", {"ends_after": 6}), grace=30
    )

    assert (0, "side Killing") in told
    assert (6, "side SIGTERM") in told


def test_sidecars_that_are_left_at_the_end_of_the_grace_get_two_seconds() -> None:
    told = told_of(("side", {"sidecar": True}), ("app", {}), grace=10)

    assert sorted((at, what) for at, what in told if "SIG" in what) == [
        (0, "app SIGTERM"),
        (10, "app SIGKILL"),
        (10, "side SIGTERM"),
        (12, "side SIGKILL"),
    ]
