"""What the command line makes of a sandbox's options."""

from __future__ import annotations

from pathlib import Path

import pytest

from rollcheck.cli.sandboxoptions import Embedded, objects_of, parse_lag
from rollcheck.errors import UsageError
from rollcheck.sandbox.network.propagation import Lag
from rollcheck.sandbox.settings import Settings, read_line


@pytest.mark.parametrize(
    ("text", "lag"),
    [("", Lag(0.2, 1.5)), ("0.5s..2s", Lag(0.5, 2)), ("1s", Lag(1, 1)), ("0s", Lag(0, 0)), ("50ms..1", Lag(0.05, 1))],
)
def test_a_lag_is_a_span_or_one_duration(text, lag):
    assert parse_lag(text) == lag


@pytest.mark.parametrize("text", ["2s..1s", "soon", "1s..", "..1s", "-1s"])
def test_what_is_no_lag_is_refused_with_the_options_name(text):
    with pytest.raises(UsageError, match="--propagation"):
        parse_lag(text)


def test_settings_survive_the_way_to_another_process():
    settings = Settings(
        folder=Path("/a/b"), lag=Lag(0.1, 0.2), objects=({"kind": "Pod"},), maps=("a=b",), seed=7, low_ports=False
    )

    assert read_line(settings.line()) == settings


@pytest.mark.parametrize(
    "settings",
    [Settings(nodes=0), Settings(nodes=51), Settings(client_node=4), Settings(ingress="haproxy")],
)
def test_settings_that_cannot_be_are_refused(settings):
    with pytest.raises(UsageError):
        settings.check()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (Embedded(manifest=["a.yaml"]), "-f is for a sandbox"),
        (Embedded(map=["a=b"]), "--map is for a sandbox"),
        (Embedded(propagation="1s"), "--propagation is for a sandbox"),
    ],
)
def test_options_of_a_sandbox_without_one_are_refused(options, says):
    with pytest.raises(UsageError, match=says):
        options.check(kubeconfig="", context="")


def test_a_sandbox_and_a_kubeconfig_are_two_clusters():
    with pytest.raises(UsageError, match="leave out --kubeconfig"):
        Embedded(sandbox=True).check(kubeconfig="x", context="")


def test_without_a_manifest_only_a_bundled_example_can_be_deployed():
    assert objects_of(None, ["wordpress"])
    with pytest.raises(UsageError, match=r"nothing to deploy as 'shop'.*-f FILE"):
        objects_of(None, ["shop"])
