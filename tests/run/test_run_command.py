"""`rollcheck run` as its users have it: exit codes, what is on stdout, what on stderr, which files."""

import json
import os
import resource
import signal
import sys

import pytest

from rollcheck.cli import progress
from rollcheck.render import figures
from tests.cluster.blackbox import rollcheck

pytestmark = pytest.mark.loopback


@pytest.fixture(autouse=True)
def pictures(monkeypatch):
    """Drawn for real by the runs that have a process of their own; each costs a second."""
    monkeypatch.setattr(figures, "timeline_images", lambda _: (b"png", b"svg"))


def limited(number, soft, hard):
    """For a child: what it may use."""
    return lambda: resource.setrlimit(number, (soft, hard))


def said(capsys):
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return out, err


def last_line(err):
    return err.rstrip("\n").rpartition("\n")[2]


def test_a_graceful_run_exits_with_0_and_its_summary_on_stdout(stand, capsys):
    code = stand.main()

    out, err = said(capsys)
    assert (code, stand.result["verdict"], stand.result["exit_code"]) == (0, "graceful", 0)
    assert out.startswith("GRACEFUL: ")
    assert "replacement: until every old pod is gone" in err
    assert {"facts.jsonl", "result.json", "summary.txt", "timeline.png"} <= {
        p.name for p in (stand.folder / "out").iterdir()
    }


def test_lost_requests_exit_with_1_and_with_json_nothing_else_is_on_stdout(stand, capsys):
    def told(what, _):
        if what in ("deleted", "gone"):
            stand.target.resetting = what == "deleted"

    stand.cluster.told = told
    code = stand.main("-o", "json", "--quiet")

    out, err = said(capsys)
    assert code == 1
    assert json.loads(out) == stand.result
    assert stand.result["verdict"] == "not graceful"
    assert err == ""


def test_what_could_not_be_proven_exits_with_3_and_says_why(stand, capsys):
    stand.cluster.stuck = "ImagePullBackOff"

    assert stand.main() == 3
    assert "ImagePullBackOff" in said(capsys)[0].partition("\n\n")[0]


def test_an_api_that_refuses_the_restart_exits_with_4_and_one_sentence(stand, capsys):
    stand.cluster.on_patch = "deny"

    assert stand.main() == 4
    out, err = said(capsys)
    assert out.startswith("INCONCLUSIVE: ")
    assert last_line(err).startswith("rollcheck: the API server does not allow it (403)")


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        ("--qps", "nan", "--qps: nan is no rate"),
        ("--qps", "0", "--qps: 0 is no rate"),
        ("--qps", "-5", "--qps: -5 is no rate"),
        ("--fresh-share", "nan", "--fresh-share"),
        ("--connections", "0", "cannot hold 0 connections"),
        ("--timeout", "0", "a timeout of 0 s"),
        ("--rollout-timeout", "0", "--rollout-timeout"),
        ("--cacert", "/no/such/ca.pem", "/no/such/ca.pem"),
    ],
)
def test_an_impossible_value_is_refused_before_the_cluster_is_asked(stand, capsys, option, value, says):
    assert stand.main(option, value) == 2
    out, err = said(capsys)
    assert out == ""
    assert says in last_line(err)
    assert stand.cluster.requests == []


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_the_replacement_exits_with_130_and_a_partial_report(stand, capsys, by):
    """It comes once more, as the second pod goes."""
    stand.cluster.told = lambda what, _: os.kill(os.getpid(), by) if what == "deleted" else None
    code = stand.main()

    out, err = said(capsys)
    assert code == 130
    assert (stand.result["verdict"], stand.result["exit_code"]) == ("inconclusive", 130)
    assert f"interrupted ({by.name})" in out
    assert f"{by.name}: the load stops" in err


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_the_run_began_exits_with_130_and_leaves_nothing(stand, capsys, by):
    stand.cluster.told = lambda what, path: os.kill(os.getpid(), by) if path.endswith("/services") else None
    code = stand.main()

    out, err = said(capsys)
    assert (code, out) == (130, "")
    assert last_line(err) == f"rollcheck: interrupted by {by.name} before anything was changed"
    assert not (stand.folder / "out").exists()


def test_a_signal_while_the_report_is_rendered_exits_with_130(stand, monkeypatch, capsys):
    monkeypatch.setattr(figures, "timeline_images", lambda _: signal.raise_signal(signal.SIGTERM))

    assert stand.main() == 130
    assert last_line(said(capsys)[1]) == "rollcheck: interrupted"
    assert stand.result["verdict"] == "graceful"


def test_after_kill_9_the_prefix_is_analysed_as_inconclusive(stand):
    process = stand.start()
    stand.strike(process, "ended", signal.SIGKILL)
    killed = stand.end(process)
    report = rollcheck("report", str(killed.out), "-o", "json", out=killed.out)

    assert killed.code == -signal.SIGKILL
    assert killed.facts()[0]["fact"] == "Header"
    assert "Seal" not in {fact["fact"] for fact in killed.facts()}
    assert report.code == 3, report
    assert json.loads(report.stdout)["verdict"] == "inconclusive"
    assert "is not sealed" in report.result["headline"]


def test_a_full_disk_ends_the_run_with_one_sentence_and_the_verdict_is_printed_all_the_same(stand):
    """A limit on the size of files stands in for the disk: the same error of the same write."""
    limit = 12_000
    process = stand.start(preexec_fn=limited(resource.RLIMIT_FSIZE, limit, limit))
    ended = stand.end(process)

    assert ended.code == 3, ended
    assert ended.stdout.startswith("INCONCLUSIVE: "), ended
    assert "Traceback" not in ended.stderr, ended
    assert f"{ended.out}/facts.jsonl could not be written any further: File too large" in last_line(ended.stderr)
    assert [line for line in ended.stderr.splitlines() if line.startswith("rollcheck: ")] == [last_line(ended.stderr)]
    assert ended.facts()[0]["fact"] == "Header"
    assert (ended.out / "facts.jsonl").stat().st_size == limit


def test_a_hard_limit_on_open_files_that_is_too_low_is_refused_with_the_way_out(stand):
    process = stand.start("--timeout", "9s", preexec_fn=limited(resource.RLIMIT_NOFILE, 64, 128))
    refused = stand.end(process)

    assert refused.code == 2, refused
    assert "this load may have 306 files open at once, and no more than 128 are allowed" in refused.stderr
    assert "lower --qps" in refused.stderr
    assert stand.cluster.requests == []


def test_whoever_stops_reading_stderr_does_not_end_the_run_and_files_may_be_open_to_the_hard_limit(stand):
    process = stand.start(preexec_fn=limited(resource.RLIMIT_NOFILE, 128, 4096))
    process.stderr.close()
    process.stderr = None
    ended = stand.end(process)

    assert ended.facts()[-1]["fact"] == "Seal", ended
    assert ended.code == ended.result["exit_code"], ended
    assert {fact["file_limit"] for fact in ended.facts() if fact["fact"] == "HealthSample"} == {4096}


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")  # noqa: PTH110
def test_a_stdout_that_cannot_be_written_is_one_sentence_and_the_report_is_in_its_folder(stand, capsys, monkeypatch):
    full = open("/dev/full", "w")  # noqa: PTH123, SIM115
    monkeypatch.setattr(sys, "stdout", full)
    code = stand.main()
    full.close()  # it does not fail any more: what was left to write has gone to /dev/null
    monkeypatch.undo()

    assert code == 3
    assert "the report could not be printed: No space left on device" in last_line(capsys.readouterr().err)


def test_a_report_that_cannot_be_written_is_printed_all_the_same(stand, capsys):
    stand.main("--quiet")
    (stand.folder / "out" / "result.json").unlink()
    (stand.folder / "out" / "result.json").mkdir()
    capsys.readouterr()

    assert stand.report() == 2
    out, err = said(capsys)
    assert out.startswith("GRACEFUL: ")
    assert "the report cannot be written" in last_line(err)


def test_progress_says_where_the_load_stands(stand, capsys, monkeypatch):
    monkeypatch.setattr(progress, "PLAIN_EVERY_S", 0.0)
    stand.cluster.end_s = 1.2
    stand.main()

    assert " requests, " in capsys.readouterr().err
