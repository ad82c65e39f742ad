"""Manifests as kubectl takes them, and what is said of those that it would not take."""

from __future__ import annotations

import io
import sys

import pytest

from rollcheck.errors import UsageError
from rollcheck.sandbox.manifests import bundled, load, parse

POD = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n"


def test_documents_of_one_text_are_objects_in_order_and_empty_ones_are_none():
    found = parse(f"---\n{POD}---\n---\n{POD}", "x")

    assert len(found) == 2


def test_a_list_is_taken_apart():
    text = '{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Pod", "metadata": {}}]}'

    assert [o["kind"] for o in parse(text, "x.json")] == ["Pod"]


def test_numbers_are_read_as_kubectl_reads_them():
    found = parse(POD + "mode: 0644\nflag: on\n", "x")[0]

    assert (found["mode"], found["flag"]) == (0o644, True)


def test_a_date_stays_the_text_it_was():
    assert parse(POD + "at: 2026-01-31\n", "x")[0]["at"] == "2026-01-31"


def test_a_file_a_folder_and_standard_input_are_read(tmp_path, monkeypatch):
    (tmp_path / "b.yaml").write_text(POD.replace("name: a", "name: second"))
    (tmp_path / "a.yml").write_text(POD)
    (tmp_path / "notes.txt").write_text("no manifest")
    monkeypatch.setattr(sys, "stdin", io.StringIO(POD.replace("name: a", "name: piped")))

    found = load([str(tmp_path / "a.yml"), str(tmp_path), "-"])

    assert [o["metadata"]["name"] for o in found] == ["a", "a", "second", "piped"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [1, 2\nb: 3\n", "web.yaml:2:2: this is not YAML"),
        ("a: 1\na: 2\n", "duplicate key"),
        ("- a\n", "not a list"),
        ("just words\n", "not a text"),
        ("kind: Pod\n", "has no apiVersion"),
        ("apiVersion: v1\n", "has no kind"),
        (f"{POD}---\napiVersion: v1\n", "web.yaml, document 2: the object has no kind"),
        (POD + "1: x\n", "the key 1 is no text"),
        ("a: !!python/object:os.system x\n", "this is not YAML"),
    ],
)
def test_what_is_no_manifest_is_one_sentence_with_its_place(text, says):
    with pytest.raises(UsageError, match=r"web\.yaml") as refused:
        parse(text, "web.yaml")

    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(UsageError, match="-f /no/such: cannot be read: No such file or directory"):
        load(["/no/such"])


def test_a_folder_without_manifests_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"has no \.yaml"):
        load([str(tmp_path)])


def test_wordpress_is_bundled_as_tutorials_have_it():
    kinds = {(o["kind"], o["metadata"]["name"]) for o in bundled("wordpress")}
    deployment = next(
        o for o in bundled("wordpress") if (o["kind"], o["metadata"]["name"]) == ("Deployment", "wordpress")
    )

    assert ("Service", "wordpress") in kinds
    assert deployment["spec"]["replicas"] == 3
    assert all("lifecycle" not in c for c in deployment["spec"]["template"]["spec"]["containers"])


def test_nothing_else_is_bundled():
    assert bundled("shop") == []
