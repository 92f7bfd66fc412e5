"""The same pair of sockets again: after TIME-WAIT, or with a SYN that is surely new.

What it showed: without timestamps our own call from the same port to the same port was refused until 2 MSL had passed.
With them a second was enough: no SYN, and nothing that is still on its way, can then be taken for one of the other
connection. A peer that calls while we are in TIME-WAIT need not wait at all: its SYN had a later timestamp than
anything in the old connection. That is how a busy client and a server that closes first get along.

How to read it: three pictures, one for each pair of sockets, and two handshakes in each. In the second and the third
one TIME-WAIT ends early. RFC 9293, 3.10.1 and 3.6.1; RFC 6191; RFC 6528 for the number, which never goes back.
"""

from dataclasses import replace

import trio

from usertcp.errors import TcpError
from usertcp.lab import Lab
from usertcp.runtime.stream import TcpStream
from usertcp.tcp.config import Config
from usertcp.tcp.events import StateEntered
from usertcp.tcp.segment import SYN
from usertcp.tcp.state import Event

PLAIN, STAMPED, THEIRS = 5000, 5001, 6000


async def run(lab: Lab) -> None:
    # We call twice from the same port.
    listener = lab.peer.listen(80)
    plain = replace(lab.config, timestamps=False)
    stream = await closed_first(lab, listener, PLAIN, plain)
    refusal = await refused(lab, PLAIN, plain)
    lab.check(f"in TIME-WAIT the pair was not to be had: {refusal}", refusal)
    await stream.wait_closed()
    again = await lab.connect(80, local_port=PLAIN, config=plain)
    await lab.peer.accept(listener)
    first, second = (record.seg.seq for record in lab.sent(again.flow, SYN))
    lab.check("after 2 MSL it was", str(again.state) == "ESTABLISHED")
    lab.check("the second connection began at a later number", 0 < (second - first) % 2**32 < 2**31)

    # With timestamps.
    stamped = replace(lab.config, msl=max(lab.config.msl, 1.0), time_wait_reuse=1.0)
    stream = await closed_first(lab, listener, STAMPED, stamped)
    lab.check("with timestamps it was not to be had either, at once", await refused(lab, STAMPED, stamped))
    await trio.sleep(1.0)
    again = await lab.connect(80, local_port=STAMPED, config=stamped)

    def taken_in() -> list[str]:
        taken = [r for r in lab.trace if isinstance(r, StateEntered) and r.event is Event.RCV_SYN]
        return [str(r.old) for r in taken if r.flow == again.flow]

    await lab.until(taken_in)
    lab.check("but after a second, in TIME-WAIT", taken_in() == ["TIME-WAIT"])

    # The peer calls twice from the same port.
    ours = await lab.listen(8080)
    client = await lab.peer.connect(8080, local_port=THEIRS)
    stream = await ours.accept()
    await stream.send_eof()
    await lab.peer.reaches(stream.flow, "CLOSE-WAIT")
    await client.aclose()
    await lab.until(lambda: str(stream.state) == "TIME-WAIT")
    await lab.peer.reaches(stream.flow, "CLOSED")
    client = await lab.peer.connect(8080, local_port=THEIRS)
    again = await ours.accept()
    await client.send_all(b"here I am again")
    lab.check("the peer's call was taken in TIME-WAIT", await again.receive_some() == b"here I am again")
    lab.check("the old connection had not waited 2 MSL", stream.state != again.state)


async def closed_first(lab: Lab, listener: trio.SocketListener, port: int, config: Config) -> TcpStream:
    """A connection of ours in TIME-WAIT."""
    stream = await lab.connect(80, local_port=port, config=config)
    server = await lab.peer.accept(listener)
    await stream.send_eof()
    await server.aclose()
    await lab.until(lambda: str(stream.state) == "TIME-WAIT")
    return stream


async def refused(lab: Lab, port: int, config: Config) -> str:
    """Why we may not call from this port; "" if we may."""
    try:
        await lab.connect(80, local_port=port, config=config)
    except TcpError as error:
        return f"{error.strerror}"
    return ""
