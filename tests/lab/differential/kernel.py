"""The Linux kernel as the host under test, in a network namespace whose only cable ends in our hands."""

from __future__ import annotations

import errno
import socket
import struct
import time
from collections import defaultdict
from contextlib import suppress

import trio
from pyroute2 import IPRoute

from tests.lab.differential.peer import Peer
from tests.lab.differential.script import Step
from usertcp.lab.cable import IFA_F_NODAD, finish_every_packet
from usertcp.lab.kernel_states import KernelStates
from usertcp.lab.namespaces import CLONE_NEWNET, Namespace, unshare
from usertcp.tcp.segment import Flow
from usertcp.tcp.state import State

ADDRESS, ADDRESS6 = "192.0.2.1", "2001:db8::1"
ETH_P_IP, ETH_P_IPV6, TCP_FASTOPEN_CONNECT = 0x0800, 0x86DD, 30
MTU, MTU6 = 1500, 1520
"""So that the host offers the same MSS in both."""
MACS = bytes.fromhex("020000000001 020000000002")
"""At the beginning of a frame to the host."""
HOST_MAC = "02:00:00:00:00:01"
WIRE_MAC = "02:00:00:00:00:03"
"""Not where the host's packets go to: they are for us, and not for the kernel at this end of the cable."""


class Wire:
    """A network namespace of its own, and the far end of its cable. Every address beyond it is a peer."""

    def __init__(self, sysctls: tuple[tuple[str, str], ...], version: int) -> None:
        protocol, mtu = (ETH_P_IP, MTU) if version == 4 else (ETH_P_IPV6, MTU6)
        self._header = MACS + struct.pack("!H", protocol)
        self._destination = slice(16, 20) if version == 4 else slice(24, 40)
        self._family = socket.AF_INET if version == 4 else socket.AF_INET6
        unshare(CLONE_NEWNET)
        self.namespace = Namespace()
        with IPRoute() as ipr:
            far = {"ifname": "wire", "address": WIRE_MAC}
            ipr.link("add", kind="veth", ifname="host", address=HOST_MAC, peer=far)
            finish_every_packet("host")
            index, end = ipr.link_lookup(ifname="host")[0], ipr.link_lookup(ifname="wire")[0]
            ipr.link("set", index=index, mtu=mtu, state="up", arp=False)
            ipr.link("set", index=end, mtu=mtu, state="up")
            while ipr.link("get", index=index)[0].get("operstate") != "UP":
                time.sleep(0.01)
            ipr.addr("add", index=index, address=ADDRESS, prefixlen=24)
            ipr.addr("add", index=index, address=ADDRESS6, prefixlen=64, flags=IFA_F_NODAD)
        for name, value in (*sysctls, ("net.ipv4.tcp_no_metrics_save", "1")):
            self.namespace.sysctl(name, value)
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(protocol))
        self._socket.bind(("wire", protocol))
        self._sent: defaultdict[str, list[bytes]] = defaultdict(list)
        self.states = KernelStates(self.namespace)

    def send(self, packet: bytes) -> None:
        """To the host."""
        self._socket.send(self._header + packet)

    def collect(self) -> None:
        """Take what the host has sent, for all peers. Often, for the kernel keeps little of it."""
        with suppress(BlockingIOError):
            while True:
                packet = self._socket.recv(65536)[len(self._header) :]
                self._sent[socket.inet_ntop(self._family, packet[self._destination])].append(packet)

    def sent(self, peer: str) -> list[bytes]:
        """What the host has sent to a peer since the last time this was asked."""
        self.collect()
        return self._sent.pop(peer, [])


class KernelHost:
    """Sockets of a kernel, as `tests.lab.differential.play.Host`."""

    def __init__(self, wire: Wire, flow: Flow) -> None:
        self.peer = Peer(flow)
        self._wire = wire
        self._options: dict[str, str] = {}
        self._listener: socket.socket | None = None
        self._socket: socket.socket | None = None

    def call(self, step: Step) -> str:
        flow = self.peer.flow
        match step.verb:
            case "set":
                self._options.update(step.options)
                if self._socket is not None:
                    setsockopts(self._socket, step.options)
            case "listen":
                self._listener = self._new_socket()
                self._listener.listen()
            case "accept":
                assert self._listener is not None
                self._socket, _ = self._listener.accept()
                self._socket.setblocking(False)
                setsockopts(self._socket, {name: self._options[name] for name in self._options if name != "fastopen"})
            case "connect" | "fast-connect":
                self._socket = self._new_socket()
                self._socket.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, step.verb == "fast-connect")
                error = self._socket.connect_ex((flow.remote, flow.remote_port))
                if error not in (0, errno.EINPROGRESS):
                    return errno.errorcode[error]
                if step.argument not in ("", "0"):
                    self._socket.send(bytes(step.octets))
            case "close" if self._socket is None:
                assert self._listener is not None
                self._listener.close()
            case _:
                assert self._socket is not None, step.text
                return self._connected(self._socket, step)
        return ""

    def _connected(self, sock: socket.socket, step: Step) -> str:
        match step.verb:
            case "write":
                return str(sock.send(bytes(step.octets), socket.MSG_NOSIGNAL))
            case "urgent":
                return str(sock.send(bytes(step.octets), socket.MSG_OOB | socket.MSG_NOSIGNAL))
            case "read":
                return str(len(sock.recv(step.octets)) or "end")
            case "shutdown":
                sock.shutdown(socket.SHUT_WR)
            case "close":
                sock.close()
            case "abort":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.close()
            case _:
                raise AssertionError(step.text)
        return ""

    def arrives(self, packet: bytes) -> None:
        self._wire.send(packet)

    async def wait(self, seconds: float) -> None:
        self._wire.collect()
        await trio.sleep(seconds)

    def sent(self) -> list[bytes]:
        return self._wire.sent(self.peer.flow.remote)

    @property
    def state(self) -> str:
        found = self._wire.states.find(self.peer.flow.reversed)
        return str(found.state if found else State.CLOSED)

    def _new_socket(self) -> socket.socket:
        with self._wire.namespace.inside():
            sock = socket.socket(socket.AF_INET6 if ":" in self.peer.flow.local else socket.AF_INET)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((self.peer.flow.local, self.peer.flow.local_port))
        setsockopts(sock, self._options)
        return sock


def setsockopts(sock: socket.socket, options: dict[str, str]) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)  # RFC 6093, 6
    for name, value in options.items():
        match name:
            case "nodelay":
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, int(value))
            case "keepalive":
                idle, interval, count = map(int, value.split(","))
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, count)
            case "user_timeout":
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(float(value) * 1000))
            case "rcvbuf":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, int(value))
            case "fastopen":
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, int(value))
            case "mss":
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, int(value))
            case _:
                raise AssertionError(name)
