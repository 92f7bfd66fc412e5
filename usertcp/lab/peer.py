"""The other host: a Linux kernel's TCP, whose sockets are ordinary Trio streams in this process.

The sockets are made in the peer's namespace and stay there, so an experiment drives both ends from one task:

    listener = peer.listen(80)
    ours = await lab.connect(80)
    theirs = await listener.accept()
    await theirs.send_all(b"hello")
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

import trio
from pyroute2 import IPRoute

from usertcp.lab import cable
from usertcp.lab.kernel_states import KernelSocket, KernelStates
from usertcp.lab.namespaces import Namespace
from usertcp.tcp.segment import Flow

RT_SCOPE_LINK = 253
TCP_FASTOPEN, TCP_FASTOPEN_CONNECT = 23, 30
IP_MTU_DISCOVER, IP_PMTUDISC_OMIT = 10, 5
TCP_MD5SIG_EXT, TCP_MD5SIG_FLAG_PREFIX = 32, 1
MD5_SIGNATURE_OPTION = struct.Struct("=128sBBHi80s")
"""tcp_md5sig: address, flags, prefix length, length of the key, interface, key."""

Handler = Callable[[trio.SocketStream], Awaitable[object]]
"""Serves one connection, and closes it if that is to be done gracefully: what it leaves open is reset."""


class Peer:
    """The kernel at the other end of the cable.

    Addresses are text; a host of None stands for the IPv4 address.
    """

    address = cable.PEER.address
    address6 = cable.PEER.address6

    def __init__(self, namespace: Namespace) -> None:
        self.namespace = namespace
        self.states = KernelStates(namespace)
        # A connection that nobody owns keeps its namespace alive until it is given up: after 6 s then, not 100.
        self.sysctl("net.ipv4.tcp_orphan_retries", 4)
        self._path_mtu_discovery: int | None = None
        self._streams: list[trio.SocketStream] = []
        self._listeners: list[trio.SocketListener] = []

    def state(self, flow: Flow) -> str | None:
        """The kernel's state of a connection; see `KernelStates`. *flow* is from our side, as `TcpStream.flow` has
        it."""
        return self.states(flow)

    def info(self, flow: Flow) -> KernelSocket | None:
        """All that the kernel tells of a connection; see `KernelStates.find`."""
        return self.states.find(flow)

    async def reaches(self, flow: Flow, *states: str) -> None:
        """Wait until the kernel's state of a connection is one of these. It can only be asked again and again.

        Raises:
          trio.TooSlowError: it did not get there in 10 seconds.
        """
        with trio.fail_after(10):
            while True:
                if self.state(flow) in states:
                    return
                await trio.sleep(0.002)

    def sysctl(self, name: str, value: object) -> None:
        """Set a kernel parameter of the peer: `peer.sysctl("net.ipv4.tcp_sack", 0)`."""
        self.namespace.sysctl(name, value)

    def counter(self, name: str) -> int:
        """What the peer's kernel has counted under a name of `nstat`: `peer.counter("TcpExtTCPMD5Failure")`."""
        with self.namespace.inside():
            lines = Path("/proc/thread-self/net/netstat").read_text().splitlines()
        for names, values in zip(lines[::2], lines[1::2], strict=True):
            group, *rest = names.split()
            counts = dict(zip((group[:-1] + each for each in rest), values.split()[1:], strict=True))
            if name in counts:
                return int(counts[name])
        raise KeyError(name)

    def neighbour(self, address: str) -> str:
        """The hardware address that the peer's kernel knows for an address on the cable; "" if none."""
        with self.namespace.inside(), IPRoute() as ipr:
            known = [each.get("lladdr") for each in ipr.get_neighbours(dst=address)]
        return str(known[0] or "") if known else ""

    def fragment(self, mtu: int) -> None:
        """Let no packet above *mtu* octets onto the cable, and do not tell TCP: its IPv4 segments go in fragments.

        For sockets that are made afterwards. The peer takes no larger packets either.
        """
        with self.namespace.inside(), IPRoute() as ipr:
            (index,) = ipr.link_lookup(ifname=cable.PEER.interface)
            ipr.route("add", dst=f"{cable.OURS.address}/32", oif=index, metrics={"mtu": 1500}, scope=RT_SCOPE_LINK)
            ipr.link("set", index=index, mtu=mtu)
        self._path_mtu_discovery = IP_PMTUDISC_OMIT

    def listen(
        self, port: int, *, host: str | None = None, receive_buffer: int | None = None, md5_key: bytes | None = None
    ) -> trio.SocketListener:
        """Have the kernel listen.

        Args:
          receive_buffer: octets (SO_RCVBUF) for each connection; the kernel doubles it and keeps part of it for
            itself. None: it chooses.
          md5_key: what it shares with us (RFC 2385).
        """
        sock = self._socket(host or self.address, port, receive_buffer, md5_key)
        sock.listen()
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
        self._listeners.append(listener)
        return listener

    async def accept(self, listener: trio.SocketListener) -> trio.SocketStream:
        """Take the next connection of a listener."""
        stream = await listener.accept()
        self._streams.append(stream)
        return stream

    async def connect(
        self,
        port: int,
        *,
        host: str | None = None,
        local_port: int = 0,
        receive_buffer: int | None = None,
        md5_key: bytes | None = None,
        fast_open: bool = False,
    ) -> trio.SocketStream:
        """Have the kernel call us.

        Args:
          host: our address that it calls.
          local_port: where it calls from. 0: it chooses.
          md5_key: what it shares with us (RFC 2385).
          fast_open: it asks for a cookie (RFC 7413). If it has one, no SYN goes out before there is text to go with it.

        Raises:
          OSError: what the kernel says when it fails.
        """
        host = host or cable.OURS.address
        sock = trio.socket.from_stdlib_socket(
            self._socket(self.address6 if ":" in host else self.address, local_port, receive_buffer, md5_key)
        )
        if fast_open:
            sock.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)
        try:
            await sock.connect((host, port))
        except BaseException:
            sock.close()
            raise
        stream = trio.SocketStream(sock)
        self._streams.append(stream)
        return stream

    async def serve(
        self,
        handler: Handler,
        port: int,
        *,
        host: str | None = None,
        md5_key: bytes | None = None,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve connections until cancelled: `await nursery.start(peer.serve, echo, 7)`. *task_status* tells when
        the kernel listens."""
        listener = self.listen(port, host=host, md5_key=md5_key)
        task_status.started()
        async with trio.open_nursery() as nursery:
            while True:
                stream = await self.accept(listener)
                nursery.start_soon(self._serve_one, handler, stream)

    async def _serve_one(self, handler: Handler, stream: trio.SocketStream) -> None:
        try:
            await handler(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # We broke it off, which is what experiments do.
        finally:
            self.reset(stream)

    def forge(self, packet: bytes) -> None:
        """Put an IPv4 packet onto the cable as it is, whatever address it says it is from."""
        with self.namespace.inside(), socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sock:
            sock.sendto(packet, (socket.inet_ntop(socket.AF_INET, packet[16:20]), 0))

    def reset(self, stream: trio.SocketStream) -> None:
        """Close a connection with a RST: the kernel's form of ABORT (SO_LINGER with no time to linger). None that
        is closed."""
        if stream.socket.fileno() >= 0:
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            stream.socket.close()

    def _socket(self, host: str, port: int, receive_buffer: int | None, md5_key: bytes | None) -> socket.socket:
        with self.namespace.inside():
            sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if self._path_mtu_discovery is not None:
            sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, self._path_mtu_discovery)
        if md5_key is not None:
            sock.setsockopt(socket.IPPROTO_TCP, TCP_MD5SIG_EXT, md5_signature_option(sock.family, md5_key))
        sock.bind((host, port))
        sock.setblocking(False)
        return sock

    def reset_all(self) -> None:
        """Listen no more, and reset every connection that is left."""
        for listener in self._listeners:
            listener.socket.close()
        for stream in self._streams:
            self.reset(stream)
        self._listeners.clear()
        self._streams.clear()


def md5_signature_option(family: int, key: bytes) -> bytes:
    """What a kernel's socket is told for a key that it shares with every peer."""
    return MD5_SIGNATURE_OPTION.pack(struct.pack("=H", family), TCP_MD5SIG_FLAG_PREFIX, 0, len(key), 0, key)


async def echo(stream: trio.SocketStream) -> None:
    """Send back what comes, until the other side has finished; then finish too (RFC 862)."""
    async with stream:
        async for data in stream:
            await stream.send_all(data)


async def discard(stream: trio.SocketStream) -> None:
    """Read and forget, until the other side has finished; then finish too (RFC 863)."""
    async with stream:
        async for _ in stream:
            pass


async def http(stream: trio.SocketStream) -> None:
    """Answer one HTTP/1.0 request with a line of text."""
    async with stream:
        request = b""
        while b"\r\n\r\n" not in request:
            data = await stream.receive_some()
            if not data:
                return
            request += data
        text = b"Hello from the peer's kernel.\n"
        head = f"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(text)}\r\n\r\n"
        await stream.send_all(head.encode() + text)


def source(octets: int) -> Handler:
    """A service that sends so many octets, 0 to 255 over and over, and finishes."""

    async def send(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.send_all(pattern(octets))

    return send


def pattern(octets: int) -> bytes:
    """Octets 0 to 255 over and over: every piece of it shows whether it is in its place, unless moved by a multiple
    of 256."""
    return (bytes(range(256)) * (octets // 256 + 1))[:octets]
