"""How tasks wait for a connection to change, and how they are kept out of each other's way."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import trio

from usertcp.compiled import mypyc_attr


class Wait:
    """A task that waits until a condition holds."""

    __slots__ = ("_all", "condition", "task")

    def __init__(self, condition: Callable[[], bool], everybody: list[Wait]) -> None:
        self.condition = condition
        self.task = trio.lowlevel.current_task()
        self._all = everybody

    def abort(self, _: object) -> trio.lowlevel.Abort:
        """It was cancelled."""
        self._all.remove(self)
        return trio.lowlevel.Abort.SUCCEEDED


class Changes:
    """Something changes now and then, and tasks wait until it is as they want it."""

    __slots__ = ("_waits", "leader")

    def __init__(self) -> None:
        self.leader: tuple[Callable[[], bool], Callable[[], None]] | None = None
        """The condition of a task that waits elsewhere, and what to call when it holds after a change."""
        self._waits: list[Wait] = []

    def changed(self) -> None:
        """Wake the tasks whose conditions hold now."""
        if self._waits:
            for wait in self._waits.copy():
                if wait.condition():
                    self._waits.remove(wait)
                    trio.lowlevel.reschedule(wait.task)
        if self.leader is not None:
            condition, wake = self.leader
            if condition():
                wake()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until *condition* holds; it is asked at once and after each change. Always a checkpoint."""
        if condition():
            await trio.lowlevel.checkpoint()
            return
        wait = Wait(condition, self._waits)
        self._waits.append(wait)
        await trio.lowlevel.wait_task_rescheduled(wait.abort)


async def checkpoint() -> None:
    """`trio.lowlevel.checkpoint`, at half the cost where it raises `trio.Cancelled`: `trio.aclose_forcefully` makes
    `aclose` do that, and `trio.serve_listeners` closes each connection so."""
    if trio.current_effective_deadline() == -inf:
        await trio.lowlevel.wait_task_rescheduled(give_up)
    await trio.lowlevel.checkpoint()


def give_up(_: object) -> trio.lowlevel.Abort:
    """Nothing is to be undone."""
    return trio.lowlevel.Abort.SUCCEEDED


@mypyc_attr(acyclic=True)
class OneAtATime:
    """A context that one task at a time may be in.

    Raises:
      trio.BusyResourceError: another one is.
    """

    __slots__ = ("_busy", "_what")

    def __init__(self, what: str) -> None:
        self._what = what
        self._busy = False

    def __enter__(self) -> None:
        if self._busy:
            raise trio.BusyResourceError(f"another task is {self._what} this stream")
        self._busy = True

    def __exit__(self, *_: object) -> None:
        self._busy = False
