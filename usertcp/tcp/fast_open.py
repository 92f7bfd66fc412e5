"""TCP Fast Open (RFC 7413): the first text comes with the SYN, and is delivered before the handshake is done.

The server gives each client a cookie, which shows at the next connection that the address is not forged. A SYN that
is duplicated after its connection is forgotten delivers its text twice: hence nobody gets this who has not asked, and
only for text that bears it (2 and 6.1).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2s
from hmac import compare_digest
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from usertcp.tcp import path_mtu
from usertcp.tcp.options import LONGEST, Options
from usertcp.tcp.segment import ACK, RST, SYN, Flow, Segment
from usertcp.tcp.state import GONE, State

if TYPE_CHECKING:
    from usertcp.tcp.tcb import Tcb

COOKIE_OCTETS: Final = 8
"""What we give; as kernels do. A client keeps any that the option can hold."""
KEY_LIFETIME: Final = 6 * 3600.0
"""Seconds for which one key makes the cookies. They are valid for as long again, so that a client that comes every
six hours always has one."""
RESET_COUNTS: Final = 60.0
"""Seconds for which a request counts as pending although it was reset: else the victims of a flood would make room for
more of it (5.1)."""

MOST_SERVERS: Final = 1024
"""How many a client remembers."""
LARGEST_MSS: Final = {4: 1460, 6: 1440}
"""Text and options that a SYN brings at most, whatever the server's MSS (4.1.3)."""
FIRST_PAUSE, LONGEST_PAUSE = 60.0, 86400.0
"""Seconds for which a path is spared on which it failed. Doubled each time."""

Path = tuple[str, str, int]
"""Both addresses, and the server's port."""
Count = Callable[[str], None]
K = TypeVar("K")
V = TypeVar("V")


@dataclass(slots=True)
class FastOpen:
    """One connection's part in it. A connection that has nothing to do with it has none."""

    option: bytes | None = None
    """What our first SYN says: a cookie, or b"" to ask for one."""
    known: KnownServers | None = None
    """As a client: where to note what comes of it."""
    room: int = 0
    """Octets of text and options that our SYN may bring."""
    sent: int = 0
    """Octets of text that it brought."""
    done: bool = False
    """FastOpened (4.2): the text of the SYN was taken before the handshake was done."""


# The server


class Requests:
    """PendingFastOpenRequests of one listener (4.2)."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._pending: deque[tuple[float, Tcb]] = deque()
        """When their SYNs came."""

    def room(self, now: float) -> bool:
        """Is there any for one more?"""
        if len(self._pending) >= self.limit:
            self._pending = deque(each for each in self._pending if self._is_pending(*each, now))
        return len(self._pending) < self.limit

    def add(self, tcb: Tcb, now: float) -> None:
        self._pending.append((now, tcb))

    @staticmethod
    def _is_pending(began: float, tcb: Tcb, now: float) -> bool:
        return not tcb.syn_acked and (tcb.state not in GONE or now < began + RESET_COUNTS)


def cookie(secret: bytes, remote: str, period: int) -> bytes:
    """GetCookie (4.1.2): what only we can compute of a client's address. The key is another one in each *period*."""
    key = blake2s(period.to_bytes(8, "big"), key=secret, person=b"fastopen").digest()
    return blake2s(remote.encode(), key=key, digest_size=COOKIE_OCTETS).digest()


def requested(tcb: Tcb, seg: Segment, requests: Requests, secret: bytes, now: float, count: Count) -> None:
    """In LISTEN, of a listener that offers it: does this SYN ask for a cookie, or bring one that is valid? One that
    will not be any more soon, or never was, is answered by another (4.2.2). Beyond the limit there is no Fast Open at
    all."""
    shown = seg.options.fast_open
    if shown is None or seg.flags & (SYN | ACK | RST) != SYN:
        return
    tcb.fast_open = FastOpen()
    if not requests.room(now):
        count("fast open: too many are pending")
        return
    period = int(now // KEY_LIFETIME)
    current, previous = (cookie(secret, tcb.flow.remote, max(period - age, 0)) for age in (0, 1))
    if compare_digest(shown, current) or compare_digest(shown, previous):
        tcb.fast_open.done = True
        requests.add(tcb, now)
        count("fast open: done")
    elif shown:
        count("fast open: the cookie is not valid")
    if shown != current:
        tcb.fast_open.option = current


# The client


class Server(NamedTuple):
    """What a client knows of one (4.1.3)."""

    cookie: bytes
    mss: int
    """Octets."""


class KnownServers:
    """A client's cookies, one for each pair of addresses; and the paths on which Fast Open has failed (4.1.3.1).

    Either is bounded: what is known longest makes room.
    """

    def __init__(self) -> None:
        self._servers: dict[tuple[str, str], Server] = {}
        self._failed: dict[Path, tuple[float, float]] = {}
        """Until when it is spared, and for how long that is."""

    def get(self, local: str, remote: str) -> Server | None:
        return self._servers.get((local, remote))

    def learn(self, local: str, remote: str, server: Server) -> None:
        remember(self._servers, (local, remote), server)

    def paused(self, path: Path, now: float) -> bool:
        """Has it failed lately?"""
        return now < self._failed.get(path, (now, 0.0))[0]

    def failed(self, path: Path, now: float) -> None:
        """It has failed, once more perhaps."""
        before = self._failed.get(path, (0.0, FIRST_PAUSE / 2))[1]
        pause = min(2 * before, LONGEST_PAUSE)
        remember(self._failed, path, (now + pause, pause))

    def worked(self, path: Path) -> None:
        self._failed.pop(path, None)


def remember(known: dict[K, V], key: K, value: V) -> None:
    known.pop(key, None)
    if len(known) >= MOST_SERVERS:
        del known[next(iter(known))]
    known[key] = value


def ask(tcb: Tcb, known: KnownServers, now: float) -> None:
    """Before the SYN of an active OPEN: let it bring text, or else a request for a cookie."""
    if known.paused(path(tcb.flow), now):
        tcb.counters["fast open: it failed here lately"] += 1
        return
    tcb.fast_open = state = FastOpen(b"", known=known)
    if (server := known.get(tcb.flow.local, tcb.flow.remote)) is not None:
        narrow = tcb.path.known[0] if tcb.path.known is not None else tcb.rcv.mss
        state.option, state.room = server.cookie, min(server.mss, LARGEST_MSS[version(tcb.flow)], tcb.rcv.mss, narrow)


def path(flow: Flow) -> Path:
    return flow.local, flow.remote, flow.remote_port


def version(flow: Flow) -> int:
    return 6 if ":" in flow.remote else 4


# What is sent


def option(tcb: Tcb, others: Options) -> bytes | None:
    """What our SYN or SYN,ACK says beside these. One that goes out again says nothing, in case it was dropped for it;
    nor does one that has no space for it (4.2.1, 4.2.2)."""
    state = tcb.fast_open
    if state is None or state.option is None or tcb.snd.nxt > tcb.snd.iss:
        return None
    fields = (others.mss, others.window_scale, others.user_timeout)
    octets = 4 * sum(field is not None for field in fields) + (12 if others.timestamps else 4 * others.sack_permitted)
    return state.option if octets + tcb.signature_octets + 2 + len(state.option) <= LONGEST else None


def text(tcb: Tcb, options: Options) -> bytes:
    """What a SYN with these options brings: text, if a cookie goes with it. Space is left for all options that there
    may be, as kernels do."""
    state = tcb.fast_open
    if state is None or not options.fast_open or tcb.state is not State.SYN_SENT:
        return b""
    data = tcb.send_buffer.peek(tcb.snd.iss + 1, max(state.room - LONGEST, 0))
    state.sent = len(data)
    if data:
        path_mtu.sent(tcb, LONGEST + state.sent, tcb.snd.iss + 1 + state.sent)
    return bytes(data)


# What comes of it, at the client


def answered(tcb: Tcb, seg: Segment, now: float) -> None:
    """Our SYN is acknowledged: note what the server gave, and whether the path and the server take text in a SYN (4.2.2
    "Receiving SYN-ACK"; 4.1.3.1). What was not acknowledged with it goes out again at once."""
    state, flow, snd = tcb.fast_open, tcb.flow, tcb.snd
    if state is None or state.known is None:
        return
    state.done = bool(state.sent) and snd.una > snd.iss + 1
    given = seg.options.fast_open if seg.flags & SYN else None
    server = state.known.get(flow.local, flow.remote)
    if seg.flags & SYN and (latest := given or (server.cookie if server else b"")):
        state.known.learn(flow.local, flow.remote, Server(latest, tcb.path.most))
    if given or state.done:
        state.known.worked(path(flow))
    elif state.sent or tcb.retransmissions:
        state.known.failed(path(flow), now)
    if snd.una < snd.nxt:
        tcb.recovery.take_for_lost(snd.una, snd.nxt)


def unanswered(tcb: Tcb, now: float) -> None:
    """The connection ended in SYN-SENT, in an error. It may be for what our SYN said; so the next one says less."""
    if tcb.fast_open is not None and tcb.fast_open.known is not None:
        tcb.fast_open.known.failed(path(tcb.flow), now)
