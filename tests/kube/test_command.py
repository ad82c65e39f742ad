"""COMMAND as a real child process."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from rollcheck.errors import UsageError
from rollcheck.facts.actions import Action, CommandOutput
from rollcheck.kube import command


def run(*argv: str, environ: dict[str, str] | None = None) -> tuple[Action, list[CommandOutput]]:
    facts: list[CommandOutput | Action] = []
    action = trio.run(lambda: command.run_command(argv, facts.append, environ=environ))
    assert facts[-1] is action
    return action, [fact for fact in facts if isinstance(fact, CommandOutput)]


def test_the_exit_code_is_the_actions_status() -> None:
    action, _ = run("sh", "-c", "exit 7")
    assert (action.kind, action.status, action.succeeded, action.message) == (
        "command",
        7,
        False,
        "it ended with exit code 7",
    )


def test_a_command_that_ends_with_0_succeeded() -> None:
    action, _ = run("true")
    assert action.succeeded
    assert action.message == ""


def test_the_action_shows_the_command_as_it_could_be_typed() -> None:
    assert run("sh", "-c", "exit 0")[0].description == "sh -c 'exit 0'"


def test_a_command_that_a_signal_ended_is_named_by_it() -> None:
    action, _ = run("sh", "-c", "kill -9 $$")
    assert action.status == 137
    assert "SIGKILL" in action.message


def test_both_streams_are_recorded_line_by_line() -> None:
    _, lines = run("sh", "-c", "echo one; echo two >&2; printf three")
    assert sorted((o.stream, o.text) for o in lines) == [("stderr", "two"), ("stdout", "one"), ("stdout", "three")]


def test_lines_come_while_the_command_still_runs(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)

    def release(fact: CommandOutput | Action) -> None:
        if (
            isinstance(fact, CommandOutput) and fact.text == "ready"
        ):  # the command ends only once its first line has reached us
            with gate.open("w") as f:
                f.write("go\n")

    action = trio.run(lambda: command.run_command(["sh", "-c", f"echo ready; read x < {gate}; exit 3"], release))
    assert action.status == 3


def test_what_it_prints_is_echoed_with_its_stream() -> None:
    echoed: list[CommandOutput] = []
    trio.run(lambda: command.run_command(["sh", "-c", "echo hi"], lambda _: None, echoed.append))
    assert [(o.stream, o.text) for o in echoed] == [("stdout", "hi")]


def test_a_line_without_an_end_is_cut_at_the_bound() -> None:
    _, lines = run(sys.executable, "-c", "import sys; sys.stdout.write('x' * 200_000)")
    assert [len(o.text) for o in lines] == [command.LINE_LENGTH]


def test_a_long_line_does_not_swallow_the_next() -> None:
    _, lines = run(sys.executable, "-c", "print('x' * 200_000); print('after')")
    assert lines[-1].text == "after"


def test_lines_beyond_the_bound_are_said_to_be_left_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "LINES_MOST", 3)
    _, lines = run("sh", "-c", "for i in 1 2 3 4 5 6; do echo $i; done")
    assert [o.text for o in lines][:3] == ["1", "2", "3"]
    assert len(lines) == 4
    assert "not recorded" in lines[3].text


def test_bytes_that_are_no_text_are_replaced() -> None:
    _, lines = run("sh", "-c", r"printf '\377\n'")
    assert [o.text for o in lines] == ["�"]


def test_it_gets_our_environment_and_the_kubeconfig() -> None:
    _, lines = run("sh", "-c", 'echo "$KUBECONFIG" "${PATH:+path}"', environ={"KUBECONFIG": "/some/where"})
    assert lines[0].text == "/some/where path"


def test_it_has_no_stdin_to_wait_on() -> None:
    assert run("cat")[0].status == 0


def test_a_process_left_behind_with_the_output_open_does_not_hold_the_run() -> None:
    began = time.monotonic()
    action, lines = run("sh", "-c", "sleep 20 & echo $!")
    os.kill(int(lines[0].text), signal.SIGKILL)
    assert action.status == 0
    assert time.monotonic() - began < 10


def cancelled_after_the_first_line(script: str) -> tuple[list[CommandOutput], Action]:
    """Run until it has printed something, cancel, and return once the child is gone."""
    facts: list[CommandOutput | Action] = []

    async def main() -> None:
        with trio.CancelScope() as scope:

            def sink(fact: CommandOutput | Action) -> None:
                facts.append(fact)
                scope.cancel()

            await command.run_command(["sh", "-c", script], sink)

    trio.run(main)
    (action,) = [fact for fact in facts if isinstance(fact, Action)]
    return [fact for fact in facts if isinstance(fact, CommandOutput)], action


def is_gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state == "Z"


def eventually(true: Callable[[], bool], within_s: float = 5.0) -> bool:
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.01)
    return false_now(true)


def false_now(true: Callable[[], bool]) -> bool:
    return true()


def test_a_cancelled_command_gets_sigterm_and_may_clean_up(tmp_path: Path) -> None:
    mark = tmp_path / "cleaned"
    cancelled_after_the_first_line(f"trap 'touch {mark}; exit 0' TERM; echo on; while :; do sleep 0.05; done")
    assert mark.exists()


def test_a_cancelled_command_that_ignores_sigterm_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "TERM_WAIT_S", 0.2)
    lines, _ = cancelled_after_the_first_line("trap '' TERM; echo $$; while :; do sleep 0.05; done")
    assert is_gone(int(lines[0].text))


def test_children_of_a_cancelled_command_end_with_it() -> None:
    lines, _ = cancelled_after_the_first_line("sleep 60 & echo $!; wait")
    child = int(lines[0].text)
    assert eventually(lambda: is_gone(child))


def test_a_cancelled_command_is_an_action_without_a_status() -> None:
    _, action = cancelled_after_the_first_line("echo on; exec sleep 60")
    assert (action.status, action.succeeded) == (None, False)
    assert action.message == "it was still running and was stopped"


def test_what_a_cancelled_command_says_at_its_end_is_recorded() -> None:
    lines, _ = cancelled_after_the_first_line(
        "trap 'echo rolling back; exit 1' TERM; echo on; while :; do sleep 0.05; done"
    )
    assert "rolling back" in [line.text for line in lines]  # the shell may speak of its killed sleep as well


def test_a_command_that_is_not_in_path_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="'kubectll' was not found in PATH"):
        command.check_command(["kubectll", "apply"])


def test_a_path_that_does_not_exist_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        command.check_command([str(tmp_path / "deploy.sh")])


def test_a_file_that_is_not_executable_is_a_usage_error(tmp_path: Path) -> None:
    script = tmp_path / "deploy.sh"
    script.write_text("#!/bin/sh\n")
    with pytest.raises(UsageError, match="not executable"):
        command.check_command([str(script)])


def test_a_folder_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        command.check_command([str(tmp_path)])


@pytest.mark.parametrize("argv", [[], [""]])
def test_no_command_at_all_is_a_usage_error(argv: list[str]) -> None:
    with pytest.raises(UsageError, match="no command after"):
        command.check_command(argv)


def test_a_command_that_can_be_run_passes_the_check(tmp_path: Path) -> None:
    script = tmp_path / "deploy.sh"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    command.check_command([str(script)])
    command.check_command(["sh"])


def test_a_script_without_an_interpreter_cannot_be_started(tmp_path: Path) -> None:
    script = tmp_path / "deploy.sh"
    script.write_text("#!/no/such/shell\n")
    script.chmod(0o755)
    with pytest.raises(UsageError, match="cannot be started"):
        run(str(script))
