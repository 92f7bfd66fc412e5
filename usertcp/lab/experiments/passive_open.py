"""A real client calls us: the same three segments, seen from the other side.

What it showed: a listener stays in LISTEN; each SYN gets a connection of its own. It is ours to choose a number and to
wait for its acknowledgment: until that comes, the caller may be anybody who put a false address on a SYN.

How to read it: the first arrow points at us. The kernel is ESTABLISHED before we are, since our SYN-ACK is all that it
waits for. It finishes first here, and so keeps TIME-WAIT; we end in LAST-ACK. RFC 9293, 3.5 and 3.10.7.2.
"""

from usertcp.lab import Lab


async def run(lab: Lab) -> None:
    listener = await lab.listen(8080)
    client = await lab.peer.connect(8080)
    stream = await listener.accept()
    await client.send_all(b"hello")
    await client.send_eof()
    heard = await stream.receive_some()
    end = await stream.receive_some()
    await stream.send_all(b"good bye")
    await stream.aclose()
    answer = await client.receive_some()
    await stream.wait_closed()

    lab.check("a client of the kernel's and we exchanged a line", (heard, end, answer) == (b"hello", b"", b"good bye"))
    lab.check_states(
        stream.flow,
        ours="CLOSED LISTEN SYN-RECEIVED ESTABLISHED CLOSE-WAIT LAST-ACK CLOSED",
        peer="SYN-SENT ESTABLISHED (FIN-WAIT-1) FIN-WAIT-2 TIME-WAIT",
    )
