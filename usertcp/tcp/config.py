"""Every knob a lab might turn. The defaults are what RFC 9293 asks for, and where it leaves a choice, what Linux
does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from usertcp.tcp.ao import MasterKey
from usertcp.tcp.congestion import CONTROLLERS, Controller
from usertcp.tcp.keepalive import KeepAlive
from usertcp.tcp.md5 import Md5Key
from usertcp.tcp.user_timeout import UserTimeoutOption

LARGEST_BUFFER: Final = 1 << 30
"""What a window can be offered for at the largest scale (RFC 7323, 2.3)."""


@dataclass(slots=True, kw_only=True)
class Config:
    """Settings of a stack or of one connection. Vary it with `dataclasses.replace`; never change one in use.

    A connection goes on with other ones by `TcpStream.configure`.
    """

    # Time-outs, seconds
    msl: float = 30.0
    """Maximum segment lifetime. TIME-WAIT lasts twice this. Linux's 60 s in all; RFC 9293, 3.4.2 would have 240."""
    time_wait_reuse: float | None = 1.0
    """After so long without a segment an active OPEN may take its pair of sockets out of TIME-WAIT, if both
    incarnations have timestamps, as with Linux's tcp_tw_reuse=1. Otherwise who calls one server often runs out of
    ports. None: never, to the letter of RFC 9293, 3.10.1."""
    rto_initial: float = 1.0
    """Retransmission timeout before the first RTT sample (RFC 6298, 2.1)."""
    rto_min: float = 1.0
    """Lower bound of the retransmission timeout (RFC 6298, 2.4). Kernels use 0.2."""
    rto_max: float = 60.0
    """Upper bound of the retransmission timeout, and so of backing off (RFC 6298, 2.5: at least 60)."""
    r1: int = 3
    """Retransmissions of one segment after which the user is told of trouble, softly (RFC 9293, 3.8.3, SHLD-9,
    SHLD-10)."""
    r2: float = 100.0
    """How long to go without an acknowledgment of data before the connection is given up (RFC 9293, 3.8.3, SHLD-11)."""
    r2_syn: float = 180.0
    """The same for a SYN: at least 3 minutes (RFC 9293, 3.8.3, MUST-23)."""
    user_timeout: float | None = None
    """The user's own limit in place of `r2` and `r2_syn` (RFC 9293, 3.8.3, MUST-21; 3.10.8)."""
    user_timeout_option: UserTimeoutOption | None = None
    """How to tell the peer of it, and to heed what it tells (RFC 5482). None: neither."""
    fin_wait_2_timeout: float | None = None
    """How long a half-closed connection may stay in FIN-WAIT-2. None: as long as the peer keeps its direction open,
    which is the RFC's. When the user has stopped reading as well, it is 2 MSL in any case, as on Linux."""
    keepalive: KeepAlive | None = None
    """When to ask a silent peer whether it is still there (RFC 9293, 3.8.4). None: never (MUST-25). `KeepAlive()` asks
    after two hours."""
    delayed_ack: float = 0.04
    """How long an acknowledgment may be held back (RFC 9293, 3.8.6.3: below 0.5). Linux's minimum. 0: never."""

    # Buffers, octets
    receive_buffer: int = 1 << 22
    """The most that is kept for a user who does not read; so the largest window offered. 4 MiB, and the same for
    sending: a round trip of 0.1 s at 40 MB/s. Linux's limits are 6 and 4 MiB."""
    send_buffer: int = 1 << 22
    """The most that is taken from the user before it is acknowledged."""
    memory: int = 1 << 28
    """Of a stack: the most that all its connections hold together. From half of it on buffers grow no more and windows
    are offered small; at all of it out-of-order text is discarded. 256 MiB: 1,000 buffers of first size. Linux takes a
    tenth of the machine's."""
    auto_tuning: bool = True
    """Begin with less, 256 KiB for receiving and 1 MiB for sending, and let the buffers grow up to these limits: the
    one with what the user takes in a round trip, the other with the congestion window. As in kernels. False: the limits
    are what there is from the beginning."""

    # What is offered in the SYN
    mss: int | None = None
    """Maximum segment size to announce, at least 64. None: what fits the link's MTU (RFC 9293, 3.7.1, MUST-67)."""
    window_scaling: bool = True
    """RFC 7323, 2."""
    timestamps: bool = True
    """RFC 7323, 3: RTT of retransmitted data, and PAWS."""
    sack: bool = True
    """RFC 2018: each end tells the other what arrived out of order, and sends again only what did not (RFC 6675)."""
    dsack: bool = True
    """RFC 2883: tell the peer what arrived twice, so that it sees what it sent again for nothing."""
    ecn: Literal["off", "passive", "on", "accurate"] = "passive"
    """RFC 3168: have congestion marked instead of signalled by loss. "passive": if the peer asks for it; "on": ask too;
    "accurate": ask for AccECN (RFC 9768), which counts the marks, and agree to it, or to the classic one.
    As on Linux, we do not ask by default: there are paths that drop a SYN which does, at the cost of an RTO."""

    # The path
    path_mtu_discovery: bool = True
    """Heed routers that say that a packet was too large, with the checks of RFC 5927 (RFC 1191, RFC 8201). False: such
    an error is a sign of trouble in `soft_error`, no more."""
    black_hole_detection: bool = True
    """When a large segment goes unanswered R1 times, send smaller ones: the path may drop large packets and say nothing
    (RFC 4821, 7.7). Linux's tcp_mtu_probing=1, which it leaves off; here a connection that would end in a time-out is
    the worse default. If it was an outage instead, the first probe says so."""
    path_mtu_probing: bool = True
    """After that, find out by single larger segments which size arrives, now and every ten minutes (RFC 4821; RFC
    8899). False: in ten minutes try the full size again. Means something with SACK only."""
    min_path_mtu: int = 552
    """Neither ICMP errors nor silence make IPv4 packets smaller than this, octets: a forged error would cost us dear.
    Linux's min_pmtu. A real path may be as narrow as 68; IPv6 has 1280."""

    # Sending
    nagle: bool = True
    """Hold back small segments while data is unacknowledged (RFC 9293, 3.7.4). False is TCP_NODELAY (MUST-17)."""
    congestion: str | Controller = "cubic"
    """"cubic" (RFC 9438, what kernels use), "reno" (RFC 5681), "bbr" (version 1), "dctcp" (RFC 8257, only where
    all queues mark early, with `ecn` on at both ends; our echo then says which segments were marked), "fixed" (the
    initial window, for ever), or a class of one's own: see `usertcp.tcp.congestion.CongestionControl`."""
    cwnd_validation: bool = True
    """The congestion window grows only while it is what limits the sender (RFC 7661; RFC 9438, 5.8), as in kernels."""
    pacing: bool = False
    """Spread a window over its round trip, where the controller has no rate of its own. Off, as without Linux's fq:
    the ACK clock does it, and each segment costs a timer."""
    initial_window: int | None = None
    """First congestion window, octets. None: ten segments or 14,600 octets (RFC 6928, 2)."""
    rack: bool = True
    """RFC 8985: find losses by time, and probe the tail of a flight, as kernels do. False: by counting what arrived
    behind a hole (RFC 6675). Means something with SACK only."""
    prr: bool = True
    """RFC 9937: in fast recovery reduce the rate in proportion to what is delivered. False: wait until the pipe has
    drained to the new window (RFC 6675). Means something with SACK only."""
    undo: bool = True
    """RFC 3522 and 4015: give the congestion window back when timestamps or DSACKs show that nothing was lost."""
    frto: bool = True
    """RFC 5682: after a retransmission timeout try new segments, before everything is sent again, to find out whether
    it was spurious. The congestion window is given back if `undo` is on."""

    # What IP is asked for
    dscp: int = 0
    """Differentiated services codepoint of what is sent, 0 to 63 (RFC 2474; RFC 9293, 3.9.1.9, MUST-48)."""
    ttl: int | None = None
    """IPv4 time to live or IPv6 hop limit (RFC 9293, 3.9.2, MUST-49). None: the codec's, 64."""

    # Defence
    challenge_acks_per_second: int = 10
    """Per connection (RFC 5961, 7). Counting them for all connections together would let one spy on another."""
    time_wait_ignores_rst: bool = True
    """RFC 1337, 3, fix F1: a RST does not end TIME-WAIT early. False shows the hazard."""
    backlog: int = 128
    """Established connections that a listener holds before they are accepted. While it is full, SYNs are dropped."""
    half_open_limit: int = 128
    """Connections in SYN-RECEIVED that a listener holds. Beside the backlog, so that a flood of SYNs leaves that alone.
    0 with `syn_cookies`: none is held, all get a cookie."""
    syn_cookies: bool = True
    """RFC 4987, 3.6: beyond that limit answer SYNs and keep nothing, as on Linux. False: drop them."""
    syn_ack_retransmissions: int = 5
    """How often a SYN,ACK is sent again before a half-open connection is forgotten: after 63 s, with Linux's number.
    Nobody waits for it, so it need not last as long as a SYN (`r2_syn`)."""
    fast_open: int = 0
    """Of a listener: take text that comes with a SYN, and hand it out before the handshake is done, for so many
    connections at a time (RFC 7413). 0: never, as the RFC demands of a default, since a duplicate of the SYN may
    deliver the text twice. A client says so for each connection: see `Stack.open_tcp_stream`."""

    md5_keys: tuple[Md5Key, ...] = ()
    """With peers that these fit, only segments that are signed count, and all of ours are (RFC 2385). A stack's, or
    those of one connection or listener. Timestamps are offered to them only without `sack`: both leave no room."""

    ao_keys: tuple[MasterKey, ...] = ()
    """The same with keys made anew for each connection, which can be changed while it lives, by `TcpStream.configure`
    (RFC 5925): the first is what the peer is asked to use. They go before `md5_keys`. Peers that have restarted cannot
    reset such a connection: use `keepalive`."""
    unknown_ao: Literal["accept", "drop"] = "accept"
    """What to do with segments that are signed so by peers for which there is no key (RFC 5925, 7.3)."""

    # Addresses
    port_range: tuple[int, int] = (61000, 65535)
    """Local ports of active OPENs, inclusive (RFC 6056). Above the kernel's own (32768-60999)."""

    def __post_init__(self) -> None:
        for name in ("r1", "r2", "r2_syn", "backlog", "challenge_acks_per_second"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        if self.half_open_limit < 0 or self.syn_ack_retransmissions < 0:
            raise ValueError("half_open_limit and syn_ack_retransmissions must not be negative")
        for name in ("user_timeout", "fin_wait_2_timeout", "initial_window"):
            if (value := getattr(self, name)) is not None and value <= 0:
                raise ValueError(f"{name} must be positive, or None")
        if isinstance(self.congestion, str) and self.congestion not in CONTROLLERS:
            raise ValueError(f"congestion is one of {', '.join(CONTROLLERS)}, or a controller")
        if self.ecn not in ("off", "passive", "on", "accurate"):
            raise ValueError("ecn is off, passive, on or accurate")
        if self.unknown_ao not in ("accept", "drop"):
            raise ValueError("unknown_ao is accept or drop")
        for number in ("send_id", "receive_id"):
            names = [(key.network, key.port, getattr(key, number)) for key in self.ao_keys]
            if len(set(names)) < len(names):
                raise ValueError(f"ao_keys: two keys for one peer have the same {number}")
        if self.msl <= 0 or not 0 <= self.delayed_ack < 0.5:
            raise ValueError("msl must be positive and delayed_ack from 0 to below 0.5 s")
        if self.time_wait_reuse is not None and self.time_wait_reuse < 0.001:
            raise ValueError("time_wait_reuse is at least 0.001 s, a tick of the timestamps, or None")
        if not 0 < self.rto_min <= self.rto_max or self.rto_initial <= 0:
            raise ValueError("rto_min must be positive and at most rto_max, rto_initial positive")
        if self.mss is not None and not 64 <= self.mss <= 65535:
            raise ValueError("mss is 64 (room for text beside 40 octets of options) to 65535")
        if not 104 <= self.min_path_mtu <= 65535:
            raise ValueError("min_path_mtu is 104 (64 octets of text and options behind the headers) to 65535")
        if self.receive_buffer < 1 or self.send_buffer < 1 or self.receive_buffer > LARGEST_BUFFER:
            raise ValueError(
                f"send_buffer and receive_buffer hold at least 1 octet, receive_buffer at most {LARGEST_BUFFER}"
            )
        if self.fast_open < 0:
            raise ValueError("fast_open is a number of connections, or 0")
        if self.memory < 1:
            raise ValueError("memory is at least 1 octet")
        if not 0 <= self.dscp < 64 or (self.ttl is not None and not 1 <= self.ttl <= 255):
            raise ValueError("dscp has six bits, ttl is 1 to 255")
        low, high = self.port_range
        if not 1 <= low <= high <= 65535:
            raise ValueError("port_range is (low, high), 1 to 65535")
