"""Pods on a node: how they start, fail to start, are started again, and what is told of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import trio
from kubelets import World, condition, container, one_node, state

from rollcheck.sandbox import binding
from rollcheck.sandbox.resources import CONFIG_MAPS, LEASES, NODES, PODS, SECRETS, SERVICES

Json = dict[str, Any]


def on_a_node(folder: Path, test: Any, **how: Any) -> None:
    """Run a test with a node of its own."""

    async def main() -> None:
        with trio.fail_after(30):
            async with one_node(folder / "s", **how) as world:
                await test(world)

    trio.run(main)


def python(code: str, **more: Any) -> Json:
    return container(command=["python3", "-c", code], **more)


def test_a_pod_becomes_ready_in_the_steps_of_a_real_one(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.create()
        await world.until_ready()
        steps = [(s.get("phase"), condition({"status": s}, "Ready")) for s in world.statuses()]

        assert steps == [("Pending", ""), ("Pending", ""), ("Pending", "False"), ("Running", "True")]
        assert world.events() == [
            ("Pulled", 'Container image "rollcheck.test/python:3" already present on machine'),
            ("Created", "Created container: app"),
            ("Started", "Started container app"),
        ]
        assert world.statuses()[2]["containerStatuses"][0]["state"] == {"waiting": {"reason": "ContainerCreating"}}

    on_a_node(tmp_path, test)


def test_events_name_the_container_the_node_and_the_kubelet(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.create()
        event = await world.until_event("Started")

        assert event["source"] == {"component": "kubelet", "host": "n1"}
        assert event["involvedObject"]["fieldPath"] == "spec.containers{app}"

    on_a_node(tmp_path, test)


def test_a_container_sees_its_pod_in_its_environment(tmp_path: Path) -> None:
    fields = [
        "metadata.name",
        "metadata.namespace",
        "metadata.labels['app']",
        "spec.nodeName",
        "status.podIP",
        "status.hostIP",
    ]
    env = [{"name": f"F{n}", "valueFrom": {"fieldRef": {"fieldPath": path}}} for n, path in enumerate(fields)]
    env += [
        {"name": "SUM", "value": "$(F0)-$(F3)"},
        {"name": "FROM", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
    ]

    async def test(world: World) -> None:
        world.registry.create(CONFIG_MAPS, "default", {"metadata": {"name": "c"}, "data": {"k": "v"}})
        code = "import json,os,sys; print(json.dumps([dict(os.environ), sys.argv[1:]]))"
        words = ["$(SUM)", "$$(SUM)", "$(NO)"]
        world.create(container(command=["python3", "-c", code], args=words, env=env), restartPolicy="Never")
        pod = await world.until(lambda c: c.object["status"].get("phase") == "Succeeded")
        seen, args = json.loads(await world.log())
        ip, host = pod["status"]["podIP"], pod["status"]["hostIP"]

        assert [seen[f"F{n}"] for n in range(6)] == ["pod", "default", "x", "n1", ip, host]
        assert args == ["pod-n1", "$(SUM)", "$(NO)"]
        assert (seen["FROM"], seen["HOSTNAME"], seen["POD_IP"]) == ("v", "pod", ip)
        assert "PYTHONPATH" not in seen

    on_a_node(tmp_path, test)


def test_mounts_are_found_at_their_paths_in_command_env_and_working_directory(tmp_path: Path) -> None:
    code = """
import os, sys
print(open(sys.argv[1]).read(), open(os.environ["KEY"]).read(), open("scratch", "w").write("x"), end=" ")
print(sorted(os.listdir(os.environ["ROLLCHECK_ROOT"] + "/srv")))
"""

    async def test(world: World) -> None:
        world.registry.create(
            CONFIG_MAPS, "default", {"metadata": {"name": "c"}, "data": {"main.py": code, "text": "T"}}
        )
        world.registry.create(SECRETS, "default", {"metadata": {"name": "s"}, "data": {"key": "cw=="}})
        world.create(
            container(
                command=["python3", "/srv/main.py", "/etc/app/only.txt"],
                env=[{"name": "KEY", "value": "/keys/key"}],
                workingDir="/scratch",
                volumeMounts=[
                    {"name": "source", "mountPath": "/srv"},
                    {"name": "source", "mountPath": "/etc/app/only.txt", "subPath": "text"},
                    {"name": "keys", "mountPath": "/keys", "readOnly": True},
                    {"name": "empty", "mountPath": "/scratch"},
                ],
            ),
            restartPolicy="Never",
            volumes=[
                {"name": "source", "configMap": {"name": "c"}},
                {"name": "keys", "secret": {"secretName": "s"}},
                {"name": "empty", "emptyDir": {}},
            ],
        )
        pod = await world.until(lambda c: c.object["status"].get("phase") in ("Succeeded", "Failed"))

        assert await world.log() == "T s 1 ['main.py', 'text']\n"
        assert pod["status"]["phase"] == "Succeeded"
        assert pod["status"]["containerStatuses"][0]["volumeMounts"][2] == {
            "name": "keys", "mountPath": "/keys", "readOnly": True, "recursiveReadOnly": "Disabled",
        }  # fmt: skip

    on_a_node(tmp_path, test)


def test_an_unknown_image_is_not_pulled_again_and_again_at_once(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.create(container(image="nginx:1"))
        first = await world.until_waiting("ErrImagePull")
        second = await world.until_waiting("ImagePullBackOff")

        assert first["status"]["phase"] == "Pending"
        assert "--map nginx:1=COMMAND" in state(first)["waiting"]["message"]
        assert state(second)["waiting"]["message"].startswith('Back-off pulling image "nginx:1": ErrImagePull: ')
        assert world.reasons()[:5] == ["Pulling", "Failed", "Failed", "BackOff", "Failed"]
        assert [message for reason, message in world.events() if reason == "Failed"][1:3] == [
            "Error: ErrImagePull",
            "Error: ImagePullBackOff",
        ]

    on_a_node(tmp_path, test)


@pytest.mark.parametrize(
    ("image", "policy", "reason"),
    [("UPPER", "IfNotPresent", "InvalidImageName"), ("nginx", "Never", "ErrImageNeverPull")],
)
def test_an_image_that_cannot_be_asked_for_waits_with_its_reason(
    tmp_path: Path, image: str, policy: str, reason: str
) -> None:
    async def test(world: World) -> None:
        world.create(container(image=image, imagePullPolicy=policy))
        await world.until_waiting(reason)

    on_a_node(tmp_path, test)


def test_a_missing_configmap_of_a_variable_is_waited_for(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.create(container(envFrom=[{"configMapRef": {"name": "late"}}]))
        pod = await world.until_waiting("CreateContainerConfigError")

        assert state(pod)["waiting"]["message"] == 'configmap "late" not found'
        assert ("Failed", 'Error: configmap "late" not found') in world.events()

        world.registry.create(CONFIG_MAPS, "default", {"metadata": {"name": "late"}, "data": {}})
        pod = await world.until_ready()

        assert pod["status"]["containerStatuses"][0]["restartCount"] == 0

    on_a_node(tmp_path, test)


def test_a_missing_configmap_of_a_volume_is_waited_for(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.create(volumes=[{"name": "v", "configMap": {"name": "late"}}])
        await world.until_event("FailedMount")

        assert ("FailedMount", 'MountVolume.SetUp failed for volume "v" : configmap "late" not found') in world.events()
        await world.until_waiting("ContainerCreating")

        world.registry.create(CONFIG_MAPS, "default", {"metadata": {"name": "late"}, "data": {}})
        await world.until_ready()

    on_a_node(tmp_path, test)


def test_a_command_that_does_not_exist_ends_with_128_before_it_ran(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.create(container(command=["no-such-program"]))
        pod = await world.until_waiting("RunContainerError")
        status = pod["status"]["containerStatuses"][0]
        ended = status["lastState"]["terminated"]

        assert (ended["exitCode"], ended["reason"], ended["startedAt"]) == (128, "StartError", "1970-01-01T00:00:00Z")
        assert 'exec: "no-such-program": executable file not found in $PATH' in status["state"]["waiting"]["message"]
        assert world.reasons()[:3] == ["Pulled", "Created", "Failed"]

        await world.until_waiting("CrashLoopBackOff")

    on_a_node(tmp_path, test)


def test_a_crashing_container_is_started_again_at_once_then_backs_off(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.create(python("import sys; sys.exit(3)"))
        pod = await world.until_waiting("CrashLoopBackOff")
        status = pod["status"]["containerStatuses"][0]

        assert status["restartCount"] == 1
        assert status["lastState"]["terminated"]["exitCode"] == 3
        assert status["lastState"]["terminated"]["reason"] == "Error"
        assert "restarting failed container=app pod=pod_default(" in status["state"]["waiting"]["message"]
        assert pod["status"]["phase"] == "Running"
        assert "BackOff" in world.reasons()
        shown = [s["containerStatuses"][0]["state"] for s in world.statuses() if s.get("containerStatuses")]
        kinds = [one.get("waiting", {}).get("reason") or next(iter(one)) for one in shown]
        steps = [kind for n, kind in enumerate(kinds) if n == 0 or kinds[n - 1] != kind]
        assert steps == ["ContainerCreating", "running", "terminated", "running", "terminated", "CrashLoopBackOff"]

        await world.until(lambda c: c.object["status"].get("containerStatuses", [{}])[0].get("restartCount", 0) >= 2)

    on_a_node(tmp_path, test)


@pytest.mark.parametrize(
    ("policy", "code", "phase"), [("Never", 1, "Failed"), ("Never", 0, "Succeeded"), ("OnFailure", 0, "Succeeded")]
)
def test_a_pod_that_is_done_says_so_and_keeps_its_log(tmp_path: Path, policy: str, code: int, phase: str) -> None:
    async def test(world: World) -> None:
        world.create(python(f"import sys; print('done'); sys.exit({code})"), restartPolicy=policy)
        pod = await world.until(lambda c: c.object["status"].get("phase") == phase)

        assert state(pod)["terminated"]["exitCode"] == code
        assert await world.log() == "done\n"

        world.registry.delete(PODS, "default", "pod")
        await world.until_gone()

    on_a_node(tmp_path, test)


def test_init_containers_run_one_by_one_and_a_failed_one_again(tmp_path: Path) -> None:
    once = "import os,sys; p='/shared/tried'; first=not os.path.exists(p); open(p,'w').close(); sys.exit(first)"
    mounts = [{"name": "shared", "mountPath": "/shared"}]

    async def test(world: World) -> None:
        world.create(
            container(name="main", volumeMounts=mounts),
            initContainers=[
                container(name="one", command=["python3", "-c", "pass"]),
                container(name="two", command=["python3", "-c", once], volumeMounts=mounts),
            ],
            volumes=[{"name": "shared", "emptyDir": {}}],
        )
        pod = await world.until_ready()
        started = [m.split()[-1] for reason, m in world.events() if reason == "Started"]
        init = pod["status"]["initContainerStatuses"]

        assert started[0] == "one"
        assert started[-1] == "main"
        assert [(s["ready"], s["restartCount"], s["state"]["terminated"]["exitCode"]) for s in init] == [
            (True, 0, 0),
            (True, 1, 0),
        ]
        waiting = [s["containerStatuses"][0]["state"] for s in world.statuses() if s.get("containerStatuses")]
        assert waiting[0] == {"waiting": {"reason": "PodInitializing"}}

    on_a_node(tmp_path, test)


def test_a_failed_init_container_fails_a_pod_that_is_never_restarted(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        init = container(name="init", command=["python3", "-c", "import sys; sys.exit(4)"])
        world.create(initContainers=[init], restartPolicy="Never")
        pod = await world.until(lambda c: c.object["status"].get("phase") == "Failed")

        assert pod["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 4
        assert state(pod) == {"waiting": {"reason": "PodInitializing"}}

    on_a_node(tmp_path, test)


def test_a_pod_that_outlives_its_deadline_fails(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.create(activeDeadlineSeconds=1, restartPolicy="Never", terminationGracePeriodSeconds=5)
        pod = await world.until(lambda c: c.object["status"].get("phase") == "Failed")

        assert pod["status"]["reason"] == "DeadlineExceeded"

    on_a_node(tmp_path, test)


def test_a_readiness_gate_of_another_makes_the_pod_ready(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.create(readinessGates=[{"conditionType": "lb/ready"}])
        await world.until(lambda c: condition(c.object, "ContainersReady") == "True")

        def open_gate(pod: Json) -> None:
            pod["status"]["conditions"].append(
                {"type": "lb/ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
            )

        assert condition(world.changes[-1].object, "Ready") == "False"
        world.registry.modify(PODS, "default", "pod", open_gate, subresource="status")
        await world.until_ready()

    on_a_node(tmp_path, test)


def test_three_pods_listen_on_the_same_port_each_with_its_own_address(tmp_path: Path) -> None:
    web = container(
        image="rollcheck.test/web:1", readinessProbe={"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1}
    )

    async def test(world: World) -> None:
        for n in range(3):
            world.create(web, name=f"web-{n}")
        pods = [await world.until_ready(f"web-{n}") for n in range(3)]

        assert len({pod["status"]["podIP"] for pod in pods}) == 3
        assert all("sandbox.rollcheck/ports" not in pod["metadata"].get("annotations", {}) for pod in pods)

    on_a_node(tmp_path, test)


def test_where_addresses_are_shared_each_pod_tells_the_ports_it_has_instead(tmp_path: Path) -> None:
    ports = [{"containerPort": 8080, "name": "http"}]
    web = container(
        image="rollcheck.test/web:1",
        ports=ports,
        readinessProbe={"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 1},
    )

    async def test(world: World) -> None:
        for n in range(2):
            world.create(web, name=f"web-{n}")
        pods = [await world.until_ready(f"web-{n}") for n in range(2)]
        real = [json.loads(pod["metadata"]["annotations"]["sandbox.rollcheck/ports"])["8080"] for pod in pods]

        assert {pod["status"]["podIP"] for pod in pods} == {"127.0.0.1"}
        assert len(set(real)) == 2
        for port in real:
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            await stream.aclose()

    on_a_node(tmp_path, test, shared=True)


def test_a_port_that_only_a_service_names_is_moved_too(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        ports = [{"port": 8000, "targetPort": 81}]
        service = {"metadata": {"name": "s"}, "spec": {"selector": {"app": "x"}, "ports": ports}}
        world.registry.create(SERVICES, "default", service)
        world.create()
        pod = await world.until_ready()

        assert pod["metadata"]["annotations"]["sandbox.rollcheck/ports"] == '{"81": 10081}'

    on_a_node(tmp_path, test, low_ports=False)


def test_ports_that_need_root_are_moved_and_probed_where_they_went(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.create(
            container(
                image="wordpress:6",
                readinessProbe={"tcpSocket": {"port": 80}, "periodSeconds": 1},
                env=[{"name": "LISTEN_AFTER", "value": "0"}],
            )
        )
        pod = await world.until_ready()
        stream = await trio.open_tcp_stream(pod["status"]["podIP"], 10080)
        await stream.aclose()

        assert pod["metadata"]["annotations"]["sandbox.rollcheck/ports"] == '{"80": 10080}'

    on_a_node(tmp_path, test, low_ports=False)


def test_a_mapped_image_runs_the_users_command_in_the_users_folder(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        (world.folder / "note").write_text("mine\n")
        world.create(container(image="shop:1", ports=[{"containerPort": 9000}]), restartPolicy="Never")
        await world.until(lambda c: c.object["status"].get("phase") == "Succeeded")
        log = await world.log()

        assert log.splitlines()[1:] == ["mine"]
        assert log.splitlines()[0].endswith(":9000")

    on_a_node(tmp_path, test, maps=("shop=sh -c 'echo $(POD_IP):$(PORT); cat note'",))


def test_programs_of_an_image_can_be_started_from_a_shell(tmp_path: Path) -> None:
    start = ". /dev/null; mkdir -p run; exec apache2 -DFOREGROUND"

    async def test(world: World) -> None:
        world.create(
            container(
                image="rollcheck.test/wordpress:6",
                command=["sh", "-c", start],
                env=[{"name": "PORT", "value": "8081"}],
                readinessProbe={"httpGet": {"path": "/", "port": 8081}, "periodSeconds": 1},
            )
        )
        await world.until_ready()

        assert await world.log() == "resuming normal operations\n"

    on_a_node(tmp_path, test)


@pytest.mark.skipif(not binding.supported, reason="the system has no seccomp user notification")
def test_unchanged_servers_on_the_same_port_run_side_by_side(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        for n in range(2):
            probe = {"httpGet": {"path": "/", "port": 8000}, "periodSeconds": 1}
            world.create(container(image="shop:1", readinessProbe=probe), name=f"shop-{n}")
        pods = [await world.until_ready(f"shop-{n}") for n in range(2)]

        assert len({pod["status"]["podIP"] for pod in pods}) == 2

    on_a_node(tmp_path, test, maps=(f"shop={sys.executable} -m http.server 8000",))


def test_the_node_registers_itself_and_renews_its_lease(tmp_path: Path) -> None:
    from rollcheck.sandbox.kubelet import Timing

    async def test(world: World) -> None:
        node = world.registry.get(NODES, None, "n1")
        changes = world.registry.watch(LEASES)
        with trio.fail_after(5):
            async for change in changes:
                assert change.object["spec"]["holderIdentity"] == "n1"
                break

        assert {c["type"]: c["status"] for c in node["status"]["conditions"]}["Ready"] == "True"
        assert node["status"]["capacity"]["pods"] == "110"
        assert node["status"]["addresses"][0] == {"type": "InternalIP", "address": world.registry.addresses.node(1)}
        assert node["status"]["nodeInfo"]["kubeletVersion"].endswith("+sandbox")

    on_a_node(tmp_path, test, timing=Timing(lease=0.05))
