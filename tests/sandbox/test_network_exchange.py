"""HTTP as the ingress passes it on: bytes in, bytes out."""

from __future__ import annotations

import pytest

from rollcheck.sandbox.network.exchange import AnswerReader, NotHttp, Request, RequestReader, own_answer, to_backend


def asked(*parts: bytes) -> Request:
    reader = RequestReader()
    for part in parts:
        reader.feed(part)
    return reader.request


def passed_on(*parts: bytes, request: Request | None = None, closed: bool = False):
    reader = AnswerReader(request or Request(method="GET", keep_alive=True))
    sent = b"".join(reader.feed(part) for part in parts)
    return sent + (reader.end() if closed else b""), reader


def test_a_request_in_pieces_is_whole_when_its_body_is():
    request = asked(b"POST /a?b=1 HT", b"TP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab", b"cd")

    assert (request.method, request.path, bytes(request.body), request.complete) == ("POST", "/a", b"abcd", True)


def test_the_next_request_of_a_connection_may_have_come_already():
    reader = RequestReader()
    reader.feed(b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\n")
    reader.feed(b"GET /2 HTTP/1.1\r\nHost: x\r\n\r\n")

    reader.next()

    assert (reader.request.path, reader.request.complete) == ("/2", True)


def test_what_is_no_http_is_said_so():
    with pytest.raises(NotHttp):
        asked(b"\x16\x03\x01hello\r\n\r\n")


def test_a_backend_gets_the_request_with_who_asked_and_without_the_connections_own_headers():
    request = asked(b"GET / HTTP/1.1\r\nHost: shop\r\nConnection: keep-alive\r\nX-Forwarded-For: 1.1.1.1\r\n\r\n")

    assert to_backend(request, "127.0.0.1") == (
        b"GET / HTTP/1.1\r\nHost: shop\r\nX-Real-IP: 127.0.0.1\r\nX-Forwarded-For: 1.1.1.1, 127.0.0.1\r\n"
        b"X-Forwarded-Proto: http\r\nConnection: close\r\n\r\n"
    )


def test_a_chunked_body_reaches_the_backend_with_its_length():
    request = asked(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")

    sent = to_backend(request, "::1")

    assert b"Content-Length: 3\r\n" in sent
    assert sent.endswith(b"\r\n\r\nabc")


def test_an_answer_with_a_length_is_passed_on_as_it_is():
    sent, reader = passed_on(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Pod: a\r\n\r\n", b"hi")

    assert sent == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Pod: a\r\nConnection: keep-alive\r\n\r\nhi"
    assert reader.keeps_alive


def test_an_answer_until_the_close_gets_chunks_and_an_end():
    sent, reader = passed_on(b"HTTP/1.1 200 OK\r\n\r\nhello", closed=True)

    assert sent.endswith(b"Transfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    assert reader.complete


def test_an_answer_that_is_cut_before_its_length_is_never_complete():
    _, reader = passed_on(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", closed=True)

    assert reader.begun
    assert not reader.complete


def test_a_chunked_answer_that_is_cut_is_never_complete():
    sent, reader = passed_on(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", closed=True)

    assert sent.endswith(b"3\r\nabc\r\n")
    assert not reader.complete


def test_an_answer_to_head_has_no_body():
    sent, reader = passed_on(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", request=Request(method="HEAD"))

    assert sent.endswith(b"Content-Length: 99\r\nConnection: keep-alive\r\n\r\n")
    assert reader.complete


def test_a_100_continue_of_the_backend_is_not_the_answer():
    sent, _ = passed_on(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")

    assert sent.startswith(b"HTTP/1.1 201 Created\r\n")


def test_an_answer_that_is_no_http_is_said_so():
    with pytest.raises(NotHttp):
        passed_on(b"SSH-2.0-x\r\n")


@pytest.mark.parametrize(
    ("status", "words"), [(502, b"502 Bad Gateway"), (503, b"503 Service Temporarily"), (504, b"504 Gateway Time-out")]
)
def test_the_controllers_own_pages_say_what_nginx_says(status, words):
    page = own_answer(status, like="nginx", keep_alive=True)

    assert page.startswith(b"HTTP/1.1 " + words)
    assert b"<title>" + words in page
