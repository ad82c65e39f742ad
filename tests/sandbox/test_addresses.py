"""Blocks of loopback addresses: who has which, and that two sandboxes never share one."""

import socket

import pytest

from rollcheck.sandbox import addresses
from rollcheck.sandbox.addresses import Addresses, NoAddress

pytestmark = pytest.mark.loopback


def test_every_inhabitant_has_a_place_of_its_own():
    block = Addresses(77)
    assert block.api == "127.77.0.1"
    assert block.node(3) == "127.77.0.13"
    assert block.pod(3) == "127.77.3.1"
    assert block.pod(3) == "127.77.3.2"
    assert block.pod(4) == "127.77.4.1"
    assert block.service() == "127.77.200.1"
    assert str(block.services_network) == "127.77.200.0/21"


def test_an_address_given_back_is_the_last_to_be_taken_again():
    block = Addresses(77)
    taken = [block.pod(1) for _ in range(3)]
    block.release(taken[0])
    assert [block.pod(1) for _ in range(251)] == [f"127.77.1.{number}" for number in range(4, 255)]
    assert block.pod(1) == taken[0]


def test_a_full_node_says_so():
    block = Addresses(77)
    for _ in range(254):
        block.pod(1)
    with pytest.raises(NoAddress, match="node 1 has no free address for another pod"):
        block.pod(1)


def test_there_are_no_more_nodes_than_addresses_for_them():
    with pytest.raises(NoAddress, match="at most 199 nodes"):
        Addresses(77).node(200)


def test_shared_addresses_are_all_the_same():
    shared = Addresses(shared=True)
    assert {shared.api, shared.node(1), shared.pod(1), shared.pod(1), shared.service()} == {"127.0.0.1"}


def test_two_claims_get_two_blocks_and_a_closed_one_is_free_again():
    first, second = Addresses.claim(), Addresses.claim()
    try:
        assert first.block != second.block
        assert first.listener.getsockname() == (first.api, first.api_port)
        first.listener.close()
        third = Addresses.claim()
        third.listener.close()
        assert third.block == first.block
    finally:
        first.listener.close()
        second.listener.close()


def test_a_shared_claim_has_a_port_of_its_own():
    first, second = Addresses.claim(shared=True), Addresses.claim(shared=True)
    try:
        assert first.api == second.api == "127.0.0.1"
        assert first.api_port != second.api_port
    finally:
        first.listener.close()
        second.listener.close()


def test_another_kubernetes_on_every_address_moves_a_claim_to_the_next_port(monkeypatch):
    with socket.socket() as everywhere:
        everywhere.bind(("0.0.0.0", 0))
        everywhere.listen()
        taken = everywhere.getsockname()[1]
        monkeypatch.setattr(addresses, "API_PORT", taken)
        claimed = Addresses.claim()
        claimed.listener.close()
    assert taken < claimed.api_port < taken + 10


def test_no_free_block_is_said_with_the_way_out(monkeypatch):
    monkeypatch.setattr(addresses, "_listen", lambda host, port: None)
    with pytest.raises(addresses.UsageError, match="rollcheck sandbox down"):
        Addresses.claim()
