"""The kubelet's arithmetic, without a clock, a process or a file."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from rollcheck.errors import UsageError
from rollcheck.sandbox.environment import ConfigFailure, Environment, amount_of, expand, service_links
from rollcheck.sandbox.images import Catalog
from rollcheck.sandbox.kubelet.containers import full_name
from rollcheck.sandbox.kubelet.records import Ended, Record, Running, Waiting
from rollcheck.sandbox.kubelet.restarts import BackOff, duration, should_restart
from rollcheck.sandbox.kubelet.statuses import View, phase, pod_status
from rollcheck.sandbox.probes import Schedule, Threshold, due, resolve_port
from rollcheck.sandbox.volumes import PathMap

Json = dict[str, Any]


# Environment

POD: Json = {
    "metadata": {
        "name": "web-1",
        "namespace": "shop",
        "uid": "u-1",
        "labels": {"app": "web", "tier": 'a"b'},
        "annotations": {"note": "n"},
    },
    "spec": {
        "nodeName": "n1",
        "containers": [{"name": "app", "resources": {"limits": {"memory": "64Mi", "cpu": "1500m"}}}],
    },
}
OBJECTS = {
    ("configmap", "settings"): {"data": {"MODE": "fast", "LEVEL": "3"}},
    ("secret", "keys"): {"data": {"TOKEN": base64.b64encode(b"s3cret").decode()}},
}


def environment(container: Json, links: dict[str, str] | None = None) -> dict[str, str]:
    maker = Environment(
        POD,
        ip="127.1.1.1",
        host_ip="127.1.0.11",
        lookup=lambda kind, name: OBJECTS.get((kind, name)),
        links=links or {},
    )
    return maker.of({"name": "app", **container}, {})


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "web-1"),
        ("metadata.namespace", "shop"),
        ("metadata.uid", "u-1"),
        ("metadata.labels['app']", "web"),
        ("metadata.annotations['note']", "n"),
        ("metadata.annotations['absent']", ""),
        ("metadata.labels", 'app="web"\ntier="a\\"b"'),
        ("spec.nodeName", "n1"),
        ("spec.serviceAccountName", "default"),
        ("status.podIP", "127.1.1.1"),
        ("status.hostIP", "127.1.0.11"),
    ],
)
def test_fields_of_the_downward_api_reach_a_variable(path: str, value: str) -> None:
    assert environment({"env": [{"name": "X", "valueFrom": {"fieldRef": {"fieldPath": path}}}]}) == {"X": value}


def test_env_overrides_env_from_and_takes_values_that_came_before() -> None:
    container = {
        "envFrom": [{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "keys"}, "prefix": "S_"}],
        "env": [
            {"name": "LEVEL", "value": "4"},
            {"name": "BOTH", "value": "$(MODE)/$(LEVEL)/$(S_TOKEN)/$(HOST)"},
            {"name": "LATER", "value": "$(UNKNOWN) $$(MODE) $MODE"},
        ],
    }

    assert environment(container, {"HOST": "10.0.0.1"}) == {
        "HOST": "10.0.0.1",
        "MODE": "fast",
        "S_TOKEN": "s3cret",
        "LEVEL": "4",
        "BOTH": "fast/4/s3cret/10.0.0.1",
        "LATER": "$(UNKNOWN) $(MODE) $MODE",
    }


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"configMapKeyRef": {"name": "gone", "key": "A"}}, 'configmap "gone" not found'),
        ({"configMapKeyRef": {"name": "settings", "key": "A"}}, "couldn't find key A in ConfigMap shop/settings"),
        ({"secretKeyRef": {"name": "keys", "key": "A"}}, "couldn't find key A in Secret shop/keys"),
        ({"fieldRef": {"fieldPath": "status.phase"}}, "unsupported fieldPath"),
    ],
)
def test_a_value_from_nowhere_is_a_failure_that_names_it(source: Json, words: str) -> None:
    with pytest.raises(ConfigFailure, match=words):
        environment({"env": [{"name": "X", "valueFrom": source}]})


def test_an_optional_value_from_nowhere_is_left_out() -> None:
    sources: list[Json] = [{"configMapKeyRef": {"name": "gone", "key": "A", "optional": True}}]
    sources.append({"configMapKeyRef": {"name": "settings", "key": "A", "optional": True}})

    assert environment({"env": [{"name": "X", "valueFrom": source} for source in sources]}) == {}
    assert environment({"envFrom": [{"configMapRef": {"name": "gone", "optional": True}}]}) == {}


@pytest.mark.parametrize(
    ("reference", "value"),
    [
        ({"resource": "limits.memory"}, str(64 * 2**20)),
        ({"resource": "limits.memory", "divisor": "1Mi"}, "64"),
        ({"resource": "limits.cpu"}, "2"),
        ({"resource": "limits.cpu", "divisor": "1m"}, "1500"),
        ({"resource": "requests.cpu"}, "0"),
    ],
)
def test_resources_reach_a_variable_divided_and_rounded_up(reference: Json, value: str) -> None:
    assert environment({"env": [{"name": "X", "valueFrom": {"resourceFieldRef": reference}}]}) == {"X": value}


def test_services_of_the_namespace_are_linked_and_the_api_server_always() -> None:
    def service(namespace: str, name: str, ip: str, *ports: Json) -> Json:
        return {"metadata": {"namespace": namespace, "name": name}, "spec": {"clusterIP": ip, "ports": list(ports)}}

    services = [
        service("shop", "my-db", "127.1.200.1", {"port": 3306, "name": "sql"}),
        service("other", "far", "127.1.200.2", {"port": 80}),
        service("shop", "headless", "None", {"port": 80}),
        service("default", "kubernetes", "127.1.200.3", {"port": 443}),
    ]
    links = service_links(services, all_links=True, namespace="shop")

    assert {key: links[key] for key in links if key.startswith("MY_DB")} == {
        "MY_DB_SERVICE_HOST": "127.1.200.1",
        "MY_DB_SERVICE_PORT": "3306",
        "MY_DB_SERVICE_PORT_SQL": "3306",
        "MY_DB_PORT": "tcp://127.1.200.1:3306",
        "MY_DB_PORT_3306_TCP": "tcp://127.1.200.1:3306",
        "MY_DB_PORT_3306_TCP_PROTO": "tcp",
        "MY_DB_PORT_3306_TCP_PORT": "3306",
        "MY_DB_PORT_3306_TCP_ADDR": "127.1.200.1",
    }
    assert links["KUBERNETES_SERVICE_HOST"] == "127.1.200.3"
    assert not any(key.startswith(("FAR", "HEADLESS")) for key in links)
    assert set(service_links(services, all_links=False, namespace="shop")) == {k for k in links if k.startswith("KUB")}


@pytest.mark.parametrize(("written", "port"), [('{"80": 10080}', "10080"), ('{"443": 1}', "80"), ("[]x", "80")])
def test_a_link_leads_to_the_port_at_which_the_service_answers(written: str, port: str) -> None:
    metadata = {"namespace": "shop", "name": "web", "annotations": {"sandbox.rollcheck/ports": written}}
    spec = {"clusterIP": "127.1.200.1", "ports": [{"port": 80}]}
    links = service_links([{"metadata": metadata, "spec": spec}], all_links=True, namespace="shop")

    assert links["WEB_SERVICE_PORT"] == links["WEB_PORT_80_TCP_PORT"] == port
    assert links["WEB_PORT"] == f"tcp://127.1.200.1:{port}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("$(A)$(A)", "11"), ("$$(A)", "$(A)"), ("$A", "$A"), ("$(A", "$(A"), ("a$", "a$"), ("$()", "$()")],
)
def test_references_are_expanded_as_kubernetes_does(text: str, expected: str) -> None:
    assert expand(text, {"A": "1"}) == expected


@pytest.mark.parametrize(
    ("text", "value"), [("100m", 0.1), ("1", 1.0), ("2Gi", 2.0 * 2**30), ("1e3", 1000.0), ("5k", 5000.0)]
)
def test_quantities_are_read(text: str, value: float) -> None:
    assert amount_of(text) == pytest.approx(value)


# Paths


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/srv/app.py", "/V/app.py"),
        ("/srv", "/V"),
        ("--init-file=/etc/my/init.sql", "--init-file=/M/init.sql"),
        ("python3 /srv/app.py; true", "python3 /V/app.py; true"),
        ("/srv/bin:/usr/bin", "/V/bin:/usr/bin"),
        ("/srv2/app.py", "/srv2/app.py"),
        ("/srv.bak", "/srv.bak"),
        ("/opt/srv/x", "/opt/srv/x"),
        ("http://host/srv/x", "http://host/srv/x"),
        ("/srv/deep/x", "/D/x"),
    ],
)
def test_a_mount_path_is_replaced_where_it_begins_a_path(text: str, expected: str) -> None:
    from pathlib import Path

    mounts = {"/srv": Path("/V"), "/etc/my/": Path("/M"), "/srv/deep": Path("/D"), "/": Path("/ROOT")}

    assert PathMap(mounts).apply(text) == expected


def test_without_mounts_nothing_is_replaced() -> None:
    assert PathMap({}).apply("/srv") == "/srv"


# Probes


def test_a_result_counts_once_enough_of_a_kind_came_in_a_row() -> None:
    threshold = Threshold(Schedule(successes=2, failures=3))
    answers = [True, True, False, False, True, False, False, False, False]

    assert [threshold.record(answer) for answer in answers] == [None, True, None, None, None, None, None, False, False]


def test_a_probe_without_figures_has_those_of_the_api() -> None:
    assert Schedule.of({"failureThreshold": 0}) == Schedule(
        initial_delay=0, timeout=1, period=10, successes=1, failures=3
    )


@pytest.mark.parametrize(("now", "expected"), [(104.9, False), (105.0, True), (105.2, True)])
def test_the_delay_counts_from_the_whole_second_of_the_start(now: float, expected: bool) -> None:
    assert due(Schedule(initial_delay=5), now=now, started_at=100.9) is expected


def test_a_port_is_a_number_or_the_name_of_one() -> None:
    container = {"ports": [{"containerPort": 8080, "name": "web"}]}

    assert [resolve_port(port, container) for port in (80, "81", "web")] == [80, 81, 8080]
    with pytest.raises(LookupError, match="couldn't find port: admin"):
        resolve_port("admin", container)


# Restarts


def test_the_first_restart_is_at_once_and_the_wait_doubles_up_to_its_limit() -> None:
    backoff, now, waits = BackOff(10, 300), 1000.0, []
    for _ in range(8):
        waits.append(backoff.remaining(now, now))
        now += waits[-1]
        backoff.next(now, now)
        now += 1

    assert waits == [0, 10, 20, 40, 80, 160, 300, 300]


def test_a_container_that_ran_for_long_begins_anew() -> None:
    backoff = BackOff(10, 300)
    backoff.next(0, 0)
    backoff.next(20, 20)

    assert backoff.remaining(620, 620) == 20
    assert backoff.remaining(621, 621) == 0


def test_the_wait_counts_from_the_end_of_the_container() -> None:
    backoff = BackOff(10, 300)
    backoff.next(0, 0)

    assert backoff.remaining(100, 104) == 6
    assert backoff.remaining(100, 111) == 0


@pytest.mark.parametrize(
    ("policy", "code", "main", "init", "sidecar"),
    [
        ("Always", 0, True, False, True),
        ("Always", 1, True, True, True),
        ("OnFailure", 0, False, False, True),
        ("OnFailure", 1, True, True, True),
        ("Never", 0, False, False, True),
        ("Never", 1, False, False, True),
    ],
)
def test_who_is_started_again(policy: str, code: int, main: bool, init: bool, sidecar: bool) -> None:
    assert should_restart(init=False, sidecar=False, policy=policy, code=code) is main
    assert should_restart(init=True, sidecar=False, policy=policy, code=code) is init
    assert should_restart(init=True, sidecar=True, policy=policy, code=code) is sidecar


@pytest.mark.parametrize(("seconds", "text"), [(10, "10s"), (80, "1m20s"), (300, "5m0s"), (0.5, "500ms")])
def test_durations_are_written_as_go_does(seconds: float, text: str) -> None:
    assert duration(seconds) == text


# Phases and conditions


def ended(code: int) -> Ended:
    return Ended(code=code, reason="x", started_at="s", finished_at="f", at=1, container_id="c")


RUNS, WAITS = Running("2026-01-01T00:00:00Z", 0.0), Waiting("ContainerCreating")


def record(
    state: Any, *, init: bool = False, sidecar: bool = False, last: Ended | None = None, name: str = "a"
) -> Record:
    made = Record({"name": name, "image": "i"}, init=init or sidecar, sidecar=sidecar, state=state, last=last)
    made.container_id = "" if isinstance(state, Waiting) and last is None else "c"
    made.started = made.ready = isinstance(state, Running)
    return made


BACK_OFF = Waiting("CrashLoopBackOff")


@pytest.mark.parametrize(
    ("records", "policy", "terminal", "expected"),
    [
        ([record(WAITS)], "Always", False, "Pending"),
        ([record(RUNS)], "Always", False, "Running"),
        ([record(RUNS), record(WAITS)], "Always", False, "Pending"),
        ([record(RUNS), record(BACK_OFF, last=ended(1))], "Always", False, "Running"),
        ([record(BACK_OFF, last=ended(1))], "Always", False, "Running"),
        ([record(ended(0))], "Always", False, "Running"),
        ([record(ended(0))], "Always", True, "Succeeded"),
        ([record(ended(143))], "Always", True, "Failed"),
        ([record(ended(0)), record(ended(1))], "Always", True, "Failed"),
        ([record(ended(0))], "Never", False, "Succeeded"),
        ([record(ended(1))], "Never", False, "Failed"),
        ([record(ended(1))], "OnFailure", False, "Running"),
        ([record(RUNS), record(ended(1))], "Never", False, "Running"),
        ([record(RUNS, init=True), record(WAITS)], "Always", False, "Pending"),
        ([record(ended(1), init=True), record(WAITS)], "Never", False, "Failed"),
        ([record(ended(1), init=True), record(WAITS)], "Always", False, "Pending"),
        ([record(RUNS, sidecar=True), record(WAITS)], "Always", False, "Pending"),
        ([record(RUNS, sidecar=True), record(ended(0))], "Never", False, "Running"),
        ([record(ended(137), sidecar=True), record(ended(0))], "Never", True, "Succeeded"),
        ([record(WAITS)], "Always", True, "Pending"),
    ],
)
def test_the_phase_follows_from_the_containers(
    records: list[Record], policy: str, terminal: bool, expected: str
) -> None:
    assert phase(records, policy, terminal=terminal) == expected


def status_of(records: list[Record], pod: Json | None = None, **view: Any) -> Json:
    pod = pod or {"metadata": {"name": "p", "generation": 1}, "spec": {}}
    return pod_status(pod, records, View(**{"now": "T1", "host_ip": "127.1.0.11", "networked": True} | view))


def conditions(status: Json) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c.get("reason", "")) for c in status["conditions"]}


def test_conditions_come_in_the_kubelets_order_after_those_of_others() -> None:
    old = {"type": "DisruptionTarget", "status": "True", "lastTransitionTime": "T0"}
    pod = {"metadata": {"name": "p"}, "spec": {}, "status": {"conditions": [old]}}

    assert [c["type"] for c in status_of([record(RUNS)], pod)["conditions"]] == [
        "DisruptionTarget", "PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled",
    ]  # fmt: skip


def test_a_condition_keeps_its_time_until_it_changes() -> None:
    pod: Json = {"metadata": {"name": "p"}, "spec": {}}
    pod["status"] = status_of([record(WAITS)], pod, now="T1")
    later = status_of([record(RUNS)], pod, now="T2")
    times = {c["type"]: c["lastTransitionTime"] for c in later["conditions"]}

    assert (times["PodScheduled"], times["Ready"]) == ("T1", "T2")
    assert later["startTime"] == "T1"


def test_a_pod_is_ready_only_when_its_gates_are_true() -> None:
    pod: Json = {"metadata": {"name": "p"}, "spec": {"readinessGates": [{"conditionType": "lb/ready"}]}, "status": {}}

    assert conditions(status_of([record(RUNS)], pod))["Ready"] == ("False", "ReadinessGatesNotReady")

    pod["status"]["conditions"] = [{"type": "lb/ready", "status": "False", "lastTransitionTime": "T0"}]

    assert conditions(status_of([record(RUNS)], pod))["Ready"] == ("False", "ReadinessGatesNotReady")
    assert conditions(status_of([record(RUNS)], pod))["ContainersReady"] == ("True", "")

    pod["status"]["conditions"][0]["status"] = "True"

    assert conditions(status_of([record(RUNS)], pod))["Ready"] == ("True", "")


@pytest.mark.parametrize(
    ("code", "phase_shown", "reason"), [(0, "Succeeded", "PodCompleted"), (137, "Failed", "PodFailed")]
)
def test_at_its_end_a_pod_says_so_in_every_condition(code: int, phase_shown: str, reason: str) -> None:
    status = status_of([record(ended(code))], terminal=True, networked=False)

    assert status["phase"] == phase_shown
    assert conditions(status)["Ready"] == ("False", reason)
    assert conditions(status)["ContainersReady"] == ("False", reason)
    assert conditions(status)["PodReadyToStartContainers"] == ("False", "")


def test_a_pod_never_leaves_a_terminal_phase() -> None:
    pod: Json = {"metadata": {"name": "p"}, "spec": {}, "status": {"phase": "Failed"}}

    assert status_of([record(RUNS)], pod)["phase"] == "Failed"


def test_initialized_waits_for_init_containers_and_for_sidecars_to_start() -> None:
    init, sidecar = record(RUNS, init=True, name="init"), record(WAITS, sidecar=True, name="side")
    init.ready = False
    status = status_of([init, sidecar, record(WAITS)])

    assert conditions(status)["Initialized"] == ("False", "ContainersNotInitialized")
    assert status["conditions"][1]["message"] == "containers with incomplete status: [init side]"


def test_a_restarted_container_shows_how_the_one_before_ended() -> None:
    one = Record({"name": "a", "image": "i"})
    one.create("first", "image", "id")
    one.run("T1", 1.0)
    one.end(ended(3))
    one.wait("CrashLoopBackOff", "back-off")

    assert one.status()["state"] == {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
    assert one.status()["lastState"]["terminated"]["exitCode"] == 3

    one.create("second", "image", "id")
    one.run("T2", 2.0)

    assert (one.status()["restartCount"], one.status()["state"]) == (1, {"running": {"startedAt": "T2"}})
    assert one.status()["lastState"]["terminated"]["exitCode"] == 3


def test_a_container_in_back_off_shows_its_end_once_the_pod_ends() -> None:
    one = record(BACK_OFF, last=ended(3))
    one.settle()

    assert (one.state, one.last) == (ended(3), None)


# Images


@pytest.mark.parametrize(
    ("reference", "program"),
    [
        ("wordpress", "apache2-foreground"),
        ("wordpress:6", "apache2-foreground"),
        ("docker.io/library/wordpress:6.4-apache", "apache2-foreground"),
        ("rollcheck.test/wordpress:6", "apache2"),
        ("mysql:8.0", "mariadbd"),
        ("mariadb:lts", "mariadbd"),
        ("rollcheck.test/web:1", "web"),
        ("rollcheck.test/python:3", "python3"),
        ("python:3.12-slim", "python3"),
        ("busybox", "sh"),
        ("registry.k8s.io/pause:3.10", "/pause"),
    ],
)
def test_the_catalog_has_stand_ins(reference: str, program: str) -> None:
    image = Catalog().find(reference)

    assert image is not None
    assert image.command[0] == program


@pytest.mark.parametrize("reference", ["nginx", "wordpress:no-such", "rollcheck.test/web:nope", "other/wordpress:6"])
def test_what_the_catalog_does_not_have_is_not_there(reference: str) -> None:
    assert Catalog().find(reference) is None


@pytest.mark.parametrize("reference", ["UPPER", "a b", "x:", "", "x@sha256:12"])
def test_what_is_no_reference_is_refused(reference: str) -> None:
    with pytest.raises(ValueError, match="invalid reference format"):
        Catalog().find(reference)


def test_a_mapped_image_is_that_command_for_its_tag_or_for_all() -> None:
    catalog = Catalog(["shop=./run.sh --port '$(PORT)'", "wordpress:6=true", "reg.example:5000/a/b:1=false"])

    assert catalog.find("shop:any").command == ("./run.sh", "--port", "$(PORT)")  # type: ignore[union-attr]
    assert catalog.find("docker.io/library/wordpress:6").command == ("true",)  # type: ignore[union-attr]
    assert catalog.find("wordpress:5").command == ("apache2-foreground",)  # type: ignore[union-attr]
    assert catalog.find("reg.example:5000/a/b:1").mapped  # type: ignore[union-attr]
    assert catalog.find("reg.example:5000/a/b") is None


@pytest.mark.parametrize("item", ["shop", "shop=", "=x", "shop='x", "SHOP=x"])
def test_a_map_that_is_none_is_a_usage_error(item: str) -> None:
    with pytest.raises(UsageError, match="--map"):
        Catalog([item])


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("wordpress", "docker.io/library/wordpress:latest"),
        ("a/b:1", "docker.io/a/b:1"),
        ("rollcheck.test/web:1", "rollcheck.test/web:1"),
        ("localhost/x", "localhost/x:latest"),
    ],
)
def test_images_are_shown_as_a_runtime_names_them(reference: str, expected: str) -> None:
    assert full_name(reference) == expected
