"""A link whose packets pass through a function of yours, as Scapy packets: look, drop, edit, delay, duplicate, inject.

    def lose_the_first_syn(packet, direction):
        if direction == "out" and packet[TCP].flags == "S" and not lost:
            lost.append(packet)
            return None
        return packet

    async with usertcp.open_stack(RewrittenLink(RawLink(), lose_the_first_syn)) as stack:
        ...

`RewrittenLink.inject` adds packets at any other time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeAlias

import trio
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.packet import NoPayload, Packet, Raw

from usertcp.link import Direction, Link
from usertcp.link.wrapper import Wrapper

COMPUTED = ("ihl", "len", "plen", "dataofs", "chksum", "cksum")
"""Fields that follow from the rest of a packet."""


class Delayed(NamedTuple):
    """A packet that goes on after so many seconds."""

    packet: Packet
    seconds: float


Verdict: TypeAlias = Packet | Delayed | Iterable[Packet | Delayed] | None
"""The packet, edited or not; or packets in its place; or none."""

Rewrite = Callable[[Packet, Direction], Verdict]


class RewrittenLink(Wrapper):
    """Another link, with a function between it and the stack.

    The function gets each packet and its direction, "out" or "in", and returns what goes on: the packet, edited or not;
    None to drop it; `Delayed(packet, seconds)`; or a list of packets, of its own making too. Lengths and checksums of
    an edited packet are computed anew, except those that the function itself has changed. What the function raises
    ends the stack.
    """

    def __init__(self, link: Link, rewrite: Rewrite) -> None:
        """*link* is closed with this one."""
        super().__init__(link)
        self.rewrite = rewrite

    def inject(self, packet: Packet | bytes, direction: Direction, *, delay: float = 0.0) -> None:
        """Add a packet after *delay* seconds: "out" to the network, "in" to the stack. The function never sees it."""
        octets = bytes(packet)
        self.did(octets, direction, "injected", f"after {delay:g} s" if delay else "")
        self.forward(octets, direction, trio.current_time() + delay)

    def handle(self, packet: bytes, direction: Direction, now: float) -> None:
        given = dissect(packet)
        verdicts = list(as_list(self.rewrite(given, direction)))
        passed: set[bytes] = set()
        """What has gone on in the packet's name."""
        for verdict, seconds in verdicts:
            octets = bytes(verdict)
            edited = octets != packet
            if edited:
                octets = completed(verdict, dissect(packet))
            ours = octets if direction == "in" else packet
            if octets in passed:
                self.did(ours, direction, "duplicated")
            elif edited and (passed or (verdict is not given and len(verdicts) > 1)):
                self.did(octets, direction, "injected")
            else:
                passed.add(octets)
                if edited:
                    self.did(ours, direction, "edited", changes(dissect(packet), dissect(octets)))
            if seconds:
                self.did(ours, direction, "delayed", f"{seconds:g} s")
            self.forward(octets, direction, now + seconds)
        if not passed:
            self.did(packet, direction, "dropped")


def as_list(verdict: Verdict) -> Iterator[Delayed]:
    """All kinds of verdicts as one."""
    if verdict is None:
        return
    if isinstance(verdict, Packet):  # Comes before Iterable, for Scapy's packets are that too.
        yield Delayed(verdict, 0.0)
    elif isinstance(verdict, Delayed):
        yield verdict
    else:
        for each in verdict:
            yield from as_list(each)


def dissect(packet: bytes) -> Packet:
    """Octets as a Scapy packet; what Scapy cannot read as IP, as `Raw`."""
    kind = {4: IP, 6: IPv6}.get(packet[0] >> 4 if packet else 0, Raw)
    try:
        return kind(packet)
    except Exception:  # Its readers raise what they like.
        return Raw(packet)


def completed(packet: Packet, original: Packet) -> bytes:
    """The octets of a packet that was edited: computed fields that are still those of the original are computed anew.

    In a fragment the TCP checksum stays: it covers data that is elsewhere.
    """
    packet = packet.copy()
    fragment = isinstance(packet, IP) and (packet.frag or packet.flags.MF)
    layers = [packet] if fragment else list(layers_of(packet))
    for layer in layers:
        before = original.getlayer(type(layer))
        for name in COMPUTED:
            if before is not None and name in layer.fields and layer.fields[name] == before.fields.get(name):
                layer.delfieldval(name)
    return bytes(packet)


def layers_of(packet: Packet) -> Iterator[Packet]:
    """The packet's headers, from the outermost on."""
    while not isinstance(packet, NoPayload):
        yield packet
        packet = packet.payload


def changes(before: Packet, after: Packet) -> str:
    """Which fields differ: "TCP.seq 5 -> 6, Raw.load 3 -> 4 octets"."""
    return ", ".join(
        f"{type(old).__name__}.{name} {shown(old, name)} -> {shown(new, name)}"
        for old, new in zip(layers_of(before), layers_of(after), strict=False)
        if type(old) is type(new)
        for name in old.fields
        if name not in COMPUTED and old.fields[name] != new.fields.get(name)
    )


def shown(packet: Packet, name: str) -> str:
    """The value of a field, for a line of text."""
    value = packet.fields.get(name)
    return f"{len(value)} octets" if isinstance(value, bytes) else f"{value}"
