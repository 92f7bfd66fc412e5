"""Urgent data: a mark in the stream, which two ends do not take for the same.

What it showed: who sends something urgent tells the other end up to which octet to hurry. The octets themselves keep
their place. Our end learned from the kernel that there was something urgent, and how far it went. But a kernel's socket
makes of it one octet that is "out of band", the last one before the mark, and stops reading in front of it; RFC 9293
knows of no such octet. That is one reason not to use it for anything new.

How to read it: URG on a segment, and an urgent pointer that names the octet after the urgent ones: both ends agree on
that. What differs is what the programs see. RFC 9293, 3.8.5; RFC 6093.
"""

import socket

from usertcp.lab import Lab
from usertcp.tcp.segment import URG


async def run(lab: Lab) -> None:
    listener = lab.peer.listen(80)
    stream = await lab.connect(80)
    server = await lab.peer.accept(listener)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)

    await server.send_all(b"calm, ")
    await server.socket.send(b"hurry!", socket.MSG_OOB)
    told = await stream.wait_urgent()
    await lab.until(lambda: stream.status().unread == len(b"calm, hurry!"))
    read = await stream.receive_some()
    (theirs,) = lab.received(stream.flow, URG)

    await stream.send_urgent(b"hurry too!")
    await lab.until(lambda: stream.status().flight_size == 0)
    first, second = await server.receive_some(), await server.receive_some()
    (ours,) = lab.sent(stream.flow, URG)

    lab.check("we were told how much there was to read up to the mark", told == len(read) == 12)
    lab.check("and read it in its place", read == b"calm, hurry!" and stream.urgent == 0)
    lab.check("the pointer names the octet after the urgent ones", theirs.seg.up == len(theirs.seg.data))
    lab.check("so does ours", ours.seg.up == len(ours.seg.data) == 10)
    lab.check("the kernel's program was stopped before the last octet", (first, second) == (b"hurry too", b"!"))
