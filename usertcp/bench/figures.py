"""The figures: what each is called, what is done for it, how it is read from that, and what it has to reach."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from usertcp.bench import programs, sockets
from usertcp.bench.measure import SINK, SOURCE, Sample, Setting
from usertcp.runtime.opening import LinkName
from usertcp.sim.play import play
from usertcp.sim.scenario import Scenario

CONTESTANTS = ("usertcp", "kernel", "plain")
"""Our TCP and the kernel's, both through Trio, and the kernel's by plain sockets."""

Run = Callable[[Setting], Sample]
SIZES = {"64B": 64, "1KiB": 1 << 10, "16KiB": 1 << 14, "1MiB": 1 << 20}
"""Octets of a write, for what an octet costs by them."""
DEFAULT_SIZE = 1 << 20


@dataclass(frozen=True, eq=False, slots=True)
class Work:
    """What is done, by each contestant."""

    peer: Callable[[Setting], object] | None
    """What the peer process does meanwhile."""
    contestants: dict[str, Run]
    link: LinkName | None = None
    """What usertcp runs over, if that is not to be chosen."""
    rounds: int | None = None
    """No more than these, for it takes long."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A number that people quote."""

    name: str
    unit: str
    work: Work
    read: Callable[[Sample], float]
    must: float | None = None
    goal: float | None = None
    """What is to be reached: of the ratio to the kernel through Trio, or of the value itself if it is `absolute`."""
    absolute: bool = False
    more_is_better: bool = True
    digits: int = 0


def both(program: programs.Program) -> dict[str, Run]:
    """One program over both."""
    return {
        "usertcp": partial(programs.over_usertcp, program),
        "kernel": partial(programs.over_kernel, program),
    }


def bulk(way: bytes, write: int = DEFAULT_SIZE, *, tls: bool = False) -> Work:
    trio_program = partial(programs.bulk, way=way, write=write, tls=tls)
    plain = partial(sockets.bulk, way=way, write=write, tls=tls)
    return Work(partial(sockets.serve_bulk, tls=tls), {**both(trio_program), "plain": plain})


def simulate(setting: Setting) -> Sample:
    """Whole stacks in memory, on a virtual clock."""
    result = play(Scenario(rate=1e9, delay=0.001, queue=1000, octets=int(setting.seconds * (20 << 20))))
    return {"segments": result.segments, "cpu": result.cpu}


def gigabits(sample: Sample) -> float:
    return sample["octets"] * 8e-9 / sample["seconds"]


def cpu_per_gigabyte(sample: Sample) -> float:
    return sample["cpu"] / sample["octets"] * 1e9


def per_second(sample: Sample) -> float:
    return sample["count"] / sample["seconds"]


SEND, RECEIVE = bulk(SINK), bulk(SOURCE)
ONE_STREAM = Work(
    partial(sockets.serve, once=False),
    {**both(partial(programs.round_trips, streams=1)), "plain": sockets.round_trips},
)


def at_once(streams: int) -> Work:
    return Work(
        partial(sockets.serve, once=False),
        {
            **both(partial(programs.round_trips, streams=streams)),
            "plain": partial(sockets.round_trips_at_once, streams=streams),
        },
    )


def visits(at_once: int) -> Work:
    return Work(
        partial(sockets.serve, once=True),
        {
            **both(partial(programs.connections, at_once=at_once)),
            "plain": partial(sockets.connections, at_once=at_once),
        },
    )


ACCEPTS = Work(partial(sockets.call, at_once=64), {**both(programs.accepts), "plain": sockets.accepts})
HOLD = Work(sockets.call_and_hold, both(programs.hold), rounds=3)
SCAPY_SEGMENTS = Work(sockets.serve_bulk, {"usertcp": both(programs.scapy_segments)["usertcp"]}, link="raw")
SCAPY_HANDSHAKES = Work(
    partial(sockets.serve, once=False), {"usertcp": both(programs.scapy_handshakes)["usertcp"]}, link="raw"
)
SIMULATION = Work(None, {"usertcp": simulate})

FIGURES = (
    Figure("bulk-send", "Gbit/s", SEND, gigabits, 0.65, 1.0, digits=2),
    Figure("bulk-receive", "Gbit/s", RECEIVE, gigabits, 0.55, 1.0, digits=2),
    Figure("tls-send", "Gbit/s", bulk(SINK, tls=True), gigabits, 0.8, 1.0, digits=2),
    Figure("tls-receive", "Gbit/s", bulk(SOURCE, tls=True), gigabits, 0.8, 1.0, digits=2),
    Figure("round-trips", "1/s", ONE_STREAM, per_second, 0.6, 1.2),
    Figure("round-trips-100", "1/s", at_once(100), per_second, 0.6, 1.2),
    Figure("connections", "1/s", visits(1), per_second, 1.0, 2.5),
    Figure("connections-64", "1/s", visits(64), per_second, 0.8, 2.0),
    Figure("accepts-64", "1/s", ACCEPTS, per_second, 0.5, 1.0),
    Figure(
        "memory-idle",
        "octets",
        HOLD,
        lambda sample: sample["memory"] + sample["kernel memory"],
        8192,
        3072,
        absolute=True,
        more_is_better=False,
    ),
    Figure(
        "cost-at-10k",
        "times",
        HOLD,
        lambda sample: sample["many"] / sample["few"],
        1.3,
        1.05,
        absolute=True,
        more_is_better=False,
        digits=2,
    ),
    Figure("cpu-per-gb-sent", "CPU s", SEND, cpu_per_gigabyte, None, 1.0, False, False, digits=2),
    Figure("cpu-per-gb-received", "CPU s", RECEIVE, cpu_per_gigabyte, None, 1.0, False, False, 2),
    Figure("scapy-segments", "1/s", SCAPY_SEGMENTS, per_second),
    Figure("scapy-handshakes", "1/s", SCAPY_HANDSHAKES, per_second, 100, 300, absolute=True),
    Figure(
        "sim-segments",
        "1/CPU s",
        SIMULATION,
        lambda sample: sample["segments"] / sample["cpu"],
        20_000,
        60_000,
        absolute=True,
    ),
)
"""What `usertcp bench` measures unless told otherwise."""

COST_BY_OCTETS = tuple(
    Figure(
        f"cost-{verb}-{size}",
        "CPU s/GB",
        (SEND if way == SINK else RECEIVE) if octets == DEFAULT_SIZE else bulk(way, octets),
        cpu_per_gigabyte,
        more_is_better=False,
        digits=2,
    )
    for verb, way in (("send", SINK), ("receive", SOURCE))
    for size, octets in SIZES.items()
)
"""What an octet costs, by the octets of a write."""

ON_REQUEST = (Figure("round-trips-1000", "1/s", at_once(1000), per_second), *COST_BY_OCTETS)
"""What is measured if it is named."""


def choose(names: tuple[str, ...]) -> list[Figure]:
    """The figures of these names, or of those that begin so; without names those of the table.

    Raises:
      ValueError: there is none.
    """
    if not names:
        return list(FIGURES)
    every = (*FIGURES, *ON_REQUEST)
    chosen = []
    for name in names:
        found = [each for each in every if each.name == name] or [
            each for each in every if each.name.startswith(f"{name}-")
        ]
        if not found:
            raise ValueError(f"no figure {name!r}; there are {', '.join(each.name for each in every)}")
        chosen += found
    return list(dict.fromkeys(chosen))
