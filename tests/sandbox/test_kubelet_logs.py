"""The logs of containers, as the API server's `pods/log` gives them."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import trio
from kubelets import World, container, one_node

from rollcheck.sandbox.resources import PODS
from rollcheck.sandbox.status import ApiFailure

Json = dict[str, Any]


def on_a_node(folder: Path, test: Any) -> None:
    async def main() -> None:
        with trio.fail_after(40):
            async with one_node(folder / "s") as world:
                await test(world)

    trio.run(main)


def shell(text: str, **more: Any) -> Json:
    return container(command=["sh", "-c", text], **more)


async def done(world: World) -> None:
    await world.until(lambda c: c.object["status"].get("phase") in ("Succeeded", "Failed"))


def test_both_streams_are_there_and_the_last_lines_can_be_had_alone(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.create(shell("echo one; sleep 0.1; echo two >&2; sleep 0.1; printf three"), restartPolicy="Never")
        await done(world)

        assert await world.log() == "one\ntwo\nthree\n"
        assert await world.log(tail=2) == "two\nthree\n"
        assert await world.log(tail=0) == ""
        assert await world.log(tail=-1) == "one\ntwo\nthree\n"

    on_a_node(tmp_path, test)


def test_times_are_in_nanoseconds_and_old_lines_can_be_left_out(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.create(shell("echo one"), restartPolicy="Never")
        await done(world)
        now = world.registry.clock.now()

        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z one\n", await world.log(timestamps=True))
        assert await world.log(since=now - timedelta(seconds=60)) == "one\n"
        assert await world.log(since=now + timedelta(seconds=1)) == ""
        assert await world.log(since=60) == "one\n"

    on_a_node(tmp_path, test)


def test_following_goes_on_to_the_last_line_even_when_the_pod_is_deleted(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.create(shell("trap 'echo bye; exit 0' TERM; echo hello; while :; do sleep 0.02; done"))
        await world.until_ready()
        await world.until_logged("hello")
        got: list[str] = []

        async def follow() -> None:
            got.append(await world.log(follow=True))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow)
            world.registry.delete(PODS, "default", "pod")

        assert got == ["hello\nbye\n"]

    on_a_node(tmp_path, test)


def test_the_log_of_the_attempt_before_is_kept(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.create(shell("[ -e again ] && { echo second; exec sleep 60; }; touch again; echo first; exit 1"))
        await world.until(lambda c: c.object["status"].get("containerStatuses", [{}])[0].get("restartCount") == 1)
        await world.until_logged("second")

        assert await world.log(previous=True) == "first\n"
        assert await world.log() == "second\n"

        world.registry.delete(PODS, "default", "pod", grace=0)

    on_a_node(tmp_path, test)


@pytest.mark.parametrize(
    ("which", "how", "code", "words"),
    [
        (("gone", ""), {}, 404, 'pods "gone" not found'),
        (("pod", "nope"), {}, 400, "container nope is not valid for pod pod"),
        (("pod", ""), {}, 400, "a container name must be specified for pod pod, choose one of: [app other]"),
        (("pod", "app"), {}, 400, 'container "app" in pod "pod" is waiting to start: ErrImagePull'),
        (("pod", "app"), {"previous": True}, 400, 'previous terminated container "app" in pod "pod" not found'),
    ],
)
def test_a_log_that_is_not_there_is_refused_in_the_servers_words(
    tmp_path: Path, which: tuple[str, str], how: Json, code: int, words: str
) -> None:
    async def test(world: World) -> None:
        world.create(container(image="nginx:1"), container(image="nginx:1", name="other"))
        await world.until_waiting("ErrImagePull")
        with pytest.raises(ApiFailure) as refused:
            await world.log(which[0], which[1], **how)

        assert (refused.value.code, refused.value.message) == (code, words)

    on_a_node(tmp_path, test)


def test_a_log_that_is_begun_anew_is_read_on_without_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rollcheck.sandbox import warden_process
    from rollcheck.sandbox.kubelet.logs import LogReader

    monkeypatch.setattr(warden_process, "LOG_BYTES", 100)
    log, reader, read = warden_process.LogFile(str(tmp_path / "log")), LogReader(tmp_path / "log"), []
    for n in range(20):
        log.take(b"stdout", b"line %d\n" % n)
        read += [line.rsplit(b" ", 1)[1] for line in reader.read()]
    log.close()
    reader.close()

    assert read == [b"%d" % n for n in range(20)]
    assert (tmp_path / "log.1").exists()
