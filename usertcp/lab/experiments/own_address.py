"""An address that no interface has: our own kernel has no part in it.

What it showed: the peer asked who had the address, and we told it, by a hardware address that is not the interface's
either. What it sent there our kernel took for another host's, though it came in by the same cable. So it had nothing to
reset, with no guard to keep it quiet and no port reserved, whether we called or the peer did.

How to read it: as two connections of ordinary hosts, over IPv4 and over IPv6; our addresses are not those of the other
experiments. ARP and Neighbour Discovery are below what the ladder shows: see `usertcp.link.resolution`. RFC 826; RFC
4861, 7.2. What a kernel does that does get such segments, the experiment "no-suppression" shows.
"""

from usertcp.lab import Lab, cable
from usertcp.lab.experiments.no_suppression import kernel_resets
from usertcp.lab.peer import echo
from usertcp.link.ethernet import EthernetLink

OURS, OURS6 = "192.0.2.9", "2001:db8::9"


async def run(lab: Lab) -> None:
    link = EthernetLink(cable.OURS.interface, f"{OURS}/24", f"{OURS6}/64")
    async with lab.open_stack(link) as stack:
        await lab.serve(echo, 7)
        stream = await stack.open_tcp_stream(lab.peer.address, 7)
        await stream.send_all(b"hello")
        lab.check("we called the peer, and it answered", await stream.receive_some() == b"hello")
        await stream.aclose()
        await lab.peer.reaches(stream.flow, "CLOSED")

        listener = await stack.open_tcp_listener(8080)
        client = await lab.peer.connect(8080, host=OURS6)
        stream = await listener.accept()
        await client.send_all(b"hello")
        lab.check("the peer called us, and we heard it", await stream.receive_some() == b"hello")
        await stream.aclose()
        await client.aclose()
        await lab.peer.reaches(stream.flow, "CLOSED")
    ours = link.hardware_address.hex(":")
    lab.check("the peer knows our hardware address, which is not the interface's", lab.peer.neighbour(OURS) == ours)
    lab.check("our kernel has sent no RST", kernel_resets() == 0)
