"""The peer: packets made of steps, and what the host sends, in words that two hosts can be compared by.

What differs from run to run is left out or made relative: initial numbers, the host's own timestamps, the sizes of its
windows (but for a closed one) and its window scale.
"""

from __future__ import annotations

import struct

from tests.lab.differential.script import Step
from usertcp.ip.checksum import checksum, pseudo_header
from usertcp.ip.header import TCP, build, parse
from usertcp.ip.icmp import build_error
from usertcp.tcp.options import Options
from usertcp.tcp.segment import ACK, ECN_BITS, ECN_NAMES, RST, SYN, Flow, Segment, flag_names
from usertcp.tcp.sequence import unwrap, wrap
from usertcp.wire.fast import FastCodec
from usertcp.wire.options import write

IRS = 2**32 - 500
"""The peer's initial number: in most scripts its sequence numbers pass zero."""
ISS_UNKNOWN = 1_000_000
"""What the peer takes for the host's, as long as that has sent no SYN."""
ROUTER = "192.0.2.254"


class Peer:
    """One end of a connection, played by a script. *flow* is as the host under test sees it."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self._iss = ISS_UNKNOWN
        self._recent = 0
        """The host's last TSval."""
        self._cookie = b""
        """Of Fast Open, from the host."""

    def segment(self, step: Step) -> bytes:
        """The packet that a step "<" describes."""
        options = step.options
        seq = wrap(IRS + int(options["seq"]))
        ack = wrap(self._iss + int(options["ack"])) if "ack" in options else 0
        listed = write(self._options(options)) + bytes.fromhex(options.get("opt", ""))
        listed += bytes(-len(listed) % 4)
        text = bytes(97 + (seq + at) % 26 for at in range(int(options.get("len", 0))))
        offset_flags = (20 + len(listed)) << 10 | step.flags
        ports = self.flow.remote_port, self.flow.local_port
        rest = (seq, ack, offset_flags, int(options.get("win", 30000)), 0, int(options.get("up", 0)))
        tcp = struct.pack("!HHIIHHHH", *ports, *rest) + listed + text
        ip = build(self.flow.remote, self.flow.local, TCP, len(tcp))
        if "tos" in options:
            ip = with_traffic_class(ip, int(options["tos"]))
        header = parse(ip + tcp)
        own = checksum(tcp, pseudo_header(header.source, header.destination, TCP, len(tcp))) ^ ("badsum" in options)
        return ip + tcp[:16] + own.to_bytes(2, "big") + tcp[18:]

    def icmp(self, step: Step) -> bytes:
        """The packet of a step "icmp TYPE CODE": a router quotes one that the host has sent."""
        type_, code = map(int, step.argument.split())
        seq = wrap(self._iss + int(step.options["seq"]))
        quoted = FastCodec().encode(self.flow, Segment(seq, 0, ACK, data=bytes(100)))
        return build_error(ROUTER, type_, code, quoted, int(step.options.get("mtu", 0)))

    def read(self, packet: bytes) -> str:
        """What the host has sent."""
        content = FastCodec().decode(packet)
        assert isinstance(content, tuple), "the host sends nothing but TCP"
        _, seg = content
        if seg.flags & SYN:
            self._iss = seg.seq
        self._cookie = seg.options.fast_open or self._cookie
        if seg.options.timestamps:
            self._recent = seg.options.timestamps[0]
        words = [
            "> " + ",".join(flag_names(seg.flags)),
            f"seq={self._relative(seg.seq, self._iss) if seg.seq else 'zero'}",
        ]
        if seg.flags & ACK:
            words.append(f"ack={self._relative(seg.ack, IRS)}")
        if seg.data:
            words.append(f"len={len(seg.data)}")
        if not seg.wnd and not seg.flags & RST:
            words.append("win=0")
        if seg.up:
            words.append(f"up={seg.up}")
        words += self._listed(seg.options)
        if seg.traffic_class & ECN_BITS:
            words.append(ECN_NAMES[seg.traffic_class & ECN_BITS])
        return " ".join(words)

    def _options(self, words: dict[str, str]) -> Options:
        stamps = None
        if "ts" in words:
            value, _, echo = words["ts"].partition("/")
            stamps = int(value), int(echo) if echo else self._recent
        blocks = [block.split(":") for block in words["sack"].split(",")] if "sack" in words else []
        cookie = words.get("cookie")
        return Options(
            fast_open=self._cookie if cookie == "given" else None if cookie is None else bytes.fromhex(cookie),
            mss=int(words["mss"]) if "mss" in words else None,
            window_scale=int(words["ws"]) if "ws" in words else None,
            sack_permitted="sackOK" in words,
            timestamps=stamps,
            sack=tuple((wrap(self._iss + int(left)), wrap(self._iss + int(right))) for left, right in blocks),
        )

    def _listed(self, options: Options) -> list[str]:
        words = []
        if options.mss is not None:
            words.append(f"mss={options.mss}")
        if options.window_scale is not None:
            words.append("ws")
        if options.sack_permitted:
            words.append("sackOK")
        if options.timestamps:
            words.append(f"ecr={options.timestamps[1]}")
        if options.sack:
            edges = [[self._relative(edge, IRS) for edge in block] for block in options.sack]
            words.append("sack=" + ",".join(f"{left}:{right}" for left, right in edges))
        if options.fast_open is not None:
            words.append("cookie" if options.fast_open else "cookie=")
        words += [f"option-{kind}={data.hex()}" for kind, data in options.unknown]
        return words

    @staticmethod
    def _relative(number: int, start: int) -> int:
        return unwrap(number, start) - start


def with_traffic_class(ip: bytes, octet: int) -> bytes:
    """An IP header with this in place of 0."""
    if ip[0] >> 4 == 6:
        return (int.from_bytes(ip[:4], "big") | octet << 20).to_bytes(4, "big") + ip[4:]
    ip = ip[:1] + bytes([octet]) + ip[2:10] + bytes(2) + ip[12:]
    return ip[:10] + checksum(ip).to_bytes(2, "big") + ip[12:]
