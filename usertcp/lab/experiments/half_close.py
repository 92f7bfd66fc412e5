"""We have finished, the peer has not: a megabyte comes in afterwards.

What it showed: a FIN says "I have no more to send", not "I am gone". The peer answered our request after it had seen
our end of file, and a megabyte arrived in FIN-WAIT-2, every octet in its place.

How to read it: our FIN comes early; from then on we send ACKs only, while the peer's data goes on and the kernel shows
CLOSE-WAIT. Then come the peer's FIN and TIME-WAIT. RFC 9293, 3.6 (case 1) and 3.10.4.
"""

import trio

from usertcp.lab import Lab
from usertcp.lab.peer import pattern
from usertcp.tcp.segment import FIN

MEGABYTE = pattern(1 << 20)


async def answer_when_asked(server: trio.SocketStream) -> None:
    async with server:
        async for _ in server:
            pass  # until the client has finished
        await server.send_all(MEGABYTE)


async def run(lab: Lab) -> None:
    await lab.serve(answer_when_asked, 80)
    stream = await lab.connect(80)
    await stream.send_all(b"everything, please")
    await stream.send_eof()
    answer = b"".join([data async for data in stream])
    await stream.wait_closed()

    (fin,) = lab.sent(stream.flow, FIN)
    after = sum(len(record.seg.data) for record in lab.received(stream.flow) if record.time > fin.time)
    lab.check("a megabyte arrived, every octet in its place", answer == MEGABYTE)
    lab.check("all of it came after our FIN", after >= len(MEGABYTE))
    lab.check_states(
        stream.flow,
        ours="CLOSED SYN-SENT ESTABLISHED FIN-WAIT-1 FIN-WAIT-2 TIME-WAIT CLOSED",
        peer="LISTEN SYN-RECEIVED ESTABLISHED CLOSE-WAIT LAST-ACK CLOSED",
    )
