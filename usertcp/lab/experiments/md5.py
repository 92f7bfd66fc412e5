"""Both ends share a key: what is not signed with it is not heard, not even a RST with the right number.

What it showed: with TCP_MD5SIG set on the kernel's sockets, both ends put a digest of each segment and the key into it.
So the kernel did not believe a RST that somebody had made up, though its number was right. A SYN signed with another
key, or with none, the kernel left without an answer, as if nobody were there; we did the same with its SYN.

How to read it: "md5" is a signature. Whether it is the right one can't be seen in the ladder, only that nothing answers
to a wrong one. The first connection is ours, the second the kernel's. Then each fails to call the other. The kernel
counts what it drops as TCPMD5Failure (a wrong digest) and TCPMD5NotFound (none). RFC 2385, 2 and 3.
"""

from contextlib import suppress
from dataclasses import replace

import trio
from scapy.layers.inet import TCP

from usertcp import ConnectionTimedOut, Md5Key
from usertcp.lab import Lab
from usertcp.lab.peer import Peer
from usertcp.tcp.segment import RST

KEY, ANOTHER = b"what two routers share", b"what one of them has mistyped"
NO_SIGNATURE = "discarded: no MD5 signature, though we have a key for this peer"


async def run(lab: Lab) -> None:
    keyed = replace(lab.config, md5_keys=(Md5Key(lab.peer.address, KEY),))
    listener = lab.peer.listen(179, md5_key=KEY)
    stream = await lab.connect(179, config=keyed)
    server = await lab.peer.accept(listener)
    await stream.send_all(b"ours is signed")
    lab.check("the kernel's program read what we had signed", await server.receive_some() == b"ours is signed")

    forged = next(packet for packet in reversed(lab.packets("out")) if packet[TCP].payload)
    forged[TCP].seq += len(forged[TCP].payload)
    forged[TCP].flags, forged[TCP].options, forged[TCP].dataofs = "R", [], None
    forged[TCP].remove_payload()
    del forged.len, forged.chksum, forged[TCP].chksum
    lab.link.inject(forged, "out")
    await lab.until(lambda: lab.peer.counter("TcpExtTCPMD5NotFound"))
    await server.send_all(b"so is the kernel's")
    lab.check(
        "a made-up RST with the right number did it no harm", await stream.receive_some() == b"so is the kernel's"
    )
    segments = lab.sent(stream.flow) + lab.received(stream.flow)
    lab.check("each segment was signed, both ways", all(record.seg.options.signature for record in segments))
    await stream.send_eof()
    await server.aclose()
    await stream.receive_some()
    await lab.until(lambda: str(stream.state) == "TIME-WAIT")

    ours = await lab.listen(179, config=keyed)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(call_and_greet, lab.peer)
        caller = await ours.accept()
        lab.check("the kernel called us, signed, and was heard", await caller.receive_some() == b"hello")
        caller.abort()
    lab.check("our RST was signed too", all(record.seg.options.signature for record in lab.sent(caller.flow, RST)))

    for what, keys, counted in (
        ("another key", (Md5Key(lab.peer.address, ANOTHER),), "TcpExtTCPMD5Failure"),
        ("no key", (), "TcpExtTCPMD5NotFound"),
    ):
        before = lab.peer.counter(counted)
        with suppress(ConnectionTimedOut):
            await lab.connect(179, config=replace(lab.config, md5_keys=keys, user_timeout=0.5))
        lab.check(f"with {what} our SYN got no answer", not lab.received(lab.flows()[-1]))
        lab.check(f"and the kernel counted it: {counted}", lab.peer.counter(counted) > before)
    with trio.move_on_after(0.5):
        await lab.peer.connect(179)
    lab.check("a kernel without the key calls us in vain", not lab.sent(lab.flows()[-1]))
    lab.check("and we counted that", lab.stack.counters().get(NO_SIGNATURE, 0) >= 1)


async def call_and_greet(peer: Peer) -> None:
    stream = await peer.connect(179, md5_key=KEY)
    await stream.send_all(b"hello")
