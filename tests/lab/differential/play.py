"""Plays a script to a host: what every host must be able to do, and what is noted."""

from __future__ import annotations

import errno
from typing import Protocol

from tests.lab.differential.peer import Peer
from tests.lab.differential.script import Observation, Script, Step, Transcript

SETTLE = 0.015
"""Seconds that pass after each event. A kernel answers at once, unless the machine is busy."""


class Host(Protocol):
    """A host under test, for one connection."""

    peer: Peer

    def call(self, step: Step) -> str:
        """What the user does. Returns "" or what is worth noting.

        Raises:
          OSError: the call failed.
        """
        ...

    def arrives(self, packet: bytes) -> None:
        """A packet from the peer."""
        ...

    async def wait(self, seconds: float) -> None:
        """Time passes."""
        ...

    def sent(self) -> list[bytes]:
        """The packets that went out since the last time this was asked."""
        ...

    @property
    def state(self) -> str:
        """As the RFC spells it."""
        ...


async def play(script: Script, host: Host) -> Transcript:
    """One observation for each step."""
    transcript = []
    for step in script.steps:
        result = ""
        match step.verb:
            case "<":
                host.arrives(host.peer.segment(step))
            case "icmp":
                host.arrives(host.peer.icmp(step))
            case "wait":
                await host.wait(float(step.argument))
            case _:
                try:
                    result = host.call(step)
                except OSError as error:
                    result = errno.errorcode[error.errno or 0]
        await host.wait(float(step.options.get("settle", SETTLE)))
        sent = [host.peer.read(packet) for packet in host.sent()]
        transcript.append(Observation(result, unpushed(sent), host.state))
    return transcript


def unpushed(sent: list[str]) -> tuple[str, ...]:
    """Leave PSH out where more text follows at once: a kernel sets it as well where one of its super-segments ends."""
    following = [*sent[1:], ""]
    return tuple(
        one.replace("PSH,", "") if " len=" in after else one for one, after in zip(sent, following, strict=False)
    )
