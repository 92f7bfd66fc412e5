"""The peer's program does not read: its window closes, and we keep asking.

What it showed: the receiver says how much more it can take, and the sender obeys, down to nothing. Then somebody must
keep asking, since the ACK that opens the window may be lost, and both would wait for ever. One octet does it. When the
program read at last, everything arrived.

How to read it: win= goes down to 0. Then the persist timer expires, a probe of one octet goes out, and the answer is
the same ACK again. When the program has read, an ACK with a window comes, and the rest follows. RFC 9293, 3.8.6.1.
"""

from usertcp.lab import Lab
from usertcp.lab.peer import pattern
from usertcp.tcp.events import TimerExpired

DATA = pattern(60_000)


async def run(lab: Lab) -> None:
    def probes() -> int:
        return sum(isinstance(record, TimerExpired) and record.timer == "persist" for record in lab.trace)

    listener = lab.peer.listen(80, receive_buffer=4096)
    stream = await lab.connect(80)
    server = await lab.peer.accept(listener)
    await stream.send_all(DATA)
    await lab.until(probes)
    await lab.until(lambda: lab.received(stream.flow)[-1].time > lab.sent(stream.flow)[-1].time)
    closed = lab.received(stream.flow)[-1].seg.wnd == 0 and stream.status().unsent > 0

    read = b""
    while len(read) < len(DATA):
        read += await server.receive_some()

    lab.check("the window was closed, with data left to send", closed)
    lab.check("a probe was answered by the same closed window", probes() >= 1)
    lab.check("everything arrived once the program read", read == DATA)
