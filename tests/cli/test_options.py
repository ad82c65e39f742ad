"""Groups of options as typer sees them, and how commands end early."""

import sys
from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from rollcheck.cli.ending import ending, say
from rollcheck.cli.options import grouped
from rollcheck.cli.progress import Progressing
from rollcheck.cli.run import Rate, Requests, Workload
from rollcheck.errors import ClusterError, UsageError


@dataclass(frozen=True, kw_only=True)
class Paint:
    colour: Annotated[str, typer.Option("--colour", help="Which one.")]
    layers: Annotated[int, typer.Option("--layers", "-l")] = 2
    primer: Annotated[list[str] | None, typer.Option("--primer")] = None


def painted(*arguments):
    """What the command was called with, and what was printed."""
    calls = []
    app = typer.Typer(rich_markup_mode=None)

    def paint(
        wall: Annotated[str, typer.Argument()],
        paint: Paint,
        quiet: Annotated[bool, typer.Option("--quiet")] = False,
    ) -> None:
        """Paint a wall."""
        calls.append((wall, paint, quiet))

    app.command()(grouped(paint))
    ended = CliRunner().invoke(app, list(arguments))
    return calls, ended


def test_a_group_comes_with_the_values_given_and_the_defaults_of_the_others():
    calls, _ = painted("north", "--colour", "red", "-l", "3", "--quiet")

    assert calls == [("north", Paint(colour="red", layers=3, primer=None), True)]


def test_an_option_that_may_be_given_again_is_a_list():
    calls, _ = painted("north", "--colour", "red", "--primer", "a", "--primer", "b")

    assert calls[0][1].primer == ["a", "b"]


def test_a_field_without_a_default_is_required():
    calls, ended = painted("north")

    assert calls == []
    assert ended.exit_code == 2
    assert "--colour" in ended.output


def test_the_help_has_every_option_and_the_commands_own_words():
    _, ended = painted("--help")

    for words in ("Paint a wall.", "--colour", "Which one.", "-l, --layers", "--quiet"):
        assert words in ended.output


@pytest.mark.parametrize("qps", [0.0, -1.0, float("nan"), float("inf")])
def test_what_is_no_rate_is_refused(qps):
    with pytest.raises(UsageError, match="--qps"):
        Rate(qps=qps).lanes()


def test_the_load_is_what_the_options_say(tmp_path):
    (tmp_path / "body").write_bytes(b"\x00payload")
    load = Requests(
        method="post",
        header=["X-A: 1"],
        body=f"@{tmp_path / 'body'}",
        expect_status="2xx",
        timeout="500ms",
        insecure=True,
    ).plan(Rate(qps=10, connections=3, fresh_share=0.2))

    assert (load.method, load.headers, load.body) == ("POST", (("X-A", "1"),), b"\x00payload")
    assert (load.qps, load.timeout_s, load.verify_tls) == (10, 0.5, False)
    assert [(lane.lane, lane.connections) for lane in load.lanes] == [("reused", 3), ("fresh", 0)]


@pytest.mark.parametrize(
    ("context", "namespace", "asks"),
    [("dev", "shop", False), ("prod-eu", "shop", True), ("dev", "production", True), ("dev", "kube-system", True)],
)
def test_what_looks_like_production_or_the_clusters_own_is_not_touched_unasked(context, namespace, asks, monkeypatch):
    monkeypatch.setattr(sys, "stdin", open("/dev/null"))  # noqa: PTH123, SIM115
    if asks:
        with pytest.raises(UsageError, match="say so with --yes"):
            Workload(deploy=["web"]).confirm(context, namespace)
    else:
        Workload(deploy=["web"]).confirm(context, namespace)
    Workload(deploy=["web"], yes=True).confirm(context, namespace)
    sys.stdin.close()


class TestEnding:
    def ended(self, error):
        with pytest.raises(SystemExit) as left, ending():
            raise error
        return left.value.code

    def test_an_error_of_ours_is_one_sentence_and_its_own_code(self, capsys):
        assert self.ended(ClusterError("the cluster is gone")) == 4
        assert capsys.readouterr().err == "rollcheck: the cluster is gone\n"

    def test_ctrl_c_is_130_whatever_typer_would_make_of_it(self, capsys):
        assert self.ended(KeyboardInterrupt()) == 130
        assert capsys.readouterr().err == "rollcheck: interrupted\n"

    def test_other_errors_are_defects_and_pass(self):
        with pytest.raises(ZeroDivisionError), ending():
            raise ZeroDivisionError

    def test_words_of_a_server_cannot_drive_the_terminal(self, capsys):
        say("it said \x1b[2J\nand went")

        assert capsys.readouterr().err == "rollcheck: it said �[2J\nand went\n"


class Gone:
    """A stderr whose reader has gone."""

    def isatty(self):
        return False

    def write(self, _):
        raise BrokenPipeError

    def flush(self):
        raise BrokenPipeError


def test_progress_that_nobody_reads_any_more_is_silence(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Gone())
    with Progressing(quiet=False) as progress:
        progress.say("anybody there?")

        assert progress.quiet
    say("nor this")
