"""The Roles of `deploy/rbac`: each is enough for its action, and without one of its verbs that verb is named."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from blackbox import CLUSTER_FAILURE, GRACEFUL, INCONCLUSIVE, Ended, environment, rollcheck
from conftest import Story
from workloads import Workload

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("rights")]
Tell = Callable[..., Story]
RBAC = Path(__file__).parents[2] / "deploy" / "rbac"
ACTIONS = {
    "restart": "restart",
    "set-image": "set-image app=rollcheck.test/no-such-image:1",
    "undo": "undo",
    "scale": "scale 3",
    "delete-pod": "delete-pod",
    "evict": "evict",
    "drain": "drain",
}
OPTIONAL = ("replicasets", "endpointslices", "events", "services", "ingresses", "horizontalpodautoscalers", "leases",
            "poddisruptionbudgets", "persistentvolumeclaims", "persistentvolumes")  # fmt: skip


@dataclass
class Account:
    """A ServiceAccount of the story's namespace, and what it may do."""

    story: Story
    kubeconfig: Path

    def may(self, roles: list[Any]) -> None:
        """Exactly this."""
        name = f"rollcheck-{self.story.ns.name}"
        self.story.ns.cluster.kubectl("delete", "clusterrolebinding", name, "--ignore-not-found")
        made = []
        for role in roles:
            kind = role["kind"]
            subject = {"kind": "ServiceAccount", "name": "checker", "namespace": self.story.ns.name}
            where = {} if kind == "ClusterRole" else {"namespace": self.story.ns.name}
            meta = {"name": name, **where}
            ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}
            made += [
                role | {"metadata": meta},
                {
                    "apiVersion": "rbac.authorization.k8s.io/v1",
                    "kind": f"{kind}Binding",
                    "metadata": meta,
                    "subjects": [subject],
                    "roleRef": ref,
                },
            ]
        self.story.ns.cluster.kubectl(
            "apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": made})
        )

    def run(self, action: str, *flags: str) -> Ended:
        """As this account."""
        out = self.story.folder / f"{action.partition(' ')[0]}-{len(list(self.story.folder.iterdir()))}"
        base = ("run", "--deploy", "web", "-n", self.story.ns.name, "--url", self.story.url, "--out", str(out))
        short = ("--qps", "20", "--baseline", "1s", "--tail", "1s", "--good-answers", "2", "-o", "json")
        env = environment(KUBECONFIG=str(self.kubeconfig), XDG_STATE_HOME=str(self.story.folder / "state"))
        return rollcheck(*base, *short, "--action", action, *flags, out=out, env=env)


@contextmanager
def account_of(story: Story, folder: Path) -> Iterator[Account]:
    """A ServiceAccount in the story's namespace, which may do nothing yet; its kubeconfig lies in `folder`."""
    cluster = story.ns.cluster
    story.ns.kubectl("create", "serviceaccount", "checker")
    token = story.ns.kubectl("create", "token", "checker").strip()
    config = json.loads(cluster.kubectl("config", "view", "--minify", "--raw", "--flatten", "-o", "json"))
    config["users"][0]["user"] = {"token": token}
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config))
    yield Account(story=story, kubeconfig=path)
    name = f"rollcheck-{story.ns.name}"
    cluster.kubectl("delete", "clusterrole,clusterrolebinding", name, "--ignore-not-found")


@pytest.fixture(scope="module")
def account(tell: Tell, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    story = tell(Workload(replicas=2, env={"ON_TERM": "drain", "DRAIN_WAIT": "3"}))
    with account_of(story, tmp_path_factory.mktemp("account")) as made:
        yield made


def roles(action: str) -> list[Any]:
    return list(yaml.safe_load_all((RBAC / f"{action}.yaml").read_text()))


def asked(action: str, account: Account) -> str:
    """The action as it is asked for, on this workload."""
    if action != "drain":
        return ACTIONS[action]
    return f"drain {account.story.ns.pods('web')[0]['spec']['nodeName']}"


@pytest.mark.parametrize("action", ACTIONS)
def test_the_role_is_enough(account: Account, action: str):
    if action == "undo":
        account.story.ns.kubectl("rollout", "restart", "deployment/web")
    account.story.ns.wait_available("web")
    account.may(roles(action))
    run = account.run(asked(action, account))

    assert run.code in (GRACEFUL, INCONCLUSIVE), run
    assert "403" not in run.stderr, run
    assert not any("no right to" in line or "cannot be watched" in line for line in run.result["blind"]), run
    if action != "set-image":
        assert sum(1 for pod in run.old_pods if pod["deleted"]) >= 1, run


def without() -> Iterator[tuple[str, str, str]]:
    """Each (action, resource, verb) that its files have and that it cannot be without."""
    for action in ACTIONS:
        seen = set()
        for role in roles(action):
            for rule in role["rules"]:
                for resource in rule["resources"]:
                    for verb in rule["verbs"]:
                        history = (action, resource, verb) == ("undo", "replicasets", "list")
                        needed = resource not in OPTIONAL or history
                        own = action == "restart" or verb in ("create", "patch", "delete") or role["kind"] != "Role"
                        if needed and (own or history) and (resource, verb) not in seen:
                            seen.add((resource, verb))
                            yield action, resource, verb


@pytest.mark.parametrize(("action", "resource", "verb"), list(without()))
def test_without_one_verb_that_verb_is_named_and_nothing_changed(
    account: Account, action: str, resource: str, verb: str
):
    generation = account.story.ns.generation("web")
    account.may([less(role, resource, verb) for role in roles(action)])
    run = account.run(asked(action, account))

    assert run.code == CLUSTER_FAILURE, run
    assert f"{verb} {resource}" in run.stderr, run
    assert account.story.ns.generation("web") == generation


def less(role: Any, resource: str, verb: str) -> Any:
    """The role without that verb on that resource, wherever it has it."""
    rules = []
    for rule in role["rules"]:
        others = [r for r in rule["resources"] if r != resource]
        if others:
            rules.append(rule | {"resources": others})
        if resource in rule["resources"] and (verbs := [v for v in rule["verbs"] if v != verb]):
            rules.append(rule | {"resources": [resource], "verbs": verbs})
    return role | {"rules": rules}
