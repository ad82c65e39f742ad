"""HorizontalPodAutoscalers without metrics: their bounds are kept, nothing else is.

There is no metrics server in a sandbox. As in a cluster without one the autoscaler says so in its conditions; a
workload outside minReplicas and maxReplicas is brought inside, which Kubernetes does before it looks at any metric.
"""

from __future__ import annotations

from collections.abc import Mapping

from rollcheck.sandbox.controllers import conditions
from rollcheck.sandbox.controllers.base import Controller, Handler
from rollcheck.sandbox.controllers.deployment_status import size_of
from rollcheck.sandbox.controllers.objects import generation_of, key_of, status_of
from rollcheck.sandbox.controllers.workqueue import Key
from rollcheck.sandbox.resources import DEPLOYMENTS, HPAS, STATEFUL_SETS, Resource, of_kind
from rollcheck.sandbox.store import Change
from rollcheck.sandbox.trees import Json, name_of, namespace_of

NO_METRICS = "the HPA was unable to compute the replica count: the sandbox serves no metrics"
SCALED_TO_NOTHING = (
    "ScalingActive",
    "False",
    "ScalingDisabled",
    "scaling is disabled since the replica count of the target is zero",
)
READY = ("AbleToScale", "True", "SucceededGetScale", "the HPA controller was able to get the target's current scale")


class AutoscalerController(Controller):
    """Keeps workloads between the bounds of their autoscaler."""

    component = "horizontal-pod-autoscaler"

    def watched(self) -> Mapping[Resource, Handler]:
        """Autoscalers, and what they can scale."""
        return {HPAS: self.wake, DEPLOYMENTS: self._workload_changed, STATEFUL_SETS: self._workload_changed}

    def _workload_changed(self, change: Change) -> None:
        workload = change.object
        for scaler in self.registry.list(HPAS, namespace_of(workload)):
            target = scaler["spec"]["scaleTargetRef"]
            if target["kind"] == workload["kind"] and target["name"] == name_of(workload):
                self.queue.add(key_of(scaler))

    async def reconcile(self, key: Key) -> None:
        """Bring the target inside the bounds."""
        scaler = self.registry.peek(HPAS, *key)
        if scaler is None:
            return
        target = scaler["spec"]["scaleTargetRef"]
        resource = of_kind(target.get("apiVersion", ""), target["kind"])
        workload = self.registry.peek(resource, key[0], target["name"]) if resource is not None else None
        if resource is None or workload is None:
            text = f"the HPA controller was unable to get the target's current scale: {target['name']} not found"
            self._write(scaler, 0, 0, [("AbleToScale", "False", "FailedGetScale", text)])
            return
        current = size_of(workload)
        wanted, why = clamp(current, scaler["spec"])
        if wanted != current:
            self._scale(resource, workload, wanted)
            self.events.emit(scaler, "Normal", "SuccessfulRescale", f"New size: {wanted}; reason: {why}")
        if current == 0:
            self._write(scaler, 0, 0, [READY, SCALED_TO_NOTHING])
            return
        inactive = ("ScalingActive", "False", "FailedGetResourceMetric", NO_METRICS)
        self._write(scaler, int(status_of(workload).get("replicas") or 0), wanted, [READY, inactive])

    def _scale(self, resource: Resource, workload: Json, size: int) -> None:
        def change(copy: Json) -> None:
            copy["spec"]["replicas"] = size

        self.registry.modify(resource, namespace_of(workload), name_of(workload), change, manager=self.manager)

    def _write(self, scaler: Json, current: int, wanted: int, found: list[tuple[str, str, str, str]]) -> None:
        stamp, before = self.registry.clock.stamp(), status_of(scaler)
        listed = before.get("conditions")
        for condition in found:
            listed = conditions.put(listed, conditions.new_condition(*condition, stamp))
        status: Json = {
            **{key: value for key, value in before.items() if key == "lastScaleTime"},
            "currentReplicas": current,
            "desiredReplicas": wanted,
            "currentMetrics": None,
            "conditions": listed,
        }
        if generation_of(scaler):
            status["observedGeneration"] = generation_of(scaler)
        if wanted and wanted != before.get("desiredReplicas"):
            status["lastScaleTime"] = stamp
        if status != before:
            self.set_status(HPAS, scaler, status)


def clamp(current: int, spec: Json) -> tuple[int, str]:
    """(the size inside the bounds, why it differs); a target of nothing is left alone."""
    least, most = int(spec.get("minReplicas", 1)), int(spec["maxReplicas"])
    if current > most:
        return most, "Current number of replicas above Spec.MaxReplicas"
    if 0 < current < least:
        return least, "Current number of replicas below Spec.MinReplicas"
    return current, ""
