"""Puts back what a journal says, where it still is what rollcheck made of it. Doing it twice does no harm."""

from __future__ import annotations

from collections.abc import Callable

from rollcheck.errors import ClusterError, ClusterRefused
from rollcheck.facts.actions import Step
from rollcheck.kube.actions.action import status_of, stepped, words_of
from rollcheck.kube.api import JSON_PATCH, MERGE, Api, Json
from rollcheck.kube.journal import Entry, Journal

VERBS = {"node": "uncordon", "replicas": "scale", "images": "patch", "template": "patch"}
"""Kind of a journal's entry → what putting it back is."""


async def put_back_all(
    api: Api, journal: Journal, told: Callable[[str, bool], None], record: Callable[[Step], None] | None = None
) -> bool:
    """Put back every entry, the latest first; whether nothing is left.

    Args:
        told: called with a sentence about each, and whether it is in order now.
        record: gets each write and its answer.
    """
    record = record or (lambda _: None)
    for number, entry in journal.open:
        try:
            words = await put_back(api, entry, record)
        except ClusterError as e:
            record(stepped(VERBS[entry.kind], entry.what, entry.uid, status_of(e), "other", words_of(e)))
            told(f"{entry.what} could not be put back ({e}); try again with `rollcheck cleanup`", False)
            continue
        journal.strike(number)
        if words:
            told(words, True)
    return not journal.open


async def put_back(api: Api, entry: Entry, record: Callable[[Step], None]) -> str:
    """Have one object as it was before; what was done, in a sentence, empty when it was as before already.

    Args:
        record: gets the write, once it was taken.

    Raises:
        ClusterError: the API server does not answer, or does not let us.
    """
    try:
        present = await api.get(entry.path)
    except ClusterRefused as e:
        if e.status == 404:
            return f"{entry.what} is not there any more, so nothing of it was put back"
        raise
    uid = str((present.get("metadata") or {}).get("uid") or "")
    if entry.uid and uid != entry.uid:
        return f"{entry.what} is another one by now, so it was left alone"
    words, status = await _WAYS[entry.kind](api, entry, present)
    if status is not None:
        record(stepped(VERBS[entry.kind], entry.what, entry.uid, status))
    return words


Done = tuple[str, int | None]
"""What was done, in a sentence, and the status of the write; None when there was nothing to write."""


async def _uncordon(api: Api, entry: Entry, present: Json) -> Done:
    if not (present.get("spec") or {}).get("unschedulable"):
        return "", None
    status, _ = await api.patch(entry.path, {"spec": {"unschedulable": None}})
    return f"{entry.what} was uncordoned", status


async def _rescale(api: Api, entry: Entry, present: Json) -> Done:
    replicas = (present.get("spec") or {}).get("replicas")
    replicas = 0 if replicas is None else replicas  # a Scale leaves out a 0
    wanted, made = entry.before["replicas"], entry.after["replicas"]
    if replicas == wanted:
        return "", None
    if replicas != made:
        meddled = f"{entry.what} was left at {replicas} replicas: somebody else scaled it meanwhile (it had {wanted})"
        return meddled, None
    status, _ = await api.patch(entry.path, {"spec": {"replicas": wanted}}, kind=MERGE)
    return f"{entry.what} was scaled back to {wanted}", status


async def _reimage(api: Api, entry: Entry, present: Json) -> Done:
    template = (present.get("spec") or {}).get("template") or {}
    changed: dict[str, list[Json]] = {}
    for field in ("containers", "initContainers"):
        for container in (template.get("spec") or {}).get(field) or []:
            name = str(container.get("name"))
            if name in entry.after and container.get("image") == entry.after[name] != entry.before[name]:
                changed.setdefault(field, []).append({"name": name, "image": entry.before[name]})
    if not changed:
        return "", None
    status, _ = await api.patch(entry.path, {"spec": {"template": {"spec": changed}}})
    names = ", ".join(f"{c['name']}={c['image']}" for group in changed.values() for c in group)
    return f"{entry.what} was given its image back ({names})", status


async def _retemplate(api: Api, entry: Entry, present: Json) -> Done:
    template = (present.get("spec") or {}).get("template")
    if template == entry.before:
        return "", None
    if entry.after and template != entry.after:
        return f"the template of {entry.what} was left alone: somebody else changed it meanwhile", None
    version = (present.get("metadata") or {}).get("resourceVersion")
    status, _ = await api.patch(
        entry.path,
        [
            {"op": "test", "path": "/metadata/resourceVersion", "value": version},
            {"op": "replace", "path": "/spec/template", "value": entry.before},
        ],
        kind=JSON_PATCH,
    )
    return f"{entry.what} was given its template back", status


_WAYS = {"node": _uncordon, "replicas": _rescale, "images": _reimage, "template": _retemplate}
