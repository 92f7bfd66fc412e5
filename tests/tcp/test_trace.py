"""What happened, as trace records: every kind is emitted, and in an order that tells the story."""

from __future__ import annotations

from typing import TypeVar

from tests.tcp.builders import CONFIG, FLOW, MSS, SECRET
from usertcp.tcp.config import Config
from usertcp.tcp.endpoint import Endpoint
from usertcp.tcp.events import (
    CwndChanged,
    Failed,
    IcmpIn,
    Record,
    RttSample,
    SegmentDiscarded,
    SegmentIn,
    SegmentOut,
    StateEntered,
    TimerExpired,
    TimerSet,
    TimerStopped,
    TraceRecord,
)
from usertcp.tcp.options import Options
from usertcp.tcp.segment import ACK, FIN, RST, SYN, Flow, Segment
from usertcp.tcp.sequence import wrap
from usertcp.tcp.state import Event, State
from usertcp.wire import IcmpError

EVERY_KIND = {
    StateEntered,
    SegmentIn,
    SegmentOut,
    SegmentDiscarded,
    TimerSet,
    TimerStopped,
    TimerExpired,
    RttSample,
    CwndChanged,
    IcmpIn,
    Failed,
}
R = TypeVar("R", bound=Record)


class Traced:
    """An active OPEN whose records are kept. The test plays a peer whose SYN is number 0."""

    def __init__(self, config: Config = CONFIG) -> None:
        self.records: list[TraceRecord] = []
        self.now = 0.0
        self.tcp = Endpoint(
            config, SECRET, mss=lambda remote: MSS, answers=lambda local, port: True, tracer=self.records.append
        )
        self.conn = self.tcp.open(FLOW, self.now)
        self.settle()
        self.iss = self.conn.status(0.0).iss

    def settle(self) -> None:
        self.tcp.touch(self.conn)
        self.tcp.output(self.now)

    def arrives(self, flags: int, seq: int, ack: int = 0, data: bytes = b"", flow: Flow = FLOW) -> None:
        self.now += 0.1
        number = wrap(self.iss + ack) if flags & ACK else 0
        self.tcp.segment_arrives(flow, Segment(seq, number, flags, 5000, Options(mss=MSS), data), self.now)
        self.settle()

    def advance(self, seconds: float) -> None:
        until = self.now + seconds
        while self.tcp.deadline <= until:
            self.now = self.tcp.deadline
            self.tcp.timeouts(self.now)
            self.settle()
        self.now = until

    def established(self) -> None:
        self.arrives(SYN | ACK, 0, 1)

    def send(self, data: bytes) -> None:
        self.conn.send(data, self.now)
        self.settle()

    def of(self, kind: type[R]) -> list[R]:
        return [record for record in self.records if isinstance(record, kind)]

    def forget(self) -> None:
        self.records.clear()


def test_every_kind_of_record_is_emitted() -> None:
    t = Traced()
    t.established()
    t.send(bytes(3000))
    t.tcp.icmp_arrives(IcmpError("192.0.2.9", FLOW, wrap(t.iss + 1), 4, 3, 1, 0), t.now)
    t.advance(2.0)
    t.arrives(ACK, 1, 3001)
    t.arrives(ACK, 1, 9999)
    t.arrives(RST, 1)
    assert {type(record) for record in t.records} == EVERY_KIND


def test_a_segment_is_seen_before_what_it_does_and_what_goes_out_because_of_it() -> None:
    t = Traced()
    t.forget()
    t.established()
    kinds = [type(record) for record in t.records if not isinstance(record, TimerSet | CwndChanged)]
    assert kinds == [SegmentIn, RttSample, StateEntered, TimerStopped, TimerStopped, SegmentOut]


def test_the_states_of_a_whole_life() -> None:
    t = Traced()
    t.established()
    t.conn.close(t.now)
    t.settle()
    t.arrives(ACK, 1, 2)
    t.arrives(FIN | ACK, 1, 2)
    t.advance(2 * CONFIG.msl)
    states = t.of(StateEntered)
    assert [(record.old, record.event, record.new) for record in states] == [
        (State.CLOSED, Event.ACTIVE_OPEN, State.SYN_SENT),
        (State.SYN_SENT, Event.RCV_SYN_ACK, State.ESTABLISHED),
        (State.ESTABLISHED, Event.CLOSE, State.FIN_WAIT_1),
        (State.FIN_WAIT_1, Event.RCV_ACK_OF_FIN, State.FIN_WAIT_2),
        (State.FIN_WAIT_2, Event.RCV_FIN, State.TIME_WAIT),
        (State.TIME_WAIT, Event.TIMEOUT_2MSL, State.CLOSED),
    ]
    assert all(record.flow == FLOW for record in states)


def test_times_never_go_back() -> None:
    t = Traced()
    t.established()
    t.send(b"text")
    t.advance(10.0)
    times = [record.time for record in t.records]
    assert times == sorted(times)


def test_a_timer_that_ran_out_is_shown_before_what_it_does() -> None:
    t = Traced()
    t.established()
    t.send(b"text")
    t.forget()
    t.advance(1.5)
    kinds = [type(record) for record in t.records]
    assert kinds[0] is TimerExpired
    assert kinds.index(SegmentOut) > kinds.index(CwndChanged)
    (expired,), (change,) = t.of(TimerExpired), t.of(CwndChanged)
    assert (expired.timer, change.why) == ("retransmit", "timeout")
    assert [record.timer for record in t.of(TimerSet)] == ["retransmit"]


def test_only_what_occupies_numbers_again_is_marked_as_a_retransmission() -> None:
    t = Traced()
    t.established()
    t.send(bytes(3000))
    t.advance(1.5)
    t.arrives(ACK, 1, 1, b"peer")
    marked = [
        (wrap(record.seg.seq - t.iss), len(record.seg.data)) for record in t.of(SegmentOut) if record.retransmission
    ]
    assert marked == [(1, MSS)]


def test_an_acknowledgment_that_a_closed_window_holds_back_is_no_retransmission() -> None:
    t = Traced()
    t.established()
    t.send(bytes(3000))
    t.now += 0.1
    t.tcp.segment_arrives(FLOW, Segment(1, wrap(t.iss + 1), ACK, 0), t.now)
    t.settle()
    t.forget()
    t.now += 0.1
    t.tcp.segment_arrives(FLOW, Segment(1, wrap(t.iss + 1), ACK, 0, data=b"peer"), t.now)
    t.settle()
    assert [record.retransmission for record in t.of(SegmentOut)] == [False]


def test_a_discarded_segment_is_named_with_its_reason_and_counted() -> None:
    t = Traced()
    t.established()
    t.forget()
    t.arrives(ACK, 1, 9999)
    (seen,), (discarded,) = t.of(SegmentIn), t.of(SegmentDiscarded)
    assert discarded.seg is seen.seg
    assert "never sent" in discarded.reason
    assert t.conn.status(t.now).counters["discarded: " + discarded.reason] == 1


def test_a_failure_is_shown_before_the_state_it_leads_to() -> None:
    t = Traced()
    t.established()
    t.forget()
    t.arrives(RST, 1)
    kinds = [type(record) for record in t.records]
    assert kinds.index(Failed) < kinds.index(StateEntered)
    assert t.of(Failed)[0].error is t.conn.error


def test_an_icmp_error_says_whether_it_ended_the_connection() -> None:
    t = Traced()
    for code in (1, 3):
        t.tcp.icmp_arrives(IcmpError("192.0.2.9", FLOW, t.iss, 4, 3, code, 0), t.now)
    assert [(record.message.split(",")[0], record.hard) for record in t.of(IcmpIn)] == [
        ("host unreachable", False),
        ("port unreachable", True),
    ]


def test_a_segment_for_no_connection_and_its_reset_are_shown() -> None:
    t = Traced()
    t.forget()
    t.arrives(ACK, 1, 1, flow=FLOW._replace(remote_port=81))
    assert [type(record) for record in t.records] == [SegmentIn, SegmentOut]


def test_the_samples_are_those_of_the_estimator() -> None:
    t = Traced()
    t.established()
    (sample,) = t.of(RttSample)
    status = t.conn.status(t.now)
    assert (sample.rtt, sample.srtt, sample.rto) == (0.1, status.srtt, status.rto)


def test_numbers_are_as_on_the_wire() -> None:
    t = Traced()
    t.established()
    t.send(b"text")
    for record in (*t.of(SegmentIn), *t.of(SegmentOut)):
        assert 0 <= record.seg.seq < 2**32
        assert 0 <= record.seg.ack < 2**32
