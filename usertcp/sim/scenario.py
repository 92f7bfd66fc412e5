"""What a simulation is of: programs, connections, a path. It writes itself as a command line, and reads it back."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields
from math import inf
from typing import Any, NamedTuple

from usertcp.link.loss import LossPattern
from usertcp.link.path import Path
from usertcp.sim.units import CHANCE, COUNT, LOSS, OCTETS, RATE, SWITCH, TIME, WORD, WORDS, Unit
from usertcp.tcp.config import Config
from usertcp.tcp.congestion import Controller

PROGRAMS = ("bulk", "erratic")
COMMAND = "usertcp sim"


@dataclass(slots=True, frozen=True, kw_only=True)
class Scenario:
    """Equal scenarios give the same packets at the same times, to the octet. OPTIONS says what each field is.

    Raises:
      ValueError: such a path or such a configuration is not possible.
    """

    controller: tuple[str, ...] = (str(Config().congestion),)
    flows: int = 1
    program: str = "bulk"
    octets: int = 1 << 20
    duration: float = 0.0
    rate: float = 10e6
    delay: float = 0.02
    queue: int = 50
    mark: int | None = None
    mtu: int | None = None
    loss: float | LossPattern = 0.0
    loss_back: float | LossPattern | None = None
    reordering: float = 0.0
    reordering_delay: float = 0.01
    duplication: float = 0.0
    corruption: float = 0.0
    ecn: str | None = None
    rack: bool | None = None
    sack: bool | None = None
    timestamps: bool | None = None
    window_scaling: bool | None = None
    pacing: bool | None = None
    receive_buffer: int | None = None
    send_buffer: int | None = None
    patience: float | None = None
    seed: int = 1

    def __post_init__(self) -> None:
        if self.program not in PROGRAMS:
            raise ValueError(f"program is one of {', '.join(PROGRAMS)}")
        if self.flows < 1 or (self.duration and self.program != "bulk"):
            raise ValueError("at least one flow, and a duration is for program bulk")
        self.paths()
        for controller in self.controller:
            self.config(controller)

    def paths(self) -> tuple[Path, Path]:
        """Fresh ones: there, and back."""
        there, back = (
            Path(
                rate=self.rate,
                delay=self.delay,
                queue_packets=self.queue,
                mark_packets=inf if self.mark is None else self.mark,
                mtu=inf if self.mtu is None else self.mtu,
                loss=loss,
                reordering=self.reordering,
                reordering_delay=self.reordering_delay,
                duplication=self.duplication,
                corruption=self.corruption,
                seed=2 * self.seed + way,
            )
            for way, loss in enumerate((self.loss, self.loss if self.loss_back is None else self.loss_back))
        )
        return there, back

    def config(self, controller: str | Controller) -> Config:
        """Of the connections with this congestion control."""
        asked = {
            "ecn": self.ecn,
            "rack": self.rack,
            "sack": self.sack,
            "timestamps": self.timestamps,
            "window_scaling": self.window_scaling,
            "pacing": self.pacing,
            "receive_buffer": self.receive_buffer,
            "send_buffer": self.send_buffer,
            "r2": self.patience,
            "r2_syn": self.patience,
            "syn_ack_retransmissions": None if self.patience is None else math.ceil(self.patience),  # one each second
        }
        given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
        return Config(congestion=controller, **given)

    def options(self) -> dict[str, str]:
        """What differs from the defaults, as on the command line; the seed always."""
        return {
            field.name: OPTIONS[field.name].unit.show(value)
            for field in fields(self)
            if (value := getattr(self, field.name)) != field.default or field.name == "seed"
        }

    def command_line(self) -> str:
        """The command that runs this, in one line for a shell."""
        return " ".join([COMMAND, *(f"--{_dashed(name)} {shlex.quote(text)}" for name, text in self.options().items())])


class Option(NamedTuple):
    """A field of a scenario on the command line."""

    unit: Unit
    help: str


OPTIONS = {
    "controller": Option(WORDS, "Congestion control; reno+cubic: both at the same time."),
    "flows": Option(COUNT, "Connections with each controller, all over the one path."),
    "program": Option(WORD, "bulk: one end sends. erratic: both do, in pieces, with pauses, and read slowly."),
    "octets": Option(OCTETS, "What each connection carries, each way that it is used."),
    "duration": Option(TIME, "Send for so long, instead of so many octets."),
    "rate": Option(RATE, "Of the bottleneck, or 'unlimited'."),
    "delay": Option(TIME, "One way: the round trip takes twice as long."),
    "queue": Option(COUNT, "Packets that may wait for the bottleneck."),
    "mark": Option(COUNT, "Packets that wait when more are marked, instead of dropped, if they may be (--ecn)."),
    "mtu": Option(COUNT, "Larger packets vanish, and nobody says so."),
    "loss": Option(LOSS, "1%; burst:1%/25% (begins/ends); every:100; packets:3+7."),
    "loss_back": Option(LOSS, "The same of the way back, where it differs."),
    "reordering": Option(CHANCE, "Of packets that are held back, to be overtaken."),
    "reordering_delay": Option(TIME, "How long they are."),
    "duplication": Option(CHANCE, "Of packets that arrive twice."),
    "corruption": Option(CHANCE, "Of packets in which a bit is flipped."),
    "ecn": Option(WORD, "off, passive, on (RFC 3168), accurate (RFC 9768), of both ends."),
    "rack": Option(SWITCH, "RACK-TLP (RFC 8985)."),
    "sack": Option(SWITCH, "Selective acknowledgments (RFC 2018)."),
    "timestamps": Option(SWITCH, "RFC 7323, 3."),
    "window_scaling": Option(SWITCH, "RFC 7323, 2."),
    "pacing": Option(SWITCH, "Spread a window over its round trip."),
    "receive_buffer": Option(OCTETS, "Of each connection."),
    "send_buffer": Option(OCTETS, "Of each connection."),
    "patience": Option(TIME, "Without an acknowledgment, before a connection is given up."),
    "seed": Option(COUNT, "Of everything that is left to chance."),
}


def parse(options: Mapping[str, str]) -> Scenario:
    """From what stands on the command line. Raises ValueError, which says what is wrong and where."""
    values = {}
    for name, text in options.items():
        try:
            values[name] = OPTIONS[name].unit.parse(text)
        except ValueError as error:
            raise ValueError(f"--{_dashed(name)}: {error}") from None
    return Scenario(**values)


def parse_command_line(line: str) -> Scenario:
    """What `Scenario.command_line` wrote."""
    words = shlex.split(line.removeprefix(COMMAND))
    names = [word.removeprefix("--").replace("-", "_") for word in words[::2]]
    return parse(dict(zip(names, words[1::2], strict=True)))


def _dashed(name: str) -> str:
    return name.replace("_", "-")
