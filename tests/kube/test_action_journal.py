"""The journal on disk, and putting back what it says."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio

from rollcheck.errors import UsageError
from rollcheck.kube.api import Api
from rollcheck.kube.journal import Entry, Journal, Left, journals_in
from rollcheck.kube.restore import put_back_all
from tests.fakes.api import Answer, Request, Stream, access_to, serving, status_object

NODE = Entry(kind="node", path="/api/v1/nodes/n1", uid="u1", what="node/n1")
SCALE = Entry(
    kind="replicas",
    path="/apis/apps/v1/namespaces/shop/deployments/web/scale",
    uid="u2",
    what="deployment/web",
    before={"replicas": 3},
    after={"replicas": 1},
)
IMAGE = Entry(
    kind="images",
    path="/apis/apps/v1/namespaces/shop/deployments/web",
    uid="u2",
    what="deployment/web",
    before={"app": "nginx:1", "side": "box:1"},
    after={"app": "nginx:2", "side": "box:2"},
)
TEMPLATE = Entry(
    kind="template",
    path="/apis/apps/v1/namespaces/shop/deployments/web",
    uid="u2",
    what="deployment/web",
    before={"spec": "old"},
    after={"spec": "new"},
)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "state", "web-1", {"context": "dev"})


def killed(journal: Journal) -> Left:
    """What a run leaves that is killed now: its lock goes, its file stays."""
    import os

    os.close(journal._fd)
    journal._fd = -1
    return Left(journal.path)


def test_an_entry_is_on_disk_when_it_has_been_entered(journal: Journal) -> None:
    journal.enter(NODE)
    head, entry = [json.loads(line) for line in journal.path.read_text().splitlines()]
    assert head["context"] == "dev"
    assert entry["entry"]["what"] == "node/n1"
    assert stat.S_IMODE(journal.path.stat().st_mode) == 0o600


def test_a_run_that_changed_nothing_leaves_no_file(journal: Journal) -> None:
    journal.close()
    assert not journal.path.parent.exists()


def test_a_journal_with_nothing_left_is_removed(journal: Journal) -> None:
    journal.strike(journal.enter(NODE))
    journal.close()
    assert not journal.path.exists()


def test_what_is_left_is_found_by_whoever_comes_after(journal: Journal) -> None:
    journal.enter(NODE)
    journal.strike(journal.enter(SCALE))
    left = killed(journal)
    assert [entry for _, entry in left.open] == [NODE]
    assert left.about["context"] == "dev"
    assert journals_in(journal.path.parent) == [journal.path]


def test_the_journal_of_a_run_that_goes_on_is_not_to_be_had(journal: Journal) -> None:
    journal.enter(NODE)
    with pytest.raises(BlockingIOError):
        Left(journal.path)


def test_a_torn_last_line_is_a_change_that_was_not_begun(journal: Journal) -> None:
    journal.enter(NODE)
    with journal.path.open("a") as file:
        file.write('{"number": 1, "entry": {"kind": "repl')
    assert [entry for _, entry in killed(journal).open] == [NODE]


def test_a_folder_that_cannot_be_written_stops_the_change(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(UsageError, match="so nothing was changed; set XDG_STATE_HOME"):
        Journal(tmp_path / "state", "web-1", {}).enter(NODE)


# Putting back

patches: list[tuple[str, Any]] = []


def put_back(journal: Journal, present: dict[str, Any] | Answer) -> tuple[list[str], bool]:
    told: list[str] = []

    async def handler(request: Request, _: Stream) -> Answer:
        if request.method == "PATCH":
            patches.append((request.headers["content-type"], request.json))
            return Answer(200, {})
        return present if isinstance(present, Answer) else Answer(200, present)

    async def main() -> bool:
        from kubernetes.client import Configuration

        async with serving(handler) as fake:
            access = access_to(fake.url)
            access.credentials.configuration = Configuration(host=fake.url)
            async with Api(access) as api:
                return await put_back_all(api, journal, lambda text, _: told.append(text))

    patches.clear()
    return told, trio.run(main)


def workload(**images: str) -> dict[str, Any]:
    containers = [{"name": name, "image": image} for name, image in images.items()]
    return {"metadata": {"uid": "u2"}, "spec": {"template": {"spec": {"containers": containers}}}}


@pytest.mark.loopback
class TestPuttingBack:
    def test_a_cordoned_node_is_uncordoned(self, journal: Journal) -> None:
        journal.enter(NODE)
        told = put_back(journal, {"metadata": {"uid": "u1"}, "spec": {"unschedulable": True}})
        assert told == (["node/n1 was uncordoned"], True)
        assert patches[0][1] == {"spec": {"unschedulable": None}}

    def test_doing_it_twice_does_no_harm(self, journal: Journal) -> None:
        journal.enter(NODE)
        assert put_back(journal, {"metadata": {"uid": "u1"}, "spec": {}}) == ([], True)
        assert patches == []

    def test_another_node_of_its_name_is_left_alone(self, journal: Journal) -> None:
        journal.enter(NODE)
        told, _ = put_back(journal, {"metadata": {"uid": "u9"}, "spec": {"unschedulable": True}})
        assert told == ["node/n1 is another one by now, so it was left alone"]
        assert patches == []

    def test_what_is_gone_needs_nothing(self, journal: Journal) -> None:
        journal.enter(NODE)
        told, clean = put_back(journal, status_object(404, "NotFound", "gone"))
        assert clean
        assert "is not there any more" in told[0]

    def test_a_workload_is_scaled_back(self, journal: Journal) -> None:
        journal.enter(SCALE)
        told, _ = put_back(journal, {"metadata": {"uid": "u2"}, "spec": {"replicas": 1}})
        assert told == ["deployment/web was scaled back to 3"]
        assert patches == [("application/merge-patch+json", {"spec": {"replicas": 3}})]

    def test_a_scale_of_nothing_is_left_out_by_the_server(self, journal: Journal) -> None:
        journal.enter(replace(SCALE, after={"replicas": 0}))
        put_back(journal, {"metadata": {"uid": "u2"}, "spec": {}})
        assert patches[0][1] == {"spec": {"replicas": 3}}

    def test_only_images_that_still_are_ours_go_back(self, journal: Journal) -> None:
        journal.enter(IMAGE)
        told, _ = put_back(journal, workload(app="nginx:2", side="box:9"))
        assert told == ["deployment/web was given its image back (app=nginx:1)"]
        assert patches[0][1]["spec"]["template"]["spec"] == {"containers": [{"name": "app", "image": "nginx:1"}]}

    def test_a_template_goes_back_only_over_the_one_that_was_read(self, journal: Journal) -> None:
        journal.enter(TEMPLATE)
        present = {"metadata": {"uid": "u2", "resourceVersion": "7"}, "spec": {"template": {"spec": "new"}}}
        assert put_back(journal, present)[0] == ["deployment/web was given its template back"]
        test, change = patches[0][1]
        assert (test["op"], test["value"]) == ("test", "7")
        assert (change["path"], change["value"]) == ("/spec/template", {"spec": "old"})

    def test_a_template_that_somebody_else_changed_is_left_alone(self, journal: Journal) -> None:
        journal.enter(TEMPLATE)
        present = {"metadata": {"uid": "u2"}, "spec": {"template": {"spec": "theirs"}}}
        assert "somebody else changed it" in put_back(journal, present)[0][0]
        assert patches == []

    def test_what_cannot_be_put_back_stays_in_the_journal(self, journal: Journal) -> None:
        journal.enter(NODE)
        told, clean = put_back(journal, status_object(403, "Forbidden", "no"))
        assert not clean
        assert "try again with `rollcheck cleanup`" in told[0]
        journal.close()
        assert journal.path.exists()
