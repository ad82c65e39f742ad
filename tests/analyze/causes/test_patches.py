"""Patches are YAML that a strategic merge takes."""

from __future__ import annotations

import pytest

from rollcheck.analyze.causes.patches import NULL, exec_form, has_native_sleep, pod_patch, prestop_patch, yaml
from rollcheck.analyze.causes.scene import Scene
from rollcheck.analyze.timeline import build_timeline
from rollcheck.facts.cluster import ContainerSpec, PodSpec, PreStop
from tests.analyze.builders import Story, pod_spec
from tests.analyze.causes.told import container, patch


def scene(version: str = "v1.34.2") -> Scene:
    return Scene(
        build_timeline(Story(qps=4, header={"versions": {"kubernetes": version}}).pods(1).end(at=5).document())
    )


@pytest.mark.parametrize(
    "text", ["plain", "true", "null", "7", "7.5", "no: 1", 'a "quote"', "- dash", "", "é", "a\nb", "#x"]
)
def test_any_text_is_read_back_as_the_same_text(text):
    assert patch(yaml({"key": text, "list": [text, "x"]})) == {"key": text, "list": [text, "x"]}


def test_nested_lists_of_maps_and_nulls_are_read_back():
    tree = {"a": {"b": [{"name": "x", "c": {"d": 1}}, {"name": "y", "gone": NULL}]}, "e": 2}

    assert patch(yaml(tree)) == {"a": {"b": [{"name": "x", "c": {"d": 1}}, {"name": "y", "gone": None}]}, "e": 2}


def test_a_patch_of_the_grace_alone_touches_no_container():
    assert patch(pod_patch(grace_s=40)) == {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 40}}}}


@pytest.mark.parametrize(
    ("version", "native"),
    [("v1.29.9", False), ("v1.30.0", True), ("v1.34.4+k3s1", True), ("1.31", True), ("", True), ("v1.9.1", False)],
)
def test_the_native_sleep_is_there_since_1_30(version, native):
    assert has_native_sleep(scene(version)) is native


@pytest.mark.parametrize(("kind", "field"), [("exec", "exec"), ("http", "httpGet"), ("tcp", "tcpSocket")])
def test_a_handler_that_is_replaced_is_removed_since_the_api_takes_only_one(kind, field):
    hook = container(prestop_patch(scene(), pod_spec(prestop=PreStop(kind=kind)), 9))["lifecycle"]["preStop"]

    assert hook == {"sleep": {"seconds": 9}, field: None}


def test_a_sleep_that_is_there_already_is_only_made_longer():
    spec = pod_spec(prestop=PreStop(kind="sleep", sleep_s=2.0))

    assert container(prestop_patch(scene(), spec, 9))["lifecycle"]["preStop"] == {"sleep": {"seconds": 9}}


def test_the_grace_always_exceeds_the_sleep():
    pod = patch(prestop_patch(scene(), pod_spec(grace=5), 20, drain_s=12.0))["spec"]["template"]["spec"]

    assert pod["terminationGracePeriodSeconds"] == 33


def test_the_container_that_serves_is_patched_not_the_sidecar():
    spec = PodSpec(
        grace_s=30,
        containers=(
            ContainerSpec(name="mesh", image="m", ports=(15001,), sidecar=True),
            ContainerSpec(name="log", image="l"),
            ContainerSpec(name="app", image="a", ports=(8080,)),
        ),
    )

    assert container(prestop_patch(scene(), spec, 5))["name"] == "app"


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("python3 app.py", "exec python3 app.py"),
        ("cd /srv && python3 app.py", "cd /srv && exec python3 app.py"),
        ("mkdir -p /run/x; . /etc/env; apache2 -DFOREGROUND", "mkdir -p /run/x; . /etc/env; exec apache2 -DFOREGROUND"),
        ("exec python3 app.py", None),
        ("python3 app.py; true", None),
        ("python3 migrate.py && python3 app.py", None),
        ("python3 app.py | tee log", None),
        ("python3 app.py &", None),
        ("FOO=1 python3 app.py", None),
        ("trap 'x' TERM; python3 app.py", None),
        ("while true; do python3 app.py; done", None),
        ("echo $HOME; python3 app.py", None),
        ("", None),
    ],
)
def test_exec_is_put_only_where_it_is_plainly_right(script, expected):
    found = exec_form(ContainerSpec(name="web", image="i", command=("/bin/sh", "-c", script)))

    assert found == (None if expected is None else ["/bin/sh", "-c", expected])


def test_a_command_that_is_no_shell_is_left_alone():
    assert exec_form(ContainerSpec(name="web", image="i", command=("python3", "-c", "serve()"))) is None
