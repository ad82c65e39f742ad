"""What the flags of `rollcheck load` make of a load."""

import base64

import pytest

from rollcheck.cli.loadparse import parse
from rollcheck.cli.loadplan import Asked, parse_percentiles, plan_load
from rollcheck.errors import UsageError

URL = "http://host:8080/path"


def asked(*arguments: str, url: str = URL) -> Asked:
    return plan_load(parse([*arguments, url]))


def test_fortios_defaults_are_eight_a_second_for_five_seconds_on_four_connections():
    load = asked().load

    assert (load.qps, load.duration_s, load.calls, load.timeout_s) == (8, 5, 0, 3)
    assert [(lane.lane, lane.connections) for lane in load.lanes] == [("reused", 4)]
    assert load.warmup
    assert not load.probe


def test_a_number_of_calls_replaces_the_duration_and_leaves_the_warm_up_out():
    load = asked("-n", "100", "-t", "60s").load

    assert (load.calls, load.duration_s, load.warmup) == (100, 0, False)


def test_the_rate_can_be_worked_out():
    assert asked("-calc-qps", "-n", "600", "-t", "1m").load.qps == 10


@pytest.mark.parametrize("rate", ["0", "-1", "max"])
def test_no_rate_is_a_closed_loop(rate):
    assert asked("-qps", rate).load.closed_loop


def test_no_duration_is_until_interrupted():
    assert asked("-t", "0").load.length_s == float("inf")


def test_stages_replace_rate_and_duration():
    load = asked("--stages", "100:30s,100-500:1m").load

    assert [(s.qps_from, s.qps_to, s.seconds) for s in load.stages] == [(100, 100, 30), (100, 500, 60)]
    assert (load.qps, load.duration_s, load.length_s) == (0, 0, 90)


def test_what_fortio_counts_as_good_is_good():
    assert asked().load.expectation.statuses == ((200, 299), (418, 418))


def test_what_is_good_can_be_said():
    expectation = asked("--expect-status", "200,404", "--expect-body", "hello").load.expectation

    assert (expectation.statuses, expectation.body) == (((200, 200), (404, 404)), "hello")


def test_a_body_expected_of_a_good_status_leaves_fortios_statuses():
    assert asked("--expect-body", "hello").load.expectation.statuses == ((200, 299), (418, 418))


@pytest.mark.parametrize(
    ("arguments", "method"),
    [([], "GET"), (["-payload", "x"], "POST"), (["-content-type", "text/plain"], "POST"), (["-X", "put"], "PUT")],
)
def test_a_payload_makes_it_a_post(arguments, method):
    assert asked(*arguments).load.method == method


def test_a_payload_has_a_type():
    assert ("Content-Type", "application/octet-stream") in asked("-payload", "x").load.headers


def test_the_type_of_a_header_wins():
    headers = asked("-payload", "x", "-H", "content-type: text/plain").load.headers

    assert headers == (("content-type", "text/plain"),)


def test_a_file_comes_before_random_bytes_before_text(tmp_path):
    file = tmp_path / "body"
    file.write_bytes(b"\x00file")
    sized = ("-payload", "text", "-payload-size", "10")

    assert asked(*sized, "-payload-file", str(file)).load.body == b"\x00file"
    assert len(asked(*sized).load.body) == 10
    assert asked("-payload", "text").load.body == b"text"


def test_random_bytes_are_the_same_for_the_same_seed():
    assert (
        asked("-payload-size", "64", "--seed", "3").load.body == asked("-payload-size", "64", "--seed", "3").load.body
    )


def test_a_user_becomes_a_header_and_is_written_nowhere():
    made = asked("-user", "jane:geheim", "-H", "X-Token: streng", "-payload", "vertraulich")

    assert ("Authorization", "Basic " + base64.b64encode(b"jane:geheim").decode()) in made.load.headers
    for secret in ("geheim", "streng", "vertraulich", "jane"):
        assert secret not in str(made.options)
    assert made.options["H"] == "X-Token"


def test_the_host_header_is_the_name_that_tls_asks_for():
    target = asked("-H", "Host: shop.example.com", "-resolve", "10.0.0.1", url="https://host/").load.target

    assert (target.host_header, target.server_name, target.connect_host) == (
        "shop.example.com",
        "shop.example.com",
        "10.0.0.1",
    )


def test_compression_is_asked_for():
    assert asked("-compression").load.headers == (("Accept-Encoding", "gzip"),)


def test_a_url_without_a_scheme_is_taken_as_http_and_said():
    made = asked(url="localhost:8080")

    assert made.load.target.url == "http://localhost:8080/"
    assert any("http://localhost:8080" in sentence for sentence in made.sentences)


@pytest.mark.parametrize(
    ("arguments", "policy"),
    [
        ([], "round-robin"),
        (["--dns", "cached"], "cached"),
        (["-no-reresolve"], "cached"),
        (["-dns-method", "cached-rr"], "cached"),
        (["-dns-method", "rr"], "round-robin"),
        (["-dns-method", "first"], "reresolve"),
        (["-dns-method", "rnd"], "round-robin"),
        (["-dns-method", "cached-rr", "--dns", "reresolve"], "reresolve"),
    ],
)
def test_fortios_ways_with_names_are_ours(arguments, policy):
    assert asked(*arguments).load.dns == policy


@pytest.mark.parametrize(("kind", "ours"), [("ip4", "ip4"), ("ip6", "ip6"), ("ip", "any")])
def test_fortios_kinds_of_addresses_are_ours(kind, ours):
    assert asked("-resolve-ip-type", kind).load.resolve_ip_type == ours


@pytest.mark.parametrize(
    ("arguments", "field", "value"),
    [
        (["-nocatchup"], "catch_up", False),
        (["-jitter"], "arrivals", "jitter"),
        (["--arrivals", "poisson"], "arrivals", "poisson"),
        (["--seed", "5"], "seed", 5),
        (["-allow-initial-errors"], "allow_initial_errors", True),
        (["-abort-on", "503"], "abort_on", 503),
        (["-abort-on", "-1"], "abort_on", -1),
        (["-abort-on", "0"], "abort_on", None),
        (["-access-log-file", "x"], "access_log", True),
        (["-keepalive=false"], "keep_alive", False),
        (["-keepalive=false", "-halfclose"], "half_close", True),
        (["-http1.0"], "http10", True),
        (["-connection-reuse", "10:30"], "reuse", (10, 30)),
        (["-connection-reuse", "5"], "reuse", (5, 5)),
        (["--reconnect-every", "30s"], "reconnect_every_s", 30),
        (["-payload", "id={uuid}"], "fill_uuid", True),
        (["-k"], "verify_tls", False),
        (["-https-insecure"], "verify_tls", False),
        (["-timeout", "500ms"], "timeout_s", 0.5),
    ],
)
def test_a_flag_reaches_the_plan(arguments, field, value):
    assert getattr(asked(*arguments).load, field) == value


def test_a_uuid_in_the_url_is_filled_in():
    assert asked(url="http://host/{uuid}").load.fill_uuid


def test_certificates_reach_the_plan(tmp_path):
    files = {name: tmp_path / name for name in ("cert", "key", "cacert")}
    for file in files.values():
        file.touch()

    load = asked(*(part for name, file in files.items() for part in (f"-{name}", str(file)))).load

    assert (load.cert_file, load.key_file, load.ca_file) == tuple(str(file) for file in files.values())


def test_a_unix_socket_reaches_the_target():
    assert asked("-unix-socket", "/run/x.sock").load.target.unix_socket == "/run/x.sock"


def test_a_file_for_failures_has_room_for_all():
    assert asked("--failures", "x").load.keep > 10**12


def test_kinds_of_client_can_be_mixed():
    made = asked("--lanes", "reused=0.6:8,fresh=.2,idle-aged=0.1:4:6s,long=0.1:2:/slow?for=5s:x")

    assert [(lane.lane, lane.share, lane.connections, lane.min_idle_s, lane.path) for lane in made.load.lanes] == [
        ("reused", 0.6, 8, 0, ""),
        ("fresh", 0.2, 0, 0, ""),
        ("idle_aged", 0.1, 4, 6, ""),
        ("long", 0.1, 2, 0, "/slow?for=5s:x"),
    ]
    assert made.options["c"] == "14"


def test_gomaxprocs_is_taken_as_workers_as_far_as_there_are_connections():
    assert asked("-gomaxprocs", "8", "-c", "4").workers == 4
    assert asked("-gomaxprocs", "8", "-c", "4", "--workers", "2").workers == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-c", "0"], "-c: 0 connections"),
        (["-n", "-1"], "-n: -1"),
        (["-calc-qps"], "-calc-qps works the rate out from -n and -t"),
        (["-calc-qps", "-n", "10", "-t", "0"], "give both"),
        (["--stages", "100:30s", "-qps", "5"], "leave -qps out"),
        (["--stages", "fast:30s"], "'fast:30s' is not a stage"),
        (["--stages", "100:soon"], "--stages: 'soon' is no duration"),
        (["--arrivals", "even"], "there are no 'even' arrivals"),
        (["--arrivals", "poisson", "-qps", "0"], "needs a rate"),
        (["--arrivals", "poisson", "-jitter"], "exclude each other"),
        (["--lanes", "reused"], "'reused' is no lane"),
        (["--lanes", "reused=much"], "'reused=much' is no lane"),
        (["--lanes", "slow=1:2"], "there is no lane 'slow'"),
        (["--lanes", "reused=1:2:6s"], "'6s' means nothing to the lane reused"),
        (["--lanes", "long=1:2"], "say what the long lane asks for"),
        (["--lanes", "idle_aged=1:2"], "say how long the idle_aged lane rests"),
        (["--lanes", "idle_aged=1:2:soon"], "--lanes: 'soon' is no duration"),
        (["--lanes", "reused=1:2,reused=1:2"], "a lane is asked for twice"),
        (["--lanes", "reused=1:0"], "cannot hold 0 connections"),
        (["--lanes", "reused=1:2", "-c", "2"], "leave -c out"),
        (["--lanes", "fresh=1", "-qps", "0"], "cannot hold 0 connections"),
        (["-connection-reuse", "many"], "'many' is no range"),
        (["-connection-reuse", "30:10"], "30 to 10"),
        (["-halfclose"], "-keepalive=false"),
        (["-H", "no colon"], "'no colon' is not a header"),
        (["-H", "Content-Length: 5"], "Content-Length"),
        (["-user", "jane"], "-user: write it as NAME:PASSWORD"),
        (["-payload-file", "/no/such/file"], "-payload-file: cannot read /no/such/file"),
        (["-payload-size", "-5"], "-payload-size: -5"),
        (["-cacert", "/no/such/ca"], "-cacert: cannot read /no/such/ca"),
        (["-mtls"], "give -cert"),
        (["--expect-status", "fine"], "'fine' is not an HTTP status"),
        (["--expect-body", "/(/"], "not a regular expression"),
        (["--dns", "never"], "--dns: there is no 'never'"),
        (["-dns-method", "xx"], "-dns-method: there is no 'xx'"),
        (["-resolve-ip-type", "ip5"], "-resolve-ip-type: there is no 'ip5'"),
        (["-timeout", "0"], "a timeout of 0 s"),
        (["-X", "GET IT"], "not a method"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(arguments, says):
    with pytest.raises(UsageError) as said:
        asked(*arguments)

    assert says in str(said.value)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("tcp://host:8078", "not tcp"),
        ("udp://host:8078", "not udp"),
        ("ftp://host/", "must begin with http:// or https://"),
        ("http://", "names no host"),
        ("http://host:99999/", "is not a URL"),
        ("http://host:0/", "port 0"),
        ("http://ho st/", "a space"),
        ("http://jane:geheim@host/", "-user NAME:PASSWORD"),
    ],
)
def test_a_url_that_is_none_is_refused(url, says):
    with pytest.raises(UsageError) as said:
        asked(url=url)

    assert says in str(said.value)
    assert "geheim" not in str(said.value)


@pytest.mark.parametrize(("words", "says"), [([], "say what to ask"), (["http://a/", "true"], "one word too many")])
def test_one_url_is_wanted(words, says):
    with pytest.raises(UsageError, match=says):
        plan_load(parse(words))


def test_percentiles_are_read():
    assert parse_percentiles("50, 99.9") == (50, 99.9)


@pytest.mark.parametrize("text", ["", "50,", "0", "100", "p99", "-1", "nan"])
def test_what_is_no_percentile_is_refused(text):
    with pytest.raises(UsageError, match="-p: "):
        parse_percentiles(text)


def test_options_hold_every_flag_given_or_not():
    options = asked("-qps", "100", "-uniform", "--threshold", "p99<1s", "--threshold", "errors==0").options

    assert (options["qps"], options["c"], options["uniform"], options["nocatchup"]) == ("100", "4", "true", "false")
    assert options["threshold"] == "p99<1s, errors==0"
    assert options["labels"].startswith("host:8080/path , ")
    assert "stdclient" not in options
