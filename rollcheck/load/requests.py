"""The bytes of the requests that a plan asks for."""

from __future__ import annotations

from dataclasses import replace

from rollcheck.load.plan import LoadPlan, parse_target
from rollcheck.load.reactor import UUID_MARK
from rollcheck.load.wire import build_request

_PLACES = ("%7Buuid%7D", "{uuid}")


def request_of(plan: LoadPlan, agent: str, *, path: str = "", close: bool = False) -> bytes:
    """One request; where the plan wants a UUID there is `reactor.UUID_MARK`.

    Args:
        plan: says everything else.
        agent: our User-Agent.
        path: instead of the target's own path.
        close: whether to ask for the connection to be closed.
    """
    target, body = plan.target, plan.body
    if path:
        target = replace(target, path=parse_target(f"http://host{path}").path)
    if plan.fill_uuid:
        # The mark is as long as what replaces it, so that Content-Length holds.
        for place in _PLACES:
            target = replace(target, path=target.path.replace(place, UUID_MARK.decode()))
            body = body.replace(place.encode(), UUID_MARK)
    return build_request(target, plan.method, plan.headers, body, close=close, agent=agent, http10=plan.http10)
