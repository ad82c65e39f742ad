"""The warden: what it starts, how it ends it, and that nothing is left when it or its parent dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import trio
from kubelets import ENV, warden_in

from rollcheck.errors import UsageError
from rollcheck.sandbox.warden import Command, SpawnFailed, Warden, WardenLost
from rollcheck.sandbox.warden_process import LINE_BYTES, LogFile

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has /proc and subreapers")


def shell(text: str, folder: Path, **more: object) -> Command:
    return Command(argv=["sh", "-c", text], env=ENV, folder=folder, **{"capture": True, **more})  # type: ignore[arg-type]


async def until_alive_in(path: Path) -> int:
    """The pid that a process wrote to a file."""
    with trio.fail_after(10):
        while not path.exists() or not path.read_text().strip():
            await trio.sleep(0.01)
    return int(path.read_text())


def is_gone(pid: int) -> bool:
    """Whether a process is no more, zombies included: they run nothing."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z"
    except OSError:
        return True


def wait_until(what, within: float = 10.0) -> None:
    until = time.monotonic() + within
    while not what():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_exit_code_and_output_of_a_command_are_told(tmp_path: Path) -> None:
    async def main() -> None:
        async with warden_in(tmp_path / "s") as warden:
            done = await warden.execute(shell("echo out; echo err >&2; exit 7", tmp_path))

            assert (done.code, done.signal, done.output) == (7, 0, "out\nerr\n")

    trio.run(main)


def test_a_command_gets_its_own_environment_folder_and_group_and_nothing_of_ours(tmp_path: Path) -> None:
    async def main() -> None:
        (tmp_path / "work").mkdir()
        probe = (
            "import json,os;fds=[int(n) for n in os.listdir('/dev/fd')];"
            "leads=os.getpgid(0)==os.getpid();"
            "print(json.dumps([sorted(os.environ),os.getcwd(),leads,len([f for f in fds if f>3])]))"
        )
        async with warden_in(tmp_path / "s") as warden:
            done = await warden.execute(
                Command(
                    argv=[sys.executable, "-I", "-S", "-c", probe],
                    env={"ONLY": "this"},
                    folder=tmp_path / "work",
                    capture=True,
                )
            )
        names, folder, leads_group, further_files = json.loads(done.output)

        assert set(names) - {"LC_CTYPE", "__CF_USER_TEXT_ENCODING"} == {"ONLY", "ROLLCHECK_CONTAINER"}
        assert folder == str((tmp_path / "work").resolve())
        assert leads_group
        assert further_files == 0

    trio.run(main)


@pytest.mark.parametrize(
    ("argv", "number", "words"),
    [
        (["no-such-program"], 2, "not found in $PATH"),
        (["./plain-file"], 13, "ermission"),
        (["/nope"], 2, "No such file"),
    ],
)
def test_a_command_that_cannot_be_executed_is_refused_with_the_systems_reason(
    tmp_path: Path, argv: list[str], number: int, words: str
) -> None:
    async def main() -> None:
        (tmp_path / "plain-file").touch(0o644)
        async with warden_in(tmp_path / "s") as warden:
            with pytest.raises(SpawnFailed) as failed:
                await warden.spawn(Command(argv=argv, env=ENV, folder=tmp_path, capture=True))

            assert failed.value.number == number
            assert words in str(failed.value)

    trio.run(main)


def test_sigpipe_ends_a_container_as_it_ends_any_process(tmp_path: Path) -> None:
    async def main() -> None:
        async with warden_in(tmp_path / "s") as warden:
            done = await warden.execute(shell("kill -PIPE $$; echo survived", tmp_path))

            assert (done.code, done.signal) == (141, signal.SIGPIPE)

    trio.run(main)


@LINUX
def test_a_signal_that_process_one_does_not_handle_does_not_reach_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with warden_in(tmp_path / "s") as warden:
            careless = await warden.spawn(shell(f"echo $$ > {tmp_path}/a; sleep 60; true", tmp_path))
            careful = await warden.spawn(
                shell(f"trap 'exit 3' TERM; echo $$ > {tmp_path}/b; while :; do sleep 0.05; done", tmp_path)
            )
            await until_alive_in(tmp_path / "a")
            await until_alive_in(tmp_path / "b")
            careless.send_signal(signal.SIGTERM)
            careful.send_signal(signal.SIGTERM)
            await careful.exited.wait()

            assert careful.code == 3
            assert careless.code is None

            careless.kill()
            await careless.exited.wait()

            assert (careless.code, careless.signal) == (137, signal.SIGKILL)

    trio.run(main)


def test_containers_share_the_wardens_session_and_stand_back_behind_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with warden_in(tmp_path / "s") as warden:
            probe = "import os; print(os.getsid(0), os.getpriority(os.PRIO_PROCESS, 0))"
            command = Command(argv=[sys.executable, "-c", probe], env=ENV, folder=tmp_path, capture=True)
            session, nice = map(int, (await warden.execute(command)).output.split())

            assert session == os.getsid(warden.pid) == warden.pid
            assert nice > os.getpriority(os.PRIO_PROCESS, warden.pid)

    trio.run(main)


@LINUX
def test_what_a_container_leaves_behind_in_a_session_of_its_own_dies_with_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with warden_in(tmp_path / "s") as warden:
            command = f"(setsid sh -c 'echo $$ > {tmp_path}/stray; (setsid sleep 61 &) ; exec sleep 60' &) ; exit 5"
            waiting = f"{command.removesuffix('exit 5')} while [ ! -s {tmp_path}/stray ]; do sleep 0.01; done; exit 5"
            main = await warden.execute(shell(waiting, tmp_path))

            assert main.code == 5
            assert is_gone(await until_alive_in(tmp_path / "stray"))

            left = Path(f"/proc/{warden.pid}/task/{warden.pid}/children").read_text().split()

            assert left == []

    trio.run(main)


def test_commands_in_a_container_end_with_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with warden_in(tmp_path / "s") as warden:
            main = await warden.spawn(shell("sleep 60", tmp_path))
            inside = await warden.spawn(shell(f"echo $$ > {tmp_path}/pid; sleep 60", tmp_path, inside=main.id))
            await until_alive_in(tmp_path / "pid")
            main.kill()
            await inside.exited.wait()

            assert inside.code == 137

    trio.run(main)


def test_a_cancelled_command_is_killed(tmp_path: Path) -> None:
    async def main() -> None:
        async with warden_in(tmp_path / "s") as warden:
            with trio.move_on_after(0.2) as scope:
                await warden.execute(shell(f"echo $$ > {tmp_path}/pid; sleep 60", tmp_path))
            pid = await until_alive_in(tmp_path / "pid")

            assert scope.cancelled_caught
            with trio.fail_after(5):
                while not is_gone(pid):
                    await trio.sleep(0.01)

    trio.run(main)


def test_the_folder_and_every_process_are_gone_when_the_warden_is_told_to_end(tmp_path: Path) -> None:
    async def main() -> int:
        async with warden_in(tmp_path / "s") as warden:
            (tmp_path / "s" / "locked").mkdir()
            await warden.spawn(shell(f"echo $$ > {tmp_path}/pid; chmod 0 {tmp_path}/s/locked; sleep 60", tmp_path))
            return await until_alive_in(tmp_path / "pid")
        raise AssertionError

    pid = trio.run(main)

    assert is_gone(pid)
    assert not (tmp_path / "s").exists()


def group_is_gone(leader: int) -> bool:
    """Whether a process group has no member left."""
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return True
    return False


PARENT = """
import sys, trio
from pathlib import Path
from rollcheck.sandbox.warden import Command, Warden

async def main():
    folder, tmp = Path(sys.argv[1]), sys.argv[2]
    warden = Warden(folder)
    async with trio.open_nursery() as nursery:
        await nursery.start(warden.run)
        stray = f"(setsid sh -c 'echo $$ > {tmp}/stray; exec sleep 60' &)"
        text = f"{stray} ; echo $$ > {tmp}/main; trap '' TERM; sleep 61; true"
        env = {"PATH": "/usr/bin:/bin"}
        await warden.spawn(Command(argv=["sh", "-c", text], env=env, folder=folder, log=folder / "log"))
        env = {"PORT": "0", "POD_IP": "127.0.0.1"}
        await warden.spawn(Command(argv=["web"], app="web", env=env, folder=folder, log=folder / "l2"))
        Path(tmp, "warden").write_text(str(warden.pid))
        await trio.sleep_forever()

trio.run(main)
"""


def start_parent(tmp_path: Path) -> subprocess.Popen[bytes]:
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "s"), str(tmp_path)], env={**os.environ, "PYTHONPATH": str(root)}
    )


def pids_in(tmp_path: Path, *names: str) -> list[int]:
    paths = [tmp_path / name for name in names]
    wait_until(lambda: all(path.exists() and path.read_text().strip() for path in paths), 20)
    return [int(path.read_text()) for path in paths]


@LINUX
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_however_the_parent_dies(tmp_path: Path, number: int) -> None:
    parent = start_parent(tmp_path)
    pids = pids_in(tmp_path, "main", "stray", "warden")
    children = Path(f"/proc/{pids[2]}/task/{pids[2]}/children").read_text().split()
    parent.send_signal(number)
    parent.wait(20)

    wait_until(lambda: all(map(is_gone, [*pids, *map(int, children)])))
    wait_until(lambda: not (tmp_path / "s").exists())


@LINUX
def test_containers_die_with_a_warden_that_is_killed_itself(tmp_path: Path) -> None:
    parent = start_parent(tmp_path)
    main, stray, warden = pids_in(tmp_path, "main", "stray", "warden")
    os.kill(warden, signal.SIGKILL)
    try:
        wait_until(lambda: is_gone(main))
        assert parent.wait(20) != 0
        wait_until(lambda: group_is_gone(main))
        assert not (tmp_path / "s").exists()
    finally:
        os.kill(stray, signal.SIGKILL)  # nobody is left who knows of it


def test_a_lost_warden_ends_the_sandbox_with_one_sentence(tmp_path: Path) -> None:
    async def main() -> None:
        async with warden_in(tmp_path / "s") as warden:
            os.kill(warden.pid, signal.SIGKILL)
            await trio.sleep_forever()

    with pytest.raises(ExceptionGroup) as raised:
        trio.run(main)

    lost = raised.value.exceptions[0]

    assert isinstance(lost, WardenLost)
    assert "containers ended" in str(lost)


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()

    with pytest.raises(UsageError, match="not empty"):
        Warden(tmp_path)

    assert (tmp_path / "precious").exists()


def test_log_lines_are_stamped_and_cut_as_a_container_runtime_does(tmp_path: Path) -> None:
    log = LogFile(str(tmp_path / "log"))
    log.take(b"stdout", b"one\ntw")
    log.take(b"stderr", b"oops\n")
    log.take(b"stdout", b"o\n" + b"x" * (LINE_BYTES + 3) + b"\nrest")
    log.close()
    lines = [line.split(b" ", 3) for line in (tmp_path / "log").read_bytes().splitlines()]

    assert [(stream, part, text[:6]) for _, stream, part, text in lines] == [
        (b"stdout", b"F", b"one"),
        (b"stderr", b"F", b"oops"),
        (b"stdout", b"F", b"two"),
        (b"stdout", b"P", b"xxxxxx"),
        (b"stdout", b"F", b"xxx"),
        (b"stdout", b"F", b"rest"),
    ]
    assert all(len(when) == len(b"2026-01-01T00:00:00.000000000Z") for when, *_ in lines)


def test_output_of_a_container_goes_to_its_log_to_the_last_line(tmp_path: Path) -> None:
    async def main() -> None:
        async with warden_in(tmp_path / "s") as warden:
            log = tmp_path / "log"
            await warden.execute(
                shell("i=0; while [ $i -lt 500 ]; do echo line $i; i=$((i+1)); done", tmp_path, log=log, capture=False)
            )
            texts = [line.split(b" ", 3)[3] for line in log.read_bytes().splitlines()]

            assert texts == [b"line %d" % n for n in range(500)]

    trio.run(main)


def test_a_start_that_is_under_way_when_the_sandbox_ends_does_not_hold_it_up(tmp_path: Path) -> None:
    failures: list[SpawnFailed] = []

    async def start(warden: Warden) -> None:
        try:
            while True:
                await warden.spawn(shell("sleep 60", tmp_path))
        except SpawnFailed as e:
            failures.append(e)

    async def main() -> None:
        with trio.fail_after(15):
            async with trio.open_nursery() as starting, warden_in(tmp_path / "s") as warden:
                for _ in range(5):
                    starting.start_soon(start, warden)
                await trio.sleep(0.05)

    trio.run(main)

    assert [str(e) for e in failures] == ["the sandbox ends"] * 5


def test_ends_are_told_on_systems_without_waitid_too(tmp_path: Path) -> None:
    """macOS has no waitid(2) in Python."""
    code = "import os, runpy, sys; del os.waitid; del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nshift 2\nexec {sys.executable} -I -S -c "{code}" "$@"\n')
    python.chmod(0o755)

    async def main() -> None:
        warden = Warden(tmp_path / "s", python=str(python))
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                await nursery.start(warden.run)
                done = [await warden.execute(shell(f"echo {n}; exit {n}", tmp_path)) for n in range(5)]

                assert [(p.code, p.output) for p in done] == [(n, f"{n}\n") for n in range(5)]
                nursery.cancel_scope.cancel()

    trio.run(main)
