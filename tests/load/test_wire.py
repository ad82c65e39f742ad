"""What the bytes of an answer mean, however they come; h11 is the oracle. No sockets here."""

from collections.abc import Iterable

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wirecases import CASES, CUT, REFUSED, Whole

from rollcheck.load import wire
from rollcheck.load.plan import parse_target
from rollcheck.load.wire import MAX_HEAD, MAX_INTERIM, ResponseReader, WireError, build_request, make_reader

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Pod: web-1\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nX-Pod: spoof\r\n\r\n"
CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
SMALL = {name: case for name, case in CASES.items() if len(case.data) < 600}


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


def read(pieces: list[bytes], method: str = "GET", **options) -> Whole | str:
    """What a reader makes of an answer in pieces, after which the peer closes."""
    r = make_reader(method, keep_body=100, **options)
    try:
        for piece in pieces:
            if piece:
                r.receive(piece)
        if not (r.done or (r.received and r.receive_eof())):
            return CUT
    except WireError:
        return REFUSED
    assert r.received == sum(map(len, pieces))
    return Whole(r.status, r.body, r.keep_alive, r.surplus)


def ask_h11(data: bytes, method: str = "GET") -> Whole | str:
    """What the oracle makes of it."""
    c = h11.Connection(h11.CLIENT)
    c.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
    c.send(h11.EndOfMessage())
    status, body, closed = 0, b"", False
    if data:
        c.receive_data(data)
    try:
        while True:
            event = c.next_event()
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                keep = c.their_state is h11.DONE and not closed
                return Whole(status, body, keep, bool(c.trailing_data[0]))
            elif isinstance(event, h11.ConnectionClosed):
                return CUT
            elif event is h11.NEED_DATA and not closed:
                closed = True
                c.receive_data(b"")
            elif not isinstance(event, h11.InformationalResponse):
                return REFUSED  # PAUSED: a 101
    except h11.RemoteProtocolError:
        return CUT if closed else REFUSED


@pytest.mark.parametrize("name", CASES)
def test_an_answer_is_what_it_should_be_and_what_h11_says_unless_we_say_why(name):
    case = CASES[name]

    assert read([case.data], case.method) == case.expect
    assert (ask_h11(case.data, case.method) == case.expect) == (not case.why)


@pytest.mark.parametrize("name", CASES)
def test_an_answer_is_the_same_in_any_two_pieces_and_byte_by_byte(name):
    case = CASES[name]
    data = case.data
    for headers in (False, True):
        for at in range(1, len(data), max(1, len(data) // 500)):
            assert read([data[:at], data[at:]], case.method, headers=headers) == case.expect, data[:at]
        if name in SMALL:
            assert read(cut(data, 1), case.method, headers=headers) == case.expect


@pytest.mark.parametrize("name", SMALL)
def test_an_answer_that_ends_early_is_what_h11_says_of_as_much(name):
    case = SMALL[name]
    for at in range(len(case.data)):
        part = case.data[:at]
        ours, theirs = read([part], case.method), ask_h11(part, case.method)
        # An answer that h11 would take, or refuse, as a whole it may judge otherwise at any earlier byte too.
        if not case.why:
            assert {ours, theirs} <= {REFUSED, CUT} or ours == theirs, part
        if ours == REFUSED:
            assert case.expect == REFUSED, part


@pytest.mark.parametrize("name", [name for name, case in SMALL.items() if case.expect == REFUSED])
def test_what_was_refused_is_never_taken_back(name):
    """Once a prefix is refused, so is all that begins with it."""
    case = SMALL[name]
    refused = [read([case.data[:at]], case.method) == REFUSED for at in range(len(case.data) + 1)]

    assert refused == sorted(refused)


@given(st.sampled_from(sorted(SMALL)), st.data())
@settings(max_examples=120)
def test_an_answer_cut_anywhere_is_the_same_as_whole(name, draw):
    case = SMALL[name]
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(case.data)), max_size=9)))
    pieces = [case.data[a:b] for a, b in zip([0, *cuts], [*cuts, len(case.data)], strict=True)]

    assert read(pieces, case.method, headers=draw.draw(st.booleans())) == case.expect


HEADERS = st.sampled_from(
    [
        b"Content-Length: 3\r\n",
        b"Content-Length: 0\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"Connection: keep-alive\r\n",
        b"X-Pod: a\r\n",
        b"Date: today\r\n",
    ]
)
BODIES = st.sampled_from([b"", b"abc", b"3\r\nabc\r\n0\r\n\r\n", b"0\r\n\r\n"])
MADE = st.builds(
    lambda version, status, headers, body: b"HTTP/1.%d %d X\r\n%s\r\n%s" % (version, status, b"".join(headers), body),
    st.sampled_from([0, 1]),
    st.sampled_from([100, 200, 204, 301, 304, 404, 502]),
    st.lists(HEADERS, max_size=3, unique=True),
    BODIES,
)


@given(MADE, st.data())
@settings(max_examples=100)
def test_any_answer_cut_anywhere_is_the_same_as_whole(data, draw):
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=5)))
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]

    assert read(pieces, headers=True) == read([data])


@given(MADE)
@settings(max_examples=100)
def test_an_answer_that_both_take_has_the_same_status_and_body(data):
    ours, theirs = read([data]), ask_h11(data)
    if isinstance(ours, Whole) and isinstance(theirs, Whole):
        assert (ours.status, ours.body) == (theirs.status, theirs.body)


@given(st.binary(min_size=1, max_size=200))
def test_rubbish_is_refused_or_incomplete_and_never_raises_anything_else(data):
    assert read([data]) in {REFUSED, CUT}


@pytest.mark.parametrize("length", [b"", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_an_answer_to_head_ends_with_its_head(length):
    data = b"HTTP/1.1 200 OK\r\n" + length + b"\r\n"
    r = make_reader("HEAD")

    assert r.receive(data)
    assert (r.status, r.keep_alive) == (200, True)
    r.next()
    assert r.receive(data)
    assert not r.surplus


@pytest.mark.parametrize(
    ("head", "open_"),
    [
        (b"HTTP/1.1 200 OK\r\nConnection: Close\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n\r\n", True),
    ],
)
def test_an_answer_to_head_says_whether_the_connection_stays(head, open_):
    r = make_reader("HEAD")

    assert r.receive(head)
    assert r.keep_alive is open_


def test_a_reader_reads_one_answer_after_another():
    r = make_reader("GET", keep_body=100)
    for data in (LENGTH, CHUNKED, LENGTH, NO_CONTENT, CHUNKED):
        r.next()
        assert r.receive(data)
        assert not r.surplus


def test_a_reader_that_was_left_in_the_middle_starts_anew():
    r = make_reader("GET", keep_body=100)
    r.receive(LENGTH[:-2])
    r.start()

    assert r.receive(CHUNKED)
    assert r.body == b"hello"


@pytest.mark.parametrize("extra", [b"HTTP/1.1 408 Request Timeout\r\n\r\n", b"rubbish", b"H"])
def test_bytes_after_an_answer_leave_it_good_and_its_connection_not(extra):
    assert read([LENGTH + extra]) == read([LENGTH, extra]) == Whole(200, b"hello", True, True)


def test_the_pod_is_named_by_the_head_and_not_by_a_trailer():
    r = make_reader("GET", "x-pod")
    r.receive(LENGTH)
    assert r.pod == "web-1"
    r.next()
    r.receive(CHUNKED)
    assert r.pod == ""


def test_a_header_of_an_interim_answer_is_not_the_answers():
    data = b"HTTP/1.1 103 Early Hints\r\nX-Pod: web-2\r\n\r\n" + LENGTH
    r = make_reader("GET", headers=True)

    assert r.receive(data)
    assert r.headers == [("Content-Length", "5"), ("X-Pod", "web-1")]


ENDLESS = {
    "header": (b"HTTP/1.1 200 OK\r\nX: ", b"a"),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X: aaaaaaaa\r\n"),
    "name of a header": (b"HTTP/1.1 200 OK\r\n", b"a"),
    "reason": (b"HTTP/1.1 200 ", b"OK"),
    "1xx": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "1xx with a header": (b"", b"HTTP/1.1 103 Early Hints\r\nX: " + b"a" * 9000 + b"\r\n\r\n"),
    "line ends": (b"", b"\r\n"),
    "digits of a length": (b"HTTP/1.1 200 OK\r\nContent-Length: ", b"0"),
}


def gigabyte(start: bytes, again: bytes):
    """A gigabyte, as a socket gives it."""
    if start:
        yield start
    piece = again * (65_536 // len(again) + 1)
    for _ in range((1 << 30) // len(piece)):
        yield piece


def feed(r: ResponseReader, pieces: Iterable[bytes]) -> None:
    for piece in pieces:
        r.receive(piece)


@pytest.mark.parametrize("name", ENDLESS)
def test_a_head_of_a_gigabyte_is_refused_as_soon_as_it_is_too_long(name):
    r = make_reader("GET", headers=True)
    with pytest.raises(WireError):
        feed(r, gigabyte(*ENDLESS[name]))

    assert r.received < 3 * MAX_HEAD


@pytest.mark.parametrize("name", ENDLESS)
def test_an_endless_head_is_refused_at_the_same_byte_however_it_comes(name):
    start, again = ENDLESS[name]
    most = (MAX_INTERIM + 1) * len(again) - 1 if name == "1xx" else MAX_HEAD
    data = start + again * (MAX_HEAD // len(again) + 1)

    for size in (1000, 4096, 30_000, MAX_HEAD):
        assert read(cut(data[:most], size)) == CUT
        assert read(cut(data[: most + 1], size)) == REFUSED


def test_as_many_1xx_as_the_bound_allows_are_passed_over():
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"

    assert read([interim * MAX_INTERIM + LENGTH]) == read([LENGTH])
    assert read([interim * (MAX_INTERIM + 1) + LENGTH]) == REFUSED


BODIES_WITHOUT_END = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n",
    "chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\n",
    "until close": b"HTTP/1.1 200 OK\r\n\r\n",
}


@pytest.mark.parametrize("name", BODIES_WITHOUT_END)
def test_a_body_without_end_is_refused_at_its_bound_and_takes_no_memory(name, monkeypatch):
    monkeypatch.setattr(wire, "MAX_BODY", 1 << 20)
    r = make_reader("GET", keep_body=100)
    with pytest.raises(WireError, match="body"):
        feed(r, gigabyte(BODIES_WITHOUT_END[name], b"a"))

    assert r.received < (1 << 20) + 3 * 65_536
    assert len(r.body) == 100


def test_chunks_of_one_byte_without_end_are_refused(monkeypatch):
    monkeypatch.setattr(wire, "MAX_BODY", 1 << 14)
    r = make_reader("GET")
    with pytest.raises(WireError, match="body"):
        feed(r, gigabyte(CHUNKED_HEAD, b"1\r\na\r\n"))


def test_a_body_of_exactly_the_bound_is_taken(monkeypatch):
    monkeypatch.setattr(wire, "MAX_BODY", 4)

    assert read([LENGTH]) == REFUSED
    assert read([b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhell"]) == Whole(200, b"hell", True, False)


NO_BODY = {
    "extension": (CHUNKED_HEAD + b"2;x=", b"y", b"\r\nok\r\n0\r\n\r\n"),
    "digits": (CHUNKED_HEAD, b"0", b"2\r\nok\r\n0\r\n\r\n"),
    "trailers": (CHUNKED_HEAD + b"2\r\nok\r\n0\r\n", b"X: aaaa\r\n", b"\r\n"),
    "one trailer": (CHUNKED_HEAD + b"2\r\nok\r\n0\r\nX: ", b"a", b"\r\n\r\n"),
}


@pytest.mark.parametrize("name", NO_BODY)
@pytest.mark.parametrize("headers", [False, True], ids=["plain", "headers"])
def test_what_surrounds_a_body_has_a_bound_exact_to_the_byte(name, headers, monkeypatch):
    start, again, end = NO_BODY[name]
    data = start + again * (200 // len(again)) + end
    monkeypatch.setattr(wire, "MAX_HEAD", len(CHUNKED_HEAD))
    # All but the two bytes of body, exactly.
    monkeypatch.setattr(wire, "MAX_FRAMING", len(data) - 2)
    for at in range(1, len(data)):
        assert read([data[:at], data[at:]], headers=headers) == Whole(200, b"ok", True, False)
    monkeypatch.setattr(wire, "MAX_FRAMING", len(data) - 4)
    assert read([data], headers=headers) == REFUSED
    for at in range(1, len(data)):
        assert read([data[:at], data[at:]], headers=headers) == REFUSED
    assert read(cut(data, 1), headers=headers) == REFUSED


def test_an_answer_whose_last_byte_oversteps_the_bound_is_whole(monkeypatch):
    start, again, end = NO_BODY["trailers"]
    data = start + again * 9 + end
    monkeypatch.setattr(wire, "MAX_HEAD", len(CHUNKED_HEAD))
    monkeypatch.setattr(wire, "MAX_FRAMING", len(data) - 3)

    assert read([data]) == read(cut(data, 1)) == Whole(200, b"ok", True, False)
    assert read([data + b"rest"]) == Whole(200, b"ok", True, True)


def test_a_long_answer_in_many_chunks_is_well_below_that_bound():
    body = b"".join(b"14\r\n" + b"a" * 20 + b"\r\n" for _ in range(50_000))
    data = CHUNKED_HEAD + body + b"0\r\n\r\n"

    assert isinstance(read(cut(data, 65_536)), Whole)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if isinstance(case.expect, Whole)])
def test_the_bytes_of_the_head_are_counted_up_to_the_body(name):
    case = CASES[name]
    r = make_reader(case.method, headers=True)
    assert r.head_bytes == 0
    r.receive(case.data)

    head = case.data[: r.head_bytes]
    assert head.endswith(b"\r\n\r\n")
    again = make_reader("HEAD")
    assert again.receive(head)
    assert not again.surplus
    assert not make_reader("HEAD").receive(head[:-1])


def test_only_the_first_bytes_of_a_body_are_kept():
    r = make_reader("GET", keep_body=3)
    r.receive(LENGTH)

    assert r.body == b"hel"


def build(**options) -> bytes:
    given = {"method": "GET", "headers": (), "body": b"", "close": False} | options
    method, headers, body = given.pop("method"), given.pop("headers"), given.pop("body")
    return build_request(parse_target("http://shop:81/a?b"), method, headers, body, agent="us", **given)


def test_a_request_is_what_h11_would_parse():
    server = h11.Connection(h11.SERVER)
    server.receive_data(build(method="POST", body=b"abc", headers=[("X-A", "b")], close=True))
    request, data, end = server.next_event(), server.next_event(), server.next_event()

    assert (request.method, request.target) == (b"POST", b"/a?b")
    assert dict(request.headers) == {
        b"host": b"shop:81",
        b"user-agent": b"us",
        b"accept": b"*/*",
        b"x-a": b"b",
        b"content-length": b"3",
        b"connection": b"close",
    }
    assert bytes(data.data) == b"abc"
    assert isinstance(end, h11.EndOfMessage)


def test_another_path_may_be_asked_for():
    assert build(path="/slow").startswith(b"GET /slow HTTP/1.1\r\n")


@pytest.mark.parametrize(("close", "said"), [(False, b"keep-alive"), (True, b"close")])
def test_http_1_0_says_whether_the_connection_is_to_stay(close, said):
    data = build(http10=True, close=close)

    assert data.startswith(b"GET /a?b HTTP/1.0\r\n")
    assert data.count(b"Connection: ") == 1
    assert b"Connection: " + said + b"\r\n" in data


def test_the_callers_header_replaces_ours_of_the_same_name():
    data = build(headers=[("host", "other"), ("USER-AGENT", "me")])

    assert data == b"GET /a?b HTTP/1.1\r\nAccept: */*\r\nhost: other\r\nUSER-AGENT: me\r\n\r\n"


def test_a_fresh_request_says_close_and_nothing_else():
    assert build(headers=[("Connection", "keep-alive")], close=True).lower().count(b"connection:") == 1


def test_a_post_without_a_body_has_a_length():
    assert b"Content-Length: 0\r\n" in build(method="POST")
    assert b"Content-Length" not in build(method="GET")
