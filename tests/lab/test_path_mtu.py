"""Path MTUs, against a real peer's kernel."""

import trio
from pyroute2 import IPRoute

from tests.lab.conftest import Child
from usertcp.lab import cable, enter, open_lab
from usertcp.lab.peer import Peer, pattern


async def transfer(peer: Peer, mtu: int) -> None:
    """Our own interface becomes narrower in the middle of a connection: raw sockets refuse what is too large for it."""
    async with open_lab(peer) as lab:
        listener = peer.listen(80)
        stream = await lab.connect(80)
        server = await peer.accept(listener)
        await stream.send_all(b"before")
        assert await server.receive_some() == b"before"
        with IPRoute() as ipr:
            ipr.link("set", index=ipr.link_lookup(ifname=cable.OURS.interface)[0], mtu=mtu)
        data, read = pattern(100_000), b""
        lab.start(stream.send_all, data)
        with trio.fail_after(20):
            while len(read) < len(data):
                read += await server.receive_some()
        assert read == data
        assert stream.status().path_mtu == mtu
        assert stream.status().counters["retransmission timeouts"] == 1
        assert lab.link.counters()["larger_than_mtu"] > 0


def test_when_our_own_interface_becomes_narrow_a_connection_goes_on(child: Child) -> None:
    child(lambda: trio.run(transfer, enter(), 1000))
