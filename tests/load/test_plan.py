import pytest

from rollcheck.errors import UsageError
from rollcheck.facts.attempts import Outcome
from rollcheck.facts.document import LanePlan
from rollcheck.load.plan import Expectation, LoadPlan, parse_expectation, parse_header, parse_target


@pytest.mark.parametrize(
    ("url", "host", "port", "path", "sent"),
    [
        ("http://shop", "shop", 80, "/", "shop"),
        ("http://Shop.Example.com/a?b=c#frag", "shop.example.com", 80, "/a?b=c", "shop.example.com"),
        ("https://shop/", "shop", 443, "/", "shop"),
        ("http://10.0.0.1:30080/x", "10.0.0.1", 30080, "/x", "10.0.0.1:30080"),
        ("http://[::1]:8080/", "::1", 8080, "/", "[::1]:8080"),
        ("https://[fd00::1]", "fd00::1", 443, "/", "[fd00::1]"),
        ("http://bücher.example/ü", "xn--bcher-kva.example", 80, "/%C3%BC", "xn--bcher-kva.example"),
        ("http://h?q=1", "h", 80, "/?q=1", "h"),
        ("http://h/%20a", "h", 80, "/%20a", "h"),
    ],
)
def test_a_url_becomes_where_to_connect_and_what_to_ask(url, host, port, path, sent):
    target = parse_target(url)

    assert (target.host, target.port, target.path, target.host_header) == (host, port, path, sent)
    assert (target.server_name, target.connect_host) == (host, host)


@pytest.mark.parametrize("url", ["http://shop/", "https://shop:8443/a?b", "http://[::1]:81/"])
def test_a_normal_url_stays_itself(url):
    assert parse_target(url).url == url


def test_an_ingress_host_is_sent_while_its_address_is_connected_to():
    target = parse_target("https://shop.example/", connect_host="10.1.2.3", host_header="www.shop.example:8443")

    assert target.connect_host == "10.1.2.3"
    assert target.host_header == "www.shop.example:8443"
    assert target.server_name == "www.shop.example"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "must begin with http"),
        ("shop.example", "must begin with http"),
        ("ftp://shop/", "must begin with http"),
        ("http://", "names no host"),
        ("http:///path", "names no host"),
        ("http://user:secret@shop/", "--header"),
        ("http://shop:99999/", "not a URL"),
        ("http://shop:x/", "not a URL"),
        ("http://shop:0/", "port 0"),
        ("http://[::1/", "not a URL"),
        ("http://a b/", "space or a control"),
        ("http://shop/\r\nX: y", "space or a control"),
        ("http://a..b/", "names no host"),
        ("http://-a/", "names no host"),
        ("http://1.2.3.4.5/", "no IP address"),
        ("http://300.1.1.1/", "no IP address"),
        ("http://" + "a" * 64 + "/", "names no host"),
    ],
)
def test_nonsense_for_a_url_is_refused_by_name(url, said):
    with pytest.raises(UsageError, match=said):
        parse_target(url)


def test_a_password_is_not_repeated_in_the_error():
    with pytest.raises(UsageError) as caught:
        parse_target("http://user:secret@shop/")

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "header"), [("A: b", ("A", "b")), ("X-Y:z:1", ("X-Y", "z:1")), ("Empty:", ("Empty", ""))]
)
def test_a_header_is_a_name_and_a_value(text, header):
    assert parse_header(text) == header


@pytest.mark.parametrize("text", ["", "novalue", ": x", "a b: c", "A: b\r\nC: d", "Content-Length: 3"])
def test_a_header_that_would_break_the_request_is_refused(text):
    with pytest.raises(UsageError, match="header"):
        parse_header(text)


@pytest.mark.parametrize(
    ("status", "good", "bad"),
    [
        ("", [200, 204, 299], [199, 300, 404, 502]),
        ("200", [200], [201]),
        ("200,204", [200, 204], [201]),
        ("2xx", [200, 299], [300]),
        ("200-399", [200, 301, 399], [400]),
        ("4XX, 200", [404, 200], [500]),
    ],
)
def test_an_expected_status_is_a_set_of_ranges(status, good, bad):
    expectation = parse_expectation(status)

    assert all(expectation.judge(s, b"") is Outcome.OK for s in good)
    assert all(expectation.judge(s, b"") is Outcome.BAD_STATUS for s in bad)


@pytest.mark.parametrize("status", ["20", "abc", "300-200", "2x", "0xx", "200,", "99999"])
def test_a_status_that_is_none_is_refused(status):
    with pytest.raises(UsageError, match="not an HTTP status"):
        parse_expectation(status)


def test_a_body_is_a_substring_unless_it_stands_between_slashes():
    assert parse_expectation(body="a.c").judge(200, b"xabcx") is Outcome.WRONG_BODY
    assert parse_expectation(body="/a.c/").judge(200, b"xabcx") is Outcome.OK


def test_a_bad_status_beats_a_wrong_body():
    assert parse_expectation("200", "ok").judge(503, b"no") is Outcome.BAD_STATUS


def test_a_regular_expression_that_is_none_is_refused():
    with pytest.raises(UsageError, match="not a regular expression"):
        parse_expectation(body="/(/")


def test_an_expectation_says_what_it_expects():
    assert parse_expectation("200,3xx", "ok").describe() == "status 200,300-399, body contains 'ok'"
    assert Expectation().describe() == "status 200-299"


@pytest.mark.parametrize(
    "wrong",
    [
        {"timeout_s": 0},
        {"interval_s": 0},
        {"method": "GE T"},
        {"lanes": (LanePlan(lane="reused", share=1, connections=0),)},
        {"lanes": (LanePlan(lane="fresh", share=1, connections=1),) * 2},
        {"lanes": (LanePlan(lane="probe", share=1, connections=1),)},
    ],
)
def test_a_plan_that_no_load_can_have_is_refused(wrong):
    with pytest.raises(UsageError):
        LoadPlan(target=parse_target("http://shop/"), **wrong)
