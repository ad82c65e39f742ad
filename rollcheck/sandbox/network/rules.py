"""From Ingress objects to routes, and from a request to its route: pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

CLASS_ANNOTATION = "kubernetes.io/ingress.class"
NGINX = "nginx.ingress.kubernetes.io/"
IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a controller of one class treats a backend that fails.

    Attributes:
        tries: backends that are asked for one request: ingress-nginx hides what fails by asking another, Traefik does
            not.
        resend: whether a request that was sent already may be sent to another backend (GET and its like only).
        connect_s, read_s: time-outs of a connect, and between two reads of an answer.
    """

    name: str
    tries: int = 1
    resend: bool = True
    connect_s: float = 5.0
    read_s: float = 60.0


NGINX_MANNER = Manner(name="nginx", tries=3)
TRAEFIK_MANNER = Manner(name="traefik", tries=1, connect_s=30.0)
CLASSES = {manner.name: manner for manner in (NGINX_MANNER, TRAEFIK_MANNER)}
"""The classes that the sandbox serves, an IngressClass each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """A Service and one of its ports, by name or number."""

    namespace: str
    service: str
    port: str | int


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One path of one Ingress.

    Attributes:
        host: "" for any, "*.example.com" for what is one label below it.
        exact: whether the path has to be the whole path; else it is a prefix, by whole elements.
    """

    host: str
    path: str
    exact: bool
    backend: Backend
    manner: Manner


def routes_of(ingress: Json) -> tuple[Route, ...]:
    """Its routes, the default backend's last; none when its class is not one of ours."""
    metadata, spec = ingress.get("metadata") or {}, ingress.get("spec") or {}
    annotations = metadata.get("annotations") or {}
    manner = CLASSES.get(str(spec.get("ingressClassName") or annotations.get(CLASS_ANNOTATION) or NGINX_MANNER.name))
    if manner is None:
        return ()
    if manner is NGINX_MANNER:
        manner = _annotated(annotations)
    namespace = str(metadata.get("namespace", ""))
    made = [
        Route(
            host=str(rule.get("host") or "").lower(),
            path=str(path.get("path") or "/"),
            exact=path.get("pathType") == "Exact",
            backend=backend,
            manner=manner,
        )
        for rule in spec.get("rules") or ()
        for path in (rule.get("http") or {}).get("paths") or ()
        if (backend := _backend(namespace, path.get("backend")))
    ]
    if default := _backend(namespace, spec.get("defaultBackend")):
        made.append(Route(host="", path="/", exact=False, backend=default, manner=manner))
    return tuple(made)


def matching(routes: Iterable[Route], host: str, path: str) -> Route | None:
    """The route of a request: the most particular host, then the exact path, then the longest one."""
    name = host.partition(":")[0].lower()
    found = [r for r in routes if _host_fits(r.host, name) and _path_fits(r, path)]
    return max(found, key=lambda r: (_host_rank(r.host), r.exact, len(r.path)), default=None)


def port_name_of(service: Json, port: str | int) -> str | None:
    """The name of the Service's port of that name or number, as EndpointSlices have it; None when it has none."""
    for raw in (service.get("spec") or {}).get("ports") or ():
        if port in (raw.get("port"), raw.get("name")):
            return str(raw.get("name") or "")
    return None


def _backend(namespace: str, raw: Json | None) -> Backend | None:
    service = (raw or {}).get("service") or {}
    port = service.get("port") or {}
    number = port.get("number") or port.get("name")
    return Backend(namespace=namespace, service=str(service["name"]), port=number) if number else None


def _annotated(annotations: Mapping[str, str]) -> Manner:
    """ingress-nginx's own, as its annotations change it."""
    next_upstream = annotations.get(f"{NGINX}proxy-next-upstream", "error timeout").split()
    tries = _number(annotations.get(f"{NGINX}proxy-next-upstream-tries", ""), NGINX_MANNER.tries)
    return Manner(
        name=NGINX_MANNER.name,
        tries=1 if "off" in next_upstream else max(1, int(tries)),
        resend="error" in next_upstream,
        connect_s=_number(annotations.get(f"{NGINX}proxy-connect-timeout", ""), NGINX_MANNER.connect_s),
        read_s=_number(annotations.get(f"{NGINX}proxy-read-timeout", ""), NGINX_MANNER.read_s),
    )


def _number(text: str, default: float) -> float:
    try:
        return float(text.removesuffix("s"))
    except ValueError:
        return default


def _host_fits(pattern: str, name: str) -> bool:
    if pattern.startswith("*."):
        return name.partition(".")[2] == pattern[2:] and bool(name.partition(".")[0])
    return pattern in ("", name)


def _host_rank(pattern: str) -> int:
    return 0 if not pattern else 1 if pattern.startswith("*.") else 2


def _path_fits(route: Route, path: str) -> bool:
    if route.exact:
        return path == route.path
    prefix = route.path.rstrip("/")
    return path == prefix or path.startswith(f"{prefix}/")
