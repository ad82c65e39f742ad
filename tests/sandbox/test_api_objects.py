"""Objects over HTTP: what the recorded answers do not show."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
from apiside import APPLY, CONFIG_MAPS, DEPLOYMENTS, MERGE, PODS, Site, config_map, deployment, request, streamed

from rollcheck.sandbox import status
from rollcheck.sandbox.apiserver.wire import head
from rollcheck.sandbox.resources import CONFIG_MAPS as MAPS
from rollcheck.sandbox.resources import PODS as POD_RESOURCE

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def test_pages_make_up_the_whole_list() -> None:
    site = Site()
    for number in range(7):
        site.registry.create(MAPS, "default", config_map(f"m{number}"))
    found: list[str] = []
    token, pages = "", 0
    while True:
        _, page = site.now("GET", f"{CONFIG_MAPS}?limit=3&continue={token}")
        found += [item["metadata"]["name"] for item in page["items"]]
        pages += 1
        token = page["metadata"].get("continue", "")
        if not token:
            break
        assert page["metadata"]["remainingItemCount"] == 7 - len(found)
    assert (pages, found) == (3, [f"m{number}" for number in range(7)])


def test_items_of_a_list_do_not_repeat_its_kind() -> None:
    site = Site()
    site.registry.create(MAPS, "default", config_map("a"))
    _, body = site.now("GET", CONFIG_MAPS)
    assert (body["kind"], body["apiVersion"]) == ("ConfigMapList", "v1")
    assert set(body["items"][0]) == {"metadata", "data"}


def test_a_page_that_begins_where_the_last_object_was_deleted_goes_on_behind_it() -> None:
    site = Site()
    for name in "abc":
        site.registry.create(MAPS, "default", config_map(name))
    _, first = site.now("GET", f"{CONFIG_MAPS}?limit=1")
    site.registry.delete(MAPS, "default", "a")
    _, rest = site.now("GET", f"{CONFIG_MAPS}?continue={first['metadata']['continue']}")
    assert [item["metadata"]["name"] for item in rest["items"]] == ["b", "c"]
    assert rest["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


@pytest.mark.parametrize("token", ["%%", "bm9uc2Vuc2U", "e30"])
def test_a_broken_continue_token_is_refused(token: str) -> None:
    code, body = Site().now("GET", f"{CONFIG_MAPS}?limit=1&continue={token}")
    assert (code, body["reason"]) == (400, "BadRequest")


def test_a_dry_run_leaves_nothing_behind() -> None:
    site = Site()
    code, made = site.now("POST", f"{CONFIG_MAPS}?dryRun=All", config_map("a"))
    assert (code, made["metadata"]["name"]) == (201, "a")
    assert site.now("GET", f"{CONFIG_MAPS}/a")[0] == 404


def test_a_dry_run_of_a_patch_is_not_taken_for_the_object_afterwards() -> None:
    site = Site()
    site.registry.create(MAPS, "default", config_map("a", x="1"))
    _, shown = site.now("PATCH", f"{CONFIG_MAPS}/a?dryRun=All", {"data": {"x": "2"}}, MERGE)
    assert shown["data"] == {"x": "2"}
    assert site.now("GET", f"{CONFIG_MAPS}/a")[1]["data"] == {"x": "1"}


def test_an_apply_that_says_nothing_new_writes_nothing() -> None:
    site = Site()
    path = f"{CONFIG_MAPS}/a?fieldManager=me"
    site.now("PATCH", path, config_map("a", x="1"), APPLY)
    version = site.registry.version()
    code, _ = site.now("PATCH", path, config_map("a", x="1"), APPLY)
    assert (code, site.registry.version()) == (200, version)


LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def applied_by_kubectl(site: Site, changed: dict[str, Any] | None = None) -> None:
    """A ConfigMap as `kubectl apply` leaves it, and perhaps a change by somebody else."""
    last = config_map("a", x="1")
    annotated = {**last, "metadata": {"name": "a", "annotations": {LAST_APPLIED: json.dumps(last)}}}
    site.now("POST", f"{CONFIG_MAPS}?fieldManager=kubectl-client-side-apply", annotated)
    if changed is not None:
        site.now("PATCH", f"{CONFIG_MAPS}/a?fieldManager=somebody", {"data": changed}, MERGE)


def test_kubectl_takes_over_from_its_own_client_side_apply_and_keeps_its_note() -> None:
    site = Site()
    applied_by_kubectl(site)
    code, found = site.now("PATCH", f"{CONFIG_MAPS}/a?fieldManager=kubectl", config_map("a", x="2"), APPLY)
    assert (code, found["data"]) == (200, {"x": "2"})
    assert json.loads(found["metadata"]["annotations"][LAST_APPLIED])["data"] == {"x": "2"}


def test_kubectl_takes_nothing_from_others_and_others_nothing_from_kubectl() -> None:
    site = Site()
    applied_by_kubectl(site, {"x": "9"})
    code, body = site.now("PATCH", f"{CONFIG_MAPS}/a?fieldManager=kubectl", config_map("a", x="2"), APPLY)
    assert (code, 'conflict with "somebody"' in body["message"]) == (409, True)
    other = Site()
    applied_by_kubectl(other)
    assert other.now("PATCH", f"{CONFIG_MAPS}/a?fieldManager=me", config_map("a", x="2"), APPLY)[0] == 409


def test_a_note_of_kubectl_that_is_nonsense_helps_nobody() -> None:
    site = Site()
    applied_by_kubectl(site)
    site.now("PATCH", f"{CONFIG_MAPS}/a", {"metadata": {"annotations": {LAST_APPLIED: "{nonsense"}}}, MERGE)
    assert site.now("PATCH", f"{CONFIG_MAPS}/a?fieldManager=kubectl", config_map("a", x="2"), APPLY)[0] == 409


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ("a: [1", 400, "error decoding YAML"),
        ("just text", 400, "is no object"),
        ("{}", 400, "invalid object type"),
        ("apiVersion: v1\nkind: Secret\n", 400, "a ConfigMap is"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, managedFields: []}\n", 400, "must be nil"),
        ("apiVersion: v1\nkind: ConfigMap\ndata: [1]\n", 500, "failed to create typed patch object"),
    ],
)
def test_an_apply_that_cannot_be_read_is_refused(body: str, code: int, words: str) -> None:
    found, answer = Site().now("PATCH", f"{CONFIG_MAPS}/a?fieldManager=me", body, APPLY)
    assert (found, words in answer["message"]) == (code, True)


def test_an_apply_can_be_yaml_and_goes_by_the_version_it_names() -> None:
    site = Site()
    body = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: 'yes'}\n"
    assert site.now("PATCH", f"{CONFIG_MAPS}/a?fieldManager=me", body, APPLY)[1]["data"] == {"x": "yes"}
    stale = {**config_map("a", x="no"), "metadata": {"name": "a", "resourceVersion": "1"}}
    assert site.now("PATCH", f"{CONFIG_MAPS}/a?fieldManager=me", stale, APPLY)[0] == 409


def test_an_apply_makes_no_status_where_there_is_no_object() -> None:
    path = f"{DEPLOYMENTS}/web/status?fieldManager=me"
    assert Site().now("PATCH", path, deployment(), APPLY)[0] == 404


def test_conflicts_with_several_managers_are_told_for_each() -> None:
    site = Site()
    for who, key in (("one", "x"), ("two", "y")):
        site.now("PATCH", f"{CONFIG_MAPS}/a?fieldManager={who}", config_map("a", **{key: "1"}), APPLY)
    _, body = site.now("PATCH", f"{CONFIG_MAPS}/a?fieldManager=me", config_map("a", x="2", y="2"), APPLY)
    expected = 'Apply failed with 2 conflicts: conflicts with "one":\n- .data.x\nconflicts with "two":\n- .data.y'
    assert body["message"] == expected


def test_managed_fields_can_be_done_away_with() -> None:
    site = Site()
    site.now("POST", CONFIG_MAPS, config_map("a", x="1"))
    _, found = site.now("PATCH", f"{CONFIG_MAPS}/a", {"metadata": {"managedFields": [{}]}}, MERGE)
    assert "managedFields" not in found["metadata"]


def test_warnings_go_into_headers_and_never_break_them() -> None:
    site = Site()

    async def main() -> Any:
        return await site.answer("POST", CONFIG_MAPS, {**config_map("a"), 'od"d\r\nX-Bad: 1': 1})

    answer = trio.run(main)
    assert answer.status == 201
    (header,) = [value for name, value in answer.headers if name == "Warning"]
    assert header.startswith('299 - "unknown field')
    assert all(not line.startswith(b"X-Bad") for line in head(answer, keep=True).split(b"\r\n"))


@pytest.mark.parametrize("accept", ["application/vnd.kubernetes.protobuf", "text/html"])
def test_a_client_that_reads_no_json_is_told_so(accept: str) -> None:
    code, body = Site().now("GET", CONFIG_MAPS, accept=accept)
    assert (code, body["reason"]) == (406, "NotAcceptable")


def test_a_client_that_prefers_protobuf_gets_json() -> None:
    accept = "application/vnd.kubernetes.protobuf,application/json"
    assert Site().now("GET", CONFIG_MAPS, accept=accept)[1]["kind"] == "ConfigMapList"


def test_metadata_alone_can_be_asked_for() -> None:
    site = Site()
    site.registry.create(MAPS, "default", config_map("a", x="1"))
    accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
    _, one = site.now("GET", f"{CONFIG_MAPS}/a", accept=accept)
    assert set(one) == {"kind", "apiVersion", "metadata"}
    _, many = site.now("GET", CONFIG_MAPS, accept=accept.replace("Metadata", "MetadataList"))
    assert (many["kind"], set(many["items"][0])) == ("PartialObjectMetadataList", {"kind", "apiVersion", "metadata"})


def test_a_single_object_can_be_had_as_a_table() -> None:
    site = Site()
    site.registry.create(MAPS, "default", config_map("a", x="1"))
    _, table = site.now("GET", f"{CONFIG_MAPS}/a", accept=TABLE)
    assert table["rows"][0]["cells"][:2] == ["a", 1]


def test_the_manager_of_a_write_is_the_one_that_is_named_or_the_program() -> None:
    site = Site()
    site.now("POST", CONFIG_MAPS, config_map("a", x="1"), **{"user-agent": "kubectl/v1.34 (linux)"})
    site.now("PATCH", f"{CONFIG_MAPS}/a?fieldManager=me", {"data": {"y": "1"}}, MERGE)
    entries = site.now("GET", f"{CONFIG_MAPS}/a")[1]["metadata"]["managedFields"]
    assert {one["manager"]: one["fieldsV1"] for one in entries} == {
        "kubectl": {"f:data": {".": {}, "f:x": {}}},
        "me": {"f:data": {"f:y": {}}},
    }


def test_deleting_a_collection_deletes_what_is_chosen_and_tells_it() -> None:
    site = Site()
    for name in "abc":
        labels = {"gone": str(name != "b").lower()}
        site.registry.create(MAPS, "default", config_map(name) | {"metadata": {"name": name, "labels": labels}})
    _, body = site.now("DELETE", f"{CONFIG_MAPS}?labelSelector=gone%3Dtrue")
    assert [item["metadata"]["name"] for item in body["items"]] == ["a", "c"]
    assert [item["metadata"]["name"] for item in site.now("GET", CONFIG_MAPS)[1]["items"]] == ["b"]


POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p"},
    "spec": {"containers": [{"name": "c", "image": "i"}]},
}


def test_a_pod_that_lingers_is_answered_with_itself_and_one_that_has_gone_with_a_status() -> None:
    site = Site()
    site.now("POST", PODS, POD)
    site.registry.bind("default", "p", "node-1")
    _, lingering = site.now("DELETE", f"{PODS}/p", {"gracePeriodSeconds": 7})
    assert (lingering["kind"], lingering["metadata"]["deletionGracePeriodSeconds"]) == ("Pod", 7)
    _, gone = site.now("DELETE", f"{PODS}/p?gracePeriodSeconds=0")
    assert (gone["kind"], gone["status"], gone["details"]["name"]) == ("Status", "Success", "p")


def test_a_pod_is_bound_through_its_subresource() -> None:
    site = Site()
    site.now("POST", PODS, POD)
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": "p"},
        "target": {"kind": "Node", "name": "n"},
    }
    assert site.now("POST", f"{PODS}/p/binding", binding)[0] == 201
    assert site.registry.get(POD_RESOURCE, "default", "p")["spec"]["nodeName"] == "n"
    assert site.now("POST", f"{PODS}/p/binding", {**binding, "target": {}})[0] == 400


def test_an_eviction_takes_the_pod_and_a_dry_run_of_it_does_not() -> None:
    site = Site()
    site.now("POST", PODS, POD)
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
    assert site.now("POST", f"{PODS}/p/eviction?dryRun=All", eviction)[0] == 201
    assert site.now("GET", f"{PODS}/p")[0] == 200
    code, body = site.now("POST", f"{PODS}/p/eviction", eviction)
    assert (code, body["status"]) == (201, "Success")
    assert site.now("GET", f"{PODS}/p")[0] == 404


def test_a_status_is_written_through_its_own_door_alone() -> None:
    site = Site()
    site.now("POST", DEPLOYMENTS, deployment())
    change = {"spec": {"replicas": 9}, "status": {"replicas": 5}}
    _, by_front = site.now("PATCH", f"{DEPLOYMENTS}/web", change, MERGE)
    assert (by_front["spec"]["replicas"], by_front["status"].get("replicas")) == (9, None)
    _, by_side = site.now("PATCH", f"{DEPLOYMENTS}/web/status", {**change, "spec": {"replicas": 1}}, MERGE)
    assert (by_side["spec"]["replicas"], by_side["status"]["replicas"]) == (9, 5)


def test_scaling_changes_the_workload() -> None:
    site = Site()
    site.now("POST", DEPLOYMENTS, deployment())
    code, scale = site.now("PATCH", f"{DEPLOYMENTS}/web/scale", {"spec": {"replicas": 4}}, MERGE)
    assert (code, scale["kind"], scale["spec"]["replicas"]) == (200, "Scale", 4)
    assert site.now("GET", f"{DEPLOYMENTS}/web")[1]["spec"]["replicas"] == 4
    scale["metadata"]["resourceVersion"] = "1"
    assert site.now("PUT", f"{DEPLOYMENTS}/web/scale", scale)[0] == 409


def test_a_namespace_is_finalized_through_its_own_door() -> None:
    site = Site()
    site.now("POST", "/api/v1/namespaces", {"metadata": {"name": "x"}})
    _, body = site.now("DELETE", "/api/v1/namespaces/x")
    assert body["status"]["phase"] == "Terminating"
    body["spec"]["finalizers"] = []
    assert site.now("PUT", "/api/v1/namespaces/x/finalize", body)[0] == 200
    assert site.now("GET", "/api/v1/namespaces/x")[0] == 404


class Logs:
    """Two lines, and what was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    async def lines(self, namespace: str, pod: str, container: str, **options: Any) -> AsyncIterator[bytes]:
        self.asked.append({"container": container, **options})
        if container == "missing":
            raise status.bad_request("container missing is not valid for pod p")
        for line in (b"one\n", b"two\n"):
            yield line


def read_log(query: str) -> tuple[Logs, int, bytes]:
    logs = Logs()
    site = Site(logs=logs)
    said = bytearray()

    async def send(chunk: bytes) -> None:
        said.extend(chunk)

    async def main() -> int:
        await site.ask("POST", PODS, POD)
        answer = await site.answer("GET", f"{PODS}/p/log{query}")
        if answer.pump is None:
            said.extend(answer.body)
        else:
            await answer.pump(send)
        return answer.status

    return logs, trio.run(main), bytes(said)


def test_a_log_is_plain_text_of_the_only_container() -> None:
    logs, code, said = read_log("?tailLines=5&timestamps=true&sinceSeconds=9")
    assert (code, said) == (200, b"one\ntwo\n")
    asked = logs.asked[-1]
    assert (asked["container"], asked["tail"], asked["timestamps"], asked["since"]) == ("c", 5, True, 9)


def test_a_log_is_cut_off_at_its_limit() -> None:
    assert read_log("?limitBytes=6")[2] == b"one\ntw"


def test_a_log_that_cannot_be_read_is_refused_before_it_begins() -> None:
    _, code, said = read_log("?container=missing")
    assert (code, json.loads(said)["message"]) == (400, "container missing is not valid for pod p")


@pytest.mark.parametrize("query", ["?tailLines=-1", "?limitBytes=0", "?sinceTime=yesterday", "?sinceSeconds=x"])
def test_a_log_with_impossible_options_is_refused(query: str) -> None:
    assert read_log(query)[1] in (400, 422)


def test_the_container_is_asked_for_where_there_are_several() -> None:
    site = Site(logs=Logs())
    several = {**POD, "spec": {"containers": [{"name": "c", "image": "i"}, {"name": "d", "image": "i"}]}}
    site.now("POST", PODS, several)
    code, body = site.now("GET", f"{PODS}/p/log")
    assert (code, "choose one of: [c d]" in body["message"]) == (400, True)


def test_what_a_sandbox_has_not_is_said_in_one_sentence() -> None:
    site = Site()
    site.now("POST", PODS, POD)
    code, body = site.now("POST", f"{PODS}/p/exec")
    assert (code, body["kind"]) == (405, "Status")
    assert "exec" in body["message"]


def test_a_review_of_rights_says_yes() -> None:
    spec = {"resourceAttributes": {"verb": "delete", "resource": "pods"}}
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    code, body = Site().now("POST", path, {"spec": spec})
    assert (code, body["status"]["allowed"]) == (201, True)
    assert Site().now("GET", path)[0] == 405
    assert Site().now("POST", "/apis/authorization.k8s.io/v1/nonsense", {})[0] == 404


def test_who_one_is_and_what_one_may_do_is_told() -> None:
    site = Site()
    _, rules = site.now(
        "POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", {"spec": {"namespace": "default"}}
    )
    assert rules["status"]["resourceRules"][0]["verbs"] == ["*"]
    _, me = site.now("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
    assert me["status"]["userInfo"]["groups"][0] == "system:masters"


def test_a_fault_of_the_sandbox_itself_is_a_status_too(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site()

    def broken(*_: Any, **__: Any) -> None:
        raise KeyError("nobody thought of it")

    monkeypatch.setattr(site.registry, "list", broken)
    code, body = site.now("GET", CONFIG_MAPS)
    assert (code, body["reason"]) == (500, "InternalError")
    assert "nobody thought of it" in body["message"]


@pytest.mark.parametrize("header", ["", "Bearer wrong", "Basic a-token", "Bearer"])
def test_without_the_token_nothing_is_told(header: str) -> None:
    code, body = Site().now("GET", CONFIG_MAPS, authorization=header)
    assert (code, body["reason"], body["message"]) == (401, "Unauthorized", "Unauthorized")


def test_a_stream_is_a_stream_whatever_is_asked() -> None:
    async def main() -> None:
        site = Site()
        answer = await site.server.answer(request("GET", f"{CONFIG_MAPS}?watch=0"))
        assert answer.pump is None
        async with streamed(await site.answer("GET", f"{CONFIG_MAPS}?watch=true&timeoutSeconds=1")):
            pass

    trio.run(main)
