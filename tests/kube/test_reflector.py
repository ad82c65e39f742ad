"""The trio loop around the watch logic, against a real HTTP server that misbehaves on purpose."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
import trio

from rollcheck.errors import ClusterDenied, ClusterRefused, ClusterUnreachable
from rollcheck.facts.clock import SECOND
from rollcheck.facts.cluster import WatchGap
from rollcheck.kube import reflector as module
from rollcheck.kube.api import PAGE, Api
from rollcheck.kube.reflector import Delta, Reflector, Resource
from tests.fakes.api import Answer, FakeApi, Request, Stream, access_to, serving, status_object

pytestmark = [pytest.mark.loopback, pytest.mark.anyio]

PODS = Resource("pods", "/api/v1/namespaces/shop/pods", labels="app=web")

WatchScript = Callable[[Stream, Request], Any]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACKOFF_FIRST_S", 0.01)
    monkeypatch.setattr(module, "BACKOFF_MOST_S", 0.05)


def thing(uid: str, version: int) -> dict[str, Any]:
    return {"metadata": {"uid": uid, "name": uid, "resourceVersion": str(version)}}


def listing(*items: dict[str, Any], version: int = 10, more: str = "") -> Answer:
    return Answer(200, {"metadata": {"resourceVersion": str(version), "continue": more}, "items": list(items)})


async def quiet(stream: Stream, _: Request) -> None:
    await stream.start()
    await trio.sleep(math.inf)


class Scripted:
    """Answers the n-th list and the n-th watch as the test says; the last of each again and again."""

    def __init__(self, lists: list[Answer], watches: list[WatchScript | Answer]) -> None:
        self.lists = lists
        self.watches = watches
        self.listed = 0
        self.watched: list[Request] = []

    async def __call__(self, request: Request, stream: Stream) -> Answer | None:
        if "watch" not in request.query:
            answer = self.lists[min(self.listed, len(self.lists) - 1)]
            self.listed += 1
            return answer
        script = self.watches[min(len(self.watched), len(self.watches) - 1)]
        self.watched.append(request)
        if isinstance(script, Answer):
            return script
        await script(stream, request)
        return None


class Seen:
    """What a reflector told until `enough`."""

    def __init__(self, enough: Callable[[Seen], bool]) -> None:
        self.changes: list[tuple[str, str]] = []
        self.gaps: list[WatchGap] = []
        self.enough = enough
        self.scope = trio.CancelScope()

    def change(self, delta: Delta, _: int) -> None:
        self.changes.append((delta.change.value, delta.raw["metadata"]["uid"]))
        self.check()

    def gap(self, gap: WatchGap) -> None:
        self.gaps.append(gap)
        self.check()

    def check(self) -> None:
        if self.enough(self):
            self.scope.cancel()


async def watched(script: Scripted, enough: Callable[[Seen], bool]) -> tuple[Seen, FakeApi]:
    seen = Seen(enough)
    async with serving(script) as fake, Api(access_to(fake.url)) as api:
        with trio.fail_after(10), seen.scope:
            await Reflector(api, PODS, seen.change, seen.gap).run()
    return seen, fake


async def test_a_watch_goes_on_from_the_version_of_the_list_with_bookmarks_and_a_time_limit() -> None:
    async def one(stream: Stream, _: Request) -> None:
        await stream.start()
        await stream.event("ADDED", thing("a", 11))
        await trio.sleep(math.inf)

    script = Scripted([listing()], [one])
    await watched(script, lambda s: bool(s.changes))
    assert script.watched[0].query == {
        "watch": "1",
        "allowWatchBookmarks": "true",
        "timeoutSeconds": "300",
        "resourceVersion": "10",
        "labelSelector": "app=web",
    }


async def test_a_list_is_read_page_by_page() -> None:
    script = Scripted([listing(thing("a", 1), more="next"), listing(thing("b", 2), version=12)], [quiet])
    seen, fake = await watched(script, lambda s: len(s.changes) == 2)
    assert seen.changes == [("listed", "a"), ("listed", "b")]
    assert [r.query.get("continue") for r in fake.requests[:2]] == [None, "next"]
    assert fake.requests[0].query["limit"] == str(PAGE)


async def test_a_page_token_that_expired_starts_the_list_afresh() -> None:
    expired = status_object(410, "Expired")
    script = Scripted([listing(thing("a", 1), more="next"), expired, listing(thing("b", 2))], [quiet])
    seen, _ = await watched(script, lambda s: bool(s.changes))
    assert seen.changes == [("listed", "b")]


async def test_a_watch_that_ends_in_good_order_is_taken_up_from_the_last_version_without_a_gap() -> None:
    async def short(stream: Stream, _: Request) -> None:
        await stream.start()
        await stream.event("BOOKMARK", {"metadata": {"resourceVersion": "42"}})
        await stream.end()

    async def then(stream: Stream, _: Request) -> None:
        await stream.start()
        await stream.event("ADDED", thing("a", 43))
        await trio.sleep(math.inf)

    script = Scripted([listing()], [short, then])
    seen, _ = await watched(script, lambda s: bool(s.changes))
    assert [r.query["resourceVersion"] for r in script.watched] == ["10", "42"]
    assert (seen.gaps, script.listed) == ([], 1)


async def test_a_server_that_ends_every_watch_at_once_is_not_asked_as_fast_as_it_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "BACKOFF_FIRST_S", 0.1)
    monkeypatch.setattr(module, "BACKOFF_MOST_S", 10.0)

    async def at_once(stream: Stream, _: Request) -> None:
        await stream.start()
        await stream.end()

    script = Scripted([listing()], [at_once])
    async with serving(script) as fake, Api(access_to(fake.url)) as api:
        with trio.move_on_after(0.6):
            await Reflector(api, PODS, lambda *_: None, lambda _: None).run()
    assert 1 <= len(script.watched) <= 5


@pytest.mark.parametrize("ending", ["cut", "reset"])
async def test_a_watch_cut_within_a_line_is_a_gap_that_lost_nothing(ending: str) -> None:
    line = json.dumps({"type": "ADDED", "object": thing("a", 11)}).encode() + b"\n"

    async def torn(stream: Stream, _: Request) -> None:
        await stream.start()
        await stream.send(line[:20])
        await getattr(stream, ending)()

    async def whole(stream: Stream, _: Request) -> None:
        await stream.start()
        for i in range(len(line)):
            await stream.send(line[i : i + 1])
        await trio.sleep(math.inf)

    script = Scripted([listing()], [torn, whole])
    seen, _ = await watched(script, lambda s: bool(s.changes))
    assert seen.changes == [("added", "a")]
    assert [(g.resource, g.relisted) for g in seen.gaps] == [("pods", False)]
    assert [r.query["resourceVersion"] for r in script.watched] == ["10", "10"]
    assert seen.gaps[0].start_ns < seen.gaps[0].end_ns


async def test_an_expired_version_as_an_event_relists_and_tells_the_difference() -> None:
    async def expired(stream: Stream, _: Request) -> None:
        await stream.start()
        await stream.event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired"})
        await trio.sleep(math.inf)

    script = Scripted([listing(thing("a", 1)), listing(thing("b", 2), version=20)], [expired, quiet])
    seen, _ = await watched(script, lambda s: bool(s.gaps))
    assert seen.changes == [("listed", "a"), ("vanished", "a"), ("added", "b")]
    assert [(g.reason, g.relisted) for g in seen.gaps] == [("410 Expired", True)]
    assert script.watched[1].query["resourceVersion"] == "20"


async def test_an_expired_version_as_a_status_relists() -> None:
    script = Scripted([listing(thing("a", 1)), listing()], [status_object(410, "Gone"), quiet])
    seen, _ = await watched(script, lambda s: bool(s.gaps))
    assert seen.changes == [("listed", "a"), ("vanished", "a")]
    assert seen.gaps[0].relisted


async def test_a_version_that_expires_on_the_reopened_watch_doubts_all_since_the_first_break() -> None:
    async def cut(stream: Stream, _: Request) -> None:
        await stream.start()
        await stream.cut()

    async def accepted_then_expired(stream: Stream, _: Request) -> None:
        await stream.start()
        await trio.sleep(0.2)
        await stream.event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired"})
        await trio.sleep(math.inf)

    script = Scripted([listing()], [cut, accepted_then_expired, quiet])
    seen, _ = await watched(script, lambda s: len(s.gaps) == 2)
    assert [g.relisted for g in seen.gaps] == [False, True]
    assert seen.gaps[1].start_ns == seen.gaps[0].start_ns


@pytest.mark.parametrize("status", [401, 403, 500, 503])
async def test_a_refusal_in_mid_run_is_a_gap_and_is_tried_again(status: int) -> None:
    async def short(stream: Stream, _: Request) -> None:
        await stream.start()
        await stream.end()

    script = Scripted([listing(thing("a", 1))], [short, status_object(status, "No", "not now"), quiet])
    seen, _ = await watched(script, lambda s: bool(s.gaps))
    assert "not now" in seen.gaps[0].reason
    assert not seen.gaps[0].relisted


async def test_a_server_that_is_too_busy_is_given_the_time_it_asks_for() -> None:
    busy = status_object(429, "TooManyRequests")
    busy.headers["Retry-After"] = "0.4"
    script = Scripted([listing()], [busy, quiet])
    seen, _ = await watched(script, lambda s: bool(s.gaps))
    assert seen.gaps[0].end_ns - seen.gaps[0].start_ns >= 0.4 * SECOND


async def test_a_watch_that_falls_silent_past_its_deadline_doubts_all_since_the_last_byte(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "WATCH_S", 0)
    monkeypatch.setattr(module, "READ_SLACK_S", 0.3)
    script = Scripted([listing()], [quiet])
    seen, _ = await watched(script, lambda s: bool(s.gaps))
    assert seen.gaps[0].reason == "it did not answer in time"
    assert seen.gaps[0].end_ns - seen.gaps[0].start_ns >= 0.3 * SECOND


@pytest.mark.parametrize(("status", "error"), [(403, ClusterDenied), (401, ClusterDenied), (500, ClusterRefused)])
async def test_a_first_list_that_is_refused_is_raised(status: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        await watched(Scripted([status_object(status, "No")], [quiet]), lambda _: False)


async def test_a_first_list_that_nobody_answers_is_raised() -> None:
    async with serving(Scripted([listing()], [quiet])) as fake:
        url = fake.url
    async with Api(access_to(url)) as api:
        with pytest.raises(ClusterUnreachable, match="Connection refused"):
            await Reflector(api, PODS, lambda *_: None, lambda _: None).run()


async def test_a_gap_that_is_open_when_the_run_ends_is_recorded_as_well() -> None:
    async def cut(stream: Stream, _: Request) -> None:
        await stream.start()
        await stream.cut()

    gaps: list[WatchGap] = []
    script = Scripted([listing()], [cut, status_object(500, "Down")])
    async with serving(script) as fake, Api(access_to(fake.url)) as api:
        reflector = Reflector(api, PODS, lambda *_: None, gaps.append)
        with trio.move_on_after(0.3):
            await reflector.run()
        reflector.close_gap()
    assert len(gaps) == 1
