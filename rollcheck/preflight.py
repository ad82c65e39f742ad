"""What must hold before anything is replaced: rights, a fit workload, a URL that answers well N times in a row.

Nothing here changes the cluster, and nothing is written to disk: whatever fails is one sentence and an exit code.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rollcheck.errors import ClusterDenied, TargetUnreachable, UsageError
from rollcheck.facts.cluster import PodSeen, ServiceSeen, WorkloadSeen
from rollcheck.kube import discover, permissions, rollout
from rollcheck.kube.actions.action import Doing
from rollcheck.kube.actions.make import make_action
from rollcheck.kube.actions.request import Request
from rollcheck.kube.discover import Candidate
from rollcheck.kube.routes import service_behind
from rollcheck.load.ask import Answer, ask
from rollcheck.load.plan import LoadPlan, Target, parse_target

if TYPE_CHECKING:
    from rollcheck.kube.api import Api

LIKELY_POD_HEADERS = ("x-pod-name", "x-pod", "x-hostname", "x-served-by", "x-backend-server", "hostname")
"""Asked for first when several headers carry a pod's name; any header that does will serve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """What preflight found.

    Attributes:
        load: the plan of the load, with its target and the header that names the pod filled in.
        services: those of all the workloads.
        missing: rights that the run can do without, as sentences.
        notes: what the reader of the report should know of the load.
    """

    workloads: tuple[WorkloadSeen, ...]
    action: Doing
    services: tuple[ServiceSeen, ...]
    pods: tuple[PodSeen, ...]
    load: LoadPlan
    route: str
    service: str
    missing: tuple[str, ...]
    notes: tuple[str, ...] = ()


Say = Callable[[str], None]
"""Tells the person who waits what is being done."""


async def check_rights(
    api: Api, namespace: str, action: str, kinds: Iterable[str] = ("Deployment",)
) -> tuple[str, ...]:
    """The rights that the run lacks but can do without, as sentences.

    Raises:
        ClusterDenied: one is missing that it cannot do without.
    """
    missing = await permissions.missing_rights(api, namespace, action, kinds)
    needed = [right for right in missing if right.required]
    if needed:
        words = "; ".join(_named(right) for right in needed)
        raise ClusterDenied(
            f"{api.access.user or 'this user'} may not do what the run needs in namespace {namespace!r}: {words}. "
            f"Ask for these rights (`rollcheck doctor -n {namespace}` prints the Role), or choose another --context"
        )
    return tuple(f"no right to {right.verb} {right.resource}: {right.why}" for right in missing if not right.beforehand)


def _named(right: permissions.Right) -> str:
    everywhere = "" if right.namespace else ", in the whole cluster"
    return f"{right.verb} {right.resource} ({right.why}{everywhere})"


async def find_workloads(api: Api, namespace: str, targets: Iterable[tuple[str, str]]) -> tuple[WorkloadSeen, ...]:
    """The workloads of these kinds and names.

    Raises:
        UsageError: one of them is not there.
    """
    return tuple([await discover.find_workload(api, namespace, name, kind) for kind, name in targets])


async def find_route(
    api: Api, workloads: Sequence[WorkloadSeen], plan: LoadPlan, url: str
) -> tuple[Candidate, tuple[ServiceSeen, ...], tuple[str, ...]]:
    """The URL that answers, the Services that select any of the workloads, and which of them get no load, in sentences.

    The URL is one of the first workload that has a Service.

    Raises:
        TargetUnreachable: none answers; the message lists what was tried and why each failed.
        UsageError: `url` is no URL.
    """
    of = {w.ref: await discover.find_services(api, w) for w in workloads}
    services = tuple({s.name: s for own in of.values() for s in own}.values())

    async def reason_not(candidate: Candidate) -> str:
        answer = await ask_once(replace(plan, target=target_of(candidate)))
        return "" if answer.ok else describe(answer)

    if url:
        parse_target(url)
        service = await _service_behind(api, workloads, of, url) if len(services) > 1 else ""
        given = Candidate(url=url, connect_host="", host_header="", kind="url", service=service, description="--url")
        return await discover.choose_route([given], reason_not), services, ()
    asked = next((w for w in workloads if of[w.ref]), workloads[0])
    candidates = await discover.find_candidates(api, asked, of[asked.ref])
    route = await discover.choose_route(candidates, reason_not)
    return route, services, _without_load(workloads, of, route.service)


async def _service_behind(
    api: Api, workloads: Sequence[WorkloadSeen], of: Mapping[str, list[ServiceSeen]], url: str
) -> str:
    """Which of several Services the user's URL leads to, empty when that cannot be told."""
    ways = [way for w in workloads for way in await discover.find_candidates(api, w, of[w.ref])]
    return service_behind(url, ways)


def _without_load(
    workloads: Sequence[WorkloadSeen], of: Mapping[str, list[ServiceSeen]], service: str
) -> tuple[str, ...]:
    """Of several workloads, those to which no request comes, because another Service is asked."""
    apart = [w.ref for w in workloads if service not in {s.name for s in of[w.ref]}]
    if not apart:
        return ()
    note = (
        f"the load goes to service/{service} alone, which has no pod of {' and '.join(apart)}: those are watched, but "
        "what their own clients lose is not seen; run them one by one, or choose the URL with --url"
    )
    return (note,)


def target_of(candidate: Candidate) -> Target:
    """Where to send, and what to call it."""
    return parse_target(candidate.url, connect_host=candidate.connect_host, host_header=candidate.host_header)


async def ask_once(plan: LoadPlan) -> Answer:
    """One request of the plan on a connection of its own."""
    return await ask(
        plan.target,
        method=plan.method,
        headers=plan.headers,
        body=plan.body,
        expectation=plan.expectation,
        timeout_s=plan.timeout_s,
        verify_tls=plan.verify_tls,
        ca_file=plan.ca_file,
    )


def describe(answer: Answer) -> str:
    """Why an answer was not good, in a few words."""
    if answer.status:
        return f"{answer.outcome.value.replace('_', ' ')} ({answer.status})"
    words = answer.outcome.value.replace("_", " ")
    return f"{words} at {answer.phase.value}" + (f": {answer.detail}" if answer.detail else "")


async def good_answers(plan: LoadPlan, wanted: int) -> list[Answer]:
    """`wanted` good answers in a row, asked for one after the other.

    Raises:
        TargetUnreachable: after 3 x `wanted` questions there was still no such row.
    """
    row: list[Answer] = []
    last_bad = ""
    for _ in range(3 * wanted):
        answer = await ask_once(plan)
        if answer.ok:
            row.append(answer)
            if len(row) == wanted:
                return row
        else:
            row, last_bad = [], describe(answer)
    raise TargetUnreachable(
        f"{plan.target.url} did not give {wanted} good answers in a row before anything was replaced; "
        f"the last bad one: {last_bad}. See to it first, or say what is good with --expect-status and --expect-body"
    )


def header_that_names_pods(answers: list[Answer], pods: tuple[PodSeen, ...]) -> str:
    """The response header whose value is the name of one of the pods, empty when there is none."""
    names = {pod.name for pod in pods}
    seen = Counter(name.lower() for answer in answers for name, value in answer.headers if value in names)
    for name in LIKELY_POD_HEADERS:
        if seen[name]:
            return name
    return seen.most_common(1)[0][0] if seen else ""


async def prepare(
    api: Api,
    *,
    targets: Sequence[tuple[str, str]],
    asked: Request,
    namespace: str,
    url: str,
    load: LoadPlan,
    row: int,
    say: Say,
) -> Ready:
    """Everything that must hold before the load begins.

    Args:
        targets: kind and name of each workload; the first is the one whose URL is asked.
        load: the plan; its target is a placeholder until a route is found.
        row: how many good answers in a row are wanted.

    Raises:
        RollcheckError: whatever does not hold, as one sentence; nothing was changed.
    """
    missing, workloads, pods, action = await prepare_action(api, targets, asked, namespace, say)
    say(f"looking for a URL of {workloads[0].ref}")
    route, services, notes = await find_route(api, workloads, load, url)
    for note in notes:
        say(note)
    load = replace(load, target=target_of(route))
    say(f"asking {load.target.url} for {row} good answers in a row ({route.description})")
    answers = await good_answers(load, row)
    if not load.pod_header:
        beside = await discover.find_beside(api, workloads, services, pods)
        load = replace(load, pod_header=header_that_names_pods(answers, (*pods, *beside)))
    return Ready(
        workloads=workloads,
        action=action,
        services=services,
        pods=pods,
        load=load,
        route=route.kind,
        service=route.service,
        missing=missing,
        notes=notes,
    )


async def prepare_action(
    api: Api, targets: Sequence[tuple[str, str]], asked: Request, namespace: str, say: Say
) -> tuple[tuple[str, ...], tuple[WorkloadSeen, ...], tuple[PodSeen, ...], Doing]:
    """The rights that are missing, the workloads, their pods, and the action, which can be done."""
    say(f"checking rights in namespace {namespace}")
    missing = await check_rights(api, namespace, asked.name, dict.fromkeys(kind for kind, _ in targets))
    workloads = await find_workloads(api, namespace, targets)
    pods: list[PodSeen] = []
    for workload in workloads:
        own = await discover.find_pods(api, workload)
        if problem := rollout.problems_before(workload, own):
            raise UsageError(problem)
        pods += own
    action = make_action(api, workloads, asked)
    await action.check()
    return missing, workloads, tuple(pods), action
