"""What an experiment works with: our stack at one end of the cable, the peer at the other, and all that happened."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import Any, NamedTuple

import trio
from scapy.packet import Packet
from trio.testing import wait_all_tasks_blocked

from usertcp.ip.fragments import fragment
from usertcp.lab.peer import Handler, Peer
from usertcp.link import Buffer, Direction, Link
from usertcp.link.rewrite import Rewrite, RewrittenLink, dissect
from usertcp.runtime.listener import TcpListener
from usertcp.runtime.opening import LinkName, named_link, open_stack
from usertcp.runtime.stack import Stack
from usertcp.runtime.stream import TcpStream
from usertcp.tcp.config import Config
from usertcp.tcp.events import PacketIn, PacketOut, Record, SegmentIn, SegmentOut, StateEntered, Tracer, TraceRecord
from usertcp.tcp.segment import Flow

CONFIG = Config(msl=1.0)
"""TIME-WAIT lasts two seconds: long enough to be seen, short enough to be waited for."""


class Claim(NamedTuple):
    """Something that an experiment says, and whether it was so."""

    text: str
    held: bool


class LabLink(RewrittenLink):
    """A link whose packets pass through a function, if there is one."""

    rewriting = False
    """There is a function."""
    fragment_size: int | None = None
    """Our larger packets go out in IP fragments of so many octets."""
    quiet_kernel = True
    """The kernel beside us is kept from resetting our connections: those that begin while it is so."""

    def __init__(self, link: Link) -> None:
        super().__init__(link, lambda packet, direction: packet)
        self.offloads = link.offloads

    def send_unfinished(self, packets: Sequence[tuple[bytes, Buffer]], segment_size: int) -> bool:
        """What is to be looked at is finished and cut before."""
        if self.rewriting or self.fragment_size:
            return False
        return self.link.send_unfinished(packets, segment_size)

    def handle(self, packet: bytes, direction: Direction, now: float) -> None:
        if self.rewriting:
            super().handle(packet, direction, now)
        elif direction == "out" and self.fragment_size and len(packet) > self.fragment_size:
            pieces = fragment(packet, self.fragment_size)
            self.did(packet, "out", "edited", f"cut into {len(pieces)} fragments")
            for piece in pieces:
                self.forward(piece, "out", now)
        else:
            self.forward(packet, direction, now)

    def claim(self, local: str, port: int, remote: str = "") -> AbstractContextManager[None]:
        return super().claim(local, port, remote) if self.quiet_kernel else nullcontext()


class Lab:
    """Both ends of the cable. `stack` is ours, `peer` is the other host's kernel."""

    def __init__(self, peer: Peer, tracer: Tracer | None, config: Config, link: LinkName) -> None:
        self.peer = peer
        self.config = config
        self.link = LabLink(named_link(link))
        self.claims: list[Claim] = []
        self.pictures: list[list[str]] = []
        """Lines of text each, to be seen under the claims."""
        self.trace: list[TraceRecord] = []
        """Every record, in the order of the events."""
        self.stack: Stack
        self._tracer = tracer
        self._drawn: Callable[[Flow], bool] = lambda flow: True
        self._nursery: trio.Nursery
        self._flow: Flow | None = None
        self._over = False

    # Connections

    async def connect(
        self,
        port: int,
        *,
        host: str | None = None,
        local_port: int | None = None,
        config: Config | None = None,
        fast_open: bytes | None = None,
    ) -> TcpStream:
        """Call the peer, from *local_port* if it matters; *fast_open* goes with the SYN, if it may. Raises TcpError."""
        host = host or self.peer.address
        return await self.stack.open_tcp_stream(host, port, local_port=local_port, config=config, fast_open=fast_open)

    async def listen(self, port: int, *, config: Config | None = None) -> TcpListener:
        """Let the peer call us."""
        return await self.stack.open_tcp_listener(port, config=config)

    @asynccontextmanager
    async def open_stack(self, link: Link) -> AsyncIterator[Stack]:
        """Another stack of ours, on a link of its own. What happens on it is recorded too."""
        async with open_stack(link, self.config, tracer=self._record) as stack:
            yield stack

    async def serve(self, handler: Handler, port: int, *, host: str | None = None) -> None:
        """Let the peer serve a port from now on: `await lab.serve(echo, 7)`."""
        await self._nursery.start(
            lambda task_status: self.peer.serve(handler, port, host=host, task_status=task_status)
        )

    def start(self, task: Callable[..., Awaitable[object]], *arguments: Any) -> None:
        """Do something meanwhile. It ends with the experiment at the latest."""
        self._nursery.start_soon(task, *arguments)

    # The path

    def rewrite(self, function: Rewrite) -> None:
        """Pass every packet through a function from now on: `function(packet, direction)`, see
        `usertcp.link.rewrite`."""
        self.link.rewrite = function
        self.link.rewriting = True

    # What happened

    def flows(self) -> list[Flow]:
        """The pairs of sockets that we have had anything to do with, in order."""
        return list(dict.fromkeys(record.flow for record in self.trace if isinstance(record, Record)))

    def states(self, flow: Flow) -> list[str]:
        """Our states of a connection in order, from the one it began in. A pair of sockets may have several lives."""
        entered = [record for record in self.trace if isinstance(record, StateEntered) and record.flow == flow]
        return [str(record.old) for record in entered[:1]] + [str(record.new) for record in entered]

    def peer_states(self, flow: Flow) -> list[str]:
        """The states that the peer's kernel was in, as seen at every event of ours."""
        self._ask_kernel()
        return self.peer.states.seen(flow)

    def sent(self, flow: Flow, flags: int = 0) -> list[SegmentOut]:
        """Our segments that have these control bits, all of them and maybe others: `lab.sent(flow, FIN)`."""
        return [r for r in self.trace if isinstance(r, SegmentOut) and r.flow == flow and r.seg.flags & flags == flags]

    def received(self, flow: Flow, flags: int = 0) -> list[SegmentIn]:
        """The peer's segments that have these control bits, as far as they arrived."""
        return [r for r in self.trace if isinstance(r, SegmentIn) and r.flow == flow and r.seg.flags & flags == flags]

    def packets(self, direction: Direction) -> list[Packet]:
        """All that went out or came in, as Scapy packets: to look at, or to `lab.link.inject` again."""
        kind = PacketOut if direction == "out" else PacketIn
        return [dissect(record.packet) for record in self.trace if isinstance(record, kind)]

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until something is so. Raises `trio.TooSlowError` if it is not in ten seconds."""
        with trio.fail_after(10):
            while True:
                if condition():
                    return
                await trio.sleep(0.002)

    # What is claimed

    def check(self, claim: str, held: object) -> None:
        """State a claim. The experiment goes on if it is false, and has failed."""
        self.claims.append(Claim(claim, bool(held)))

    def show(self, picture: list[str]) -> None:
        """Let a picture be seen under the claims: lines of text."""
        self.pictures.append(picture)

    def draw_only(self, which: Callable[[Flow], bool]) -> None:
        """From now on leave all but some pairs of sockets out of the picture. `trace` has them all."""
        self._drawn = which

    def check_states(self, flow: Flow, *, ours: str = "", peer: str = "") -> None:
        """Claim which states we, and the peer's kernel, have gone through, from first to last.

        A state in parentheses may have been left out: "ESTABLISHED FIN-WAIT-1 (FIN-WAIT-2) TIME-WAIT".
        """
        for whose, claimed, seen in (("our", ours, self.states(flow)), ("the kernel's", peer, self.peer_states(flow))):
            if claimed:
                self.check(f"{whose} states: {claimed}", went_through(seen, claimed))

    def _record(self, record: TraceRecord) -> None:
        if self._over:
            return
        self._ask_kernel()
        self.trace.append(record)
        if isinstance(record, Record):
            self._flow = record.flow
        if self._tracer and (not isinstance(record, Record) or self._drawn(record.flow)):
            self._tracer(record)

    def _ask_kernel(self) -> None:
        """What the record before this one has led to at the other end."""
        if self._flow:
            self.peer.state(self._flow)


@asynccontextmanager
async def open_lab(
    peer: Peer, tracer: Tracer | None = None, config: Config | None = None, link: LinkName = "raw"
) -> AsyncIterator[Lab]:
    """A lab for one experiment. At its end what goes on in it is cancelled, and what is left open is reset, off the
    record."""
    lab = Lab(peer, tracer, config or CONFIG, link)
    async with open_stack(link=lab.link, config=lab.config, tracer=lab._record) as lab.stack:
        try:
            async with trio.open_nursery() as lab._nursery:
                yield lab
                await wait_all_tasks_blocked(0.02)  # Whoever draws what happens may ask for the last state.
                lab._over = True
                lab._nursery.cancel_scope.cancel()
        finally:
            lab._over = True
            peer.reset_all()


def went_through(states: list[str], claimed: str) -> bool:
    """Are these the states? Those in parentheses need not be among them."""
    pattern = "".join(f"({word[1:-1]} )?" if word[0] == "(" else f"{word} " for word in claimed.split())
    return re.fullmatch(pattern, "".join(f"{state} " for state in states)) is not None
