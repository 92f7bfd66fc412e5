"""What happens in the world of a simulation between the moments at which tasks run.

A packet on its way in memory could be a deadline of the task that waits for it; but Trio then takes some 40
microseconds to find out that this is the next thing to happen. Here it is an entry in a heap, and a call.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Any

import trio
from trio._core import _run as scheduler
from trio.testing import MockClock

Happen = Callable[[list[Any]], None]
"""Called with all that happens to one receiver at one time. It must not raise."""


class VirtualTime:
    """A clock for `trio.run` that jumps as soon as all tasks wait: to the next deadline, or to what was put on the
    agenda before that.

    What is on the agenda happens outside all tasks, when none is ready to run. It may wake some.
    """

    def __init__(self) -> None:
        self.clock = MockClock(autojump_threshold=0)
        self._jump_to_deadline = self.clock._autojump
        # Trio calls the first when all tasks wait, and then runs those that are ready. The other is asked several times
        # per packet: the class would look at the real time too, and multiply what has passed of it by 0. It is final.
        self.clock._autojump = self._jump  # type: ignore[method-assign]
        self.clock.current_time = self.current_time  # type: ignore[method-assign]
        self._agenda: list[tuple[float, int, Happen, Any]] = []
        self._order = count()

    def current_time(self) -> float:
        return self.clock._virtual_base

    def happens(self, time: float, happen: Happen, what: object) -> None:
        """Have *happen* called at a time, with a list of *what* and whatever else it shall be called with then, in the
        order in which they were put on the agenda."""
        heappush(self._agenda, (time, next(self._order), happen, what))

    def _jump(self) -> None:
        runner, agenda, clock = scheduler.GLOBAL_RUN_CONTEXT.runner, self._agenda, self.clock
        while agenda and not runner.runq and agenda[0][0] <= runner.deadlines.next_deadline():
            time, _, happen, what = heappop(agenda)
            together = [what]
            while agenda and agenda[0][0] <= time and agenda[0][2] == happen:
                together.append(heappop(agenda)[3])
            if (ahead := time - clock._virtual_base) > 0:
                clock._virtual_base += ahead
            happen(together)
        if not runner.runq:
            self._jump_to_deadline()


VIRTUAL_TIME: trio.lowlevel.RunVar[VirtualTime | None] = trio.lowlevel.RunVar("VIRTUAL_TIME", None)
"""That of the present run, if it has one."""
