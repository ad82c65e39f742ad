"""A certificate of our own making, so that clients speak TLS to the sandbox and send their token.

kubectl sends no bearer token to an http:// server. A laptop with nothing but Python has neither openssl nor a library
that signs, so this makes a self-signed certificate on P-256 by hand: one key, one ECDSA signature, a page of DER. The
key lives as long as the sandbox and guards loopback; it is not made against an attacker who times this process.

Sources: RFC 5280 (X.509), RFC 5480 and SEC 1 (keys), FIPS 186-5 (ECDSA and the curve's constants).
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
DAYS = 365

Point = tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a TLS server needs, and, as `certificate`, all that a client needs to trust it. Both PEM."""

    certificate: str
    key: str


def self_signed(addresses: Sequence[str], now: datetime | None = None) -> Certificate:
    """Make a key and a certificate for a server at these IP addresses, and for `localhost`."""
    secret = secrets.randbelow(N - 1) + 1
    public = multiply(secret, G)
    assert public is not None
    point = b"\x04" + public[0].to_bytes(32, "big") + public[1].to_bytes(32, "big")
    body = _body(point, addresses, now or datetime.now(UTC))
    certificate = _sequence(body, ECDSA_WITH_SHA256, _bits(sign(secret, body)))
    key = _sequence(
        _integer(1),
        _tagged(0x04, secret.to_bytes(32, "big")),
        _tagged(0xA0, _oid(PRIME256V1)),
        _tagged(0xA1, _bits(point)),
    )
    return Certificate(_pem("CERTIFICATE", certificate), _pem("EC PRIVATE KEY", key))


def add(a: Point, b: Point) -> Point:
    """The sum of two points of the curve; None is the point at infinity."""
    if a is None or b is None:
        return a or b
    if a[0] == b[0]:
        if (a[1] + b[1]) % P == 0:
            return None
        slope = (3 * a[0] * a[0] - 3) * pow(2 * a[1], -1, P) % P
    else:
        slope = (b[1] - a[1]) * pow(b[0] - a[0], -1, P) % P
    x = (slope * slope - a[0] - b[0]) % P
    return x, (slope * (a[0] - x) - a[1]) % P


def multiply(times: int, point: Point) -> Point:
    """A point added to itself so many times."""
    total: Point = None
    while times:
        if times & 1:
            total = add(total, point)
        point = add(point, point)
        times >>= 1
    return total


def sign(secret: int, data: bytes) -> bytes:
    """An ECDSA signature over the SHA-256 of `data`, in DER."""
    digest = int.from_bytes(hashlib.sha256(data).digest(), "big")
    while True:
        nonce = secrets.randbelow(N - 1) + 1
        point = multiply(nonce, G)
        assert point is not None
        r = point[0] % N
        s = pow(nonce, -1, N) * (digest + r * secret) % N
        if r and s:
            return _sequence(_integer(r), _integer(s))


EC_PUBLIC_KEY, PRIME256V1, COMMON_NAME = "1.2.840.10045.2.1", "1.2.840.10045.3.1.7", "2.5.4.3"
SUBJECT_ALT_NAME, BASIC_CONSTRAINTS, KEY_USAGE, EXTENDED_USAGE = "2.5.29.17", "2.5.29.19", "2.5.29.15", "2.5.29.37"
SERVER_AUTH = "1.3.6.1.5.5.7.3.1"
SUBJECT_KEY = "2.5.29.14"


def _body(point: bytes, addresses: Sequence[str], now: datetime) -> bytes:
    name = _sequence(_tagged(0x31, _sequence(_oid(COMMON_NAME), _tagged(0x0C, b"rollcheck sandbox"))))
    names = _tagged(0x82, b"localhost") + b"".join(_tagged(0x87, ipaddress.ip_address(a).packed) for a in addresses)
    extensions = _sequence(
        _extension(SUBJECT_ALT_NAME, _sequence(names)),
        _extension(BASIC_CONSTRAINTS, _sequence(b"\x01\x01\xff"), critical=True),
        _extension(KEY_USAGE, b"\x03\x02\x02\x84", critical=True),  # digitalSignature, keyCertSign
        _extension(EXTENDED_USAGE, _sequence(_oid(SERVER_AUTH))),
        _extension(SUBJECT_KEY, _tagged(0x04, hashlib.sha256(point).digest()[:20])),
    )
    return _sequence(
        _tagged(0xA0, _integer(2)),
        _integer(secrets.randbits(100) + 1),
        ECDSA_WITH_SHA256,
        name,
        _sequence(_time(now - timedelta(hours=1)), _time(now + timedelta(days=DAYS))),
        name,
        _sequence(_sequence(_oid(EC_PUBLIC_KEY), _oid(PRIME256V1)), _bits(point)),
        _tagged(0xA3, extensions),
    )


def _tagged(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def _sequence(*parts: bytes) -> bytes:
    return _tagged(0x30, b"".join(parts))


def _integer(value: int) -> bytes:
    return _tagged(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _bits(content: bytes) -> bytes:
    return _tagged(0x03, b"\x00" + content)


def _oid(text: str) -> bytes:
    first, second, *rest = map(int, text.split("."))
    out = bytearray((first * 40 + second,))
    for number in rest:
        septets = [number & 0x7F]
        while number := number >> 7:
            septets.append(0x80 | number & 0x7F)
        out += bytes(reversed(septets))
    return _tagged(0x06, bytes(out))


def _time(at: datetime) -> bytes:
    if at.year < 2050:  # RFC 5280: UTCTime up to 2049
        return _tagged(0x17, at.strftime("%y%m%d%H%M%SZ").encode())
    return _tagged(0x18, at.strftime("%Y%m%d%H%M%SZ").encode())


def _extension(oid: str, content: bytes, *, critical: bool = False) -> bytes:
    return _sequence(_oid(oid), b"\x01\x01\xff" if critical else b"", _tagged(0x04, content))


def _pem(label: str, data: bytes) -> str:
    text = base64.b64encode(data).decode()
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return "\n".join((f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""))


ECDSA_WITH_SHA256 = _sequence(_oid("1.2.840.10045.4.3.2"))
