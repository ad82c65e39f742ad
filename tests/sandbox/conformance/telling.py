"""What a watcher saw, as a story that can be compared: names, addresses and times taken out, each object's order kept.

A watcher may see several changes of an object as one. So each change is told as the facts that became true with it, in
one fixed order: however the changes were bundled, the story is the same.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Seen:
    """One line of a watch: when it came, of which resource, what happened, and the object."""

    at: float
    resource: str
    type: str
    object: Json


@dataclass
class Story:
    """What became of one object: its facts in order, and seconds from its deletion to each."""

    told: list[str] = field(default_factory=list)
    deleted: float | None = None
    gone_s: float | None = None

    def add(self, at: float, *facts: str) -> None:
        """Facts that became true."""
        self.told += facts
        if self.deleted is None and any(fact.startswith("deleted") for fact in facts):
            self.deleted = at


class Names:
    """Names that differ from run to run → the same word each time, by the order in which they appeared."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._known: dict[str, str] = {}
        self._counts: Counter[str] = Counter()

    def learn(self, kind: str, name: str) -> None:
        """A ReplicaSet, a pod or a node was seen."""
        if name not in self._known:
            self._counts[kind] += 1
            self._known[name] = f"<{kind}>"

    def plain(self, text: str) -> str:
        """`text` without what differs from run to run."""
        for name in sorted(self._known, key=len, reverse=True):
            text = text.replace(name, self._known[name])
        text = text.replace(self._namespace, "<namespace>")
        text = re.sub(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "<uid>", text)
        text = re.sub(r"\b\d+\.\d+\.\d+\.\d+\b", "<ip>", text)
        return re.sub(r"\b\d+(\.\d+)?m?s\b", "<time>", text)


def tell(lines: Iterable[Seen], namespace: str) -> Json:
    """The stories of everything that a watcher saw: pods' (as often as each occurred) and events' by object."""
    ordered = list(lines)
    names = Names(namespace)
    for seen in ordered:
        metadata = seen.object["metadata"]
        if seen.resource in ("pods", "replicasets"):
            names.learn(seen.resource.removesuffix("s"), metadata["name"])
        if seen.resource == "pods" and (node := seen.object["spec"].get("nodeName")):
            names.learn("node", node)
    pods = _pods(ordered)
    return {
        "pods": _counted(story.told for story in pods.values()),
        "gone_after_s": sorted(round(story.gone_s, 1) for story in pods.values() if story.gone_s is not None),
        "endpoints": _counted(_endpoints(ordered).values()),
        "events": {kind: _counted(stories) for kind, stories in _events(ordered, names).items()},
        "conditions": _conditions(ordered),
    }


PASSING = ("waiting ContainerCreating", "waiting PodInitializing", "not ready: ContainersNotReady")
"""States that a watcher may or may not get to see, by how quick the machine is."""
LUCK = ("Unhealthy: Readiness probe failed", "FailedMount:")
"""Events that depend on who came first: a probe or the server, a mount or the kubelet's caches."""


def essence(seen: Json, *, slow: bool, flapping: bool) -> Json:
    """What of it must be the same wherever the same steps are taken: without what luck and speed decide.

    Args:
        slow: whether pods take their time to end, so that a watcher is sure to see their endpoints as terminating.
        flapping: whether pods come and go quickly: then controllers follow each turn only where they are quick, too.
    """
    conditions = sorted(seen["conditions"], key=lambda words: words.partition("=")[0])
    pods = [{**each, "story": _steady(_up_to(each["story"], "waiting CrashLoopBackOff"))} for each in seen["pods"]]
    made = {
        "pods": _without(pods, lambda fact, at: fact in PASSING and at < 4),
        "endpoints": _without(
            seen["endpoints"],
            lambda fact, at: (fact == "none" and at == 0) or (fact.endswith("terminating") and not slow),
        ),
        "events": {
            kind: _without(_to_restart(stories), lambda said, _: any(words in said for words in LUCK))
            for kind, stories in seen["events"].items()
        },
        "conditions": conditions,
        "answers": seen["answers"],
    }
    return {**made, "endpoints": [], "conditions": sorted(set(conditions))[:1]} if flapping else made


def _up_to(story: list[str], last: str) -> list[str]:
    """The story up to and with that fact."""
    return story[: story.index(last) + 1] if last in story else story


def _to_restart(stories: list[Json]) -> list[Json]:
    """Without what followed a restart: how much of that is still seen depends on when watching ended."""
    return [
        {
            **each,
            "story": _up_to(each["story"], next((s for s in each["story"] if s.endswith("will be restarted")), "")),
        }
        for each in stories
    ]


def _steady(story: list[str]) -> list[str]:
    """A restart may be over before anybody has called the pod not ready: then it did not become ready again either."""
    if "restarted" not in story:
        return story
    first = story.index("ready") if "ready" in story else len(story)
    return [
        fact
        for at, fact in enumerate(story)
        if fact != "not ready: ContainersNotReady" and (fact != "ready" or at == first)
    ]


def _without(stories: list[Json], passing: Callable[[str, int], bool]) -> list[Json]:
    kept = ([_shortened(fact) for at, fact in enumerate(each["story"]) if not passing(fact, at)] for each in stories)
    times = (each["times"] for each in stories)
    return _counted(story for story, number in zip(kept, times, strict=True) for _ in range(number))


def _shortened(said: str) -> str:
    """Why an image could not be pulled is the registry's and the runtime's to say."""
    return re.sub(r"(Failed to pull image [^ ]+): .*", r"\1", said)


def _counted(stories: Iterable[list[str]]) -> list[Json]:
    """Each story once, with how often it was told, in a fixed order."""
    counts = Counter(tuple(story) for story in stories)
    return [{"times": number, "story": list(story)} for story, number in sorted(counts.items())]


def _pods(lines: list[Seen]) -> dict[str, Story]:
    stories: dict[str, Story] = {}
    known: dict[str, dict[str, str]] = {}
    for seen in lines:
        if seen.resource != "pods":
            continue
        uid = seen.object["metadata"]["uid"]
        story, before = stories.setdefault(uid, Story()), known.setdefault(uid, {})
        now = _facts(seen.object)
        story.add(seen.at, *(text for key, text in now.items() if text and before.get(key) != text))
        known[uid] = {**before, **now}
        if seen.type == "DELETED":
            story.add(seen.at, "gone")
            story.gone_s = seen.at - story.deleted if story.deleted is not None else None
    return stories


def _facts(pod: Json) -> dict[str, str]:
    """What is true of a pod, by a key for each thing that can be true; in the order in which things come to be true."""
    metadata, status = pod["metadata"], pod.get("status") or {}
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    facts = {"scheduled": "scheduled" if pod["spec"].get("nodeName") else ""}
    for container in status.get("containerStatuses") or ():
        state = container.get("state") or {}
        for kind in ("waiting", "running"):
            if kind in state:
                facts["container"] = f"{kind} {state[kind].get('reason', '')}".strip()
    ready = (conditions.get("Ready") or {}).get("status")
    if ready == "True":
        facts["ready"] = "ready"
    if "deletionTimestamp" in metadata:
        facts["deleted"] = f"deleted, grace {metadata.get('deletionGracePeriodSeconds')}"
    if ready == "False" and conditions["Ready"].get("reason"):
        facts["ready"] = f"not ready: {conditions['Ready']['reason']}"
    for container in status.get("containerStatuses") or ():
        if ended := (container.get("state") or {}).get("terminated"):
            facts["container"] = f"terminated {ended.get('exitCode')} {ended.get('reason', '')}".strip()
        if container.get("restartCount"):
            facts["restarts"] = "restarted"
    if status.get("phase") in ("Succeeded", "Failed"):
        facts["phase"] = status["phase"]
    if "DisruptionTarget" in conditions:
        facts["disrupted"] = f"DisruptionTarget: {conditions['DisruptionTarget'].get('reason')}"
    return facts


def _endpoints(lines: list[Seen]) -> dict[str, list[str]]:
    """Pod name → the conditions that slices had of it, one after the other."""
    stories: dict[str, list[str]] = {}
    holding: dict[str, set[str]] = {}
    for seen in lines:
        if seen.resource != "endpointslices":
            continue
        name = seen.object["metadata"]["name"]
        endpoints = () if seen.type == "DELETED" else seen.object.get("endpoints") or ()
        there = set()
        for endpoint in endpoints:
            pod = (endpoint.get("targetRef") or {}).get("name", "")
            conditions = endpoint.get("conditions") or {}
            words = " ".join(c for c in ("ready", "serving", "terminating") if conditions.get(c)) or "none"
            there.add(pod)
            story = stories.setdefault(pod, [])
            if not story or story[-1] != words:
                story.append(words)
        for pod in holding.get(name, set()) - there:
            stories[pod].append("gone")
        holding[name] = there
    return stories


def _events(lines: list[Seen], names: Names) -> dict[str, list[list[str]]]:
    """Kind of object → for each object, its events in the order in which they were first seen."""
    by_object: dict[tuple[str, str], list[str]] = {}
    for seen in lines:
        if seen.resource != "events" or seen.type == "DELETED":
            continue
        raw = seen.object
        concerned = raw["involvedObject"]
        said = f"{raw['type']} {raw['reason']}: {names.plain(raw.get('message') or '')}"
        story = by_object.setdefault((concerned["kind"], concerned.get("uid", concerned["name"])), [])
        if said not in story:
            story.append(said)
    kinds: dict[str, list[list[str]]] = {}
    for (kind, _), story in by_object.items():
        kinds.setdefault(kind, []).append(story)
    return kinds


def _conditions(lines: list[Seen]) -> list[str]:
    """The reasons of a Deployment's Progressing and Available, one after the other."""
    told: list[str] = []
    for seen in lines:
        if seen.resource != "deployments":
            continue
        for condition in (seen.object.get("status") or {}).get("conditions") or ():
            words = f"{condition['type']}={condition['status']} {condition.get('reason', '')}"
            last = next((t for t in reversed(told) if t.startswith(condition["type"])), "")
            if words != last:
                told.append(words)
    return told
