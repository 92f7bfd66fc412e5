"""All connections of a stack: which one a segment is for, who listens, which port is free, who wants to be called
when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from heapq import heappop, heappush
from ipaddress import IPv4Address, ip_address
from itertools import count, takewhile
from math import inf
from typing import Final

from usertcp.errors import ConnectionAlreadyExists, InvalidAddress, PortInUse
from usertcp.tcp import authentication, fast_open, icmp, path_mtu, reset, syn_cookies, time_wait
from usertcp.tcp.config import LARGEST_BUFFER, Config
from usertcp.tcp.connection import Connection
from usertcp.tcp.events import SegmentDiscarded, SegmentIn, SegmentOut, Tracer
from usertcp.tcp.isn import isn, timestamp_offset
from usertcp.tcp.listener import Listener
from usertcp.tcp.memory import Memory
from usertcp.tcp.ports import PortChooser
from usertcp.tcp.segment import ACK, RST, SYN, Flow, Segment
from usertcp.tcp.sequence import wrap
from usertcp.tcp.state import GONE, Event, State

UNDECIDED: Final = (State.SYN_SENT, State.SYN_RECEIVED)
"""It may still turn out that there is no new incarnation."""


class Endpoint:
    """Everything between a codec and the users, sans I/O.

    After any call that is an event (`open`, `segment_arrives`, `icmp_arrives`, `timeouts`, a call on a connection
    followed by `touch`), call `output`, send what it gives, and look at `deadline` again.
    """

    def __init__(
        self,
        config: Config,
        secret: bytes,
        *,
        mss: Callable[[str], int],
        answers: Callable[[str, int], bool],
        advise: Callable[[str], None] = lambda remote: None,
        offload: bool = False,
        queue: int = LARGEST_BUFFER,
        tracer: Tracer | None = None,
    ) -> None:
        """
        Args:
          secret: up to 32 octets that nobody outside knows; all initial numbers and ports come from it.
          mss: the MSS to announce to a remote address, octets.
          answers: whether a segment for this local address and port, of no connection, is ours to answer by a RST.
          Not where
            a kernel beside us may have a connection of its own.
          advise: told a remote address from which nothing comes, each time that a segment has been retransmitted R1
            times or more: negative advice to IP (RFC 9293, 3.8.3, MUST-20; RFC 1122, 3.3.1.4).
          offload: segments may hold the text of many, to be cut: see `Segment.mss`.
          queue: octets that may wait to be handed over by `segment_arrives`: no window offered is larger.
        """
        self.config = config
        self.connections: dict[Flow, Connection] = {}
        self.counters: Counter[str] = Counter()
        self.memory = Memory(config.memory, self.counters, queue=queue)
        self._secret = secret
        self._mss = mss
        self._answers = answers
        self.advise = advise
        self._offload = offload
        self._tracer = tracer
        self._paths = path_mtu.PathMtuCache()
        self._servers = fast_open.KnownServers()
        self._ports = PortChooser(secret, *config.port_range)
        self._listeners: dict[tuple[str, int], Listener] = {}
        self._origins: dict[Connection, Listener] = {}
        """Which listener a half-open connection came from."""
        self._set_aside: dict[Connection, Connection] = {}
        """The incarnation in TIME-WAIT whose place one in `UNDECIDED` has taken."""
        self._touched: dict[Connection, int] = {}
        """And by which call of `tell` the user is told, ascending."""
        self._told = 0
        self._replies: list[tuple[Flow, Segment]] = []
        self._heap: list[tuple[float, int]] = []
        """(when, number) of alarms, those too that nobody needs any more."""
        self._alarms: dict[int, Connection] = {}
        """Whom to call at an alarm. A connection that has ended has none, and is forgotten at once."""
        self._count_alarms = count(1)

    # Opening

    def choose_port(self, local: str, remote: str, remote_port: int, now: float, config: Config | None = None) -> int:
        """A local port for an active OPEN (RFC 6056). Raises PortInUse when all are taken toward that remote socket."""

        def in_use(port: int) -> bool:
            taken = self._find(Flow(local, port, remote, remote_port))
            if taken is not None and not time_wait.may_be_taken(taken.tcb, config or self.config, now):
                return True
            return self._listener(local, port) is not None

        return self._ports.choose(local, remote, remote_port, in_use)

    def open(self, flow: Flow, now: float, config: Config | None = None, *, text_in_syn: bool = False) -> Connection:
        """Active OPEN: a connection in SYN-SENT.

        Args:
          text_in_syn: text that is queued before the next `output` may go with the SYN, and so be delivered twice (RFC
            7413, 6.1). It does if the server has given us a cookie before; else we ask for one.

        Raises:
          ConnectionAlreadyExists: the pair of sockets is in use; TIME-WAIT is use (but see `Config.time_wait_reuse`).
          InvalidAddress: no TCP connection can be made between these (RFC 9293, 3.9.1.1, MUST-46).
        """
        config = config or self.config
        if not valid(flow):
            raise InvalidAddress(f"{flow.local} port {flow.local_port} to {flow.remote} port {flow.remote_port}")
        old = self._find(flow)
        if old is not None and not time_wait.may_be_taken(old.tcb, config, now):
            raise ConnectionAlreadyExists(f"in {old.state}")
        iss = isn(self._secret, flow, now)
        if old is not None:
            iss = time_wait.next_iss(old.tcb, iss)
        conn = self._connection(flow, config, iss, now, self._tracer)
        conn.open(now)
        if text_in_syn:
            fast_open.ask(conn.tcb, self._servers, now)
        self.connections[flow] = conn
        if old is not None:
            self._set_aside[conn] = old
        self.touch(conn)
        return conn

    def listen(self, local: str, port: int, backlog: int | None = None, config: Config | None = None) -> Listener:
        """Passive OPEN for every remote socket; *local* "" means every local address.

        Raises:
          PortInUse: somebody listens there already.
        """
        if not 0 < port < 65536:
            raise InvalidAddress(f"port {port}")
        if self._listener(local, port) is not None or (not local and any(p == port for _, p in self._listeners)):
            raise PortInUse(f"a listener has port {port}")
        config = config or self.config
        listener = Listener(self, local, port, config.backlog if backlog is None else backlog, config)
        self._listeners[local, port] = listener
        return listener

    def forget_listener(self, listener: Listener) -> None:
        """The listener was closed."""
        self._listeners.pop((listener.local, listener.port), None)

    # Events

    def segment_arrives(self, flow: Flow, seg: Segment, now: float) -> None:
        """Hand a segment to its connection, or to a listener, or answer that there is neither."""
        conn = self._find(flow)
        state = State.CLOSED if conn is None else conn.tcb.state
        listener = None if state is State.ESTABLISHED else self._listener(flow.local, flow.local_port)
        if conn is not None and not self._gives_way(conn, listener, seg):
            half_open = state is State.SYN_RECEIVED
            if half_open and self._must_wait(conn, seg):
                self._ignore(flow, seg, "the backlog is full", now, listener)
                return
            if conn in self._touched and not conn.output_owed:
                self._touched.pop(conn, None)  # What will be owed for this one may wait a whole turn.
            conn.segment_arrives(seg, now)
            self.touch(conn)
            if half_open:
                self._look_at_handshake(conn)
        elif not valid(flow):
            self._ignore(flow, seg, "an address or a port that nobody can have", now)
        elif listener is not None:
            self._arrives_in_listen(listener, flow, seg, conn, now)
        elif self._answers(flow.local, flow.local_port):
            self._arrives_in_closed(flow, seg, now)

    def takes_at_once(self, flow: Flow, seg: Segment) -> bool:
        """Of acknowledgments that came together, is this one, the last, enough? Not where each counts: in slow start as
        long as little is in flight, and where it is to be found out whether a timeout was wrong (RFC 3522, RFC 5682).
        And not if it is no acceptable one."""
        conn = self._find(flow)
        return conn is not None and conn.takes_at_once(seg)

    def icmp_arrives(self, message: icmp.Message, now: float) -> None:
        """Hand an ICMP error to the connection that it quotes. What quotes none of ours is discarded, and so is
        Source Quench."""
        conn = self._find(message.flow)
        if conn is None or (message.version, message.type) == icmp.SOURCE_QUENCH:
            self.counters["ICMP ignored"] += 1
            return
        before = conn.path_mtu
        conn.icmp_arrives(message, now)
        self.touch(conn)
        if conn.path_mtu < before:
            self._path_is_narrow(conn.flow.remote, conn.path_mtu, now)

    def timeouts(self, now: float) -> None:
        """Run all timers that have expired."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            conn = self._alarms.pop(heappop(heap)[1], None)
            if conn is None:
                continue
            conn.scheduled = inf
            if conn.deadline <= now:
                before = conn.retransmissions
                conn.timeouts(now)
                if conn.retransmissions > before:
                    self._unanswered(conn, now)
                self.touch(conn)
            else:
                self._schedule(conn)

    @property
    def deadline(self) -> float:
        """When to call `timeouts` at the latest; infinity if no timer runs. May be early: then nothing happens."""
        return self._heap[0][0] if self._heap else inf

    @property
    def exact_deadline(self) -> float:
        """The same, never early. It takes more work, to be done by whoever would else be woken for nothing."""
        heap = self._heap
        while heap:
            at, alarm = heap[0]
            conn = self._alarms.get(alarm)
            if conn is not None and conn.deadline <= at:
                return at
            heappop(heap)
            if conn is not None:
                del self._alarms[alarm]
                conn.scheduled = inf
                self._schedule(conn)
        return inf

    # Output

    def touch(self, conn: Connection) -> None:
        """Note that something was done with this connection, so that `output` asks it."""
        self._touched.setdefault(conn, self._told + 1)

    def output(
        self, now: float, *, only: Sequence[Connection] | None = None, until: int | None = None
    ) -> list[tuple[Flow, Segment]]:
        """Everything to transmit now, of every connection touched since the last call, resets included. Then tells
        the users. The rest waits for the next call if there is a limit.

        Args:
          only: what those of these have that were touched.
          until: what those have that were touched first until this call of `tell`.
        """
        out: list[tuple[Flow, Segment]] = []
        touched: Iterable[Connection]
        if only is None:
            out, self._replies = self._replies, out
        if only is not None:
            touched = [conn for conn in only if self._touched.pop(conn, None) is not None]
        elif until is None:
            touched, self._touched = self._touched, {}
        else:
            touched = list(takewhile(lambda conn: self._touched[conn] <= until, self._touched))
            for conn in touched:
                del self._touched[conn]
        for conn in touched:
            self._output_of(conn, out, now)
        for conn in touched:
            conn.on_change()
        return out

    def _output_of(self, conn: Connection, out: list[tuple[Flow, Segment]], now: float) -> None:
        """Put what a connection has to transmit behind what is there, and see what has become of it."""
        tcb = conn.tcb
        flow = tcb.flow
        for seg in conn.output(now):
            out.append((flow, seg))
        self.memory.settle(tcb)
        self._schedule(conn)
        if self._origins:
            self._look_at_handshake(conn)
        state = tcb.state
        if state in GONE:
            self._alarms.pop(conn.alarm, None)
            if self.connections.get(flow) is conn:
                del self.connections[flow]
        if self._set_aside and state not in UNDECIDED and (old := self._set_aside.pop(conn, None)) is not None:
            self._decide(old, conn, now)

    @property
    def touched(self) -> int:
        """How many connections have been touched, and `output` has not asked them yet."""
        return len(self._touched)

    @property
    def pending(self) -> bool:
        """`output` has not been called for everything yet."""
        return bool(self._touched or self._replies)

    def tell(self) -> int:
        """Tell the users before `output` what has happened, so that what they do about it goes out with the rest.

        Returns:
          The number of this call, for `output`.
        """
        turn = self.turn()
        for conn in self._touched:
            if conn.state is not State.CLOSED:
                conn.on_change()
        return turn

    def turn(self) -> int:
        """The number for `output` that takes in all that has been touched by now."""
        self._told += 1
        return self._told

    # Inside

    def _connection(self, flow: Flow, config: Config, iss: int, now: float, tracer: Tracer | None) -> Connection:
        conn = Connection(
            flow,
            config,
            iss=iss,
            mss=self._mss(flow.remote),
            timestamp_offset=timestamp_offset(self._secret, flow),
            memory=self.memory,
            offload=self._offload,
            tracer=tracer,
        )
        path_mtu.remember(conn.tcb, self._paths.get(flow.remote, now))
        return conn

    def _unanswered(self, conn: Connection, now: float) -> None:
        """A segment is about to be sent again. Our own link may have become too narrow for it: what it does not take it
        drops, as if a router did (RFC 1191, 3). Or else it knows another way."""
        remote = conn.flow.remote
        mtu = self._mss(remote) + path_mtu.headers(conn.tcb)
        if mtu < conn.path_mtu:
            self._path_is_narrow(remote, mtu, now)
        if conn.retransmissions >= conn.config.r1:
            self.advise(remote)

    def _path_is_narrow(self, remote: str, mtu: int, now: float) -> None:
        """Connections to one destination share a path. What the others have in flight, errors about it will say."""
        self._paths.learn(remote, mtu, now)
        for conn in self.connections.values():
            if conn.flow.remote == remote:
                conn.path_is_narrow(mtu, now)
                self.touch(conn)

    def _find(self, flow: Flow) -> Connection | None:
        """The connection of a pair of sockets. One that has ended waits in the table for `output`, but is no more."""
        conn = self.connections.get(flow)
        return conn if conn is not None and conn.tcb.state not in GONE else None

    def _listener(self, local: str, port: int) -> Listener | None:
        return self._listeners.get((local, port)) or self._listeners.get(("", port))

    def _schedule(self, conn: Connection) -> None:
        """Keep one live entry in the heap for each connection, no later than its deadline. One that became too early
        is put right when it comes up: most timers are moved later or stopped before they expire."""
        deadline = conn.tcb.timers.earliest
        if deadline < conn.scheduled:
            self._alarms.pop(conn.alarm, None)
            conn.scheduled, conn.alarm = deadline, next(self._count_alarms)
            self._alarms[conn.alarm] = conn
            heappush(self._heap, (deadline, conn.alarm))

    def _gives_way(self, conn: Connection, listener: Listener | None, seg: Segment) -> bool:
        """Does a connection in TIME-WAIT make room for the new one that this SYN asks for?"""
        if conn.tcb.state is not State.TIME_WAIT or seg.flags & (SYN | ACK | RST) != SYN:
            return False
        if listener is None or listener.backlog_full:
            return False
        return time_wait.may_give_way(conn.tcb, seg, listener.config)

    def _arrives_in_listen(
        self, listener: Listener, flow: Flow, seg: Segment, old: Connection | None, now: float
    ) -> None:
        """A connection in LISTEN looks at the segment. If it is still there afterwards, it was for nothing; if not,
        it is one more.

        *old* is the incarnation in TIME-WAIT whose place it takes. That needs no room, for it is no more than was.
        """
        kind = seg.flags & (SYN | ACK | RST)
        if kind == SYN and listener.backlog_full:
            self._ignore(flow, seg, "the backlog is full", now, listener)
        elif kind == SYN and listener.half_open_full and old is None and self._unproved(flow, seg, listener.config):
            self._keep_no_more(listener, flow, seg, now)
        elif kind == ACK and listener.awaits_cookies(now) and self._unproved(flow, seg, listener.config):
            self._cookie_returns(listener, flow, seg, now)
        else:
            iss = isn(self._secret, flow, now)
            if old is not None:
                iss = time_wait.next_iss(old.tcb, iss)
            conn = self._connection(flow, listener.config, iss, now, self._tracer)
            conn.open(now, passive=True)
            signer = conn.tcb.authentication
            if listener.config.fast_open and authentication.objection(signer, seg, conn.tcb, conn.config) is None:
                fast_open.requested(conn.tcb, seg, listener.requests, self._secret, now, listener.count)
            conn.segment_arrives(seg, now)
            self._comes_from(listener, conn)
            if old is not None and conn.state not in GONE:
                self._set_aside[conn] = old

    def _comes_from(self, listener: Listener, conn: Connection) -> None:
        """A listener has made a connection, for a segment that has made something of it or not."""
        self.touch(conn)
        if conn.state not in GONE:
            self.connections[conn.flow] = conn
            self._origins[conn] = listener
            conn.tcb.not_accepted = self._offload
            listener.add(conn)
        else:
            self.counters.update({what: n for what, n in conn.tcb.counters.items() if what.startswith("discarded")})

    def _look_at_handshake(self, conn: Connection) -> None:
        """Tell a listener when a connection that it has made has left SYN-RECEIVED, or need not for it."""
        ready = conn.state is not State.SYN_RECEIVED or conn.tcb.fast_opened
        if ready and (listener := self._origins.pop(conn, None)) is not None:
            listener.handshake_ended(conn)

    def _must_wait(self, conn: Connection, seg: Segment) -> bool:
        """Would this end the handshake, and there is no room in the backlog? It comes again, or our SYN,ACK does."""
        listener = self._origins.get(conn)
        return listener is not None and listener.backlog_full and seg.flags & (SYN | ACK | RST) == ACK

    # SYN cookies

    def _unproved(self, flow: Flow, seg: Segment, config: Config) -> bool:
        """May anybody have sent this? There is room for one who proves who he is, and whose proof fails gets none."""
        signer = authentication.of(flow, config)
        return signer is None and authentication.objection(None, seg, None, config) is None

    def _keep_no_more(self, listener: Listener, flow: Flow, seg: Segment, now: float) -> None:
        """A SYN for which there is no room: answer it and keep nothing, or do not answer."""
        if not listener.config.syn_cookies:
            self._ignore(flow, seg, "too many half-open connections", now, listener)
            return
        syn = syn_cookies.reduced(seg, listener.config, flow)
        _, syn_ack = self._off_the_record(listener, flow, syn, syn_cookies.iss(self._secret, flow, syn, now), now)
        syn_cookies.stamp(syn_ack, syn)
        self._replies.append((flow, syn_ack))
        listener.cookie_sent_at = now
        listener.count("SYN cookies sent")
        if self._tracer:
            self._tracer(SegmentIn(now, flow, seg))
            self._tracer(SegmentOut(now, flow, syn_ack, False))

    def _cookie_returns(self, listener: Listener, flow: Flow, seg: Segment, now: float) -> None:
        """An ACK of nothing that we know of: of a cookie, it makes the connection that we have not kept."""
        syn = syn_cookies.syn(self._secret, flow, seg, now)
        if syn is None and seg.len:  # It may have overtaken the ACK. What matters comes again, as a RST could not.
            self._ignore(flow, seg, "text or FIN before a SYN cookie", now, listener)
            return
        if syn is None:
            listener.count("SYN cookies refused")
            self._arrives_in_closed(flow, seg, now)
            return
        if listener.backlog_full:
            self._ignore(flow, seg, "the backlog is full", now, listener)
            return
        listener.count("SYN cookies returned")
        conn, _ = self._off_the_record(listener, flow, syn, wrap(seg.ack - 1), now)
        syn_cookies.unmeasured(conn.tcb)
        conn.tcb.trace = self._tracer
        conn.segment_arrives(seg, now)
        self._comes_from(listener, conn)
        self._look_at_handshake(conn)

    def _off_the_record(
        self, listener: Listener, flow: Flow, syn: Segment, iss: int, now: float
    ) -> tuple[Connection, Segment]:
        """A connection in SYN-RECEIVED that is not in the table, and its SYN,ACK."""
        conn = self._connection(flow, listener.config, iss, now, None)
        conn.open(now, passive=True)
        conn.segment_arrives(syn, now)
        (syn_ack,) = conn.output(now)
        return conn, syn_ack

    # TIME-WAIT

    def _decide(self, old: Connection, new: Connection, now: float) -> None:
        """The handshake of a new incarnation has ended. If its SYN was an old duplicate after all, or ours was not
        answered, TIME-WAIT goes on (RFC 9293, 3.6.1, MAY-2, condition 2)."""
        if old.state is not State.TIME_WAIT:
            return  # its 2 MSL have passed meanwhile
        if new.state in GONE and old.flow not in self.connections:
            self.connections[old.flow] = old
        else:
            old.tcb.enter(Event.RCV_SYN, now)
            self.memory.settle(old.tcb)
            old.on_change()

    def _arrives_in_closed(self, flow: Flow, seg: Segment, now: float) -> None:
        """RFC 9293, 3.10.7.1."""
        signer = authentication.of(flow, self.config)
        if (objection := authentication.objection(signer, seg, None, self.config)) is not None:
            self._ignore(flow, seg, objection, now)
            return
        if self._tracer:
            self._tracer(SegmentIn(now, flow, seg))
        self.counters["segments for no connection"] += 1
        answer = reset.answer(seg)
        if answer is not None:
            answer.traffic_class, answer.ttl = self.config.dscp << 2, self.config.ttl
            if signer is not None:
                signer.sign(answer, None)
            self._replies.append((flow, answer))
            if self._tracer:
                self._tracer(SegmentOut(now, flow, answer, False))

    def _ignore(self, flow: Flow, seg: Segment, reason: str, now: float, listener: Listener | None = None) -> None:
        (listener.count if listener else self._count)("ignored: " + reason)
        if self._tracer:
            self._tracer(SegmentIn(now, flow, seg))
            self._tracer(SegmentDiscarded(now, flow, seg, reason))

    def _count(self, what: str) -> None:
        self.counters[what] += 1


def valid(flow: Flow) -> bool:
    """Can there be a connection between these? Not with port 0, nor with an address that stands for many hosts or for
    none (RFC 9293, 3.9.2.3, MUST-46, MUST-57, MUST-63)."""
    return bool(flow.local_port and flow.remote_port) and is_a_hosts(flow.local) and is_a_hosts(flow.remote)


@lru_cache(1024)
def is_a_hosts(text: str) -> bool:
    """Is it the address of one host? Remembered, for the same few come with every connection."""
    address = ip_address(text)
    if address.is_multicast or address.is_unspecified:
        return False
    return not (isinstance(address, IPv4Address) and (int(address) == 0xFFFFFFFF or int(address) >> 24 == 0))
