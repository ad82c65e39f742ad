"""`rollcheck load` from the command line to the exit code, on a server of loopback."""

import json
import re
import resource
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from rollcheck.analyze import loadaudit
from rollcheck.analyze.load import summarise
from rollcheck.cli.load import command
from rollcheck.cli.loadplan import HLOG
from rollcheck.cli.loadresults import HGRM, JSON, PAGE, TEXT, retell
from rollcheck.errors import DiskFull, UsageError
from rollcheck.record import read_document
from tests.load.scripted import OK, Peer, closed_port, well

DOWN = b"HTTP/1.1 503 Down\r\nContent-Length: 0\r\n\r\n"
TEN = ("-qps", "0", "-n", "10", "-c", "2")

pytestmark = pytest.mark.usefixtures("patient")


@pytest.fixture
def load(server, capsys) -> Callable[..., tuple[int, str, str]]:
    """Run the command against the server: exit code, stdout, stderr."""

    def run(*arguments: str, url: str = "") -> tuple[int, str, str]:
        code = command([*arguments, url or server.url])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_words_for_people_go_to_stdout_in_fortios_order(load, server):
    code, out, err = load(*TEN)

    assert (code, err) == (0, "")
    wanted = (
        f"running at 0 queries per second, .* procs, for 10 calls: {server.url}",
        "Starting at max qps with 2 thread",
        "Ended after .* : 10 calls",
        "Aggregated Function Time : count 10 ",
        "# target 99.9% ",
        "Error cases : no data",
        "# Socket and IP used for each connection:",
        "Sockets used: 2 ",
        "Code 200 : 10 \\(100.0 %\\)",
        "Response Header Sizes : count 10 ",
        "All done 10 calls \\(plus 0 warmup\\)",
        "10 scheduled = 10 sent \\+ 0 never sent",
    )
    assert re.search(".*?".join(wanted), out, re.DOTALL)


def test_the_warm_up_asks_once_on_each_connection(load):
    _, out, _ = load("-qps", "0", "-t", "100ms", "-c", "3")

    assert "(plus 3 warmup)" in out


def test_the_json_is_fortios_and_its_size_is_said(load, tmp_path):
    file = tmp_path / "result.json"

    code, out, _ = load(*TEN, "-json", str(file), "-labels", "a b", "-runid", "7", "-p", "50,99")

    result = json.loads(file.read_text())
    assert code == 0
    assert (result["RunType"], result["Labels"], result["RunID"], result["RetCodes"]) == ("HTTP", "a b", 7, {"200": 10})
    assert [p["Percentile"] for p in result["DurationHistogram"]["Percentiles"]] == [50, 99]
    assert out.endswith(f"Successfully wrote {file.stat().st_size} bytes of Json data to {file}\n")


def test_json_on_stdout_is_alone_there(load):
    _, out, err = load(*TEN, "-json", "-")

    assert json.loads(out)["DurationHistogram"]["Count"] == 10
    assert "All done 10 calls" in err


def test_an_automatic_name_begins_with_the_date_and_ends_with_the_labels(load, tmp_path):
    load(*TEN, "-a", "-data-dir", str(tmp_path), "-labels", "canary: v2!")

    (file,) = tmp_path.iterdir()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d-\d{6}_canary_v2\.json", file.name)


def test_a_password_is_in_no_result(load, tmp_path):
    _, out, err = load(*TEN, "-user", "jane:geheim", "-H", "X-Token: streng", "--out", str(tmp_path / "out"))

    everything = out + err + "".join(file.read_text() for file in (tmp_path / "out").iterdir())
    assert "geheim" not in everything
    assert "streng" not in everything
    assert "amFuZTpnZWhlaW0=" not in everything


def test_a_folder_gets_every_kind_of_result(load, tmp_path):
    folder = tmp_path / "new" / "folder"

    load(*TEN, "--out", str(folder))

    assert {file.name for file in folder.iterdir()} == {"facts.jsonl", HLOG, HGRM, JSON, PAGE, TEXT}
    document = read_document(folder)
    assert document.seal is not None
    assert document.seal.scheduled == {"reused": 10}
    assert summarise(document).ok == 10
    assert "All done 10 calls" in (folder / TEXT).read_text()
    assert "Tag=response" in (folder / HLOG).read_text()
    assert "#[Max" in (folder / HGRM).read_text()


def test_a_stored_load_is_told_again_byte_for_byte(load, tmp_path, capsys):
    folder = tmp_path / "out"
    code, out, _ = load(*TEN, "--out", str(folder), "--threshold", "ok==11", "--threshold", "errors==0")
    before = {name: (folder / name).read_bytes() for name in (HLOG, HGRM, JSON, PAGE, TEXT)}
    for name in before:
        (folder / name).unlink()

    again = retell(read_document(folder), folder)

    assert (again, capsys.readouterr().out) == (code, out) == (1, out)
    assert {name: (folder / name).read_bytes() for name in before} == before


def test_a_second_result_of_one_second_keeps_the_first(load, tmp_path, monkeypatch):
    monkeypatch.setattr("rollcheck.cli.loadresults.result_id", lambda summary: "2026-01-01-000000_x")

    for _ in range(3):
        load(*TEN, "-a", "-data-dir", str(tmp_path))

    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "2026-01-01-000000_x.json",
        "2026-01-01-000000_x_2.json",
        "2026-01-01-000000_x_3.json",
    ]


def test_logs_of_histograms_go_where_they_are_asked_for(load, tmp_path):
    hlog, hgrm = tmp_path / "x.hlog", tmp_path / "x.hgrm"

    load(*TEN, "--hlog", str(hlog), "--hgrm", str(hgrm))

    assert hlog.read_text().startswith("#[Histogram log format version")
    assert "#[Max" in hgrm.read_text()


def test_every_failure_is_a_line_of_json(load, server, tmp_path):
    server.script = lambda peer: well(peer, DOWN)
    file = tmp_path / "failures.ndjson"

    load(*TEN, "--failures", str(file))

    failures = [json.loads(line) for line in file.read_text().splitlines()]
    assert sorted(f["seq"] for f in failures) == list(range(10))
    assert {(f["phase"], f["outcome"], f["status"]) for f in failures} == {("body", "bad_status", 503)}
    assert all(f["service_ms"] > 0 and f["time"].endswith("Z") for f in failures)


def test_the_access_log_has_fortios_fields_and_is_appended_to(load, tmp_path):
    file = tmp_path / "access.log"

    for _ in range(2):
        load(*TEN, "-access-log-file", str(file))

    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert sorted(line["iter"] for line in lines) == sorted([*range(10), *range(10)])
    assert list(lines[0]) == ["latency", "timestamp", "thread", "iter", "ok", "details"]
    assert {(line["ok"], line["details"]) for line in lines} == {(True, "200")}
    assert {line["thread"] for line in lines} <= {0, 1}


def test_the_access_log_can_be_influxs(load, tmp_path):
    file = tmp_path / "access.log"

    load(*TEN, "-access-log-file", str(file), "-access-log-format", "influx")

    assert re.fullmatch(
        r'latency,thread=[01],ok=true value=0\.\d{6},details="200" \d{19}', file.read_text().split("\n")[0]
    )


def test_the_threads_of_several_workers_have_numbers_of_their_own(load, tmp_path):
    file = tmp_path / "access.log"

    load("-qps", "0", "-n", "40", "-c", "4", "--workers", "2", "-access-log-file", str(file))

    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert {line["thread"] // 2 for line in lines if line["iter"] % 2 == 0} == {0}
    assert {line["thread"] // 2 for line in lines if line["iter"] % 2 == 1} == {1}


def test_a_threshold_that_is_met_is_said(load):
    code, out, _ = load(*TEN, "--threshold", "errors==0", "--threshold", "ok==10")

    assert code == 0
    assert "errors==0: met" in out


def test_a_threshold_that_is_missed_is_exit_code_1(load):
    code, out, _ = load(*TEN, "--threshold", "ok==10", "--threshold", "ok==11")

    assert code == 1
    assert "ok==11: MISSED" in out


def test_a_port_that_nobody_listens_on_is_one_sentence_and_exit_code_1(load):
    url = f"http://127.0.0.1:{closed_port()}/"

    code, out, err = load("-t", "1s", url=url)

    assert (code, out) == (1, "")
    assert err.startswith(f"rollcheck: the warm-up failed, nothing was measured: {url} refused the connection")
    assert err.count("\n") == 1


def test_a_name_that_does_not_resolve_is_one_sentence_and_exit_code_1(load, monkeypatch):
    def nobody(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("rollcheck.load.resolver.lookup", nobody)

    code, out, err = load("-t", "1s", url="http://nowhere.invalid/")

    assert (code, out) == (1, "")
    assert "the name in http://nowhere.invalid/ does not resolve (Name or service not known)" in err


def test_a_bad_answer_to_the_warm_up_is_named(load, server):
    server.script = lambda peer: well(peer, DOWN)

    code, out, err = load("-t", "1s")

    assert (code, out) == (1, "")
    assert "answered 503" in err


def test_initial_errors_can_be_allowed(load, server):
    def down_at_first(peer: Peer) -> None:
        well(peer, DOWN if peer.number <= 2 else OK)

    server.script = down_at_first

    code, out, _ = load("-c", "2", "-qps", "0", "-t", "200ms", "-allow-initial-errors", "-connection-reuse", "1")

    assert code == 0
    assert "Code 200" in out


def test_not_one_good_answer_is_exit_code_1(load):
    code, out, err = load("-n", "3", "-qps", "0", url=f"http://127.0.0.1:{closed_port()}/")

    assert code == 1
    assert "Code  -1 : 3 (100.0 %)" in out
    assert "not one request got a good answer" in err


def test_a_status_to_abort_on_is_exit_code_1_and_said_first(load, server):
    answered = []

    def script(peer: Peer) -> None:
        while peer.request():
            answered.append(1)
            peer.send(DOWN if len(answered) > 20 else OK)

    server.script = script

    code, out, _ = load("-qps", "0", "-c", "1", "-t", "30s", "-abort-on", "503")

    assert code == 1
    assert out.startswith("ABORTED: ")


def test_a_generator_that_was_late_is_exit_code_3_and_said_first(load, monkeypatch):
    monkeypatch.setattr(loadaudit, "LAG_P99_LIMIT_US", -1)
    monkeypatch.setattr(loadaudit, "LAG_SHARE_LIMIT", -1)

    code, out, _ = load("-qps", "100", "-n", "10", "--threshold", "ok==11")

    assert code == 3
    assert out.startswith("RATE NOT HELD: ")


def test_quiet_says_counters_and_percentiles_only(load):
    _, out, err = load(*TEN, "-quiet", "-stdclient")

    assert "# target 50%" in out
    assert "# range, mid point" not in out
    assert err == ""


def test_what_means_little_here_is_said_on_stderr(load, server):
    _, _, err = load(*TEN, "-stdclient", url=server.url.removeprefix("http://"))

    assert "rollcheck: -stdclient: there is no separate standard client here" in err
    assert f"taken as {server.url.rstrip('/')}" in err


def test_a_file_that_cannot_be_written_on_is_named_after_the_report(server, capsys):
    with pytest.raises(DiskFull, match="/dev/full could not be written: No space left on device"):
        command([*TEN, "-json", "/dev/full", server.url])

    assert "All done 10 calls" in capsys.readouterr().out


def test_a_log_that_cannot_be_written_on_ends_the_load_and_is_named(load):
    code, out, err = load("-qps", "0", "-t", "30s", "-c", "1", "-access-log-file", "/dev/full")

    assert code == 3
    assert "/dev/full could not be written any further: No space left on device" in err
    assert "All done" in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-p", "0"], "-p: '0' is no percentile"),
        (["-r", "0"], "-r: a resolution of 0 s is none"),
        (["--threshold", "quick"], "--threshold 'quick'"),
        (["-access-log-format", "xml"], "-access-log-format: there is no 'xml'"),
        (["-json", "/no/such/folder/x.json"], "-json: cannot write /no/such/folder/x.json"),
        (["--hlog", "/no/such/folder/x"], "--hlog: cannot write /no/such/folder/x"),
        (["--hgrm", "/"], "--hgrm: cannot write /"),
        (["-a", "-data-dir", "/no/such/folder"], "-data-dir: cannot write to /no/such/folder"),
        (["--failures", "/no/such/folder/x"], "--failures: cannot write /no/such/folder/x"),
        (["-access-log-file", "/no/such/folder/x"], "-access-log-file: cannot write /no/such/folder/x"),
        (["--workers", "9"], "each of 9 workers needs a connection"),
    ],
)
def test_what_would_fail_at_the_end_is_refused_before_anything_is_sent(server, arguments, says):
    with pytest.raises(UsageError) as said:
        command([*arguments, server.url])

    assert says in str(said.value)
    assert server.accepted == 0


def test_a_folder_that_holds_a_run_is_left_alone(server, tmp_path):
    (tmp_path / "facts.jsonl").write_text("precious")

    with pytest.raises(UsageError, match="already holds a run"):
        command([*TEN, "--out", str(tmp_path), server.url])

    assert (tmp_path / "facts.jsonl").read_text() == "precious"


def test_a_load_that_could_not_begin_leaves_the_folder_free(server, tmp_path):
    bad = tmp_path / "bad.pem"
    bad.write_text("no certificate")
    folder = tmp_path / "out"

    with pytest.raises(UsageError, match=r"bad\.pem"):
        command([*TEN, "-cacert", str(bad), "--out", str(folder), server.url.replace("http:", "https:")])

    assert not (folder / "facts.jsonl").exists()


def test_more_connections_than_open_files_are_refused(server, monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda what: (256, 256))

    with pytest.raises(UsageError, match=r"1,064 files open at once.* 256 are allowed here.*lower -c"):
        command(["-c", "1000", "--workers", "1", server.url])


def test_help_is_printed_to_stdout(capsys):
    assert command(["--help"]) == 0
    assert "Usage: rollcheck load [FLAGS] URL" in capsys.readouterr().out


def test_a_payload_arrives_with_a_uuid_of_its_own_each_time(load, server):
    bodies = []

    def script(peer: Peer) -> None:
        while peer.request():
            while len(peer._buffer) < 39:
                peer._buffer += peer.sock.recv(100)
            body, peer._buffer = peer._buffer[:39], peer._buffer[39:]
            bodies.append(body)
            peer.send(OK)

    server.script = script

    load("-qps", "0", "-n", "5", "-c", "1", "-payload", "id={uuid}")

    assert len(set(bodies)) == 5
    assert all(re.fullmatch(rb"id=[0-9a-f-]{36}", body) for body in bodies)


def test_a_unix_socket_is_connected_to_instead(load, tmp_path):
    path = tmp_path / "server.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            with listener.accept()[0] as sock:
                well(Peer(sock, 1))

        thread = threading.Thread(target=serve)
        thread.start()
        code, out, _ = load("-qps", "0", "-n", "3", "-c", "1", "-unix-socket", str(path), url="http://any/")
        thread.join()

    assert code == 0
    assert "Code 200 : 3 (100.0 %)" in out
    assert f"resolved to {path}," in out


def test_a_unix_socket_that_is_not_there_is_named(load, tmp_path):
    path = tmp_path / "absent.sock"

    code, out, err = load("-t", "1s", "-unix-socket", str(path), url="http://any/")

    assert (code, out) == (1, "")
    assert str(path) in err
    assert "ENOENT" in err


def test_redirects_are_followed_when_asked_for(load, server):
    heads = []

    def script(peer: Peer) -> None:
        while head := peer.request():
            heads.append(head.split()[1])
            moved = b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n"
            peer.send(moved if heads[-1] == b"/" else OK)

    server.script = script

    code, out, _ = load("-qps", "0", "-n", "3", "-c", "1", "-L")

    assert code == 0
    assert "Code 200 : 3 (100.0 %)" in out
    assert heads == [b"/", b"/there"] * 3


def test_a_redirect_is_no_good_answer_otherwise(load, server):
    server.script = lambda peer: well(peer, b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n")

    code, out, _ = load("-qps", "0", "-n", "3", "-c", "1")

    assert code == 1
    assert "Code 302 : 3 (100.0 %)" in out


def test_kinds_of_client_share_the_arrivals(load, tmp_path):
    folder = tmp_path / "out"

    code, out, _ = load("-qps", "200", "-n", "20", "--lanes", "reused=0.5:2,fresh=0.5:4", "--out", str(folder))

    assert code == 0
    assert "Code 200 : 20 (100.0 %)" in out
    assert read_document(folder).seal.scheduled == {"reused": 10, "fresh": 10}


def test_the_options_of_a_document_are_what_was_asked_for(load, tmp_path):
    folder = Path(tmp_path / "out")

    load(*TEN, "--out", str(folder), "-uniform")

    header = read_document(folder).header
    assert (header.kind, header.calls, header.workers, header.qps) == ("load", 10, header.workers, 0)
    assert (header.options["uniform"], header.options["c"], header.options["warmup"]) == ("true", "2", "false")
