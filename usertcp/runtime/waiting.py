"""How tasks wait for a connection to change, and how they are kept out of each other's way."""

from __future__ import annotations

from collections.abc import Callable

import trio

from usertcp.compiled import mypyc_attr


class Changes:
    """Something changes now and then, and tasks wait until it is as they want it."""

    __slots__ = ("_waits", "leader")

    def __init__(self) -> None:
        self.leader: Callable[[], None] | None = None
        """Called after each change, for a task that waits elsewhere."""
        self._waits: list[tuple[Callable[[], bool], trio.lowlevel.Task]] = []

    def changed(self) -> None:
        """Wake the tasks whose conditions hold now."""
        if self._waits:
            for wait in self._waits.copy():
                condition, task = wait
                if condition():
                    self._waits.remove(wait)
                    trio.lowlevel.reschedule(task)
        if self.leader is not None:
            self.leader()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until *condition* holds; it is asked at once and after each change. Always a checkpoint."""
        if condition():
            await trio.lowlevel.checkpoint()
            return
        wait = condition, trio.lowlevel.current_task()

        def abort(_: object) -> trio.lowlevel.Abort:
            self._waits.remove(wait)
            return trio.lowlevel.Abort.SUCCEEDED

        self._waits.append(wait)
        await trio.lowlevel.wait_task_rescheduled(abort)


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
