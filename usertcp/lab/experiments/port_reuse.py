"""The same pair of sockets again: after TIME-WAIT, or with a SYN that is surely new.

What it showed: our own call from the same port to the same port was refused until 2 MSL had passed. But a peer that
calls while we are in TIME-WAIT need not wait: its SYN had a later timestamp than anything in the old connection, so it
cannot be an old copy. That is how a busy client and a server that closes first get along.

How to read it: two pictures, one for each pair of sockets, and two handshakes in each. In the second one TIME-WAIT
ends early, by a SYN. RFC 9293, 3.10.1 and 3.6.1; RFC 6191; RFC 6528 for the number, which never goes back.
"""

from usertcp.errors import TcpError
from usertcp.lab import Lab
from usertcp.tcp.segment import SYN

OURS, THEIRS = 5000, 6000


async def run(lab: Lab) -> None:
    # We call twice from the same port.
    listener = lab.peer.listen(80)
    stream = await lab.connect(80, local_port=OURS)
    server = await lab.peer.accept(listener)
    await stream.send_eof()
    await server.aclose()
    await lab.until(lambda: str(stream.state) == "TIME-WAIT")
    refused = ""
    try:
        await lab.connect(80, local_port=OURS)
    except TcpError as error:
        refused = f"{error.strerror}"
    lab.check(f"in TIME-WAIT the pair was not to be had: {refused}", refused)
    await stream.wait_closed()
    again = await lab.connect(80, local_port=OURS)
    first, second = (record.seg.seq for record in lab.sent(again.flow, SYN))
    lab.check("after 2 MSL it was", str(again.state) == "ESTABLISHED")
    lab.check("the second connection began at a later number", 0 < (second - first) % 2**32 < 2**31)

    # The peer calls twice from the same port.
    ours = await lab.listen(8080)
    client = await lab.peer.connect(8080, local_port=THEIRS)
    stream = await ours.accept()
    await stream.send_eof()
    await lab.peer.reaches(stream.flow, "CLOSE-WAIT")
    await client.aclose()
    await lab.until(lambda: str(stream.state) == "TIME-WAIT")
    client = await lab.peer.connect(8080, local_port=THEIRS)
    again = await ours.accept()
    await client.send_all(b"here I am again")
    lab.check("the peer's call was taken in TIME-WAIT", await again.receive_some() == b"here I am again")
    lab.check("the old connection had not waited 2 MSL", stream.state != again.state)
