"""The network loses our last ACK: TIME-WAIT answers the peer's repeated FIN.

What it showed: nobody acknowledges an acknowledgment, so we cannot know whether our last one has arrived. The peer
stayed in LAST-ACK and repeated its FIN; TIME-WAIT still knew the connection, said it again, and began to wait anew.

How to read it: the FIN of the peer comes twice, and so does our ACK; the 2 MSL timer is set twice. Without TIME-WAIT a
RST would have been the answer, and a connection that had ended well an error. RFC 9293, 3.6.1 and 3.10.7.4, eighth.
"""

from scapy.layers.inet import TCP
from scapy.packet import Packet

from usertcp.lab import Lab
from usertcp.link import Direction
from usertcp.tcp.events import TimerSet
from usertcp.tcp.segment import FIN


async def run(lab: Lab) -> None:
    fins: list[Packet] = []
    lost: list[Packet] = []

    def lose_last_ack(packet: Packet, direction: Direction) -> Packet | None:
        if direction == "in" and packet[TCP].flags.F:
            fins.append(packet)
        elif direction == "out" and fins and not lost:
            lost.append(packet)
            return None
        return packet

    listener = lab.peer.listen(80)
    lab.rewrite(lose_last_ack)
    stream = await lab.connect(80)
    server = await lab.peer.accept(listener)
    await stream.send_eof()
    await lab.peer.reaches(stream.flow, "CLOSE-WAIT")
    await server.aclose()
    await stream.wait_closed()

    fins = lab.received(stream.flow, FIN)
    starts = [record for record in lab.trace if isinstance(record, TimerSet) and record.timer == "time_wait"]
    repeated = len(fins) > 1 and fins[1].seg.seq == fins[0].seg.seq
    lab.check("the peer repeated its FIN within 2 MSL", repeated)
    lab.check("TIME-WAIT acknowledged it again", repeated and lab.sent(stream.flow)[-1].time >= fins[1].time)
    lab.check("and began anew", len(starts) > 1 and starts[1].at > starts[0].at)
    lab.check_states(
        stream.flow,
        ours="CLOSED SYN-SENT ESTABLISHED FIN-WAIT-1 FIN-WAIT-2 TIME-WAIT CLOSED",
        peer="LISTEN SYN-RECEIVED ESTABLISHED CLOSE-WAIT LAST-ACK CLOSED",
    )
