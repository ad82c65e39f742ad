"""Budgets, autoscalers, configuration, claims, nodes."""

from __future__ import annotations

import re
from typing import Any

from rollcheck.sandbox.trees import Json
from rollcheck.sandbox.validation.causes import (
    IMMUTABLE,
    Causes,
    at_most_all,
    forbidden,
    invalid,
    not_negative,
    number_or_percent,
    one_of,
    required,
    unsupported,
)
from rollcheck.sandbox.validation.metadata import check_selector, same

EVICTION_POLICIES = ("AlwaysAllow", "IfHealthyBudget")
KEY_WORDS = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  "
    "or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
TLS_KEYS = ("tls.crt", "tls.key")
DATA_AT_MOST = 1024 * 1024
FROZEN = "field is immutable when `immutable` is set"
CLAIM_KEPT = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"


def check_budget(budget: Json) -> Causes:
    """A PodDisruptionBudget: one of its two numbers."""
    spec = budget.get("spec") or {}
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    if least is not None and most is not None:
        shown = {
            "MinAvailable": least,
            "Selector": spec.get("selector"),
            "MaxUnavailable": most,
            "UnhealthyPodEvictionPolicy": spec.get("unhealthyPodEvictionPolicy"),
        }
        yield invalid("spec", shown, "minAvailable and maxUnavailable cannot be both set")
    for name, value in (("minAvailable", least), ("maxUnavailable", most)):
        yield from number_or_percent(f"spec.{name}", value)
        yield from at_most_all(f"spec.{name}", value)
    policy = spec.get("unhealthyPodEvictionPolicy")
    if policy is not None and policy not in EVICTION_POLICIES:
        yield unsupported("spec.unhealthyPodEvictionPolicy", policy, EVICTION_POLICIES)
    yield from check_selector("spec.selector", spec.get("selector"))


def check_budget_status(budget: Json) -> Causes:
    """What its controller counted."""
    for name in ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"):
        yield from not_negative(f"status.{name}", (budget.get("status") or {}).get(name))


def check_autoscaler(autoscaler: Json) -> Causes:
    """A HorizontalPodAutoscaler."""
    spec = autoscaler.get("spec") or {}
    least, most = spec.get("minReplicas"), spec.get("maxReplicas", 0)
    if least is not None and least < 1:
        yield invalid("spec.minReplicas", least, "must be greater than or equal to 1")
    if most < 1:
        yield invalid("spec.maxReplicas", most, "must be greater than 0")
    if least is not None and most < least:
        yield invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`")
    target = spec.get("scaleTargetRef") or {}
    for part in ("kind", "name"):
        if not target.get(part):
            yield required(f"spec.scaleTargetRef.{part}")
    version = target.get("apiVersion", "")
    if "/" not in version:
        yield invalid("spec.scaleTargetRef.apiVersion", version, "apiVersion must specify API group")


def _check_keys(data: Json, path: str) -> Causes:
    for key in sorted(data):
        if len(key) > 253:
            yield invalid(f"{path}[{key}]", key, "must be no more than 253 characters")
        if not re.fullmatch(r"[-._a-zA-Z0-9]+", key):
            yield invalid(f"{path}[{key}]", key, KEY_WORDS)


def _check_size(size: int) -> Causes:
    if size > DATA_AT_MOST:
        yield type(required(""))("FieldValueTooLong", f"Too long: may not be more than {DATA_AT_MOST} bytes")


def check_config_map(config_map: Json) -> Causes:
    """A ConfigMap."""
    data, binary = config_map.get("data") or {}, config_map.get("binaryData") or {}
    yield from _check_keys(data, "data")
    for key in sorted(data):
        if key in binary:
            yield invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
    yield from _check_keys(binary, "binaryData")
    yield from _check_size(sum(len(str(value)) for value in (*data.values(), *binary.values())))


def check_config_map_update(config_map: Json, old: Json) -> Causes:
    """A changed ConfigMap."""
    if old.get("immutable"):
        if not config_map.get("immutable"):
            yield forbidden("immutable", FROZEN)
        for part in ("data", "binaryData"):
            if not same(old.get(part), config_map.get(part)):
                yield forbidden(part, FROZEN)
    yield from check_config_map(config_map)


def check_secret(secret: Json) -> Causes:
    """A Secret."""
    data = secret.get("data") or {}
    yield from _check_keys(data, "data")
    if secret.get("type") == "kubernetes.io/tls":
        for key in TLS_KEYS:
            if key not in data:
                yield required(f"data[{key}]")
    yield from _check_size(sum(len(str(value)) for value in data.values()))


def check_secret_update(secret: Json, old: Json) -> Causes:
    """A changed Secret."""
    if secret.get("type") != old.get("type"):
        yield invalid("type", secret.get("type"), IMMUTABLE)
    if old.get("immutable") and not same(old.get("data"), secret.get("data")):
        yield forbidden("data", FROZEN)
    yield from check_secret(secret)


def check_claim(claim: Json) -> Causes:
    """A PersistentVolumeClaim."""
    spec = claim.get("spec") or {}
    if not spec.get("accessModes"):
        yield required("spec.accessModes", "at least 1 access mode is required")
    for mode in spec.get("accessModes") or ():
        modes = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
        yield from one_of("spec.accessModes", mode, modes)
    if not ((spec.get("resources") or {}).get("requests") or {}).get("storage"):
        yield required("spec.resources[storage]")


def check_claim_update(claim: Json, old: Json) -> Causes:
    """A changed claim."""
    yield from check_claim(claim)
    changeable = ("volumeAttributesClassName", "volumeName")
    before, after = ({key: part for key, part in one["spec"].items() if key not in changeable} for one in (old, claim))
    if not same(before, after):
        yield forbidden("spec", f"{CLAIM_KEPT}\n- {_short(before)}\n+ {_short(after)}\n")


def _short(value: Any) -> str:
    return str(value)[:300]
