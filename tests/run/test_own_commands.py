"""The user's own deploy command as the trigger."""

from __future__ import annotations

import os

import pytest

from rollcheck.analyze.model import Verdict
from rollcheck.errors import UsageError
from rollcheck.facts.attempts import Stage

pytestmark = pytest.mark.loopback


@pytest.fixture
def deploys(stand):
    """Have the cluster restart the Deployment when the command says "go"."""
    stand.said.on_line = lambda text: stand.cluster.do(stand.cluster.restart) if text == "go" else None
    return stand


def test_a_command_that_deploys_is_observed_to_the_end_of_its_rollout(deploys):
    run = deploys.run(command=("sh", "-c", "echo go"))

    assert run.analysis.verdict is Verdict.GRACEFUL, run.reasons
    assert run.said.lines == ["go"]
    assert (run.action.kind, run.action.status) == ("command", 0)
    assert deploys.cluster.patches == 0
    assert run.document.header.trigger == "sh -c echo go"


def test_a_command_that_fails_is_reported_with_its_code_and_never_graceful(deploys):
    run = deploys.run(command=("sh", "-c", "echo go; exit 7"))

    assert run.analysis.exit_code == 3
    assert "the command ended with code 7" in run.reasons
    assert run.said.stages[-1] is Stage.TAIL


def test_a_command_that_changes_nothing_is_inconclusive(stand):
    run = stand.run(command=("true",))

    assert run.analysis.exit_code == 3
    assert "no pod was replaced" in run.reasons


def test_a_command_that_outlives_the_timeout_is_stopped_and_said(stand):
    run = stand.run(command=("sh", "-c", "echo $$; exec sleep 60"), rollout_timeout_s=0.4)

    assert run.analysis.exit_code == 3
    assert "the replacement had not ended after 0.4 s: still running: sh -c" in run.reasons
    assert run.action.status is None
    with pytest.raises(ProcessLookupError):
        os.kill(int(run.said.lines[0]), 0)


def test_a_command_that_is_not_found_is_refused_before_the_cluster_is_asked(stand):
    with pytest.raises(UsageError, match="'no-such-tool' was not found in PATH"):
        stand.run(command=("no-such-tool",))
    assert stand.cluster.requests == []


def test_a_script_that_cannot_be_started_ends_the_run(stand):
    script = stand.folder / "deploy.sh"
    script.write_text("#!/no/such/shell\n")
    script.chmod(0o755)
    run = stand.run(command=(str(script),))

    assert isinstance(run.finished.failure, UsageError)
    assert "cannot be started" in str(run.finished.failure)
    assert run.document.seal is not None


def test_rights_to_patch_are_not_asked_for_when_a_command_deploys(deploys):
    deploys.cluster.forbidden = {("patch", "deployments")}

    assert deploys.run(command=("sh", "-c", "echo go")).analysis.exit_code == 0


def test_a_command_acts_in_the_context_and_namespace_that_were_chosen(deploys):
    """Its KUBECONFIG is a file for this run alone."""
    script = 'cat "$KUBECONFIG"; echo; ls "$KUBECONFIG"; echo go'
    run = deploys.run(command=("sh", "-c", script), context="spare", namespace="default")

    *config, path, _ = run.said.lines
    assert "current-context: spare" in config
    assert not os.path.exists(path)  # noqa: PTH110
    assert run.document.header.context == "spare"
    assert run.analysis.exit_code == 0, run.reasons


def test_a_kubeconfig_alone_reaches_the_command_as_it_is(deploys):
    run = deploys.run(command=("sh", "-c", 'echo "$KUBECONFIG"; echo go'))

    assert run.said.lines[0] == str(deploys.folder / "kubeconfig")
