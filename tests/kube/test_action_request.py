"""What `--action` means, and what of it is refused without asking any cluster."""

from __future__ import annotations

import pytest

from rollcheck.errors import UsageError
from rollcheck.kube.actions.request import Request, parse_action


def asked(text: str, **flags: object) -> Request:
    name, words = parse_action(text)
    request = Request(name=name, words=words, **flags)  # type: ignore[arg-type]
    request.check()
    return request


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        ("restart", "restart", ()),
        ("scale 2", "scale", ("2",)),
        ("set-image app=nginx:1.27 side=busybox", "set-image", ("app=nginx:1.27", "side=busybox")),
        ("undo", "undo", ()),
        ("undo 3", "undo", ("3",)),
        ("delete-pod web-1 web-2", "delete-pod", ("web-1", "web-2")),
        ("evict all", "evict", ("all",)),
        ("drain n1", "drain", ("n1",)),
        ("none", "none", ()),
    ],
)
def test_an_action_is_its_name_and_what_follows(text: str, name: str, words: tuple[str, ...]) -> None:
    request = asked(text)
    assert (request.name, request.words, request.text) == (name, words, text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "there is no action ''"),
        ("restrat", "did you mean 'restart'"),
        ("command", "there is no action 'command'"),
        ("restart now", "takes nothing more, but got 'now'"),
        ("scale", "takes one number"),
        ("scale -1", "'-1' is no number of replicas"),
        ("scale two", "'two' is no number of replicas"),
        ("scale ²", "is no number of replicas"),
        ("scale 99999999999", "more than Kubernetes can count"),
        ("set-image", "says which container"),
        ("set-image app", "'app' is not CONTAINER=IMAGE"),
        ("set-image =nginx", "is not CONTAINER=IMAGE"),
        ("set-image a=1 a=2", "named twice"),
        ("undo x", "takes one number at most"),
        ("undo 1 2", "takes one number at most"),
        ("delete-pod 0", "0 pods are none"),
        ("delete-pod -1", "-1 pods are none"),
        ("evict all web-1", "not several of these"),
        ("evict web-1 web-1", "a pod is named twice"),
        ("drain", "takes one node"),
        ("drain n1 n2", "takes one node"),
        ("drain 'n1", "cannot be read"),
    ],
)
def test_what_cannot_be_is_one_sentence(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        asked(text)


def test_a_grace_of_nothing_has_to_be_forced() -> None:
    with pytest.raises(UsageError, match="--force"):
        asked("delete-pod", grace_s=0)
    assert asked("delete-pod", grace_s=0, force=True).grace_s == 0


@pytest.mark.parametrize(
    ("text", "flags", "words"),
    [
        ("restart", {"grace_s": 5}, "are for delete-pod, evict and drain"),
        ("delete-pod", {"grace_s": -1}, "is no time"),
        ("delete-pod", {"at_once": True}, "--at-once is for evict"),
        ("evict", {"ignore_daemonsets": True}, "are for drain"),
        ("drain n1", {"node_of_pod": "web-1"}, "not both"),
    ],
)
def test_a_flag_of_another_action_is_refused(text: str, flags: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        asked(text, **flags)


def test_the_node_of_a_pod_stands_for_its_name() -> None:
    assert asked("drain", node_of_pod="web-1").text == "drain of pod web-1"
