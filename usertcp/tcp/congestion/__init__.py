"""How much may be in flight (RFC 5681): what a congestion controller is, and those there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from usertcp.tcp.congestion.bbr import Bbr
from usertcp.tcp.congestion.cubic import Cubic
from usertcp.tcp.congestion.dctcp import Dctcp
from usertcp.tcp.congestion.delivery import Delivery
from usertcp.tcp.congestion.fixed import Fixed
from usertcp.tcp.congestion.reno import Reno


class CongestionControl(Protocol):
    """Answers how much may be in flight. What to send with it, and when to resend, is `recovery`'s business.

    All quantities are octets, all times seconds.
    """

    cwnd: int
    """The congestion window. NewReno's temporary inflation by duplicate ACKs is not in it: that is a count of
    segments that have left the network, and `recovery` keeps it."""
    ssthresh: int
    """The slow start threshold."""
    smss: int
    """The largest segment that the sender can send, headers and options not counted. Changes with the path MTU."""

    pacing_rate: float | None
    """Octets per second at which to send, or None: as the window lets it."""

    def on_rtt(self, rtt: float, srtt: float, now: float) -> None:
        """A round-trip time was measured; *srtt*: smoothed. Comes before the `on_ack` of the same acknowledgment."""

    def on_delivery(self, delivery: Delivery, flight_size: int, now: float) -> None:
        """Something was acknowledged, in loss recovery or outside; now *flight_size* octets are in flight, but for
        those that are SACKed or lost. Comes before the `on_ack` or `on_recovered` of the same acknowledgment."""

    def on_ack(self, acked: int, now: float) -> None:
        """*acked* octets were newly acknowledged, outside loss recovery."""

    def on_loss(self, flight_size: int, now: float) -> None:
        """Fast recovery begins with *flight_size* octets sent and not acknowledged (RFC 5681, 3.2)."""

    def on_ecn(self, now: float) -> None:
        """A router has marked a packet instead of dropping it (RFC 3168, 6.1.2): to be answered as a loss is, at most
        once in a window."""

    def on_echo(self, acked: int, marked: int, flight_size: int, now: float) -> None:
        """On a connection with ECN, *acked* octets were newly acknowledged, and the peer says that *marked* of them had
        met congestion: with classic ECN all or none. Now *flight_size* are in flight. Comes before the `on_ecn` of the
        same acknowledgment."""

    def on_recovered(self, flight_size: int, now: float) -> None:
        """Fast recovery ended: all that was outstanding when it began is acknowledged (RFC 6582, 3.2, step 3)."""

    def on_rto(self, flight_size: int, now: float, first: bool) -> None:
        """The retransmission timer expired; *first*: for the first time for this segment (RFC 5681, 3.1)."""

    def on_idle(self, now: float) -> None:
        """About to send after having been idle for longer than the RTO (RFC 5681, 4.1)."""


Controller = Callable[[int, int], CongestionControl]
"""Makes one for a connection; called with SMSS and the initial window."""

CONTROLLERS: dict[str, Controller] = {"bbr": Bbr, "cubic": Cubic, "dctcp": Dctcp, "fixed": Fixed, "reno": Reno}
"""By the name in `Config.congestion`."""


def controller(choice: str | Controller) -> Controller:
    """By its name, or the user's own."""
    return CONTROLLERS[choice] if isinstance(choice, str) else choice
