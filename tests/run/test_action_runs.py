"""Every action carried out on a played cluster, what it sends, what it leaves behind, and what the report says."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator

import pytest

from rollcheck.errors import ClusterDenied, ClusterRefused, UsageError
from rollcheck.facts.actions import Action, Step
from rollcheck.facts.attempts import Stage
from rollcheck.kube.actions import pods
from rollcheck.kube.actions.request import Request, parse_action
from tests.fakes.api import status_object
from tests.fakes.disruptable import BLOCKED, DisruptableCluster, refusal
from tests.run.stage import Run, Stand

pytestmark = pytest.mark.loopback


@pytest.fixture
def cluster() -> Iterator[DisruptableCluster]:
    with DisruptableCluster() as playing:
        yield playing


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pods, "RETRY_S", 0.1)


def act(stand: Stand, text: str, **changes: object) -> Run:
    flags = {key: changes.pop(key) for key in list(changes) if key in Request.__dataclass_fields__}
    name, words = parse_action(text)
    return stand.run(request=Request(name=name, words=words, **flags), journals=stand.folder / "journals", **changes)


def sent(stand: Stand, method: str) -> list[str]:
    return [path for kind, path, _ in stand.cluster.writes if kind == method]


def bodies(stand: Stand, ending: str) -> list[object]:
    return [body for _, path, body in stand.cluster.writes if path.endswith(ending)]


def restored(run: Run) -> list[str]:
    from rollcheck.facts.actions import Note

    return [note.text for note in run.document.of(Note) if note.topic == "restored"]


def nothing_left(stand: Stand) -> bool:
    folder = stand.folder / "journals"
    return not folder.exists() or not any(folder.iterdir())


def test_scaling_goes_there_and_back_and_both_ways_are_actions(stand):
    run = act(stand, "scale 1")

    assert run.analysis.exit_code == 0, run.reasons
    assert [b["spec"]["replicas"] for b in bodies(stand, "/scale")] == [1, 2]
    assert [a.description for a in run.document.of(Action)] == [
        "scale deployment/web to 1",
        "scale deployment/web to 2",
    ]
    assert run.analysis.bounds.pods_replaced == 1
    assert nothing_left(stand)


def test_scaling_up_ends_the_pods_it_started(stand):
    run = act(stand, "scale 4")

    assert run.analysis.exit_code == 0, run.reasons
    assert run.analysis.bounds.pods_replaced == 2
    assert len(stand.cluster.pod_names()) == 2


def test_a_scaling_that_is_interrupted_is_taken_back(stand):
    def strike(what, _):
        if what == "deleted":
            stand.cluster.told = lambda what, name: None
            os.kill(os.getpid(), signal.SIGINT)

    stand.cluster.told = strike
    run = act(stand, "scale 1")

    assert run.finished.interrupted == "SIGINT"
    assert restored(run) == ["deployment/web was scaled back to 2"]
    assert stand.cluster.deployment["spec"]["replicas"] == 2
    assert nothing_left(stand)


def test_what_somebody_else_scaled_meanwhile_is_left_alone(stand):
    def meddle(what, _):
        if what == "deleted":
            stand.cluster.told = lambda what, name: None
            stand.cluster._rescaled(3)
            os.kill(os.getpid(), signal.SIGTERM)

    stand.cluster.told = meddle
    run = act(stand, "scale 1")

    assert restored(run) == [
        "deployment/web was left at 3 replicas: somebody else scaled it meanwhile (it had 2)",
    ]
    assert stand.cluster.deployment["spec"]["replicas"] == 3


def test_one_pod_is_deleted_and_no_more(stand):
    first = sorted(stand.cluster.pod_names())[0]
    run = act(stand, "delete-pod")

    assert run.analysis.exit_code == 0, run.reasons
    assert sent(stand, "DELETE")[:1] == [f"/api/v1/namespaces/default/pods/{first}"]
    assert bodies(stand, first)[0]["preconditions"] == {"uid": f"uid-{first}"}
    assert "gracePeriodSeconds" not in bodies(stand, first)[0]
    assert run.analysis.bounds.pods_replaced == 1


def test_all_pods_are_deleted_at_once(stand):
    names = stand.cluster.pod_names()
    run = act(stand, "delete-pod all", grace_s=3)

    assert run.analysis.bounds.pods_replaced == 2, run.reasons
    assert [b["gracePeriodSeconds"] for name in names for b in bodies(stand, name)] == [3, 3]


def test_evictions_come_one_after_the_other_each_pod_replaced_before_the_next(stand):
    order = []
    stand.cluster.told = lambda what, name: order.append(what) if what in ("deleted", "ready", "gone") else None
    run = act(stand, "evict all")

    assert run.analysis.exit_code == 0, run.reasons
    assert [step.status for step in run.document.of(Step)] == [201, 201]
    assert order.index("gone") < len(order) - 1 - order[::-1].index("deleted")


def test_evictions_at_once_do_not_wait_for_each_other(stand):
    order = []
    stand.cluster.told = lambda what, name: order.append(what) if what in ("deleted", "gone") else None
    act(stand, "evict all", at_once=True)

    assert order[:2] == ["deleted", "deleted"]


def test_a_blocked_eviction_is_tried_again_until_the_budget_allows_it(stand):
    answers = iter([BLOCKED, BLOCKED])
    stand.cluster.on_evict = lambda name: next(answers, None)
    run = act(stand, "evict")

    assert run.analysis.exit_code == 0, run.reasons
    assert [step.refusal for step in run.document.of(Step)] == ["budget", "budget", ""]


def test_an_eviction_that_is_blocked_to_the_end_is_inconclusive_and_names_the_budget(stand):
    stand.cluster.on_evict = lambda name: BLOCKED
    run = act(stand, "evict", rollout_timeout_s=0.5)

    assert run.analysis.exit_code == 3
    assert "blocked by a disruption budget: The disruption budget web needs 2 healthy pods" in run.reasons
    assert [cause.mode for cause in run.analysis.causes] == [15]


def test_two_budgets_for_one_pod_end_the_eviction_at_once(stand):
    words = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
    stand.cluster.on_evict = lambda name: refusal(500, words)
    run = act(stand, "evict")

    assert run.analysis.exit_code == 3
    assert [cause.mode for cause in run.analysis.causes] == [16]
    assert len(run.document.of(Step)) == 1


def test_a_throttled_eviction_is_not_taken_for_a_budget(stand):
    stand.cluster.on_evict = lambda name: refusal(429, "too many requests, please try again later")
    run = act(stand, "evict", rollout_timeout_s=0.5)

    assert [cause.mode for cause in run.analysis.causes] == [17]
    assert "no budget" in run.reasons


def test_a_pod_that_is_gone_before_its_eviction_counts_as_evicted(stand):
    def gone_first(name):
        stand.cluster._ended("pods", name)
        return status_object(404, "NotFound", f'pods "{name}" not found')

    stand.cluster.on_evict = gone_first
    run = act(stand, "evict")

    assert run.said.stages[-1] is Stage.TAIL, run.reasons


def test_a_new_image_is_put_back_at_the_end(stand):
    before = stand.cluster.images
    run = act(stand, "set-image web=nginx:2")

    assert run.said.stages[-1] is Stage.TAIL, run.reasons
    first, _ = [b for b in bodies(stand, "/deployments/web") if "template" in b["spec"]]
    assert first["spec"]["template"]["spec"]["containers"] == [{"name": "web", "image": "nginx:2"}]
    assert stand.cluster.images == before
    assert restored(run) == [f"deployment/web was given its image back (web={before[0]})"]
    assert nothing_left(stand)


def test_a_new_image_stays_when_it_is_to_be_undone_on_failure_only(stand):
    run = act(stand, "set-image web=nginx:2", keep=True)

    assert run.analysis.exit_code == 0, run.reasons
    assert stand.cluster.images == ["nginx:2"]
    assert restored(run) == []
    assert nothing_left(stand)


def test_a_bad_image_is_put_back_on_failure(stand):
    before = stand.cluster.images

    def mend(_):
        stand.cluster.stuck = ""

    stand.cluster.stuck = "ImagePullBackOff"
    stand.said.on_word = lambda text: mend(text) if "the rollout is stuck" in text else None
    run = act(stand, "set-image web=nginx:nope", keep=True, rollout_timeout_s=3)

    assert run.analysis.exit_code == 3
    assert "ImagePullBackOff" in run.reasons
    assert stand.cluster.images == before


def test_undo_goes_back_to_the_template_before_and_returns(stand):
    earlier = stand.cluster.deployment["spec"]["template"]
    stand.run()  # a restart: revision 2
    stamped = stand.cluster.deployment["spec"]["template"]
    stand.cluster.writes.clear()
    run = act(stand, "undo", out=stand.folder / "second")

    first, back = bodies(stand, "/deployments/web")
    assert first[0]["path"] == "/spec/template"
    assert first[0]["value"] == earlier
    assert back[-1]["value"] == stamped
    assert run.said.stages[-1] is Stage.TAIL, run.reasons


def test_a_drain_cordons_evicts_waits_and_uncordons(stand):
    run = act(stand, "drain n1")

    assert run.analysis.exit_code == 0, run.reasons
    assert [step.verb for step in run.document.of(Step)] == ["cordon", "evict", "evict", "uncordon"]
    assert [b["spec"]["unschedulable"] for b in bodies(stand, "/nodes/n1")] == [True, None]
    assert {p["spec"]["nodeName"] for p in stand.cluster._stores["pods"].values()} == {"n2"}
    assert restored(run) == ["node/n1 was uncordoned"]
    assert nothing_left(stand)


def test_a_drain_that_a_budget_blocks_ends_at_its_time_and_uncordons(stand):
    stand.cluster.on_evict = lambda name: BLOCKED
    run = act(stand, "drain n1", rollout_timeout_s=0.6)

    assert run.analysis.exit_code == 3
    assert "The disruption budget web needs 2 healthy pods and has 2 currently" in run.reasons
    assert [cause.mode for cause in run.analysis.causes] == [15]
    assert stand.cluster.cordoned() == []


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_a_drain_that_is_interrupted_leaves_the_node_as_it_was(stand, by):
    stand.cluster.on_evict = lambda name: BLOCKED
    stand.said.on_word = lambda text: signal.raise_signal(by) if "is blocked by" in text else None
    run = act(stand, "drain n1")

    assert run.finished.interrupted == by.name
    assert stand.cluster.cordoned() == []
    assert nothing_left(stand)


def test_a_node_that_was_cordoned_before_stays_so(stand):
    stand.cluster.nodes["n1"]["spec"]["unschedulable"] = True
    run = act(stand, "drain n1")

    assert run.analysis.exit_code == 0, run.reasons
    assert stand.cluster.cordoned() == ["n1"]
    assert bodies(stand, "/nodes/n1") == []


def test_the_journal_is_on_disk_before_the_node_is_cordoned(stand):
    found = []

    def look(method, path):
        if path.endswith("/nodes/n1") and not found:
            (journal,) = (stand.folder / "journals").iterdir()
            found.extend(json.loads(line) for line in journal.read_text().splitlines())

    stand.cluster.on_write = look
    act(stand, "drain n1")

    assert found[0]["context"] == "dev"
    assert found[1]["entry"]["what"] == "node/n1"


def test_a_drain_that_is_repeated_chooses_the_node_anew_and_uncordons_it_each_time(stand):
    first = sorted(stand.cluster.pod_names())[0]
    run = act(stand, "drain", node_of_pod=first, repeat=3)

    assert run.analysis.exit_code == 0, run.reasons
    assert [a.description for a in run.document.of(Action)] == [f"drain node/{n}" for n in ("n1", "n2", "n1")]
    assert [s.verb for s in run.document.of(Step)] == ["cordon", "evict", "evict", "uncordon"] * 3
    assert run.analysis.bounds.pods_replaced == 6
    assert stand.cluster.cordoned() == []
    assert nothing_left(stand)


def test_a_further_round_that_may_not_be_is_inconclusive_and_leaves_nothing_cordoned(stand):
    """Somebody else's pod came to the other node meanwhile."""
    first = sorted(stand.cluster.pod_names())[0]

    def come(text):
        if text.startswith("round 1 of 2"):
            stand.cluster.add_pod("shop", "other-1")["spec"]["nodeName"] = "n2"

    stand.said.on_word = come
    run = act(stand, "drain", node_of_pod=first, repeat=2)

    assert run.analysis.exit_code == 3
    assert "no further round: node n2 runs other people's pods too (shop/other-1)" in run.reasons
    assert len(run.document.of(Action)) == 1
    assert stand.cluster.cordoned() == []


def test_the_same_action_again_and_again_counts_every_round(stand):
    run = act(stand, "delete-pod all", repeat=3)

    assert run.analysis.bounds.pods_replaced == 6, run.reasons
    rounds = [word for word in run.said.words if word.startswith("round")]
    assert rounds[-1].startswith("round 3 of 3: 6 pods replaced so far, no request failed: at most 39.3% of")


def test_too_many_failures_stop_the_action_and_take_it_back(stand, monkeypatch):
    from rollcheck import conductor

    monkeypatch.setattr(conductor, "ABORT_LOOK_S", 0.05)
    stand.cluster.end_s = 5
    stand.cluster.told = lambda what, _: setattr(stand.target, "resetting", True) if what == "deleted" else None
    run = act(stand, "scale 1", abort_on=0.2)

    assert run.analysis.exit_code == 1, run.reasons
    assert any("more than 20%" in note and "was stopped" in note for note in run.notes)
    assert restored(run) == ["deployment/web was scaled back to 2"]


def test_an_aborted_restart_gives_the_template_its_former_stamp(stand, monkeypatch):
    from rollcheck import conductor

    monkeypatch.setattr(conductor, "ABORT_LOOK_S", 0.05)
    stand.cluster.end_s = 5
    stand.cluster.told = lambda what, _: setattr(stand.target, "resetting", True) if what == "deleted" else None
    before = dict(stand.cluster.deployment["spec"]["template"]["metadata"]["annotations"])
    act(stand, "restart", abort_on=0.2)

    assert len(bodies(stand, "/deployments/web")) == 2
    assert stand.cluster.deployment["spec"]["template"]["metadata"]["annotations"] == before


def test_only_watching_sends_nothing(stand):
    def restart(text):
        if text.startswith("watching"):
            stand.cluster.do(stand.cluster.restart)

    stand.said.on_word = restart
    run = act(stand, "none")

    assert run.analysis.exit_code == 0, run.reasons
    assert stand.cluster.writes == []
    assert run.analysis.bounds.pods_replaced == 2


def test_watching_where_nothing_happens_is_inconclusive(stand):
    run = act(stand, "none", rollout_timeout_s=0.4)

    assert run.analysis.exit_code == 3
    assert "no pod was replaced" in run.reasons


def test_a_second_run_on_the_same_workload_is_refused(stand):
    from rollcheck.kube.lease import _now

    spec = {"holderIdentity": "web-1 of alice@host", "leaseDurationSeconds": 30, "renewTime": _now()}
    stand.cluster.on_write = None
    held = {"metadata": {"name": "rollcheck-deployment-web", "resourceVersion": "1"}, "spec": spec}

    real = stand.cluster._handle

    async def handle(request, stream):
        from tests.fakes.api import Answer

        if request.path.endswith("/leases") and request.method == "POST":
            return status_object(409, "AlreadyExists", "already exists")
        if "/leases/" in request.path:
            return Answer(200, held)
        return await real(request, stream)

    stand.cluster.api.handler = handle
    with pytest.raises(UsageError, match=r"another run is at deployment/web \(web-1 of alice@host\)"):
        act(stand, "restart")
    assert stand.cluster.patches == 0


class TestRefusedBeforehand:
    """One sentence, nothing written, nothing changed."""

    @pytest.fixture(autouse=True)
    def nothing(self, stand):
        yield
        assert stand.cluster.writes == []
        assert not (stand.folder / "out").exists()

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("scale 2", "has 2 replicas already"),
            ("set-image nope=nginx:2", "has no container 'nope'; it has 'web'"),
            ("undo", "no earlier revision"),
            ("undo 9", "has no revision 9; there are 1"),
            ("delete-pod web-nope", "there is no pod 'web-nope' of deployment/web"),
            ("evict 3", "has 2 pods, not 3"),
            ("drain n9", "there is no node 'n9'"),
            ("drain n2", "no pod of deployment/web runs on node n2"),
        ],
    )
    def test_what_is_not_there_is_named(self, stand, text, words):
        with pytest.raises(UsageError, match=words):
            act(stand, text)

    def test_the_image_it_has_already_replaces_nothing(self, stand):
        with pytest.raises(UsageError, match="has that image already"):
            act(stand, f"set-image web={stand.cluster.images[0]}")

    def test_the_last_schedulable_node_is_not_drained(self, stand):
        stand.cluster.nodes["n2"]["spec"]["unschedulable"] = True
        with pytest.raises(UsageError, match="is the last schedulable one"):
            act(stand, "drain n1", yes=True)

    def test_other_peoples_pods_are_not_drained_without_a_word(self, stand):
        stand.cluster.add_pod("shop", "cart-1")
        with pytest.raises(UsageError, match=r"runs other people's pods too \(shop/cart-1\).*--yes"):
            act(stand, "drain n1")

    def test_a_pod_without_a_controller_keeps_a_node_from_being_drained(self, stand):
        stand.cluster.add_pod("shop", "bare")["metadata"]["ownerReferences"] = []
        with pytest.raises(UsageError, match=r"declare no controller \(use --force to override\): shop/bare"):
            act(stand, "drain n1", yes=True)

    def test_a_missing_right_is_named_with_what_it_is_for(self, stand):
        stand.cluster.forbidden = {("patch", "nodes")}
        with pytest.raises(ClusterDenied, match=r"patch nodes \(cordoning is a patch of it, in the whole cluster\)"):
            act(stand, "drain n1")


def test_other_peoples_pods_are_drained_with_a_yes(stand):
    stand.cluster.add_pod("shop", "cart-1")
    run = act(stand, "drain n1", yes=True)

    assert run.analysis.exit_code == 0, run.reasons
    assert "pod/shop/cart-1" in [step.target for step in run.document.of(Step)]


def test_an_eviction_that_is_refused_for_another_reason_is_told_in_the_servers_words(stand):
    stand.cluster.on_evict = lambda name: status_object(422, "Invalid", "the pod is odd")
    run = act(stand, "evict")

    assert run.analysis.exit_code == 3
    assert "refuses to evict pod" in run.reasons
    assert "the pod is odd" in run.reasons


def test_a_cordon_that_is_refused_leaves_nothing_in_the_journal(stand):
    stand.cluster.on_write = lambda method, path: (
        status_object(422, "Invalid", "no such taint") if path.endswith("/nodes/n1") else None
    )
    run = act(stand, "drain n1")

    assert isinstance(run.finished.failure, ClusterRefused)
    assert nothing_left(stand)
    assert stand.cluster.cordoned() == []
