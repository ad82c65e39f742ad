"""Actions that give pods a new template: restart, set-image, undo. The controllers then replace them."""

from __future__ import annotations

import copy
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import trio

from rollcheck.errors import ClusterError, UsageError
from rollcheck.facts.actions import Action
from rollcheck.facts.cluster import WorkloadSeen
from rollcheck.facts.document import Fact
from rollcheck.kube import rollout
from rollcheck.kube.actions.action import Ground, Unclear, acted, is_unclear, words_of
from rollcheck.kube.actions.request import Request
from rollcheck.kube.actions.table import path_of
from rollcheck.kube.api import JSON_PATCH, STRATEGIC, Api, Json
from rollcheck.kube.journal import Entry

RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
REVISION = "deployment.kubernetes.io/revision"
HASH_LABEL = "pod-template-hash"

UNSURE_S = 30.0
"""How long we look for a change to which no answer came: an API server that is being replaced itself, or a proxy
before it, takes about as long to come back."""
LOOK_EVERY_S = 1.0

Patch = Json | list[Json]


class Rollout:
    """What the three have in common: patch each workload, then wait until every pod with the old template is gone."""

    def __init__(self, api: Api, workloads: Sequence[WorkloadSeen], asked: Request) -> None:
        self.api = api
        self.workloads = tuple(workloads)
        self.asked = asked

    @property
    def description(self) -> str:
        """As `Doing.description`."""
        return f"{self.asked.text} {_names(self.workloads)}"

    async def check(self) -> None:
        """As `Doing.check`."""
        for workload in self.workloads:
            if workload.strategy == "OnDelete":
                raise UsageError(
                    f"{workload.ref} has the strategy OnDelete, so a new template replaces no pod: set RollingUpdate, "
                    "or choose --action 'delete-pod all'"
                )
            if workload.partition and workload.partition >= workload.replicas:
                raise UsageError(
                    f"{workload.ref} has a partition of {workload.partition} and {workload.replicas} replicas, so no "
                    "pod is replaced by a new template; lower the partition first"
                )

    async def predict(self) -> list[str]:
        """As `Doing.predict`."""
        found = []
        for workload in self.workloads:
            kept = f", but for those below its partition of {workload.partition}" if workload.partition else ""
            found.append(
                f"{self.asked.name} would give {workload.ref} a new template: its {workload.replicas} pods would be "
                f"replaced{kept} ({_course(workload)})"
            )
        return found

    async def perform(self, ground: Ground) -> bool:
        """As `Doing.perform`."""
        old = {
            pod.uid
            for workload in self.workloads
            for pod in ground.pods_of(workload)
            if pod.uid in rollout.old_uids([pod]) and rollout.replaced_by_rollout(workload, pod)
        }
        for workload in self.workloads:
            ground.say(f"{self.asked.text} {workload.ref}")
            action = await self._change(ground, workload)
            if action.status is None:
                ground.give_up(
                    f"it is not known whether the {self.asked.name} began: {action.message}, and the "
                    f"{workload.kind} does not carry {self._sign} so far; look at it with `kubectl rollout status` "
                    "before you run this again"
                )
                return False
            if action.message:
                ground.note(f"{action.description}: {action.message}")

        def done() -> bool:
            present = [ground.workloads.get(w.ref) for w in self.workloads]
            gone = not old & set(ground.pods)
            return gone and all(w is not None and rollout.is_complete(w) for w in present)

        def where() -> str:
            left = len(old & set(ground.pods))
            updated = [w for w in ground.workloads.values() if w is not None]
            some = f", {sum(w.updated for w in updated)} of {sum(w.replicas for w in updated)} updated"
            return f"{left} of {len(old)} old pods left{some if updated else ''}"

        return await ground.until(done, where)

    async def stop(self, ground: Ground) -> None:
        """What the journal has is put back by whoever keeps it."""

    _sign = "its change"

    async def _change(self, ground: Ground, workload: WorkloadSeen) -> Action:
        raise NotImplementedError


class Restart(Rollout):
    """Replace every pod, as `kubectl rollout restart` does: stamp the template with the time, in whole seconds."""

    _sign = "its stamp"

    def __init__(self, api: Api, workloads: Sequence[WorkloadSeen], asked: Request) -> None:
        super().__init__(api, workloads, asked)
        self._before: dict[str, str | None] = {}

    async def stop(self, ground: Ground) -> None:
        """Give the template its former stamp: the pods that are still there then stay."""
        for workload in self.workloads:
            if workload.ref in self._before:
                await ground.api.patch(path_of(workload), _stamp(self._before[workload.ref]))
                ground.say(f"{workload.ref} was given its former template back")

    async def _change(self, ground: Ground, workload: WorkloadSeen) -> Action:
        present = await ground.api.get(path_of(workload))
        self._before[workload.ref] = _stamp_of(present) or None
        return await restart(ground.api, workload, ground.record)


class SetImage(Rollout):
    """Give containers another image, as `kubectl set image` does."""

    _sign = "the image"

    async def check(self) -> None:
        """As `Doing.check`."""
        await super().check()
        images = self.asked.images
        for workload in self.workloads:
            known = {c.name: c.image for c in workload.template.containers}
            raw = await self.api.get(path_of(workload))
            known |= _images(raw)
            missing = [name for name in images if name not in known]
            if missing:
                raise UsageError(
                    f"{workload.ref} has no container {missing[0]!r}; it has {', '.join(map(repr, sorted(known)))}"
                )
            if all(known[name] == image for name, image in images.items()):
                raise UsageError(f"{workload.ref} has that image already, so no pod would be replaced; name another")

    async def _change(self, ground: Ground, workload: WorkloadSeen) -> Action:
        raw = await ground.api.get(path_of(workload))
        template = raw["spec"]["template"]["spec"]
        images = self.asked.images
        patch: dict[str, list[Json]] = {}
        for field in ("containers", "initContainers"):
            for container in template.get(field) or []:
                if container["name"] in images:
                    patch.setdefault(field, []).append({"name": container["name"], "image": images[container["name"]]})
        before = {name: image for name, image in _images(raw).items() if name in images}
        entry = Entry(
            kind="images", path=path_of(workload), uid=workload.uid, what=workload.ref, before=before, after=images
        )
        return await _journalled(
            ground,
            entry,
            "set-image",
            f"{self.asked.text} {workload.ref}",
            {"spec": {"template": {"spec": patch}}},
            lambda now: {n: i for n, i in _images(now).items() if n in images} == images,
        )


class Undo(Rollout):
    """Go back to the template before, or to that of a revision, as `kubectl rollout undo` does."""

    _sign = "that template"

    def __init__(self, api: Api, workloads: Sequence[WorkloadSeen], asked: Request) -> None:
        super().__init__(api, workloads, asked)
        self._targets: dict[str, tuple[int, Patch, Json | None]] = {}

    async def check(self) -> None:
        """As `Doing.check`."""
        await super().check()
        wanted = int(self.asked.words[0]) if self.asked.words else 0
        for workload in self.workloads:
            self._targets[workload.ref] = await _earlier(self.api, workload, wanted)

    async def predict(self) -> list[str]:
        """As `Doing.predict`."""
        revisions = [f"{ref} would go back to revision {self._targets[ref][0]}" for ref in self._targets]
        return [*revisions, *await super().predict()]

    async def _change(self, ground: Ground, workload: WorkloadSeen) -> Action:
        path = path_of(workload)
        raw = await ground.api.get(path)
        revision, patch, template = self._targets[workload.ref]
        before = raw["spec"]["template"]
        entry = Entry(
            kind="template",
            path=path,
            uid=workload.uid,
            what=workload.ref,
            before=before,
            after=template or {},
        )
        return await _journalled(
            ground,
            entry,
            "undo",
            f"undo {workload.ref} to revision {revision}",
            patch,
            lambda now: now["spec"]["template"] != before,
        )


async def restart(api: Api, workload: WorkloadSeen, sink: Callable[[Fact], None], *, now_text: str = "") -> Action:
    """Stamp the template with the time, in whole seconds.

    When no answer comes to the patch, whether it was taken is read from the workload, for up to `UNSURE_S`: the
    action's status is None when that did not tell either.

    Args:
        api: the API server.
        workload: it is read afresh.
        sink: gets the action, whatever ends this, once the patch has been sent.
        now_text: the stamp (RFC 3339); the present time when empty.

    Raises:
        UsageError: the workload is paused, or was restarted within this very second: nothing was changed.
        ClusterError: the API server does not answer, or refused: nothing was changed.
    """
    path = path_of(workload)
    present = await api.get(path)
    if (present.get("spec") or {}).get("paused"):
        raise UsageError(
            f"{workload.ref} in namespace {workload.namespace} is paused and cannot be restarted: run "
            f"`kubectl rollout resume {workload.ref}` first"
        )
    stamp = now_text or datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if _stamp_of(present) == stamp:
        raise UsageError(f"{workload.ref} was restarted within this very second; wait a second and run this again")
    return await change(
        api,
        path,
        _stamp(stamp),
        kind="restart",
        description=f"restart {workload.ref}",
        sink=sink,
        carried=lambda now: _stamp_of(now) == stamp,
        sign=f"the {workload.kind} carries its stamp, so it was taken",
    )


async def change(
    api: Api,
    path: str,
    patch: Patch,
    *,
    kind: str,
    description: str,
    sink: Callable[[Fact], None],
    carried: Callable[[Json], bool],
    sign: str = "the workload carries it, so it was taken",
) -> Action:
    """Patch an object once; of a patch without an answer, look whether it was taken.

    Args:
        carried: whether the object, as it is, shows that it was.
        sink: gets the action, whatever ends this, once the patch has been sent.
    """
    started = time.monotonic_ns()
    status, words = await _send(api, path, patch)
    action = acted(kind, description, started, status, words)
    try:
        if status is None and await _is_carried(lambda: api.get(path), carried):
            action = acted(kind, description, started, 200, f"{words}; {sign}")
    finally:
        sink(action)
    return action


async def _journalled(
    ground: Ground, entry: Entry, kind: str, description: str, patch: Patch, carried: Callable[[Json], bool]
) -> Action:
    """The change, entered into the journal before; struck out again when the API server refused it for certain."""
    number = ground.journal.enter(entry)
    try:
        return await change(
            ground.api, entry.path, patch, kind=kind, description=description, sink=ground.record, carried=carried
        )
    except ClusterError:
        ground.journal.strike(number)
        raise


async def _send(api: Api, path: str, patch: Patch) -> tuple[int | None, str]:
    """The status of the answer; None, and why, when none came from which one could tell whether it was taken."""
    try:
        status, _ = await api.patch(path, patch, kind=JSON_PATCH if isinstance(patch, list) else STRATEGIC)
    except Unclear as e:
        if not is_unclear(e):
            raise
        return None, f"the API server gave no clear answer ({words_of(e)})"
    return status, ""


async def _is_carried(get: Callable[[], Awaitable[Json]], carried: Callable[[Json], bool]) -> bool:
    """Whether the object comes to show the change within `UNSURE_S`."""
    with trio.move_on_after(UNSURE_S):
        while True:
            try:
                if carried(await get()):
                    return True
            except ClusterError:
                pass  # it may come back
            await trio.sleep(LOOK_EVERY_S)
    return False


async def _earlier(api: Api, workload: WorkloadSeen, wanted: int) -> tuple[int, Patch, Json | None]:
    """The revision to go back to, the patch that does it, and the template that comes of it where that is known.

    Raises:
        UsageError: there is none, or it is what the workload has already.
    """
    history = await _history(api, workload)
    present = max(history, default=0)
    earlier = sorted(n for n in history if n != present)
    if not history or (not wanted and not earlier):
        raise UsageError(f"{workload.ref} has no earlier revision to go back to (see: kubectl rollout history)")
    revision = wanted or earlier[-1]
    if revision not in history:
        raise UsageError(f"{workload.ref} has no revision {revision}; there are {', '.join(map(str, sorted(history)))}")
    if revision == present:
        raise UsageError(f"{workload.ref} is at revision {revision} already, so no pod would be replaced")
    patch, template = history[revision]
    return revision, patch, template


async def _history(api: Api, workload: WorkloadSeen) -> dict[int, tuple[Patch, Json | None]]:
    """Revision → the patch that goes back to it, and its template."""
    resource = "replicasets" if workload.kind == "Deployment" else "controllerrevisions"
    path = f"/apis/apps/v1/namespaces/{workload.namespace}/{resource}"
    found: dict[int, tuple[Patch, Json | None]] = {}
    for raw in (await api.list_all(path, {"labelSelector": workload.pod_selector})).items:
        meta: Json = raw.get("metadata") or {}
        owners: list[Any] = meta.get("ownerReferences") or []
        if not any(o.get("controller") and o.get("uid") == workload.uid for o in owners):
            continue
        if workload.kind != "Deployment":
            found[int(raw.get("revision") or 0)] = (raw.get("data") or {}, None)
            continue
        template = copy.deepcopy(raw["spec"]["template"])
        ((template.get("metadata") or {}).get("labels") or {}).pop(HASH_LABEL, None)
        revision = str((meta.get("annotations") or {}).get(REVISION) or "")
        if revision.isdecimal():
            found[int(revision)] = ([{"op": "replace", "path": "/spec/template", "value": template}], template)
    return found


def _names(workloads: Sequence[WorkloadSeen]) -> str:
    return ", ".join(w.ref for w in workloads)


def _course(workload: WorkloadSeen) -> str:
    if workload.strategy != "RollingUpdate":
        return f"strategy {workload.strategy}"
    return f"maxSurge {workload.max_surge}, maxUnavailable {workload.max_unavailable}"


def _images(raw: Json) -> dict[str, str]:
    """Container → image, init containers included."""
    spec = ((raw.get("spec") or {}).get("template") or {}).get("spec") or {}
    return {
        str(c.get("name")): str(c.get("image"))
        for field in ("initContainers", "containers")
        for c in spec.get(field) or []
    }


def _stamp(stamp: str | None) -> Json:
    return {"spec": {"template": {"metadata": {"annotations": {RESTARTED_AT: stamp}}}}}


def _stamp_of(workload: Json) -> str:
    template = (workload.get("spec") or {}).get("template") or {}
    return str(((template.get("metadata") or {}).get("annotations") or {}).get(RESTARTED_AT) or "")
