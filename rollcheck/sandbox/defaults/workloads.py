"""Defaults of what makes pods (`pkg/apis/apps/v1/defaults.go`, `pkg/apis/batch/v1/defaults.go`)."""

from __future__ import annotations

from rollcheck.sandbox.defaults import others
from rollcheck.sandbox.defaults.pods import fill_template
from rollcheck.sandbox.trees import Json

HISTORY, DEADLINE_S, BACKOFF = 10, 600, 6
NO_BACKOFF_LIMIT = 2**31 - 1
TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"


def fill_deployment(deployment: Json) -> None:
    """One replica, rolled a quarter at a time."""
    spec = deployment.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", HISTORY)
    spec.setdefault("progressDeadlineSeconds", DEADLINE_S)
    strategy = spec.setdefault("strategy", {})
    _fill_type(strategy)
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")
    _drop_zeros(spec, "minReadySeconds")
    fill_template(spec.setdefault("template", {}))


def _fill_type(strategy: Json) -> None:
    strategy["type"] = strategy.get("type") or "RollingUpdate"


def _drop_zeros(spec: Json, *names: str) -> None:
    for name in names:
        if name in spec and not spec[name]:
            del spec[name]


def fill_replica_set(replica_set: Json) -> None:
    """One replica."""
    spec = replica_set.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    _drop_zeros(spec, "minReadySeconds")
    fill_template(spec.setdefault("template", {}))


def fill_stateful_set(stateful_set: Json) -> None:
    """One replica; in order, all of them updated."""
    spec = stateful_set.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    spec["podManagementPolicy"] = spec.get("podManagementPolicy") or "OrderedReady"
    spec.setdefault("revisionHistoryLimit", HISTORY)
    strategy = spec.setdefault("updateStrategy", {})
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
        strategy.setdefault("rollingUpdate", {})
    if strategy["type"] == "RollingUpdate" and "rollingUpdate" in strategy:
        strategy["rollingUpdate"].setdefault("partition", 0)
    if "ordinals" in spec:
        spec["ordinals"].setdefault("start", 0)
    retention = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
    for when in ("whenDeleted", "whenScaled"):
        retention[when] = retention.get(when) or "Retain"
    for claim in spec.get("volumeClaimTemplates") or ():
        claim["apiVersion"], claim["kind"] = "v1", "PersistentVolumeClaim"
        others.fill_claim(claim)
        claim.setdefault("status", {"phase": "Pending"})
    spec.setdefault("serviceName", "")
    _drop_zeros(spec, "minReadySeconds")
    fill_template(spec.setdefault("template", {}))


def fill_daemon_set(daemon_set: Json) -> None:
    """One pod after the other, the old one first."""
    spec = daemon_set.setdefault("spec", {})
    spec.setdefault("revisionHistoryLimit", HISTORY)
    strategy = spec.setdefault("updateStrategy", {})
    _fill_type(strategy)
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", 1)
        rolling.setdefault("maxSurge", 0)
    _drop_zeros(spec, "minReadySeconds")
    fill_template(spec.setdefault("template", {}))


def fill_job(job: Json) -> None:
    """One pod to completion, tried again six times."""
    spec = job.setdefault("spec", {})
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    spec.setdefault("backoffLimit", NO_BACKOFF_LIMIT if "backoffLimitPerIndex" in spec else BACKOFF)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("manualSelector", False)
    spec.setdefault("podReplacementPolicy", "Failed" if "podFailurePolicy" in spec else "TerminatingOrFailed")
    for rule in (spec.get("podFailurePolicy") or {}).get("rules") or ():
        for pattern in rule.get("onPodConditions") or ():
            pattern.setdefault("status", "True")
    template = spec.setdefault("template", {})
    fill_template(template)
    if not job["metadata"].get("labels") and template["metadata"].get("labels"):
        job["metadata"]["labels"] = dict(template["metadata"]["labels"])


def select_own_pods(job: Json) -> None:
    """Give a new Job the labels and the selector that only its own pods match (`job/strategy.go`, generateSelector)."""
    spec, metadata = job["spec"], job["metadata"]
    uid, name = metadata["uid"], metadata.get("name", "")
    if not spec.get("manualSelector"):
        labels = spec["template"]["metadata"].setdefault("labels", {})
        for key, value in (
            ("controller-uid", uid),
            ("job-name", name),
            ("batch.kubernetes.io/controller-uid", uid),
            ("batch.kubernetes.io/job-name", name),
        ):
            labels.setdefault(key, value)
        chosen = spec.setdefault("selector", {}).setdefault("matchLabels", {})
        chosen.setdefault("batch.kubernetes.io/controller-uid", uid)
    if not metadata.get("labels"):
        metadata["labels"] = dict(spec["template"]["metadata"].get("labels") or {})


def count_template(daemon_set: Json, old: Json | None) -> None:
    """Keep the annotation that counts a DaemonSet's templates, which kubectl shows."""
    annotations = daemon_set["metadata"].setdefault("annotations", {})
    if old is None:
        annotations[TEMPLATE_GENERATION] = "1"
        return
    before = int((old["metadata"].get("annotations") or {}).get(TEMPLATE_GENERATION, 1))
    changed = old["spec"]["template"] != daemon_set["spec"]["template"]
    annotations[TEMPLATE_GENERATION] = str(before + changed)
