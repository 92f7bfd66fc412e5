"""Where it is measured: two namespaces joined by a cable, and for each run two fresh processes, one at each end."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import NamedTuple

from usertcp.bench import sockets
from usertcp.bench.figures import Run, Work
from usertcp.bench.measure import BenchLink, Sample, Setting
from usertcp.lab import cable, namespaces
from usertcp.lab.namespaces import Namespaces
from usertcp.lab.parent import Parent
from usertcp.link import Link
from usertcp.link.tun import TunLink
from usertcp.runtime.opening import named_link

TIME_LIMIT, GRACE = 60.0, 2.0
"""Seconds of silence after which a run has failed, and that our end has when the peer has failed."""
TUN_OURS, TUN_PEER = "198.51.100.1", "198.51.100.2/24"
"""The addresses of a TUN device's ends."""
SYSCTLS = {"net.ipv4.tcp_orphan_retries": 4, "net.ipv4.ip_local_port_range": "10000 60999"}
"""Of both kernels: no connection is left over for long, and there are ports enough for many."""

FORK = get_context("fork")
"""A fork starts in milliseconds, and nothing in this process has a thread."""


class Failed(Exception):
    """A run came to nothing; the message says why."""


class Progress(NamedTuple):
    """Said before the outcome."""

    what: str


class Arena:
    """Runs things at the two ends of the cable, one run at a time."""

    def __init__(self, made: Namespaces) -> None:
        self._namespaces = made
        self._parent = Parent()
        gc.collect()
        gc.freeze()  # What is there now is not looked through by the processes that measure.

    def run(
        self,
        work: Work,
        contestant: str,
        link: BenchLink,
        seconds: float,
        tell: Callable[[str], object] = lambda what: None,
    ) -> Sample:
        """One run of a work by one contestant.

        Args:
          tell: called with how far it has come, if it takes long.

        Raises:
          Failed: what went wrong in there.
        """
        ours, theirs = FORK.Pipe()
        result, end = FORK.Pipe(duplex=False)
        trouble, peers_end = FORK.Pipe(duplex=False)
        open_link = partial(self._open_link, work.link or link)
        setting = Setting(open_link, seconds, ours, lambda what: end.send(Progress(what)))
        processes = [FORK.Process(target=self._measure, args=(work.contestants[contestant], setting, end), daemon=True)]
        if work.peer is not None:
            told = setting._replace(channel=theirs)
            processes.append(FORK.Process(target=self._at_the_peer, args=(work.peer, told, peers_end), daemon=True))
        try:
            with _interrupts_held():
                for process in processes:
                    process.start()
            sample = _outcome(result, trouble, tell)
        finally:
            for process in processes:
                _end(process)
            for each in ours, theirs, result, end, trouble, peers_end:
                each.close()
        if isinstance(sample, str):
            raise Failed(sample)
        return sample

    def _open_link(self, name: BenchLink) -> Link:
        if name != "tun":
            return named_link(name)
        with self._namespaces.peer.inside():
            return TunLink(TUN_OURS, kernel=[TUN_PEER])

    def _at_the_peer(self, run: Callable[[Setting], object], setting: Setting, end: Connection) -> None:
        def serve() -> None:
            with suppress(ConnectionError):  # Our end tells why it has broken a connection.
                run(setting)

        with self._namespaces.peer.inside():
            self._report(serve, end)

    def _measure(self, run: Run, setting: Setting, end: Connection) -> None:
        self._report(lambda: end.send(run(setting)), end)

    def _report(self, run: Callable[[], object], end: Connection) -> None:
        """In a new process: it ends with the one that made it. What is raised is sent there."""
        self._parent.end_with()
        sockets.allow_descriptors()
        try:
            run()
        except BaseException as error:
            while isinstance(error, BaseExceptionGroup):
                error = error.exceptions[0]
            with suppress(OSError):
                end.send(f"{type(error).__name__}: {error}")
            os._exit(1)


def enter() -> Arena:
    """Move this process into a network of its own, for good, with a cable that carries super-segments.

    Raises:
      SetupError: the system forbids it; the message says which setting does.
    """
    made = namespaces.enter()
    cable.plug(made, offload=True)
    for namespace in made:
        for name, value in SYSCTLS.items():
            namespace.sysctl(name, value)
    return Arena(made)


def _outcome(result: Connection, trouble: Connection, tell: Callable[[str], object]) -> Sample | str:
    """Of our end. What the peer says matters only if that has none: it also complains when ours has finished."""
    while wait([result, trouble], TIME_LIMIT):
        said: Sample | Progress | str = (result if result.poll(GRACE) else trouble).recv()
        if not isinstance(said, Progress):
            return said
        tell(said.what)
    return f"nothing was heard of it for {TIME_LIMIT:.0f} s"


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C within the block comes after it, when what was begun is known and can be ended; to a process that is begun
    within the block it never comes."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end(process: ForkProcess) -> None:
    if process.pid is not None:
        process.kill()
        process.join()
        process.close()
