"""Between the core and the link: packets to segments and back, and when (RFC 9293, 3.9.2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NoReturn

import trio

from usertcp.errors import HostUnreachable, MalformedPacket
from usertcp.ip.fragments import Reassembler
from usertcp.link import Buffer, Deed, Direction, Link
from usertcp.runtime.claims import Claims
from usertcp.runtime.coalescing import Content, coalesced
from usertcp.runtime.turns import Turns
from usertcp.runtime.waiting import Changes
from usertcp.tcp import super_segment
from usertcp.tcp.config import Config
from usertcp.tcp.connection import Connection
from usertcp.tcp.endpoint import Endpoint
from usertcp.tcp.events import PacketDiscarded, PacketIn, PacketOut, PathEvent, Tracer
from usertcp.tcp.path_mtu import HEADERS, HEADERS_V6
from usertcp.tcp.segment import Flow, Segment
from usertcp.wire import Codec, IcmpError
from usertcp.wire.fast import FastCodec
from usertcp.wire.look import NO_PORT, NOT_FOR_US, port_of, runs

LARGEST_PACKET: Final = 65535
"""What the total length of an IPv4 packet can say, whatever the MTU."""

FEW: Final = 2
"""Connections that may have something to send, and what a user says is still sent at once. With more of them the peer
has enough to do, and what all say in a pass of Trio's loop goes out together at its end. The first answer to who has
called us waits for one pass more: often it is the only one, and then the end of the stream goes with it."""

SOON: Final = 0.005
"""Seconds before an alarm in which it is worth while to find out whether it is still needed: most timers are put off or
stopped before they expire, and a wake-up for nothing costs as much as one for a segment."""


class LowerLevel:
    """An `Endpoint` on a link: takes its segments there, brings it those that arrive, and wakes it at its deadline."""

    def __init__(self, link: Link, config: Config, codec: Codec, secret: bytes, tracer: Tracer | None) -> None:
        self.link = link
        self.now = trio.lowlevel.current_clock().current_time
        """`trio.current_time`, without finding out each time which clock that is."""
        self.endpoint = Endpoint(
            config,
            secret,
            mss=self._mss,
            answers=self._speaks_for,
            advise=link.advise,
            offload=link.offloads and isinstance(codec, FastCodec),
            queue=link.receive_queue,
            tracer=tracer,
        )
        self.claims = Claims(link, config.port_range[1])
        self.changes = Changes()
        """Segments came, went or timed out."""
        self.failure: Exception | None = None
        """What ended `run`."""
        self._codec = codec
        self._offload = codec if link.offloads and isinstance(codec, FastCodec) else None
        """The codec, if checksums and super-segments are left to the link."""
        self._tracer = tracer
        self._reassembler = Reassembler()
        self._counters = Counter(checksum=0, malformed=0, not_ours=0)
        self._dismiss = link.dismiss
        self._wait = trio.CancelScope()
        self._turns: Turns | None = None
        if tracer is not None:
            link.watch(self._trace_deed)

    def transmit(self, conn: Connection | None = None) -> None:
        """Send all that is due, by *conn* too, with which something was done; and be woken in time for what comes next.

        Called in the task that did something, so that no other needs to run before its segments are on their way. What
        other connections have to say waits, if their users have still their turn; and if these are many, this waits
        until the tasks that can run now have run.

        Raises:
          SetupError: see `Link.send`. Of what waits, it ends the stack.
        """
        endpoint, turns, only = self.endpoint, self._turns, None
        if conn is not None:
            endpoint.touch(conn)
            if turns is not None and turns.running:
                if endpoint.touched > FEW:
                    turns.put_off(conn, 2 if conn.is_first_answer else 1)
                    return
                only = [conn]
        now = self.now()
        self._transmit(endpoint.output(now, only=only), now)

    def transmit_soon(self, conn: Connection) -> None:
        """Send what is due, by *conn* too, when the application has had its turn."""
        self.endpoint.touch(conn)
        if self._turns is not None:
            self._turns.expect(self.endpoint.turn())
        else:
            self.transmit()

    def _transmit(self, segments: Iterable[tuple[Flow, Segment]], now: float) -> None:
        for flow, seg in segments:
            if self._offload is None or seg.options.signature is not None:
                self._send(flow, seg, now)
            else:
                self._send_unfinished(self._offload, flow, seg, now)
        alarm = self._wait.deadline
        deadline = self.endpoint.exact_deadline if alarm < now + SOON else min(alarm, self.endpoint.deadline)
        if deadline != alarm:  # To set it takes longer than to look.
            self._wait.deadline = deadline
        self.changes.changed()

    def _send(self, flow: Flow, seg: Segment, now: float) -> None:
        for part in super_segment.cut(seg) if seg.mss else (seg,):
            packet = self._codec.encode(flow, part)
            if self._tracer is not None:
                self._tracer(PacketOut(now, packet))
            self.link.send(packet)

    def _send_unfinished(self, codec: FastCodec, flow: Flow, seg: Segment, now: float) -> None:
        """Leave the rest to the link; do what it cannot do now."""
        packets = codec.unfinished(flow, seg)
        if not self.link.send_unfinished(packets, seg.mss):
            self._send(flow, seg, now)
        elif self._tracer is not None:
            for headers, text in packets:
                self._tracer(PacketOut(now, headers + text))

    async def until(self, changes: Changes, condition: Callable[[], bool]) -> None:
        """`Changes.until`, in which one task at a time does what it would have to wait for: it takes packets from the
        link, for all, until it has got what it wants. Another one need not be woken, and wake it."""
        turns = self._turns
        if condition():
            await trio.lowlevel.checkpoint()
            return
        if turns is None or turns.led or not self.link.attends:
            await changes.until(condition)
            return
        if turns.may_look():
            self._take_at_hand()
            if condition():
                await trio.lowlevel.checkpoint()
                return

        turns.led = True
        try:
            while not condition() and self.failure is None:
                changes.leader = condition, self._dismiss
                try:
                    packets = await self.link.attend()
                except Exception as error:  # It is not for this task to raise it.
                    self._fail(error)
                    packets = ()
                finally:
                    changes.leader = None
                self._take_or_fail(packets)
        finally:
            turns.led = False
            turns.lend()
        if self.failure is not None:
            await changes.until(condition)  # The stack is about to end.

    async def run(self) -> NoReturn:
        """Take packets from the link and run timers, for ever: the one task of a stack.

        Raises:
          SetupError: see `Link.send`.
          trio.ClosedResourceError: the link was closed.
        """
        if self.link.offloads:
            self._turns = Turns(self._flush, self._send_of, self.link.leave)
            trio.lowlevel.add_instrument(self._turns)
        try:
            await self._run()
        except Exception as error:
            self.failure = error
            raise
        finally:
            if self._turns is not None:
                trio.lowlevel.remove_instrument(self._turns)
                self._turns = None

    async def _run(self) -> NoReturn:
        while self.failure is None:
            now = self.now()
            self.endpoint.timeouts(now)
            self._transmit(self.endpoint.output(now), now)
            with trio.CancelScope(deadline=self.endpoint.exact_deadline) as self._wait:
                await self.link.deliver(self._take)
        raise self.failure

    def _take_at_hand(self) -> None:
        try:
            packets = self.link.at_hand()
        except Exception as error:
            self._fail(error)
        else:
            self._take_or_fail(packets)

    def _take_or_fail(self, packets: Sequence[Buffer]) -> None:
        try:
            if packets:
                self._take(packets)
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """End the stack."""
        self.failure = error
        self._wait.cancel()

    def _take(self, packets: Sequence[Buffer]) -> None:
        now = self.now()
        if self._turns is not None and self._tracer is None:
            for content in coalesced(self._contents(packets, now), self.endpoint.takes_at_once):
                self._hand_over(content, now)
        else:  # A trace shows what became of a packet before it shows the next.
            for packet in packets:
                if (whole := self._content(bytes(packet), now)) is not None:
                    self._hand_over(whole, now)
        # Once for everything that was waiting (RFC 9293, 3.8.6.3, MUST-59).
        if self._turns is None:
            self._transmit(self.endpoint.output(now), now)
        else:
            self._turns.expect(self.endpoint.tell())

    def _flush(self, turn: int) -> bool:
        """The application has had its turn."""
        if not self.endpoint.pending:
            return False
        now = self.now()
        try:
            self._transmit(self.endpoint.output(now, until=turn), now)
        except Exception as error:  # An instrument that fails is switched off, and nobody would know.
            self._fail(error)
        return True

    def _send_of(self, conns: list[Connection]) -> None:
        """What these have to say has waited long enough."""
        now = self.now()
        try:
            self._transmit(self.endpoint.output(now, only=conns), now)
        except Exception as error:  # As above.
            self._fail(error)

    def counters(self) -> dict[str, int]:
        """What arrived and what became of it, in the link, here and in the core: name to count."""
        counters = Counter(self._counters)
        for more in self._reassembler.counters(), self.endpoint.counters, self.link.counters():
            counters.update(more)
        return dict(counters)

    def _contents(self, packets: Sequence[Buffer], now: float) -> list[Content]:
        """What packets bring, but for acknowledgments that the last of a run makes needless. That one is read first: if
        it is not what it seemed to be, the others count."""
        contents: list[Content] = []
        begin = 0
        for length in runs(packets) if len(packets) > 1 else (len(packets),):
            end = begin + length
            last = self._content(packets[end - 1], now)
            if length > 1 and not self._is_enough(last):
                for packet in packets[begin : end - 1]:
                    if (content := self._content(packet, now)) is not None:
                        contents.append(content)
            if last is not None:
                contents.append(last)
            begin = end
        return contents

    def _is_enough(self, last: Content | None) -> bool:
        return last is not None and not isinstance(last, IcmpError) and self.endpoint.takes_at_once(last[0], last[1])

    def _content(self, packet: Buffer, now: float) -> Content | None:
        """What a packet brings, if that is for us and complete."""
        port = port_of(packet)
        if port == NOT_FOR_US or (port != NO_PORT and not self._speaks_for_port(port)):
            self._counters["not_ours"] += 1
            return None
        try:
            whole = packet if port != NO_PORT else self._reassembler.add(packet, now)  # A fragment shows no ports.
            content = self._codec.decode(whole, unfinished_checksum=self.link.unfinished_checksums) if whole else None
        except MalformedPacket as error:
            self._counters["checksum" if "checksum" in str(error) else "malformed"] += 1
            if self._tracer is not None:
                self._tracer(PacketDiscarded(now, bytes(packet), str(error)))
            return None
        if whole is not None and not self._is_ours(content):
            self._counters["not_ours"] += 1
            return None
        if self._tracer is not None:
            self._tracer(PacketIn(now, bytes(packet)))
        return content

    def _hand_over(self, content: Content, now: float) -> None:
        if isinstance(content, IcmpError):
            self.endpoint.icmp_arrives(content, now)
        else:
            flow, seg = content
            self.endpoint.segment_arrives(flow, seg, now)

    def _is_ours(self, content: Content | None) -> bool:
        if content is None:
            return False
        flow = content.flow if isinstance(content, IcmpError) else content[0]
        if flow in self.endpoint.connections:
            return True
        return self.link.is_local(flow.local) and self._speaks_for(flow.local, flow.local_port)

    def _speaks_for(self, local: str, port: int) -> bool:
        """May we answer for a port where we have no connection? Beside a kernel only for those that it keeps for us."""
        return not self.link.beside_kernel or self.claims.has(local, port)

    def _speaks_for_port(self, port: int) -> bool:
        return not self.link.beside_kernel or self.claims.has_port(port)

    def _mss(self, remote: str) -> int:
        try:
            mtu = self.link.mtu_to(remote)
        except HostUnreachable:  # A SYN can come from where no route leads back.
            mtu = self.link.mtu
        return min(mtu, LARGEST_PACKET) - (HEADERS_V6 if ":" in remote else HEADERS)

    def _trace_deed(self, packet: bytes, direction: Direction, deed: Deed, detail: str) -> None:
        if self._tracer is not None:
            self._tracer(PathEvent(self.now(), packet, direction, deed, detail))
