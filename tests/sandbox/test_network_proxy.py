"""The Services of a registry, as clients of each node reach them."""

from __future__ import annotations

import json
import random
import sys
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from rollcheck.sandbox.addresses import Addresses
from rollcheck.sandbox.network.ingress import Ingress
from rollcheck.sandbox.network.places import PORTS_ANNOTATION
from rollcheck.sandbox.network.propagation import Lag
from rollcheck.sandbox.network.proxy import ServiceProxy
from rollcheck.sandbox.network.sockets import listen
from rollcheck.sandbox.network.tables import EndpointTables
from rollcheck.sandbox.registry import Registry
from rollcheck.sandbox.resources import ENDPOINT_SLICES, EVENTS, INGRESSES, SERVICES

pytestmark = [
    pytest.mark.loopback,
    pytest.mark.skipif(sys.platform != "linux", reason="needs the whole of 127.0.0.0/8"),
]
NONE = Lag(0, 0)


@asynccontextmanager
async def cluster(*, lag=NONE, shared=False, low_ports=None, ingress=False):
    """A registry with a proxy of two nodes, and what is needed to look at them."""
    addresses = Addresses.claim(shared)
    registry = Registry(addresses=addresses)
    nodes = {name: addresses.node(i) for i, name in ((1, "node-1"), (2, "node-2"))}
    proxy = ServiceProxy(registry, nodes, lag=lag, shared=shared, low_ports=low_ports, chance=random.Random(1))
    with addresses.listener:
        async with trio.open_nursery() as nursery:
            await nursery.start(proxy.run)
            if ingress:
                listener = listen(addresses.api, 0)
                await nursery.start(Ingress(registry, listener.getsockname(), listener, lag=lag).run)
            yield registry, proxy
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def pod(name, host):
    """A server that says its name in HTTP; its port."""

    async def answer(stream):
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(name), name.encode()))

    listeners = await trio.open_tcp_listeners(0, host=host)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, answer, listeners)
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


def service(registry, **spec):
    made = {"type": "NodePort", "selector": {"app": "web"}, "ports": [{"name": "http", "port": 8080}], **spec}
    return registry.create(SERVICES, "default", {"metadata": {"name": "web"}, "spec": made})


def slice_of(port, *pods):
    """An EndpointSlice of `web`; each pod is (address, node) or (address, node, conditions)."""
    endpoints = [
        {"addresses": [host], "nodeName": node, "conditions": rest[0] if rest else {"ready": True}}
        for host, node, *rest in pods
    ]
    return {
        "metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
        "endpoints": endpoints,
    }


def publish(registry, made):
    if registry.peek(ENDPOINT_SLICES, "default", "web-1") is None:
        return registry.create(ENDPOINT_SLICES, "default", made)
    return registry.update(ENDPOINT_SLICES, {**made, "metadata": {**made["metadata"], "namespace": "default"}})


async def ask(host, port, name="web.test"):
    """The body of an answer, "cut" for none, or how the connect failed."""
    try:
        stream = await trio.open_tcp_stream(host, port)
    except OSError:
        return "refused"
    async with stream:
        try:
            await stream.send_all(b"GET / HTTP/1.1\r\nHost: %b\r\n\r\n" % name.encode())
            answer = await stream.receive_some()
        except trio.BrokenResourceError:  # connected just as its listener was closed
            answer = b""
    if not answer:
        return "cut"
    head, _, body = answer.partition(b"\r\n\r\n")
    return body.decode() if head.startswith(b"HTTP/1.1 200") else head.split()[1].decode()


async def until(question, wanted):
    """Ask until the answer is the wanted one; the caller bounds the time."""
    while (said := await question()) != wanted:
        await trio.sleep(0.01)
    return said


def run(test, clock=None):
    async def limited():
        with trio.fail_after(10):
            await test()

    trio.run(limited, clock=clock)


def test_a_service_answers_at_its_cluster_ip_and_at_every_nodes_port():
    async def test():
        async with cluster() as (registry, _):
            spec = service(registry)["spec"]
            address = registry.addresses.pod(1)
            async with pod("a", address) as port:
                publish(registry, slice_of(port, (address, "node-1")))
                await until(lambda: ask(spec["clusterIP"], 8080), "a")
                for node in (1, 2):
                    assert await ask(registry.addresses.node(node), spec["ports"][0]["nodePort"]) == "a"

    run(test)


def test_a_service_without_endpoints_refuses():
    async def test():
        async with cluster() as (registry, _):
            spec = service(registry)["spec"]
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert await ask(spec["clusterIP"], 8080) == "refused"

    run(test)


def test_a_deleted_service_is_gone_from_its_address():
    async def test():
        async with cluster() as (registry, _):
            spec = service(registry)["spec"]
            address = registry.addresses.pod(1)
            async with pod("a", address) as port:
                publish(registry, slice_of(port, (address, "node-1")))
                await until(lambda: ask(spec["clusterIP"], 8080), "a")
                registry.delete(SERVICES, "default", "web")
                await until(lambda: ask(spec["clusterIP"], 8080), "refused")

    run(test)


def test_an_endpoint_that_left_is_sent_connections_for_the_lag_and_no_longer():
    async def test():
        async with cluster(lag=Lag(0.3, 0.3)) as (registry, proxy):
            spec = service(registry)["spec"]
            one, two = registry.addresses.pod(1), registry.addresses.pod(1)
            async with pod("a", one) as port:
                publish(registry, slice_of(port, (one, "node-1")))
                await until(lambda: ask(spec["clusterIP"], 8080), "a")
                changed = trio.current_time()
                publish(registry, slice_of(port, (two, "node-1")))
                await trio.sleep(0.01)
                assert await ask(spec["clusterIP"], 8080) == "a"
                assert not proxy.settled()
                await until(lambda: ask(spec["clusterIP"], 8080), "refused")
                assert trio.current_time() - changed >= 0.3
                assert proxy.settled()

    run(test)


def test_each_node_learns_of_a_change_at_its_own_time():
    async def test():
        async with cluster(lag=Lag(0, 0.6)) as (registry, proxy):
            service(registry)
            publish(registry, slice_of(80, (registry.addresses.pod(1), "node-1")))
            seen = {}
            while len(seen) < 2:
                for node in ("node-1", "node-2"):
                    if proxy.known_to(node, "default", "web", "http"):
                        seen.setdefault(node, trio.current_time())
                await trio.sleep(0.002)
            assert abs(seen["node-1"] - seen["node-2"]) > 0.01

    run(test, clock=trio.testing.MockClock(autojump_threshold=0))


def test_a_local_policy_sends_nothing_to_other_nodes():
    async def test():
        async with cluster() as (registry, _):
            spec = service(registry, externalTrafficPolicy="Local")["spec"]
            address, node_port = registry.addresses.pod(2), spec["ports"][0]["nodePort"]
            async with pod("b", address) as port:
                publish(registry, slice_of(port, (address, "node-2")))
                await until(lambda: ask(registry.addresses.node(2), node_port), "b")
                with trio.move_on_after(0.2) as silence:
                    await ask(registry.addresses.node(1), node_port)
                assert silence.cancelled_caught

    run(test)


def test_a_port_that_is_taken_is_an_event_of_its_service():
    async def test():
        async with cluster() as (registry, _):
            spec = service(registry)["spec"]
            address = registry.addresses.pod(1)
            async with pod("a", address) as port:
                with listen(spec["clusterIP"], 8080):
                    publish(registry, slice_of(port, (address, "node-1")))
                    while not (events := registry.list(EVENTS, "default")):
                        await trio.sleep(0.01)
            assert events[0]["reason"] == "PortNotAvailable"
            assert f"{spec['clusterIP']}:8080 is taken by another program" in events[0]["message"]

    run(test)


def test_where_low_ports_are_roots_a_service_answers_higher_up_and_says_so():
    async def test():
        async with cluster(low_ports=False) as (registry, _):
            spec = service(registry, ports=[{"name": "http", "port": 80}])["spec"]
            address = registry.addresses.pod(1)
            async with pod("a", address) as port:
                publish(registry, slice_of(port, (address, "node-1")))
                await until(lambda: ask(spec["clusterIP"], 10080), "a")
            said = registry.get(SERVICES, "default", "web")["metadata"]["annotations"][PORTS_ANNOTATION]
            assert json.loads(said) == {"80": 10080}

    run(test)


def test_where_addresses_are_shared_each_service_has_a_port_of_its_own():
    async def test():
        async with cluster(shared=True) as (registry, _):
            spec = service(registry, ports=[{"name": "http", "port": 80}])["spec"]
            async with pod("a", "127.0.0.1") as port:
                publish(registry, slice_of(port, ("127.0.0.1", "node-1")))
                while not (annotations := registry.get(SERVICES, "default", "web")["metadata"].get("annotations")):
                    await trio.sleep(0.01)
                real = json.loads(annotations[PORTS_ANNOTATION])["80"]
                await until(lambda: ask("127.0.0.1", real), "a")
                assert await ask("127.0.0.1", spec["ports"][0]["nodePort"]) == "a"

    run(test)


def test_an_ingress_gets_an_address_and_serves_its_host():
    async def test():
        async with cluster(ingress=True) as (registry, _):
            service(registry)
            address = registry.addresses.pod(1)
            backend = {"service": {"name": "web", "port": {"number": 8080}}}
            rule = {"host": "web.test", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
            made = {"metadata": {"name": "web"}, "spec": {"ingressClassName": "traefik", "rules": [rule]}}
            registry.create(INGRESSES, "default", made)
            while not (status := registry.get(INGRESSES, "default", "web").get("status", {}).get("loadBalancer")):
                await trio.sleep(0.01)
            at = (status["ingress"][0]["ip"], status["ingress"][0]["ports"][0]["port"])
            assert await ask(*at) == "503"
            assert await ask(*at, "other.test") == "404"
            async with pod("a", address) as port:
                publish(registry, slice_of(port, (address, "node-1")))
                await until(lambda: ask(*at), "a")
            assert await ask(*at) == "502"

    run(test)


def test_what_was_there_before_the_proxies_is_known_to_them_at_once():
    async def test():
        registry = Registry()
        registry.create(ENDPOINT_SLICES, "default", slice_of(8080, ("127.1.1.1", "node-1")))
        tables = EndpointTables(registry, ("node-1",), Lag(60, 60), random.Random(1), lambda _: None)
        async with trio.open_nursery() as nursery:
            await nursery.start(tables.run)
            assert tables.settled()
            assert tables.of("node-1", ("default", "web")).known
            nursery.cancel_scope.cancel()

    trio.run(test)
