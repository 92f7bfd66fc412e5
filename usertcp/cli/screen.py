"""Where trace records go: the ladder or JSON lines on the screen, and a capture file."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from textwrap import fill
from typing import Any, TextIO

import trio
from rich.console import Console
from rich.text import Text

from usertcp.cli.options import View
from usertcp.tcp.events import StateEntered, Tracer, TraceRecord
from usertcp.tcp.segment import Flow
from usertcp.tcp.state import State
from usertcp.trace.jsonl import JsonLines, summary
from usertcp.trace.ladder import Ladders
from usertcp.trace.pcapng import PcapngWriter
from usertcp.trace.rows import PeerState
from usertcp.trace.rung import ASCII, Line

WIDTH = 100
"""Columns where there is no terminal to ask: a file, a pipe, the README."""

REMEMBERED = 1000
"""Connections whose states are kept: a listener may have any number."""

COLOURS = {
    "head": "bold",
    "time": "dim",
    "state": "bold green",
    "inferred": "green",
    "rail": "dim",
    "out": "cyan",
    "in": "magenta",
    "special": "bold yellow",
    "bad": "bold red",
    "event": "yellow",
    "note": "dim",
    "explain": "italic",
    "fold": "dim",
}
"""Styles of a ladder as Rich names them."""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Let the command clean up, instead of exiting on the spot as Rich does."""
        raise BrokenPipeError


class Screen:
    """A tracer that shows every record as the user wants to see it, as soon as nothing more happens for the moment.

    It prints in a task of its own, between the stack's: what it raises (nobody reads any more) ends the command.

    Args:
      view: what the user asked for.
      file: where the ladder or the JSON goes; None: nowhere.
      peer, peer_state: as in `Ladders`.
    """

    def __init__(
        self,
        view: View,
        file: TextIO | None = None,
        *,
        peer: str = "peer",
        peer_state: PeerState | None = None,
    ) -> None:
        self.json = JsonLines() if view.json and file else None
        self.states: dict[Flow, list[State]] = {}
        """The states of each connection in order, from the one it began in."""
        self._file = file
        self._lines: list[str] = []
        self._capture: PcapngWriter | None = None
        self._news = trio.Event()
        self.console = _Console(file=file, highlight=False, soft_wrap=True)
        asked = os.environ.get("COLUMNS", "")
        width = shutil.get_terminal_size((WIDTH, 0)).columns if self.console.is_terminal or asked.isdigit() else WIDTH
        self._ladders = Ladders(
            width=width,
            absolute=view.absolute,
            explain=view.explain,
            peer=peer,
            peer_state=peer_state,
        )
        self._pcap = view.pcap

    @property
    def tracer(self) -> Tracer | None:
        """For a stack: this screen, or None if it shows nothing, so that no record is built."""
        return self if self._file or self._pcap else None

    def __call__(self, record: TraceRecord) -> None:
        if isinstance(record, StateEntered):
            if len(self.states) > REMEMBERED:
                del self.states[next(iter(self.states))]
            self.states.setdefault(record.flow, [record.old]).append(record.new)
        if self._capture:
            self._capture(record)
        if self.json:
            self._lines.append(self.json.line(record))
        elif self._file:
            self._ladders(record)
        self._news.set()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Show what comes while the context lasts."""
        with self._capturing(wall=time.time() - trio.current_time()):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._run)
                yield
                nursery.cancel_scope.cancel()
            self._print(self._ladders.finish())

    @contextmanager
    def replay(self) -> Iterator[None]:
        """Show, when the context ends, what came while it lasted: without a task of its own, which would change what
        happens in a simulation. Times in the capture count from 1970."""
        with self._capturing(wall=0.0):
            yield
        self._print(self._ladders.finish())

    @contextmanager
    def _capturing(self, wall: float) -> Iterator[None]:
        if not self._pcap:
            yield
            return
        with open(self._pcap, "wb") as file:
            self._capture = PcapngWriter(file, wall=wall)
            try:
                yield
            finally:
                self._capture.close()

    def draw(self, picture: list[str]) -> None:
        """Lines below the ladder, as they are; not in JSON."""
        if self._file and not self.json:
            for line in picture:
                self.console.print(line, markup=False)

    def say(self, text: str, style: str = "") -> None:
        """Text below or above the ladder, and as wide; not in JSON."""
        if self._file and not self.json:
            for paragraph in text.split("\n"):
                lines = fill(paragraph, self._ladders.width, break_on_hyphens=False)
                self.console.print(lines, style=style, markup=False)

    def summarize(self, outcome: str, flow: Flow | None, **more: Any) -> None:
        """The last line of the JSON."""
        if self.json and self._file:
            self._print([])
            print(summary(outcome, self.states.get(flow, []) if flow else [], **more), file=self._file, flush=True)

    @contextmanager
    def status(self) -> Iterator[Callable[[str], None]]:
        """A line that stays below the ladder and changes: for a terminal only."""
        if self.json or not self._file or not self.console.is_terminal:
            yield lambda text: None
            return
        with self.console.status("", spinner="dots") as status:
            yield status.update

    async def _run(self) -> None:
        while True:
            await self._news.wait()
            self._news = trio.Event()
            self._print(self._ladders.take())

    def _print(self, ladder: list[Line]) -> None:
        if self.json and self._file:
            lines, self._lines = self._lines, []
            print(*lines, sep="\n", end="\n" if lines else "", file=self._file, flush=True)
        for line in ladder:
            pieces = [(self._printable(text), COLOURS.get(style, "")) for text, style in line.pieces]
            self.console.print(Text.assemble(*pieces, no_wrap=True), crop=False)

    def _printable(self, text: str) -> str:
        """The picture in the characters that the file's encoding has."""
        try:
            text.encode(self.console.encoding)
        except UnicodeEncodeError:
            return text.translate(ASCII)
        return text
