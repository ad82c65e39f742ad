"""Ask a real API server every case of `api_cases.py` and keep its answers: `python record_api.py URL TOKEN`.

The answers in the repository are those of kube-apiserver 1.34.4 with its default admission plugins but ServiceAccount
(which wants a controller's ServiceAccounts first), started for the purpose with nothing behind it but etcd: no
controller, no scheduler and no kubelet changes an object between two steps.
"""

from __future__ import annotations

import json
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import api_cases
import api_sessions
import api_texts

Json = dict[str, Any]
ANSWERS = Path(__file__).with_name("api_answers.json")
TEXTS = Path(__file__).with_name("api_texts.json")
SEEN = Path(__file__).with_name("api_seen.json")
GROUPS = {
    "deployments": "apps/v1",
    "replicasets": "apps/v1",
    "statefulsets": "apps/v1",
    "daemonsets": "apps/v1",
    "controllerrevisions": "apps/v1",
    "jobs": "batch/v1",
    "poddisruptionbudgets": "policy/v1",
    "ingresses": "networking.k8s.io/v1",
    "ingressclasses": "networking.k8s.io/v1",
    "horizontalpodautoscalers": "autoscaling/v2",
    "endpointslices": "discovery.k8s.io/v1",
    "leases": "coordination.k8s.io/v1",
}
CLUSTER_WIDE = ("namespaces", "nodes", "ingressclasses")


class Asker:
    """One API server, spoken to in JSON."""

    def __init__(self, url: str, token: str) -> None:
        self.url, self.token = url, token
        self.tls = ssl._create_unverified_context()

    def ask(self, method: str, path: str, body: Json | None = None) -> Json:
        """The object or the Status that comes back."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, context=self.tls) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as failure:
            return json.load(failure)

    def path(self, plural: str, name: str = "") -> str:
        """Where objects of that kind are, or one of them."""
        group = GROUPS.get(plural)
        base = f"/apis/{group}" if group else "/api/v1"
        place = "" if plural in CLUSTER_WIDE else "/namespaces/default"
        return f"{base}{place}/{plural}" + (f"/{name}" if name else "")

    def step(self, verb: str, plural: str, name: str, what: Any) -> Json:
        """The answer to one step of a session."""
        path = self.path(plural, name)
        if verb == "create":
            return self.ask("POST", path, what)
        if verb in ("update", "status"):
            new = api_cases.edited(self.ask("GET", path), what)
            return self.ask("PUT", path + ("/status" if verb == "status" else ""), new)
        if verb == "delete":
            return self.ask("DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1", **what})
        if verb == "scale":
            scale = self.ask("GET", path + "/scale")
            if scale["kind"] == "Status":
                return scale
            return self.ask("PUT", path + "/scale", {**scale, "spec": {"replicas": what}})
        body: Json = {"metadata": {"name": name, "namespace": "default"}}
        if verb == "evict":
            body = {**body, "apiVersion": "policy/v1", "kind": "Eviction", "deleteOptions": what}
            return self.ask("POST", path + "/eviction", body)
        target = {"apiVersion": "v1", "kind": "Node", "name": what}
        return self.ask("POST", path + "/binding", {**body, "apiVersion": "v1", "kind": "Binding", "target": target})

    def session(self, steps: list[api_sessions.Step]) -> Json:
        """Every answer, and every change that a watcher of each kind saw."""
        plurals = sorted({plural for _, plural, _, _ in steps})
        before = {plural: self.ask("GET", self.path(plural))["metadata"]["resourceVersion"] for plural in plurals}
        answers = [self.step(*step) for step in steps]
        seen = {plural: self.watched(plural, before[plural]) for plural in plurals}
        for plural in plurals:
            for one in self.ask("GET", self.path(plural))["items"]:
                if plural != "namespaces" or one["metadata"]["name"] == "case":
                    self.away(self.path(plural, one["metadata"]["name"]))
        return {"answers": answers, "seen": seen}

    def watched(self, plural: str, since: str) -> list[Json]:
        """The changes of one kind since then, until a second passes without one."""
        path = f"{self.path(plural)}?watch=1&resourceVersion={since}&timeoutSeconds=1"
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request, context=self.tls) as answer:
            return [json.loads(line) for line in answer]

    def case(self, steps: list[api_cases.Step]) -> Json:
        """The answer to the last step; what was made is taken away again."""
        answer: Json = {}
        made: list[str] = []
        for verb, plural, what in steps:
            if verb == "create":
                answer = self.ask("POST", self.path(plural), what)
            else:
                name = answer["metadata"]["name"]
                answer = self.ask("PUT", self.path(plural, name), api_cases.edited(answer, what))
            if answer["kind"] != "Status":
                made.append(self.path(plural, answer["metadata"]["name"]))
        for path in set(made):
            self.away(path)
        return answer

    def away(self, path: str) -> None:
        """Take an object away, finalizers or not."""
        body = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0}
        gone = self.ask("DELETE", path, body)
        if gone.get("metadata", {}).get("finalizers"):
            gone["metadata"]["finalizers"] = []
            self.ask("PUT", path, gone)
        if gone["kind"] == "Namespace":
            gone["spec"]["finalizers"] = []
            self.ask("PUT", path + "/finalize", gone)


def read_texts(asker: Asker) -> Json:
    """What selectors choose or why they do not, and how amounts are written."""
    pods = asker.path("pods")
    for name, labels in api_texts.LABELS.items():
        asker.ask("POST", pods, api_cases.edited(api_cases.POD, {"metadata": {"name": name, "labels": labels}}))

    def chosen(parameter: str, text: str) -> Json | list[str]:
        answer = asker.ask("GET", f"{pods}?{urllib.parse.urlencode({parameter: text})}")
        return answer if answer["kind"] == "Status" else [one["metadata"]["name"] for one in answer["items"]]

    labels = {text: chosen("labelSelector", text) for text in api_texts.SELECTORS}
    fields = {text: chosen("fieldSelector", text) for text in api_texts.FIELDS}
    for name in api_texts.LABELS:
        asker.away(asker.path("pods", name))
    amounts = {}
    for text in api_texts.AMOUNTS:
        pod = api_cases.edited(
            api_cases.POD,
            {"spec.containers.0.resources": {"limits": {"example.com/x": "1", "ephemeral-storage": text}}},
        )
        answer = asker.ask("POST", f"{pods}?dryRun=All", pod)
        if answer["kind"] == "Status":
            amounts[text] = answer["message"]
        else:
            amounts[text] = answer["spec"]["containers"][0]["resources"]["limits"]["ephemeral-storage"]
    return {"labels": labels, "fields": fields, "amounts": amounts}


def main() -> None:
    """Record all."""
    asker = Asker(sys.argv[1], sys.argv[2])
    TEXTS.write_text(json.dumps(read_texts(asker), indent=1) + "\n")
    answers = {
        group: {name: asker.case(steps) for name, steps in getattr(api_cases, group).items()}
        for group in ("DEFAULTS", "REFUSED", "CHANGED")
    }
    for cases in answers.values():
        for answer in cases.values():
            answer["metadata"].pop("managedFields", None)
    ANSWERS.write_text(json.dumps(answers, separators=(",", ":")).replace('},"', '},\n"') + "\n")
    seen = {name: asker.session(steps) for name, steps in api_sessions.SESSIONS.items()}
    for session in seen.values():
        for obj in (*session["answers"], *(one["object"] for kind in session["seen"].values() for one in kind)):
            api_sessions.trim(obj)
    SEEN.write_text(json.dumps(seen, separators=(",", ":")).replace('},"', '},\n"') + "\n")


if __name__ == "__main__":
    main()
