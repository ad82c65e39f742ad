import pytest

from rollcheck.analyze.model import ContainerExit, Moment
from rollcheck.analyze.sigterm import infer_sigterm
from rollcheck.facts.clock import SECOND, Window
from rollcheck.facts.cluster import ContainerSpec, PodSpec, PreStop
from tests.analyze.builders import ns, pod_spec, sleep

EXEC = PreStop(kind="exec", detail="/drain.sh")


def moment(second: float, whole: int | None = None) -> Moment:
    start = ns(int(second) if whole is None else whole)
    return Moment(seen_ns=ns(second), reported=Window(start=start, end=start + SECOND))


def ended(at: float) -> tuple[ContainerExit, ...]:
    finished = Window(start=ns(int(at)), end=ns(int(at) + 1))
    return (ContainerExit(container="web", code=0, reason="Completed", finished=finished, seen_ns=ns(at + 0.4)),)


def infer(*, prestop=None, spec=True, grace=30, deleted=10.2, killing=10.3, failed=None, exits=()):
    return infer_sigterm(
        spec=pod_spec(grace=grace, prestop=prestop) if spec else None,
        deleted=moment(deleted),
        grace_s=grace,
        killing=None if killing is None else moment(killing),
        prestop_failed=None if failed is None else moment(failed),
        exits=exits,
    )


@pytest.mark.parametrize(
    ("case", "start", "end", "exact", "method"),
    [
        ({}, 10, 10.3, True, "Killing event, no preStop"),
        ({"prestop": sleep(5)}, 15, 15.3, True, "Killing event + preStop sleep 5 s"),
        ({"prestop": sleep(0)}, 10, 10.3, True, "Killing event + preStop sleep 0 s"),
        ({"prestop": sleep(40)}, 40, 40.3, True, "Killing event + preStop sleep 30 s"),
        ({"prestop": EXEC}, 10, 42.3, False, "Killing event; how long preStop took is not known"),
        ({"prestop": EXEC, "exits": ended(17.9)}, 10, 18, False, "Killing event; how long preStop took is not known"),
        ({"prestop": EXEC, "failed": 10.8}, 10, 10.8, True, "Killing event, its preStop hook failed"),
        ({"spec": False}, 10, 42.3, False, "Killing event; the pod's spec was not seen"),
        ({"killing": None}, 10, 12.2, False, "deletion (no Killing event was seen), no preStop"),
        (
            {"killing": None, "prestop": sleep(5)},
            15,
            17.2,
            False,
            "deletion (no Killing event was seen) + preStop sleep 5 s",
        ),
        ({"exits": ended(10.1)}, 10, 10.3, True, "Killing event, no preStop"),
    ],
)
def test_sigterm_is_a_span_with_its_method(case, start, end, exact, method):
    inferred = infer(**case)

    assert inferred.window == Window(start=ns(start), end=ns(end))
    assert inferred.exact is exact
    assert inferred.method == method


def test_sigterm_is_never_later_than_the_end_of_the_container():
    inferred = infer(prestop=sleep(5), exits=ended(15.05))

    assert inferred.window.end <= ns(15.45)


def test_an_end_before_the_earliest_sigterm_leaves_an_empty_span_and_no_negative_one():
    inferred = infer(prestop=sleep(20), exits=ended(12.0))

    assert inferred.window.length == 0


def test_containers_with_different_hooks_make_a_span_and_sidecars_do_not_count():
    def container(name: str, hook: PreStop | None, *, sidecar: bool = False) -> ContainerSpec:
        return ContainerSpec(name=name, image="i", prestop=hook, sidecar=sidecar)

    spec = PodSpec(
        grace_s=30,
        containers=(container("a", sleep(2)), container("b", None), container("proxy", sleep(9), sidecar=True)),
    )
    inferred = infer_sigterm(
        spec=spec, deleted=moment(10.2), grace_s=30, killing=moment(10.3), prestop_failed=None, exits=()
    )

    assert inferred.window == Window(start=ns(10), end=ns(12.3))
    assert not inferred.exact
    assert inferred.method == "Killing event + preStop sleep 0 to 2 s, by container"


def test_a_spec_without_main_containers_has_no_delay():
    inferred = infer_sigterm(
        spec=PodSpec(grace_s=30, containers=()),
        deleted=moment(10.2),
        grace_s=None,
        killing=moment(10.3),
        prestop_failed=None,
        exits=(),
    )

    assert inferred.window == Window(start=ns(10), end=ns(10.3))


def test_a_server_clock_ahead_of_ours_does_not_turn_the_span_around():
    ahead = moment(10.3, whole=14)
    inferred = infer_sigterm(
        spec=pod_spec(), deleted=moment(10.2, whole=14), grace_s=30, killing=ahead, prestop_failed=None, exits=()
    )

    assert inferred.window == Window(start=ns(10.3), end=ns(10.3))
