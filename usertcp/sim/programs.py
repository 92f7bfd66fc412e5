"""What runs on the connections of a simulation. Every octet is compared with what was sent."""

from __future__ import annotations

from math import inf
from random import Random

import trio

from usertcp.runtime.stream import TcpStream

PERIOD = 65521
"""Octets after which a text repeats itself. A prime, so that nothing shifted by a round number looks right."""
PIECES = (1, 100, 1460, 5000, 40_000)


class WrongOctets(Exception):
    """Something came out that nobody had put in."""


class Text:
    """Octets without end that a seed decides."""

    def __init__(self, seed: int) -> None:
        self._octets = Random(seed).randbytes(PERIOD) * 2

    def at(self, position: int, size: int) -> bytes:
        """*size* octets from *position*, at most PERIOD."""
        start = position % PERIOD
        return self._octets[start : start + size]


class Reader:
    """Counts what has arrived."""

    def __init__(self) -> None:
        self.octets = 0
        self.last = -inf
        """When the last of them was read."""

    async def read(self, stream: TcpStream, text: Text, random: Random | None = None) -> None:
        """To the end of the stream. With *random* in pieces of all sizes, now fast, now slowly.

        Raises:
          WrongOctets: it is not what *text* begins with.
          trio.BrokenResourceError: the connection ended in an error.
        """
        while data := await stream.receive_some(random.choice(PIECES) if random else PERIOD):
            if data != text.at(self.octets, len(data)):
                raise WrongOctets(f"not what was sent, in the {len(data)} octets after the first {self.octets}")
            self.octets += len(data)
            self.last = trio.current_time()
            if random and random.random() < 0.02:
                await trio.sleep(random.random())


async def write(stream: TcpStream, text: Text, octets: float, random: Random | None = None) -> None:
    """Send the first *octets* of *text*. With *random* in pieces of all sizes, with pauses."""
    position = 0
    while position < octets:
        data = text.at(position, int(min(random.choice(PIECES) if random else PERIOD, octets - position)))
        await stream.send_all(data)
        position += len(data)
        if random and random.random() < 0.2:
            await trio.sleep(random.random())
