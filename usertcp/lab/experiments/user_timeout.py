"""What we send is not acknowledged any more: how long to wait is for the user to say.

What it showed: TCP cannot tell a peer that is slow from one that is gone; it sends again, at growing intervals, until
somebody has had enough. Without a user timeout that is after a minute and a half (R2). Here the user had said one
second, and the program heard of it then; until R1 it had heard nothing, and from there on that there was trouble.

How to read it: after the cable is cut, the same text goes out again after one RTO, two, four ... The last line is the
user timeout, and a RST that nobody hears. In our SYN there is an option that tells the peer how long we wait (RFC
5482); Linux ignores it. RFC 9293, 3.8.3 and 3.10.8.
"""

from contextlib import suppress
from dataclasses import replace

import trio

from usertcp.errors import ConnectionTimedOut
from usertcp.lab import Lab
from usertcp.tcp.segment import RST, SYN
from usertcp.tcp.user_timeout import UserTimeoutOption

PATIENCE = 2.0


async def run(lab: Lab) -> None:
    config = replace(
        lab.config, user_timeout=PATIENCE, user_timeout_option=UserTimeoutOption(), rto_min=0.2, rto_initial=0.2
    )
    listener = lab.peer.listen(80)
    stream = await lab.connect(80, config=config)
    server = await lab.peer.accept(listener)
    await stream.send_all(b"are you there?")
    heard = await server.receive_some()
    await lab.until(lambda: stream.status().flight_size == 0)

    lab.rewrite(lambda packet, direction: None)
    begin = trio.current_time()
    await stream.send_all(b"are you still there?")
    await lab.until(lambda: stream.status().soft_error)
    trouble = str(stream.state) == "ESTABLISHED"
    with suppress(trio.BrokenResourceError):
        await stream.receive_some()
    waited = trio.current_time() - begin

    (syn,) = lab.sent(stream.flow, SYN)
    lab.check("before, all was well", heard == b"are you there?")
    lab.check("our SYN said how long we would wait, and the kernel did not mind", syn.seg.options.user_timeout == 2)
    lab.check("after R1 retransmissions the program heard of trouble, and the connection went on", trouble)
    lab.check("after the user timeout it was over", isinstance(stream.error, ConnectionTimedOut))
    lab.check("and not before or long after", PATIENCE <= waited < PATIENCE + 0.5)
    lab.check("a RST went out, for whoever might hear it", len(lab.sent(stream.flow, RST)) == 1)
