from dataclasses import replace

from rollcheck.analyze.endpoints import endpoint_history
from rollcheck.facts.clock import Window
from rollcheck.facts.cluster import Change, Endpoint, PodSeen, SliceSeen
from tests.analyze.builders import Story, ns


def endpoint(uid: str, *, ready: bool = True, **fields) -> Endpoint:
    values = {"ip": "10.0.0.9", "pod_uid": uid, "pod_name": uid, "node": "n", "serving": ready, "terminating": False}
    return Endpoint(ready=ready, **{**values, **fields})


def slice_(at: float, *endpoints: Endpoint, uid: str = "s1", service: str = "web", **fields) -> SliceSeen:
    values = {
        "change": Change.MODIFIED,
        "namespace": "default",
        "name": uid,
        "resource_version": "1",
        "trigger_at": "",
        "ports": (8080,),
    }
    return SliceSeen(seen_ns=ns(at), uid=uid, service=service, endpoints=endpoints, **{**values, **fields})


def history(*slices: SliceSeen, pods: tuple[PodSeen, ...] = (), service: str = "web"):
    return endpoint_history(slices, pods, service, ns(30))


def test_a_pod_is_in_from_its_ready_endpoint_to_its_unready_one():
    windows, steps = history(slice_(1, endpoint("a")), slice_(5, endpoint("a", ready=False)))

    assert windows == {"a": (Window(start=ns(1), end=ns(5)),)}
    assert steps == ((ns(1), 1), (ns(5), 0))


def test_a_pod_may_come_back():
    windows, _ = history(slice_(1, endpoint("a")), slice_(5), slice_(7, endpoint("a")))

    assert windows["a"] == (Window(start=ns(1), end=ns(5)), Window(start=ns(7), end=ns(30)))


def test_a_terminating_pod_that_is_published_not_ready_stays_in():
    windows, _ = history(slice_(1, endpoint("a")), slice_(5, endpoint("a", terminating=True)))

    assert windows["a"] == (Window(start=ns(1), end=ns(30)),)


def test_a_pod_in_two_slices_counts_once():
    _, steps = history(slice_(1, endpoint("a"), endpoint("b")), slice_(1, endpoint("a"), uid="s2"))

    assert steps == ((ns(1), 2),)


def test_a_pod_that_moves_between_slices_at_one_instant_never_seems_gone():
    moves = (slice_(5), slice_(5, endpoint("a"), uid="s2"))
    for order in (moves, moves[::-1]):
        windows, steps = history(slice_(1, endpoint("a")), *order)

        assert windows["a"] == (Window(start=ns(1), end=ns(30)),)
        assert steps == ((ns(1), 1),)


def test_a_deleted_slice_takes_its_endpoints_with_it():
    windows, steps = history(slice_(1, endpoint("a")), slice_(5, endpoint("a"), change=Change.DELETED))

    assert windows["a"] == (Window(start=ns(1), end=ns(5)),)
    assert steps[-1] == (ns(5), 0)


def test_slices_of_another_service_do_not_count_where_the_service_is_known():
    headless = slice_(1, endpoint("a"), uid="s2", service="web-headless")

    windows, _ = history(slice_(1, endpoint("b")), headless)

    assert set(windows) == {"b"}


def test_all_slices_count_where_the_service_is_not_known():
    windows, _ = history(slice_(1, endpoint("a"), uid="s2", service="other"), service="")

    assert set(windows) == {"a"}


def test_an_endpoint_without_uid_is_found_by_name_or_address():
    pod = next(f for f in Story(qps=20).pods(1).end(at=9).document().facts if isinstance(f, PodSeen))
    by_name = endpoint("", pod_name="old-1")
    by_address = endpoint("", pod_name="", ip="10.0.0.1")
    unknown = endpoint("", pod_name="", ip="192.0.2.1")

    assert set(history(slice_(1, by_name), pods=(pod,))[0]) == {"uid-old-1"}
    assert set(history(slice_(1, by_address), pods=(pod, replace(pod, ip="")))[0]) == {"uid-old-1"}
    assert set(history(slice_(1, unknown), pods=(pod,))[0]) == {"192.0.2.1"}


def test_of_two_states_of_one_instant_the_later_version_holds():
    early, late = slice_(5, resource_version="99"), slice_(5, endpoint("a"), resource_version="100")

    assert history(early, late) == history(late, early)
    assert history(early, late)[1] == ((ns(5), 1),)


def test_no_slice_makes_no_step():
    assert history() == ({}, ())
