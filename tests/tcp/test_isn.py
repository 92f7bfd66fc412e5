from collections.abc import Callable

import pytest

from usertcp.tcp.isn import isn, timestamp_offset
from usertcp.tcp.segment import Flow

SECRET = bytes(range(32))
FLOW = Flow("192.0.2.1", 61000, "192.0.2.2", 80)
OTHERS = [
    FLOW._replace(local="192.0.2.3"),
    FLOW._replace(local_port=61001),
    FLOW._replace(remote="192.0.2.3"),
    FLOW._replace(remote_port=81),
    FLOW.reversed,
    Flow("2001:db8::1", 61000, "2001:db8::2", 80),
]


def isn_now(secret: bytes, flow: Flow) -> int:
    return isn(secret, flow, now=5.0)


@pytest.mark.rfc("6528", "3")
@pytest.mark.rfc("9293", "3.4.1", "MUST-8")
def test_isn_is_a_clock_of_4_microseconds() -> None:
    first = isn(SECRET, FLOW, now=100.0)
    assert (isn(SECRET, FLOW, now=100.000004) - first) % 2**32 == 1
    assert (isn(SECRET, FLOW, now=101.0) - first) % 2**32 == 250_000


@pytest.mark.rfc("6528", "3")
def test_isn_wraps_with_the_clock_after_nearly_5_hours() -> None:
    period = 2**32 / 250_000
    assert isn(SECRET, FLOW, now=7.0 + period) == isn(SECRET, FLOW, now=7.0)
    assert all(0 <= isn(SECRET, FLOW, now=n * period / 50) < 2**32 for n in range(50))


@pytest.mark.rfc("9293", "3.4.1", "SHLD-1")
@pytest.mark.rfc("7323", "5.4")
@pytest.mark.parametrize("number", [isn_now, timestamp_offset])
def test_every_part_of_the_pair_of_sockets_and_the_secret_count(number: Callable[[bytes, Flow], int]) -> None:
    numbers = {number(SECRET, flow) for flow in [FLOW, *OTHERS]} | {number(b"another", FLOW)}
    assert len(numbers) == len(OTHERS) + 2
    assert number(SECRET, FLOW) == number(SECRET, FLOW)
    assert all(0 <= n < 2**32 for n in numbers)


@pytest.mark.rfc("9293", "3.4.1", "MUST-9")
def test_the_numbers_of_one_connection_say_nothing_of_those_of_another_to_who_lacks_the_secret() -> None:
    """An attacker may have connections of its own and so know the clock; the distance to ours differs with the
    secret."""
    theirs = FLOW._replace(remote="192.0.2.66")
    secrets = [bytes([n]) * 32 for n in range(256)]
    distances = [(isn(secret, FLOW, now=5.0) - isn(secret, theirs, now=5.0)) % 2**32 for secret in secrets]
    assert len(set(distances)) == len(secrets)
    sixteenths = [distance >> 28 for distance in distances]
    assert max(sixteenths.count(n) for n in range(16)) < 40


def test_who_sees_the_timestamps_has_not_seen_what_the_isn_is_made_of() -> None:
    assert timestamp_offset(SECRET, FLOW) != isn(SECRET, FLOW, now=0.0)
