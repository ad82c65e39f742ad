"""Puts back what a journal says, where it still is what rollcheck made of it. Doing it twice does no harm."""

from __future__ import annotations

from collections.abc import Callable

from rollcheck.errors import ClusterError, ClusterRefused
from rollcheck.kube.api import JSON_PATCH, MERGE, Api, Json
from rollcheck.kube.journal import Entry, Journal


async def put_back_all(api: Api, journal: Journal, told: Callable[[str, bool], None]) -> bool:
    """Put back every entry, the latest first; whether nothing is left.

    Args:
        told: called with a sentence about each, and whether it is in order now.
    """
    for number, entry in journal.open:
        try:
            words = await put_back(api, entry)
        except ClusterError as e:
            told(f"{entry.what} could not be put back ({e}); try again with `rollcheck cleanup`", False)
            continue
        journal.strike(number)
        if words:
            told(words, True)
    return not journal.open


async def put_back(api: Api, entry: Entry) -> str:
    """Have one object as it was before; what was done, in a sentence, empty when it was as before already.

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
    return await _WAYS[entry.kind](api, entry, present)


async def _uncordon(api: Api, entry: Entry, present: Json) -> str:
    if not (present.get("spec") or {}).get("unschedulable"):
        return ""
    await api.patch(entry.path, {"spec": {"unschedulable": None}})
    return f"{entry.what} was uncordoned"


async def _rescale(api: Api, entry: Entry, present: Json) -> str:
    replicas = (present.get("spec") or {}).get("replicas")
    replicas = 0 if replicas is None else replicas  # a Scale leaves out a 0
    wanted, made = entry.before["replicas"], entry.after["replicas"]
    if replicas == wanted:
        return ""
    if replicas != made:
        return f"{entry.what} was left at {replicas} replicas: somebody else scaled it meanwhile (it had {wanted})"
    await api.patch(entry.path, {"spec": {"replicas": wanted}}, kind=MERGE)
    return f"{entry.what} was scaled back to {wanted}"


async def _reimage(api: Api, entry: Entry, present: Json) -> str:
    template = (present.get("spec") or {}).get("template") or {}
    changed: dict[str, list[Json]] = {}
    for field in ("containers", "initContainers"):
        for container in (template.get("spec") or {}).get(field) or []:
            name = str(container.get("name"))
            if name in entry.after and container.get("image") == entry.after[name] != entry.before[name]:
                changed.setdefault(field, []).append({"name": name, "image": entry.before[name]})
    if not changed:
        return ""
    await api.patch(entry.path, {"spec": {"template": {"spec": changed}}})
    names = ", ".join(f"{c['name']}={c['image']}" for group in changed.values() for c in group)
    return f"{entry.what} was given its image back ({names})"


async def _retemplate(api: Api, entry: Entry, present: Json) -> str:
    template = (present.get("spec") or {}).get("template")
    if template == entry.before:
        return ""
    if entry.after and template != entry.after:
        return f"the template of {entry.what} was left alone: somebody else changed it meanwhile"
    version = (present.get("metadata") or {}).get("resourceVersion")
    await api.patch(
        entry.path,
        [
            {"op": "test", "path": "/metadata/resourceVersion", "value": version},
            {"op": "replace", "path": "/spec/template", "value": entry.before},
        ],
        kind=JSON_PATCH,
    )
    return f"{entry.what} was given its template back"


_WAYS = {"node": _uncordon, "replicas": _rescale, "images": _reimage, "template": _retemplate}
