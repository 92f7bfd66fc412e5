"""Links move whole IP packets. `Link` is all that a stack needs of one, and anybody can write one."""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, NoReturn

Direction = Literal["out", "in"]
"""Which way a packet goes, seen from the stack."""

Buffer = bytes | bytearray | memoryview
"""Octets that are looked at where they are."""

Deed = Literal["dropped", "delayed", "duplicated", "corrupted", "marked", "edited", "injected"]
"""What a path or a person does to a packet on its way."""

Watcher = Callable[[bytes, Direction, Deed, str], None]
"""Told of deeds: packet, direction, deed, and a detail: why, how long, what was changed. The packet is what the stack
sent or is about to get; if it gets none, or a corrupted or marked one, what the far end sent."""


class Link(ABC):
    """Moves whole IP packets (IPv4 or IPv6, from the first octet of the IP header) between a stack and its network.

    To write one: `send`, `receive` and `source_address`. The rest has defaults.
    """

    mtu: int = 1500
    """The largest IP packet that `send` takes, octets. If that varies from packet to packet, the least of it (RFC 9293,
    3.7.3)."""

    receive_queue: int = 1 << 30
    """Octets that may wait for `receive`; beyond that packets are lost. A stack offers no larger window. The default is
    as large as windows can be."""

    unfinished_checksums: bool = False
    """Packets may arrive with a TCP checksum that the sending kernel left to an interface to finish (it covers the
    pseudo-header only): true of links that read beside a kernel."""

    offloads: bool = False
    """`send_unfinished` finishes checksums and cuts super-segments. `receive` is for who wants to see each segment, and
    returns packets as on a wire."""

    beside_kernel: bool = False
    """A kernel answers at the same addresses. The stack then speaks for the ports it has claimed only, and leaves every
    other segment to that kernel."""

    @abstractmethod
    def send(self, packet: bytes) -> None:
        """Transmit one packet, now, without blocking.

        As on a real interface, a packet that does not go out (full queue, no route for the moment, larger than the
        MTU) is dropped and counted, never raised: TCP repairs it.

        Raises:
          SetupError: the machine forbids sending at all; the message says what to do.
        """

    @abstractmethod
    async def receive(self) -> Sequence[bytes]:
        """Wait for packets and return those at hand: at least one, in the order of arrival.

        Only one task calls it at a time. Cancelling it loses no packet. It may return packets that are not for us
        (other protocols, other hosts' traffic): the stack sorts them out.

        Raises:
          trio.ClosedResourceError: the link was closed.
        """

    async def deliver(self, take: Callable[[Sequence[Buffer]], None]) -> NoReturn:
        """Hand packets to *take* as they arrive, for ever, in one call those that one `receive` would return. The
        default does it by `receive`. A link may use the buffers again once *take* has returned. If it `offloads`, what
        `receive` would cut and finish comes as it is.

        Raises: what `receive` and *take* raise.
        """
        while True:
            take(await self.receive())

    attends: bool = False
    """`attend` works."""

    async def attend(self) -> Sequence[Buffer]:
        """Wait for packets in a task that waits for something itself, and would only have to be woken by the one in
        `deliver`, which gets none from now on until `leave`. Returns those at hand, as `deliver` hands them over; none
        after `dismiss`.

        Raises:
          trio.ClosedResourceError: the link was closed.
        """
        raise NotImplementedError

    def at_hand(self) -> Sequence[Buffer]:
        """The same without waiting, after an `attend`: packets at hand, if any."""
        raise NotImplementedError

    def dismiss(self) -> None:
        """Have `attend` return."""
        return

    def leave(self) -> None:
        """Nobody attends any more: `deliver` gets what comes."""
        return

    def send_unfinished(self, packets: Sequence[tuple[bytes, Buffer]], segment_size: int) -> bool:
        """`send` for packets whose checksums are left to the link: as yet they cover the pseudo-header only.

        Args:
          packets: of one connection, of 65,535 octets at most each, in two parts: the headers of IP and TCP, equally
            long in all, and the text, whose octets are good until the call returns.
          segment_size: where a text is longer, the link cuts it into segments of so many octets, with one header each;
            0: each is one segment.

        Returns:
          False if it cannot be done now, and nothing was: the caller then finishes and cuts them. So does the default.
        """
        return False

    @abstractmethod
    def source_address(self, remote: str) -> str:
        """The local address that packets to *remote* come from (RFC 9293, 3.9.1.1, MUST-44).

        Addresses are text in canonical form, of either family. A link-local *remote* comes with its interface, as in
        "fe80::1%eth0".

        Raises:
          HostUnreachable: there is no route to *remote*.
        """

    def mtu_to(self, remote: str) -> int:
        """The largest IP packet that `send` takes towards *remote*, octets. The default: `mtu`, whoever it is.

        Raises:
          HostUnreachable: there is no route to *remote*.
        """
        return self.mtu

    def is_local(self, address: str) -> bool:
        """Is *address* one of ours: may a packet sent to it be for this stack? The default: whatever `send` may come
        from."""
        try:
            return self.source_address(address) == address
        except OSError:
            return False

    def advise(self, remote: str) -> None:
        """Nothing has come from *remote* for a while, however often it was asked: the next hop may be dead (RFC 9293,
        3.8.3; RFC 1122, 3.3.1.4). A link that knows another route may take it. The default does nothing."""
        return

    def claim(self, local: str, port: int, remote: str = "") -> AbstractContextManager[None]:
        """Keep the host away from a local port while the context lasts: nobody else binds it, no kernel answers for it.

        Entered once for each local port of a listener or of an active OPEN. *local* is "" for every address, *remote*
        is "" for every peer. The default, for a link with no kernel beside it, does nothing.

        Raises:
          PortInUse: somebody has the port.
          SetupError: the kernel cannot be kept away; the message says what to run.
        """
        return nullcontext()

    def claim_block(self, first: int, most: int) -> AbstractContextManager[range] | None:
        """`claim` the port *first* and up to *most* - 1 of those after it at once, for every address and every peer:
        for who opens so many connections, one after another, that what a claim costs matters.

        Entered, it gives the ports: as many as there are before one that somebody else has.

        Returns:
          None, which is the default, if the link gains nothing by it.

        Raises: what `claim` raises, of the first port.
        """
        return None

    def close(self) -> None:
        """Give back what the link holds. Idempotent. A `receive` under way raises `trio.ClosedResourceError`."""
        return

    def watch(self, watcher: Watcher) -> None:
        """Have *watcher* told of everything that is done to packets on their way. A plain link does nothing to them."""
        return

    def counters(self) -> dict[str, int]:
        """What the link sent, received and dropped since it was made: name to count."""
        return {}


def canonical(address: str) -> str:
    """An address of either family as `socket.inet_ntop` writes it.

    Raises:
      ValueError: it is none.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.inet_ntop(family, socket.inet_pton(family, address))
    except (OSError, ValueError):
        raise ValueError(f"not an IP address: {address!r}") from None
