"""One container: its image, its configuration, its start, its hooks, its end, and the next attempt.

Source: Kubernetes 1.34, pkg/kubelet/kuberuntime/kuberuntime_container.go startContainer, images/image_manager.go,
kuberuntime_manager.go doBackOff; the messages are theirs.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Protocol

import trio

from rollcheck.sandbox.environment import ConfigFailure, Environment, expand, service_links
from rollcheck.sandbox.images import Image, has_tag
from rollcheck.sandbox.kubelet.hooks import run_hook
from rollcheck.sandbox.kubelet.host import Host
from rollcheck.sandbox.kubelet.logs import log_file
from rollcheck.sandbox.kubelet.records import NEVER, Ended, Record, Waiting
from rollcheck.sandbox.kubelet.restarts import BackOff, duration, should_restart
from rollcheck.sandbox.probes import Place
from rollcheck.sandbox.resources import SERVICES
from rollcheck.sandbox.trees import Json
from rollcheck.sandbox.volumes import PathMap, mount, working_folder
from rollcheck.sandbox.warden import Command, Process, SpawnFailed

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SYSTEM_FOLDERS = ("/usr/", "/bin/", "/sbin/", "/opt/")
PULL_REASONS = ("ErrImagePull", "ImagePullBackOff")
CONFIG_REASONS = ("CreateContainerConfigError", "InvalidImageName", "ErrImageNeverPull")
SETTLE_S = 1.0
"""How long ErrImagePull is shown before it becomes ImagePullBackOff."""


class StartFailure(Exception):
    """A container cannot be created.

    Attributes:
        reason: what its waiting state says; the event says "Error: " and `event`.
    """

    def __init__(self, reason: str, message: str, event: str = "") -> None:
        super().__init__(message)
        self.reason = reason
        self.event = event or reason


class PodSide(Protocol):
    """What a container needs of its pod."""

    object: Json
    folder: Path
    ip: str
    ports: dict[int, int]
    volumes: dict[str, Path]

    def publish(self) -> None:
        """Write the pod's status."""

    async def stop_after_failed_hook(self, container: Container) -> None:
        """End a container whose postStart hook failed."""


class Container:
    """One container of a pod on this node.

    Args:
        host: the node.
        pod: its pod.
        record: what is known of it.
    """

    def __init__(self, host: Host, pod: PodSide, record: Record) -> None:
        self.host = host
        self.pod = pod
        self.record = record
        self.process: Process | None = None
        self.image: Image | None = None
        self.env: dict[str, str] = {}
        self.paths = PathMap({})
        self.folder = pod.folder
        self.crashes = BackOff(host.timing.crash_backoff, host.timing.crash_backoff_max)
        self.pulls = BackOff(host.timing.pull_backoff, host.timing.pull_backoff_max)
        self.pull_failure = ""
        self.restarting = False

    @property
    def name(self) -> str:
        """Its name."""
        return self.record.name

    @property
    def pod_full_name(self) -> str:
        """The pod as the kubelet's messages name it."""
        meta = self.pod.object["metadata"]
        return f"{meta['name']}_{meta['namespace']}({meta['uid']})"

    def event(self, kind: str, reason: str, message: str) -> None:
        """Tell of this container."""
        part = "initContainers" if self.record.init else "containers"
        self.host.event(self.pod.object, kind, reason, message, field_path=f"spec.{part}{{{self.name}}}")

    # The life of it

    async def keep(self) -> None:
        """Watch the present attempt, and start the next ones, until it has ended for good."""
        while True:
            killed = False
            if self.process is not None:
                await self.process.exited.wait()
                self.settle_exit()
                killed, self.restarting = self.restarting, False
            ended = self.record.ended
            restarts = ended is None or self.restarts(ended.code)
            if ended is not None and not (killed and restarts):
                await self.host.relisted()
                self.pod.publish()
            if not restarts:
                return
            await self.wait_for_next(killed=killed)
            if await self.attempt():
                await self.host.relisted()
            self.pod.publish()

    def restarts(self, code: int) -> bool:
        """Whether it is started again after this exit code."""
        policy = str(self.pod.object["spec"].get("restartPolicy", "Always"))
        return should_restart(init=self.record.init, sidecar=self.record.sidecar, policy=policy, code=code)

    async def attempt(self) -> bool:
        """Start it once; whether it runs and its postStart hook succeeded."""
        self.process = None
        try:
            self.image = self.pull()
            command = self.configure(self.image)
        except StartFailure as failure:
            self.record.wait(failure.reason, str(failure))
            self.event("Warning", "Failed", f"Error: {failure.event}")
            return False
        self.event("Normal", "Created", f"Created container: {self.name}")
        try:
            self.process = await self.host.warden.spawn(command)
        except SpawnFailed as failure:
            self.fail_to_start(command.argv, failure)
            return False
        now = self.host.registry.clock
        self.record.run(now.stamp(), self.host.wall())
        self.event("Normal", "Started", f"Started container {self.name}")
        return await self.post_start()

    def fail_to_start(self, argv: Sequence[str], failure: SpawnFailed) -> None:
        """The program cannot be executed: a container runtime creates the container and fails to start it, code 128."""
        message = (
            "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create "
            f'failed: unable to start container process: error during container init: exec: "{argv[0]}": {failure}'
        )
        stamp = self.host.registry.clock.stamp()
        self.record.end(
            Ended(
                code=128,
                reason="StartError",
                message=message,
                started_at=NEVER,
                finished_at=stamp,
                at=self.host.wall(),
                container_id=self.record.container_id,
            )
        )
        self.event("Warning", "Failed", f"Error: {message}")
        self.record.wait("RunContainerError", message)

    async def post_start(self) -> bool:
        """Run the postStart hook; when it fails the container is killed."""
        hook = self.record.spec.get("lifecycle", {}).get("postStart")
        if not hook:
            return True
        failure = await self.run_hook(hook)
        if not failure:
            return True
        self.event("Warning", "FailedPostStartHook", "PostStartHook failed")
        await self.pod.stop_after_failed_hook(self)
        self.settle_exit()
        self.record.wait("PostStartHookError", failure)
        self.process = None
        return False

    def settle_exit(self) -> None:
        """Record the end of the present attempt, once."""
        process, state = self.process, self.record.state
        if process is None or process.code is None or not self.record.running:
            return
        assert not isinstance(state, Waiting | Ended)
        self.record.end(
            Ended(
                code=process.code,
                reason="Completed" if process.code == 0 else "Error",
                started_at=state.since,
                finished_at=self.host.registry.clock.stamp(),
                at=self.host.wall(),
                container_id=self.record.container_id,
            )
        )
        self.process = None

    # Between attempts

    async def wait_for_next(self, *, killed: bool) -> None:
        """Wait as long as the kubelet does before the next attempt, and show why.

        Where a probe's failure ended it, the kubelet starts it again in the same breath: what counts then is how long
        ago the attempt before that one ended.
        """
        state = self.record.state
        reason = state.reason if isinstance(state, Waiting) else ""
        if reason in PULL_REASONS:
            await self.wait_for_pull()
        elif reason in CONFIG_REASONS:
            await trio.sleep(self.host.timing.resync)
        elif (ended := self.record.last if killed else self.record.ended) is not None:
            await self.wait_after_crash(ended)

    async def wait_after_crash(self, ended: Ended) -> None:
        """CrashLoopBackOff, if it is time for that; it is shown with the next look at the pod, 10 to 15 s later."""
        while self.crashes.remaining(ended.at, self.host.wall()) > 0:
            wait = duration(self.crashes.wait)
            message = f"back-off {wait} restarting failed container={self.name} pod={self.pod_full_name}"
            self.event(
                "Warning", "BackOff", f"Back-off restarting failed container {self.name} in pod {self.pod_full_name}"
            )
            await trio.sleep(self.host.timing.resync * random.uniform(1.0, 1.5))
            self.record.wait("CrashLoopBackOff", message)
            self.pod.publish()
        self.crashes.next(ended.at, self.host.wall())

    async def wait_for_pull(self) -> None:
        """ImagePullBackOff until the image may be asked for again."""
        await trio.sleep(min(SETTLE_S, self.host.timing.pull_backoff / 2))
        while (remaining := self.pulls.remaining(self.pulls.updated, self.host.wall())) > 0:
            message = f'Back-off pulling image "{self.record.spec["image"]}"'
            self.event("Normal", "BackOff", message)
            self.event("Warning", "Failed", "Error: ImagePullBackOff")
            self.record.wait("ImagePullBackOff", f"{message}: ErrImagePull: {self.pull_failure}")
            self.pod.publish()
            await trio.sleep(min(remaining, self.host.timing.resync))

    # Image and configuration

    def pull(self) -> Image:
        """The image, with the events of having it.

        Raises:
            StartFailure: there is none.
        """
        reference = str(self.record.spec["image"])
        try:
            image = self.host.images.find(reference)
        except ValueError as e:
            message = f'Failed to apply default image tag "{reference}": couldn\'t parse image name "{reference}": {e}'
            self.event("Warning", "InspectFailed", message)
            raise StartFailure("InvalidImageName", message) from e
        named = reference if has_tag(reference) or "@" in reference else f"{reference}:latest"
        policy = self.record.spec.get("imagePullPolicy") or ("Always" if named.endswith(":latest") else "IfNotPresent")
        if image is not None and policy != "Always":
            self.event("Normal", "Pulled", f'Container image "{reference}" already present on machine')
            return image
        if policy == "Never":
            message = f'Container image "{reference}" is not present with pull policy of Never'
            self.event("Warning", "ErrImageNeverPull", message)
            raise StartFailure("ErrImageNeverPull", message)
        self.event("Normal", "Pulling", f'Pulling image "{named}"')
        if image is None:
            self.pull_failure = (
                f'rpc error: code = NotFound desc = failed to pull and unpack image "{full_name(named)}": '
                f"the sandbox has no such image: give it a command with --map {reference}=COMMAND"
            )
            self.event("Warning", "Failed", f'Failed to pull image "{named}": {self.pull_failure}')
            now = self.host.wall()
            self.pulls.next(now, now)
            raise StartFailure("ErrImagePull", self.pull_failure, "ErrImagePull")
        done = f'Successfully pulled image "{named}" in 1ms (1ms including waiting). Image size: 0 bytes.'
        self.event("Normal", "Pulled", done)
        return image

    def configure(self, image: Image) -> Command:
        """What is to be run, and where; the attempt is counted from here on.

        Raises:
            StartFailure: something that it refers to is missing.
        """
        pod, spec = self.pod.object, self.record.spec
        root = self.pod.folder / "containers" / self.name
        root.mkdir(parents=True, exist_ok=True)
        try:
            raw = self.environment().of(spec, self.base_environment(image, root))
            self.paths = mount(spec, root, self.pod.volumes, raw)
            self.folder = working_folder(spec, root, self.paths)
        except ConfigFailure as e:
            raise StartFailure("CreateContainerConfigError", str(e), str(e)) from e
        kept = self.base_environment(image, root)
        self.env = {k: v if kept.get(k) == v else self.paths.apply(v) for k, v in raw.items()}
        if image.folder is not None and not spec.get("workingDir"):
            self.folder = image.folder
        argv = self.command_line(image, raw)
        attempt = self.record.restarts + 1 if self.record.container_id else 0
        log = log_file(self.host.folder, pod, self.name, attempt)
        log.parent.mkdir(parents=True, exist_ok=True)
        self.record.create(
            "rollcheck://" + hashlib.sha256(f"{pod['metadata']['uid']}/{self.name}/{attempt}".encode()).hexdigest(),
            full_name(str(spec["image"])),
            f"{full_name(str(spec['image']))}@sha256:{hashlib.sha256(' '.join(image.command).encode()).hexdigest()}",
        )
        return self.command_of(argv, image, log=log)

    def command_line(self, image: Image, env: dict[str, str]) -> list[str]:
        """Program and arguments: the manifest's command and args, or the image's."""
        spec = self.record.spec
        words = [*(spec.get("command") or image.command), *(spec.get("args") or ())]
        return [self.paths.apply(expand(word, env)) for word in words]

    def command_of(self, argv: Sequence[str], image: Image, *, log: Path | None = None, inside: str = "") -> Command:
        """A command in this container."""
        app = None
        if argv and not image.mapped:
            app = image.programs.get(argv[0])
            if app is None and argv[0].startswith(SYSTEM_FOLDERS):
                app = image.programs.get(PurePosixPath(argv[0]).name)
        env, folder = self.env, self.folder
        if inside:
            return Command(argv=argv or [""], env=env, folder=folder, app=app, capture=True, inside=inside)
        bind = (self.pod.ip, self.pod.ports)
        return Command(argv=argv or [""], env=env, folder=folder, app=app, log=log, bind=bind)

    def environment(self) -> Environment:
        """Makes the variables that the manifest sets."""
        pod = self.pod.object
        namespace = pod["metadata"]["namespace"]
        links = service_links(
            self.host.registry.list(SERVICES),
            all_links=pod["spec"].get("enableServiceLinks", True),
            namespace=namespace,
        )
        return Environment(
            pod, ip=self.pod.ip, host_ip=self.host.address, lookup=self.host.lookup(namespace), links=links
        )

    def base_environment(self, image: Image, root: Path) -> dict[str, str]:
        """What a container has before the manifest adds to it; a mapped command has the user's environment too."""
        ports = ",".join(f"{port}={real}" for port, real in self.pod.ports.items())
        base = dict(os.environ) if image.mapped else {"PATH": f"{self.host.programs_folder(image)}:{PATH}"}
        base |= {"HOSTNAME": self.pod.object["metadata"]["name"], "POD_IP": self.pod.ip, "ROLLCHECK_ROOT": str(root)}
        if not image.mapped:
            base["HOME"] = str(root)
        if ports:
            base["ROLLCHECK_PORTS"] = ports
        own = self.own_port()
        if own is not None and (image.mapped or own in self.pod.ports.values()):
            base["PORT"] = str(own)
        return base

    def own_port(self) -> int | None:
        """The port that it is to listen on: what stands for the first one it declares."""
        declared = [int(port["containerPort"]) for port in self.record.spec.get("ports") or ()]
        return self.pod.ports.get(declared[0], declared[0]) if declared else None

    # While it runs

    def place(self) -> Place:
        """Where it is probed."""
        return Place(ip=self.pod.ip, ports=self.pod.ports, container=self.record.spec, run=self.run)

    async def run(self, command: Sequence[str]) -> tuple[int, str]:
        """Run a command in it: exit code and output.

        Raises:
            SpawnFailed: there is no such program, or it does not run.
        """
        process, image = self.process, self.image
        if process is None or image is None:
            raise SpawnFailed(0, "container not running")
        argv = [self.paths.apply(word) for word in command]
        done = await self.host.warden.execute(self.command_of(argv, image, inside=process.id))
        return (137 if done.code is None else done.code), done.output

    async def run_hook(self, hook: Json) -> str:
        """Run a lifecycle hook; "" or why it failed. An HTTP answer of any status is a success."""
        return await run_hook(hook, self.place(), self.name, self.pod_full_name)

    @property
    def stop_signal(self) -> int:
        """What asks it to end."""
        named = self.record.spec.get("lifecycle", {}).get("stopSignal")
        if named:
            return int(signal.Signals[named])
        return self.image.stop_signal if self.image is not None else int(signal.SIGTERM)


def full_name(reference: str) -> str:
    """A reference as a runtime names it: with its registry and its tag."""
    named = reference if has_tag(reference) or "@" in reference else f"{reference}:latest"
    first, slash, _ = named.partition("/")
    if not slash:
        return f"docker.io/library/{named}"
    return named if "." in first or ":" in first or first == "localhost" else f"docker.io/{named}"
