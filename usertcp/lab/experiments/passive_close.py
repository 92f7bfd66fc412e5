"""The peer closes first: we may go on sending, and need not wait afterwards.

What it showed: the peer's FIN ended its direction only. We sent more in CLOSE-WAIT, and the peer's program read it.
Our own FIN came last, and its acknowledgment took us from LAST-ACK to CLOSED at once: TIME-WAIT is the peer's.

How to read it: the roles of active-close, exchanged. The kernel shows FIN-WAIT-2 while we take our time, and TIME-WAIT
at the end (60 s on Linux; this network does not live so long). RFC 9293, 3.6, Figure 12.
"""

from usertcp.lab import Lab


async def run(lab: Lab) -> None:
    listener = lab.peer.listen(80)
    stream = await lab.connect(80)
    server = await lab.peer.accept(listener)

    await server.send_all(b"that is all")
    await stream.receive_some()
    await server.send_eof()
    end = await stream.receive_some()
    await lab.peer.reaches(stream.flow, "FIN-WAIT-2")
    await stream.send_all(b"one more thing")
    heard = await server.receive_some()
    await stream.aclose()
    await stream.wait_closed()

    lab.check("we read the end of the stream", end == b"")
    lab.check("what we sent in CLOSE-WAIT was read", heard == b"one more thing")
    lab.check_states(
        stream.flow,
        ours="CLOSED SYN-SENT ESTABLISHED CLOSE-WAIT LAST-ACK CLOSED",
        peer="LISTEN SYN-RECEIVED ESTABLISHED FIN-WAIT-1 FIN-WAIT-2 TIME-WAIT",
    )
