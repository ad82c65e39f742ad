"""Discovery against the real server's, and OpenAPI as far as kubectl reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from apiside import Site

from rollcheck.sandbox.apiserver import discovery, openapi
from rollcheck.sandbox.resources import RESOURCES

REAL = json.loads((Path(__file__).parent / "recorded" / "discovery_1_34.json").read_text())
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


def real(group: str, version: str) -> dict[str, Any]:
    found = next(one for one in REAL[group]["versions"] if one["version"] == version)
    return {one["resource"]: one for one in found["resources"]}


def ours(group: str) -> list[dict[str, Any]]:
    return next(
        one for one in discovery.aggregated(group == "", "v2")["items"] if one["metadata"].get("name", "") == group
    )["versions"]


@pytest.mark.parametrize("group", sorted(REAL))
def test_resources_are_told_as_a_real_server_tells_them(group: str) -> None:
    for version in ours(group):
        known = real(group, version["version"])
        for one in version["resources"]:
            expected = known[one["resource"]]
            assert {key: value for key, value in one.items() if key != "subresources"} == {
                key: value for key, value in expected.items() if key != "subresources"
            }
            below = {sub["subresource"]: sub for sub in expected.get("subresources", ())}
            for sub in one.get("subresources", ()):
                assert sub == below[sub["subresource"]]


def test_both_kinds_of_discovery_tell_the_same() -> None:
    site = Site()
    for root in ("/api", "/apis"):
        _, body = site.now("GET", root, accept=AGGREGATED)
        assert body["kind"] == "APIGroupDiscoveryList"
        for item in body["items"]:
            for version in item["versions"]:
                path = "/".join(filter(None, (root, item["metadata"].get("name", ""), version["version"])))
                _, old = site.now("GET", path)
                assert {r["name"] for r in old["resources"] if "/" not in r["name"]} == {
                    r["resource"] for r in version["resources"]
                }


def test_a_client_that_does_not_ask_for_it_gets_the_old_documents() -> None:
    site = Site()
    assert site.now("GET", "/api")[1]["versions"] == ["v1"]
    groups = site.now("GET", "/apis")[1]["groups"]
    assert (
        site.now("GET", "/apis/apps")[1]["preferredVersion"]
        == next(g for g in groups if g["name"] == "apps")["preferredVersion"]
    )


def test_every_kind_is_described_for_openapi() -> None:
    described: set[str] = set()
    for group, version in discovery.versions():
        document = openapi.v3(group, version)
        assert document is not None
        schemas = json.loads(document)["components"]["schemas"]
        described |= {name.rpartition(".")[2] for name in schemas}
        text = document.decode()
        for name in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
            assert name in schemas
    assert {one.kind for one in RESOURCES} <= described


def test_openapi_tells_kubectl_to_leave_validation_to_the_server_and_how_to_merge() -> None:
    site = Site()
    index = site.now("GET", "/openapi/v3")[1]["paths"]
    _, document = site.now("GET", index["apis/apps/v1"]["serverRelativeURL"])
    patch = document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    assert "fieldValidation" in {one["name"] for one in patch["parameters"]}
    assert patch["x-kubernetes-group-version-kind"] == {"group": "apps", "version": "v1", "kind": "Deployment"}
    containers = document["components"]["schemas"]["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert containers["x-kubernetes-patch-merge-key"] == "name"
    assert containers["x-kubernetes-patch-strategy"] == "merge"
    assert containers["x-kubernetes-list-map-keys"] == ["name"]


def test_the_old_openapi_has_no_references_that_lead_nowhere() -> None:
    document = openapi.v2().decode()
    known = json.loads(document)["definitions"]
    assert {part.split('"')[0] for part in document.split("#/definitions/")[1:]} <= set(known)


@pytest.mark.parametrize(
    "path", ["/nothing", "/apis/nope", "/apis/nope/v1", "/openapi/v3/apis/nope/v1", "/apis/nope/v1/things"]
)
def test_paths_outside_every_group_are_no_pages(path: str) -> None:
    assert Site().now("GET", path) == (404, "404 page not found\n")


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz", "/readyz/ping"])
def test_health_is_told_in_a_word(path: str) -> None:
    assert Site().now("GET", path) == (200, "ok")


def test_the_version_says_that_this_is_a_sandbox() -> None:
    assert Site().now("GET", "/version")[1]["gitVersion"].endswith("+sandbox")


def test_the_root_tells_of_every_group() -> None:
    assert "/apis/apps/v1" in Site().now("GET", "/")[1]["paths"]
