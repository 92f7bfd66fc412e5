"""A trace record in a few words: what the comments of a capture are made of."""

from __future__ import annotations

from usertcp.tcp import events
from usertcp.tcp.segment import Segment, flag_names


def describe(record: events.TraceRecord) -> str:
    """One line of text. Numbers are as on the wire, times in seconds."""
    match record:
        case events.StateEntered():
            return f"{record.event}: {record.old} -> {record.new}"
        case events.SegmentIn():
            return f"in: {_segment(record.seg)}"
        case events.SegmentOut():
            return f"out: {_segment(record.seg)}" + (" (retransmission)" if record.retransmission else "")
        case events.SegmentDiscarded() | events.PacketDiscarded():
            return f"discarded: {record.reason}"
        case events.TimerSet():
            return f"timer {record.timer} set to {record.at - record.time:.3f} s"
        case events.TimerStopped():
            return f"timer {record.timer} stopped"
        case events.TimerExpired():
            return f"timer {record.timer} expired"
        case events.RttSample():
            return f"RTT {record.rtt:.6f} s, SRTT {record.srtt:.6f}, RTTVAR {record.rttvar:.6f}, RTO {record.rto:.3f}"
        case events.CwndChanged():
            return f"cwnd {record.cwnd}, ssthresh {record.ssthresh} ({record.why})"
        case events.IcmpIn():
            return f"ICMP: {record.message}" + (", ends the connection" if record.hard else "")
        case events.PathMtuChanged():
            return f"path MTU {record.mtu} ({record.why})"
        case events.Failed():
            return f"failed: {record.error.strerror}"
        case events.PathEvent():
            return f"path, {record.direction}: {record.deed}" + (f" ({record.detail})" if record.detail else "")
        case events.PacketIn() | events.PacketOut():
            return f"{len(record.packet)} octets"
    raise TypeError(f"not a trace record: {record!r}")


def _segment(seg: Segment) -> str:
    flags = ",".join(flag_names(seg.flags)) or "no flags"
    return f"{flags} SEQ={seg.seq} ACK={seg.ack} LEN={len(seg.data)} WND={seg.wnd}"
