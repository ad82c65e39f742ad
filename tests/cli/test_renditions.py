"""The further forms of a report, asked for on the command line."""

import gzip
import json
import threading
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from rollcheck.cli.load import command
from rollcheck.cli.renditions import Renditions
from rollcheck.deliver import deliver_file, push, replace_file
from rollcheck.errors import DiskFull, DocumentError, UsageError
from rollcheck.render import figures
from tests.fakes.shell import call

RECORDED = Path(__file__).parent.parent / "recorded" / "exit-at-once" / "facts.jsonl.gz"
TEN = ("-qps", "0", "-n", "10", "-c", "2")


@pytest.fixture(autouse=True)
def timeline(monkeypatch):
    """It costs a second, and is drawn for real elsewhere."""
    monkeypatch.setattr(figures, "timeline_images", lambda _: (b"png", b"svg"))


@pytest.fixture
def folder(tmp_path) -> Path:
    """A recorded run, 41 requests lost."""
    place = tmp_path / "run"
    place.mkdir()
    (place / "facts.jsonl").write_bytes(gzip.decompress(RECORDED.read_bytes()))
    return place


class Gateway(HTTPServer):
    """A Pushgateway that remembers."""

    def __init__(self, status: int) -> None:
        super().__init__(("127.0.0.1", 0), Putting)
        self.status = status
        self.asked: list[tuple[str, bytes, str]] = []
        self.address = f"127.0.0.1:{self.server_port}"


class Putting(BaseHTTPRequestHandler):
    server: Gateway

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, body, self.headers.get("Authorization", "")))
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(b"said\x1b no")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def gateway(status: int = 200) -> Iterator[Gateway]:
    with Gateway(status) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_stored_run_is_told_in_every_form_that_is_asked_for(folder, tmp_path, capsys):
    names = {"junit": "j.xml", "markdown": "m.md", "textfile": "x.prom", "failures": "f.jsonl"}
    options = [word for option, name in names.items() for word in (f"--{option}", str(tmp_path / name))]

    assert call("report", str(folder), "-o", "json", *options) == 1

    said = json.loads(capsys.readouterr().out)
    suite = ET.parse(tmp_path / "j.xml").getroot()[0]
    assert suite.attrib["failures"] == "2"
    assert "not graceful" in (tmp_path / "m.md").read_text()
    assert 'verdict="not graceful"} 1\n' in (tmp_path / "x.prom").read_text()
    assert len((tmp_path / "f.jsonl").read_text().splitlines()) == said["attempts"]["failed"] == 41


def test_what_was_not_asked_for_is_not_written(folder):
    call("report", str(folder))

    assert not {path.suffix for path in folder.iterdir()} & {".xml", ".prom", ".md"}


def test_figures_are_pictures_in_the_folder(folder):
    call("report", str(folder), "--figures")

    names = {path.name for path in folder.iterdir()}
    assert {f"{name}.{form}" for name in ("percentiles", "heatmap", "errors") for form in ("png", "svg")} <= names


def test_rendering_twice_gives_the_same_bytes(folder, tmp_path):
    made = []
    for _ in range(2):
        call("report", str(folder), "--junit", str(tmp_path / "j.xml"), "--textfile", str(tmp_path / "x.prom"))
        made.append((tmp_path / "j.xml").read_bytes() + (tmp_path / "x.prom").read_bytes())

    assert made[0] == made[1]


def test_github_gets_annotations_on_stderr_and_a_summary_behind_what_is_there(folder, tmp_path, capsys, monkeypatch):
    summary = tmp_path / "step.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))

    assert call("report", str(folder), "--github", "-o", "json") == 1

    out, err = capsys.readouterr()
    json.loads(out)
    assert err.startswith("::error title=rollcheck no-loss%3A")
    assert summary.read_text().startswith("before\n## ❌ rollcheck: not graceful\n")


def test_without_a_step_there_are_annotations_alone(folder, capsys, monkeypatch):
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)

    assert call("report", str(folder), "--github") == 1
    assert capsys.readouterr().err.startswith("::error ")


def test_a_summary_that_cannot_be_written_is_one_sentence(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "no" / "such" / "folder.md"))

    assert call("report", str(folder), "--github") == 3
    assert "--github: " in capsys.readouterr().err


def test_metrics_are_put_to_the_group_of_the_workload(folder, capsys):
    with gateway() as server:
        assert call("report", str(folder), "--pushgateway", f"http://user:secret@{server.address}/base/") == 1

    ((path, body, authorization),) = server.asked
    assert path.startswith("/base/metrics/job/rollcheck/namespace/recorded-exit-at-once/workload@base64/")
    assert body.startswith(b"# HELP rollcheck_run_info ")
    assert authorization.startswith("Basic ")
    assert capsys.readouterr().err == ""


def test_a_gateway_that_refuses_is_one_sentence_and_the_verdict_stands(folder, capsys):
    with gateway(400) as server:
        assert call("report", str(folder), "--pushgateway", f"http://user:secret@{server.address}") == 1

    err = capsys.readouterr().err
    assert "refused the metrics: 400 said" in err
    assert "secret" not in err
    assert "\x1b" not in err


def test_a_gateway_that_is_not_there_is_one_sentence_and_the_verdict_stands(folder, capsys):
    with gateway() as server:
        pass

    assert call("report", str(folder), "--pushgateway", f"http://user:secret@{server.address}") == 1
    err = capsys.readouterr().err
    assert err.startswith(f"rollcheck: --pushgateway: the metrics could not be pushed to {server.address}: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (Renditions(junit="/no/such/folder/j.xml"), "--junit: cannot write"),
        (Renditions(markdown="/"), "--markdown: cannot write"),
        (Renditions(textfile="metrics.txt"), "end with .prom"),
        (Renditions(pushgateway="pushgateway:9091"), "is no address"),
        (Renditions(pushgateway="http://[::"), "is no address"),
        (Renditions(pushgateway="http://host:port"), "is no address"),
    ],
)
def test_what_cannot_be_done_is_refused_beforehand(asked, says):
    with pytest.raises(UsageError, match=says):
        asked.check()


def test_a_place_that_is_refused_leaves_the_folder_alone(folder, capsys):
    assert call("report", str(folder), "--junit", "/no/such/folder/j.xml") == 2

    assert {path.name for path in folder.iterdir()} == {"facts.jsonl"}
    assert "choose a file in a folder that is there" in capsys.readouterr().err


def test_a_file_is_replaced_in_one_step(tmp_path):
    path = tmp_path / "x.prom"
    path.write_bytes(b"old")
    before = path.stat().st_ino

    replace_file(path, b"new")

    assert path.read_bytes() == b"new"
    assert path.stat().st_ino != before
    assert list(tmp_path.iterdir()) == [path]


def test_a_device_is_written_to_and_not_replaced():
    replace_file(Path("/dev/null"), b"x")

    assert not Path("/dev/null").is_file()


def test_a_full_disk_is_told_as_one():
    with pytest.raises(DiskFull, match=r"--junit: /dev/full could not be written: No space left"):
        deliver_file(Path("/dev/full"), b"x", "--junit")


def test_a_folder_that_went_away_is_told_by_name(tmp_path):
    with pytest.raises(DocumentError, match=r"--junit: .*gone"):
        deliver_file(tmp_path / "gone" / "j.xml", b"x", "--junit")


def test_a_name_of_255_characters_can_be_replaced(tmp_path):
    path = tmp_path / ("j" * 251 + ".xml")

    replace_file(path, b"x")

    assert path.read_bytes() == b"x"


def test_an_address_that_no_client_takes_is_one_sentence():
    assert push("http://a b", "/metrics", b"").startswith("--pushgateway: ")


@pytest.mark.usefixtures("patient")
class TestOfALoad:
    def test_every_form_is_written_at_its_end(self, server, tmp_path, capsys):
        options = ("--junit", str(tmp_path / "j.xml"), "--markdown", str(tmp_path / "m.md"), "--github")
        places = ("--textfile", str(tmp_path / "x.prom"), "--out", str(tmp_path / "out"), "--figures")

        code = command([*TEN, "--threshold", "errors==0", *options, *places, server.url])

        suite = ET.parse(tmp_path / "j.xml").getroot()[0]
        assert (code, suite.attrib["failures"], suite.attrib["errors"]) == (0, "0", "0")
        assert "threshold-errors==0" in [case.attrib["classname"].rpartition("load.")[2] for case in suite[1:-2]]
        assert "| `errors==0` | met, 0 |" in (tmp_path / "m.md").read_text()
        assert 'result="ok"} 10\n' in (tmp_path / "x.prom").read_text()
        assert (tmp_path / "out" / "heatmap.svg").exists()
        assert "::notice title=rollcheck%3A passed::" in capsys.readouterr().err

    def test_a_missed_threshold_is_a_failed_case(self, server, tmp_path):
        code = command([*TEN, "--threshold", "ok==11", "--junit", str(tmp_path / "j.xml"), server.url])

        assert (code, ET.parse(tmp_path / "j.xml").getroot()[0].attrib["failures"]) == (1, "1")

    def test_a_stored_load_is_told_again_with_its_failures(self, server, tmp_path):
        command([*TEN, "--expect-status", "299", "-allow-initial-errors", "--out", str(tmp_path / "out"), server.url])

        code = call("report", str(tmp_path / "out"), "--failures", str(tmp_path / "f"), "--junit", str(tmp_path / "j"))

        lines = [json.loads(line) for line in (tmp_path / "f").read_text().splitlines()]
        assert code == 1
        assert {line["outcome"] for line in lines} == {"bad_status"}
        assert len(lines) == 10

    def test_pictures_need_a_folder(self, server):
        with pytest.raises(UsageError, match="--figures: say with --out DIR"):
            command([*TEN, "--figures", server.url])

    def test_the_address_of_a_gateway_is_not_kept(self, server, tmp_path):
        with gateway() as pushed:
            address = f"http://user:secret@{pushed.address}"
            command([*TEN, "--pushgateway", address, "--out", str(tmp_path / "out"), server.url])

        assert len(pushed.asked) == 1
        assert "secret" not in (tmp_path / "out" / "facts.jsonl").read_text()
