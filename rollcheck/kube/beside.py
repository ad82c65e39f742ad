"""Pods that a workload's Services have beside its own: a canary next to the stable one. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rollcheck.facts.cluster import ServiceSeen, WorkloadSeen
from rollcheck.kube.objects import selector_text, selects


def selectors_beside(services: Iterable[ServiceSeen], workloads: Sequence[WorkloadSeen]) -> tuple[str, ...]:
    """Label selectors, as the API takes them, of pods that are backends of these Services beside the workloads' own.

    None of a Service whose every pod is by its labels one of a workload's: the usual case, in which nothing more has to
    be watched. The workloads' own pods are left out where a selector can say so.
    """
    found: dict[str, None] = {}
    for service in services:
        served = [w for w in workloads if selects(service.selector, w.template_labels)]
        if not served or any(_covers(w, service) for w in served):
            continue
        terms = [f"{key}={value}" for key, value in sorted(service.selector.items())]
        found[",".join([*terms, *_but(service, served)])] = None
    return tuple(found)


def is_backend(labels: dict[str, str], services: Iterable[ServiceSeen]) -> bool:
    """Whether one of the Services selects a pod with these labels."""
    return any(selects(service.selector, labels) for service in services)


def _covers(workload: WorkloadSeen, service: ServiceSeen) -> bool:
    """Whether the labels that the Service selects by make a pod one of the workload's."""
    return not _beyond(workload, service) and _is_plain(workload)


def _beyond(workload: WorkloadSeen, service: ServiceSeen) -> dict[str, str]:
    """What the workload's selector asks for beyond the Service's."""
    return dict(workload.selector.items() - service.selector.items())


def _is_plain(workload: WorkloadSeen) -> bool:
    """Whether its selector is nothing but labels."""
    return workload.pod_selector in ("", selector_text({"matchLabels": workload.selector}))


def _but(service: ServiceSeen, served: Sequence[WorkloadSeen]) -> list[str]:
    """The term that leaves out the workloads' own pods; none where one term cannot."""
    beyond = [_beyond(w, service) for w in served if _is_plain(w)]
    keys = {key for labels in beyond for key in labels}
    if len(keys) != 1 or len(beyond) < len(served):
        return []
    (key,) = keys
    return [f"{key} notin ({','.join(sorted(labels[key] for labels in beyond))})"]
