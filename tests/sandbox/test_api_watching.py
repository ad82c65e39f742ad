"""Watches: what is promised at the beginning, on the way, at the end, and when history has been forgotten."""

from __future__ import annotations

from typing import Any

import trio
import trio.testing
from apiside import CONFIG_MAPS, PODS, Line, Site, config_map, deployment, streamed

from rollcheck.sandbox.resources import CONFIG_MAPS as MAPS
from rollcheck.sandbox.resources import DEPLOYMENTS

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


def run(test: Any, *, jump: bool = False) -> None:
    trio.run(test, clock=trio.testing.MockClock(autojump_threshold=0) if jump else None)


async def names(line: Line, count: int) -> list[tuple[str, str]]:
    found = [await line() for _ in range(count)]
    return [(one["type"], one["object"]["metadata"]["name"]) for one in found]


def test_without_a_version_a_watch_begins_with_what_there_is() -> None:
    async def test() -> None:
        site = Site()
        for name in ("b", "a"):
            site.registry.create(MAPS, "default", config_map(name))
        async with streamed(await site.answer("GET", f"{CONFIG_MAPS}?watch=true")) as line:
            assert await names(line, 2) == [("ADDED", "a"), ("ADDED", "b")]
            site.registry.delete(MAPS, "default", "a")
            assert await names(line, 1) == [("DELETED", "a")]

    run(test)


def test_from_a_version_on_a_watch_tells_every_change_once() -> None:
    async def test() -> None:
        site = Site()
        site.registry.create(MAPS, "default", config_map("a"))
        since = site.registry.version()
        site.registry.create(MAPS, "default", config_map("b"))
        site.registry.modify(MAPS, "default", "a", lambda obj: obj.update(data={"x": "y"}))
        async with streamed(await site.answer("GET", f"{CONFIG_MAPS}?watch=1&resourceVersion={since}")) as line:
            assert await names(line, 2) == [("ADDED", "b"), ("MODIFIED", "a")]
            site.registry.delete(MAPS, "default", "b")
            gone = await line()
            assert gone["type"] == "DELETED"
            assert int(gone["object"]["metadata"]["resourceVersion"]) == site.registry.version()

    run(test)


def test_objects_in_a_watch_say_what_they_are() -> None:
    async def test() -> None:
        site = Site()
        site.registry.create(DEPLOYMENTS, "default", deployment())
        async with streamed(await site.answer("GET", "/apis/apps/v1/deployments?watch=1")) as line:
            found = await line()
            assert (found["object"]["apiVersion"], found["object"]["kind"]) == ("apps/v1", "Deployment")

    run(test)


def test_selectors_choose_what_is_seen_and_a_change_of_labels_adds_or_deletes() -> None:
    async def test() -> None:
        site = Site()
        site.registry.create(MAPS, "default", config_map("a"))
        since = site.registry.version()
        path = f"{CONFIG_MAPS}?watch=1&resourceVersion={since}&labelSelector=on%3Dyes"
        async with streamed(await site.answer("GET", path)) as line:
            site.registry.create(MAPS, "default", config_map("b"))
            site.registry.modify(MAPS, "default", "a", lambda obj: obj["metadata"].update(labels={"on": "yes"}))
            site.registry.modify(MAPS, "default", "a", lambda obj: obj["metadata"].update(labels={"on": "no"}))
            assert await names(line, 2) == [("ADDED", "a"), ("DELETED", "a")]

    run(test)


def test_an_object_that_ceases_to_match_is_shown_as_it_was_and_to_others_as_it_is() -> None:
    async def test() -> None:
        site = Site()
        site.registry.create(MAPS, "default", config_map("a") | {"metadata": {"name": "a", "labels": {"on": "yes"}}})
        since = site.registry.version()
        path = f"{CONFIG_MAPS}?watch=1&resourceVersion={since}&labelSelector=on%3Dyes"
        async with streamed(await site.answer("GET", path)) as line:
            site.registry.modify(MAPS, "default", "a", lambda obj: obj["metadata"].update(labels={"on": "no"}))
            gone = (await line())["object"]["metadata"]
        _, now = await site.ask("GET", f"{CONFIG_MAPS}/a")
        assert (gone["labels"], now["metadata"]["labels"]) == ({"on": "yes"}, {"on": "no"})
        assert gone["resourceVersion"] == now["metadata"]["resourceVersion"]

    run(test)


def test_one_object_is_watched_by_its_path() -> None:
    async def test() -> None:
        site = Site()
        for name in ("a", "b"):
            site.registry.create(MAPS, "default", config_map(name))
        async with streamed(await site.answer("GET", f"{CONFIG_MAPS}/b?watch=1")) as line:
            assert await names(line, 1) == [("ADDED", "b")]

    run(test)


def test_a_quiet_watch_says_how_far_it_has_come() -> None:
    async def test() -> None:
        site = Site()
        since = site.registry.version()
        path = f"{CONFIG_MAPS}?watch=1&resourceVersion={since}&allowWatchBookmarks=true"
        async with streamed(await site.answer("GET", path)) as line:
            site.registry.create(DEPLOYMENTS, "default", deployment())  # another kind moves the version on
            found = await line()
            assert found["type"] == "BOOKMARK"
            assert found["object"]["kind"] == "ConfigMap"
            assert found["object"]["metadata"]["resourceVersion"] == str(site.registry.version())

    run(test, jump=True)


def test_a_watch_ends_in_time_and_with_a_bookmark_when_those_are_wanted() -> None:
    async def test() -> None:
        site = Site()
        path = f"{CONFIG_MAPS}?watch=1&resourceVersion={site.registry.version()}&timeoutSeconds=7"
        async with streamed(await site.answer("GET", path)) as line:
            assert await line() is None
        assert trio.current_time() - start < 8
        async with streamed(await site.answer("GET", f"{path}&allowWatchBookmarks=true")) as line:
            assert (await line())["type"] == "BOOKMARK"
            assert await line() is None

    start = 0.0

    async def timed() -> None:
        nonlocal start
        start = trio.current_time()
        await test()

    run(timed, jump=True)


def test_initial_events_end_with_a_bookmark_that_says_so() -> None:
    async def test() -> None:
        site = Site()
        site.registry.create(MAPS, "default", config_map("a"))
        path = (
            f"{CONFIG_MAPS}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
        )
        async with streamed(await site.answer("GET", path)) as line:
            assert await names(line, 1) == [("ADDED", "a")]
            mark = await line()
            assert mark["type"] == "BOOKMARK"
            assert mark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}

    run(test)


def test_forgotten_history_is_told_as_an_error_inside_the_watch() -> None:
    async def test() -> None:
        site = Site()
        since = site.registry.version()
        site.registry.create(MAPS, "default", config_map("a"))
        site.registry.store.shelves[MAPS].compact(site.registry.version())
        answer = await site.answer("GET", f"{CONFIG_MAPS}?watch=1&resourceVersion={since}")
        assert answer.status == 200
        async with streamed(answer) as line:
            found = await line()
            assert (found["type"], found["object"]["code"], found["object"]["reason"]) == ("ERROR", 410, "Expired")
            assert await line() is None

    run(test)


def test_a_version_that_has_not_happened_is_refused_at_once() -> None:
    code, body = Site().now("GET", f"{CONFIG_MAPS}?watch=1&resourceVersion=999999")
    assert (code, body["reason"]) == (504, "Timeout")
    assert "Too large resource version" in body["message"]


def test_initial_events_need_the_version_match_that_the_real_server_wants() -> None:
    code, body = Site().now("GET", f"{CONFIG_MAPS}?watch=1&sendInitialEvents=true")
    assert (code, body["reason"]) == (422, "Invalid")


def test_a_table_that_is_watched_has_its_columns_in_the_first_line_alone() -> None:
    async def test() -> None:
        site = Site()
        for name in ("a", "b"):
            site.registry.create(MAPS, "default", config_map(name))
        async with streamed(await site.answer("GET", f"{CONFIG_MAPS}?watch=1", accept=TABLE)) as line:
            first, second = (await line())["object"], (await line())["object"]
            assert [first["kind"], second["kind"]] == ["Table", "Table"]
            assert (len(first["columnDefinitions"]), second["columnDefinitions"]) == (3, [])
            assert [first["rows"][0]["cells"][0], second["rows"][0]["cells"][0]] == ["a", "b"]

    run(test)


def test_metadata_alone_can_be_watched() -> None:
    async def test() -> None:
        site = Site()
        site.registry.create(MAPS, "default", config_map("a", x="1"))
        accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
        path = f"{CONFIG_MAPS}?watch=1&timeoutSeconds=1&allowWatchBookmarks=true"
        async with streamed(await site.answer("GET", path, accept=accept)) as line:
            assert set((await line())["object"]) == {"kind", "apiVersion", "metadata"}
            mark = await line()
            assert (mark["type"], mark["object"]["kind"]) == ("BOOKMARK", "PartialObjectMetadata")

    run(test, jump=True)


def test_a_table_has_bookmarks_too() -> None:
    async def test() -> None:
        site = Site()
        path = (
            f"{CONFIG_MAPS}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
        )
        async with streamed(await site.answer("GET", path, accept=TABLE)) as line:
            mark = await line()
            assert (mark["type"], mark["object"]["kind"]) == ("BOOKMARK", "Table")
            assert "k8s.io/initial-events-end" in mark["object"]["rows"][0]["object"]["metadata"]["annotations"]

    run(test)


def test_a_slow_watcher_loses_nothing_and_holds_up_no_writer() -> None:
    async def test() -> None:
        site = Site()
        since = site.registry.version()
        async with streamed(await site.answer("GET", f"{CONFIG_MAPS}?watch=1&resourceVersion={since}")) as line:
            for number in range(2000):
                site.registry.create(MAPS, "default", config_map(f"m{number}"))
            assert await names(line, 2000) == [("ADDED", f"m{number}") for number in range(2000)]

    run(test)


def test_what_does_not_exist_cannot_be_watched() -> None:
    assert Site().now("GET", "/api/v1/namespaces/default/nonsense?watch=1")[0] == 404
    assert Site().now("POST", f"{PODS}/x?watch=1")[0] == 405
