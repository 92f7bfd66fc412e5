"""Nobody says anything, and then the cable is cut: keep-alives find out.

What it showed: a connection on which nothing is sent lives on without the other end, for nothing tells that it is gone.
With keep-alives an end that hears nothing asks. As long as the other one was there, it answered each time; when the
cable was cut, several probes in a row stayed without an answer, and the connection was given up. Neither end could tell
the other, but the peer's kernel had its own keep-alives on.

How to read it: our probe is an empty segment one to the left of what we would send, so that its SEQ is out of the
window and the peer has to answer by an ACK. The kernel's look the same. RFC 9293, 3.8.4, where they are off by default,
and wait for two hours.
"""

import socket
from dataclasses import replace

import trio

from usertcp.errors import ConnectionTimedOut
from usertcp.lab import Lab
from usertcp.tcp.keepalive import KeepAlive

KEEP = KeepAlive(idle=0.3, interval=0.2, count=3)
"""Seconds, where days would be more usual."""


async def run(lab: Lab) -> None:
    listener = lab.peer.listen(80)
    stream = await lab.connect(80, config=replace(lab.config, keepalive=KEEP))
    server = await lab.peer.accept(listener)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for setting, value in (socket.TCP_KEEPIDLE, 1), (socket.TCP_KEEPINTVL, 1), (socket.TCP_KEEPCNT, 2):
        server.setsockopt(socket.IPPROTO_TCP, setting, value)
    begin = len(lab.sent(stream.flow))
    await trio.sleep(1.5)
    ours = [r for r in lab.sent(stream.flow)[begin:] if r.seg.seq == stream.status().snd_nxt - 1]
    theirs = [r for r in lab.received(stream.flow) if r.seg.seq == stream.status().rcv_nxt - 1]
    alive = str(stream.state) == lab.peer.state(stream.flow) == "ESTABLISHED"

    lab.rewrite(lambda packet, direction: None)
    try:
        await stream.receive_some()
        error = None
    except trio.BrokenResourceError:
        error = stream.error
    await lab.until(lambda: lab.peer.state(stream.flow) != "ESTABLISHED")

    lab.check("we asked several times, and the kernel asked too", len(ours) >= 3 and len(theirs) >= 1)
    lab.check("as long as there were answers, the connection stayed", alive)
    lab.check("after three that were not answered we gave it up", isinstance(error, ConnectionTimedOut))
    lab.check("so did the kernel, on its own", lab.peer.state(stream.flow) != "ESTABLISHED")
