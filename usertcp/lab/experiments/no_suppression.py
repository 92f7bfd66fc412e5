"""Nothing keeps our own kernel quiet: it resets our connection.

What it showed: the peer's SYN-ACK came to this machine, where our kernel has no connection at that port, so it answered
with a RST, as it must. The peer believed it, and the connection was over before our ACK was there. With the RST kept in
(as everywhere else in this lab), the same call succeeds.

How to read it: in the first picture the peer answers our ACK with a RST: to it there is no such connection any more.
The RST of our own kernel is not in the picture: it did not pass through us. RFC 9293, 3.10.7.1; in this package
`usertcp.link.rst_guard` and `scripts/rst-guard`.
"""

from pathlib import Path

import trio

from usertcp.errors import ConnectionReset
from usertcp.lab import Lab
from usertcp.lab.peer import echo


def kernel_resets() -> int:
    """RSTs that the kernel of our side has sent."""
    names, values = (
        line.split() for line in Path("/proc/net/snmp").read_text().splitlines() if line.startswith("Tcp:")
    )
    return int(values[names.index("OutRsts")])


async def run(lab: Lab) -> None:
    await lab.serve(echo, 7)

    lab.link.quiet_kernel = False
    outcome: BaseException | None = None
    try:
        stream = await lab.connect(7)
        await stream.receive_some()
    except ConnectionReset as error:  # The RST was here before anybody could use the connection,
        outcome = error
    except trio.BrokenResourceError as error:  # or after.
        outcome = error.__cause__
    lab.check("our kernel sent a RST", kernel_resets() == 1)
    lab.check("and the connection was reset", isinstance(outcome, ConnectionReset))

    lab.link.quiet_kernel = True
    stream = await lab.connect(7)
    await stream.send_all(b"hello")
    lab.check("with our kernel kept quiet, the same call succeeded", await stream.receive_some() == b"hello")
