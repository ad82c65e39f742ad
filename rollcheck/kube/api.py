"""The one module that talks to the API server, and the only one that imports httpx.

Reads and watches go over httpx on trio as raw JSON. Writes (PATCH, POST, DELETE) go through the official client's
`ApiClient`, as it is the one that cluster owners know and whose `Configuration` has been loaded already; not through
its API classes, whose model modules take half a second to import. A write runs in a thread, is bounded in time and is
never abandoned: after it, we know whether it happened.

Every failure leaves as a `ClusterError` with one sentence. Nothing is retried here, but for what was answered 401: its
token is made anew, once.
"""

from __future__ import annotations

import json
import math
import os
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
import trio

from rollcheck.errors import ClusterDenied, ClusterRefused, ClusterUnreachable
from rollcheck.kube.access import Access

Json = dict[str, Any]

CONNECT_S = 10.0
READ_S = 30.0
PAGE = 500
LIST_RESTARTS = 3
STRATEGIC = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
PLAIN = "application/json"
WRITES_AT_ONCE = 16
"""Of a drain that evicts every pod of a node at the same moment."""

_KEEPALIVE: list[tuple[int, int, int]] = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    # a watch is silent for a minute at a time: only this tells a quiet cluster from a lost network
    *((socket.IPPROTO_TCP, getattr(socket, name), value)
      for name, value in (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
      if hasattr(socket, name)),
]  # fmt: skip


class CredentialsRefused(ClusterDenied):
    """401: the API server does not know who we are, so nothing else can be asked either."""


class NoAnswer(ClusterUnreachable):
    """No answer, or half of one.

    Attributes:
        words: what happened, in few words, without the way out.
        silent: whether time ran out (else the connection was refused or ended, and all before it had arrived).
    """

    words: str = ""
    silent: bool = False


class ClusterThrottled(ClusterRefused):
    """429: too many requests.

    Attributes:
        retry_after_s: what the API server asked us to wait, 0 when it did not say.
    """

    retry_after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Listing:
    """All pages of a list, and the resourceVersion from which a watch goes on."""

    items: list[Json]
    resource_version: str


class _Body(httpx.AsyncByteStream):
    """A request's body in one piece.

    httpx's own is an async generator, which a cancellation in the middle of a request leaves half read, and trio then
    warns of it.
    """

    def __init__(self, data: bytes) -> None:
        self._left = [data] if data else []

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop()


class Api:
    """One API server, as one user. An async context manager.

    Every method raises `ClusterUnreachable`, `ClusterDenied` (401, 403) or `ClusterRefused`.
    """

    def __init__(self, access: Access) -> None:
        self.access = access
        self._threads = trio.CapacityLimiter(4)  # our own: trio's is shared with name resolution
        self._writers = trio.CapacityLimiter(WRITES_AT_ONCE)
        self._http: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        access = self.access
        try:
            transport = httpx.AsyncHTTPTransport(
                verify=access.tls or False,
                trust_env=False,
                proxy=access.proxy or None,
                limits=httpx.Limits(max_connections=64, keepalive_expiry=30),
                socket_options=None if access.proxy else _KEEPALIVE,
            )
        except (ImportError, ValueError) as e:
            raise ClusterUnreachable(f"the proxy {access.proxy} of {access.source} cannot be used: {e}") from e
        self._http = httpx.AsyncClient(
            transport=transport,
            trust_env=False,
            base_url=access.server,
            follow_redirects=False,
            headers={"User-Agent": "rollcheck", "Accept": "application/json"},
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._http is not None:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
                await self._http.aclose()
            self._http = None

    async def version(self) -> str:
        """The API server's version, as "v1.34.4"."""
        return str((await self.get("/version")).get("gitVersion") or "unknown")

    async def warm_up(self) -> None:
        """Import what a write needs and fetch the token, so that neither stalls the load later."""
        await trio.to_thread.run_sync(_import_client, limiter=self._threads)
        await self._authorization()

    async def get(self, path: str, params: Mapping[str, str] | None = None, *, timeout_s: float = READ_S) -> Json:
        """One object or one page of a list."""
        return await self._ask("GET", path, params=params, timeout_s=timeout_s)

    async def post(self, path: str, body: Json) -> Json:
        """Create something that changes nothing in the cluster: a review of rights."""
        return await self._ask("POST", path, body=body)

    async def list_all(self, path: str, params: Mapping[str, str] | None = None) -> Listing:
        """Every object under `path`, page by page.

        A continue token that expired on the way (410) starts the list afresh, at most `LIST_RESTARTS` times.
        """
        for last in (*[False] * LIST_RESTARTS, True):
            items: list[Json] = []
            page: dict[str, str] = {**(params or {}), "limit": str(PAGE)}
            try:
                while True:
                    answer = await self.get(path, page)
                    items += answer.get("items") or []
                    meta = answer.get("metadata") or {}
                    if not meta.get("continue"):
                        return Listing(items, str(meta.get("resourceVersion") or ""))
                    page["continue"] = str(meta["continue"])
            except ClusterRefused as e:
                if e.status != 410 or last:
                    raise
        raise AssertionError("the last round returns or raises")

    @asynccontextmanager
    async def stream(
        self, path: str, params: Mapping[str, str], *, read_s: float = READ_S
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The body of an answer, piece by piece as it comes; `read_s` bounds the silence between two pieces."""
        what = f"watch {path}"
        for again in (True, False):
            header = await self._authorization()
            request = self._request("GET", path, params, header, read_s=read_s)
            request.headers["Accept-Encoding"] = "identity"  # a compressor would hold changes back
            try:
                response = await self._client().send(request, stream=True)
            except (httpx.HTTPError, httpx.InvalidURL, OSError) as e:
                raise self._unreachable(e) from e
            if response.status_code == 401 and again and await self._renew(header):
                await response.aclose()
                continue
            break
        try:
            if response.status_code != 200:
                try:
                    await response.aread()
                except httpx.HTTPError as e:
                    raise self._unreachable(e) from e
                raise self._refusal(response.status_code, response.content, what, response.headers)
            yield self._pieces(response)
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
                await response.aclose()

    async def patch(
        self, path: str, body: Json | list[Json], *, kind: str = STRATEGIC, params: str = "fieldManager=rollcheck"
    ) -> tuple[int, Json]:
        """Change an object, by strategic merge unless `kind` says otherwise; the status, and the object as it is."""
        return await self._write("PATCH", path, body, kind, params)

    async def create(self, path: str, body: Json) -> tuple[int, Json]:
        """Make an object, or have an eviction done; the status, and the answer."""
        return await self._write("POST", path, body, PLAIN, "fieldManager=rollcheck")

    async def delete(self, path: str, options: Json | None = None) -> tuple[int, Json]:
        """Delete an object; `options` are DeleteOptions."""
        body = {"apiVersion": "v1", "kind": "DeleteOptions", **(options or {})}
        return await self._write("DELETE", path, body, PLAIN, "")

    async def _write(self, method: str, path: str, body: Json | list[Json], kind: str, params: str) -> tuple[int, Json]:
        for again in (True, False):
            header = await self._authorization()
            status, data, headers = await trio.to_thread.run_sync(
                self._send, method, f"{path}?{params}", body, kind, header, limiter=self._writers
            )
            if status == 401 and again and await self._renew(header):
                continue
            break
        if not 200 <= status < 300:
            raise self._refusal(status, data, f"{method.lower()} {path}", headers)
        return status, _object(data) or {}

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Json | None = None,
        timeout_s: float = READ_S,
    ) -> Json:
        for again in (True, False):
            header = await self._authorization()
            request = self._request(method, path, params or {}, header, body=body, read_s=timeout_s)
            try:
                response = await self._client().send(request)
            except (httpx.HTTPError, httpx.InvalidURL, OSError) as e:
                raise self._unreachable(e) from e
            if response.status_code == 401 and again and await self._renew(header):
                continue
            break
        if not 200 <= response.status_code < 300:
            raise self._refusal(response.status_code, response.content, f"{method} {path}", response.headers)
        answer = _object(response.content)
        if answer is None:
            raise ClusterRefused(
                f"{self.access.server} does not answer like a Kubernetes API server (no JSON from {path}); "
                f"check the server of the context {self.access.context!r}",
                status=response.status_code,
            )
        return answer

    async def _pieces(self, response: httpx.Response) -> AsyncIterator[bytes]:
        try:
            async for piece in response.aiter_bytes():
                yield piece
        except (httpx.HTTPError, OSError) as e:
            raise self._unreachable(e) from e

    def _send(
        self, method: str, path: str, body: Json | list[Json], kind: str, header: str
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """The write itself, in a thread: the official client's transport, without its models."""
        client, api_exception, transport_error = _import_client()
        with client(self.access.credentials.configuration) as sender:
            try:
                answer = sender.call_api(
                    method,
                    self.access.server + path,
                    header_params={
                        **_bearer(header),
                        "Accept": "application/json",
                        "Content-Type": kind,
                        "User-Agent": "rollcheck",
                    },
                    body=body,
                    _request_timeout=(CONNECT_S, READ_S),
                )
                return answer.status, answer.read(), answer.getheaders()
            except api_exception as e:
                if not e.status:
                    raise self._unreachable(e) from e
                data = e.body or b""
                return e.status, data if isinstance(data, bytes) else data.encode(), e.headers or {}
            except transport_error as e:
                raise self._unreachable(e) from e

    def _client(self) -> httpx.AsyncClient:
        assert self._http is not None, "Api is used inside `async with`"
        return self._http

    def _request(
        self,
        method: str,
        path: str,
        params: Mapping[str, str],
        authorization: str,
        *,
        body: Json | None = None,
        read_s: float,
    ) -> httpx.Request:
        timeout = {"connect": min(CONNECT_S, read_s), "read": read_s, "write": READ_S, "pool": READ_S}
        sni = {"sni_hostname": self.access.sni} if self.access.sni else {}
        request = self._client().build_request(
            method,
            path,
            params=dict(params),
            json=body,
            headers=_bearer(authorization),
            extensions={"timeout": timeout, **sni},
        )
        request.stream = _Body(request.content)
        return request

    async def _authorization(self) -> str:
        kept = self.access.credentials.fresh
        if kept is not None:
            return kept
        return await trio.to_thread.run_sync(self.access.credentials.header, limiter=self._threads)

    async def _renew(self, refused: str) -> bool:
        """Make a refused token anew; whether there is another one now."""
        if not refused:
            return False
        new = await trio.to_thread.run_sync(
            lambda: self.access.credentials.header(refused=refused), limiter=self._threads
        )
        return new != refused

    def _unreachable(self, error: BaseException) -> NoAnswer:
        where = f"the API server {self.access.server} of the context {self.access.context!r}"
        words, silent = _root_words(error), _is_timeout(error)
        if silent:
            words = "it did not answer in time"
            text = f"{where} did not answer in time; check the network (VPN?) or choose another with --context"
        elif "certificate verify failed" in words.replace("_", " ").lower():
            text = (
                f"{where} has a certificate that does not fit the kubeconfig {self.access.source} ({words}); "
                f"correct its certificate-authority or tls-server-name"
            )
        else:
            behind = f" through the proxy {self.access.proxy}" if self.access.proxy else ""
            text = (
                f"{where} cannot be reached{behind}: {words}; check that the cluster runs, or choose another with "
                f"--context"
            )
        failure = NoAnswer(text)
        failure.words, failure.silent = words, silent
        return failure

    def _refusal(
        self, status: int, data: bytes, what: str, headers: Mapping[str, str]
    ) -> ClusterDenied | ClusterRefused:
        answer = _object(data) or {}
        words = str(answer.get("message") or data[:200].decode(errors="replace").strip() or "without a reason")
        reason = str(answer.get("reason") or "")
        if status == 401:
            who = f"the credentials of {self.access.user!r}" if self.access.user else "us without credentials"
            return CredentialsRefused(
                f"the API server {self.access.server} does not accept {who} (401 {words}); log in again, or check the "
                f"context {self.access.context!r} of {self.access.source}"
            )
        if status == 403:
            return ClusterDenied(
                f"the API server does not allow it (403): {words}; ask for this right, or choose another user with "
                f"--context",
                causes=_causes(answer),
            )
        kind = ClusterThrottled if status == 429 else ClusterRefused
        refused = kind(
            f"the API server {self.access.server} answered {status} to {what}: {words}",
            status=status,
            reason=reason,
            words=words,
            causes=_causes(answer),
        )
        if isinstance(refused, ClusterThrottled):
            refused.retry_after_s = _seconds(next((v for k, v in headers.items() if k.lower() == "retry-after"), ""))
        return refused

    @property
    def host(self) -> str:
        """Name or address of the API server."""
        return urlsplit(self.access.server).hostname or ""


def _import_client() -> tuple[Any, type[Any], type[Exception]]:
    from kubernetes.client import ApiClient  # noqa: PLC0415  # costs 0.2 s
    from kubernetes.client.exceptions import ApiException  # noqa: PLC0415  # costs 0.2 s
    from urllib3.exceptions import HTTPError  # noqa: PLC0415  # costs 0.2 s

    return ApiClient, ApiException, HTTPError


def _bearer(header: str) -> dict[str, str]:
    return {"Authorization": header} if header else {}


def _object(data: bytes) -> Json | None:
    try:
        answer = json.loads(data)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _causes(status: Json) -> tuple[tuple[str, str], ...]:
    causes = (status.get("details") or {}).get("causes") or []
    return tuple((str(c.get("reason") or ""), str(c.get("message") or "")) for c in causes if isinstance(c, dict))


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        return 0.0
    return seconds if math.isfinite(seconds) and seconds > 0 else 0.0


def _is_timeout(error: BaseException) -> bool:
    """Whether time ran out, by httpx or by the official client's urllib3 (which wraps that in its MaxRetryError)."""
    inner = getattr(error, "reason", error)
    return isinstance(error, httpx.TimeoutException) or "Timeout" in type(inner).__name__


def _root_words(error: BaseException) -> str:
    """The innermost error's words: httpx wraps the system's in "All connection attempts failed"."""
    seen: BaseException = error
    for _ in range(8):
        inner = seen.__cause__ or seen.__context__
        if isinstance(inner, BaseExceptionGroup):
            inner = inner.exceptions[0]
        if inner is None:
            break
        seen = inner
    number = getattr(seen, "errno", None)
    if isinstance(seen, OSError) and not isinstance(seen, (ssl.SSLError, socket.gaierror)) and number:
        return os.strerror(number)
    words = getattr(seen, "strerror", None) or str(seen) or str(error) or type(error).__name__
    return " ".join(str(words).split())[:200]
