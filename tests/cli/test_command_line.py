"""The command line: what it prints where, and with which exit code it ends."""

import json
import os
import signal
import subprocess
import sys

import pytest

from rollcheck.cli import main
from rollcheck.cli.app import COMMANDS
from rollcheck.cli.durations import parse_duration
from rollcheck.errors import UsageError
from rollcheck.run import lanes_of
from tests.fakes.shell import call


@pytest.fixture(autouse=True)
def own_signals():
    """The command line sets a handler of its own."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10s", 10), ("1m30s", 90), ("500ms", 0.5), ("1.5h", 5400), ("10", 10), ("0", 0), ("1d2h", 93600), ("5µs", 5e-6)],
)
def test_durations_are_read_as_go_writes_them_and_as_bare_seconds(text, seconds):
    assert parse_duration(text, "--tail") == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "ten", "10 s", "-1s", "1s2", "s", "nan", "inf", "1e9"])
def test_what_is_no_duration_is_refused_with_the_name_of_the_option(text):
    with pytest.raises(UsageError, match="--tail"):
        parse_duration(text, "--tail")


def test_a_lane_keeps_no_more_connections_than_it_sends_requests_a_second():
    reused, fresh = lanes_of(8, 16, 0.5)

    assert (reused.lane, reused.connections) == ("reused", 4)
    assert (fresh.lane, fresh.connections) == ("fresh", 0)


@pytest.mark.parametrize(("share", "lanes"), [(0.0, ["reused"]), (1.0, ["fresh"]), (0.3, ["reused", "fresh"])])
def test_a_share_of_nothing_has_no_lane(share, lanes):
    assert [lane.lane for lane in lanes_of(100, 16, share)] == lanes


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run"], "--deploy"),
        (["run", "--deploy", "web", "--tail", "soon"], "--tail"),
        (["run", "--deploy", "web", "--fresh-share", "2"], "--fresh-share"),
        (["run", "--deploy", "web", "-o", "xml"], "text or json"),
        (["run", "--deploy", "web", "--header", "no colon"], "header"),
        (["run", "--deploy", "web", "--body", "@/no/such/file"], "--body"),
        (["run", "--deploy", "web", "--", "no-such-command-anywhere"], "no-such-command-anywhere"),
        (["report", "/no/such/folder"], "rollcheck run"),
    ],
)
def test_a_bad_call_is_one_sentence_on_stderr_and_exit_code_2(arguments, says, capsys):
    assert call(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert says.lower() in err.lower()
    assert "Traceback" not in err


def test_a_kubeconfig_that_is_not_there_is_named(tmp_path, capsys):
    assert call("run", "--deploy", "web", "--kubeconfig", str(tmp_path / "absent")) == 2
    assert "absent" in capsys.readouterr().err


def test_an_out_folder_that_holds_a_run_is_left_alone(tmp_path):
    (tmp_path / "facts.jsonl").write_text("precious")

    assert call("run", "--deploy", "web", "--out", str(tmp_path)) == 2
    assert (tmp_path / "facts.jsonl").read_text() == "precious"


def test_help_of_run_shows_examples(capsys):
    assert call("run", "--help") == 0
    assert "helm upgrade" in capsys.readouterr().out


def test_the_schema_is_printed_as_json(capsys):
    assert call("schema") == 0
    assert json.loads(capsys.readouterr().out)["title"]


def test_as_a_module_it_is_the_same_program():
    ended = subprocess.run(
        [sys.executable, "-m", "rollcheck", "--version"], capture_output=True, text=True, timeout=60, check=True
    )

    assert ended.stdout.startswith("rollcheck 0.")


def test_as_a_plugin_of_kubectl_it_bears_that_name(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/kubectl-rollcheck", "--help"])
    with pytest.raises(SystemExit):
        main()

    assert "Usage: kubectl rollcheck" in capsys.readouterr().out


def test_help_of_all_imports_no_command():
    ended = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "rollcheck", "--help"], capture_output=True, text=True, check=True
    )

    imported = {line.rpartition("|")[2].strip() for line in ended.stderr.splitlines()}
    assert [name for name in COMMANDS if name in ended.stdout] == list(COMMANDS)
    assert not imported & {f"rollcheck.cli.{name}" for name in COMMANDS}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_that_is_listed_can_be_called(name, capsys):
    assert call(name, "--help") == 0
    assert "Usage: " in capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_what_the_list_says_of_a_command_fits_a_line(name):
    assert len("  sandbox  " + COMMANDS[name]) < 80


def test_options_of_a_command_are_completed():
    asked = {"COMP_WORDS": "rollcheck run --dep", "COMP_CWORD": "2", "_ROLLCHECK_COMPLETE": "complete_bash"}
    ended = subprocess.run(
        [sys.executable, "-c", "from rollcheck.cli import main; main()"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **asked},
    )

    assert ended.stdout.split() == ["--deploy"]
