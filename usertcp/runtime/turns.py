"""The application's turn: what arrives is answered when the tasks that it wakes have had a chance to say something too.

A request, its acknowledgment and its answer are then one segment and not two, and octets that were waiting leave
together with those that a writer adds. Where no task has anything to do, nothing waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

import trio

from usertcp.tcp.connection import Connection

PASSES: Final = 4
"""Of Trio's loop that may go by before something is sent in any case. Who answers a new connection takes three: one to
accept it and one to begin its handler, and `receive_some` has a checkpoint. One is for a task in between."""

A_MOMENT: Final = 1e-4
"""Seconds by which Trio may wake up late for what came up when it was about to sleep: what it takes to look."""


class Turns(trio.abc.Instrument):
    """Calls *flush* for each turn that was announced by `expect`, and *send* for what was `put_off`: when no task can
    run, or after some passes of Trio's loop. And counts how long the link may be left to tasks of the application, who
    read it for all."""

    def __init__(
        self,
        flush: Callable[[int], bool],
        send: Callable[[list[Connection]], None],
        leave: Callable[[], None],
    ) -> None:
        """
        Args:
          flush: sends what is due since a turn or longer, and says whether there was anything to be done.
          send: sends what these have to say.
          leave: called when no task of the application attends to the link any more, or is about to.
        """
        self._flush = flush
        self._send = send
        self._leave = leave
        self.led = False
        """A task of the application waits for packets."""
        self._lent = 0
        """The last pass in which nobody else is to look for packets, since one has done so who will again; 0: none."""
        self._looked = 0
        self._passes = 0
        self._put_off: dict[int, list[Connection]] = {}
        """By the pass that ends with sending it: whose."""
        self._turns: deque[tuple[int, int]] = deque()
        """(the pass that ends it, its number), the oldest first."""
        self._token = trio.lowlevel.current_trio_token()
        self._now = trio.lowlevel.current_clock().current_time

    @property
    def running(self) -> bool:
        """Something is still to be sent."""
        return bool(self._turns)

    def expect(self, turn: int) -> None:
        """Tasks have been woken; whatever is to be sent can wait for them. Numbers grow."""
        end = self._passes + PASSES
        if self._turns and self._turns[-1][0] == end:
            self._turns.pop()  # One turn ends with a pass, and that of the later takes in that of the earlier.
        self._turns.append((end, turn))

    def put_off(self, conn: Connection, passes: int) -> None:
        """What this one has to say waits until so many passes have ended, this one first, or until its turn ends."""
        self._put_off.setdefault(self._passes + passes, []).append(conn)

    def lend(self) -> None:
        """Who has attended to the link, and now does something else, will probably wait for the next packet soon."""
        self._lent = self._passes + PASSES

    def may_look(self) -> bool:
        """Should somebody who begins to wait look for packets, since nobody else does? Once in each pass."""
        if not self._lent or self._looked == self._passes:
            return False
        self._looked = self._passes
        self.lend()
        return True

    def before_io_wait(self, timeout: float) -> None:
        """Trio is about to sleep, or, if *timeout* is 0, to look for news and go on."""
        self._passes += 1
        if self._lent and not self.led and (timeout > 0 or self._lent <= self._passes):
            self._lent = 0
            self._leave()
        if timeout > 0:
            if self._turns or self._put_off:
                self._flush_all(timeout)
            return
        if self._put_off and (conns := self._put_off.pop(self._passes, None)) is not None:
            self._send(conns)
        if self._turns and self._turns[0][0] <= self._passes:
            _, turn = self._turns.popleft()
            self._flush(turn)

    def _flush_all(self, timeout: float) -> None:
        """Nobody has anything to do. How long to sleep was settled before: see that Trio wakes up if somebody has now,
        or if something is to be done earlier."""
        until, done = self._now() + timeout, bool(self._put_off)
        while self._put_off:
            self._send(self._put_off.popitem()[1])
        if self._turns:
            _, turn = self._turns[-1]
            self._turns.clear()
            done = self._flush(turn) or done
        if done:
            now = trio.lowlevel.current_statistics()
            if now.tasks_runnable or self._now() + now.seconds_to_next_deadline < until - A_MOMENT:
                self._token.run_sync_soon(_nothing, idempotent=True)


def _nothing() -> None:
    """Trio wakes up for it."""
