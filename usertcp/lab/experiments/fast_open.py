"""A request that goes with the SYN: its answer is there a round trip earlier.

What it showed: on the first connection we asked the kernel for a cookie, which showed at the second one that our
address is our own. So the kernel took the text of that SYN, and its program answered before the handshake was done. The
same with the roles exchanged: the kernel asked us for a cookie, and its second SYN brought it, and a request. Our
program read that in SYN-RECEIVED and answered; the kernel's ACK of our SYN came afterwards.

How to read it: four connections. "tfo=?" asks for a cookie, "tfo=..." is one. The ACK of a SYN,ACK tells whether the
text of the SYN was taken: it is larger by its length then. Each way takes a tenth of a second here. Text in a SYN may
arrive twice, so nobody gets this who has not asked. RFC 7413, 3 and 4.2.
"""

import socket
from dataclasses import replace
from functools import partial

from scapy.packet import Packet
from trio import SocketListener

from usertcp.lab import Lab
from usertcp.lab.peer import TCP_FASTOPEN
from usertcp.link import Direction
from usertcp.link.rewrite import Delayed
from usertcp.tcp.segment import ACK, SYN

DELAY = 0.1
"""Seconds each way."""


def delay(packet: Packet, direction: Direction) -> Delayed:
    return Delayed(packet, DELAY)


async def run(lab: Lab) -> None:
    lab.peer.sysctl("net.ipv4.tcp_fastopen", 3)  # as client and as server
    lab.rewrite(delay)
    await as_client(lab)
    await as_server(lab)


async def as_client(lab: Lab) -> None:
    listener = lab.peer.listen(80)
    listener.socket.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN, 5)
    first = await lab.connect(80, fast_open=b"first request")
    server = await lab.peer.accept(listener)
    lab.check("the first request came after the handshake", await server.receive_some() == b"first request")
    (asked,), (given,) = lab.sent(first.flow, SYN), lab.received(first.flow, SYN)
    lab.check("our SYN asked for a cookie", asked.seg.options.fast_open == b"" and not asked.seg.data)
    lab.check("and the kernel gave one", given.seg.options.fast_open)
    first.abort()

    lab.start(answer_one, lab, listener)
    second = await lab.connect(80, fast_open=b"second request")
    answer = await second.receive_some()
    (syn,), (syn_ack,) = lab.sent(second.flow, SYN), lab.received(second.flow, SYN)
    (text, *_) = [record for record in lab.received(second.flow) if record.seg.data]
    lab.check("the second SYN brought it", syn.seg.options.fast_open == given.seg.options.fast_open)
    lab.check("and the second request", syn.seg.data == b"second request")
    lab.check("the kernel acknowledged both", syn_ack.seg.ack == (syn.seg.seq + 1 + len(syn.seg.data)) % 2**32)
    lab.check("its program answered", answer == b"SECOND REQUEST")
    lab.check("in one round trip", text.time - syn.time < 3.5 * DELAY)
    lab.check("nothing was sent twice", "segments retransmitted" not in second.status().counters)
    second.abort()


async def answer_one(lab: Lab, listener: SocketListener) -> None:
    server = await lab.peer.accept(listener)
    await server.send_all((await server.receive_some()).upper())


async def as_server(lab: Lab) -> None:
    listener = await lab.listen(90, config=replace(lab.config, fast_open=5))
    lab.start(partial(lab.peer.connect, 90, fast_open=True))
    first = await listener.accept()
    (asked,), (given,) = lab.received(first.flow, SYN), lab.sent(first.flow, SYN)
    lab.check("the kernel's SYN asked us for a cookie", asked.seg.options.fast_open == b"")
    lab.check("and we gave one", given.seg.options.fast_open)
    first.abort()

    client = await lab.peer.connect(90, fast_open=True)  # With a cookie the SYN waits for the text.
    await client.send_all(b"request")
    second = await listener.accept()
    request = await second.receive_some()
    lab.check("its second SYN brought a request, which our program read", request == b"request")
    lab.check("in SYN-RECEIVED", str(second.state) == "SYN-RECEIVED" and second.status().fast_open)
    await second.send_all(b"answer")
    answered = lab.trace[-1].time
    lab.check("its program read the answer", await client.receive_some() == b"answer")
    await lab.until(lambda: str(second.state) == "ESTABLISHED")
    (syn,), (syn_ack,) = lab.received(second.flow, SYN), lab.sent(second.flow, SYN)
    acks = [record for record in lab.received(second.flow, ACK) if not record.seg.flags & SYN]
    lab.check("with our cookie", syn.seg.options.fast_open == given.seg.options.fast_open)
    lab.check("we acknowledged both", syn_ack.seg.ack == (syn.seg.seq + 1 + len(syn.seg.data)) % 2**32)
    lab.check("we had answered before our SYN was acknowledged", answered < acks[0].time)
    lab.check(
        "the kernel counts one Fast Open in each role",
        (lab.peer.counter("TcpExtTCPFastOpenActive"), lab.peer.counter("TcpExtTCPFastOpenPassive")) == (1, 1),
    )
    await client.aclose()
