"""Loss recovery by selective acknowledgments (RFC 6675; RFC 8985), in octets.

The scoreboard says what is lost; this is when fast recovery begins and ends, and what may go out meanwhile.
"""

from __future__ import annotations

from math import inf

from usertcp.compiled import mypyc_attr
from usertcp.tcp.recovery import News, Span
from usertcp.tcp.recovery.prr import ProportionalRateReduction
from usertcp.tcp.recovery.rack import Rack
from usertcp.tcp.recovery.scoreboard import DUPLICATES, Scoreboard


@mypyc_attr(acyclic=True)
class Sack:
    """Each octet in flight is known to have arrived, to be lost, or neither; so cwnd needs no inflation, and limited
    transmit (RFC 3042) comes by itself: each SACK takes octets out of the pipe."""

    __slots__ = (
        "advanced",
        "at_once",
        "delivered",
        "duplicates",
        "edge",
        "fast",
        "proportional",
        "prr",
        "rack",
        "recover",
        "rescue",
        "scoreboard",
    )

    def __init__(self, recover: int, *, proportional: bool = True, rack: bool = True, rtt: float | None = None) -> None:
        """
        Args:
          recover: what is acknowledged already.
          proportional: reduce the rate by RFC 9937, not at once.
          rack: find losses by time (RFC 8985), not by counting (RFC 6675).
          rtt: that of the handshake, seconds, if it was measured.
        """
        self.scoreboard = Scoreboard()
        self.fast = False
        self.at_once = False
        """The first retransmission of fast recovery and of a timeout waits for no room (RFC 6675, 5, step 4.3; RFC
        6298, 5.4)."""
        self.recover = recover
        """RecoveryPoint: fast recovery ends when it is acknowledged, and no new one begins before."""
        self.edge = recover
        """What lies below has been judged: it is lost, or was, and has been sent again (HighRxt). It only grows."""
        self.rack = Rack(recover, inf if rtt is None else rtt) if rack else None
        self.proportional = proportional
        self.prr: ProportionalRateReduction | None = None
        """In fast recovery."""
        self.delivered: list[Span] = []
        """What the ACK in hand has acknowledged and was not SACKed before."""
        self.advanced = False
        """The ACK in hand has moved SND.UNA."""
        self.duplicates = 0
        """DupAcks: how many ACKs have SACKed something since SND.UNA moved last (RFC 6675, 2)."""
        self.rescue = recover
        """RescueRxt: only when more than that is acknowledged may the end of the flight be rescued. It is the end of
        what fast recovery sends again first, and then RecoveryPoint, for one rescue is enough."""

    @property
    def deadline(self) -> float:
        return self.rack.deadline if self.rack is not None else inf

    @property
    def lost_octets(self) -> int:
        return self.scoreboard.lost.octets

    @property
    def sacked_octets(self) -> int:
        return self.scoreboard.sacked.octets

    def quiet(self, una: int) -> bool:
        """Nothing is SACKed or lost, nor has been of what is in flight."""
        board = self.scoreboard
        return not (self.fast or una < self.recover or board.sacked.octets or board.lost.octets)

    def next_lost(self, nxt: int) -> Span | None:
        """The leftmost lost octets (RFC 6675, 4, NextSeg, rule 1)."""
        lost = self.scoreboard.lost
        return lost[0] if lost else None

    def room(self, cwnd: int, flight_size: int) -> int:
        pipe = self.scoreboard.pipe(flight_size)
        return self.prr.room(cwnd, pipe) if self.prr is not None else cwnd - pipe

    def may_resend(self, cwnd: int, flight_size: int) -> bool:
        return self.room(cwnd, flight_size) > 0 or self.at_once

    def on_sent(self, left: int, right: int, now: float) -> None:
        if self.rack is not None:
            self.rack.sent.add(left, right, now)
        if self.prr is not None:
            self.prr.on_sent(right - left)
        if self.scoreboard.lost.octets:
            self.at_once = False
            self.scoreboard.lost.remove(left, right)

    def on_ack(self, una: int, nxt: int, acked: int, smss: int) -> bool:
        self.delivered = self.scoreboard.acknowledge(una - acked, una)
        self.advanced = True
        self.duplicates = 0
        if self.rack is not None and una - acked < self.recover <= una:
            self.rack.on_recovered()
        if not self.fast or una < self.recover:
            return False
        self._leave()
        return True

    def detect_loss(self, una: int, nxt: int, smss: int, news: News, now: float) -> bool:
        """Fast recovery begins with the first loss (RFC 6675, 5, step 2), but for what was in flight at the last one:
        that is the same congestion (5.1)."""
        sacked = self.scoreboard.sack(news.blocks)
        self.duplicates += bool(sacked)
        delivered, self.delivered = self.delivered + sacked, []
        if self.rack is not None:
            found = self._judge_by_time(self.rack, una, nxt, smss, delivered, news, now)
        else:
            found = self._judge(una, smss)
        begins = found and not self.fast and una >= self.recover
        octets = sum(right - left for left, right in delivered)
        if begins:
            self._enter(una, nxt, octets, smss)
        if self.prr is not None:
            self.prr.on_ack(octets, safe=self.advanced and not found)
        self.advanced = False
        return begins

    def advance(
        self, before: int, una: int, nxt: int, smss: int, echo: float | None, srtt: float | None, now: float
    ) -> bool:
        """`on_ack` and `detect_loss` in one, for an ACK without blocks, while all is `quiet`. SND.UNA was at *before*.
        Even then it may show a loss: after a timeout that was taken back, SEQ is not the order of transmissions."""
        rack = self.rack
        if una > before:
            self.duplicates = 0
        if rack is None:
            return False
        if srtt is not None:
            rack.srtt = srtt
        rack.delivered([(before, una)] if una > before else [], una, echo, now)
        rack.sent.forget(una)
        begins = rack.detect(self.scoreboard, una, self.duplicates >= DUPLICATES, now)
        if begins:
            self._enter(una, nxt, una - before, smss)
            if self.prr is not None:
                self.prr.on_ack(una - before, safe=False)
        return begins

    def wants_probe(self, una: int) -> bool:
        """Not in recovery, nor when SACKs have come: RACK's own timer runs then."""
        quiet = una >= self.recover and not self.fast and not self.scoreboard.sacked.octets
        return quiet and self.rack is not None

    def out_of_data(self, una: int, nxt: int, smss: int) -> bool:
        """In fast recovery, take for lost what the SACKs leave open: first what lies below the highest of them, then,
        once, the last octets in flight, which nothing behind them can prove lost (RFC 6675, 4, NextSeg, rules 3 and
        4). RACK knows better."""
        board = self.scoreboard
        if self.rack is not None or not self.fast:
            return False
        highest = board.sacked[-1][1] if board.sacked else una
        gaps = board.sacked.gaps(max(self.edge, una), max(self.edge, highest))
        if gaps:
            self.edge = min(gaps[0][1], gaps[0][0] + smss)
            return board.lose(gaps[0][0], self.edge)
        if una <= self.rescue:
            return False
        self.rescue = self.recover
        return board.lose(max(nxt - smss, highest), nxt)

    def on_timeout(self, una: int, nxt: int, now: float) -> None:
        """Everything is taken for lost, and fast recovery is over (RFC 6675, 5.1)."""
        self._leave()
        self.recover = nxt
        self.take_for_lost(una, nxt)
        self.at_once = True
        if self.rack is not None:
            self.rack.on_timeout(self.scoreboard, una, now)

    def resend(self, una: int, nxt: int) -> None:
        """What is SACKed was small enough to arrive."""
        self.scoreboard.lose(una, nxt)
        self.edge = nxt
        self.at_once = True

    def leave_rate(self) -> None:
        self.prr = None

    def on_spurious(self, una: int) -> None:
        self._leave()
        self.recover = self.edge = una
        self.scoreboard.lost.clear()
        if self.rack is not None:
            self.rack.on_spurious()

    def take_for_lost(self, una: int, nxt: int) -> None:
        self.scoreboard.lose_all(una, nxt)
        self.edge = nxt

    def _enter(self, una: int, nxt: int, delivered: int, smss: int) -> None:
        """By an ACK that tells of so many octets delivered."""
        self.fast = self.at_once = True
        self.recover = nxt
        self.rescue = min(self.scoreboard.lost[0][1], una + smss)
        if self.proportional:
            self.prr = ProportionalRateReduction(nxt - una - self.scoreboard.sacked.octets + delivered, smss)

    def _leave(self) -> None:
        self.fast = self.at_once = False
        self.prr = None

    def _judge_by_time(
        self, rack: Rack, una: int, nxt: int, smss: int, delivered: list[Span], news: News, now: float
    ) -> bool:
        """Take for lost what RACK finds lost; say whether there is any."""
        rack.srtt = news.srtt if news.srtt is not None else rack.srtt
        rack.delivered(delivered, una, news.echo, now)
        rack.sent.forget(una)
        if news.dsack is not None:
            rack.on_dsack(una, nxt)
        impatient = self.fast or una < self.recover or self.duplicates >= DUPLICATES
        if not impatient and self.scoreboard.sacked.octets:
            impatient = self.scoreboard.loss_edge(smss) is not None
        return rack.detect(self.scoreboard, una, impatient, now)

    def _judge(self, una: int, smss: int) -> bool:
        """Take for lost what the SACKs above prove lost; say whether there is any. What was sent again is given up by
        the timeout only. The third ACK with a SACK proves the first segment lost, however little has arrived behind it
        (RFC 6675, 5, step 1)."""
        board, begin = self.scoreboard, max(una, self.edge)
        edge = board.loss_edge(smss)
        if (edge is None or edge <= begin) and not self.fast and self.duplicates >= DUPLICATES and board.sacked:
            edge = min(board.sacked[0][0], una + smss)
        if edge is None or edge <= begin:
            return False
        self.edge = edge
        return self.scoreboard.lose(begin, edge)
