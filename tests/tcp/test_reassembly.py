import sys
import tracemalloc
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usertcp.tcp import reassembly
from usertcp.tcp.reassembly import MAX_RANGES, ReceiveBuffer

STARTS = pytest.mark.parametrize("start", [0, 2**32 - 2])


@STARTS
def test_in_order_octets_are_readable_at_once(start: int) -> None:
    buffer = ReceiveBuffer(start)
    assert buffer.write(start, b"abc")
    assert buffer.write(start + 3, b"de")
    assert (buffer.nxt, buffer.readable) == (start + 5, 5)
    assert buffer.read(4) == b"abcd"
    assert buffer.read(4) == b"e"
    assert buffer.read(4) == b""
    assert (buffer.unread, buffer.nxt) == (start + 5, start + 5)


@STARTS
@pytest.mark.rfc("9293", "3.10.7.4", "SHLD-31")
def test_octets_beyond_a_hole_wait_for_it_to_be_filled(start: int) -> None:
    buffer = ReceiveBuffer(start)
    buffer.write(start + 2, b"cd")
    buffer.write(start + 6, b"gh")
    assert (buffer.nxt, buffer.readable, buffer.read(9)) == (start, 0, b"")
    assert buffer.ranges == [(start + 2, start + 4), (start + 6, start + 8)]
    buffer.write(start, b"ab")
    assert (buffer.nxt, buffer.ranges) == (start + 4, [(start + 6, start + 8)])
    buffer.write(start + 4, b"ef")
    assert (buffer.nxt, buffer.ranges, buffer.read(9)) == (start + 8, [], b"abcdefgh")


@STARTS
def test_adjacent_and_overlapping_ranges_become_one(start: int) -> None:
    buffer = ReceiveBuffer(start)
    buffer.write(start + 10, b"kl")
    buffer.write(start + 12, b"mn")
    assert buffer.ranges == [(start + 10, start + 14)]
    buffer.write(start + 16, b"qr")
    buffer.write(start + 8, b"ijklmnopqrst")
    assert buffer.ranges == [(start + 8, start + 20)]
    buffer.write(start, b"abcdefgh")
    assert buffer.read(99) == b"abcdefghijklmnopqrst"


@pytest.mark.parametrize("again", [b"XXXXXXXXXX", memoryview(b"XXXXXXXXXX")])
def test_the_first_copy_of_an_octet_wins(again: bytes | memoryview) -> None:
    buffer = ReceiveBuffer(0)
    buffer.write(0, b"ab")
    buffer.write(4, b"ef")
    buffer.write(8, b"ij")
    buffer.write(0, again)
    assert buffer.read(99) == b"abXXefXXij"


def test_octets_already_read_do_not_come_again() -> None:
    buffer = ReceiveBuffer(0)
    buffer.write(0, b"abcd")
    buffer.read(3)
    assert buffer.write(0, b"abcd")
    assert buffer.write(1, b"XXXe")
    assert buffer.read(99) == b"de"


def test_a_write_of_nothing_changes_nothing() -> None:
    buffer = ReceiveBuffer(0)
    assert buffer.write(0, b"")
    assert buffer.write(5, b"")
    assert (buffer.nxt, buffer.ranges, buffer.sack_blocks(4)) == (0, [], ())


@pytest.mark.rfc("2018", "4")
def test_first_sack_block_holds_the_segment_that_arrived_last() -> None:
    buffer = ReceiveBuffer(0)
    for left in (10, 30, 20):
        buffer.write(left, b"..")
    assert buffer.sack_blocks(3) == ((20, 22), (30, 32), (10, 12))
    buffer.write(12, b"..")
    assert buffer.sack_blocks(3) == ((10, 14), (20, 22), (30, 32))


@pytest.mark.rfc("2018", "4")
def test_first_sack_block_holds_a_duplicate_that_arrived_last() -> None:
    buffer = ReceiveBuffer(0)
    buffer.write(10, b"...")
    buffer.write(20, b"...")
    buffer.write(11, b".")
    assert buffer.sack_blocks(2) == ((10, 13), (20, 23))


@pytest.mark.rfc("2018", "4")
def test_sack_blocks_are_the_latest_and_never_more_than_fit() -> None:
    buffer = ReceiveBuffer(0)
    for left in range(10, 60, 10):
        buffer.write(left, b".")
    assert buffer.sack_blocks(0) == ()
    assert buffer.sack_blocks(2) == ((50, 51), (40, 41))
    assert len(buffer.sack_blocks(99)) == 5


@pytest.mark.rfc("2018", "4")
def test_merged_ranges_are_one_sack_block() -> None:
    buffer = ReceiveBuffer(0)
    buffer.write(10, b"..")
    buffer.write(14, b"..")
    buffer.write(30, b"..")
    buffer.write(12, b"..")
    assert buffer.sack_blocks(9) == ((10, 16), (30, 32))


@pytest.mark.rfc("2018", "4")
def test_a_segment_that_advances_rcv_nxt_leaves_the_others_in_their_order() -> None:
    buffer = ReceiveBuffer(0)
    for left in (30, 2, 20):
        buffer.write(left, b"..")
    buffer.write(0, b"..")
    assert (buffer.nxt, buffer.sack_blocks(3)) == (4, ((20, 22), (30, 32)))


@STARTS
def test_too_many_separate_ranges_are_refused_but_never_text_in_order(start: int) -> None:
    buffer = ReceiveBuffer(start)
    for n in range(MAX_RANGES):
        assert buffer.write(start + 10 + 2 * n, b".")
    beyond = start + 10 + 2 * MAX_RANGES
    assert not buffer.write(beyond, b".")
    assert len(buffer.ranges) == MAX_RANGES
    assert buffer.write(beyond - 1, b".")
    assert buffer.write(start + 10, b"...")
    assert len(buffer.ranges) == MAX_RANGES - 1
    assert buffer.write(start, b".")
    assert buffer.nxt == start + 1
    assert buffer.write(start + 1, bytes(beyond - start))
    assert (buffer.nxt, buffer.ranges) == (beyond + 1, [])


def lines_executed(function: Callable[[], object]) -> int:
    """How many lines of Python *function* runs: its work, whatever the machine."""
    count = 0

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal count
        if frame.f_code.co_filename != reassembly.__file__:
            return None  # the garbage collector may call back in between
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("offset", [0, 1, 999, 1000, 1997, 3000])
def test_the_work_for_a_segment_does_not_grow_with_the_ranges(offset: int) -> None:
    """CVE-2018-5390: many tiny segments out of order, each of which made the receiver walk or rebuild its queue."""

    def work(ranges: int) -> int:
        buffer = ReceiveBuffer(0)
        for n in range(ranges):
            buffer.write(10 + 2 * n, b".")
        return lines_executed(lambda: buffer.write(5 + offset, b"."))

    assert work(1000) <= work(1) + 8


def test_an_unused_buffer_holds_no_memory_and_a_read_one_gives_it_back() -> None:
    buffer = ReceiveBuffer(0)
    tracemalloc.start()
    try:
        buffer.write(1 << 19, bytes(1 << 19))
        buffer.write(0, bytes(1 << 19))
        full, _ = tracemalloc.get_traced_memory()
        while buffer.readable:
            buffer.read(1 << 16)
        empty, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert full < 2 << 20
    assert empty < 2000


def test_clear_forgets_the_octets_and_keeps_rcv_nxt() -> None:
    buffer = ReceiveBuffer(2**32 - 2)
    buffer.write(2**32 - 2, b"abc")
    buffer.write(2**32 + 9, b"xyz")
    buffer.clear()
    assert (buffer.nxt, buffer.readable, buffer.read(9)) == (2**32 + 1, 0, b"")
    assert (buffer.ranges, buffer.sack_blocks(4)) == ([], ())
    buffer.write(2**32 + 1, b"de")
    assert buffer.read(9) == b"de"


class Model:
    """The same, octet by octet."""

    def __init__(self) -> None:
        self.octets: dict[int, int] = {}
        self.arrivals: list[int] = []

    def write(self, offset: int, data: bytes) -> None:
        for at, octet in enumerate(data, offset):
            self.octets.setdefault(at, octet)
            self.arrivals.append(at)

    @property
    def nxt(self) -> int:
        return next(at for at in range(len(self.octets) + 1) if at not in self.octets)

    @property
    def ranges(self) -> list[tuple[int, int]]:
        beyond = [at for at in self.octets if at > self.nxt]
        lefts = sorted(at for at in beyond if at - 1 not in self.octets)
        rights = sorted(at + 1 for at in beyond if at + 1 not in self.octets)
        return list(zip(lefts, rights, strict=True))

    @property
    def blocks(self) -> list[tuple[int, int]]:
        """Ordered by the last arrival of any octet in them."""
        last = {at: when for when, at in enumerate(self.arrivals)}
        return sorted(self.ranges, key=lambda block: -max(last[at] for at in range(*block)))


Step = tuple[int, bytes] | int


@given(
    start=st.sampled_from([0, 2**32 - 20]),
    steps=st.lists(st.one_of(st.tuples(st.integers(0, 60), st.binary(max_size=12)), st.integers(0, 9)), max_size=60),
)
def test_any_order_of_arrival_agrees_with_a_model_that_keeps_every_octet(start: int, steps: list[Step]) -> None:
    buffer, model, taken = ReceiveBuffer(start), Model(), b""
    for step in steps:
        if isinstance(step, int):
            taken += buffer.read(step)
        else:
            offset, data = step
            assert buffer.write(start + offset, data)
            model.write(offset, data)
        assert buffer.nxt == start + model.nxt
        assert buffer.unread == start + len(taken)
        assert buffer.ranges == [(start + left, start + right) for left, right in model.ranges]
        assert list(buffer.sack_blocks(4)) == [(start + left, start + right) for left, right in model.blocks[:4]]
    taken += buffer.read(10_000)
    assert taken == bytes(model.octets[at] for at in range(model.nxt))
