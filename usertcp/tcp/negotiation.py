"""What the SYNs of both ends agree on: numbers, MSS, window scale, timestamps, SACK, ECN (RFC 9293, 3.7.1; RFC 7323;
RFC 2018; RFC 3168)."""

from __future__ import annotations

from typing import Final

from usertcp.tcp import ecn, path_mtu, timestamps, window
from usertcp.tcp.reassembly import ReceiveBuffer
from usertcp.tcp.segment import Segment
from usertcp.tcp.tcb import Tcb

DEFAULT_MSS: Final = {4: 536, 6: 1220}
"""Without an MSS option (RFC 9293, 3.7.1, MUST-15)."""
SMALLEST_MSS: Final = 64
"""What we take a smaller one for, so that text fits beside 40 octets of options. A peer that asks for segments of a
few octets wants our memory and time (CVE-2019-11479)."""


def take_syn(tcb: Tcb, seg: Segment, now: float) -> None:
    """Take the peer's numbers and options from its SYN or SYN,ACK."""
    config, options, rcv, snd = tcb.config, seg.options, tcb.rcv, tcb.snd
    rcv.irs = seg.seq
    rcv.nxt = rcv.acked = seg.seq + 1
    rcv.edge = rcv.nxt + min(rcv.space, window.UNSCALED_MAX)
    tcb.receive_buffer = ReceiveBuffer(rcv.nxt)
    tcb.right_sizing.position, tcb.right_sizing.began = rcv.nxt, now
    snd.wnd = snd.max_wnd = seg.wnd
    snd.wl1, snd.wl2 = seg.seq, snd.una

    version = 6 if ":" in tcb.flow.remote else 4
    asked = options.mss if options.mss is not None else DEFAULT_MSS[version]
    snd.mss = min(max(asked, SMALLEST_MSS), rcv.mss)
    tcb.window_scaling = config.window_scaling and options.window_scale is not None
    if tcb.window_scaling:
        snd.scale = min(options.window_scale or 0, window.MAX_SCALE)
        rcv.scale = window.scale_for(config.receive_buffer)
    ecn.take_syn(tcb, seg)
    tcb.sack_permitted = config.sack and options.sack_permitted
    if options.timestamps is not None and timestamps.wanted(tcb, tcb.sack_permitted):
        tcb.timestamps.enabled = True
        tcb.option_octets = tcb.signature_octets + timestamps.OCTETS
        tcb.timestamps.recent = tcb.timestamps.echo = options.timestamps[0]
        tcb.timestamps.recent_at = now
    path_mtu.negotiated(tcb)
