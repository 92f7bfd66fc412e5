"""What a script may say, and what is noted while it is played.

A script is a list of events, one a line: calls of the user's, segments and ICMP errors from the peer, time that
passes. What the host under test makes of each is not prescribed but noted: what the call returned, the segments that
went out, the state afterwards.

    set nodelay=1 rcvbuf=10000      socket options, before or during the connection
    listen | accept | connect       as the calls of these names; none of them waits
    fast-connect 100                connect and write with Fast Open: with a cookie, the text goes with the SYN
    write 100 | urgent 1            so many octets are given to the host
    read 100                        at most so many are taken
    shutdown | close | abort        end of sending; end of everything; the same by a RST
    < SYN,ACK seq=0 ack=1 mss=1000  a segment from the peer
    icmp 3 4 seq=1 mtu=600          an ICMP error about the segment with this SEQ
    wait 0.3                        seconds

Numbers are relative to the initial ones of each side, so that SYN is 0 and the first octet 1. A segment may further
have len (octets of text), win (as in the header; 30000 if nothing is said), up, mss, ws, sackOK, sack=101:201,301:401,
ts=VAL or ts=VAL/ECR (ECR is else the last value that the host sent), cookie (of Fast Open, hexadecimal; nothing to ask
for one, "given" for that of the host), opt (octets in hexadecimal), tos, and badsum. With settle it takes so many
seconds until what has come of it is noted, and so what has come of a delayed acknowledgment.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from usertcp.tcp.segment import FLAG_NAMES

FLAGS = {name: bit for bit, name in FLAG_NAMES.items()}


@dataclass(frozen=True)
class Step:
    """One event."""

    text: str
    verb: str
    argument: str
    """What stands behind the verb: a number, or the control bits of a segment."""
    options: dict[str, str]

    @property
    def octets(self) -> int:
        return int(self.argument)

    @property
    def flags(self) -> int:
        return sum(FLAGS[name] for name in self.argument.split(",") if name != "-")


@dataclass(frozen=True)
class Script:
    """A script, and the kernel parameters that it wants."""

    name: str
    steps: tuple[Step, ...]
    sysctls: tuple[tuple[str, str], ...] = ()


class Observation(NamedTuple):
    """What came of one event."""

    result: str
    """What the call returned: a number of octets, "end" for the end of the stream, or the name of an errno."""
    sent: tuple[str, ...]
    state: str

    def __str__(self) -> str:
        return " | ".join(filter(None, [self.result, *self.sent, self.state]))


Transcript = list[Observation]


def script(name: str, text: str) -> Script:
    """Read a script. Lines `sysctl net.ipv4.tcp_ecn=1` are for the kernel as a whole."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    sysctls = [line.removeprefix("sysctl ").split("=") for line in lines if line.startswith("sysctl ")]
    steps = tuple(step(line) for line in lines if not line.startswith("sysctl "))
    return Script(name, steps, tuple((name, value) for name, value in sysctls))


def step(line: str) -> Step:
    verb, *words = line.split()
    plain = [word for word in words if "=" not in word and word not in ("sackOK", "badsum")]
    options = dict(_pairs(word for word in words if word not in plain))
    return Step(line, verb, " ".join(plain), options)


def _pairs(words: Iterator[str]) -> Iterator[tuple[str, str]]:
    for word in words:
        name, _, value = word.partition("=")
        yield name, value
