"""Keeping the kernel's RSTs in: it knows nothing of our connections, and would reset every one of them.

A segment for a port where the kernel has no connection makes it answer with a RST (RFC 9293, 3.10.7.1), also when a
socket is bound there. A guard drops these on their way out: TCP, RST set, from a claimed port, not marked as ours. Our
own RSTs pass the same hook, since raw IP sockets do; they carry `MARK`.

Better it drops the peer's segments on their way in, which spares the kernel the work: it would look for a connection
and make a RST of each segment that we receive. But that hides them from raw IP sockets; only to packet sockets, as
tcpdump's are, do they come before. So it is for links that receive by those.

Either rule serves all interfaces, loopback included, does not meet what is only forwarded, and drops only what nobody
else can have meant: the port is reserved for us (`usertcp.link.reservation`).
"""

from __future__ import annotations

import errno
import select
import socket
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache, partial
from typing import NamedTuple

from usertcp.errors import SetupError
from usertcp.link import iptables, nftables
from usertcp.link.interfaces import scope_id

MARK = 0x1006
"""SO_MARK of the sockets that send our segments. It has none of the bits that kube-proxy (0x4000, 0x8000), container
port maps (0x2000), Cilium (0x0f00), Calico or Tailscale (the upper half) look for under a mask."""
RST = 0x04
ACTIVE_PORTS = (61000, 65535)
"""What `scripts/rst-guard` covers unless told otherwise: the default of `Config.port_range`."""


class Claim(NamedTuple):
    """What a guard keeps quiet: a local port, of one address or all (""), towards one peer or all ("")."""

    local: str
    port: int
    peer: str

    @property
    def family(self) -> socket.AddressFamily | None:
        """The address family that it is about; None is both."""
        address = self.local or self.peer
        if not address:
            return None
        return socket.AF_INET6 if ":" in address else socket.AF_INET


class Guard(ABC):
    """One way to keep the kernel quiet. Claims are counted: the end of the last one undoes it."""

    takes_many = False
    """Many claims at once cost hardly more than one."""

    def __init__(self) -> None:
        self._claims: Counter[Claim] = Counter()

    @contextmanager
    def suppress(self, port: int, *, local: str = "", peer: str = "") -> Iterator[None]:
        """No RST of the kernel leaves from *port* while the context lasts.

        Args:
          local: the address that the port belongs to; "" for all.
          peer: towards whom; "" for everybody.

        Raises:
          SetupError: it cannot be done; the message says what to run.
        """
        with self.suppress_all([Claim(local, port, peer)]):
            yield

    @contextmanager
    def suppress_all(self, claims: Sequence[Claim]) -> Iterator[None]:
        """The same for some claims at once.

        Raises:
          SetupError: it cannot be done; the message says what to run.
        """
        try:
            self._add([claim for claim in claims if claim not in self._claims])
        except OSError as error:
            raise SetupError(f"{error}\n{remedy(claims[0].port)}") from error
        self._claims.update(claims)
        try:
            yield
        finally:
            held = [claim for claim in claims if claim in self._claims]  # None, if the guard was closed meanwhile.
            self._claims.subtract(held)
            over = [claim for claim in held if not self._claims[claim]]
            for claim in over:
                del self._claims[claim]
            self._remove(over)

    def close(self) -> None:
        """Undo everything. Idempotent."""
        self._remove(list(self._claims))
        self._claims.clear()

    @abstractmethod
    def _add(self, claims: Sequence[Claim]) -> None:
        """Begin to drop."""

    @abstractmethod
    def _remove(self, claims: Sequence[Claim]) -> None:
        """Stop dropping."""


class NftablesGuard(Guard):
    """A table of our own over netlink, which the kernel deletes when this process ends, however it ends.

    The rules do not grow with the claims. There is one for each shape of claim (its family, with or without a local
    address, with or without a peer) and a set of keys that it looks into. Adding claims is adding keys: some 0.1 ms,
    however many they are.

    Raises:
      OSError: no CAP_NET_ADMIN, or no nf_tables in this kernel.
    """

    takes_many = True

    def __init__(self, *, inbound: bool = False) -> None:
        """*inbound*: drop the peer's segments, not the kernel's answers."""
        super().__init__()
        self._inbound = inbound
        self._chain = "input" if inbound else "output"
        self._sets: set[str] = set()
        self._table = nftables.OwnedTable()
        self._table.add_chain(self._chain)

    def _add(self, claims: Sequence[Claim]) -> None:
        for claim in claims:
            if (name := set_name(claim.family, bool(claim.local), bool(claim.peer))) not in self._sets:
                self._add_set_and_rule(name, claim)
        self._table.add_elements(keys(claims))

    def _add_set_and_rule(self, name: str, claim: Claim) -> None:
        about, fields = nftables.tcp(), [nftables.DESTINATION_PORT if self._inbound else nftables.SOURCE_PORT]
        if claim.family is not None:
            source, destination = nftables.SOURCE_ADDRESS[claim.family], nftables.DESTINATION_ADDRESS[claim.family]
            local, peer = (destination, source) if self._inbound else (source, destination)
            about = [*nftables.family_is(claim.family), *about]
            fields = [*([local] if claim.local else []), *fields, *([peer] if claim.peer else [])]
        if not self._inbound:
            about += [*nftables.has_flag(RST), *nftables.mark_is_not(MARK)]
        self._table.add_set(name, fields)
        self._table.add_rule(self._chain, [*about, *nftables.in_set(name, fields), *nftables.drop()])
        self._sets.add(name)

    def _remove(self, claims: Sequence[Claim]) -> None:
        self._table.remove_elements(keys(claims))

    def close(self) -> None:
        self._claims.clear()
        self._table.close()


@lru_cache
def set_name(family: socket.AddressFamily | None, local: bool, peer: bool) -> str:
    """The set for claims of this shape, with an address or a peer or without, as `nft list ruleset` shows it."""
    version = [] if family is None else ["ip"] if family == socket.AF_INET else ["ip6"]
    return "-".join([*version, *(["local"] if local else []), "port", *(["peer"] if peer else [])])


def keys(claims: Sequence[Claim]) -> dict[str, list[bytes]]:
    """What stands for these claims in which set."""
    found: dict[str, list[bytes]] = {}
    for claim in claims:
        found.setdefault(set_name(claim.family, bool(claim.local), bool(claim.peer)), []).append(key(claim))
    return found


def key(claim: Claim) -> bytes:
    """A claim as a key of its set: the fields in the order of the packet, each filled up to whole registers."""
    return packed(claim.local) + claim.port.to_bytes(2, "big") + b"\0\0" + packed(claim.peer)


def packed(address: str) -> bytes:
    """An address as on the wire; nothing for ""."""
    if not address:
        return b""
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


class IptablesGuard(Guard):
    """One iptables rule per claim and family, for kernels without nf_tables.

    Rules that a killed process left are removed by the next such guard, and by `scripts/rst-guard up` and `down`.

    Raises:
      OSError: neither iptables nor ip6tables works here.
    """

    def __init__(self) -> None:
        super().__init__()
        self._commands = iptables.usable()
        if not self._commands:
            raise OSError(errno.EPERM, "no iptables")
        for command in self._commands:
            iptables.sweep(command)
        self._owner, self._alive = iptables.owner()

    def _add(self, claims: Sequence[Claim]) -> None:
        for claim in claims:
            self._run("-I", claim)

    def _remove(self, claims: Sequence[Claim]) -> None:
        for claim in claims:
            self._run("-D", claim)

    def _run(self, verb: str, claim: Claim) -> None:
        addresses = (["-s", claim.local] if claim.local else []) + (["-d", claim.peer] if claim.peer else [])
        match = ["-p", "tcp", "--sport", str(claim.port), "--tcp-flags", "RST", "RST"]
        not_ours = ["-m", "mark", "!", "--mark", hex(MARK)]
        tag = ["-m", "comment", "--comment", self._owner]
        for command in self._commands:
            if claim.family in (None, iptables.FAMILY[command]):
                iptables.run(command, verb, "OUTPUT", *addresses, *match, *not_ours, *tag, "-j", "DROP")

    def close(self) -> None:
        super().close()
        self._alive.close()


class StandingGuard(Guard):
    """Somebody else's rule, most often `scripts/rst-guard up`: we may not read it, but we can try whether it works."""

    def _add(self, claims: Sequence[Claim]) -> None:
        for claim in claims:
            if kernel_resets(claim.local, claim.port):
                raise SetupError(remedy(claim.port))

    def _remove(self, claims: Sequence[Claim]) -> None:
        pass


def open_guard(*, inbound: bool = False) -> Guard:
    """The best guard that this machine lets us have: our own by nf_tables, our own by iptables, or a standing one.

    *inbound*: the peer's segments may be dropped, since whoever is to see them does so before netfilter.
    """
    for kind in (partial(NftablesGuard, inbound=inbound), IptablesGuard):
        try:
            return kind()
        except OSError:
            continue
    return StandingGuard()


@contextmanager
def rst_guard(port: int, *, local: str = "", peer: str = "") -> Iterator[None]:
    """No RST of the kernel leaves from *port* while the context lasts: `scripts/rst-guard` for the length of a block.

    For use without a link. It does not reserve the port; `RawLink.claim` does both.

    Raises:
      SetupError: it cannot be done; the message says what to run.
    """
    with ExitStack() as stack:
        guard = open_guard()
        stack.callback(guard.close)
        stack.enter_context(guard.suppress(port, local=local, peer=peer))
        yield


def remedy(port: int) -> str:
    """What to do where no guard can be had."""
    low, high = ACTIVE_PORTS
    ports = f"{low}-{high}" if low <= port <= high else str(port)
    return f"""\
nothing keeps this kernel from resetting our connections. One of these does:
  sudo scripts/rst-guard up --ports {ports}    (stands until `sudo scripts/rst-guard down`)
  root, or the capability NET_ADMIN (in a container: --cap-add NET_ADMIN): then it is done without being asked"""


def kernel_resets(local: str, port: int) -> bool:
    """Whether the kernel answers a SYN for *port*, where nobody listens, with a RST: tried over loopback.

    A rule that is scoped to other peers than ourselves does not show.
    """
    address = local or "127.0.0.1"
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        destination = (address, port, 0, scope_id(address)) if family == socket.AF_INET6 else (address, port)
        if sock.connect_ex(destination) == errno.ECONNREFUSED:
            return True
        # Loopback answers within the call; some milliseconds are for kernels that leave it to another thread.
        poll = select.poll()
        poll.register(sock, select.POLLOUT)
        return bool(poll.poll(5)) and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED
