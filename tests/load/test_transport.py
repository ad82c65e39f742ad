"""Addresses, TLS contexts and sockets of every family."""

import errno
import socket
import ssl
import struct
import threading

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from rollcheck.errors import UsageError
from rollcheck.load import transport
from rollcheck.load.transport import (
    begin_connect,
    format_address,
    literal_address,
    lookup,
    make_tls_context,
    open_socket,
    unix_address,
    was_reset,
)

V4 = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 80))
V6 = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fd00::1", 80, 0, 0))


class Names:
    """The system's resolver, which has these addresses."""

    def __init__(self, monkeypatch, *items) -> None:
        self.items = items
        self.asked = []
        monkeypatch.setattr(socket, "getaddrinfo", self._answer)

    def _answer(self, host, port, family=0, **_):
        self.asked.append(family)
        found = [item for item in self.items if family in (0, item[0])]
        if not found:
            raise socket.gaierror(socket.EAI_NODATA, "No address associated with hostname")
        return found


@pytest.mark.parametrize(
    ("family", "asked", "found"),
    [
        ("ip4", socket.AF_INET, [V4[4]]),
        ("ip6", socket.AF_INET6, [V6[4]]),
        ("any", socket.AF_UNSPEC, [V6[4], V4[4]]),
    ],
)
def test_a_family_is_asked_of_the_resolver(monkeypatch, family, asked, found):
    names = Names(monkeypatch, V6, V4, V4)

    assert [address for _, address in lookup("shop.test", 80, family)] == found
    assert names.asked == [asked]


def test_a_name_with_ipv6_alone_is_reached_by_default(monkeypatch):
    Names(monkeypatch, V6)

    assert lookup("shop.test", 80) == ((V6[0], V6[4]),)


def test_a_name_without_ipv6_is_not_resolved_where_ipv6_is_asked_for(monkeypatch):
    Names(monkeypatch, V4)
    with pytest.raises(socket.gaierror):
        lookup("shop.test", 80, "ip6")


def test_a_resolver_out_of_order_is_not_asked_for_ipv6_instead(monkeypatch):
    asked = []

    def fail(host, port, **options):
        asked.append(options)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(socket.gaierror):
        lookup("shop.test", 80)
    assert len(asked) == 1


def test_a_zone_of_an_ipv6_address_is_its_interface():
    address = literal_address("fe80::1%lo", 80)

    assert address == (socket.AF_INET6, ("fe80::1", 80, 0, socket.if_nametoindex("lo")))
    with pytest.raises(UsageError, match="nowhere0"):
        literal_address("fe80::1%nowhere0", 80)


def test_a_unix_socket_is_connected_to_and_named_by_its_path(tmp_path):
    path = str(tmp_path / "shop.sock")
    with socket.socket(socket.AF_UNIX) as listener, open_socket(unix_address(path)) as sock:
        listener.bind(path)
        listener.listen()
        assert begin_connect(sock, unix_address(path)) == 0
        assert format_address(sock.getpeername()) == path
        assert format_address(sock.getsockname()) == ""
        assert not was_reset(sock)


def test_an_abstract_unix_socket_is_written_with_an_at_sign():
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0rollcheck-test-abstract")
        listener.listen()
        with open_socket(unix_address("@rollcheck-test-abstract")) as sock:
            assert begin_connect(sock, unix_address("@rollcheck-test-abstract")) == 0
            assert format_address(sock.getpeername()) == "@rollcheck-test-abstract"


def test_a_unix_socket_whose_queue_is_full_refuses(tmp_path):
    address = unix_address(str(tmp_path / "full.sock"))
    with socket.socket(socket.AF_UNIX) as listener, open_socket(address) as one, open_socket(address) as two:
        listener.bind(address[1])
        listener.listen(0)
        assert begin_connect(one, address) == 0
        assert begin_connect(two, address) == errno.ECONNREFUSED


@pytest.mark.parametrize("path", ["", "/" + "x" * 107, "/a\0b"], ids=["empty", "long", "null"])
def test_a_path_that_no_unix_socket_can_have_is_refused(path):
    with pytest.raises(UsageError, match="Unix socket"):
        unix_address(path)


def test_an_ipv6_address_has_brackets():
    assert format_address(("::1", 80, 0, 0)) == "[::1]:80"
    assert format_address(("127.0.0.1", 80)) == "127.0.0.1:80"


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def pem(authority, tmp_path):
    """Paths of a client's certificate and key, and of its authority's."""
    issued = authority.issue_cert("client.example")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    return tmp_path


def made(**options) -> ssl.SSLContext:
    return make_tls_context(**{"verify": True, "ca_file": ""} | {name: str(value) for name, value in options.items()})


def test_certificate_and_key_come_from_two_files_or_one(pem):
    made(cert_file=pem / "cert.pem", key_file=pem / "key.pem")
    made(cert_file=pem / "both.pem")


def test_only_the_given_authority_is_trusted(pem):
    assert len(made(ca_file=pem / "ca.pem").get_ca_certs()) == 1


def test_without_verification_no_authority_is_read(monkeypatch):
    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", lambda *_: pytest.fail("read"))
    context = make_tls_context(verify=False, ca_file="")

    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)


@pytest.mark.parametrize("verify", [True, False])
def test_a_file_of_authorities_that_holds_none_is_refused_by_name(tmp_path, verify):
    (tmp_path / "nothing.pem").write_text("nothing")
    for name in ("nothing.pem", "missing.pem"):
        with pytest.raises(UsageError, match=name):
            make_tls_context(verify=verify, ca_file=str(tmp_path / name))


@pytest.mark.parametrize(
    ("cert", "key", "said"),
    [
        ("missing.pem", "key.pem", r"cannot read .*missing\.pem: No such file"),
        ("cert.pem", "missing.pem", r"cannot read .*missing\.pem: No such file"),
        ("nothing.pem", "key.pem", r"cannot take a certificate from .*nothing\.pem"),
        ("cert.pem", "nothing.pem", r"key from .*nothing\.pem"),
        ("cert.pem", "", r"key from .*cert\.pem"),
        ("cert.pem", "other.pem", r"other\.pem is not the one of the certificate in .*cert\.pem"),
        ("cert.pem", "secret.pem", r"secret\.pem has a passphrase; decrypt it first"),
        ("", "key.pem", r"key\.pem is of no use without its certificate"),
    ],
)
def test_a_client_certificate_that_cannot_be_used_is_refused_by_name(authority, pem, cert, key, said):
    (pem / "nothing.pem").write_text("nothing")
    authority.issue_cert("other.example").private_key_pem.write_to_path(pem / "other.pem")
    private = serialization.load_pem_private_key((pem / "key.pem").read_bytes(), None)
    (pem / "secret.pem").write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(UsageError, match=said):
        made(cert_file=pem / cert if cert else "", key_file=pem / key if key else "")


@pytest.fixture(scope="module")
def tls_server(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def end_by_rst(sock) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.mark.parametrize(
    ("end", "reset"),
    [
        (end_by_rst, True),
        (lambda sock: sock.close(), False),
        (lambda sock: socket.socket.shutdown(sock, socket.SHUT_WR), False),
        (lambda sock: (sock.send(b"last words"), end_by_rst(sock)), True),
        (lambda sock: (sock.send(b"last words"), sock.close()), False),
    ],
    ids=["rst", "fin", "half closed", "data, rst", "data, fin"],
)
@pytest.mark.parametrize("late", [False, True], ids=["in time", "late"])
def test_a_reset_under_tls_is_told_from_a_close_whenever_it_is_read(tls_server, end, reset, late):
    """The peer's answer to OpenSSL's alert is an RST as well, and must not be taken for one."""
    ended = threading.Event()

    def serve(listener) -> None:
        raw, _ = listener.accept()
        sock = tls_server.wrap_socket(raw, server_side=True)
        sock.recv(100)
        end(sock)
        ended.set()
        over.wait(5)
        sock.close()

    for _ in range(5):
        over = threading.Event()
        ended.clear()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=serve, args=(listener,))
            thread.start()
            client = make_tls_context(verify=False, ca_file="")
            with client.wrap_socket(socket.create_connection(listener.getsockname())) as sock:
                sock.send(b"request")
                if late:
                    assert ended.wait(5)
                while sock.recv(100):
                    pass
                assert was_reset(sock) == reset
            over.set()
            thread.join()


def test_http_1_1_alone_is_offered(monkeypatch):
    offered = []
    monkeypatch.setattr(transport.ssl.SSLContext, "set_alpn_protocols", lambda _, names: offered.append(names))
    make_tls_context(verify=False, ca_file="")

    assert offered == [["http/1.1"]]
