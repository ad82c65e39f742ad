"""How pods end: hooks, signals, the grace clock, the order, the last status, and what is left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio
from kubelets import SLEEPER, World, condition, container, one_node, state

from rollcheck.sandbox.resources import PODS

Json = dict[str, Any]
DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
while True: time.sleep(60)
"""
LATE = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.4), sys.exit(0)))
print("up", flush=True)
while True: time.sleep(0.05)
"""
EXITS_143 = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
print("up", flush=True)
while True: time.sleep(0.05)
"""
SAYS_WHEN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b"%d\\n" % time.monotonic_ns()), sys.exit(0)))
print("up", flush=True)
while True: time.sleep(0.05)
"""
READS_WHAT_COMES = """
import os, time
print("up", flush=True)
while not os.path.exists("/work/bye"): time.sleep(0.02)
print(open("/work/bye").read())
"""


def on_a_node(folder: Path, test: Any, **how: Any) -> None:
    async def main() -> None:
        with trio.fail_after(40):
            async with one_node(folder / "s", **how) as world:
                await test(world)

    trio.run(main)


def python(code: str, **more: Any) -> Json:
    return container(command=["python3", "-c", code], **more)


def says(*signals: str) -> str:
    """A program that prints `up`, then the name of the first of these signals, and ends with 0."""
    handlers = "".join(
        f"signal.signal(signal.{name}, lambda *_: (os.write(1, b'{name}\\n'), sys.exit(0)))\n" for name in signals
    )
    return f"import os,signal,sys,time\n{handlers}print('up', flush=True)\nwhile True: time.sleep(0.05)\n"


async def up(world: World, *containers: Json, **spec: Any) -> None:
    """A pod whose programs have installed their handlers."""
    world.create(*containers, **spec)
    await world.until_ready()
    for one in containers:
        await world.until_logged("up\n", container=one["name"])


def ended(pod: Json, index: int = 0) -> Json:
    made: Json = state(pod, index)["terminated"]
    return made


def test_the_final_status_is_seen_before_the_object_goes(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await up(world, python(says("SIGTERM")))
        world.registry.delete(PODS, "default", "pod")
        await world.until_gone()
        last = [(c.type, c.object["status"]["phase"]) for c in world.changes[-5:]]
        final = world.changes[-3].object

        assert last == [
            ("MODIFIED", "Running"),
            ("MODIFIED", "Running"),
            ("MODIFIED", "Succeeded"),
            ("MODIFIED", "Succeeded"),
            ("DELETED", "Succeeded"),
        ]
        assert final["metadata"]["deletionGracePeriodSeconds"] == 30
        assert (ended(final)["exitCode"], ended(final)["reason"]) == (0, "Completed")
        assert condition(final, "Ready") == "False"
        assert world.reasons()[-1] == "Killing"
        assert world.events()[-1][1] == "Stopping container app"

    on_a_node(tmp_path, test)


def test_nothing_of_a_pod_is_left_on_the_node(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await up(world, python(says("SIGTERM")), volumes=[{"name": "v", "emptyDir": {}}])
        ip = world.registry.get(PODS, "default", "pod")["status"]["podIP"]
        world.registry.delete(PODS, "default", "pod")
        await world.until_gone()
        with trio.fail_after(5):
            while list((world.folder / "pods").iterdir()) or list((world.folder / "logs").iterdir()):
                await trio.sleep(0.01)

        assert all(ip not in taken for taken in world.registry.addresses._pods.values())

    on_a_node(tmp_path, test)


def test_a_container_that_ignores_sigterm_is_killed_at_the_end_of_its_grace(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await up(world, python(DEAF))
        since = trio.current_time()
        world.registry.delete(PODS, "default", "pod", grace=3)
        await world.until_gone(within=30)
        took = trio.current_time() - since

        assert (ended(world.changes[-1].object)["exitCode"], ended(world.changes[-1].object)["reason"]) == (
            137,
            "Error",
        )
        assert world.changes[-1].object["status"]["phase"] == "Failed"
        assert took >= 3

    on_a_node(tmp_path, test)


def test_a_shell_as_process_one_never_gets_sigterm(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await up(world, container(command=["sh", "-c", "echo up; sleep 60; true"]))
        since = trio.current_time()
        world.registry.delete(PODS, "default", "pod", grace=2)
        await world.until_gone()

        assert ended(world.changes[-1].object)["exitCode"] == 137
        assert trio.current_time() - since >= 2

    on_a_node(tmp_path, test)


def test_a_container_that_exits_143_by_itself_is_an_error(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await up(
            world,
            python(EXITS_143),
        )
        world.registry.delete(PODS, "default", "pod")
        await world.until_gone()

        assert (ended(world.changes[-1].object)["exitCode"], ended(world.changes[-1].object)["reason"]) == (
            143,
            "Error",
        )

    on_a_node(tmp_path, test)


def test_prestop_runs_before_the_signal_and_its_time_counts(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        hook = {"preStop": {"sleep": {"seconds": 1}}}
        await up(world, python(says("SIGTERM"), lifecycle=hook))
        since = trio.current_time()
        world.registry.delete(PODS, "default", "pod")
        await world.until_event("Killing")
        running = "running" in state(world.registry.get(PODS, "default", "pod"))
        await world.until_gone()

        assert running
        assert trio.current_time() - since >= 1

    on_a_node(tmp_path, test)


@pytest.mark.parametrize(
    "hook",
    [
        {"exec": {"command": ["no-such-program"]}},
        {"exec": {"command": ["sh", "-c", "exit 3"]}},
        {"httpGet": {"path": "/", "port": 9}},
    ],
)
def test_a_prestop_hook_that_fails_is_told_and_the_signal_comes_all_the_same(tmp_path: Path, hook: Json) -> None:
    async def test(world: World) -> None:
        await up(world, python(says("SIGTERM"), lifecycle={"preStop": hook}))
        world.registry.delete(PODS, "default", "pod")
        await world.until_gone()

        assert world.events()[-2:] == [
            ("Killing", "Stopping container app"),
            ("FailedPreStopHook", "PreStopHook failed"),
        ]
        assert ended(world.changes[-1].object)["exitCode"] == 0

    on_a_node(tmp_path, test)


def test_an_exec_hook_runs_in_the_container_with_its_files(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        mounts = [{"name": "v", "mountPath": "/work"}]
        hook = {"preStop": {"exec": {"command": ["sh", "-c", "echo $WHO > /work/bye; sleep 0.3"]}}}
        env = [{"name": "WHO", "value": "$(POD_NAME)me"}]
        await up(
            world,
            python(READS_WHAT_COMES, volumeMounts=mounts, lifecycle=hook, env=env),
            volumes=[{"name": "v", "emptyDir": {}}],
            restartPolicy="Never",
        )
        follow: list[str] = []

        async def read() -> None:
            follow.append(await world.log(follow=True))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            world.registry.delete(PODS, "default", "pod")

        assert follow == ["up\n$(POD_NAME)me\n\n"]

    on_a_node(tmp_path, test)


@pytest.mark.parametrize(
    ("image", "lifecycle", "expected"),
    [
        ("rollcheck.test/python:3", {}, "SIGTERM"),
        ("wordpress:6", {}, "SIGWINCH"),
        ("wordpress:6", {"stopSignal": "SIGUSR1"}, "SIGUSR1"),
    ],
)
def test_the_signal_is_the_manifests_else_the_images_else_sigterm(
    tmp_path: Path, image: str, lifecycle: Json, expected: str
) -> None:
    async def test(world: World) -> None:
        program = says("SIGTERM", "SIGWINCH", "SIGUSR1")
        one = container(image=image, command=["python3", "-c", program], lifecycle=lifecycle)
        await up(world, one, os={"name": "linux"})
        follow: list[str] = []

        async def read() -> None:
            follow.append(await world.log(follow=True))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            world.registry.delete(PODS, "default", "pod")
        await world.until_gone()

        assert follow == [f"up\n{expected}\n"]

    on_a_node(tmp_path, test)


def test_a_delete_with_less_grace_shortens_what_is_left(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await up(world, python(DEAF))
        world.registry.delete(PODS, "default", "pod", grace=60)
        await world.until_event("Killing")
        world.registry.delete(PODS, "default", "pod", grace=1)
        await world.until_gone(within=30)

        assert ended(world.changes[-1].object)["exitCode"] == 137

    on_a_node(tmp_path, test)


def test_a_forced_deletion_removes_the_object_at_once_and_the_process_soon_after(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        await up(world, python(DEAF))
        world.registry.delete(PODS, "default", "pod", grace=0)
        gone = await world.until_gone()

        assert "terminated" not in state(gone)
        with trio.fail_after(5):
            while list((world.folder / "pods").iterdir()):
                await trio.sleep(0.02)

    on_a_node(tmp_path, test)


def test_containers_of_a_pod_end_together_and_sidecars_after_them_in_reverse(tmp_path: Path) -> None:
    def sidecar(name: str) -> Json:
        return python(SAYS_WHEN, name=name, restartPolicy="Always")

    async def test(world: World) -> None:
        sidecars = [sidecar("first"), sidecar("second")]
        world.create(python(LATE), initContainers=sidecars, restartPolicy="Always")
        await world.until_ready()
        for name in ("first", "second", "app"):
            await world.until_logged("up\n", container=name)
        signalled: dict[str, int] = {}

        async def times(name: str) -> None:
            lines = world.logs.lines("default", "pod", name, follow=True)
            await lines.__anext__()
            signalled[name] = int(await lines.__anext__())
            await lines.aclose()

        async with trio.open_nursery() as nursery:
            for name in ("first", "second"):
                nursery.start_soon(times, name)
            world.registry.delete(PODS, "default", "pod")
        gone = await world.until_gone()

        assert signalled["second"] < signalled["first"]
        assert [reason for reason in world.reasons() if reason == "Killing"] == ["Killing"] * 3
        codes = [s["state"]["terminated"]["exitCode"] for s in gone["status"]["initContainerStatuses"]]
        assert codes == [0, 0]

    on_a_node(tmp_path, test)


def test_a_sidecar_ends_when_the_main_container_of_a_job_is_done(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        side = python(says("SIGTERM"), name="side", restartPolicy="Always")
        side["startupProbe"] = {"exec": {"command": ["true"]}, "periodSeconds": 1}
        world.create(python("print('work')"), initContainers=[side], restartPolicy="Never")
        pod = await world.until(lambda c: c.object["status"].get("phase") == "Succeeded")

        assert pod["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 0
        started = [message for reason, message in world.events() if reason == "Started"]
        assert started == ["Started container side", "Started container app"]

    on_a_node(tmp_path, test)


def test_a_pod_that_is_deleted_before_it_could_start_goes_at_once(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.create(container(image="nginx:1"))
        await world.until_waiting("ErrImagePull")
        world.registry.delete(PODS, "default", "pod")
        gone = await world.until_gone()

        assert gone["status"]["phase"] == "Pending"
        assert "Killing" not in world.reasons()

    on_a_node(tmp_path, test)


def test_a_poststart_hook_that_fails_ends_the_container(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        fails = "while [ ! -e up ]; do sleep 0.02; done; echo sorry; exit 5"
        world.create(python(SLEEPER, lifecycle={"postStart": {"exec": {"command": ["sh", "-c", fails]}}}))
        pod = await world.until_waiting("PostStartHookError")

        assert world.reasons()[:5] == ["Pulled", "Created", "Started", "FailedPostStartHook", "Killing"]
        assert "exited with 5" in state(pod)["waiting"]["message"]

        world.registry.delete(PODS, "default", "pod", grace=2)
        await world.until_gone()

    on_a_node(tmp_path, test)


def test_a_container_is_not_running_for_others_until_its_poststart_hook_is_done(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        hook = {"postStart": {"exec": {"command": ["sh", "-c", "while [ ! -e go ]; do sleep 0.02; done"]}}}
        world.create(python(says("SIGTERM"), lifecycle=hook))
        await world.until_event("Started")
        uid = world.registry.get(PODS, "default", "pod")["metadata"]["uid"]

        assert "running" not in state(world.registry.get(PODS, "default", "pod"))

        (world.folder / "pods" / uid / "containers" / "app" / "go").touch()
        await world.until_ready()

    on_a_node(tmp_path, test)
