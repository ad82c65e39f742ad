"""What a failed attempt looks like from the client's side, before any thought of why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from rollcheck.analyze.causes.scene import Scene
from rollcheck.analyze.model import began
from rollcheck.analyze.ports import SYN_NS, unanswered
from rollcheck.facts.attempts import Attempt, ConnectionUse, Outcome, Phase

GATEWAY = (502, 503, 504)
ENTRY_PHASES = (Phase.CONNECT, Phase.TLS)
ENDED_BY_PEER = (Outcome.RESET, Outcome.CLOSED_BEFORE_RESPONSE, Outcome.TRUNCATED_BODY)
NO_PATH = (Outcome.REFUSED, Outcome.UNREACHABLE)
_BEFORE_REQUEST = (*ENTRY_PHASES, Phase.RESOLVE)
_NO_ENTRY = (*NO_PATH, *ENDED_BY_PEER, Outcome.TIMEOUT, Outcome.TLS_FAILED)
_CUT = (*ENDED_BY_PEER, *NO_PATH)
_WRONG = (Outcome.BAD_STATUS, Outcome.WRONG_BODY, Outcome.PROTOCOL)
Kind = tuple[Phase, Outcome, int]
"""Attempts of one kind failed alike: phase, outcome, status."""


def kind_of(attempt: Attempt) -> Kind:
    """The attempt's kind; a bad answer is one kind whether its head or its body told."""
    answered = attempt.outcome in (Outcome.BAD_STATUS, Outcome.WRONG_BODY)
    return Phase.AWAIT if answered else attempt.phase, attempt.outcome, attempt.status


def no_entry(attempt: Attempt) -> bool:
    """No connection came about: refused, unreachable, timed out or cut while it was being made."""
    return attempt.phase in ENTRY_PHASES and attempt.outcome in _NO_ENTRY


def cut(attempt: Attempt) -> bool:
    """The connection was there, and the other side ended it under the request."""
    return attempt.phase not in _BEFORE_REQUEST and attempt.outcome in _CUT


def silent(attempt: Attempt) -> bool:
    """The connection was there, and no (whole) answer came in time."""
    return attempt.outcome is Outcome.TIMEOUT and attempt.phase not in _BEFORE_REQUEST


def from_proxy(scene: Scene, attempt: Attempt) -> bool:
    """A proxy on the way answered for a backend that it could not reach, or had none: 502, 503, 504 and no pod named.

    A page instead of a status (a circuit breaker's) counts too. Without a proxy such an answer is the app's own.
    """
    if scene.direct or attempt.pod_from == "response":
        return False
    return attempt.outcome is Outcome.WRONG_BODY or (
        attempt.outcome is Outcome.BAD_STATUS and attempt.status in GATEWAY
    )


def no_backend(scene: Scene, attempt: Attempt) -> bool:
    """What a proxy answers while a Service has no endpoint at all: 503, or 404 where it drops the route (Traefik)."""
    routeless = attempt.outcome is Outcome.BAD_STATUS and attempt.status == 404
    unnamed = not scene.direct and attempt.pod_from != "response"
    return from_proxy(scene, attempt) or (unnamed and routeless)


def from_app(scene: Scene, attempt: Attempt) -> bool:
    """The app answered, and wrongly."""
    return attempt.outcome in _WRONG and not from_proxy(scene, attempt)


def lost_contact(scene: Scene, attempt: Attempt) -> bool:
    """Any sign that no living pod was behind the attempt."""
    return no_entry(attempt) or cut(attempt) or silent(attempt) or from_proxy(scene, attempt)


def on_reused(attempt: Attempt) -> bool:
    """Whether it was a later request of its connection."""
    return attempt.use is ConnectionUse.REUSED


def stale_paths(claimed: Iterable[Attempt], others: Iterable[Attempt]) -> list[Attempt]:
    """Of `others`, the connects that may have been sent to a dead pod because an earlier one had been.

    Only where source ports were not recorded: known ones tell it for certain (`analyze.ports`). No more are taken than
    the first ones left entries in the node's connection tracking.
    """
    left_entry = [a for a in claimed if unanswered(a)]
    if not left_entry:
        return []
    since = min(began(a) for a in left_entry)
    until = max(a.ended_ns for a in left_entry) + SYN_NS
    late = [a for a in others if unanswered(a) and since < began(a) <= until]
    return late if len(late) <= len(left_entry) and not any(a.local for a in late) else []


def breakdown(attempts: Iterable[Attempt]) -> str:
    """Exact counts by kind and use: "41 connect/refused on new connections, 3 await/reset on reused ones"."""
    counts = Counter((label(a), on_reused(a)) for a in attempts)
    parts = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{n} {what} on {'reused' if reused else 'new'} connections" for (what, reused), n in parts)


def label(attempt: Attempt) -> str:
    """Phase and outcome, "connect/refused", with the status of a bad one: "await/bad_status 502"."""
    text = f"{attempt.phase.value}/{attempt.outcome.value}"
    return f"{text} {attempt.status}" if attempt.outcome is Outcome.BAD_STATUS else text
