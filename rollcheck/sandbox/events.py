"""Events as client-go's recorder writes them: counted, aggregated and rate-limited, never allowed to fail.

Source: `k8s.io/client-go/tools/record/events_cache.go` and `event.go`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from rollcheck.sandbox.registry import Registry
from rollcheck.sandbox.resources import EVENTS
from rollcheck.sandbox.status import ApiFailure
from rollcheck.sandbox.trees import Json

CACHE = 4096
BURST, REFILL_S = 25, 300.0
SIMILAR_AT_MOST, SIMILAR_WITHIN_S = 10, 600.0
MESSAGE_AT_MOST = 1024

Key = tuple[str, ...]
T = TypeVar("T")


def reference(obj: Json, field_path: str = "") -> Json:
    """An ObjectReference to `obj`, or to a part of it."""
    metadata = obj["metadata"]
    parts = {
        "kind": obj["kind"],
        "namespace": metadata.get("namespace", ""),
        "name": metadata["name"],
        "uid": metadata.get("uid", ""),
        "apiVersion": obj["apiVersion"],
        "resourceVersion": metadata.get("resourceVersion", ""),
        "fieldPath": field_path,
    }
    return {key: text for key, text in parts.items() if text}


@dataclass(slots=True)
class _Bucket:
    """What a source may still say of an object: 25 at once, then one in 5 minutes."""

    tokens: float
    at: float

    def take(self, now: float) -> bool:
        self.tokens = min(BURST, self.tokens + (now - self.at) / REFILL_S)
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@dataclass(slots=True)
class _Similar:
    """Different messages of one reason, for aggregation."""

    last: float
    messages: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Said:
    """What was said before, for counting."""

    namespace: str
    name: str
    first: str
    count: int = 0


class EventRecorder:
    """Writes events in the name of one component."""

    def __init__(self, registry: Registry, component: str, host: str = "") -> None:
        self._registry = registry
        self._component = component
        self._host = host
        self._said: OrderedDict[Key, _Said] = OrderedDict()
        self._buckets: OrderedDict[Key, _Bucket] = OrderedDict()
        self._similar: OrderedDict[Key, _Similar] = OrderedDict()

    def emit(self, obj: Json, type: str, reason: str, message: str, *, field_path: str = "") -> None:  # noqa: A002
        """Tell that `reason` happened to `obj`; `type` is "Normal" or "Warning".

        The same again raises the count of the first. Dropped in silence when this object has been talked about too
        much, or when its namespace is going away: an event is best effort.
        """
        ref = reference(obj, field_path)
        who = (*(ref.get(key, "") for key in ("kind", "namespace", "name", "uid", "apiVersion")),)
        message, same = self._aggregated((*who, type, reason), ref.get("fieldPath", ""), message[:MESSAGE_AT_MOST])
        stamp = self._registry.clock.stamp()
        said = _touch(self._said, same, lambda: _Said(ref.get("namespace", "default"), self._new_name(ref), stamp))
        said.count += 1  # also what the filter then drops is counted, as in client-go
        if not self._allowed(who):
            return
        try:
            if said.count == 1 or not self._counted(said, message):
                self._create(said, ref, type, reason, message)
        except ApiFailure:
            return

    def _new_name(self, ref: Json) -> str:
        now = self._registry.clock.now()
        # Nanoseconds in hexadecimal; the last three digits of the number make up for a clock of microseconds.
        return f"{ref['name']}.{int(now.timestamp() * 1e6) * 1000 + self._registry.version() % 1000:x}"

    def _allowed(self, who: Key) -> bool:
        now = self._registry.clock.monotonic()
        bucket = _touch(self._buckets, who, lambda: _Bucket(BURST, now))
        return bucket.take(now)

    def _aggregated(self, about: Key, field_path: str, message: str) -> tuple[str, Key]:
        """The message and the key to count it by: more than 10 similar ones in 10 minutes become one."""
        now = self._registry.clock.monotonic()
        similar = _touch(self._similar, about, lambda: _Similar(now))
        if now - similar.last > SIMILAR_WITHIN_S:
            similar.messages.clear()
        similar.messages.add(message)
        similar.last = now
        if len(similar.messages) < SIMILAR_AT_MOST:
            return message, (*about, field_path, message)
        similar.messages.pop()
        return f"(combined from similar events): {message}", about

    def _counted(self, said: _Said, message: str) -> bool:
        """Raise the count of an event written before; False when there is none any more."""
        if self._registry.peek(EVENTS, said.namespace, said.name) is None:
            return False

        def again(event: Json) -> None:
            event["count"] = said.count
            event["lastTimestamp"] = self._registry.clock.stamp()
            event["message"] = message

        self._registry.modify(EVENTS, said.namespace, said.name, again)
        return True

    def _create(self, said: _Said, ref: Json, type: str, reason: str, message: str) -> None:  # noqa: A002
        source = {"component": self._component}
        if self._host:
            source["host"] = self._host
        event = {
            "metadata": {"name": said.name, "namespace": said.namespace},
            "involvedObject": ref,
            "reason": reason,
            "message": message,
            "source": source,
            "firstTimestamp": said.first,
            "lastTimestamp": self._registry.clock.stamp(),
            "count": said.count,
            "type": type,
            "eventTime": None,
            "reportingComponent": self._component,
            "reportingInstance": self._host,
        }
        self._registry.create(EVENTS, said.namespace, event)


def _touch(cache: OrderedDict[Key, T], key: Key, make: Callable[[], T]) -> T:
    """The entry of `key`, made when missing; the least recently used goes when there are too many."""
    entry = cache.get(key)
    if entry is None:
        entry = cache[key] = make()
        if len(cache) > CACHE:
            cache.popitem(last=False)
    cache.move_to_end(key)
    return entry
