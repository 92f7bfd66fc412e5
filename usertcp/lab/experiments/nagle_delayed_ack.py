"""Two small writes, then a wait for the answer: Nagle holds the second one back, and a delayed ACK lets it wait.

What it showed: our program wrote a request in two pieces. The first left at once. The second was held back, since it
was small and the first one was not acknowledged yet. The peer had nothing to say to half a request, so its kernel put
the ACK off; each end waited for the other until its timer had expired. With Nagle's algorithm off both pieces left one
after the other, and so they would have as one write.

How to read it: the gap in time before the ACK of the first piece, and the second piece right behind that ACK. On the
second connection nothing stands between the two pieces. RFC 9293, 3.7.4 and 3.8.6.3; RFC 1122, 4.2.3.2.
"""

import socket
from dataclasses import replace

from usertcp.lab import Lab
from usertcp.tcp.config import Config
from usertcp.tcp.events import SegmentIn, SegmentOut
from usertcp.tcp.segment import Flow

HEAD, BODY = b"h" * 100, b"b" * 100
TCP_QUICKACK_OFF = 0
"""The kernel acknowledges the first segments of a connection at once, unless told that it is an interactive one."""


async def run(lab: Lab) -> None:
    flow, request = await ask(lab, 80, replace(lab.config, nagle=True))
    first, answer, second = what_passed(lab, flow)
    lab.check("the peer's program got the request", request == HEAD + BODY)
    lab.check(
        "the second piece left only when the first had been acknowledged",
        isinstance(answer, SegmentIn) and isinstance(second, SegmentOut),
    )
    lab.check("the peer's kernel had held that ACK back", answer.time - first.time > 0.02)

    flow, request = await ask(lab, 81, replace(lab.config, nagle=False))
    first, second, answer = what_passed(lab, flow)
    lab.check("without Nagle's algorithm the peer's program got it as well", request == HEAD + BODY)
    lab.check("and both pieces left before any ACK", isinstance(second, SegmentOut) and isinstance(answer, SegmentIn))


async def ask(lab: Lab, port: int, config: Config) -> tuple[Flow, bytes]:
    """Write a request in two pieces. Returns what the peer's program has read."""
    listener = lab.peer.listen(port)
    stream = await lab.connect(port, config=config)
    server = await lab.peer.accept(listener)
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, TCP_QUICKACK_OFF)
    await stream.send_all(HEAD)
    await stream.send_all(BODY)
    request = b""
    while len(request) < len(HEAD + BODY):
        request += await server.receive_some()
    await lab.until(lambda: stream.status().snd_una == stream.status().snd_nxt)
    return stream.flow, request


def what_passed(lab: Lab, flow: Flow) -> list[SegmentIn | SegmentOut]:
    """The first three segments after the handshake's."""
    segments = [r for r in lab.trace if isinstance(r, SegmentIn | SegmentOut) and r.flow == flow]
    return segments[3:6]
