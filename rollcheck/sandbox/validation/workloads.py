"""What makes pods (`pkg/apis/apps/validation/validation.go`, `pkg/apis/batch/validation/validation.go`)."""

from __future__ import annotations

from typing import Any

from rollcheck.sandbox.names import label_faults
from rollcheck.sandbox.selectors import of_object
from rollcheck.sandbox.trees import Json
from rollcheck.sandbox.validation.causes import (
    IMMUTABLE,
    Causes,
    amount,
    at_most_all,
    faults,
    forbidden,
    invalid,
    not_negative,
    number_or_percent,
    one_of,
    required,
    unsupported,
)
from rollcheck.sandbox.validation.metadata import check_selector, same
from rollcheck.sandbox.validation.pods import check_template

NO_MATCH = "`selector` does not match template `labels`"
CHANGEABLE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)
"""What of a StatefulSet's spec can change; the list in its message is this one."""
OTHERWISE = (
    "updates to statefulset spec for fields other than "
    + ", ".join(f"'{name}'" for name in CHANGEABLE[:-1])
    + f" and '{CHANGEABLE[-1]}' are forbidden"
)


def _check_labels(path: str, spec: Json) -> Causes:
    labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    if not of_object(spec.get("selector")).matches(labels):
        shown = None if labels is None else dict(sorted(labels.items()))
        yield invalid(f"{path}.template.metadata.labels", shown, NO_MATCH)


def _readable(selector: Json) -> bool:
    return not any(True for _ in check_selector("", selector))


def _check_chosen(path: str, spec: Json, kind: str) -> Causes:
    """The selector, and that it chooses the template."""
    selector = spec.get("selector")
    if selector is None:
        yield required(f"{path}.selector")
        yield from _check_labels(path, spec)
        return
    yield from check_selector(f"{path}.selector", selector)
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        yield invalid(f"{path}.selector", selector, f"empty selector is invalid for {kind}")
    if not _readable(selector):
        words = "" if kind == "statefulset" else "invalid label selector"
        yield invalid(f"{path}.selector", _without_empty(selector), words)
    else:
        yield from _check_labels(path, spec)


def _check_restarts(path: str, template: Json) -> Causes:
    spec = template.get("spec") or {}
    if spec.get("restartPolicy") != "Always":
        yield unsupported(f"{path}.spec.restartPolicy", spec.get("restartPolicy"), ("Always",))
    if spec.get("activeDeadlineSeconds") is not None:
        what = "activeDeadlineSeconds in ReplicaSet is not Supported"
        yield forbidden(f"{path}.spec.activeDeadlineSeconds", what)


def check_deployment(deployment: Json) -> Causes:
    """A Deployment."""
    spec = deployment["spec"]
    yield from not_negative("spec.replicas", spec.get("replicas"))
    selector = spec.get("selector")
    if selector is None:
        yield required("spec.selector")
    else:
        yield from check_selector("spec.selector", selector)
        if not selector.get("matchLabels") and not selector.get("matchExpressions"):
            yield invalid("spec.selector", {}, "empty selector is invalid for deployment")
    if selector is not None and not _readable(selector):
        yield invalid("spec.selector", _without_empty(selector), "invalid label selector")
    else:
        yield from _check_labels("spec", spec)
        yield from check_template("spec.template", spec["template"])
        yield from _check_restarts("spec.template", spec["template"])
    yield from _check_strategy("spec.strategy", spec.get("strategy") or {})
    yield from not_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    yield from not_negative("spec.revisionHistoryLimit", spec.get("revisionHistoryLimit"))
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None:
        yield from not_negative("spec.progressDeadlineSeconds", deadline)
        if deadline <= spec.get("minReadySeconds", 0):
            yield invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")


def _without_empty(selector: Json) -> Json:
    shown = {key: value for key, value in selector.items() if value}
    if "matchExpressions" in shown:
        shown["matchExpressions"] = [
            {key: part for key, part in one.items() if part} for one in shown["matchExpressions"]
        ]
    return shown


def _check_strategy(path: str, strategy: Json) -> Causes:
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if kind == "Recreate":
        if rolling is not None:
            yield forbidden(f"{path}.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'")
    elif kind == "RollingUpdate":
        yield from _check_rolling(f"{path}.rollingUpdate", rolling or {})
    else:
        yield unsupported(path, _go_strategy(kind, rolling), ("Recreate", "RollingUpdate"))


def _go_strategy(kind: Any, rolling: Json | None) -> Json:
    """A strategy as Go prints its struct."""
    if rolling is None:
        return {"Type": kind, "RollingUpdate": None}
    parts = {"MaxUnavailable": rolling.get("maxUnavailable", 0), "MaxSurge": rolling.get("maxSurge", 0)}
    return {"Type": kind, "RollingUpdate": parts}


def _check_rolling(path: str, rolling: Json) -> Causes:
    unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    yield from number_or_percent(f"{path}.maxUnavailable", unavailable)
    yield from number_or_percent(f"{path}.maxSurge", surge)
    if amount(unavailable) == 0 and amount(surge) == 0:
        yield invalid(f"{path}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0")
    yield from at_most_all(f"{path}.maxUnavailable", unavailable)


def check_deployment_update(deployment: Json, old: Json) -> Causes:
    """A changed Deployment."""
    yield from check_deployment(deployment)
    yield from check_selector_kept(deployment, old)


def check_selector_kept(obj: Json, old: Json) -> Causes:
    """That the selector is the one it was born with."""
    selector = obj["spec"].get("selector")
    if not same(old["spec"].get("selector"), selector):
        yield invalid("spec.selector", selector, IMMUTABLE)


def check_replica_set(replica_set: Json) -> Causes:
    """A ReplicaSet."""
    spec = replica_set["spec"]
    yield from not_negative("spec.replicas", spec.get("replicas"))
    yield from not_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    yield from _check_chosen("spec", spec, "deployment")
    yield from check_template("spec.template", spec["template"])
    yield from _check_restarts("spec.template", spec["template"])


def check_replica_set_update(replica_set: Json, old: Json) -> Causes:
    """A changed ReplicaSet."""
    yield from check_replica_set(replica_set)
    yield from check_selector_kept(replica_set, old)


def check_stateful_set(stateful_set: Json) -> Causes:
    """A new StatefulSet."""
    yield from _check_stateful_set(stateful_set)
    name = stateful_set["spec"].get("serviceName")
    if name:
        yield from faults("spec.serviceName", name, label_faults(name))


def _check_stateful_set(stateful_set: Json) -> Causes:
    spec = stateful_set["spec"]
    policy = spec.get("podManagementPolicy")
    if policy not in ("OrderedReady", "Parallel"):
        yield invalid("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'")
    strategy = spec.get("updateStrategy") or {}
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if kind == "OnDelete":
        if rolling is not None:
            what = "only allowed for updateStrategy 'RollingUpdate'"
            yield invalid("spec.updateStrategy.rollingUpdate", rolling, what)
    elif kind == "RollingUpdate":
        yield from not_negative("spec.updateStrategy.rollingUpdate.partition", (rolling or {}).get("partition"))
    else:
        parts = None if rolling is None else {"Partition": rolling.get("partition"), "MaxUnavailable": None}
        yield invalid(
            "spec.updateStrategy", {"Type": kind, "RollingUpdate": parts}, "must be 'RollingUpdate' or 'OnDelete'"
        )
    yield from not_negative("spec.replicas", spec.get("replicas"))
    yield from not_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    retention = spec.get("persistentVolumeClaimRetentionPolicy") or {}
    for when in ("whenDeleted", "whenScaled"):
        yield from one_of(
            f"spec.persistentVolumeClaimRetentionPolicy.{when}", retention.get(when), ("Retain", "Delete")
        )
    yield from not_negative("spec.ordinals.start", (spec.get("ordinals") or {}).get("start"))
    yield from _check_chosen("spec", spec, "statefulset")
    volumes = [{"name": claim["metadata"].get("name", "")} for claim in spec.get("volumeClaimTemplates") or ()]
    yield from check_template("spec.template", _with_volumes(spec["template"], volumes))
    yield from _check_restarts("spec.template", spec["template"])


def _with_volumes(template: Json, claims: list[Json]) -> Json:
    """The template as its pods will have it: a claim is a volume of its own name."""
    own = template.get("spec") or {}
    taken = {claim["name"] for claim in claims}
    volumes = [volume for volume in own.get("volumes") or () if volume.get("name") not in taken]
    return {**template, "spec": {**own, "volumes": [*volumes, *claims]}}


def check_stateful_set_update(stateful_set: Json, old: Json) -> Causes:
    """A changed StatefulSet: little can be."""
    yield from _check_stateful_set(stateful_set)
    before, after = (
        {key: value for key, value in one["spec"].items() if key not in CHANGEABLE} for one in (old, stateful_set)
    )
    if not same(before, after):
        yield forbidden("spec", OTHERWISE)


def check_daemon_set(daemon_set: Json) -> Causes:
    """A DaemonSet."""
    spec = daemon_set["spec"]
    selector = spec.get("selector")
    yield from check_selector("spec.selector", selector)
    if selector is not None and not selector.get("matchLabels") and not selector.get("matchExpressions"):
        yield invalid("spec.selector", selector, "empty selector is invalid for daemonset")
    if selector is None or _readable(selector):
        yield from _check_labels("spec", spec)
    yield from check_template("spec.template", spec["template"])
    yield from _check_restarts("spec.template", spec["template"])
    yield from not_negative("spec.minReadySeconds", spec.get("minReadySeconds"))
    yield from _check_daemon_strategy("spec.updateStrategy", spec.get("updateStrategy") or {})
    yield from not_negative("spec.revisionHistoryLimit", spec.get("revisionHistoryLimit"))


def _check_daemon_strategy(path: str, strategy: Json) -> Causes:
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if kind == "OnDelete":
        return
    if kind != "RollingUpdate":
        yield unsupported(path, _go_strategy(kind, rolling), ("RollingUpdate", "OnDelete"))
        return
    rolling, here = rolling or {}, f"{path}.rollingUpdate"
    unavailable, surge = rolling.get("maxUnavailable"), rolling.get("maxSurge")
    for name, value in (("maxUnavailable", unavailable), ("maxSurge", surge)):
        yield from number_or_percent(f"{here}.{name}", value)
        yield from at_most_all(f"{here}.{name}", value)
    if amount(unavailable) != 0 and amount(surge) != 0:
        yield invalid(f"{here}.maxSurge", surge, "may not be set when maxUnavailable is non-zero")
    elif amount(unavailable) == 0 and amount(surge) == 0:
        yield required(f"{here}.maxUnavailable", "cannot be 0 when maxSurge is 0")


def check_daemon_set_update(daemon_set: Json, old: Json) -> Causes:
    """A changed DaemonSet."""
    yield from check_selector_kept(daemon_set, old)
    yield from check_daemon_set(daemon_set)


def check_job(job: Json) -> Causes:
    """A Job, its selector being made already."""
    spec = job["spec"]
    for name in ("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "backoffLimitPerIndex"):
        yield from not_negative(f"spec.{name}", spec.get(name))
    yield from not_negative("spec.ttlSecondsAfterFinished", spec.get("ttlSecondsAfterFinished"))
    mode = spec.get("completionMode")
    if mode not in ("NonIndexed", "Indexed"):
        yield unsupported("spec.completionMode", mode, ("NonIndexed", "Indexed"))
    yield from check_selector("spec.selector", spec.get("selector"))
    if not spec.get("manualSelector"):
        expected = {"matchLabels": {"batch.kubernetes.io/controller-uid": job["metadata"]["uid"]}}
        if spec.get("selector") != expected:
            yield invalid("spec.selector", spec.get("selector"), "`selector` not auto-generated")
    yield from _check_labels("spec", spec)
    yield from check_template("spec.template", spec["template"])
    policy = spec["template"]["spec"].get("restartPolicy")
    if policy not in ("OnFailure", "Never"):
        path = "spec.template.spec.restartPolicy"
        if policy == "Always":
            yield required(path, 'valid values: "OnFailure", "Never"')
        else:
            yield from one_of(path, policy, ("OnFailure", "Never"))


def check_job_update(job: Json, old: Json) -> Causes:
    """A changed Job: its template and what it is for stay."""
    yield from check_job(job)
    spec, before = job["spec"], old["spec"]
    elastic = spec.get("completionMode") == "Indexed" and spec.get("completions") == spec.get("parallelism")
    names = ["selector", "template", "completionMode", "podFailurePolicy", "backoffLimitPerIndex"]
    if not elastic:
        names.insert(0, "completions")
    for name in names:
        if not same(before.get(name), spec.get(name)):
            yield invalid(f"spec.{name}", spec.get(name), IMMUTABLE)
