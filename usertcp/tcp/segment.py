"""A segment: what the core takes and gives (RFC 9293, 3.1). It holds no addresses and no checksum, and is never
octets. Two fields of the IP header go with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from usertcp.compiled import mypyc_attr
from usertcp.tcp.options import NO_OPTIONS, Options

FIN: Final = 0x001
SYN: Final = 0x002
RST: Final = 0x004
PSH: Final = 0x008
ACK: Final = 0x010
URG: Final = 0x020
ECE: Final = 0x040
CWR: Final = 0x080
AE: Final = 0x100
FLAG_NAMES: Final = {
    SYN: "SYN",
    FIN: "FIN",
    RST: "RST",
    PSH: "PSH",
    ACK: "ACK",
    URG: "URG",
    ECE: "ECE",
    CWR: "CWR",
    AE: "AE",
}
FLAGS: Final = 0x1FF
"""All of them (RFC 9293, 3.1; AE: RFC 9768, 3.1.1). The three bits beside them in the header are reserved."""
ACE: Final = AE | CWR | ECE
"""With AccECN a counter, but for segments with SYN: there all three ask for it (RFC 9768, 3.1.1 and 3.2.2)."""
AGREES: Final = frozenset({CWR, CWR | ECE, AE, AE | CWR, AE | ECE})
"""Which of them make a SYN,ACK agree (RFC 9768, Table 2 and 3.1.3)."""

NOT_ECT: Final = 0
ECT1: Final = 1
ECT0: Final = 2
CE: Final = 3
"""The ECN codepoints (RFC 3168, 5): what the lower two bits of the traffic class say."""
ECN_BITS: Final = 3
ECN_NAMES: Final = {NOT_ECT: "Not-ECT", ECT1: "ECT(1)", ECT0: "ECT(0)", CE: "CE"}


class Flow(NamedTuple):
    """A pair of sockets, seen from our side: the name of a connection (RFC 9293, 3.3.1).

    Addresses are text in canonical form ("192.0.2.1", "2001:db8::1"), as `socket.inet_ntop` writes them. "" and 0
    stand for the unspecified remote socket of a passive OPEN."""

    local: str
    local_port: int
    remote: str
    remote_port: int

    @property
    def reversed(self) -> Flow:
        """The same pair seen from the peer."""
        return Flow(self.remote, self.remote_port, self.local, self.local_port)


@mypyc_attr(acyclic=True, free_list_len=1)
@dataclass(slots=True, init=False)
class Segment:
    """One TCP segment. Numbers are as on the wire: 32 bits for SEQ and ACK, 16 bits and unscaled for the window."""

    seq: int
    ack: int
    flags: int
    wnd: int = 0
    options: Options = NO_OPTIONS
    data: bytes | memoryview = b""
    up: int = 0
    """Urgent pointer; means something with URG only."""
    traffic_class: int = 0
    """The octet of that name in IPv6, "type of service" in IPv4: DSCP in its upper six bits (RFC 2474), ECN in the
    others (RFC 3168)."""
    ttl: int | None = None
    """Time to live or hop limit to send with; None is the codec's own. Not read from packets."""
    mss: int = 0
    """Of a super-segment to send: into segments with how much text the link is to cut it, octets. 0: it is one."""

    def __init__(
        self,
        seq: int,
        ack: int,
        flags: int,
        wnd: int = 0,
        options: Options = NO_OPTIONS,
        data: bytes | memoryview = b"",
        up: int = 0,
        traffic_class: int = 0,
        ttl: int | None = None,
        mss: int = 0,
    ) -> None:
        # What the decorator would write. Written here, it can be compiled: no object is made more often.
        self.seq = seq
        self.ack = ack
        self.flags = flags
        self.wnd = wnd
        self.options = options
        self.data = data
        self.up = up
        self.traffic_class = traffic_class
        self.ttl = ttl
        self.mss = mss

    @property
    def len(self) -> int:
        """SEG.LEN: data octets, SYN and FIN counted (RFC 9293, 3.4)."""
        return len(self.data) + bool(self.flags & SYN) + bool(self.flags & FIN)

    @property
    def ace(self) -> int:
        """The counter that AE, CWR and ECE are with AccECN (RFC 9768, 3.2.2)."""
        return (self.flags & ACE) >> 6


def flag_names(flags: int) -> list[str]:
    """The control bits that are set, by name, SYN first."""
    return [name for bit, name in FLAG_NAMES.items() if flags & bit]
