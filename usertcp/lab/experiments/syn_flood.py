"""SYNs rain from addresses that nobody has: SYN cookies let clients through all the same.

What it showed: each forged SYN takes up a half-open connection, and our SYN,ACK goes to somebody who is not there. Once
there is no room left, the port without cookies is shut to everybody, until the half-open connections are given up after
a minute. The port with cookies answers on, and keeps nothing: the number of its SYN,ACK is made of the addresses, the
time and a secret. Whoever returns it has seen it, so that it was no forgery, and the connection is made of the ACK.
Window scale and SACK come back in the timestamp that it echoes.

How to read it: of the flood only the SYNs from port 1 are drawn, to either of our ports. At the first one the kernel's
clients get through by three segments as ever; but there is no state of ours beside the first two, for we had none
before the third brought the cookie back. At the second one a client repeats its SYN in vain. RFC 4987, 2 and 3.6.
"""

from collections.abc import Iterator
from dataclasses import replace

import trio
from scapy.layers.inet import IP, TCP
from scapy.packet import Packet

from usertcp.lab import Lab, cable
from usertcp.runtime.listener import TcpListener
from usertcp.tcp.status import Status

WITH, WITHOUT = 8080, 8081
HALF_OPEN = 8
"""How many half-open connections each port holds."""
FORGED = 60
"""SYNs to each port ..."""
SECONDS = 3.0
"""... in so long."""
CLIENTS = 3
PATIENCE = 1.5
"""Seconds that a client waits. Its kernel has sent a second SYN by then."""
DROPPED = "ignored: too many half-open connections"
ELSEWHERE = "198.51.100.0/24"
"""A network behind the peer, in which nobody is (RFC 5737)."""


async def run(lab: Lab) -> None:
    config = replace(lab.config, half_open_limit=HALF_OPEN)
    with_cookies = await lab.stack.open_tcp_listener(WITH, config=config)
    without = await lab.stack.open_tcp_listener(WITHOUT, config=replace(config, syn_cookies=False))
    cable.route(ELSEWHERE)
    lab.draw_only(lambda flow: flow.remote == lab.peer.address or flow.remote_port <= 1)

    lab.start(rain, lab)
    await lab.until(lambda: with_cookies.status().half_open == without.status().half_open == HALF_OPEN)
    served = [await call(lab, with_cookies) for _ in range(CLIENTS)]
    turned_away = await call(lab, without)
    await lab.until(lambda: with_cookies.status().counters["SYN cookies sent"] >= FORGED - HALF_OPEN + CLIENTS)
    await lab.until(lambda: without.status().counters[DROPPED] >= FORGED - HALF_OPEN + 2)

    flooded, shut = with_cookies.status(), without.status()
    lab.check(f"both ports held {HALF_OPEN} half-open connections", flooded.half_open == shut.half_open == HALF_OPEN)
    lab.check(f"with cookies, {CLIENTS} of {CLIENTS} clients got through", all(served))
    lab.check("each by returning a cookie", flooded.counters["SYN cookies returned"] == CLIENTS)
    lab.check("with window scale and SACK", all(s and s.sack_permitted and s.snd_scale for s in served))
    lab.check("no forged SYN became a connection", flooded.waiting == shut.waiting == 0)
    lab.check("without cookies, a client did not get through", turned_away is None)
    lab.check("for its SYNs were dropped as the forged ones were", shut.counters[DROPPED] >= FORGED - HALF_OPEN + 2)


async def rain(lab: Lab) -> None:
    """SYNs from inside the lab, so many and no more."""
    for packet in forged():
        lab.peer.forge(bytes(packet))
        await trio.sleep(SECONDS / FORGED / 2)


def forged() -> Iterator[Packet]:
    for number in range(1, FORGED + 1):
        for port in WITH, WITHOUT:
            syn = TCP(sport=number, dport=port, flags="S", seq=number << 20, options=[("MSS", 1460)])
            yield IP(src=f"198.51.100.{number}", dst=cable.OURS.address) / syn


async def call(lab: Lab, listener: TcpListener) -> Status | None:
    """Have a client of the peer's kernel exchange a line. Returns our end's status; None if it did not get through."""
    with trio.move_on_after(PATIENCE):
        client = await lab.peer.connect(listener.port)
        async with client, await listener.accept() as stream:
            await client.send_all(b"hello")
            await stream.send_all(await stream.receive_some())
            if await client.receive_some() == b"hello":
                return stream.status()
    return None
