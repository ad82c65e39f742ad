"""The command line of `rollcheck load`, read as fortio reads it."""

import pytest

from rollcheck.cli.loadflags import ACCEPTED, BY_NAME, ELSEWHERE, FLAGS, OTHER_TOOLS, OURS, Kind
from rollcheck.cli.loadparse import Values, help_text, mooted, parse
from rollcheck.errors import UsageError

# fortio 1.68, `fortio help`: every flag that concerns a load over HTTP, with its default.
FORTIO = {
    "qps": "8",
    "c": "4",
    "t": "5s",
    "n": "0",
    "calc-qps": "false",
    "p": "50,75,90,99,99.9",
    "r": "0.001",
    "offset": "0",
    "uniform": "false",
    "jitter": "false",
    "nocatchup": "false",
    "timeout": "3s",
    "keepalive": "true",
    "halfclose": "false",
    "connection-reuse": "",
    "resolve": "",
    "resolve-ip-type": "ip4",
    "no-reresolve": "false",
    "stdclient": "false",
    "h2": "false",
    "http1.0": "false",
    "L": "false",
    "compression": "false",
    "k": "false",
    "https-insecure": "false",
    "cert": "",
    "key": "",
    "cacert": "",
    "mtls": "false",
    "user": "",
    "H": "",
    "X": "",
    "content-type": "",
    "payload": "",
    "payload-file": "",
    "payload-size": "0",
    "unix-socket": "",
    "httpbufferkb": "128",
    "httpccch": "false",
    "allow-initial-errors": "false",
    "sequential-warmup": "false",
    "abort-on": "0",
    "log-errors": "true",
    "access-log-file": "",
    "access-log-format": "json",
    "json": "",
    "a": "false",
    "data-dir": ".",
    "labels": "",
    "runid": "0",
    "quiet": "false",
    "loglevel": "Info",
    "gomaxprocs": "0",
    "maxpayloadsizekb": "256",
    "profile": "",
}
A_VALUE = {Kind.INT: "7", Kind.FLOAT: "2.5", Kind.DURATION: "1m30s", Kind.TEXT: "word", Kind.LIST: "word"}
VALUED = sorted(name for name, flag in BY_NAME.items() if flag.kind is not Kind.BOOL)
SWITCHES = sorted(name for name, flag in BY_NAME.items() if flag.kind is Kind.BOOL)


@pytest.mark.parametrize("name", FORTIO)
def test_a_flag_of_fortio_has_fortios_default(name):
    assert parse(["http://host/"]).text(BY_NAME[name].name) == FORTIO[name]


@pytest.mark.parametrize("form", ["-{} {}", "--{} {}", "-{}={}", "--{}={}"])
@pytest.mark.parametrize("name", VALUED)
def test_a_value_is_read_in_every_way_of_writing_it(name, form):
    flag = BY_NAME[name]
    value = A_VALUE[flag.kind]

    values = parse([*form.format(name, value).split(" "), "http://host/"])

    assert values.given == {flag.name: [value]}
    assert values.words == ["http://host/"]


@pytest.mark.parametrize(("written", "on"), [("-{}", True), ("--{}", True), ("-{}=true", True), ("-{}=F", False)])
@pytest.mark.parametrize("name", SWITCHES)
def test_a_switch_is_read_in_every_way_of_writing_it(name, written, on):
    values = parse([written.format(name), "http://host/"])

    assert values.on(BY_NAME[name].name) is on
    assert values.words == ["http://host/"]


def test_flags_may_stand_behind_the_url():
    values = parse(["http://host/", "-c", "8"])

    assert (values.words, values.whole("c")) == (["http://host/"], 8)


def test_two_dashes_end_the_flags():
    assert parse(["-c", "8", "--", "-odd"]).words == ["-odd"]


def test_the_last_of_two_values_counts():
    assert parse(["-c", "8", "-c", "16"]).whole("c") == 16


def test_a_header_may_be_given_again():
    assert parse(["-H", "A: 1", "--header", "B: 2"]).all("H") == ("A: 1", "B: 2")


def test_a_value_may_begin_with_a_dash():
    assert parse(["-abort-on", "-1"]).whole("abort-on") == -1


def test_the_rate_may_be_max():
    assert parse(["-qps", "max"]).number("qps") == 0


@pytest.mark.parametrize("word", ["-h", "-help", "--help"])
def test_help_is_asked_for_as_in_go(word):
    assert parse([word]).help


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("-qsp", "-qps"),
        ("-conections", "--connections"),
        ("--Timeout", "-timeout"),
        ("-keep-alive", "-keepalive"),
        ("-connection_reuse", "-connection-reuse"),
        ("--thresold", "--threshold"),
        ("-alow-initial-errors", "-allow-initial-errors"),
        ("-c8", "-c 8"),
        ("-t60s", "-t 60s"),
        ("-percentiles", "-p"),
        ("--rate", "-qps"),
        ("--duration=60s", "-t"),
        ("-z", "-t"),
    ],
)
def test_an_unknown_flag_is_answered_with_the_one_that_was_meant(typed, meant):
    with pytest.raises(UsageError) as said:
        parse([typed, "1"])

    assert f"there is no flag {typed.partition('=')[0]}: did you mean {meant}?" in str(said.value)


def test_a_flag_that_resembles_nothing_is_only_refused():
    with pytest.raises(UsageError, match=r"there is no flag -xyzzy \(`rollcheck load --help` lists all\)"):
        parse(["-xyzzy"])


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_flag_of_another_mode_of_fortio_is_refused_with_what_there_is_instead(name):
    with pytest.raises(UsageError) as said:
        parse([f"-{name}=1"])

    assert str(said.value) == f"-{name} is not here: {ELSEWHERE[name]}"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-c"], "-c needs a value (N), for example -c 4"),
        (["-c", "eight"], "-c: 'eight' is no whole number"),
        (["-c", "8.5"], "-c: '8.5' is no whole number"),
        (["-qps", "fast"], "-qps: 'fast' is no number"),
        (["-qps", "nan"], "-qps: 'nan' is no number"),
        (["-qps", "inf"], "-qps: 'inf' is no number"),
        (["-t", "soon"], "-t: 'soon' is no duration"),
        (["-t", "-5s"], "-t: '-5s' is no duration"),
        (["--reconnect-every", "1x"], "--reconnect-every: '1x' is no duration"),
        (["-a=maybe"], "-a: 'maybe' is neither true nor false"),
    ],
)
def test_a_value_that_is_none_is_refused_with_the_name_of_the_flag(arguments, says):
    with pytest.raises(UsageError) as said:
        parse(arguments)

    assert says in str(said.value)


def test_what_means_nothing_here_is_accepted_and_said():
    values = parse(["-stdclient", "-httpbufferkb", "64", "-logger-json=false", "-c", "2"])

    assert [sentence.partition(":")[0] for sentence in mooted(values)] == [
        "-stdclient",
        "-httpbufferkb",
        "-logger-json",
    ]


def test_help_names_every_flag_and_every_spelling():
    said = help_text()

    for name in BY_NAME:
        if not name.startswith("logger-"):
            assert f"--{name}" in said if name in OURS else f"-{name}" in said


def test_every_flag_says_what_it_does():
    for flag in FLAGS:
        assert bool(flag.help) != bool(flag.moot), flag.name
        assert (flag.group == ACCEPTED) == bool(flag.moot), flag.name


def test_what_other_tools_call_it_leads_to_a_flag_that_is_there():
    for name in OTHER_TOOLS.values():
        assert name.partition("=")[0] in BY_NAME


def test_no_name_is_given_twice():
    spellings = [name for flag in FLAGS for name in (flag.name, *flag.also)]

    assert len(spellings) == len(set(spellings))
    assert not set(spellings) & set(ELSEWHERE)


def test_nothing_given_is_every_default():
    assert Values().text("c") == "4"
