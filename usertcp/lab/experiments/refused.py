"""Nobody listens there: the peer's kernel answers our SYN with a RST.

What it showed: a host that has no use for a segment says so at once, and the caller need not wait for an answer that
will never come. A firewall that drops the SYN instead leaves the caller to its retransmissions: see syn-loss.

How to read it: one SYN, one RST, which acknowledges the SYN: that makes it credible. RFC 9293, 3.5.2 (group 1) and
3.10.7.3, second check.
"""

from usertcp.errors import ConnectionRefused
from usertcp.lab import Lab
from usertcp.tcp.segment import RST


async def run(lab: Lab) -> None:
    try:
        await lab.connect(81)
        refused = False
    except ConnectionRefused:
        refused = True

    (flow,) = lab.flows()
    (syn,), (rst,) = lab.sent(flow), lab.received(flow, RST)
    lab.check("connecting raised ConnectionRefused", refused)
    lab.check("the RST acknowledges our SYN", rst.seg.ack == (syn.seg.seq + 1) % 2**32)
    lab.check_states(flow, ours="CLOSED SYN-SENT CLOSED")
