"""The patches that change what is there, rule by rule and by laws."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollcheck.sandbox.apiserver import patches, strategic
from rollcheck.sandbox.apiserver.fields import type_of

POD = type_of("v1", "Pod")
assert POD is not None


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [  # the table of RFC 7386, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_merge_patch_does_what_its_rfc_says(target: Any, patch: Any, result: Any) -> None:
    assert patches.merge_patch(target, patch) == result


@pytest.mark.parametrize(
    ("target", "operations", "result"),
    [
        ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"foo": "bar", "baz": "qux"}),
        ({"foo": ["a"]}, [{"op": "add", "path": "/foo/0", "value": "b"}], {"foo": ["b", "a"]}),
        ({"foo": ["a"]}, [{"op": "add", "path": "/foo/-", "value": "b"}], {"foo": ["a", "b"]}),
        ({"foo": ["a"]}, [{"op": "add", "path": "/foo/1", "value": "b"}], {"foo": ["a", "b"]}),
        ({"a": 1, "b": 2}, [{"op": "remove", "path": "/a"}], {"b": 2}),
        ({"a": [1, 2]}, [{"op": "remove", "path": "/a/0"}], {"a": [2]}),
        ({"a": {"b": 1}}, [{"op": "move", "from": "/a/b", "path": "/c"}], {"a": {}, "c": 1}),
        ({"a": {"b": 1}}, [{"op": "copy", "from": "/a", "path": "/c"}], {"a": {"b": 1}, "c": {"b": 1}}),
        ({"a/b": 1, "c~d": 2}, [{"op": "replace", "path": "/a~1b", "value": 3}], {"a/b": 3, "c~d": 2}),
        ({"a/b": 1, "c~d": 2}, [{"op": "remove", "path": "/c~0d"}], {"a/b": 1}),
        ({"a": 1}, [{"op": "replace", "path": "/new", "value": 2}], {"a": 1, "new": 2}),
        (
            {"a": 1},
            [{"op": "test", "path": "/a", "value": 1}, {"op": "add", "path": "/b", "value": 2}],
            {"a": 1, "b": 2},
        ),
        ({"a": 1}, [{"op": "add", "path": "", "value": {"x": 1}}], {"x": 1}),
    ],
)
def test_a_json_patch_does_what_its_rfc_says(target: Any, operations: Any, result: Any) -> None:
    assert patches.json_patch(target, operations) == result


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/none"},
        {"op": "remove", "path": ""},
        {"op": "add", "path": "/none/x", "value": 1},
        {"op": "add", "path": "/list/7", "value": 1},
        {"op": "replace", "path": "/list/1", "value": 1},
        {"op": "add", "path": "/list/x", "value": 1},
        {"op": "add", "path": "/a"},
        {"op": "add", "path": "a", "value": 1},
        {"op": "test", "path": "/a", "value": 2},
        {"op": "move", "from": "/none", "path": "/b"},
        {"op": "frob", "path": "/a"},
        {"op": "add"},
    ],
)
def test_a_json_patch_that_does_not_fit_fails_and_changes_nothing(operation: dict[str, Any]) -> None:
    target = {"a": 1, "list": [0]}
    before = json.dumps(target)
    with pytest.raises(patches.PatchFails):
        patches.json_patch(target, [{"op": "add", "path": "/b", "value": 2}, operation])
    assert json.dumps(target) == before


@pytest.mark.parametrize("malformed", [{}, "x", [1]])
def test_what_is_no_list_of_operations_is_no_patch(malformed: Any) -> None:
    with pytest.raises(patches.PatchMalformed):
        patches.json_patch({}, malformed)


def test_a_patch_of_absurd_length_is_refused() -> None:
    with pytest.raises(patches.PatchMalformed, match="10000"):
        patches.json_patch({}, [{"op": "add", "path": "/a", "value": 1}] * 10_001)


trees = st.recursive(
    st.one_of(st.integers(0, 3), st.text("ab", max_size=2), st.booleans()),
    lambda below: st.one_of(
        st.lists(below, max_size=3), st.dictionaries(st.text("abc", min_size=1, max_size=2), below, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=30, deadline=None)
@given(trees, trees)
def test_merging_a_tree_without_nulls_gives_all_of_it(target: Any, patch: Any) -> None:
    found = patches.merge_patch(target, patch)
    assert patches.merge_patch(found, patch) == found


def merged(containers: list[Any], patch: dict[str, Any]) -> Any:
    found = strategic.strategic_merge({"spec": {"containers": containers}}, {"spec": patch}, POD)
    return found["spec"]["containers"]


A, B = {"name": "a", "image": "1", "args": ["x"]}, {"name": "b", "image": "1"}


@pytest.mark.parametrize(
    ("patch", "result"),
    [
        ({"containers": [{"name": "b", "image": "2"}]}, [A, {"name": "b", "image": "2"}]),
        ({"containers": [{"name": "a", "args": ["y"]}]}, [{**A, "args": ["y"]}, B]),
        ({"containers": [{"name": "a", "args": None}]}, [{"name": "a", "image": "1"}, B]),
        ({"containers": [{"name": "a", "$patch": "delete"}]}, [B]),
        ({"containers": [{"$patch": "replace"}, {"name": "c"}]}, [{"name": "c"}]),
        ({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}, [B, A]),
        ({"containers": [{"name": "none", "$patch": "delete"}]}, [A, B]),
    ],
)
def test_a_keyed_list_is_merged_element_by_element(patch: dict[str, Any], result: Any) -> None:
    assert merged([A, B], patch) == result


def test_an_element_without_its_key_is_refused() -> None:
    with pytest.raises(strategic.BadStrategicPatch, match="does not contain declared merge key: name"):
        merged([A], {"containers": [{"image": "2"}]})


def test_a_map_in_the_place_of_a_list_is_refused() -> None:
    with pytest.raises(strategic.BadStrategicPatch, match="cannot restore slice from map"):
        merged([A], {"containers": {"name": "a"}})


@pytest.mark.parametrize("odd", [{"name": {}}, {"name": []}, [], "a", 1])
def test_an_element_that_cannot_be_told_from_others_is_refused(odd: Any) -> None:
    for patch in ([odd], [{"$patch": "replace"}, odd]):
        with pytest.raises(strategic.BadStrategicPatch, match="cannot be told"):
            merged([A], {"containers": patch})


def test_an_unknown_directive_is_refused() -> None:
    with pytest.raises(strategic.BadStrategicPatch, match=r"unknown patch type: frob in map: map\[\$patch:frob\]"):
        strategic.strategic_merge({}, {"$patch": "frob"}, POD)


def test_a_directive_can_replace_or_delete_a_map() -> None:
    pod = {"spec": {"nodeSelector": {"a": "1"}, "securityContext": {"runAsUser": 1}}}
    patch = {"spec": {"nodeSelector": {"$patch": "replace", "b": "2"}, "securityContext": {"$patch": "delete"}}}
    assert strategic.strategic_merge(pod, patch, POD)["spec"] == {"nodeSelector": {"b": "2"}, "securityContext": {}}


def test_scalars_are_taken_from_a_list_by_name() -> None:
    pod = {"metadata": {"finalizers": ["a", "b", "c"]}}
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["b"], "finalizers": ["d", "a"]}}
    found = strategic.strategic_merge(pod, patch, POD)["metadata"]["finalizers"]
    assert sorted(found) == ["a", "c", "d"]


def test_keys_that_are_not_to_be_retained_go() -> None:
    pod = {"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}
    patch = {"spec": {"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}]}}
    assert strategic.strategic_merge(pod, patch, POD)["spec"]["volumes"] == [{"name": "v", "hostPath": {"path": "/x"}}]


names = st.lists(st.sampled_from("abcde"), unique=True, max_size=5)


@settings(max_examples=40, deadline=None)
@given(names, names, names)
def test_an_order_is_kept_and_nothing_is_lost(had: list[str], sent: list[str], order: list[str]) -> None:
    order = sent + [name for name in order if name in had and name not in sent]
    patch = {
        "containers": [{"name": name, "image": "2"} for name in sent],
        "$setElementOrder/containers": [{"name": name} for name in order],
    }
    found = [one["name"] for one in merged([{"name": name} for name in had], patch)]
    assert sorted(found) == sorted({*had, *sent})
    assert [name for name in found if name in order] == order


@settings(max_examples=20, deadline=None)
@given(names, names)
def test_a_strategic_patch_applied_twice_changes_nothing_more(had: list[str], sent: list[str]) -> None:
    patch = {"containers": [{"name": name, "env": [{"name": "X", "value": name}]} for name in sent]}
    once = merged([{"name": name} for name in had], patch)
    assert merged(once, patch) == once
