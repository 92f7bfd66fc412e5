"""Two hosts and a cable, kept as long as this process's standard input is open: what tests of the command run in.

Prints the descriptor that names the peer's namespace once its kernel serves. Ports: see `SERVICES`; 192.0.2.99 is a
black hole: there is a neighbour of that address, and it never answers.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import trio
from pyroute2 import IPRoute

from usertcp.lab import cable
from usertcp.lab.experiment import enter
from usertcp.lab.peer import Handler, Peer, discard, echo, http

BANNER = b"SSH-2.0-like\r\n"
BLACK_HOLE = "192.0.2.99"
LINK_LOCAL, LINK_LOCAL_PEER, LINK_LOCAL_PORT = "fe80::1", "fe80::2", 1007
MD5_KEY = b"shared on port 179"


async def banner(stream: trio.SocketStream) -> None:
    """Speaks first, and closes when the other side has."""
    async with stream:
        await stream.send_all(BANNER)
        await discard(stream)


async def stubborn(stream: trio.SocketStream) -> None:
    """Never closes."""
    await trio.sleep_forever()


async def rude(stream: trio.SocketStream) -> None:
    """Is reset as soon as anything comes, since it closes nothing."""
    await stream.receive_some()


SERVICES: dict[int, Handler] = {7: echo, 9: discard, 22: banner, 23: stubborn, 24: rude, 80: http}


def name_the_link(peer: Peer) -> None:
    """Give both ends of the cable a link-local address, and what serves at the peer's."""
    ends = (peer.namespace.inside, cable.PEER, LINK_LOCAL_PEER), (nullcontext, cable.OURS, LINK_LOCAL)
    for inside, end, address in ends:
        with inside(), IPRoute() as ipr:
            (index,) = ipr.link_lookup(ifname=end.interface)
            ipr.addr("add", index=index, address=address, prefixlen=64, flags=cable.IFA_F_NODAD)


def dig_black_hole() -> None:
    with IPRoute() as ipr:
        (index,) = ipr.link_lookup(ifname=cable.OURS.interface)
        ipr.neigh("add", ifindex=index, dst=BLACK_HOLE, lladdr="02:00:00:00:00:99", state=cable.NUD_PERMANENT)


async def serve(peer: Peer, hosts: list[str]) -> None:
    async with trio.open_nursery() as nursery:
        for port, handler in SERVICES.items():
            for host in hosts:
                await nursery.start(partial(peer.serve, handler, port, host=host))
        if len(hosts) > 1:
            await nursery.start(partial(peer.serve, echo, LINK_LOCAL_PORT, host="::"))
        await nursery.start(partial(peer.serve, echo, 179, md5_key=MD5_KEY))
        print(peer.namespace.fileno(), flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    peer = enter()
    dig_black_hole()
    ipv6 = Path("/proc/sys/net/ipv6").exists()
    if ipv6:
        name_the_link(peer)
    trio.run(serve, peer, [peer.address, peer.address6] if ipv6 else [peer.address])
