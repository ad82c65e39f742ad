"""How each attempt through httpx ended, as facts: what `reactor` and `engine` do for the load engine's own."""

from __future__ import annotations

from collections.abc import Callable

from rollcheck.facts.attempts import Attempt, ConnectionUse, Lane, Outcome, Phase
from rollcheck.facts.clock import Instant
from rollcheck.facts.connections import ClosedBy, Connection
from rollcheck.facts.wiretotals import AccessLine
from rollcheck.load.answers import Answer
from rollcheck.load.h2 import Exchange
from rollcheck.load.h2place import Place
from rollcheck.load.lanes import Arrival, LaneState
from rollcheck.load.outcomes import Cause, Fault, find_outcome
from rollcheck.load.plan import LoadPlan
from rollcheck.load.recorder import LoadRecorder, abort_reason, is_network_failure
from rollcheck.load.timer import Clock


class Ledger:
    """Accounts for every arrival exactly once; sync, so that no cancellation can lose one.

    Args:
        on_lost: told of attempts that a reused connection lost, to be followed by a probe.
        on_abort: told why the load is to end, where the plan says so.
    """

    def __init__(
        self,
        plan: LoadPlan,
        recorder: LoadRecorder,
        clock: Clock,
        *,
        on_lost: Callable[[Attempt], None],
        on_abort: Callable[[str], None],
    ) -> None:
        self._plan, self._recorder, self._clock = plan, recorder, clock
        self._on_lost, self._on_abort = on_lost, on_abort

    def end(self, place: Place, arrival: Arrival, exchange: Exchange, cause: Cause | None) -> ClosedBy | None:
        """Record how an attempt ended; gives back why its connection must be closed, None when it need not be."""
        now = self._clock()
        place.note(exchange)
        if cause is None:
            outcome = self._plan.expectation.judge(exchange.status, exchange.body)
        else:
            outcome = find_outcome(exchange.phase, cause)
        if outcome is Outcome.OK and place.lane.name is not Lane.PROBE:
            self._add_ok(place, arrival, exchange, now)
        else:
            self._add(make_attempt(place, arrival, exchange, outcome, now))
        return place.retire(exchange, now) if outcome is Outcome.OK else place.closer(exchange, cause)

    def end_unsent(self, lane: LaneState, arrival: Arrival, cause: Fault, detail: str) -> None:
        """Record an arrival that ended before it had a place."""
        seq, stage, intended, released = arrival
        self._add(
            Attempt(
                seq=seq,
                lane=lane.name,
                stage=stage,
                phase=Phase.CONNECT,
                outcome=find_outcome(Phase.CONNECT, cause),
                intended_ns=intended,
                released_ns=released,
                sent_ns=None,
                ended_ns=self._clock(),
                detail=detail,
                worker=lane.worker,
            )
        )

    def end_connection(self, place: Place, closed_by: ClosedBy) -> None:
        """Record that the place's connection is closed now, if there is one."""
        line = place.client.line
        if line is None:
            return
        now = self._clock()
        self._recorder.add_fact(
            Connection(
                id=line.id,
                lane=place.lane.name,
                opened_ns=line.opened,
                closed_ns=now,
                closed_by=closed_by,
                local=line.local,
                peer=line.peer,
                requests=line.requests,
                idle_ns=now - line.ended if line.ended else 0,
                pod=line.pod,
                reset=line.reset,
            )
        )

    def _add_ok(self, place: Place, arrival: Arrival, exchange: Exchange, now: Instant) -> None:
        book = place.lane.book
        book.services.append(now - exchange.sent)
        if not place.lane.closed_loop:
            book.responses.append(now - arrival[2])
        book.add_sizes(
            Answer(
                exchange.status,
                Outcome.OK,
                keep_alive=exchange.keep,
                head_bytes=exchange.head_bytes,
                total_bytes=exchange.total_bytes,
            )
        )
        if exchange.pod:
            use = ConnectionUse.REUSED if exchange.requests_before else ConnectionUse.NEW
            book.add_pod(exchange.pod, use, exchange.sent, now)
        if self._plan.access_log:
            self._recorder.add_fact(
                AccessLine(
                    seq=arrival[0],
                    worker=place.lane.worker,
                    slot=place.slot,
                    sent_ns=exchange.sent,
                    ended_ns=now,
                    ok=True,
                    status=exchange.status,
                    outcome="ok",
                )
            )
        if exchange.status == self._plan.abort_on:
            self._on_abort(f"an answer had status {exchange.status}")

    def _add(self, attempt: Attempt) -> None:
        if attempt.lane is Lane.PROBE:
            self._recorder.add_probe(attempt)
            return
        lost = attempt.use is ConnectionUse.REUSED and is_network_failure(attempt.outcome)
        if lost and self._plan.probe and self._recorder.has_room:
            self._on_lost(attempt)
        self._recorder.add_failure(attempt, access_log=self._plan.access_log)
        if self._plan.abort_on is not None and self._plan.abort_on == (attempt.status or -1):
            self._on_abort(abort_reason(attempt))


def make_attempt(place: Place, arrival: Arrival, exchange: Exchange, outcome: Outcome, now: Instant) -> Attempt:
    """The attempt, ended."""
    seq, stage, intended, released = arrival
    lane, line = place.lane, exchange.line
    sent: Instant | None = exchange.sent or None
    if sent is None and exchange.phase is Phase.RESOLVE and outcome is not Outcome.ABANDONED:
        sent = released  # asking for an address is an act on the network too
    if outcome is Outcome.DROPPED:
        sent = None
    used = exchange.requests_before
    pod = exchange.pod or (line.pod if line is not None else "")
    return Attempt(
        seq=seq,
        lane=lane.name,
        stage=stage,
        phase=exchange.phase,
        outcome=outcome,
        intended_ns=(sent or released) if lane.closed_loop else intended,
        released_ns=(sent or released) if lane.closed_loop else released,
        sent_ns=sent,
        ended_ns=now,
        connected_ns=exchange.connected or None,
        first_byte_ns=exchange.first_byte or None,
        status=exchange.status,
        detail=exchange.detail,
        connection=line.id if line is not None else 0,
        use=ConnectionUse.REUSED if used else ConnectionUse.NEW,
        connection_age_ns=exchange.age_ns,
        requests_before=used,
        local=line.local if line is not None else "",
        peer=line.peer if line is not None else "",
        bytes_received=line.received - exchange.received_before if line is not None else 0,
        pod=pod,
        pod_from=("response" if exchange.pod else "connection") if pod else "",
        worker=lane.worker,
        slot=place.slot,
    )
