"""The API server: one listener on loopback, TLS or plain on the same port, one task a connection.

Every request carries the bearer token; without it nothing is told but that it is missing. Every refusal is a
metav1.Status. A fault of our own is one, too (500), so that no client sees a connection die without a word.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import trio

from rollcheck.sandbox import status
from rollcheck.sandbox.apiserver import discovery, managedfields, openapi, reviews, routing, watching, wire
from rollcheck.sandbox.apiserver.certificate import Certificate, self_signed
from rollcheck.sandbox.apiserver.documents import Documents, dump
from rollcheck.sandbox.apiserver.kubeconfig import kubeconfig
from rollcheck.sandbox.apiserver.ownservice import service_address
from rollcheck.sandbox.apiserver.routing import Prefix, Target
from rollcheck.sandbox.apiserver.subresources import LogSource, Subresources
from rollcheck.sandbox.apiserver.verbs import Verbs
from rollcheck.sandbox.apiserver.watching import Watching
from rollcheck.sandbox.apiserver.wire import Answer, Request
from rollcheck.sandbox.registry import Registry
from rollcheck.sandbox.status import ApiFailure
from rollcheck.sandbox.trees import Json

VERSION = "v1.34.0+sandbox"
HANDSHAKE_S = 10.0
TLS_RECORD = 0x16
FAULTS = (ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What an object of a shape that nobody thought of may raise; the sandbox goes on without it."""
HEALTH = ("/healthz", "/livez", "/readyz")


def version_document() -> Json:
    """The document at /version."""
    return {
        "major": "1",
        "minor": "34",
        "gitVersion": VERSION,
        "gitCommit": "0" * 40,
        "gitTreeState": "clean",
        "buildDate": "2026-01-01T00:00:00Z",
        "goVersion": "none",
        "compiler": "none",
        "platform": f"{os.uname().sysname.lower()}/{os.uname().machine}",
    }


def tls_context(made: Certificate) -> ssl.SSLContext:
    """What a server with this certificate speaks."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with tempfile.TemporaryDirectory() as folder:  # the ssl module reads keys from files alone
        path = Path(folder, "server.pem")
        path.touch(mode=0o600)
        path.write_text(made.key + made.certificate)
        context.load_cert_chain(path)
    return context


class ApiServer:
    """Serves a registry.

    Args:
        registry: what is served; from now on it keeps managed fields.
        token: the bearer token that every request must carry.
        logs: where `kubectl logs` reads; None answers that there are none.

    Attributes:
        certificate: PEM, what clients check the server's certificate against; empty until it serves.
        address: of the listener, as HOST:PORT; empty until it serves.
    """

    def __init__(self, registry: Registry, *, token: str, logs: LogSource | None = None) -> None:
        self.registry = registry
        self.certificate = ""
        self.address = ""
        self._token = token
        self._papers = Documents(registry.clock.now)
        self._verbs = Verbs(registry, self._papers)
        self._below = Subresources(registry, self._papers, logs)
        self._watching = Watching(registry, self._papers)
        registry.manage = managedfields.keeper(registry.clock)

    def kubeconfig(self) -> str:
        """The text of a kubeconfig for this server, once it serves."""
        return kubeconfig(f"https://{self.address}", self._token, self.certificate)

    async def serve(
        self,
        listener: trio.SocketListener,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve on `listener` until cancelled."""
        host, port = listener.socket.getsockname()[:2]
        made = self_signed(sorted({host, "127.0.0.1", service_address(self.registry.addresses)}))
        context = tls_context(made)
        self.certificate, self.address = made.certificate, f"{host}:{port}"

        async def connection(stream: trio.SocketStream) -> None:
            await self._connection(stream, context)

        async with trio.open_nursery() as nursery:
            # in a thread and beforehand: the proxies of the sandbox share this loop, and a first `kubectl apply` in the
            # middle of a load would hold up every request for the time that these documents take
            nursery.start_soon(trio.to_thread.run_sync, openapi.prepare)
            await trio.serve_listeners(connection, [listener], task_status=_Ready(task_status))

    async def _connection(self, stream: trio.SocketStream, context: ssl.SSLContext) -> None:
        """One client, until either side has enough."""
        try:
            with trio.move_on_after(wire.IDLE_S):
                first = await stream.socket.recv(1, trio.socket.MSG_PEEK)
                if not first:
                    return
                both: trio.abc.Stream = stream
                if first[0] == TLS_RECORD:
                    secured = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
                    with trio.fail_after(HANDSHAKE_S):
                        await secured.do_handshake()
                    both = secured
            await wire.serve_connection(both, self.answer, _refuse)
        except* (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError, OSError):
            pass  # the client has gone: its affair

    async def answer(self, request: Request) -> Answer:
        """The answer to a request; raises nothing but Cancelled."""
        try:
            self._authenticate(request)
            return await self._dispatch(request)
        except ApiFailure as e:
            return failed(e)
        except FAULTS as e:
            where = f"{request.method} {request.path}"
            return failed(status.internal_error(f"the sandbox has a fault in {where}: {type(e).__name__}: {e}"))

    def _authenticate(self, request: Request) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if request.path in HEALTH:
            return  # as on a real server: whoever waits for it need not be known
        if scheme.lower() != "bearer" or token.strip() != self._token:
            raise status.unauthorized()

    async def _dispatch(self, request: Request) -> Answer:
        place = routing.prefix(request.path)
        if place is None:
            return self._document(request)
        if not place.rest:
            found = discovery.resource_list(place.group, place.version)
            return Answer(body=dump(found)) if found is not None else page_not_found()
        if (place.group, place.version) in reviews.KINDS:
            return reviews.review(request, (place.group, place.version), place.rest[0], self.registry.clock)
        if (place.group, place.version) not in routing.GROUP_VERSIONS:
            if place.group in discovery.groups():
                raise status.no_such_path()
            return page_not_found()
        return await self._object(request, place)

    async def _object(self, request: Request, place: Prefix) -> Answer:
        target = routing.target(place)
        if target is None:
            raise status.no_such_path()
        verb = self._verb(request, target)
        if verb is None:
            raise status.method_not_allowed()
        made = verb(request, target)
        return made if isinstance(made, Answer) else await made

    def _verb(self, request: Request, target: Target) -> Callable[[Request, Target], Answer | Awaitable[Answer]] | None:
        """Who answers this method on this path, None for nobody."""
        verbs, below, method = self._verbs, self._below, request.method
        if method == "HEAD":
            method = "GET"
        if not target.name:
            listing = self._watching.answer if watching.is_asked(request) else verbs.list
            return {"GET": listing, "POST": verbs.create, "DELETE": verbs.delete_many}.get(method)
        match target.subresource:
            case "":
                if watching.is_asked(request):
                    return self._watching.answer if method == "GET" else None
                single = {"GET": verbs.get, "PUT": verbs.update, "PATCH": verbs.patch, "DELETE": verbs.delete}
                return single.get(method)
            case "status":
                return {"GET": verbs.get, "PUT": verbs.update, "PATCH": verbs.patch}.get(method)
            case "finalize":
                return {"PUT": verbs.update}.get(method)
            case "scale":
                return below.scale if method in ("GET", "PUT", "PATCH") else None
            case "eviction":
                return below.evict if method == "POST" else None
            case "binding":
                return below.bind if method == "POST" else None
            case "log":
                return below.log if method == "GET" else None
            case other:
                raise status.method_not_allowed(
                    f"the sandbox has no {other}: its pods are processes on this machine, at their own addresses"
                )

    def _document(self, request: Request) -> Answer:
        """What is served beside objects."""
        path = request.path.rstrip("/")
        if request.method not in ("GET", "HEAD"):
            raise status.method_not_allowed()
        version = discovery.wants_aggregated(request.headers.get("accept", ""))
        if path in ("/api", "/apis") and version:
            media = f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
            return Answer(body=dump(discovery.aggregated(path == "/api", version)), content_type=media)
        if path in HEALTH or path.startswith(("/livez/", "/readyz/", "/healthz/")):
            return Answer(body=b"ok", content_type="text/plain; charset=utf-8")
        if path == "/openapi/v2" and openapi.V2_PROTOBUF in request.headers.get("accept", ""):
            return Answer(body=openapi.v2_protobuf(), content_type=openapi.V2_PROTOBUF.replace("@", "."))
        found = self._plain_document(path)
        return Answer(body=found) if found is not None else page_not_found()

    def _plain_document(self, path: str) -> bytes | None:
        match path.split("/")[1:]:
            case []:
                return dump(discovery.paths())
            case ["api"]:
                return dump(discovery.core_versions(self.address))
            case ["apis"]:
                return dump(discovery.group_list())
            case ["apis", name]:
                found = discovery.group(name)
                return dump(found) if found is not None else None
            case ["version"]:
                return dump(version_document())
            case ["openapi", "v2"]:
                return openapi.v2()
            case ["openapi", "v3"]:
                return openapi.v3_index()
            case ["openapi", "v3", "api", version]:
                return openapi.v3("", version)
            case ["openapi", "v3", "apis", group, version]:
                return openapi.v3(group, version)
        return None


class _Ready(trio.TaskStatus[object]):
    """Hands `started` on without the listeners, which are the caller's already."""

    def __init__(self, outer: trio.TaskStatus[None]) -> None:
        self._outer = outer

    def started(self, value: object = None) -> None:
        self._outer.started()


def page_not_found() -> Answer:
    """What the real server says of paths outside every group that it serves."""
    return Answer(404, b"404 page not found\n", "text/plain; charset=utf-8")


def failed(failure: ApiFailure) -> Answer:
    """A refusal as it goes over the wire."""
    headers = [("Retry-After", str(failure.retry_after))] if failure.retry_after else []
    if failure.code == 401:
        headers.append(("WWW-Authenticate", "Bearer"))
    return Answer(failure.code, dump(failure.body()), headers=headers)


def _refuse(code: int, why: str) -> Answer:
    reasons = {413: "RequestEntityTooLarge", 400: "BadRequest"}
    return failed(ApiFailure(code, reasons.get(code, ""), why))
