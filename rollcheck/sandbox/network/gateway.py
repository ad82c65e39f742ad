"""Where the sandbox's ingress answers: 127.K.0.2, port 80 where that may be listened on."""

from __future__ import annotations

import socket

from rollcheck.errors import UsageError
from rollcheck.sandbox.addresses import Addresses
from rollcheck.sandbox.network.ingress import HTTP
from rollcheck.sandbox.network.proxy import MOVED_BY
from rollcheck.sandbox.network.sockets import listen, may_listen, why_not


def open_gateway(addresses: Addresses, low_ports: bool | None) -> socket.socket:
    """The listening socket of the ingress.

    Raises:
        UsageError: somebody else listens there.
    """
    if addresses.shared:
        return listen(addresses.api, 0)
    host = f"127.{addresses.block}.0.2"
    low = may_listen(host, HTTP) if low_ports is None else low_ports
    port = HTTP if low else HTTP + MOVED_BY
    try:
        return listen(host, port)
    except OSError as e:
        raise UsageError(f"the ingress: {why_not(e, host, port)}, or leave it out with --ingress none") from e
