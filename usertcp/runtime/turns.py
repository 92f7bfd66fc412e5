"""The application's turn: what arrives is answered when the tasks that it wakes have had a chance to say something too.

A request, its acknowledgment and its answer are then one segment and not two, and octets that were waiting leave
together with those that a writer adds. Where no task has anything to do, nothing waits.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

PASSES = 3
"""Of Trio's loop that may go by before something is sent in any case: the first wakes a reader, `send_all` has a
checkpoint of its own, and one is for a task in between."""


class Turns(trio.abc.Instrument):
    """Calls *flush* once after each `expect`: when no task can run, or after some passes of Trio's loop."""

    def __init__(self, flush: Callable[[], bool]) -> None:
        """*flush* sends everything, and says whether a timer has been moved to an earlier time by it."""
        self._flush = flush
        self._expected = False
        self._passes = 0
        self._token = trio.lowlevel.current_trio_token()

    def expect(self) -> None:
        """Tasks have been woken; whatever is to be sent can wait for them."""
        self._expected = True
        self._passes = 0

    def taken(self) -> None:
        """Somebody has sent everything."""
        self._expected = False

    def before_io_wait(self, timeout: float) -> None:
        """Trio is about to sleep, or, if *timeout* is 0, to look for news and go on."""
        if self._expected:
            self._passes += 1
            if timeout > 0 or self._passes >= PASSES:
                self._expected = False
                sooner = self._flush()
                # How long to sleep was settled before: there may be tasks and timers now.
                if timeout > 0 and (sooner or trio.lowlevel.current_statistics().tasks_runnable):
                    self._token.run_sync_soon(_nothing, idempotent=True)


def _nothing() -> None:
    """Trio wakes up for it."""
