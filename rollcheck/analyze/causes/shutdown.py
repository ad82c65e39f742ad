"""The modes of a pod's late life: 1, 2, 3, 4, 6, 9, 10, 35. Which attempts are whose is `late`'s to say."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rollcheck.analyze.causes.late import Loss, entry_window, long_running, overruns
from rollcheck.analyze.causes.patches import (
    APP_GRACE_S,
    exec_patch,
    grace_patch,
    has_native_sleep,
    prestop_patch,
    shell_form,
)
from rollcheck.analyze.causes.scene import Ending, Scene, main_container
from rollcheck.analyze.causes.signs import cut, from_proxy, no_entry, on_reused
from rollcheck.analyze.causes.words import lost, make, plural, pod_lines, probe_lines
from rollcheck.analyze.model import Cause, began
from rollcheck.analyze.ports import left_from_before, tied
from rollcheck.facts.attempts import Attempt
from rollcheck.facts.clock import SECOND
from rollcheck.facts.cluster import PodSpec

DEFAULT_PRESTOP_S = 10
LEAST_PRESTOP_S = 5
MOST_PRESTOP_S = 60
GUESSED_SHARE = 0.25
"""A cause of which more than this is inferred without proof is not sure."""


def mode_01_immediate_exit(
    scene: Scene, losses: Sequence[Loss], stale: Sequence[Attempt] = (), competing: Sequence[tuple[int, str]] = ()
) -> Cause | None:
    """Pods stop serving while proxies still send them new connections."""
    if not losses:
        return None
    endings = _endings(losses)
    attempts = [*(x.attempt for x in losses), *stale]
    short = [e for e in endings if e.prestop_s is None or e.prestop_s > 0]
    lingering = [e for e in endings if e.lingered and not e.prestop_s]
    evidence = [
        _how_lost(scene, attempts),
        *pod_lines(scene, endings),
        *_stale_line(scene, stale),
        *probe_lines(scene, attempts),
    ]
    others = list(competing)
    if any(e.prestop_s is None for e in endings):
        others.append((10, "how long its preStop took is not known"))
    if (short or lingering) and any(from_proxy(scene, a) for a in attempts):
        others.append((4, "behind a proxy, a request that the app cut under way ends with the same answer"))
    guessed = max(len(stale), len(doubted := left_from_before(scene.timeline, attempts)))
    others += _doubts_about_ports(len(stale), len(doubted))
    if not short and not lingering:
        evidence.append("none of these pods has a preStop hook, and each was gone right after SIGTERM")
    sure = _all_seen(endings) and not short and not lingering and guessed <= GUESSED_SHARE * len(attempts)
    spec = _spec(endings)
    seconds = _recommended(scene, losses)
    return make(
        scene,
        1,
        attempts,
        summary=_summary_01(attempts, short=bool(short), lingering=bool(lingering)),
        evidence=evidence,
        confidence="high" if sure else "medium",
        competing=others,
        fix=prestop_patch(scene, spec, seconds, _longest_drain(endings)),
        advice=(
            f"Let the pod serve on for {seconds} s after its deletion, until no proxy sends it new connections. A"
            " preStop sleep does not save what is in flight when the app then exits: on SIGTERM it must also finish"
            " requests under way and answer with `Connection: close`."
        ),
    )


def _doubts_about_ports(stale: int, doubted: int) -> list[tuple[int, str]]:
    """That so many connects may have failed for their source port's sake."""
    doubts = []
    if stale:
        doubts.append((34, f"why {stale} connects failed later, when no pod was ending, is inferred"))
    if doubted:
        why = (
            f"{doubted} connects without an answer may have come from source ports that a run before this one left tied"
            " to its pods: such failed before the replacement too"
        )
        doubts.append((34, why))
    return doubts


def _how_lost(scene: Scene, attempts: Sequence[Attempt]) -> str:
    outside = sum(1 for a in attempts if no_entry(a))
    answered = sum(1 for a in attempts if from_proxy(scene, a))
    parts = [
        (outside, "got no connection (refused, unreachable or timed out)"),
        (len(attempts) - outside - answered, "were cut or left without an answer"),
        (answered, "were answered by the proxy for a backend that it could not reach"),
    ]
    return ", ".join(f"{n} {what}" for n, what in parts if n)


def _summary_01(attempts: Sequence[Attempt], *, short: bool, lingering: bool) -> str:
    how = "exit at once on SIGTERM"
    if short:
        how = "stop before their preStop time was long enough"
    elif lingering:
        how = "stop accepting as soon as SIGTERM comes"
    return f"{lost(attempts)} because pods {how}, while clients are still being sent to them"


def _stale_line(scene: Scene, stale: Sequence[Attempt]) -> list[str]:
    """Told as an inference: the source ports that would show it were not recorded."""
    if not stale:
        return []
    return [
        (
            f"{len(stale)} of them began only {scene.at(began(stale[0]))} to {scene.at(began(stale[-1]))}, when no pod"
            " was ending: inferred to be stale entries of a node's connection tracking, which send a source port that"
            " is used again to a dead pod (the ports of failed connects are not known)"
        ),
    ]


def mode_02_sigterm_ignored(scene: Scene, losses: Sequence[Loss]) -> Cause | None:
    """Pods that had to be killed at the end of their grace, whether or not something was cut by that."""
    killed = [e for e in scene.endings if e.pod.killed and not overruns(e)]
    if not killed or (not losses and all_long(scene, killed)):
        return None
    attempts = [x.attempt for x in losses]
    spec = _spec(killed)
    main = main_container(spec)
    shell = shell_form(main)
    waited = max((e.pod.grace_s or 0) for e in killed)
    what = f"{plural(len(killed), 'pod')} ignored SIGTERM and had to be killed after the full grace of {waited} s"
    evidence = pod_lines(scene, killed)
    if shell and main is not None:
        evidence.append(f"the container's command is a shell, `{' '.join(main.command)[:120]}`: it gets the SIGTERM")
    others = []
    if any(e.prestop_s is None for e in killed):
        others.append((9, "how long its preStop took is not known: it may have taken the whole grace"))
    if attempts and all(long_running(x.ending, x.attempt) for x in losses):
        others.append((3, "every lost request had been under way since before the deletion"))
    return make(
        scene,
        2,
        attempts,
        summary=f"{what}; {lost(attempts)} in the kill" if attempts else f"{what}; nothing happened to be in flight",
        evidence=evidence,
        confidence="medium" if others else "high",
        competing=others,
        fix=exec_patch(spec),
        advice=_advice_02(shell),
    )


def _advice_02(shell: bool) -> str:
    if shell:
        return (
            "Start the app with `exec`, so that it is PID 1 and gets the signal (where this list stands under `args`,"
            " put it there), or run it under an init such as tini; then see that it ends by itself on SIGTERM."
        )
    return (
        "PID 1 has no default signal actions: give the app a SIGTERM handler, use the exec form of ENTRYPOINT/CMD (a"
        " shell form or a wrapper script without `exec` swallows the signal), or put an init such as tini in front; if"
        " it listens to another signal, set STOPSIGNAL in the image."
    )


def all_long(scene: Scene, killed: Sequence[Ending]) -> bool:
    """Whether each of these pods was kept alive by a request longer than its grace."""
    lost_on = [a for a in scene.timeline.failures if cut(a)]
    return all(any(long_running(e, a) and _at_exit(e, a) for a in lost_on) for e in killed)


def _at_exit(ending: Ending, attempt: Attempt) -> bool:
    return ending.exit.start - SECOND <= attempt.ended_ns <= ending.exit.end + SECOND


def mode_03_longer_than_grace(scene: Scene, losses: Sequence[Loss]) -> Cause | None:
    """Requests that needed more than the grace left them."""
    if not losses:
        return None
    endings = _endings(losses)
    attempts = [x.attempt for x in losses]
    longest = max(a.ended_ns - began(a) for a in attempts) / SECOND
    grace = math.ceil(longest * 1.5 + max((e.prestop_s or 0.0) for e in endings)) + 5
    return make(
        scene,
        3,
        attempts,
        summary=f"{lost(attempts)} because they took longer than the grace of their pod",
        evidence=[
            f"each had been under way since before the deletion; the longest for {longest:.1f} s when it was cut",
            *pod_lines(scene, endings),
        ],
        confidence="high" if all(scene.pod_of(a) for a in attempts) else "medium",
        competing=()
        if all(scene.pod_of(a) for a in attempts)
        else ((2, "whether idle pods were killed is not known"),),
        fix=grace_patch(grace),
        advice="Raise the grace above the longest request, or bound how long a request may take.",
    )


def mode_04_in_flight_dropped(scene: Scene, losses: Sequence[Loss]) -> Cause | None:
    """The app had time, and cut what was under way when SIGTERM came or when it exited."""
    if not losses:
        return None
    endings, attempts = _endings(losses), [x.attempt for x in losses]
    before = sum(1 for x in losses if began(x.attempt) <= x.ending.sigterm.end)
    pinned = [a for a in attempts if on_reused(a)]
    others = []
    behind = scene.header.route == "ingress"
    if behind:
        others.append((6, "which connections the ingress had kept open to the pod cannot be seen from here"))
    elif pinned:
        others.append(
            (
                6,
                f"{len(pinned)} were on connections that the pod had kept open after it left the endpoints",
            )
        )
    summary = f"{lost(attempts)} because the app drops requests under way when it stops"
    return make(
        scene,
        4,
        attempts,
        summary=summary,
        evidence=[
            *([f"{before} had begun before SIGTERM, as late as that can have come"] if before else []),
            *_clean_line(scene, endings),
            *pod_lines(scene, endings),
            *probe_lines(scene, attempts),
        ],
        confidence="high" if _all_seen(endings) and len(pinned) < len(attempts) and not behind else "medium",
        competing=others,
        advice=(
            "On SIGTERM stop accepting, finish what is under way, answer with `Connection: close`, close idle"
            " connections last, then exit 0 (servers call it graceful shutdown; it may have to be switched on). It is a"
            " change of the app or its server, not of the manifest; the grace must be long enough for it."
        ),
    )


def mode_06_pinned(scene: Scene, losses: Sequence[Loss]) -> Cause | None:
    """Kept-alive connections that clients went on using until the pod closed them."""
    if not losses:
        return None
    endings, attempts = _endings(losses), [x.attempt for x in losses]
    gaps = [x.attempt.ended_ns - x.ending.left_ns for x in losses if x.ending.left_ns is not None]
    return make(
        scene,
        6,
        attempts,
        summary=f"{lost(attempts)} on connections that clients kept open to pods which had long left the endpoints",
        evidence=[
            f"all on reused connections, {min(gaps) / SECOND:.1f} s to {max(gaps) / SECOND:.1f} s after the pod left",
            *_clean_line(scene, endings),
            *pod_lines(scene, endings),
            *probe_lines(scene, attempts),
        ],
        confidence="high" if _all_seen(endings) and all(scene.pod_of(a) for a in attempts) else "medium",
        competing=((4, "requests under way at the exit may have been cut whatever the connection"),),
        advice=(
            "While it drains (from SIGTERM on), the app must answer with `Connection: close`, so that clients move to"
            " other pods, and close idle connections only after that; a preStop sleep alone does not move them."
        ),
    )


def _clean_line(scene: Scene, endings: Sequence[Ending]) -> list[str]:
    """That new connections were clean, when they were."""
    windows = [w for e in endings if (w := entry_window(scene, e)) is not None]
    spans = [(e.stops, e.exit.end) for e in endings]
    ties = tied(scene.timeline)
    new = [
        a
        for a in scene.timeline.failures
        if no_entry(a) and id(a) not in ties and any(s <= began(a) <= end for s, end in spans)
    ]
    if new or windows:
        return []
    return ["no new connection failed at these ends: proxies no longer sent any there"]


def mode_09_prestop_takes_grace(scene: Scene, losses: Sequence[Loss]) -> Cause | None:
    """PreStop is as long as the grace, so the app is killed as soon as it is told to stop."""
    killed = [e for e in scene.endings if e.pod.killed and overruns(e)]
    if not killed:
        return None
    attempts = [x.attempt for x in losses]
    prestop, grace = max(e.prestop_s or 0.0 for e in killed), max(e.pod.grace_s or 0 for e in killed)
    wanted = math.ceil(prestop) + APP_GRACE_S
    what = f"preStop takes {prestop:g} s of a grace of {grace} s, so {plural(len(killed), 'pod')} had to be killed"
    return make(
        scene,
        9,
        attempts,
        summary=f"{what}; {lost(attempts)}" if attempts else f"{what}; nothing happened to be in flight",
        evidence=pod_lines(scene, killed),
        competing=((2, "whether the app would end by itself on SIGTERM cannot be told: it gets 2 s at most"),),
        fix=grace_patch(wanted),
        advice=f"The grace must exceed preStop plus the time the app needs to drain: at least {wanted} s here.",
    )


def mode_10_prestop_fails(scene: Scene, losses: Sequence[Loss]) -> Cause | None:
    """The preStop hook failed, so SIGTERM came at once, as if there were none."""
    failed = [e for e in scene.endings if e.pod.prestop_failed]
    if not failed:
        return None
    attempts = [x.attempt for x in losses]
    spec = _spec(failed)
    main = main_container(spec)
    hook = main.prestop if main else None
    native = has_native_sleep(scene)
    planned = hook.sleep_s if hook else None
    seconds = math.ceil(planned) if planned else _recommended(scene, losses)
    what = f"the preStop hook of {plural(len(failed), 'pod')} failed, so SIGTERM came at once"
    return make(
        scene,
        10,
        attempts,
        summary=f"{what}; {lost(attempts)}" if attempts else f"{what}; nothing was lost this time",
        evidence=[
            *(f"pod {e.pod.name}: FailedPreStopHook: {e.pod.prestop_failed}" for e in failed[:5]),
            *([f"the hook is {hook.kind} `{hook.detail}`"] if hook else []),
            *pod_lines(scene, failed),
        ],
        competing=((1, "without the hook the pod exits while clients are still sent to it"),) if attempts else (),
        fix=prestop_patch(scene, spec, seconds, _longest_drain(failed)) if native else "",
        advice=(
            "An exec hook needs its program in the image (`sleep` is missing in distroless ones): use the native sleep."
            if native
            else "An exec hook needs its program in the image (`sleep` is missing in distroless ones): put it there, or"
            " let the app itself wait on SIGTERM; the native preStop sleep comes with Kubernetes 1.30."
        ),
    )


def mode_35_never_read(scene: Scene, losses: Sequence[Loss]) -> Cause | None:
    """A graceful server closed its listening socket over connections that it had not accepted yet."""
    if not losses:
        return None
    endings, attempts = _endings(losses), [x.attempt for x in losses]
    return make(
        scene,
        35,
        attempts,
        summary=f"{lost(attempts)} that the kernel had accepted, but the app closed its port without reading them",
        evidence=[
            "each on a connection of its own that had been established, without a byte of an answer, at SIGTERM",
            *pod_lines(scene, endings),
        ],
        confidence="medium",
        competing=((4, "the app may have read and dropped them"), (1, "it stopped while clients were sent to it")),
        fix=prestop_patch(scene, _spec(endings), _recommended(scene, losses), _longest_drain(endings)),
        advice="Delay SIGTERM by a preStop sleep, so that no connection arrives while the listening socket is closed.",
    )


def _endings(losses: Sequence[Loss]) -> list[Ending]:
    distinct = {x.ending.pod.uid: x.ending for x in losses}
    return sorted(distinct.values(), key=lambda e: (e.exit.start, e.pod.name))


def _spec(endings: Sequence[Ending]) -> PodSpec | None:
    return next((e.pod.spec for e in endings if e.pod.spec is not None), None)


def _all_seen(endings: Sequence[Ending]) -> bool:
    return all(e.seen for e in endings)


def _longest_drain(endings: Sequence[Ending]) -> float:
    return max(((e.exit.end - e.sigterm.start) / SECOND for e in endings if e.lingered), default=0.0)


def _recommended(scene: Scene, losses: Sequence[Loss]) -> int:
    """Seconds of preStop: the measured figure, else twice as long as new connections still met these pods dead."""
    if scene.measured_prestop_s is not None:
        return scene.measured_prestop_s
    late = [
        (began(x.attempt) - x.ending.deleted_ns) / SECOND
        for x in losses
        if no_entry(x.attempt) or from_proxy(scene, x.attempt)
    ]
    if not late:
        return DEFAULT_PRESTOP_S
    return max(LEAST_PRESTOP_S, min(MOST_PRESTOP_S, math.ceil(max(late) * 2)))
