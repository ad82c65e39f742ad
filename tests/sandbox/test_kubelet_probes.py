"""Probes of containers that run: what they ask, what they say when it fails, and what follows."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from kubelets import SLEEPER, World, condition, container, one_node, state

from rollcheck.sandbox.probes import Answer, Place, ask, http_get

Json = dict[str, Any]
FILE = {"exec": {"command": ["sh", "-c", "test -e ok"]}, "periodSeconds": 1}
"""Good while there is a file `ok` in the container's working directory."""
FILE_ONCE_UP = {
    "exec": {"command": ["sh", "-c", "while [ ! -e up ]; do sleep 0.02; done; test -e ok"]},
    "periodSeconds": 1,
    "timeoutSeconds": 5,
}
"""The same, first waiting until a signal would reach the container."""


def on_a_node(folder: Path, test: Any) -> None:
    async def main() -> None:
        with trio.fail_after(40):
            async with one_node(folder / "s") as world:
                await test(world)

    trio.run(main)


def python(code: str = SLEEPER, **more: Any) -> Json:
    return container(command=["python3", "-c", code], **more)


def working_folder(world: World) -> Path:
    pod = world.changes[-1].object
    return world.folder / "pods" / str(pod["metadata"]["uid"]) / "containers" / "app"


# One question


async def served(answer: bytes, question: Callable[[Place, int], Any]) -> tuple[Any, bytes]:
    """What a probe makes of a server that reads a request, sends `answer` and closes; and what it was asked."""
    asked = b""

    async def handle(stream: trio.SocketStream) -> None:
        nonlocal asked
        asked = await stream.receive_some(65536)
        await stream.send_all(answer)
        await stream.aclose()

    async def no_command(_command: Any) -> tuple[int, str]:
        raise AssertionError

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, handle, 0, host="127.0.0.1"))
        port = listeners[0].socket.getsockname()[1]
        place = Place(ip="127.0.0.1", ports={80: port}, container={}, run=no_command)
        made = await question(place, port)
        nursery.cancel_scope.cancel()
    return made, asked


@pytest.mark.parametrize(
    ("head", "good"),
    [
        (b"HTTP/1.1 200 OK", True),
        (b"HTTP/1.0 399 Odd", True),
        (b"HTTP/1.1 400 Bad Request", False),
        (b"HTTP/1.1 503 Service Unavailable", False),
        (b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.example/", True),
    ],
)
def test_an_http_answer_is_good_from_200_to_399(head: bytes, good: bool) -> None:
    async def main() -> None:
        answer, _ = await served(head + b"\r\n\r\n", lambda place, _: ask({"httpGet": {"port": 80}}, place, 5))

        assert answer.good is good
        if not good:
            assert answer.output == f"HTTP probe failed with statuscode: {head.split()[1].decode()}"

    trio.run(main)


def test_a_probe_asks_as_a_kubelet_does() -> None:
    action = {"path": "/healthz?x=1", "port": 80, "httpHeaders": [{"name": "Host", "value": "shop.example"}]}

    async def main() -> None:
        _, asked = await served(b"HTTP/1.1 200 OK\r\n\r\n", lambda place, _: ask({"httpGet": action}, place, 5))
        lines = asked.decode().splitlines()

        assert lines[0] == "GET /healthz?x=1 HTTP/1.1"
        assert "Host: shop.example" in lines
        assert "User-Agent: kube-probe/1.34" in lines
        assert "Connection: close" in lines

    trio.run(main)


@pytest.mark.parametrize(
    ("sent", "words"),
    [(b"", "EOF"), (b"220 mail ready\r\n\r\n", 'malformed HTTP response "220 mail ready"')],
)
def test_no_http_answer_is_said_as_go_says_it(sent: bytes, words: str) -> None:
    async def main() -> None:
        answer, _ = await served(sent, lambda place, _: ask({"httpGet": {"port": 80, "path": "/h"}}, place, 5))

        assert not answer.good
        assert answer.output.startswith('Get "http://127.0.0.1:')
        assert answer.output.endswith(words)

    trio.run(main)


async def nothing(_command: Any) -> tuple[int, str]:
    raise AssertionError


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.mark.parametrize("kind", ["tcpSocket", "httpGet"])
def test_a_refused_connection_is_said_as_go_says_it(kind: str) -> None:
    async def main() -> None:
        port = closed_port()
        place = Place(ip="127.0.0.1", ports={}, container={}, run=nothing)
        answer = await ask({kind: {"port": port}}, place, 5)

        assert answer.output.endswith(f"dial tcp 127.0.0.1:{port}: connect: connection refused")

    trio.run(main)


def test_a_silent_server_is_a_failure_after_the_timeout() -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            place = Place(ip="127.0.0.1", ports={}, container={}, run=nothing)
            answer = await http_get({"port": listener.getsockname()[1]}, place, 0.1, agent="x")

        assert answer.output.endswith("context deadline exceeded (Client.Timeout exceeded while awaiting headers)")

    trio.run(main)


def test_tcp_is_good_once_it_opens_and_the_port_may_be_a_name() -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            named = {"ports": [{"name": "db", "containerPort": 3306}]}
            place = Place(ip="127.0.0.1", ports={3306: port}, container=named, run=nothing)

            assert await ask({"tcpSocket": {"port": "db"}}, place, 5) == Answer(True)
            assert await ask({"tcpSocket": {"port": "nope"}}, place, 5) == Answer(False, "couldn't find port: nope")

    trio.run(main)


def test_grpc_is_not_spoken_and_says_so() -> None:
    async def main() -> None:
        place = Place(ip="127.0.0.1", ports={}, container={}, run=nothing)

        assert await ask({"grpc": {"port": 1}}, place, 1) == Answer(False, "the sandbox does not speak gRPC")

    trio.run(main)


# What follows


def test_readiness_comes_and_goes_with_its_probe(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.create(python(readinessProbe={**FILE, "failureThreshold": 1}))
        await world.until_event("Unhealthy")

        assert world.events()[-1] == ("Unhealthy", "Readiness probe failed: ")
        assert condition(world.changes[-1].object, "Ready") == "False"

        (working_folder(world) / "ok").touch()
        await world.until_ready()
        seen = len(world.changes)
        (working_folder(world) / "ok").unlink()
        await world.until(lambda c: c in world.changes[seen:] and condition(c.object, "Ready") == "False")

        assert state(world.changes[-1].object)["running"]
        assert world.changes[-1].object["status"]["containerStatuses"][0]["restartCount"] == 0

    on_a_node(tmp_path, test)


def test_a_failed_liveness_probe_restarts_the_same_pod(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.create(python(livenessProbe={**FILE_ONCE_UP, "failureThreshold": 2}), terminationGracePeriodSeconds=5)
        pod = await world.until(lambda c: c.object["status"].get("containerStatuses", [{}])[0].get("restartCount") == 1)

        assert ("Killing", "Container app failed liveness probe, will be restarted") in world.events()
        assert next(m for r, m in world.events() if r == "Unhealthy") == "Liveness probe failed: "
        assert "deletionTimestamp" not in pod["metadata"]
        assert pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 0
        shown = [s["containerStatuses"][0]["state"] for s in world.statuses() if s.get("containerStatuses")]
        assert not any("terminated" in one for one in shown)  # ended and started in one breath

    on_a_node(tmp_path, test)


def test_a_liveness_probe_may_have_a_grace_of_its_own(tmp_path: Path) -> None:
    deaf = "import signal,time\nsignal.signal(15, signal.SIG_IGN)\nwhile True: time.sleep(60)\n"

    async def test(world: World) -> None:
        probe = {**FILE, "failureThreshold": 1, "terminationGracePeriodSeconds": 2}
        world.create(python(deaf, livenessProbe=probe), terminationGracePeriodSeconds=600)
        pod = await world.until(lambda c: c.object["status"].get("containerStatuses", [{}])[0].get("restartCount") == 1)

        assert pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 137

    on_a_node(tmp_path, test)


def test_nothing_else_is_asked_until_the_startup_probe_succeeded(tmp_path: Path) -> None:
    bad = {"exec": {"command": ["sh", "-c", "echo liveness asked; exit 1"]}, "periodSeconds": 1, "failureThreshold": 99}

    async def test(world: World) -> None:
        world.create(python(startupProbe={**FILE, "failureThreshold": 60}, readinessProbe=FILE, livenessProbe=bad))
        await world.until(lambda c: "running" in state(c.object))
        await world.until_event("Unhealthy")
        pod = world.changes[-1].object

        assert {m for r, m in world.events() if r == "Unhealthy"} == {"Startup probe failed: "}
        assert pod["status"]["containerStatuses"][0]["started"] is False

        (working_folder(world) / "ok").touch()
        pod = await world.until_ready()

        assert pod["status"]["containerStatuses"][0]["started"] is True
        with trio.fail_after(10):
            while not any("liveness asked" in m for _, m in world.events()):
                await trio.sleep(0.02)

    on_a_node(tmp_path, test)


def test_a_startup_probe_that_keeps_failing_restarts_the_container(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.create(python(startupProbe={**FILE_ONCE_UP, "failureThreshold": 1}), terminationGracePeriodSeconds=5)
        await world.until(lambda c: c.object["status"].get("containerStatuses", [{}])[0].get("restartCount") == 1)

        assert ("Killing", "Container app failed startup probe, will be restarted") in world.events()

    on_a_node(tmp_path, test)


def test_an_exec_probe_that_hangs_fails_and_leaves_nothing(tmp_path: Path) -> None:
    probe = {"exec": {"command": ["sh", "-c", "echo $$$$ > pid; sleep 60"]}, "periodSeconds": 5}

    async def test(world: World) -> None:
        world.create(python(readinessProbe=probe))
        await world.until_event("Unhealthy")

        assert world.events()[-1][1] == (
            'Readiness probe failed: command timed out: "sh -c echo $$ > pid; sleep 60" timed out after 1s'
        )
        pid = int((working_folder(world) / "pid").read_text())
        with trio.fail_after(5):
            while Path(f"/proc/{pid}").exists():
                await trio.sleep(0.02)

    on_a_node(tmp_path, test)


def test_an_exec_probe_without_its_program_fails_with_the_runtimes_words(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.create(python(readinessProbe={"exec": {"command": ["no-such-program"]}, "periodSeconds": 1}))
        await world.until_event("Unhealthy")

        assert 'exec: "no-such-program": executable file not found in $PATH' in world.events()[-1][1]

    on_a_node(tmp_path, test)


def test_readiness_is_still_probed_while_the_pod_ends_and_liveness_is_not(tmp_path: Path) -> None:
    stays = "import signal,time\nsignal.signal(15, signal.SIG_IGN)\nwhile True: time.sleep(60)\n"
    bad = {"exec": {"command": ["sh", "-c", "test -e ok || { echo dead; exit 1; }"]}, "periodSeconds": 1}

    async def test(world: World) -> None:
        one = python(
            stays, readinessProbe={**FILE, "failureThreshold": 1}, livenessProbe={**bad, "failureThreshold": 9}
        )
        world.create(one)
        await world.until(lambda c: "running" in state(c.object))
        (working_folder(world) / "ok").touch()
        await world.until_ready()
        from rollcheck.sandbox.resources import PODS

        world.registry.delete(PODS, "default", "pod", grace=3)
        await world.until_event("Killing")
        (working_folder(world) / "ok").unlink()
        pod = await world.until(
            lambda c: "deletionTimestamp" in c.object["metadata"] and condition(c.object, "Ready") == "False"
        )
        await world.until_gone()

        assert "running" in state(pod)
        assert not [m for r, m in world.events() if r == "Unhealthy" and "dead" in m]

    on_a_node(tmp_path, test)


def test_https_is_asked_without_looking_at_the_certificate() -> None:
    import ssl

    import trustme

    async def main() -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trustme.CA().issue_cert("elsewhere.example").configure_cert(context)

        async def handle(stream: trio.SSLStream[trio.SocketStream]) -> None:
            await stream.receive_some(65536)
            await stream.send_all(b"HTTP/1.1 204 No Content\r\n\r\n")
            await stream.aclose()

        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(partial(trio.serve_ssl_over_tcp, handle, 0, context, host="127.0.0.1"))
            port = listeners[0].transport_listener.socket.getsockname()[1]
            place = Place(ip="127.0.0.1", ports={}, container={}, run=nothing)
            answer = await ask({"httpGet": {"port": port, "scheme": "HTTPS"}}, place, 5)
            nursery.cancel_scope.cancel()

        assert answer.good

    trio.run(main)


def test_tls_with_a_server_that_speaks_none_is_a_failure() -> None:
    async def main() -> None:
        action = {"port": 80, "scheme": "HTTPS"}
        answer, _ = await served(b"HTTP/1.1 200 OK\r\n\r\n", lambda place, _: ask({"httpGet": action}, place, 5))

        assert not answer.good
        assert answer.output.startswith('Get "https://127.0.0.1:')

    trio.run(main)
