"""Pods and pod templates, volumes included (`pkg/apis/core/validation/validation.go`)."""

from __future__ import annotations

from typing import Any

from rollcheck.sandbox.names import ADDRESS_WORDS, is_address, label_faults, qualified_faults, subdomain_faults
from rollcheck.sandbox.trees import Json
from rollcheck.sandbox.validation.causes import (
    Causes,
    duplicate,
    faults,
    forbidden,
    invalid,
    one_of,
    required,
    unsupported,
)
from rollcheck.sandbox.validation.containers import (
    Around,
    check_containers,
    check_descent,
    check_field,
    check_hostname,
    check_init_containers,
    check_node_name,
)
from rollcheck.sandbox.validation.metadata import check_annotations, check_labels, same

RESTART_POLICIES = ("Always", "OnFailure", "Never")
DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
MOST = 2**31 - 1
DOWNWARD = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
VOLUME_KINDS = (
    "emptyDir",
    "hostPath",
    "gitRepo",
    "secret",
    "nfs",
    "persistentVolumeClaim",
    "downwardAPI",
    "configMap",
    "projected",
    "csi",
    "ephemeral",
)
UPDATABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def check_template(path: str, template: Json) -> Causes:
    """A pod template: labels, annotations and spec."""
    metadata = template.get("metadata") or {}
    # The real paths of these two are without "metadata".
    yield from check_labels(f"{path}.labels", metadata.get("labels") or {})
    yield from check_annotations(f"{path}.annotations", metadata.get("annotations") or {})
    yield from check_spec(f"{path}.spec", template.get("spec") or {})


def check_spec(path: str, spec: Json) -> Causes:
    """What is to run."""
    grace = spec.get("terminationGracePeriodSeconds", 30)
    volumes = frozenset(volume.get("name", "") for volume in spec.get("volumes") or ())
    pod = Around(volumes, grace, (spec.get("os") or {}).get("name", ""))
    yield from _check_volumes(f"{path}.volumes", spec.get("volumes") or [])
    containers = spec.get("containers") or []
    yield from check_containers(f"{path}.containers", containers, pod)
    names = {container.get("name", "") for container in containers}
    inits = spec.get("initContainers") or []
    yield from check_init_containers(f"{path}.initContainers", inits, names, pod)
    yield from one_of(f"{path}.restartPolicy", spec.get("restartPolicy"), RESTART_POLICIES)
    yield from one_of(f"{path}.dnsPolicy", spec.get("dnsPolicy"), DNS_POLICIES)
    yield from check_labels(f"{path}.nodeSelector", spec.get("nodeSelector") or {})
    if spec.get("nodeName"):
        yield from check_node_name(f"{path}.nodeName", spec["nodeName"])
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= MOST:
        yield invalid(f"{path}.activeDeadlineSeconds", deadline, f"must be between 1 and {MOST}, inclusive")
    for part in ("runAsUser", "runAsGroup", "fsGroup"):
        number = (spec.get("securityContext") or {}).get(part)
        if number is not None and not 0 <= number <= MOST:
            yield invalid(f"{path}.securityContext.{part}", number, f"must be between 0 and {MOST}, inclusive")
    for part in ("hostname", "subdomain"):
        if spec.get(part):
            yield from check_hostname(f"{path}.{part}", spec[part])
    yield from _check_aliases(f"{path}.hostAliases", spec.get("hostAliases") or [])
    for index, gate in enumerate(spec.get("readinessGates") or ()):
        kind = gate.get("conditionType", "")
        yield from faults(f"{path}.readinessGates[{index}].conditionType", kind, qualified_faults(kind))
    yield from _check_tolerations(f"{path}.tolerations", spec.get("tolerations") or [])
    yield from _check_spreads(f"{path}.topologySpreadConstraints", spec.get("topologySpreadConstraints") or [])


def _check_aliases(path: str, aliases: list[Json]) -> Causes:
    for index, alias in enumerate(aliases):
        address = alias.get("ip", "")
        if not is_address(address):
            yield invalid(f"{path}[{index}].ip", address, ADDRESS_WORDS)
        for place, name in enumerate(alias.get("hostnames") or ()):
            yield from faults(f"{path}[{index}].hostnames[{place}]", name, subdomain_faults(name))


def _check_volumes(path: str, volumes: list[Json]) -> Causes:
    names: set[str] = set()
    for index, volume in enumerate(volumes):
        here = f"{path}[{index}]"
        yield from _check_volume(here, volume)
        name = volume.get("name", "")
        if not name:
            yield required(f"{here}.name")
            continue
        found = list(faults(f"{here}.name", name, label_faults(name)))
        yield from found
        if not found and name in names:
            yield duplicate(f"{here}.name", name)
        names.add(name)


def _check_volume(path: str, volume: Json) -> Causes:
    found = 0
    for kind in VOLUME_KINDS:
        if kind not in volume:
            continue
        if found:
            yield forbidden(f"{path}.{kind}", "may not specify more than 1 volume type")
        else:
            yield from _check_source(f"{path}.{kind}", kind, volume[kind])
        found += 1


def _check_source(path: str, kind: str, source: Json) -> Causes:
    if kind == "configMap" and not source.get("name"):
        yield required(f"{path}.name")
    if kind == "secret" and not source.get("secretName"):
        yield required(f"{path}.secretName")
    if kind == "persistentVolumeClaim" and not source.get("claimName"):
        yield required(f"{path}.claimName")
    if kind == "hostPath" and not source.get("path"):
        yield required(f"{path}.path")
    mode = source.get("defaultMode")
    if mode is not None and not 0 <= mode <= 0o777:
        yield invalid(f"{path}.defaultMode", mode, "must be a number between 0 and 0777 (octal), both inclusive")
    for index, item in enumerate(source.get("items") or ()):
        if kind == "downwardAPI":
            yield from _check_downward(path, item)
        else:
            yield from _check_item(f"{path}.items[{index}]", item)
    for index, one in enumerate(source.get("sources") or ()):
        yield from _check_projection(f"{path}.sources[{index}]", one)


def _check_item(path: str, item: Json) -> Causes:
    if not item.get("key"):
        yield required(f"{path}.key")
    if not item.get("path"):
        yield required(f"{path}.path")
    yield from check_descent(f"{path}.path", item.get("path", ""))


def _check_downward(path: str, item: Json) -> Causes:
    """A file about the pod itself; the real paths are without the item's index."""
    if not item.get("path"):
        yield required(f"{path}.path")
    yield from check_descent(f"{path}.path", item.get("path", ""))
    if "fieldRef" in item:
        yield from check_field(f"{path}.fieldRef", item["fieldRef"], DOWNWARD)
    elif "resourceFieldRef" not in item:
        yield required(path, "one of fieldRef and resourceFieldRef is required")


def _check_projection(path: str, source: Json) -> Causes:
    for kind in ("configMap", "secret"):
        if kind in source and not source[kind].get("name"):
            yield required(f"{path}.{kind}.name")


def _check_tolerations(path: str, tolerations: list[Json]) -> Causes:
    for index, one in enumerate(tolerations):
        here = f"{path}[{index}]"
        operator = one.get("operator") or "Equal"
        if one.get("key"):
            yield from faults(f"{here}.key", one["key"], qualified_faults(one["key"]))
        elif operator != "Exists":
            yield invalid(
                f"{here}.operator",
                one.get("operator", ""),
                'operator must be Exists when `key` is empty, which means "match all values and all keys"',
            )
        if "tolerationSeconds" in one and one.get("effect") != "NoExecute":
            what = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            yield invalid(f"{here}.effect", one.get("effect", ""), what)
        if operator == "Exists" and one.get("value"):
            yield invalid(f"{here}.operator", one["value"], "value must be empty when `operator` is 'Exists'")
        if operator not in ("Exists", "Equal"):
            yield unsupported(f"{here}.operator", operator, ("Equal", "Exists"))
        if one.get("effect"):
            yield from one_of(f"{here}.effect", one["effect"], EFFECTS)


def _check_spreads(path: str, constraints: list[Json]) -> Causes:
    for index, one in enumerate(constraints):
        here = f"{path}[{index}]"
        if one.get("maxSkew", 0) <= 0:
            yield invalid(f"{here}.maxSkew", one.get("maxSkew", 0), "must be greater than zero")
        if not one.get("topologyKey"):
            yield required(f"{here}.topologyKey", "can not be empty")
        yield from one_of(
            f"{here}.whenUnsatisfiable", one.get("whenUnsatisfiable", ""), ("DoNotSchedule", "ScheduleAnyway")
        )


def check_pod(pod: Json) -> Causes:
    """A new pod."""
    return check_spec("spec", pod.get("spec") or {})


def check_pod_update(pod: Json, old: Json) -> Causes:
    """Of a pod's spec only images, a deadline, and more tolerations can change."""
    new_spec, old_spec = pod.get("spec") or {}, old.get("spec") or {}
    yield from check_spec("spec", new_spec)
    for part in ("containers", "initContainers"):
        if len(new_spec.get(part) or ()) != len(old_spec.get(part) or ()):
            yield forbidden(f"spec.{part}", "pod updates may not add or remove containers")
            return
    if not same(_unchangeable(old_spec), _unchangeable(new_spec)):
        yield forbidden("spec", f"{UPDATABLE}{_difference(old_spec, new_spec)}")
    kept = [{**one, "tolerationSeconds": None} for one in new_spec.get("tolerations") or ()]
    if any({**one, "tolerationSeconds": None} not in kept for one in old_spec.get("tolerations") or ()):
        yield forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds")


def _unchangeable(spec: Json) -> Json:
    rest: Json = {key: value for key, value in spec.items() if key not in ("activeDeadlineSeconds", "tolerations")}
    for part in ("containers", "initContainers"):
        rest[part] = [{**container, "image": ""} for container in spec.get(part) or ()]
    return rest


def _difference(old: Json, new: Json) -> str:
    """What changed, a line each; the real server prints a diff of its own structs here."""
    lines = ["\n"]
    for key in sorted({*old, *new}):
        if old.get(key) != new.get(key):
            lines += [f"- {_short(key, old.get(key))}\n", f"+ {_short(key, new.get(key))}\n"]
    return "".join(lines)


def _short(key: str, value: Any) -> str:
    text = f'"{key}": {value!r}'
    return text if len(text) < 300 else text[:300] + "…"
