"""The peer's states as its segments give them away."""

from collections.abc import Callable

from tests.trace.script import Script
from usertcp.tcp.segment import ACK, FIN, RST, SYN
from usertcp.tcp.state import State
from usertcp.trace.peer import InferredPeer


class Watch:
    """A connection and what is inferred of its peer."""

    def __init__(self) -> None:
        self.script = Script()
        self.peer = InferredPeer()

    def out(self, flags: int, seq: int, ack: int = 0) -> State | None:
        self.peer.segment_to_peer(self.script.ours(flags, seq, ack))
        return self.peer.state

    def arrives(self, flags: int, seq: int, ack: int = 0) -> State | None:
        self.peer.segment_from_peer(self.script.theirs(flags, seq, ack))
        return self.peer.state


def established() -> Watch:
    watch = Watch()
    watch.out(SYN, 0)
    watch.arrives(SYN | ACK, 0, 1)
    watch.out(ACK, 1, 1)
    return watch


def walk(watch: Watch, *steps: tuple[Callable[[int, int, int], State | None], int, int, int]) -> list[str]:
    return [str(step(flags, seq, ack)) for step, flags, seq, ack in steps]


def test_a_syn_alone_says_nothing_of_the_peer() -> None:
    assert Watch().out(SYN, 0) is None


def test_handshake_and_close_from_our_side() -> None:
    watch = Watch()
    assert walk(
        watch,
        (watch.out, SYN, 0, 0),
        (watch.arrives, SYN | ACK, 0, 1),
        (watch.out, ACK, 1, 1),
        (watch.out, FIN | ACK, 1, 1),
        (watch.arrives, ACK, 1, 2),
        (watch.arrives, FIN | ACK, 1, 2),
        (watch.out, ACK, 2, 2),
    ) == ["None", "SYN-RECEIVED", "ESTABLISHED", "ESTABLISHED", "CLOSE-WAIT", "LAST-ACK", "CLOSED"]


def test_close_from_the_peers_side() -> None:
    watch = established()
    assert walk(
        watch,
        (watch.arrives, FIN | ACK, 1, 1),
        (watch.out, ACK, 1, 2),
        (watch.out, FIN | ACK, 1, 2),
        (watch.arrives, ACK, 2, 2),
    ) == ["FIN-WAIT-1", "FIN-WAIT-2", "FIN-WAIT-2", "TIME-WAIT"]


def test_simultaneous_close() -> None:
    watch = established()
    assert walk(
        watch,
        (watch.out, FIN | ACK, 1, 1),
        (watch.arrives, FIN | ACK, 1, 1),
        (watch.arrives, ACK, 2, 2),
        (watch.out, ACK, 2, 2),
    ) == ["ESTABLISHED", "FIN-WAIT-1", "CLOSING", "TIME-WAIT"]


def test_simultaneous_open() -> None:
    watch = Watch()
    assert walk(
        watch,
        (watch.out, SYN, 0, 0),
        (watch.arrives, SYN, 0, 0),
        (watch.out, SYN | ACK, 0, 1),
        (watch.arrives, SYN | ACK, 0, 1),
        (watch.out, ACK, 1, 1),
    ) == ["None", "SYN-SENT", "SYN-SENT", "SYN-RECEIVED", "ESTABLISHED"]


def test_three_segments_are_enough_to_close() -> None:
    watch = established()
    assert walk(
        watch,
        (watch.arrives, FIN | ACK, 1, 1),
        (watch.out, FIN | ACK, 1, 2),
        (watch.arrives, ACK, 2, 2),
    ) == ["FIN-WAIT-1", "FIN-WAIT-1", "TIME-WAIT"]


def test_a_repeated_fin_shows_that_our_ack_was_lost() -> None:
    watch = established()
    watch.out(FIN | ACK, 1, 1)
    watch.arrives(FIN | ACK, 1, 2)
    assert watch.out(ACK, 2, 2) is State.CLOSED
    assert watch.arrives(FIN | ACK, 1, 2) is State.LAST_ACK
    assert watch.out(ACK, 2, 2) is State.CLOSED


def test_a_reset_closes_from_either_side() -> None:
    assert established().arrives(RST, 1) is State.CLOSED
    assert established().out(RST, 1) is State.CLOSED


def test_an_old_duplicate_syn_says_nothing_of_today() -> None:
    assert established().arrives(SYN, -50) is State.ESTABLISHED
