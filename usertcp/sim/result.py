"""What came of a simulation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from usertcp.sim.scenario import Scenario


@dataclass(slots=True)
class FlowResult:
    """One connection, seen from the end that opened it. Seconds are those of the virtual clock."""

    controller: str
    octets: int = 0
    """Intact at the far end, and with program erratic back here."""
    seconds: float = 0.0
    """From its SYN to the last of them."""
    retransmissions: int = 0
    timeouts: int = 0
    fast_retransmits: int = 0
    rtts: list[float] = field(default_factory=list, repr=False)
    """Every sample of the round-trip time."""
    error: str = ""

    @property
    def goodput(self) -> float:
        """Bits per second that the users had of it."""
        return self.octets * 8 / self.seconds if self.seconds else 0.0


@dataclass(slots=True)
class Result:
    """All connections together."""

    scenario: Scenario
    flows: list[FlowResult]
    seconds: float = 0.0
    """Until the last octet of all has arrived."""
    segments: int = 0
    """Given to the path by both ends."""
    lost: int = 0
    """Of these, by the scenario's wish."""
    overflowed: int = 0
    """Dropped since the queue was full."""
    marked: int = 0
    """With CE, since the queue was long."""
    cpu: float = 0.0
    """Seconds of processor that it took."""
    problems: list[str] = field(default_factory=list)
    """What must not be, whatever the path is like: wrong octets, a connection that ends in an error or not at all."""

    @property
    def octets(self) -> int:
        return sum(flow.octets for flow in self.flows)

    @property
    def goodput(self) -> float:
        """Bits per second, of all connections together."""
        return self.octets * 8 / self.seconds if self.seconds else 0.0

    @property
    def fairness(self) -> float:
        """Jain's index of the goodputs: 1 if all are equal, 1/n if one has everything."""
        goodputs = [flow.goodput for flow in self.flows]
        squares = sum(each * each for each in goodputs)
        return sum(goodputs) ** 2 / (len(goodputs) * squares) if squares else 0.0

    @property
    def segments_per_cpu_second(self) -> float:
        return self.segments / self.cpu if self.cpu else 0.0

    def figures(self) -> dict[str, float | int | str]:
        """By name, for a table or JSON. Rates in bits per second, times in seconds."""
        rtts = sorted(rtt for flow in self.flows for rtt in flow.rtts)
        least, median, most = (quantile(rtts, part) for part in (0.0, 0.5, 0.99))
        return {
            "goodput": round(self.goodput),
            "delivered": self.octets,
            "seconds": round(self.seconds, 6),
            "retransmissions": sum(flow.retransmissions for flow in self.flows),
            "timeouts": sum(flow.timeouts for flow in self.flows),
            "fast_retransmits": sum(flow.fast_retransmits for flow in self.flows),
            "rtt_min": round(least, 6),
            "rtt_median": round(median, 6),
            "rtt_p99": round(most, 6),
            "queueing": round(median - least, 6),
            "fairness": round(self.fairness, 4),
            "segments": self.segments,
            "lost": self.lost,
            "overflowed": self.overflowed,
            "marked": self.marked,
            "segments_per_cpu_second": round(self.segments_per_cpu_second),
            "problems": "; ".join(self.problems),
        }


def quantile(values: Sequence[float], part: float) -> float:
    """Of sorted values the one with *part* of them below it; 0 of none."""
    return values[min(int(part * len(values)), len(values) - 1)] if values else 0.0
