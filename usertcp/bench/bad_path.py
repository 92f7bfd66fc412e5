"""Goodput over a path that loses and reorders, each way: ours to a kernel, beside a kernel's to the same kernel.

Usage: python -m usertcp.bench.bad_path [OCTETS]

Exit status: 1 if ours is below `MUST`, or if it could not be measured.
"""

from __future__ import annotations

import hashlib
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random
from typing import NamedTuple

import trio
from trio.abc import ReceiveStream, SendStream

from usertcp.errors import SetupError
from usertcp.lab import Peer, enter
from usertcp.lab.middle_box import OURS, PEER, middle_box
from usertcp.link.impair import ImpairedLink
from usertcp.link.path import Path
from usertcp.link.raw import RawLink
from usertcp.runtime.opening import open_stack
from usertcp.tcp.config import Config
from usertcp.wire.fast import FastCodec

PATH = Path(loss=0.01, reordering=0.02, delay=0.02)
"""Each way: a round trip of 40 ms."""
OCTETS = 50_000_000
MUST = 0.8
"""Of what the kernel reaches."""
CONFIG = Config(rto_min=0.2)
"""As in the kernel."""
BLOCK = Random(1).randbytes(1 << 20)
SHIFT = 65521
"""By so many octets each block of the text differs from the one before, so that none may stand in another's place."""
PORT = 5001


class Goodput(NamedTuple):
    """Octets per second each way, of one endpoint against the kernel at the other end."""

    sent: float
    received: float


class Comparison(NamedTuple):
    """The same text over paths impaired alike."""

    usertcp: Goodput
    kernel: Goodput

    @property
    def ratios(self) -> Goodput:
        """Ours by the kernel's."""
        ours, theirs = self.usertcp, self.kernel
        return Goodput(ours.sent / theirs.sent, ours.received / theirs.received)


class WrongOctets(Exception):
    """Something else came out than was put in."""


async def compare(peer: Peer, octets: int = OCTETS, path: Path = PATH, config: Config = CONFIG) -> Comparison:
    """Send *octets* each way, at the same time: first between us and the peer's kernel, then between our own kernel and
    the peer's. Both kernels use CUBIC.

    Args:
      peer: of `usertcp.lab.enter`.
      path: what happens each way, with this seed and the next.

    Raises:
      WrongOctets: not everything arrived intact.
      SetupError: this system gives us no TUN devices.
    """
    return Comparison(await of_usertcp(peer, octets, path, config), await of_kernel(peer, octets, path))


async def of_usertcp(peer: Peer, octets: int, path: Path, config: Config) -> Goodput:
    link = ImpairedLink(RawLink(), replace(path))
    async with listening(peer, peer.address) as listener, open_stack(link, config, codec=FastCodec()) as stack:
        up, up_end = await stack.open_tcp_stream(peer.address, PORT), await listener.accept()
        down, down_end = await stack.open_tcp_stream(peer.address, PORT), await listener.accept()
        return await both_ways(up, up_end, down_end, down, octets)


async def of_kernel(peer: Peer, octets: int, path: Path) -> Goodput:
    with middle_box(peer.namespace, replace(path), path.another()):
        async with listening(peer, PEER) as listener:
            up, up_end = await kernel_stream(), await listener.accept()
            down, down_end = await kernel_stream(), await listener.accept()
            return await both_ways(up, up_end, down_end, down, octets)


async def both_ways(
    up: SendStream, up_end: ReceiveStream, down_end: SendStream, down: ReceiveStream, octets: int
) -> Goodput:
    """Use two connections of ours at the same time: one to send, the other to receive."""
    seconds: dict[str, float] = {}

    async def measure(name: str, sender: SendStream, receiver: ReceiveStream) -> None:
        seconds[name] = await transfer(sender, receiver, octets)

    async with up, up_end, down_end, down, trio.open_nursery() as nursery:
        nursery.start_soon(measure, "sent", up, up_end)
        nursery.start_soon(measure, "received", down_end, down)
    return Goodput(octets / seconds["sent"], octets / seconds["received"])


async def transfer(sender: SendStream, receiver: ReceiveStream, octets: int) -> float:
    """Send so many, and see what comes out. Returns how many seconds it took until the last one was there."""
    sent, received = hashlib.sha256(), hashlib.sha256()

    async def send() -> None:
        for block in text(octets):
            sent.update(block)
            await sender.send_all(block)

    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        count = 0
        while count < octets:
            data = await receiver.receive_some()
            if not data:
                break
            received.update(data)
            count += len(data)
    if count != octets or sent.digest() != received.digest():
        raise WrongOctets(f"of {octets} octets {count} arrived, and not all as they were sent")
    return trio.current_time() - began


def text(octets: int) -> Iterator[bytes]:
    for n in range(0, octets, len(BLOCK)):
        at = n // len(BLOCK) * SHIFT % len(BLOCK)
        yield (BLOCK[at:] + BLOCK[:at])[: octets - n]


@asynccontextmanager
async def listening(peer: Peer, address: str) -> AsyncIterator[trio.SocketListener]:
    """The peer's kernel listens there; the connections that it accepts use CUBIC."""
    listener = peer.listen(PORT, host=address)
    listener.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
    async with listener:
        yield listener


async def kernel_stream() -> trio.SocketStream:
    """A connection of our own kernel's."""
    sock = trio.socket.socket()
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
    await sock.bind((OURS, 0))
    await sock.connect((PEER, PORT))
    return trio.SocketStream(sock)


def show(found: Comparison) -> Iterator[str]:
    """A line each way."""
    for way, ours, theirs, ratio in zip(Goodput._fields, found.usertcp, found.kernel, found.ratios, strict=True):
        verdict = "reached" if ratio >= MUST else "below"
        yield (
            f"{way:8}  usertcp {ours * 8e-6:.3f} Mbit/s, kernel {theirs * 8e-6:.3f} Mbit/s, "
            f"ratio {ratio:.2f}, must {MUST:g}: {verdict}"
        )


if __name__ == "__main__":
    try:
        result = trio.run(compare, enter(), int(sys.argv[1]) if sys.argv[1:] else OCTETS)
    except SetupError as error:
        sys.exit(str(error))
    print(*show(result), sep="\n")
    sys.exit(min(result.ratios) < MUST)
