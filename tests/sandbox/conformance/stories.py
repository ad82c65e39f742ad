"""The steps that are taken on both sides; each in a namespace of its own, with everything in it watched."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.sandbox.conformance.watching import Stage

sys.path.append(str(Path(__file__).parents[2] / "cluster"))
from workloads import SHELL, Workload

Json = dict[str, Any]
IMAGE = "rollcheck.test/python:3"
RESTARTED = {"spec": {"template": {"metadata": {"annotations": {"restarted": "at"}}}}}


async def begin(stage: Stage, workload: Workload, *, wait: bool = True) -> None:
    """Deploy it, and wait until it is available."""
    for obj in workload.objects(IMAGE, "nginx", "x.test"):
        await stage.create(obj)
    if wait:
        await stage.until(lambda: stage.available("web", workload.replicas))


async def ended(stage: Stage, before: set[str], replicas: int) -> None:
    """Wait until none of those pods is there any more, and so many others are."""
    await stage.until(lambda: not before & stage.pod_names() and stage.available("web", replicas))


async def a_rollout(stage: Stage) -> None:
    await begin(stage, Workload(env={"ON_TERM": "exit"}, replicas=2))
    before = stage.pod_names()
    await stage.patch("deployments", "web", RESTARTED)
    await ended(stage, before, 2)


async def recreate(stage: Stage) -> None:
    await begin(stage, Workload(env={"ON_TERM": "drain", "DRAIN_WAIT": "0"}, replicas=2, strategy="Recreate"))
    before = stage.pod_names()
    await stage.patch("deployments", "web", RESTARTED)
    await ended(stage, before, 2)


async def a_prestop_hook(stage: Stage) -> None:
    await begin(stage, Workload(env={"ON_TERM": "exit"}, replicas=1, prestop_s=3))
    before = stage.pod_names()
    await stage.delete("pods", next(iter(before)))
    await ended(stage, before, 1)


async def a_failing_prestop_hook(stage: Stage) -> None:
    workload = Workload(env={"ON_TERM": "exit"}, replicas=1, prestop_s=3, prestop="exec")
    made = workload.objects(IMAGE, "nginx", "x.test")
    hook = made[1]["spec"]["template"]["spec"]["containers"][0]["lifecycle"]["preStop"]["exec"]
    hook["command"] = ["sh", "-c", "exit 3"]
    for obj in made:
        await stage.create(obj)
    await stage.until(lambda: stage.available("web", 1))
    before = stage.pod_names()
    await stage.delete("pods", next(iter(before)))
    await ended(stage, before, 1)


async def a_shell_that_swallows_sigterm(stage: Stage) -> None:
    await begin(stage, Workload(command=SHELL, replicas=1, grace_s=3))
    before = stage.pod_names()
    await stage.delete("pods", next(iter(before)))
    await ended(stage, before, 1)


async def a_grace_that_is_shortened(stage: Stage) -> None:
    await begin(stage, Workload(env={"ON_TERM": "ignore"}, replicas=1, grace_s=60))
    before = stage.pod_names()
    await stage.delete("pods", next(iter(before)), {"gracePeriodSeconds": 30})
    await stage.delete("pods", next(iter(before)), {"gracePeriodSeconds": 3})
    await ended(stage, before, 1)


async def a_forced_deletion(stage: Stage) -> None:
    await begin(stage, Workload(env={"ON_TERM": "drain", "DRAIN_WAIT": "1"}, replicas=1))
    before = stage.pod_names()
    await stage.delete("pods", next(iter(before)), {"gracePeriodSeconds": 0})
    await ended(stage, before, 1)


async def an_app_that_crashes(stage: Stage) -> None:
    await begin(stage, Workload(command=("sh", "-c", "sleep 1; exit 3"), replicas=1, readiness=False), wait=False)
    await stage.to_the_end(lambda: stage.waiting_for("CrashLoopBackOff"))


async def a_liveness_probe_that_fails(stage: Stage) -> None:
    made = Workload(env={"ON_TERM": "exit"}, replicas=1).objects(IMAGE, "nginx", "x.test")
    container = made[1]["spec"]["template"]["spec"]["containers"][0]
    container["livenessProbe"] = {"tcpSocket": {"port": 9}, "periodSeconds": 1, "failureThreshold": 4}
    for obj in made:
        await stage.create(obj)
    await stage.to_the_end(stage.restarted)


async def an_image_that_is_nowhere(stage: Stage) -> None:
    workload = Workload(replicas=1)
    for obj in workload.objects("rollcheck.test/nope:1", "nginx", "x.test"):
        await stage.create(obj)
    await stage.to_the_end(lambda: stage.waiting_for("ImagePullBackOff"))


async def a_budget_that_blocks(stage: Stage) -> None:
    await begin(stage, Workload(env={"ON_TERM": "exit"}, replicas=1))
    before = stage.pod_names()
    pod = next(iter(before))
    await stage.create(budget("one"))
    await stage.until_object("poddisruptionbudgets", "one", lambda raw: raw["status"].get("observedGeneration") == 1)
    await stage.evict(pod)
    await stage.create(budget("two"))
    await stage.until_object("poddisruptionbudgets", "two", lambda raw: raw["status"].get("observedGeneration") == 1)
    await stage.evict(pod)
    await stage.delete("poddisruptionbudgets", "one")
    await stage.delete("poddisruptionbudgets", "two")
    await stage.evict(pod)
    await ended(stage, before, 1)


def budget(name: str) -> Json:
    """A PodDisruptionBudget that allows nothing."""
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": name}, "spec": spec}


async def what_is_refused(stage: Stage) -> None:
    await stage.create({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": {"ports": []}})
    deployment = Workload(replicas=0).objects(IMAGE, "nginx", "x.test")[1]
    await stage.create({**deployment, "spec": {**deployment["spec"], "replicas": "two"}})
    await stage.create({**deployment, "spec": {**deployment["spec"], "replicas": -1}})
    await stage.create({**deployment, "spec": {**deployment["spec"], "selector": {"matchLabels": {"app": "other"}}}})
    await stage.create(deployment)
    await stage.create(deployment)
    await stage.patch("deployments", "web", {"spec": {"selector": {"matchLabels": {"app": "other"}}}})
    await stage.patch("deployments", "nobody", RESTARTED)
    await stage.delete("pods", "nobody")
    await stage.evict("nobody")


STORIES: tuple[Callable[[Stage], Awaitable[None]], ...] = (
    a_rollout,
    recreate,
    a_prestop_hook,
    a_failing_prestop_hook,
    a_shell_that_swallows_sigterm,
    a_grace_that_is_shortened,
    a_forced_deletion,
    an_app_that_crashes,
    a_liveness_probe_that_fails,
    an_image_that_is_nowhere,
    a_budget_that_blocks,
    what_is_refused,
)
