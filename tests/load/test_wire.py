import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollcheck.load import wire
from rollcheck.load.plan import parse_target
from rollcheck.load.wire import MAX_HEAD, ResponseReader, WireError, build_request, make_reader

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Pod: web-1\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nX-Pod: spoof\r\n\r\n"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\nhello"
ANSWERS = {
    "length": LENGTH,
    "empty": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "chunked": CHUNKED,
    "until close": UNTIL_CLOSE,
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "not modified": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    "close": b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbusy",
    "1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "1.0 keep-alive": b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
    "100": b"HTTP/1.1 100 Continue\r\n\r\n" + LENGTH,
    "103 twice": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 2 + CHUNKED,
    "no reason": b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n",
}
REFUSED = {
    "length and chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
    "length in words": b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello",
    "bad chunk size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n\r\n",
    "rtsp": b"RTSP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "http 2": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "letters for a status": b"HTTP/1.1 abc OK\r\n\r\n",
    "101": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "101 without upgrade": b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + LENGTH,
    "100 without an end": b"HTTP/1.1 100 Continue\r\n\r\n" * 40,
    "header with a null": b"HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 0\r\n\r\n",
    "long head": b"HTTP/1.1 200 OK\r\nX: " + b"a" * MAX_HEAD + b"\r\nContent-Length: 0\r\n\r\n",
    "many heads": b"HTTP/1.1 200 OK\r\n" + b"X: aaaaaaaa\r\n" * 6000,
}


def reader(**options) -> ResponseReader:
    return make_reader(options.pop("method", "GET"), options.pop("pod_header", ""), keep_body=100, **options)


def read(data: bytes, pieces: list[bytes] | None = None, **options) -> tuple:
    """Everything a reader makes of an answer that ends with EOF, delivered whole or in pieces."""
    r = reader(**options)
    try:
        for piece in pieces or [data]:
            if piece:
                r.receive(piece)
        whole = r.done or r.receive_eof()
    except WireError:
        return ("refused",)
    return (whole, r.status, r.body, r.keep_alive, r.pod, r.surplus, r.received)


def ask_h11(data: bytes, method: str = "GET") -> tuple:
    """What the strict oracle makes of it: whole, status, body, and whether the connection may be used again."""
    c = h11.Connection(h11.CLIENT)
    c.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
    c.send(h11.EndOfMessage())
    status, body = 0, b""
    c.receive_data(data)
    try:
        while True:
            event = c.next_event()
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return (True, status, body, c.their_state is h11.DONE and c.our_state is h11.DONE)
            elif isinstance(event, h11.InformationalResponse):
                continue
            elif event is h11.NEED_DATA and not c.trailing_data[1]:
                c.receive_data(b"")
            else:
                return (False, status, body, False)
    except h11.RemoteProtocolError:
        return ("refused",) if not status else (False, status, body, False)


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_cut_at_every_byte_is_the_same_as_whole(name):
    data = ANSWERS[name]
    whole = read(data)

    assert whole[0] is True
    for at in range(1, len(data)):
        assert read(data, [data[:at], data[at:]]) == whole
    assert read(data, [data[i : i + 1] for i in range(len(data))]) == whole


@pytest.mark.parametrize("name", REFUSED)
def test_an_answer_that_is_refused_is_refused_however_it_is_cut(name):
    data = REFUSED[name]

    assert read(data) == ("refused",)
    for at in range(1, len(data), max(1, len(data) // 100)):
        assert read(data, [data[:at], data[at:]]) == ("refused",)


@pytest.mark.parametrize("name", ANSWERS)
def test_framing_agrees_with_h11(name):
    ours, theirs = read(ANSWERS[name]), ask_h11(ANSWERS[name])

    assert ours[:3] == theirs[:3]
    if name == "until close":  # h11 tells of the end by an event of its own
        assert ours[3] is False
    elif name != "1.0 keep-alive":  # h11 never reuses a connection of HTTP/1.0
        assert ours[3] == theirs[3]


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_that_ends_early_is_whole_exactly_where_h11_says_so(name):
    data = ANSWERS[name]
    for at in range(1, len(data)):
        ours, theirs = read(data[:at]), ask_h11(data[:at])
        assert (ours[0] is True) == (theirs[0] is True), data[:at]


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
@settings(max_examples=200)
def test_any_answer_cut_anywhere_is_the_same_as_whole(data, draw):
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=5)))
    pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]

    assert read(data, pieces, pod_header="X-Pod") == read(data, pod_header="X-Pod")


@given(MADE)
@settings(max_examples=200)
def test_an_answer_that_both_take_has_the_same_status_and_body(data):
    ours, theirs = read(data), ask_h11(data)
    if len(ours) > 1 and len(theirs) > 1 and ours[0] and theirs[0]:
        assert ours[1:3] == theirs[1:3]


@given(st.binary(min_size=1, max_size=200))
def test_rubbish_is_refused_or_incomplete_and_never_raises_anything_else(data):
    assert read(data)[0] in {"refused", False}


@pytest.mark.parametrize("length", [b"", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_an_answer_to_head_ends_with_its_head(length):
    data = b"HTTP/1.1 200 OK\r\n" + length + b"\r\n"
    r = reader(method="HEAD")

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
    r = reader(method="HEAD")

    assert r.receive(head)
    assert r.keep_alive is open_


def test_a_reader_reads_one_answer_after_another():
    r = reader()
    for data in (LENGTH, CHUNKED, LENGTH, ANSWERS["no content"], CHUNKED):
        r.next()
        assert r.receive(data)
        assert not r.surplus


def test_a_reader_that_was_left_in_the_middle_starts_anew():
    r = reader()
    r.receive(LENGTH[:-2])
    r.start()

    assert r.receive(CHUNKED)
    assert r.body == b"hello"


@pytest.mark.parametrize("extra", [b"HTTP/1.1 408 Request Timeout\r\n\r\n", b"rubbish", b"H"])
def test_bytes_after_an_answer_leave_it_good_and_its_connection_not(extra):
    whole, status, body, _, _, surplus, _ = read(LENGTH + extra)

    assert (whole, status, body, surplus) == (True, 200, b"hello", True)
    assert read(b"", [LENGTH, extra])[:3] == (True, 200, b"hello")


def test_the_pod_is_named_by_the_head_and_not_by_a_trailer():
    assert read(LENGTH, pod_header="x-pod")[4] == "web-1"
    assert read(CHUNKED, pod_header="x-pod")[4] == ""


def test_a_header_of_an_interim_answer_is_not_the_answers():
    data = b"HTTP/1.1 103 Early Hints\r\nX-Pod: web-2\r\n\r\n" + LENGTH
    r = make_reader("GET", headers=True)

    assert r.receive(data)
    assert r.headers == [("Content-Length", "5"), ("X-Pod", "web-1")]


def test_a_head_of_exactly_the_bound_is_taken():
    start, end = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX: ", b"\r\n\r\n"
    head = start + b"a" * (MAX_HEAD - len(start) - len(end)) + end
    data = head + b"ok"

    assert read(data)[:3] == (True, 200, b"ok")
    assert read(data, [data[:100], data[100:]]) == read(data)
    assert read(data, [head, b"ok"]) == read(data)


def test_a_body_beyond_the_bound_is_refused(monkeypatch):
    monkeypatch.setattr(wire, "MAX_BODY", 4)

    assert read(LENGTH) == ("refused",)
    assert read(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhell")[0] is True


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


def test_the_callers_header_replaces_ours_of_the_same_name():
    data = build(headers=[("host", "other"), ("USER-AGENT", "me")])

    assert data == b"GET /a?b HTTP/1.1\r\nAccept: */*\r\nhost: other\r\nUSER-AGENT: me\r\n\r\n"


def test_a_fresh_request_says_close_and_nothing_else():
    assert build(headers=[("Connection", "keep-alive")], close=True).lower().count(b"connection:") == 1


def test_a_post_without_a_body_has_a_length():
    assert b"Content-Length: 0\r\n" in build(method="POST")
    assert b"Content-Length" not in build(method="GET")
