"""What was asked for with `--action`, read and checked without any cluster."""

from __future__ import annotations

import difflib
import shlex
from dataclasses import dataclass

from rollcheck.errors import UsageError
from rollcheck.kube.actions.table import ACTIONS, Sort


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """An action as the person asked for it.

    Attributes:
        name: a key of the table; words: what followed it.
        command: the user's own deploy, for the action "command".
        grace_s: --grace-period; None leaves each pod its own.
        force: --force: pods without a controller are drained too, and a grace of 0 is allowed.
        at_once: --at-once: evict without waiting for the pod before to be replaced.
        ignore_daemonsets, delete_emptydir_data, disable_eviction: as kubectl drain has them.
        node_of_pod: drain the node on which this pod runs.
        yes: whether other people's workloads on the node may be drained with it.
    """

    name: str = "restart"
    words: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    grace_s: int | None = None
    force: bool = False
    at_once: bool = False
    ignore_daemonsets: bool = False
    delete_emptydir_data: bool = False
    disable_eviction: bool = False
    node_of_pod: str = ""
    yes: bool = False

    @property
    def sort(self) -> Sort:
        """Its row of the table."""
        return ACTIONS[self.name]

    @property
    def text(self) -> str:
        """As it is recorded: "drain n1", or the user's command."""
        if self.name == "command":
            return " ".join(self.command)
        node = ("of pod", self.node_of_pod) if self.node_of_pod else ()
        return " ".join((self.name, *self.words, *node))

    def check(self) -> None:
        """Raise `UsageError` for what no cluster could make right."""
        _CHECKS.get(self.name, _no_words)(self)
        if self.grace_s is not None and self.grace_s < 0:
            raise UsageError(f"--grace-period: {self.grace_s} is no time; write seconds, or leave it out")
        if self.grace_s == 0 and not self.force:
            raise UsageError(
                "--grace-period 0 kills pods at once and lets none end by itself; say so with --force, or use 1"
            )
        only_pods = self.grace_s is not None or self.force
        if only_pods and self.name not in ("delete-pod", "evict", "drain"):
            raise UsageError(f"--grace-period and --force are for delete-pod, evict and drain, not for {self.name}")
        if self.at_once and self.name != "evict":
            raise UsageError(f"--at-once is for evict, not for {self.name}")
        flags = self.ignore_daemonsets or self.delete_emptydir_data or self.disable_eviction or self.node_of_pod
        if flags and self.name != "drain":
            raise UsageError(
                "--node-of-pod, --ignore-daemonsets, --delete-emptydir-data and --disable-eviction are for drain, not "
                f"for {self.name}"
            )

    @property
    def images(self) -> dict[str, str]:
        """Of set-image: container → image."""
        return dict(_pair(word) for word in self.words)


def parse_action(text: str) -> tuple[str, tuple[str, ...]]:
    """The name and the words of `--action`: "scale 2", "set-image app=nginx:2", "drain n1".

    Raises:
        UsageError: there is no such action.
    """
    try:
        name, *words = shlex.split(text) or [""]
    except ValueError as e:
        raise UsageError(f"--action {text!r} cannot be read: {e}") from e
    names = [known for known in ACTIONS if known != "command"]
    if name not in names:
        near = difflib.get_close_matches(name, names, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(names)}"
        raise UsageError(f"--action: there is no action {name!r}; {hint}")
    return name, tuple(words)


def _no_words(asked: Request) -> None:
    if asked.words:
        raise UsageError(f"--action {asked.name!r} takes nothing more, but got {' '.join(asked.words)!r}")


def _check_scale(asked: Request) -> None:
    if len(asked.words) != 1:
        raise UsageError("--action 'scale N' takes one number of replicas, for example 'scale 2'")
    (word,) = asked.words
    if not (word.isascii() and word.isdecimal()):
        raise UsageError(f"--action scale: {word!r} is no number of replicas; write 0 or more, for example 'scale 2'")
    if int(word) > 2**31 - 1:
        raise UsageError(f"--action scale: {word} replicas are more than Kubernetes can count")


def _check_images(asked: Request) -> None:
    if not asked.words:
        raise UsageError("--action 'set-image CONTAINER=IMAGE' says which container gets which image")
    names = [_pair(word)[0] for word in asked.words]
    if len(set(names)) < len(names):
        raise UsageError("--action set-image: a container is named twice; give each one image")


def _pair(word: str) -> tuple[str, str]:
    name, equals, image = word.partition("=")
    if not (name and equals and image) or any(c.isspace() for c in word):
        raise UsageError(f"--action set-image: {word!r} is not CONTAINER=IMAGE, for example app=nginx:1.27")
    return name, image


def _check_undo(asked: Request) -> None:
    if len(asked.words) > 1 or not all(word.isascii() and word.isdecimal() for word in asked.words):
        raise UsageError("--action 'undo REVISION' takes one number at most (see: kubectl rollout history)")


def _check_pods(asked: Request) -> None:
    numbers = [word for word in asked.words if word == "all" or word.lstrip("-").isdecimal()]
    if numbers and len(asked.words) > 1:
        raise UsageError(f"--action {asked.name}: name pods, or say how many, or all; not several of these")
    if numbers and numbers[0] != "all" and int(numbers[0]) < 1:
        raise UsageError(f"--action {asked.name}: {numbers[0]} pods are none; write 1 or more, or all")
    if len(set(asked.words)) < len(asked.words):
        raise UsageError(f"--action {asked.name}: a pod is named twice")


def _check_drain(asked: Request) -> None:
    if asked.node_of_pod and asked.words:
        raise UsageError("--action drain: name the node or give --node-of-pod, not both")
    if not asked.node_of_pod and len(asked.words) != 1:
        raise UsageError("--action 'drain NODE' takes one node; or name a pod on it with --node-of-pod")


_CHECKS = {
    "scale": _check_scale,
    "set-image": _check_images,
    "undo": _check_undo,
    "delete-pod": _check_pods,
    "evict": _check_pods,
    "drain": _check_drain,
}
