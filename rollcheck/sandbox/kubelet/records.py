"""What the kubelet knows of a container, and how the API shows it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from rollcheck.sandbox.trees import Json

NEVER = "1970-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Waiting:
    """It does not run and did not end, or is to be started again."""

    reason: str = "ContainerCreating"
    message: str = ""

    def state(self) -> Json:
        """As in containerStatuses[].state."""
        return {"waiting": {"reason": self.reason, **({"message": self.message} if self.message else {})}}


@dataclass(frozen=True, slots=True)
class Running:
    """It runs; `since` is its start as the API shows it, `at` the same in seconds since the epoch."""

    since: str
    at: float

    def state(self) -> Json:
        """As in containerStatuses[].state."""
        return {"running": {"startedAt": self.since}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """It ended.

    Attributes:
        code: exit code, 128 + signal for one that died of a signal.
        reason: Completed, Error or StartError.
        started_at: as the API shows it; the epoch when it never ran.
        finished_at: as the API shows it.
        at: its end in seconds since the epoch.
        container_id: whose end it was.
    """

    code: int
    reason: str
    message: str = ""
    started_at: str
    finished_at: str
    at: float
    container_id: str

    def state(self) -> Json:
        """As in containerStatuses[].state and lastState."""
        shown: Json = {"containerID": self.container_id, "exitCode": self.code, "finishedAt": self.finished_at}
        shown |= {"reason": self.reason, "startedAt": self.started_at}
        return {"terminated": {**shown, **({"message": self.message} if self.message else {})}}


State = Waiting | Running | Ended


@dataclass(eq=False)
class Record:
    """One container of a pod.

    Attributes:
        spec: its part of the manifest.
        init: whether it is an init container, sidecars included.
        sidecar: whether it is an init container that goes on running.
        state: what it does now.
        last: how the attempt before this one ended.
        restarts: attempts after the first.
        container_id: of the present attempt, "" before the first.
        image: the image as the runtime names it, once there is an attempt.
        started: whether it runs and its startup probe, if any, succeeded.
        ready: whether it is ready; an init container is when it has succeeded.
        shown: whether its status says that it runs; it is not probed before.
    """

    spec: Json
    init: bool = False
    sidecar: bool = False
    state: State = field(default_factory=Waiting)
    last: Ended | None = None
    restarts: int = 0
    container_id: str = ""
    image: str = ""
    image_id: str = ""
    started: bool = False
    ready: bool = False
    shown: bool = False

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.spec["name"])

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return isinstance(self.state, Running)

    @property
    def ended(self) -> Ended | None:
        """How its latest attempt ended; None while it runs or never ran."""
        if isinstance(self.state, Ended):
            return self.state
        return self.last if isinstance(self.state, Waiting) else None

    def wait(self, reason: str, message: str = "") -> None:
        """It is to be started again, or cannot be started."""
        if isinstance(self.state, Ended):
            self.last = self.state
        self.state = Waiting(reason, message)
        self.started = self.ready = False

    def create(self, container_id: str, image: str, image_id: str) -> None:
        """A new attempt exists, which does not run yet."""
        if self.container_id:
            self.restarts += 1
        if isinstance(self.state, Ended):
            self.last = self.state
        self.container_id, self.image, self.image_id = container_id, image, image_id

    def run(self, since: str, at: float) -> None:
        """It runs."""
        self.state = Running(since, at)
        self.shown = False
        self.started = "startupProbe" not in self.spec
        self.ready = self.started and "readinessProbe" not in self.spec and (not self.init or self.sidecar)

    def end(self, ended: Ended) -> None:
        """It ended."""
        self.state = ended
        self.started = False
        self.ready = self.init and not self.sidecar and ended.code == 0

    def settle(self) -> None:
        """The pod ends: what waits to be started again will not be, and shows how it ended."""
        if isinstance(self.state, Waiting) and self.last is not None:
            self.state, self.last = self.last, None

    def status(self) -> Json:
        """As in containerStatuses."""
        shown: Json = {
            "image": self.image or self.spec["image"],
            "imageID": self.image_id,
            "lastState": self.last.state() if self.last is not None else {},
            "name": self.name,
            "ready": self.ready,
            "restartCount": self.restarts,
            "started": self.started,
            "state": self.state.state(),
        }
        if self.container_id:
            shown["containerID"] = self.container_id
            shown["resources"] = self.spec.get("resources", {})
            if requests := shown["resources"].get("requests"):
                shown["allocatedResources"] = requests
        if stop := self.spec.get("lifecycle", {}).get("stopSignal"):
            shown["stopSignal"] = stop
        if mounts := self.spec.get("volumeMounts"):
            shown["volumeMounts"] = [shown_mount(mount) for mount in mounts]
        return shown


def shown_mount(mount: Json) -> Json:
    """A mount as in containerStatuses[].volumeMounts."""
    shown = {"mountPath": mount["mountPath"], "name": mount["name"]}
    return shown | ({"readOnly": True, "recursiveReadOnly": "Disabled"} if mount.get("readOnly") else {})
