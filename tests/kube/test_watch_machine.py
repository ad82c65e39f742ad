"""The list/watch logic without I/O: tables, and a model that must agree with the server's own state."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from steady import STEADY

from rollcheck.facts.cluster import Change
from rollcheck.kube.reflector import LINE_LIMIT, Delta, WatchMachine

Json = dict[str, Any]


def thing(uid: str, version: int) -> Json:
    return {"metadata": {"uid": uid, "name": uid, "resourceVersion": str(version)}}


def line(kind: str, raw: Json) -> bytes:
    return json.dumps({"type": kind, "object": raw}).encode() + b"\n"


def started(*items: Json, version: str = "10") -> WatchMachine:
    machine = WatchMachine()
    machine.listed(list(items), version)
    return machine


def told(deltas: list[Delta]) -> list[tuple[str, str]]:
    return [(d.change.value, d.raw["metadata"]["uid"]) for d in deltas]


def test_what_the_first_list_has_was_there_before_we_looked() -> None:
    assert told(WatchMachine().listed([thing("a", 1), thing("b", 2)], "10")) == [("listed", "a"), ("listed", "b")]


@pytest.mark.parametrize(
    ("kind", "raw", "expected"),
    [
        ("ADDED", thing("b", 11), [("added", "b")]),
        ("MODIFIED", thing("a", 11), [("modified", "a")]),
        ("DELETED", thing("a", 11), [("deleted", "a")]),
        ("ADDED", thing("a", 11), [("modified", "a")]),
        ("MODIFIED", thing("b", 11), [("added", "b")]),
        ("ADDED", thing("a", 1), []),
        ("DELETED", thing("b", 11), []),
        ("BOOKMARK", thing("", 11), []),
        ("SPARKLED", thing("a", 11), []),
    ],
)
def test_an_event_becomes_the_change_that_it_is_to_what_we_know(kind: str, raw: Json, expected: list[Any]) -> None:
    assert told(started(thing("a", 1)).receive(line(kind, raw))) == expected


def test_a_bookmark_moves_the_version_from_which_the_next_watch_goes_on() -> None:
    machine = started()
    machine.receive(line("BOOKMARK", {"metadata": {"resourceVersion": "77"}}))
    assert machine.version == "77"


def test_an_event_moves_the_version_even_when_it_changes_nothing() -> None:
    machine = started()
    machine.receive(line("DELETED", thing("never-seen", 78)))
    assert machine.version == "78"


def test_an_expired_version_asks_for_a_new_list() -> None:
    machine = started(thing("a", 1))
    machine.receive(line("ERROR", {"kind": "Status", "code": 410, "reason": "Expired"}))
    assert machine.lost == "410 Expired"


def test_what_follows_an_error_in_the_same_stream_is_ignored() -> None:
    machine = started()
    data = line("ERROR", {"code": 410, "reason": "Gone"}) + line("ADDED", thing("a", 11))
    assert machine.receive(data) == []
    assert machine.receive(line("ADDED", thing("b", 12))) == []
    assert machine.version == "10"


def test_a_relist_tells_what_vanished_what_changed_and_what_is_new() -> None:
    machine = started(thing("gone", 1), thing("same", 2), thing("changed", 3))
    machine.gone("410")
    deltas = machine.listed([thing("same", 2), thing("changed", 30), thing("new", 31)], "40")
    assert told(deltas) == [("vanished", "gone"), ("modified", "changed"), ("added", "new")]
    assert machine.lost == ""


def test_a_name_that_came_back_with_another_uid_is_another_object() -> None:
    machine = started({"metadata": {"uid": "1", "name": "web", "resourceVersion": "1"}})
    deltas = machine.listed([{"metadata": {"uid": "2", "name": "web", "resourceVersion": "9"}}], "10")
    assert told(deltas) == [("vanished", "1"), ("added", "2")]


def test_a_line_cut_off_by_the_end_of_the_stream_is_not_taken_and_comes_again() -> None:
    machine = started()
    whole = line("ADDED", thing("a", 11))
    assert machine.receive(whole[:-5]) == []
    assert machine.end() is False
    assert machine.version == "10"
    assert told(machine.receive(whole)) == [("added", "a")]


def test_a_stream_that_ends_between_two_lines_ended_whole() -> None:
    machine = started()
    machine.receive(line("ADDED", thing("a", 11)))
    assert machine.end() is True


@pytest.mark.parametrize(
    "rubbish",
    [
        b"<html>502 Bad Gateway</html>\n",
        b"{}\n",
        b'{"type":"ADDED"}\n',
        b'{"type":"ADDED","object":7}\n',
        b"[]\n",
        b"\xff\n",
    ],
)
def test_a_line_that_is_no_watch_event_asks_for_a_new_list(rubbish: bytes) -> None:
    machine = started()
    assert machine.receive(rubbish) == []
    assert "no watch event" in machine.lost


def test_empty_lines_between_events_mean_nothing() -> None:
    machine = started()
    assert told(machine.receive(b"\n\r\n" + line("ADDED", thing("a", 11)) + b"\n")) == [("added", "a")]


def test_a_line_without_an_end_does_not_fill_the_memory() -> None:
    machine = started()
    machine.receive(b"x" * (LINE_LIMIT + 1))
    assert "without an end" in machine.lost
    assert machine._torn == b""


operations = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["write", "delete", "bookmark"]), st.integers(0, 4)),
        st.tuples(st.sampled_from(["cut", "expire", "expire-event", "noise"]), st.integers(1, 40)),
    ),
    max_size=40,
)


class Server:
    """The truth: a store with a log of changes, and a client that may be cut off anywhere."""

    def __init__(self) -> None:
        self.version = 0
        self.store: dict[str, Json] = {}
        self.log: list[tuple[int, bytes]] = []
        self.made = 0
        self.alive: dict[int, str] = {}

    def write(self, slot: int) -> None:
        self.version += 1
        uid = self.alive.get(slot)
        kind = "MODIFIED"
        if uid is None:
            self.made += 1
            uid, kind = f"{slot}-{self.made}", "ADDED"
            self.alive[slot] = uid
        self.store[uid] = thing(uid, self.version)
        self.log.append((self.version, line(kind, self.store[uid])))

    def delete(self, slot: int) -> None:
        if (uid := self.alive.pop(slot, None)) is not None:
            self.version += 1
            del self.store[uid]
            self.log.append((self.version, line("DELETED", thing(uid, self.version))))

    def bookmark(self) -> None:
        self.log.append((self.version, line("BOOKMARK", {"metadata": {"resourceVersion": str(self.version)}})))

    def since(self, version: str) -> bytes:
        return b"".join(data for at, data in self.log if at > int(version))


class Client:
    """Drives a machine as the trio loop does, and keeps every change it tells."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.machine = WatchMachine()
        self.state: dict[str, str] = {}
        self.changes: list[Delta] = []
        self.pending = b""
        self.relist()

    def take(self, deltas: list[Delta]) -> None:
        for delta in deltas:
            uid = delta.raw["metadata"]["uid"]
            self.changes.append(delta)
            if delta.change in (Change.DELETED, Change.VANISHED):
                assert uid in self.state, "told to be gone without having been there"
                del self.state[uid]
            else:
                assert (uid in self.state) == (delta.change is Change.MODIFIED)
                self.state[uid] = delta.raw["metadata"]["resourceVersion"]

    def relist(self) -> None:
        self.take(self.machine.listed(list(self.server.store.values()), str(self.server.version)))

    def watch(self, upto: int | None = None) -> None:
        """A watch from the last version that delivers `upto` bytes and then breaks (all of them when None)."""
        data = self.server.since(self.machine.version)
        for at in range(0, len(data[:upto]), 7):
            self.take(self.machine.receive(data[:upto][at : at + 7]))
        self.machine.end()
        if self.machine.lost:
            self.relist()


@STEADY
@given(operations)
def test_the_mirror_ends_as_the_server_whatever_breaks_on_the_way(steps: list[tuple[str, int]]) -> None:
    server = Server()
    server.write(0)
    client = Client(server)
    for step, number in steps:
        if step == "write":
            server.write(number)
        elif step == "delete":
            server.delete(number)
        elif step == "bookmark":
            server.bookmark()
        elif step == "cut":
            client.watch(upto=number * 5)
        elif step == "expire":
            client.machine.gone("410 Gone")
            client.relist()
        elif step == "expire-event":
            client.take(client.machine.receive(line("ERROR", {"code": 410, "reason": "Expired"})))
            assert client.machine.lost
            client.relist()
        else:
            client.machine.receive(b'{"type":"MODI')
            client.machine.end()
    client.watch()
    assert client.state == {uid: raw["metadata"]["resourceVersion"] for uid, raw in server.store.items()}


@STEADY
@given(st.data())
def test_it_does_not_matter_where_the_bytes_of_a_watch_are_cut(data: st.DataObject) -> None:
    server = Server()
    for slot in (0, 1, 0, 2):
        server.write(slot)
    server.delete(1)
    stream = server.since("0")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    machine, deltas = started(version="0"), []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        deltas += machine.receive(stream[begin:end])
    assert told(deltas) == told(started(version="0").receive(stream))
    assert machine.version == str(server.version)


@STEADY
@given(st.lists(st.integers(1, 60), max_size=8))
def test_no_change_is_told_twice_or_left_out_when_every_watch_is_cut_off(cuts: list[int]) -> None:
    server = Server()
    client = Client(server)
    for i, cut in enumerate(cuts):
        server.write(i % 3)
        server.write(i % 3)
        client.watch(upto=cut)
    client.watch()
    versions = [int(d.raw["metadata"]["resourceVersion"]) for d in client.changes]
    assert versions == list(range(1, server.version + 1))
