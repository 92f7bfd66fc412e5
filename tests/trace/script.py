"""Trace records of a made-up connection, written by hand: numbers relative to the ISNs, times in seconds."""

from __future__ import annotations

from typing import Literal

from usertcp.tcp import events
from usertcp.tcp.events import TraceRecord
from usertcp.tcp.options import NO_OPTIONS, Options
from usertcp.tcp.segment import ACK, FIN, PSH, SYN, Flow, Segment
from usertcp.tcp.sequence import wrap
from usertcp.tcp.state import Event, State
from usertcp.wire.fast import FastCodec

FLOW = Flow("192.0.2.1", 61847, "192.0.2.2", 80)
FLOW6 = Flow("2001:db8:1234:5678:9abc:def0:1234:5678", 61847, "2001:db8:1234:5678:9abc:def0:8765:4321", 80)
Deed = Literal["dropped", "delayed", "duplicated", "corrupted", "edited", "injected"]


class Script:
    """Appends to `records`."""

    def __init__(self, iss: int = 1000, irs: int = 5000, flow: Flow = FLOW) -> None:
        self.iss, self.irs, self.flow = iss, irs, flow
        self.now = 100.0
        self.records: list[TraceRecord] = []

    def state(self, old: State, event: Event, new: State) -> None:
        self.records.append(events.StateEntered(self.now, self.flow, old, event, new))

    def out(
        self,
        flags: int,
        seq: int,
        ack: int = 0,
        data: bytes = b"",
        *,
        wnd: int = 1000,
        options: Options = NO_OPTIONS,
        resent: bool = False,
    ) -> Segment:
        seg = self.ours(flags, seq, ack, data, wnd=wnd, options=options)
        self.records.append(events.SegmentOut(self.now, self.flow, seg, resent))
        self.records.append(events.PacketOut(self.now, FastCodec().encode(self.flow, seg)))
        return seg

    def arrive(
        self, flags: int, seq: int, ack: int = 0, data: bytes = b"", *, wnd: int = 2000, options: Options = NO_OPTIONS
    ) -> Segment:
        seg = self.theirs(flags, seq, ack, data, wnd=wnd, options=options)
        self.records.append(events.PacketIn(self.now, FastCodec().encode(self.flow.reversed, seg)))
        self.records.append(events.SegmentIn(self.now, self.flow, seg))
        return seg

    def discard(self, seg: Segment, reason: str) -> None:
        self.records.append(events.SegmentDiscarded(self.now, self.flow, seg, reason))

    def expire(self, timer: str) -> None:
        self.records.append(events.TimerExpired(self.now, self.flow, timer))

    def set_timer(self, timer: str, seconds: float) -> None:
        self.records.append(events.TimerSet(self.now, self.flow, timer, self.now + seconds))

    def path(self, direction: Literal["out", "in"], seg: Segment, deed: Deed, detail: str = "") -> None:
        flow = self.flow if direction == "out" else self.flow.reversed
        self.records.append(events.PathEvent(self.now, FastCodec().encode(flow, seg), direction, deed, detail))

    def ours(
        self,
        flags: int,
        seq: int,
        ack: int = 0,
        data: bytes = b"",
        *,
        wnd: int = 1000,
        options: Options = NO_OPTIONS,
    ) -> Segment:
        acked = wrap(self.irs + ack) if flags & ACK else 0
        return Segment(wrap(self.iss + seq), acked, flags, wnd, options, data)

    def theirs(
        self,
        flags: int,
        seq: int,
        ack: int = 0,
        data: bytes = b"",
        *,
        wnd: int = 2000,
        options: Options = NO_OPTIONS,
    ) -> Segment:
        acked = wrap(self.iss + ack) if flags & ACK else 0
        return Segment(wrap(self.irs + seq), acked, flags, wnd, options, data)

    # Whole chapters

    def open(self) -> None:
        """Active OPEN, until both sides are in ESTABLISHED."""
        self.state(State.CLOSED, Event.ACTIVE_OPEN, State.SYN_SENT)
        self.out(SYN, 0, options=Options(mss=1460, window_scale=5, sack_permitted=True, timestamps=(70, 0)))
        self.set_timer("retransmit", 1.0)
        self.now += 0.001
        self.arrive(SYN | ACK, 0, 1, options=Options(mss=1400, window_scale=7, sack_permitted=True, timestamps=(9, 70)))
        self.state(State.SYN_SENT, Event.RCV_SYN_ACK, State.ESTABLISHED)
        self.out(ACK, 1, 1, options=Options(timestamps=(71, 9)))

    def request(self) -> None:
        """We send 18 octets, the peer 5."""
        self.now += 0.001
        self.out(PSH | ACK, 1, 1, b"GET / HTTP/1.0\r\n\r\n", options=Options(timestamps=(72, 9)))
        self.now += 0.001
        self.arrive(PSH | ACK, 1, 19, b"hello", options=Options(timestamps=(12, 72)))
        self.out(ACK, 19, 6, options=Options(timestamps=(73, 12)))

    def close(self) -> None:
        """We close, the peer closes, TIME-WAIT passes."""
        self.now += 0.001
        self.state(State.ESTABLISHED, Event.CLOSE, State.FIN_WAIT_1)
        self.out(FIN | ACK, 19, 6)
        self.now += 0.001
        self.arrive(ACK, 6, 20)
        self.state(State.FIN_WAIT_1, Event.RCV_ACK_OF_FIN, State.FIN_WAIT_2)
        self.now += 0.001
        self.arrive(FIN | ACK, 6, 20)
        self.state(State.FIN_WAIT_2, Event.RCV_FIN, State.TIME_WAIT)
        self.set_timer("time_wait", 60.0)
        self.out(ACK, 20, 7)
        self.now += 60.0
        self.expire("time_wait")
        self.state(State.TIME_WAIT, Event.TIMEOUT_2MSL, State.CLOSED)
