"""No congestion control: a window that stays what it is."""

from __future__ import annotations

from usertcp.compiled import mypyc_attr
from usertcp.tcp.congestion.delivery import Delivery


@mypyc_attr(allow_interpreted_subclasses=True)
class Fixed:
    """For labs only: what happens to a network, and to the others in it, if nobody slows down.

    Also where to start a controller of one's own from: override what shall have an effect. All quantities in octets.
    """

    pacing_rate: float | None = None

    def __init__(self, smss: int, window: int) -> None:
        self.smss = smss
        self.cwnd = self.ssthresh = window

    def on_rtt(self, rtt: float, srtt: float, now: float) -> None:
        """Nothing follows from it."""

    def on_delivery(self, delivery: Delivery, flight_size: int, now: float) -> None:
        """Nothing follows from it."""

    def on_ack(self, acked: int, now: float) -> None:
        """Nothing follows from it."""

    def on_loss(self, flight_size: int, now: float) -> None:
        """Nothing follows from it."""

    def on_ecn(self, now: float) -> None:
        """Nothing follows from it."""

    def on_echo(self, acked: int, marked: int, flight_size: int, now: float) -> None:
        """Nothing follows from it."""

    def on_recovered(self, flight_size: int, now: float) -> None:
        """Nothing follows from it."""

    def on_rto(self, flight_size: int, now: float, first: bool) -> None:
        """Nothing follows from it."""

    def on_idle(self, now: float) -> None:
        """Nothing follows from it."""
