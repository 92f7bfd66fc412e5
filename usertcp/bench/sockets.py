"""The programs over plain sockets: for the peer process, and for the kernel without Trio beside both others."""

from __future__ import annotations

import resource
import select
import socket
from collections.abc import Callable

import trio

from usertcp.bench.measure import (
    DIGEST_SIZE,
    LARGEST_SLICE,
    MESSAGE,
    SINK,
    SLICE,
    SOURCE,
    TAKEN,
    TEXT,
    Sample,
    Setting,
    Slices,
    WrongOctets,
    digest,
    meters,
)
from usertcp.bench.tls import NAME, client_context, server_context
from usertcp.lab import cable

BACKLOG = 4096
EPOLLIN, EPOLLOUT = select.EPOLLIN, select.EPOLLOUT


def allow_descriptors() -> None:
    """As many as this user may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def listen(address: str) -> socket.socket:
    """A listening socket at any port, for connections with CUBIC."""
    sock = socket.socket()
    use_cubic(sock)
    sock.bind((address, 0))
    sock.listen(BACKLOG)
    return sock


def connect(address: str, port: int) -> socket.socket:
    """A connection that sends at once what it is given, as Trio's do."""
    sock = socket.create_connection((address, port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def use_cubic(sock: socket.socket | trio.socket.SocketType) -> None:
    """Whatever the system's default is. It is inherited by what a listening socket accepts."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")


def read(sock: socket.socket, region: memoryview) -> bool:
    """Fill *region*; False if the stream ends before."""
    while region:
        count = sock.recv_into(region)
        if not count:
            return False
        region = region[count:]
    return True


def new_region() -> memoryview:
    """Room for a slice and a digest, in memory that is there already."""
    return memoryview(bytearray(TEXT[: LARGEST_SLICE + DIGEST_SIZE]))


# The peer's services. Each says on the channel where it listens, and serves until it is killed.


def serve_bulk(setting: Setting, *, tls: bool = False) -> None:
    """Sink and source, for one connection."""
    listener = listen(cable.PEER.address)
    setting.channel.send(listener.getsockname()[1])
    sock, _ = listener.accept()
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if tls:
        sock = server_context().wrap_socket(sock, server_side=True)
    header, region = memoryview(bytearray(SLICE.size)), new_region()
    while read(sock, header):
        way, octets, write, shift = SLICE.unpack(header)
        if way == SINK:
            read(sock, region[:octets])
            sock.sendall(TAKEN)
            sock.sendall(digest(region[:octets]))
        else:
            send_slice(sock, TEXT[shift : shift + octets], write)


def send_slice(sock: socket.socket, text: memoryview, write: int) -> None:
    """Send it in writes of so many octets."""
    for at in range(0, len(text), write):
        sock.sendall(text[at : at + write])


class Server:
    """Answers each message by itself, on any number of connections; then closes them, if they are for one exchange."""

    def __init__(self, address: str, *, once: bool) -> None:
        self.listener = listen(address)
        self.listener.setblocking(False)
        self.port: int = self.listener.getsockname()[1]
        self.served = 0
        self._once = once
        self._poll = select.epoll()
        self._poll.register(self.listener, EPOLLIN)
        self._socks: dict[int, socket.socket] = {}

    def serve(self, over: Callable[[], bool] = lambda: False) -> None:
        """Until it is over."""
        listener = self.listener.fileno()
        while not over():
            for fd, _ in self._poll.poll(0.1):
                if fd == listener:
                    self._accept()
                else:
                    self._answer(self._socks[fd])

    def _accept(self) -> None:
        for _ in range(64):
            try:
                sock, _ = self.listener.accept()
            except BlockingIOError:
                return
            self.add(sock)

    def add(self, sock: socket.socket) -> None:
        """Serve this connection too."""
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socks[sock.fileno()] = sock
        self._poll.register(sock, EPOLLIN)

    def _answer(self, sock: socket.socket) -> None:
        try:
            data = sock.recv(65536)
            if data:
                sock.send(data)
        except OSError:
            data = b""  # It was reset: whoever asked has ended.
        if self._once or not data:
            self.served += 1
            del self._socks[sock.fileno()]
            sock.close()


def serve(setting: Setting, *, once: bool) -> None:
    """Answer messages."""
    server = Server(cable.PEER.address, once=once)
    setting.channel.send(server.port)
    server.serve()


class Caller:
    """Connects, sends a message, reads the answer to its end, closes: so many at a time, again and again."""

    def __init__(self, address: str, port: int, at_once: int) -> None:
        self.done = 0
        self._to = address, port
        self._poll = select.epoll()
        self._socks: dict[int, socket.socket] = {}
        self._got: dict[int, bytes] = {}
        for _ in range(at_once):
            self._call()

    def run(self, over: Callable[[], bool] = lambda: False) -> None:
        """Until it is over."""
        while not over():
            for fd, events in self._poll.poll(0.1):
                self._go_on(fd, events)

    def _call(self) -> None:
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.connect_ex(self._to)
        self._socks[sock.fileno()], self._got[sock.fileno()] = sock, b""
        self._poll.register(sock, EPOLLOUT)

    def _go_on(self, fd: int, events: int) -> None:
        sock = self._socks[fd]
        if events & EPOLLOUT:
            sock.send(MESSAGE)
            self._poll.modify(fd, EPOLLIN)
            return
        data = sock.recv(65536)
        self._got[fd] += data
        if not data:
            if self._got[fd] != MESSAGE:
                raise WrongOctets("not what the message was")
            self.done += 1
            del self._socks[fd]
            sock.close()
            self._call()


def call(setting: Setting, *, at_once: int) -> None:
    """Call whoever listens at our end of the cable."""
    address, port = setting.channel.recv()
    Caller(address, port, at_once).run()


def call_and_hold(setting: Setting) -> None:
    """Open many connections, 64 at a time, each of which is greeted with an octet; then answer what comes on them."""
    address, port, number = setting.channel.recv()
    server = Server(cable.PEER.address, once=False)
    for begin in range(0, number, 64):
        socks = [socket.socket() for _ in range(min(64, number - begin))]
        for sock in socks:
            sock.setblocking(False)
            sock.connect_ex((address, port))
        for sock in socks:
            sock.setblocking(True)
            sock.connect((address, port))  # It is under way: this waits for its end.
            sock.recv(1)
            server.add(sock)
    server.serve()


# The programs that are measured


def bulk(setting: Setting, way: bytes, *, write: int, tls: bool = False) -> Sample:
    """One stream: octets, seconds, CPU seconds of this process."""
    sock = connect(cable.PEER.address, setting.channel.recv())
    use_cubic(sock)
    if tls:
        sock = client_context().wrap_socket(sock, server_hostname=NAME)
    region, slices = new_region(), Slices(setting.seconds)
    for shift, text in slices:
        size = len(text)
        request = SLICE.pack(way, size, write, shift)
        if way == SOURCE:
            with slices.timed():
                sock.sendall(request)
                read(sock, region[:size])
            told = digest(region[:size])
        else:
            sock.sendall(request)
            with slices.timed():
                send_slice(sock, text, write)
                read(sock, region[:1])
            read(sock, region[:DIGEST_SIZE])
            told = bytes(region[:DIGEST_SIZE])
        if told != digest(text):
            raise WrongOctets(f"in {size} octets")
    sock.close()
    return slices.sample()


def round_trips(setting: Setting) -> Sample:
    """A message there and back, again and again on one stream."""
    sock = connect(cable.PEER.address, setting.channel.recv())
    answer = memoryview(bytearray(len(MESSAGE)))
    for meter in meters(setting.seconds):
        while not meter.over():
            sock.sendall(MESSAGE)
            read(sock, answer)
            if answer != MESSAGE:
                raise WrongOctets("not what the message was")
            meter.count += 1
        sample = meter.sample()
    return sample


def round_trips_at_once(setting: Setting, *, streams: int) -> Sample:
    """The same on many streams, by epoll."""
    port = setting.channel.recv()
    socks = {sock.fileno(): sock for sock in (connect(cable.PEER.address, port) for _ in range(streams))}
    poll = select.epoll()
    for sock in socks.values():
        poll.register(sock, EPOLLIN)
        sock.sendall(MESSAGE)
    for meter in meters(setting.seconds):
        while not meter.over():
            for fd, _ in poll.poll():
                if socks[fd].recv(65536) != MESSAGE:
                    raise WrongOctets("not what the message was")
                socks[fd].sendall(MESSAGE)
                meter.count += 1
        sample = meter.sample()
    return sample


def connections(setting: Setting, *, at_once: int) -> Sample:
    """Connections opened, used for one exchange and closed."""
    caller = Caller(cable.PEER.address, setting.channel.recv(), at_once)
    return counted(setting, caller.run, lambda: caller.done)


def accepts(setting: Setting) -> Sample:
    """The same, called by the peer."""
    server = Server(cable.OURS.address, once=True)
    setting.channel.send((cable.OURS.address, server.port))
    return counted(setting, server.serve, lambda: server.served)


def counted(setting: Setting, run: Callable[[Callable[[], bool]], None], count: Callable[[], int]) -> Sample:
    """What has been done more, at the end of the time that counts, than at its beginning."""
    for meter in meters(setting.seconds):
        before = count()
        run(meter.over)
        meter.count = count() - before
        sample = meter.sample()
    return sample
