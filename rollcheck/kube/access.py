"""From a kubeconfig (or the inside of a pod) to what a connection to the API server needs.

The official client reads the kubeconfig, runs exec plugins and refreshes tokens; this module turns what it found into
an `Access` and every fault into one sentence. It is imported lazily: its import alone costs 0.2 s.

Traps of the official loader that are dealt with here: it tells of a failing exec plugin by `logging.error` only and
goes on without credentials; it runs the plugin again at *every* request once a token has less than five minutes left;
`load_config()` prints to stdout. An exec plugin that answers with a client certificate is run once, at the start.
"""

from __future__ import annotations

import logging
import os
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]  # not in typeshed

from rollcheck.errors import UsageError
from rollcheck.kube.kubeconfig import SERVICE_ACCOUNT, Kubeconfig, choose_context, read_kubeconfig

TOKEN_LIFE_S = 30.0
"""How long a token is used before the loader is asked again (it re-reads files and refreshes near their expiry)."""


@dataclass(slots=True)
class Credentials:
    """The Authorization header, kept for a while and made anew when it was refused. Blocking: call it in a thread."""

    configuration: Any
    reload: Any
    _header: str = ""
    _read_at: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def fresh(self) -> str | None:
        """The header when it need not be read again (this never blocks), else None."""
        return self._header if self._read_at and time.monotonic() - self._read_at < TOKEN_LIFE_S else None

    def header(self, *, refused: str | None = None) -> str:
        """The header's value, empty when there is none (client certificates, anonymous).

        Args:
            refused: a value that the API server answered 401 to; if it is still the one in use, everything is loaded
                again (an exec plugin is run again, a token file read again).
        """
        with self._lock:
            if refused is not None and refused == self._header:
                self.configuration = self.reload()
            elif (kept := self.fresh) is not None:
                return kept
            with _words_of_the_loader():
                self._header = self.configuration.get_api_key_with_prefix("BearerToken") or ""
            self._read_at = time.monotonic()
            return self._header


@dataclass(frozen=True, slots=True)
class Access:
    """The way into one cluster.

    Attributes:
        server: URL of the API server, without a slash at its end.
        context: name of the kubeconfig's context; "in-cluster" inside a pod.
        namespace: the one to use: as asked for, else the context's, else "default".
        user: the kubeconfig's name for who we are; empty when it names none.
        source: the kubeconfig's path, or "the service account of this pod".
        tls: None for a plain http server.
        sni: `tls-server-name`, empty when the server's own name counts.
        proxy: URL, empty for none.
    """

    server: str
    context: str
    namespace: str
    user: str
    source: str
    tls: ssl.SSLContext | None
    sni: str
    proxy: str
    credentials: Credentials


def load_access(
    *, kubeconfig: str = "", context: str = "", namespace: str = "", environ: Mapping[str, str] | None = None
) -> Access:
    """The access that kubectl would use: `kubeconfig`, else $KUBECONFIG, else ~/.kube/config, else the pod's own.

    Blocking, for as long as an exec plugin takes: call it in a thread.

    Raises:
        UsageError: no kubeconfig, one that is not YAML, an unknown context, credentials that cannot be had.
    """
    environ = os.environ if environ is None else environ
    config = read_kubeconfig(kubeconfig, environ)
    if config is None:
        return _in_cluster(context, namespace)
    chosen = choose_context(config, context)
    entry = config.entry("contexts", chosen)
    _check_entry(config, entry, chosen)
    cluster, source = config.entry("clusters", entry["cluster"]), config.source

    def load() -> Any:
        return _load(source, chosen, config.entry("users", str(entry.get("user", ""))))

    configuration = load()
    return Access(
        server=configuration.host.rstrip("/"),
        context=chosen,
        namespace=namespace or str(entry.get("namespace") or "default"),
        user=str(entry.get("user") or ""),
        source=source,
        tls=_tls(configuration, source),
        sni=configuration.tls_server_name or "",
        proxy=str(cluster.get("proxy-url") or "") or _environment_proxy(configuration.host),
        credentials=Credentials(configuration, load),
    )


def _in_cluster(context: str, namespace: str) -> Access:
    from kubernetes.client import Configuration  # noqa: PLC0415  # costs 0.2 s
    from kubernetes.config import ConfigException, load_incluster_config  # noqa: PLC0415  # costs 0.2 s

    if context:
        raise UsageError(f"there is no context {context!r} inside a pod without a kubeconfig; give --kubeconfig too")

    def load() -> Any:
        configuration = Configuration()
        try:
            load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        except ConfigException as e:
            raise UsageError(f"the service account of this pod cannot be used: {e}; give --kubeconfig") from e
        return configuration

    configuration = load()
    own = SERVICE_ACCOUNT / "namespace"
    return Access(
        server=configuration.host.rstrip("/"),
        context="in-cluster",
        namespace=namespace or (own.read_text().strip() if own.exists() else "default"),
        user="service account",
        source="the service account of this pod",
        tls=_tls(configuration, "the service account of this pod"),
        sni="",
        proxy=_environment_proxy(configuration.host),
        credentials=Credentials(configuration, load),
    )


def _check_entry(config: Kubeconfig, entry: dict[str, Any], context: str) -> None:
    """That what the context names is there; the loader would go on without a user that is missing."""
    cluster, user = str(entry.get("cluster") or ""), str(entry.get("user") or "")
    if not config.entry("clusters", cluster).get("server"):
        raise UsageError(
            f"the context {context!r} names the cluster {cluster!r}, for which the kubeconfig {config.source} has no "
            f"server; correct it there or choose another with --context"
        )
    if user and not config.has("users", user):
        raise UsageError(
            f"the context {context!r} names the user {user!r}, whom the kubeconfig {config.source} does not have; "
            f"correct it there or choose another with --context"
        )


def _load(source: str, context: str, user: dict[str, Any]) -> Any:
    """The official client's Configuration, with credentials in it if the user has any."""
    from kubernetes.client import Configuration  # noqa: PLC0415  # costs 0.2 s
    from kubernetes.config import ConfigException, load_kube_config  # noqa: PLC0415  # costs 0.2 s

    configuration = Configuration()
    configuration.retries = False  # else a 429 is retried inside urllib3, unseen, for seconds
    try:
        with _words_of_the_loader() as words:
            load_kube_config(  # type: ignore[no-untyped-call]
                config_file=source, context=context, client_configuration=configuration
            )
    except (ConfigException, OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        raise UsageError(f"the context {context!r} of the kubeconfig {source} cannot be used: {e}") from e
    if user.get("exec") and not (configuration.api_key or configuration.cert_file):
        command = (user["exec"] or {}).get("command", "")
        why = words[-1] if words else "it gave no credentials"
        raise UsageError(
            f"the credential plugin {command!r} of the context {context!r} failed: {why}; run it by hand, log in again"
        )
    return configuration


@contextmanager
def _words_of_the_loader() -> Iterator[list[str]]:
    """What the loader logs meanwhile; without a handler, logging would print it to stderr."""
    words: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            words.append(" ".join(record.getMessage().split())[:300])

    handler = Keep(logging.ERROR)
    logging.getLogger().addHandler(handler)
    try:
        yield words
    finally:
        logging.getLogger().removeHandler(handler)


def _tls(configuration: Any, source: str) -> ssl.SSLContext | None:
    if not configuration.host.startswith("https"):
        return None
    try:
        context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
        if configuration.cert_file:
            context.load_cert_chain(configuration.cert_file, configuration.key_file)
    except (OSError, ValueError) as e:
        raise UsageError(f"the certificates of {source} cannot be used: {e}; correct them there") from e
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if hasattr(ssl, "VERIFY_X509_STRICT"):
        # Python 3.13 asks for extensions that the CAs of many clusters lack and that kubectl does not ask for
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _environment_proxy(server: str) -> str:
    proxies = getproxies_environment()
    parts = urlsplit(server)
    if proxy_bypass_environment(parts.hostname or "", proxies):
        return ""
    return proxies.get(parts.scheme) or proxies.get("all") or ""
