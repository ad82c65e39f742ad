"""The rows about the sandbox: how soon it is up, and how long its API server takes while many pods are rolled."""

from __future__ import annotations

import http.client
import json
import ssl
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.arithmetic import median, percentile, summarise
from bench.results import Figure, Row
from bench.session import Session
from bench.spawn import BenchError, run

UP_ROUNDS = 5
UP_PODS, UP_S = 10, 3.0
ROLLED, ROLLS, API_P99_MS = 100, 5, 50.0
EVERY_S = 0.02
"""Between two questions to the API server."""
SETTLED_S = 2.0
"""From the last pod that came up until the roll begins."""
LIMIT_S = 180.0
NAMESPACE = "/namespaces/default"
DEPLOYMENT = f"/apis/apps/v1{NAMESPACE}/deployments/web"
QUESTIONS = {
    "GET deployment": DEPLOYMENT,
    "LIST pods": f"/api/v1{NAMESPACE}/pods?labelSelector=app%3Dweb",
    "LIST endpointslices": f"/apis/discovery.k8s.io/v1{NAMESPACE}/endpointslices",
    "LIST nodes": "/api/v1/nodes",
}


def manifest(pods: int) -> dict[str, Any]:
    """That many servers behind a Service, each of which has to become ready."""
    labels = {"app": "web"}
    container = {
        "name": "web",
        "image": "rollcheck.test/web:1",
        "ports": [{"containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1},
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": pods,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    return {"apiVersion": "v1", "kind": "List", "items": [deployment, service]}


@contextmanager
def sandbox(session: Session, pods: int) -> Iterator[tuple[Path, float]]:
    """A sandbox with that many pods up: its folder, and the seconds that `up` took.

    Raises:
        BenchError: it did not come up whole.
    """
    with tempfile.TemporaryDirectory() as folder:
        file, box = Path(folder) / "web.json", Path(folder) / "box"
        file.write_text(json.dumps(manifest(pods)))
        program = session.programs["rollcheck"].argv
        up = run(
            [*program, "sandbox", "up", "-f", str(file), "--dir", str(box), "--wait", f"{LIMIT_S:g}s"], limit_s=LIMIT_S
        )
        try:
            if up.code:
                raise BenchError(f"the sandbox did not come up: {up.err.strip()[-300:]}")
            yield box, up.wall_s
        finally:
            run([*program, "sandbox", "down", "--dir", str(box)], limit_s=LIMIT_S)


class Client:
    """Asks an API server over one connection."""

    def __init__(self, box: Path) -> None:
        config = json.loads((box / "kubeconfig").read_text())
        where = urlsplit(config["clusters"][0]["cluster"]["server"])
        trust = ssl.create_default_context()
        trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
        self._token = config["users"][0]["user"]["token"]
        self._connection = http.client.HTTPSConnection(where.hostname or "", where.port, timeout=10, context=trust)

    def ask(self, path: str, *, method: str = "GET", body: Any = None) -> tuple[Any, float]:
        """What it answers, and milliseconds from the question to the answer's last byte."""
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/merge-patch+json"}
        began = time.monotonic()
        self._connection.request(method, path, body=json.dumps(body) if body else None, headers=headers)
        answer = self._connection.getresponse()
        text = answer.read()
        taken = (time.monotonic() - began) * 1e3
        if answer.status >= 300:
            raise BenchError(f"{method} {path} was answered with {answer.status}: {text[:200]!r}")
        return json.loads(text), taken


def measure_sandbox(session: Session, row: Row) -> None:
    """How soon three nodes and ten pods are up; how long the API server takes while a hundred pods are rolled."""
    seen = []
    for number in range(2 if session.quick else UP_ROUNDS):
        with sandbox(session, UP_PODS) as (_, seconds):
            seen.append(seconds)
        session.say(f"  round {number + 1} 3 nodes, {UP_PODS} pods: {seconds:.2f} s")
    row.figures.append(Figure("sandbox", f"s until 3 nodes and {UP_PODS} pods are up", summarise(seen)))
    row.at_most(f"3 nodes and {UP_PODS} pods up in {UP_S:g} s", median(seen), UP_S)
    with sandbox(session, 20 if session.quick else ROLLED) as (box, seconds):
        session.say(f"  up after {seconds:.1f} s")
        client = Client(box)
        for path in QUESTIONS.values():  # the first of each are slower: the handshake, JSON that is made once
            client.ask(path)
        time.sleep(SETTLED_S)
        quiet = [_latencies(client, until_rolled=False)]
        rolls = [_roll(session, client, number) for number in range(1 if session.quick else ROLLS)]
    for name, rounds in (("nothing going on", quiet), (f"{ROLLED} pods rolled", rolls)):
        for p in (50, 99, 100):
            found = [percentile(_merged([each]), p) for each in rounds]
            row.figures.append(Figure("sandbox", f"API, {name}, p{p}, ms", summarise(found)))
    for name in QUESTIONS:
        found = [percentile(each[name], 99) for each in rolls]
        row.figures.append(Figure("sandbox", f"API, {name}, p99, ms", summarise(found)))
    overall = percentile(_merged(rolls), 99)
    row.at_most(f"API p99 ≤ {API_P99_MS:g} ms while {ROLLED} pods are rolled", overall, API_P99_MS)


def _merged(rounds: Sequence[dict[str, list[float]]]) -> list[float]:
    return [value for each in rounds for values in each.values() for value in values]


def _roll(session: Session, client: Client, number: int) -> dict[str, list[float]]:
    time.sleep(SETTLED_S)
    stamp = {"spec": {"template": {"metadata": {"annotations": {"rolled": str(number)}}}}}
    client.ask(DEPLOYMENT, method="PATCH", body=stamp)
    began = time.monotonic()
    seen = _latencies(client, until_rolled=True)
    session.say(f"  rolled in {time.monotonic() - began:.1f} s, {sum(map(len, seen.values()))} questions")
    return seen


def _latencies(client: Client, *, until_rolled: bool) -> dict[str, list[float]]:
    """By question, until the roll is over or a few seconds have passed."""
    seen: dict[str, list[float]] = {name: [] for name in QUESTIONS}
    end = time.monotonic() + (LIMIT_S if until_rolled else 3)
    while time.monotonic() < end:
        for name, path in QUESTIONS.items():
            found, taken = client.ask(path)
            seen[name].append(taken)
            if until_rolled and name == "GET deployment" and _is_rolled(found):
                return seen
            time.sleep(EVERY_S)
    if until_rolled:
        raise BenchError(f"the roll was not over within {LIMIT_S:g} s")
    return seen


def _is_rolled(deployment: Any) -> bool:
    wanted, status = deployment["spec"]["replicas"], deployment["status"]
    counts = {status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")}
    return bool(status.get("observedGeneration") == deployment["metadata"]["generation"] and counts == {wanted})
