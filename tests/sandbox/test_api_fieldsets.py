"""Managed fields and server-side apply, as laws that hold for any objects."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given as given_any
from hypothesis import settings
from hypothesis import strategies as st

from rollcheck.sandbox.apiserver import applying, fieldsets, managedfields, strategic
from rollcheck.sandbox.apiserver.fields import type_of
from rollcheck.sandbox.resources import DEPLOYMENTS
from rollcheck.sandbox.status import ApiFailure
from rollcheck.sandbox.trees import Json

TYPE = type_of("apps/v1", "Deployment")
assert TYPE is not None
STAMP = "2026-01-01T00:00:00Z"

EXAMPLES = settings(max_examples=25, deadline=None)


def given(*what: Any) -> Any:
    return lambda test: EXAMPLES(given_any(*what)(test))


words = st.sampled_from(["a", "b", "c", "d"])
some_labels = st.dictionaries(words, words, max_size=3)
env = st.lists(words, unique=True, max_size=4).flatmap(
    lambda names: st.tuples(*(st.fixed_dictionaries({"name": st.just(n), "value": words}) for n in names)).map(list)
)


def optional(**parts: Any) -> Any:
    return st.fixed_dictionaries({}, optional=parts)


containers = st.lists(words, unique=True, min_size=1, max_size=3).flatmap(
    lambda names: st.tuples(
        *(
            st.fixed_dictionaries({"name": st.just(n)}, optional={"image": words, "env": env, "args": st.lists(words)})
            for n in names
        )
    ).map(list)
)
templates = st.fixed_dictionaries(
    {"spec": st.fixed_dictionaries({"containers": containers}, optional={"nodeSelector": some_labels})}
)
configs = st.fixed_dictionaries(
    {
        "apiVersion": st.just("apps/v1"),
        "kind": st.just("Deployment"),
        "metadata": st.fixed_dictionaries({"name": st.just("web")}, optional={"labels": some_labels}),
        "spec": optional(replicas=st.integers(0, 3), paused=st.booleans(), template=templates),
    }
)


def owners_of(obj: Json) -> dict[str, fieldsets.Fields]:
    return {manager.name: owned.fields for manager, owned in managedfields.read(obj).items()}


def bare(obj: Json) -> Json:
    return {**obj, "metadata": {k: v for k, v in obj["metadata"].items() if k != "managedFields"}}


def leaves(fields: fieldsets.Fields) -> fieldsets.Fields:
    return {path for path in fields if not any(other != path and other[: len(path)] == path for other in fields)}


def apply(live: Json | None, config: Json, name: str, **options: bool) -> Json:
    return applying.apply(DEPLOYMENTS, live, config, name, STAMP, **options)


@given(configs)
def test_a_set_of_fields_survives_being_written_and_read(config: Json) -> None:
    fields = fieldsets.of_config(TYPE, config)
    assert fieldsets.decode(fieldsets.encode(fields)) == fields


@given(configs)
def test_nothing_differs_from_itself(config: Json) -> None:
    assert fieldsets.difference(TYPE, config, config) == (set(), set())


@given(configs, configs)
def test_what_is_new_one_way_is_gone_the_other_way(one: Json, other: Json) -> None:
    changed, removed = fieldsets.difference(TYPE, one, other)
    changed_back, removed_back = fieldsets.difference(TYPE, other, one)
    assert leaves(removed) <= changed_back
    assert leaves(removed_back) <= changed


@given(configs)
def test_applying_the_same_twice_changes_nothing(config: Json) -> None:
    once = apply(None, config, "me")
    assert apply(once, config, "me") is once


@given(configs, configs)
def test_who_applies_alone_gets_what_is_applied_whatever_was_before(first: Json, second: Json) -> None:
    live = apply(apply(None, first, "me"), second, "me")
    assert fieldsets.of_config(TYPE, bare(live)) >= fieldsets.of_config(TYPE, second)
    wanted = fieldsets.kept(fieldsets.of_config(TYPE, second))
    assert owners_of(live) == ({"me": wanted} if wanted else {})
    assert strategic.strategic_merge(bare(live), {}, TYPE) == bare(live)


@given(configs, configs)
def test_a_conflict_is_told_or_forced_and_never_lost(first: Json, second: Json) -> None:
    live = apply(None, first, "one")
    changed, _ = fieldsets.difference(TYPE, bare(live), fieldsets.merged(TYPE, bare(live), second))
    contested = changed & owners_of(live).get("one", set())
    if contested:
        with pytest.raises(ApiFailure) as refused:
            apply(live, second, "two")
        assert refused.value.code == 409
        assert {cause["field"] for cause in refused.value.details["causes"]} == {fieldsets.text(p) for p in contested}
    forced = apply(live, second, "two", force=True)
    assert not contested & owners_of(forced).get("one", set())
    changed_then, _ = fieldsets.difference(TYPE, bare(forced), fieldsets.merged(TYPE, bare(forced), second))
    assert not changed_then


@given(configs, configs, configs)
def test_what_one_manager_gives_up_stays_while_another_wants_it(first: Json, second: Json, third: Json) -> None:
    live = apply(apply(None, first, "one"), second, "two", force=True)
    after = apply(live, third, "one", force=True)
    still = owners_of(after).get("two", set())
    assert still <= {path[:at] for path in fieldsets.of_config(TYPE, bare(after)) for at in range(len(path) + 1)}


@given(configs, configs)
def test_an_update_owns_what_it_changed_and_nobody_else_does(first: Json, second: Json) -> None:
    live = apply(None, first, "one")
    who = managedfields.Manager("two", managedfields.UPDATE, "apps/v1")
    found = managedfields.updated(DEPLOYMENTS, bare(live), second, managedfields.read(live), who, STAMP)
    changed, removed = fieldsets.difference(TYPE, bare(live), second)
    mine = found[who].fields
    assert mine == fieldsets.kept(changed)
    for manager, owned in found.items():
        assert manager == who or not owned.fields & (mine | fieldsets.kept(removed))


def test_the_first_apply_enters_who_was_there_before() -> None:
    live = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": 3}}
    config = {**live, "spec": {"replicas": 4}}
    with pytest.raises(ApiFailure, match="before-first-apply"):
        apply(live, config, "me")
    assert owners_of(apply(live, {**live, "spec": {"paused": True}}, "me"))["before-first-apply"] == {
        ("f:spec", "f:replicas")
    }


def test_ports_are_told_apart_by_number_and_protocol_even_when_that_is_left_to_its_default() -> None:
    ports = type_of("v1", "Service")
    assert ports is not None
    fields = fieldsets.of_config(ports, {"spec": {"ports": [{"port": 53}, {"port": 53, "protocol": "UDP"}]}})
    elements = {path[2] for path in fields if len(path) == 3}
    assert elements == {'k:{"port":53,"protocol":"TCP"}', 'k:{"port":53,"protocol":"UDP"}'}


@given(env, env)
def test_a_merged_list_has_the_order_of_the_config_and_all_that_was_there(old: list[Json], new: list[Json]) -> None:
    config = {"spec": {"template": {"spec": {"containers": [{"name": "a", "env": new}]}}}}
    live = {"spec": {"template": {"spec": {"containers": [{"name": "a", "env": old}]}}}}
    found = fieldsets.merged(TYPE, live, config)["spec"]["template"]["spec"]["containers"][0]["env"]
    names = [one["name"] for one in found]
    assert sorted(names) == sorted({one["name"] for one in old + new})
    assert [name for name in names if name in {one["name"] for one in new}] == [one["name"] for one in new]
