"""The same over IPv6: to TCP nothing is different but the addresses.

What it showed: handshake, data and teardown went as over IPv4. What changed is below TCP: longer addresses in the
pseudo-header that the checksum covers, a header larger by 20 octets, and so a smaller MSS.

How to read it: mss=1440 in the SYNs, where IPv4 has 1460. RFC 9293, 3.1 (checksum) and 3.7.1; RFC 8200, 8.1.
"""

from usertcp.lab import Lab
from usertcp.lab.peer import echo
from usertcp.tcp.segment import SYN


async def run(lab: Lab) -> None:
    await lab.serve(echo, 7, host=lab.peer.address6)
    stream = await lab.connect(7, host=lab.peer.address6)
    await stream.send_all(b"hello")
    answer = await stream.receive_some()
    await stream.send_eof()
    await stream.receive_some()
    await stream.wait_closed()

    (ours,), (theirs,) = lab.sent(stream.flow, SYN), lab.received(stream.flow, SYN)
    lab.check("the kernel's echo service sent back what we sent", answer == b"hello")
    lab.check("both announced what fits into 1500 octets", ours.seg.options.mss == theirs.seg.options.mss == 1440)
    lab.check_states(
        stream.flow,
        ours="CLOSED SYN-SENT ESTABLISHED FIN-WAIT-1 (FIN-WAIT-2) TIME-WAIT CLOSED",
        peer="LISTEN SYN-RECEIVED ESTABLISHED (CLOSE-WAIT) LAST-ACK CLOSED",
    )
