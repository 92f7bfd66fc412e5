"""The ports of the host that a stack claims, one by one and ahead."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import pytest

from usertcp.errors import PortInUse
from usertcp.link.memory import memory_links
from usertcp.runtime.claims import IDLE_BLOCKS, LARGEST_BLOCK, Claim, Claims

OURS, THEIRS = "192.0.2.1", "192.0.2.2"
LAST = 65535


class Host:
    """A link that takes blocks, and keeps account of what is claimed."""

    def __init__(self, *taken: int) -> None:
        self.link, _ = memory_links()
        self.taken = taken
        self.single: list[tuple[str, int, str]] = []
        self.blocks: list[range] = []
        self.link.claim = self.claim  # type: ignore[method-assign]
        self.link.claim_block = self.claim_block  # type: ignore[method-assign]

    @contextmanager
    def claim(self, local: str, port: int, remote: str = "") -> Iterator[None]:
        if port in self.taken:
            raise PortInUse(f"{port}")
        self.single.append((local, port, remote))
        yield
        self.single.remove((local, port, remote))

    @contextmanager
    def claim_block(self, first: int, most: int) -> Iterator[range]:
        end = next((port for port in range(first, first + most) if port in self.taken), first + most)
        if end == first:
            raise PortInUse(f"{first}")
        self.blocks.append(ports := range(first, end))
        yield ports
        self.blocks.remove(ports)


def calls(claims: Claims, first: int, number: int) -> list[Claim]:
    """So many connections from consecutive ports."""
    return [claims.take_any(lambda port=port: port, OURS, THEIRS)[1] for port in range(first, first + number)]


def test_one_call_claims_one_port() -> None:
    host = Host()
    [claim] = calls(Claims(host.link, LAST), 61000, 1)
    assert (host.single, host.blocks) == ([(OURS, 61000, THEIRS)], [])
    claim.release()
    assert host.single == []


def test_who_calls_often_claims_more_and_more_ahead() -> None:
    host = Host()
    claims = Claims(host.link, LAST)
    for port in range(61000, 61120):
        for claim in calls(claims, port, 1):
            claim.release()
        assert len(host.blocks) <= IDLE_BLOCKS
    assert [len(block) for block in host.blocks] == [16, 32, 32, 32]
    assert max(map(len, host.blocks)) == LARGEST_BLOCK
    claims.close()
    assert (host.single, host.blocks) == ([], [])


def test_a_block_is_kept_while_one_of_its_ports_is_in_use() -> None:
    host = Host()
    claims = Claims(host.link, LAST)
    held = calls(claims, 61000, 7)
    assert host.blocks == [range(61001, 61003), range(61003, 61007)]
    for claim in held[:-1]:
        claim.release()
    claims.close()
    assert (host.single, host.blocks) == ([], [range(61003, 61007)])
    held[-1].release()
    claims.close()
    assert host.blocks == []


def test_a_claim_in_a_block_may_be_shared() -> None:
    host = Host()
    claims = Claims(host.link, LAST)
    *_, claim = calls(claims, 61000, 2)
    claim.share()
    claim.release()
    claims.close()
    assert host.blocks
    claim.release()
    claims.close()
    assert not host.blocks


def test_a_port_claimed_ahead_is_ours_at_every_address() -> None:
    claims = Claims(Host().link, LAST)
    calls(claims, 61000, 2)
    assert [claims.has_port(port) for port in range(61000, 61004)] == [True, True, True, False]
    assert [claims.has(THEIRS, port) for port in range(61000, 61004)] == [False, True, True, False]
    assert claims.has(OURS, 61000)


def test_any_call_may_have_a_port_that_was_claimed_ahead() -> None:
    host = Host()
    claims = Claims(host.link, LAST)
    calls(claims, 61000, 2)
    claims.take_any(lambda: 61002, OURS, "192.0.2.3")
    assert (len(host.single), len(host.blocks)) == (1, 1)


def test_ports_that_others_have_are_passed_over_by_blocks_too() -> None:
    host = Host(61002, 61003)
    claims = Claims(host.link, LAST)
    ports = count(61000)
    assert [claims.take_any(lambda: next(ports), OURS, THEIRS)[0] for _ in range(4)] == [61000, 61001, 61004, 61005]
    assert host.blocks == [range(61001, 61002), range(61005, 61007)]


def test_a_block_ends_where_another_one_begins() -> None:
    host = Host()
    claims = Claims(host.link, LAST)
    ahead = calls(claims, 61005, 6)
    behind = calls(claims, 61000, 6)
    assert host.blocks == [range(61006, 61008), range(61008, 61012), range(61001, 61003), range(61003, 61006)]
    for claim in ahead:
        claim.release()
    for claim in behind:
        claim.release()
    claims.close()
    assert (host.single, host.blocks) == ([], [])
    assert not any(map(claims.has_port, range(61000, 61012)))


def test_no_port_beyond_the_range_is_claimed_ahead() -> None:
    host = Host()
    calls(Claims(host.link, 61003), 61000, 4)
    assert host.blocks == [range(61001, 61003), range(61003, 61004)]


def test_calls_to_several_hosts_in_turn_each_get_their_blocks() -> None:
    host = Host()
    claims = Claims(host.link, LAST)
    for step in range(3):
        for first in (61000, 62000, 63000):
            calls(claims, first + step, 1)
    assert len(host.blocks) == 3
    assert len(host.single) == 3


def test_runs_are_forgotten_when_there_are_many() -> None:
    host = Host()
    claims = Claims(host.link, LAST)
    for first in range(10000, 60000, 1000):
        calls(claims, first, 1)
    calls(claims, 10001, 1)
    assert host.blocks == []
    calls(claims, 59001, 1)
    assert host.blocks == [range(59001, 59003)]


def test_a_host_without_any_of_the_ports_is_asked_no_longer_than_that_makes_sense() -> None:
    claims = Claims(Host(*range(1000, 2000)).link, LAST)
    ports = count(1000)
    with pytest.raises(PortInUse):
        claims.take_any(lambda: next(ports), OURS)
    assert next(ports) < 1100
