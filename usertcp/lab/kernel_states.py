"""The state of a connection in the peer's kernel, asked over netlink (sock_diag: what `ss` uses).

Asking takes some 50 us and does not wait. The peer's kernel handles a packet of ours within our send call, so that
who asks after each packet sees states that last no longer than that, SYN-RECEIVED and LAST-ACK among them.
"""

from __future__ import annotations

import errno
import socket
import struct
from typing import NamedTuple

from usertcp.lab.namespaces import Namespace
from usertcp.tcp.segment import Flow
from usertcp.tcp.state import State

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY, NLMSG_ERROR, NLM_F_REQUEST = 20, 2, 1
INET_DIAG_INFO = 2
ALL_STATES = 0xFFFFFFFF
ANY_COOKIE = b"\xff" * 8

HEADER = struct.Struct("=IHHII")
REQUEST = struct.Struct("=BBBxI")
SOCKET_ID = struct.Struct("!HH16s16s")
ANSWER = struct.Struct("=BBBB48xIIIII")
ERROR = struct.Struct("=i")
ATTRIBUTE = struct.Struct("=HH")

STATES = {
    1: State.ESTABLISHED,
    2: State.SYN_SENT,
    3: State.SYN_RECEIVED,
    4: State.FIN_WAIT_1,
    5: State.FIN_WAIT_2,
    6: State.TIME_WAIT,
    7: State.CLOSED,
    8: State.CLOSE_WAIT,
    9: State.LAST_ACK,
    10: State.LISTEN,
    11: State.CLOSING,
    12: State.SYN_RECEIVED,  # TCP_NEW_SYN_RECV: a request that has no socket yet
}
"""Linux's numbers (include/net/tcp_states.h) in the RFC's terms."""

TIMERS = {0: "", 1: "retransmission", 2: "keepalive or close", 3: "TIME-WAIT", 4: "zero-window probe"}

INFO_OCTETS = ("", "", "retransmits", "probes", "backoff")
INFO_WORDS = (
    "rto", "ato", "snd_mss", "rcv_mss", "unacked", "sacked", "lost", "retrans", "", "last_data_sent", "",
    "last_data_recv", "last_ack_recv", "pmtu", "rcv_ssthresh", "rtt", "rttvar", "snd_ssthresh", "snd_cwnd", "advmss",
    "reordering", "rcv_rtt", "rcv_space", "total_retrans",
)  # fmt: skip
"""The beginning of struct tcp_info, field by field; those without a name are left out."""


class KernelSocket(NamedTuple):
    """What the kernel knows of a connection."""

    state: State
    timer: str
    """What it waits for: a value of `TIMERS`."""
    expires: float
    """In how many seconds the timer does."""
    retransmits: int
    """How often what it waits for has been sent again."""
    receive_queue: int
    """Octets that its user has not read."""
    send_queue: int
    """Octets that are not acknowledged, sent or not."""
    info: dict[str, int]
    """The beginning of Linux's TCP_INFO, in its names and units. Empty where no full socket is left: SYN-RECEIVED,
    TIME-WAIT."""


class KernelStates:
    """Asks the kernel of a namespace, for as long as this process lives. Callable, as `usertcp.trace` wants it."""

    def __init__(self, namespace: Namespace) -> None:
        with namespace.inside():
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_SOCK_DIAG)
        self._seen: dict[Flow, list[str]] = {}

    def __call__(self, flow: Flow) -> str | None:
        """The kernel's state of a connection, in the RFC's spelling.

        A listening socket stands for a flow before it begins, and for none that is over: that one is CLOSED.
        None: nothing is known of it.
        """
        found = self.find(flow)
        seen = self._seen.setdefault(flow, [])
        state: State
        if found and found.state is not State.LISTEN:
            state = found.state
        elif seen and seen != [str(State.LISTEN)]:
            state = State.CLOSED
        elif found:
            state = State.LISTEN
        else:
            return None
        if not seen or seen[-1] != str(state):
            seen.append(str(state))
        return str(state)

    def seen(self, flow: Flow) -> list[str]:
        """The states that a connection was in whenever somebody asked, in order."""
        return self._seen.get(flow, [])

    def find(self, flow: Flow) -> KernelSocket | None:
        """What the kernel has for a pair of sockets: a connection in any state, else the socket that listens there,
        else None.

        Args:
          flow: from our side; its remote end is the kernel's.
        """
        self._socket.send(_request(flow))
        answer = self._socket.recv(65536)
        length, kind, *_ = HEADER.unpack_from(answer)
        if kind == NLMSG_ERROR:
            (number,) = ERROR.unpack_from(answer, HEADER.size)
            if -number == errno.ENOENT:
                return None
            raise OSError(-number, "sock_diag")
        return _read(answer[HEADER.size : length])


def _request(flow: Flow) -> bytes:
    family = socket.AF_INET6 if ":" in flow.remote else socket.AF_INET
    addresses = [socket.inet_pton(family, address).ljust(16, b"\0") for address in (flow.remote, flow.local)]
    body = REQUEST.pack(family, socket.IPPROTO_TCP, 1 << (INET_DIAG_INFO - 1), ALL_STATES)
    body += SOCKET_ID.pack(flow.remote_port, flow.local_port, *addresses) + bytes(4) + ANY_COOKIE
    return HEADER.pack(HEADER.size + len(body), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 0, 0) + body


def _read(message: bytes) -> KernelSocket:
    _, state, timer, retransmits, expires, receive_queue, send_queue, _, _ = ANSWER.unpack_from(message)
    info: dict[str, int] = {}
    at = ANSWER.size
    while at + ATTRIBUTE.size <= len(message):
        length, kind = ATTRIBUTE.unpack_from(message, at)
        if kind == INET_DIAG_INFO:
            info = _info(message[at + ATTRIBUTE.size : at + length])
        at += (length + 3) & ~3
    return KernelSocket(
        STATES[state], TIMERS.get(timer, ""), expires / 1000, retransmits, receive_queue, send_queue, info
    )


def _info(octets: bytes) -> dict[str, int]:
    words = struct.unpack_from(f"={len(INFO_WORDS)}I", octets, 8) if len(octets) >= 8 + 4 * len(INFO_WORDS) else ()
    named = [*zip(INFO_OCTETS, octets, strict=False), *zip(INFO_WORDS, words, strict=False)]
    return {name: value for name, value in named if name}
