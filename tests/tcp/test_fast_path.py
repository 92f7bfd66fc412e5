"""The short way and the general one do the same: whatever happens, to every variable of the connection.

Each connection here has a twin that is told of everything, and for which there is no short way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from enum import Enum
from functools import cache
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.tcp.pairs import CLIENT, SERVER, Path, connected
from tests.tcp.test_pair import PATIENT, Conversation, Habits, User, conversations, converse
from usertcp.tcp import fast_path
from usertcp.tcp.config import Config
from usertcp.tcp.connection import Connection
from usertcp.tcp.keepalive import KeepAlive
from usertcp.tcp.segment import Segment
from usertcp.tcp.tcb import Tcb

pytestmark = pytest.mark.interpreted

NOT_COMPARED = {"memory", "trace", "config", "flow"}


def picture(value: object) -> Any:
    """All that there is to see in a value, for comparison."""
    if value is None or isinstance(value, (int, float, str, Enum)):
        return value
    if isinstance(value, (list, tuple)):
        return [picture(each) for each in value]
    if isinstance(value, dict):
        return {key: picture(each) for key, each in value.items()}
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, Random):
        return value.getstate()
    if isinstance(value, Exception):
        return repr(value)
    names = names_of(type(value)) or list(getattr(value, "__dict__", ()))
    return [picture(getattr(value, name)) for name in names] if names else value


@cache
def names_of(kind: type) -> list[str]:
    """The slots of a class and of those that it is made of."""
    return sorted({name for each in kind.__mro__ for name in getattr(each, "__slots__", ())} - NOT_COMPARED)


class Ways:
    """Which way is open, and how often each was gone."""

    def __init__(self) -> None:
        self.shut = False
        self.taken: Counter[tuple[str, bool]] = Counter()

    @contextmanager
    def general(self) -> Iterator[None]:
        self.shut = True
        yield
        self.shut = False


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> Ways:
    """Connections made from now on have twins."""
    ways = Ways()
    arrives, new_segments = fast_path.segment_arrives, fast_path.new_segments

    def counted_arrival(tcb: Tcb, seg: Segment, now: float) -> bool:
        short = not ways.shut and arrives(tcb, seg, now)
        ways.taken["arrival", short] += not ways.shut
        return short

    def counted_text(tcb: Tcb, now: float) -> list[Segment]:
        segments = [] if ways.shut else new_segments(tcb, now)
        ways.taken["text", bool(segments)] += not ways.shut
        return segments

    monkeypatch.setattr(fast_path, "segment_arrives", counted_arrival)
    monkeypatch.setattr(fast_path, "new_segments", counted_text)

    class WithTwin(Connection):
        __slots__ = ("twin",)

        def __init__(self, *args: Any, memory: object = None, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.twin = Connection(*args, **kwargs)

        def both(self, call: str, *args: Any, **kwargs: Any) -> Any:
            outcomes = []
            for conn in self, self.twin:
                with ways.general() if conn is self.twin else nothing():
                    try:
                        outcomes.append(getattr(Connection, call)(conn, *args, **kwargs))
                    except OSError as error:
                        outcomes.append(error)
                conn.tcb.memory.settle(conn.tcb)
            assert picture(self.tcb) == picture(self.twin.tcb)
            ours, its = outcomes
            assert picture(ours) == picture(its)
            assert self.deadline == self.twin.deadline
            if isinstance(ours, OSError):
                raise ours
            return ours

    for call in "open", "send", "receive", "close", "abort", "configure", "segment_arrives", "timeouts", "output":

        def method(self: WithTwin, *args: Any, call: str = call, **kwargs: Any) -> Any:
            return self.both(call, *args, **kwargs)

        setattr(WithTwin, call, method)
    monkeypatch.setattr("usertcp.tcp.endpoint.Connection", WithTwin)
    return ways


@contextmanager
def nothing() -> Iterator[None]:
    yield


@settings(
    max_examples=15,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(conversations)
def test_whatever_happens(ways: Ways, conversation: Conversation) -> None:
    conversation.run()


@pytest.mark.parametrize(
    "config",
    [
        PATIENT,
        replace(PATIENT, nagle=False),
        replace(PATIENT, congestion="reno", auto_tuning=False, cwnd_validation=False, rack=False),
        replace(PATIENT, keepalive=KeepAlive(), user_timeout=50.0),
        replace(PATIENT, ecn="on", dsack=False),
    ],
)
@pytest.mark.parametrize("loss", [0.0, 0.01])
@pytest.mark.parametrize("seed", range(2))
def test_a_long_conversation(ways: Ways, config: Config, loss: float, seed: int) -> None:
    random = Random(seed)
    out, back = (Path(Random(n), delay=0.01, jitter=0.002 * bool(loss), loss=loss) for n in (seed, seed + 100))
    pair, conn, child = connected(config, config, out=out, back=back)
    writes = [random.choice([1, 60, 500, 1448, 4000, 20_000]) for _ in range(10)]
    speaks = Habits(sum(writes) * 3, writes, [100_000], closes_first=True)
    users = [
        User(pair, pair.client, conn, speaks, seed=1, pause=0.013),
        User(pair, pair.server, child, speaks, seed=2, pause=0.017),
    ]
    converse(pair, users, [config, config])
    if config is PATIENT and not loss:
        taken = ways.taken
        assert taken["arrival", True] > taken["arrival", False]
        assert taken["text", True] > 50


def test_requests_and_answers_only_go_the_short_way(ways: Ways) -> None:
    pair, conn, child = connected(PATIENT, PATIENT)
    ways.taken.clear()
    for _ in range(100):
        for sender, receiver in (conn, child), (child, conn):
            sender.send(b"some text", pair.now)
            (pair.client if sender.flow == CLIENT else pair.server).touch(sender)
            pair.run(lambda receiver=receiver: receiver.readable)  # type: ignore[misc]
            assert receiver.receive(100, pair.now) == b"some text"
    assert ways.taken["arrival", True] >= 200
    assert ways.taken["arrival", False] == 0
    assert ways.taken["text", True] >= 200


def test_a_loss_that_an_acknowledgment_in_order_shows_begins_recovery(ways: Ways) -> None:
    """After a timeout that was taken back: a later transmission was delivered than what is still missing."""
    pair, conn, _ = connected(replace(PATIENT, nagle=False), replace(PATIENT, dsack=False))
    pair.loses = lambda flow, seg: flow == CLIENT
    for _ in range(20):
        conn.send(bytes(100), pair.now)
        pair.client.touch(conn)
        pair.settle()
    first = next(seg for _, flow, seg in pair.wire if flow == CLIENT and seg.data)
    pair.run(lambda: conn.retransmissions == 1)
    again = next(seg for _, flow, seg in reversed(pair.wire) if flow == CLIENT and seg.seq == first.seq)
    assert 100 < len(again.data) < 2000
    for seg in first, again:
        pair.client.touch(conn)
        pair.server.segment_arrives(SERVER, seg, pair.now)
        ways.taken.clear()
        acked = conn.status(pair.now).snd_una
        pair.run(lambda acked=acked: conn.status(pair.now).snd_una != acked)  # type: ignore[misc]
    assert ways.taken["arrival", True] == 1
    counters = conn.status(pair.now).counters
    assert (counters["losses that were none"], counters["fast retransmits"]) == (1, 1)
