"""The store: versions, history and watches."""

import gc
import time
import weakref
from contextlib import suppress

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from rollcheck.sandbox.addresses import Addresses
from rollcheck.sandbox.registry import Registry
from rollcheck.sandbox.resources import CONFIG_MAPS, PODS
from rollcheck.sandbox.status import ApiFailure
from rollcheck.sandbox.store import Store
from rollcheck.sandbox.trees import clone, plain


def new_registry(**more):
    return Registry(addresses=Addresses(16), **more)


def config(name, **data):
    return {"metadata": {"name": name, "labels": {"app": data.get("app", "x")}}, "data": data}


def pending(watch):
    found = []
    while (change := watch.pending()) is not None:
        found.append(change)
    return found


STEPS = st.lists(
    st.tuples(
        st.sampled_from(("create", "update", "delete", "compact")),
        st.sampled_from(("default/a", "default/b", "kube-system/a")),
        st.sampled_from("xyz"),
    ),
    max_size=40,
)


def act(registry, verb, place, app):
    namespace, name = place.split("/")
    if verb == "compact":
        registry.store.compact()
    elif verb == "delete":
        registry.delete(CONFIG_MAPS, namespace, name)
    elif verb == "create":
        registry.create(CONFIG_MAPS, namespace, config(name, app=app))
    else:
        old = clone(registry.get(CONFIG_MAPS, namespace, name))
        registry.update(
            CONFIG_MAPS, {**old, **config(name, app=app), "metadata": {**old["metadata"], "labels": {"app": app}}}
        )


def try_to(registry, step):
    with suppress(ApiFailure):  # what is not there, or is there already: nothing happens then
        act(registry, *step)


def replay(objects, changes):
    """What a client holds who began with `objects` and was told `changes`."""
    held = {(one["metadata"]["namespace"], one["metadata"]["name"]): one for one in objects}
    for change in changes:
        metadata = change.object["metadata"]
        key = (metadata["namespace"], metadata["name"])
        if change.type == "DELETED":
            del held[key]
        else:
            assert (key in held) == (change.type == "MODIFIED")
            held[key] = change.object
    return sorted(held.values(), key=lambda one: (one["metadata"]["namespace"], one["metadata"]["name"]))


@given(STEPS, STEPS)
@settings(max_examples=60, deadline=None)
def test_a_list_and_its_watch_together_are_the_next_list(before, after):
    registry = new_registry()
    for step in before:
        try_to(registry, step)
    first, since = registry.list(CONFIG_MAPS), registry.version()
    watch = registry.watch(CONFIG_MAPS, since=since)
    for step in after:
        try_to(registry, step)
    assert replay(first, pending(watch)) == registry.list(CONFIG_MAPS)


@given(STEPS, STEPS)
@settings(max_examples=60, deadline=None)
def test_a_watch_with_a_selector_is_the_list_with_that_selector(before, after):
    registry = new_registry()
    for step in before:
        try_to(registry, step)
    first = registry.list(CONFIG_MAPS, labels="app=x")
    watch = registry.watch(CONFIG_MAPS, labels="app=x")
    for step in after:
        try_to(registry, step)
    assert replay(first, pending(watch)) == registry.list(CONFIG_MAPS, labels="app=x")


@given(STEPS)
@settings(max_examples=40, deadline=None)
def test_versions_only_grow_and_every_change_carries_its_own(steps):
    registry = new_registry()
    watch = registry.watch(CONFIG_MAPS)
    for step in steps:
        try_to(registry, step)
    versions = [change.version for change in pending(watch)]
    assert versions == sorted(set(versions))


def test_a_change_says_its_version_on_the_object():
    registry = new_registry()
    watch = registry.watch(CONFIG_MAPS)
    registry.create(CONFIG_MAPS, "default", config("a"))
    registry.delete(CONFIG_MAPS, "default", "a")
    for change in pending(watch):
        assert change.object["metadata"]["resourceVersion"] == str(change.version)


def test_a_watch_of_one_namespace_does_not_see_the_others():
    registry = new_registry()
    watch = registry.watch(CONFIG_MAPS, "default")
    registry.create(CONFIG_MAPS, "kube-system", config("a"))
    registry.create(CONFIG_MAPS, "default", config("b"))
    assert [change.object["metadata"]["name"] for change in pending(watch)] == ["b"]


def test_a_watch_from_an_old_version_begins_right_after_it():
    registry = new_registry()
    first = registry.create(CONFIG_MAPS, "default", config("a"))
    registry.create(PODS, "default", {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
    registry.create(CONFIG_MAPS, "default", config("b"))
    watch = registry.watch(CONFIG_MAPS, since=int(first["metadata"]["resourceVersion"]))
    assert [change.object["metadata"]["name"] for change in pending(watch)] == ["b"]


def test_a_watch_from_before_the_compaction_is_refused():
    registry = new_registry()
    since = registry.version()
    registry.create(CONFIG_MAPS, "default", config("a"))
    registry.store.compact()
    with pytest.raises(ApiFailure) as refused:
        registry.watch(CONFIG_MAPS, since=since)
    assert (refused.value.code, refused.value.reason) == (410, "Expired")
    assert refused.value.message == f"too old resource version: {since} ({registry.version()})"


def test_a_watch_under_way_loses_nothing_by_a_compaction():
    registry = new_registry()
    watch = registry.watch(CONFIG_MAPS)
    registry.create(CONFIG_MAPS, "default", config("a"))
    registry.store.compact()
    registry.create(CONFIG_MAPS, "default", config("b"))
    assert [change.object["metadata"]["name"] for change in pending(watch)] == ["a", "b"]


def test_a_history_forgets_its_oldest_changes_by_itself():
    registry = new_registry(history=5)
    since = registry.version()
    for number in range(8):
        registry.create(CONFIG_MAPS, "default", config(f"a{number}"))
    with pytest.raises(ApiFailure):
        registry.watch(CONFIG_MAPS, since=since)
    assert len(pending(registry.watch(CONFIG_MAPS, since=since + 3))) == 5


def test_a_compacted_history_is_watched_from_now_without_complaint():
    registry = new_registry()
    registry.store.compact()
    assert pending(registry.watch(CONFIG_MAPS, since=registry.version())) == []


def test_a_bookmark_may_say_the_newest_version_only_to_who_has_seen_everything():
    registry = new_registry()
    watch = registry.watch(CONFIG_MAPS)
    registry.create(CONFIG_MAPS, "default", config("a"))
    registry.create(CONFIG_MAPS, "default", config("b"))
    first = watch.pending()
    assert watch.version() == first.version
    watch.pending()
    registry.create(PODS, "default", {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
    assert watch.version() == registry.version()


def test_a_watch_from_a_version_of_the_future_waits_for_its_time():
    registry = new_registry()
    watch = registry.watch(CONFIG_MAPS, since=registry.version() + 2)
    for name in "abc":
        registry.create(CONFIG_MAPS, "default", config(name))
    assert [change.object["metadata"]["name"] for change in pending(watch)] == ["c"]


def test_a_thousand_pods_cost_less_than_a_millisecond_each():
    registry = new_registry()
    spec = {"containers": [{"name": "c", "image": "i", "readinessProbe": {"httpGet": {"port": 80}}}]}
    watches = [registry.watch(PODS) for _ in range(10)]
    before = time.process_time()  # of this process alone: other work on the machine does not count
    for _ in range(1000):
        registry.create(PODS, "default", {"metadata": {"generateName": "web-"}, "spec": spec})
    assert time.process_time() - before < 1.0
    assert all(len(pending(watch)) == 1000 for watch in watches)


def test_a_slow_watcher_holds_nobody_up_and_loses_nothing():
    async def main():
        registry = new_registry(history=10)
        watch = registry.watch(CONFIG_MAPS)
        for number in range(1000):
            registry.create(CONFIG_MAPS, "default", config(f"a{number}"))
        seen = 0
        async for change in watch:
            assert change.object["metadata"]["name"] == f"a{seen}"
            seen += 1
            if seen == 1000:
                break

    trio.run(main)


def test_a_watcher_is_woken_by_the_write_it_waits_for():
    async def main():
        registry = new_registry()
        watch = registry.watch(CONFIG_MAPS, "default")
        seen = []

        async def look():
            seen.extend([await anext(watch)])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(look)
            await trio.testing.wait_all_tasks_blocked()
            registry.create(CONFIG_MAPS, "kube-system", config("other"))
            await trio.testing.wait_all_tasks_blocked()
            assert seen == []
            registry.create(CONFIG_MAPS, "default", config("a"))
        assert [change.object["metadata"]["name"] for change in seen] == ["a"]

    trio.run(main)


def test_a_cancelled_step_loses_no_change():
    async def main():
        registry = new_registry()
        watch = registry.watch(CONFIG_MAPS)
        registry.create(CONFIG_MAPS, "default", config("a"))
        with trio.CancelScope() as scope:
            scope.cancel()
            await anext(watch)
        assert (await anext(watch)).object["metadata"]["name"] == "a"

    trio.run(main)


def test_a_batch_is_everything_that_has_happened_up_to_its_bound():
    async def main():
        registry = new_registry()
        watch = registry.watch(CONFIG_MAPS)
        for number in range(5):
            registry.create(CONFIG_MAPS, "default", config(f"a{number}"))
        assert len(await watch.batch(3)) == 3
        assert len(await watch.batch(3)) == 2

    trio.run(main)


def test_history_that_nobody_holds_is_freed():
    class Traced(dict):
        __slots__ = ("__weakref__",)

    store = Store(history=1)
    held = Traced(metadata={"namespace": "default", "name": "a"})
    trace = weakref.ref(held)
    store.put(CONFIG_MAPS, held, None)
    del held
    store.remove(CONFIG_MAPS, trace())
    for name in "bc":
        store.put(CONFIG_MAPS, {"metadata": {"namespace": "default", "name": name}}, None)
    gc.collect()
    assert trace() is None


def test_lists_come_in_the_order_of_keys_with_a_hyphen_before_the_slash():
    store = Store()
    for namespace, name in (("a-b", "z"), ("a", "y"), ("a", "x"), ("b", "w")):
        store.put(CONFIG_MAPS, {"metadata": {"namespace": namespace, "name": name}}, None)
    keys = [(one["metadata"]["namespace"], one["metadata"]["name"]) for one in store.shelves[CONFIG_MAPS].each(None)]
    assert keys == [("a-b", "z"), ("a", "x"), ("a", "y"), ("b", "w")]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
@settings(deadline=None)
def test_a_clone_is_equal_and_so_is_a_rebuilt_tree(tree):
    assert clone(tree) == tree
    assert plain(tree) == tree


def test_a_clone_shares_nothing_and_holds_only_plain_types():
    class Text(str):
        __slots__ = ()

    tree = {"a": [{"b": Text("c")}]}
    copy = clone(tree)
    copy["a"][0]["b"] = "d"
    assert tree["a"][0]["b"] == "c"
    assert type(clone(tree)["a"][0]["b"]) is str


def test_what_has_no_place_in_json_is_named():
    with pytest.raises(TypeError, match="set has no place in a Kubernetes object"):
        clone({"a": {1, 2}})
