"""Two endpoints on paths that lose, delay and duplicate: what a loss costs."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.tcp.pairs import Pair, Path, connected
from usertcp.tcp.config import Config
from usertcp.tcp.connection import Connection
from usertcp.tcp.state import State

CONFIG = Config(r2=1e6, rto_min=0.2, rto_max=4.0, congestion="reno", rack=True)
NEW_RENO = replace(CONFIG, sack=False)


def transfer(config: Config, out: Path, back: Path, octets: int, seed: int = 1) -> tuple[Counter[str], float]:
    """Send so many octets over these paths, to the last FIN; the sender's counters, and how long it took."""
    pair, sender, receiver = connected(config, config)
    pair.join(out, back)
    begin = pair.now
    text = Random(seed).randbytes(octets)
    sent, got = 0, bytearray()

    def over() -> bool:
        nonlocal sent
        if sent < octets:
            sent += sender.send(text[sent : sent + 100_000], pair.now)
            pair.client.touch(sender)
            if sent == octets:
                sender.close(pair.now)
        if receiver.readable and receiver.state is not State.CLOSED:
            got.extend(receiver.receive(octets, pair.now))
            pair.server.touch(receiver)
        if receiver.at_eof and receiver.state is State.CLOSE_WAIT:
            receiver.close(pair.now)
            pair.server.touch(receiver)
        return receiver.state is State.CLOSED

    pair.run(over, steps=200_000)
    seconds = pair.now - begin
    assert bytes(got) == text
    assert ended(pair, sender)
    return Counter(sender.status(pair.now).counters), seconds


def ended(pair: Pair, sender: Connection) -> bool:
    pair.run_for(10.0)
    return sender.error is None and sender.state in (State.TIME_WAIT, State.CLOSED)


def path(seed: int, **properties: float) -> Path:
    return Path(Random(seed), **properties)


def totals(config: Config, *, octets: int = 200_000, seeds: int = 12, **properties: float) -> Counter[str]:
    """Of transfers with several seeds."""
    total: Counter[str] = Counter()
    for seed in range(seeds):
        counters, seconds = transfer(config, path(seed, **properties), path(seed + 1000, delay=0.02), octets)
        total += counters
        total["milliseconds"] += round(1000 * seconds)
    return total


@pytest.mark.rfc("6675", "5")
@pytest.mark.parametrize("loss", [0.02, 0.05, 0.1])
def test_with_sack_a_lossy_path_takes_fewer_timeouts_and_less_time_than_without(loss: float) -> None:
    without, with_sack = totals(NEW_RENO, delay=0.02, loss=loss), totals(CONFIG, delay=0.02, loss=loss)
    assert with_sack["retransmission timeouts"] < without["retransmission timeouts"]
    assert with_sack["milliseconds"] < without["milliseconds"]


@pytest.mark.rfc("8985", "3")
@pytest.mark.parametrize("loss", [0.02, 0.1])
def test_finding_losses_by_time_takes_fewer_timeouts_still(loss: float) -> None:
    counting, by_time = (
        totals(replace(CONFIG, rack=False), delay=0.02, loss=loss),
        totals(CONFIG, delay=0.02, loss=loss),
    )
    assert by_time["retransmission timeouts"] < counting["retransmission timeouts"]


@pytest.mark.rfc("8985", "6.2", "step 4")
def test_on_a_path_that_reorders_less_is_sent_again_for_nothing() -> None:
    counting = totals(replace(CONFIG, rack=False, undo=False), delay=0.02, jitter=0.01)
    by_time = totals(CONFIG, delay=0.02, jitter=0.01)
    assert by_time["segments retransmitted"] < counting["segments retransmitted"]
    assert by_time["milliseconds"] < 0.8 * counting["milliseconds"]


@settings(
    max_examples=40,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(
    seed=st.integers(0, 2**32),
    loss=st.sampled_from([0.0, 0.01, 0.1, 0.3]),
    jitter=st.sampled_from([0.0, 0.005, 0.05]),
    duplication=st.sampled_from([0.0, 0.1]),
    config=st.builds(
        replace,
        st.just(CONFIG),
        timestamps=st.booleans(),
        sack=st.booleans(),
        dsack=st.booleans(),
        rack=st.booleans(),
        prr=st.booleans(),
        undo=st.booleans(),
        nagle=st.booleans(),
        receive_buffer=st.sampled_from([2000, 70_000, 1 << 20]),
        mss=st.sampled_from([None, 64, 536]),
    ),
    octets=st.integers(1, 60_000),
)
def test_every_octet_arrives_whatever_the_path(
    seed: int, loss: float, jitter: float, duplication: float, config: Config, octets: int
) -> None:
    out = path(seed, loss=loss, jitter=jitter, duplication=duplication)
    back = path(seed + 1, loss=loss, jitter=jitter, duplication=duplication)
    transfer(config, out, back, octets)
