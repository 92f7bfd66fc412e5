"""Runs a verb's Trio part so that Ctrl-C and SIGTERM leave nothing behind."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import trio

Result = TypeVar("Result")


class Interrupted(SystemExit):
    """A signal ended the command, after it had cleaned up; the exit status says which."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)


def run(verb: Callable[[], Awaitable[Result]]) -> Result:
    """Run *verb* to its end, or cancel it when a signal comes.

    Raises:
      Interrupted: after the cancelled verb has returned.
    """
    return trio.run(_guarded, verb)


async def _guarded(verb: Callable[[], Awaitable[Result]]) -> Result:
    caught: list[int] = []
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_watch, signals, caught, nursery.cancel_scope)
            result = await verb()
            nursery.cancel_scope.cancel()
    if caught:
        raise Interrupted(caught[0])
    return result


async def _watch(signals: AsyncIterator[int], caught: list[int], scope: trio.CancelScope) -> None:
    async for number in signals:
        caught.append(number)
        scope.cancel()
