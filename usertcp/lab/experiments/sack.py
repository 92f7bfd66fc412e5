"""Three holes in one flight: the peer names what it has, so all of them are filled at once.

What it showed: an ACK has one number for what is missing, the first octet. SACK blocks beside it say which octets
beyond the gap have arrived; so we knew of all three lost segments, and sent each of them again, once, before anything
had been acknowledged anew. The same losses on a connection without the option: only after the first gap had been filled
did the next number say where the second one was, and so on, a round trip for each, of 50 ms here.

How to read it: the ACKs stand still while their SACK blocks multiply, the newest first; then come three segments marked
"resent" close together. In the second connection an ACK that moves on by one gap stands between any two of them. RFC
2018, 4; RFC 6675; RFC 6582, 3.2.
"""

from dataclasses import replace

from scapy.layers.inet import TCP
from scapy.packet import Packet

from usertcp.lab import Lab
from usertcp.lab.peer import pattern
from usertcp.link import Direction
from usertcp.link.rewrite import Delayed
from usertcp.tcp.config import Config
from usertcp.tcp.events import SegmentIn, SegmentOut
from usertcp.tcp.segment import Flow

DATA = pattern(14_480)
"""Ten segments, a whole first window: the third acknowledgment with a block lets the first of them go out again, and
each that follows one more, so five have to arrive behind the first hole (RFC 9937, 6.2)."""
LOST = (3, 5, 7)
DELAY = 0.05
"""Of what we send, seconds: the answer to what is sent again comes after all that is known of the first flight."""


async def run(lab: Lab) -> None:
    flow, intact = await transfer(lab, 80, replace(lab.config, rack=True))
    resent = [record.seg.seq for record in lab.sent(flow) if record.retransmission]
    blocks = max(len(record.seg.options.sack) for record in lab.received(flow))
    lab.check("every octet arrived in its place", intact)
    lab.check("an ACK named three pieces beyond the gap", blocks == 3)
    lab.check("three segments were sent again, once each", len(resent) == len(set(resent)) == 3)
    lab.check("all three before the first of them was acknowledged", round_trips(lab, flow) == 1)

    flow, intact = await transfer(lab, 81, replace(lab.config, sack=False))
    lab.check("without the option every octet arrived as well", intact)
    lab.check("but it took a round trip for each hole", round_trips(lab, flow) == 3)


async def transfer(lab: Lab, port: int, config: Config) -> tuple[Flow, bool]:
    """Send the data in one flight that loses three segments. Says whether it arrived intact."""
    segments: list[Packet] = []

    def lose_three(packet: Packet, direction: Direction) -> Delayed | None:
        if direction == "out" and packet[TCP].payload:
            segments.append(packet)
            if len(segments) in LOST:
                return None
        return Delayed(packet, DELAY if direction == "out" else 0.0)

    listener = lab.peer.listen(port)
    lab.rewrite(lose_three)
    stream = await lab.connect(port, config=config)
    server = await lab.peer.accept(listener)
    await stream.send_all(DATA)
    read = b""
    while len(read) < len(DATA):
        read += await server.receive_some()
    await lab.until(lambda: stream.status().snd_una == stream.status().snd_nxt)
    return stream.flow, read == DATA


def round_trips(lab: Lab, flow: Flow) -> int:
    """How many times something was sent again after the peer had acknowledged more than before."""
    trips, asked = 0, None
    newest = None
    for record in lab.trace:
        if isinstance(record, SegmentIn) and record.flow == flow:
            newest = record.seg.ack
        elif isinstance(record, SegmentOut) and record.flow == flow and record.retransmission and newest != asked:
            trips, asked = trips + 1, newest
    return trips
