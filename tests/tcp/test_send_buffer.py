import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usertcp.tcp.send_buffer import SendBuffer


def test_append_takes_what_fits_and_says_how_much() -> None:
    buffer = SendBuffer(start=7, limit=10)
    assert buffer.append(b"0123456") == 7
    assert buffer.append(memoryview(b"789abc")) == 3
    assert buffer.append(bytearray(b"d")) == 0
    assert (buffer.start, buffer.end, len(buffer), buffer.free) == (7, 17, 10, 0)
    assert buffer.peek(7, 100) == b"0123456789"


def test_the_callers_buffer_is_copied() -> None:
    data = bytearray(b"before")
    buffer = SendBuffer(start=0, limit=10)
    buffer.append(data)
    data[:] = b"after!"
    assert buffer.peek(0, 6) == b"before"


def test_peek_ends_where_the_buffer_ends() -> None:
    buffer = SendBuffer(start=2**32 - 3, limit=100)
    buffer.append(b"abcdef")
    assert buffer.peek(2**32 - 1, 2) == b"cd"
    assert buffer.peek(2**32 + 1, 100) == b"ef"
    assert buffer.peek(2**32 + 3, 100) == b""


def test_release_forgets_what_is_acknowledged_and_makes_room() -> None:
    buffer = SendBuffer(start=5, limit=6)
    buffer.append(b"abcdef")
    buffer.release(8)
    assert (buffer.start, buffer.end, buffer.free) == (8, 11, 3)
    assert buffer.peek(8, 3) == b"def"


@pytest.mark.parametrize("position", [5, 4, 0, -1000])
def test_release_of_what_was_released_does_nothing(position: int) -> None:
    buffer = SendBuffer(start=5, limit=6)
    buffer.append(b"abc")
    buffer.release(position)
    assert (buffer.start, buffer.peek(5, 9)) == (5, b"abc")


def test_a_limit_below_the_content_takes_nothing_and_loses_nothing() -> None:
    buffer = SendBuffer(start=0, limit=8)
    buffer.append(b"abcdef")
    buffer.limit = 4
    assert buffer.free == 0
    assert buffer.append(b"x") == 0
    buffer.release(3)
    assert buffer.append(b"xyz") == 1
    assert buffer.peek(3, 9) == b"defx"


def test_an_idle_buffer_holds_no_memory() -> None:
    buffer = SendBuffer(start=0, limit=1 << 20)
    tracemalloc.start()
    try:
        buffer.append(bytes(1 << 20))
        full, _ = tracemalloc.get_traced_memory()
        buffer.release(1 << 20)
        empty, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert full > 1 << 20
    assert empty < 1000


@given(
    start=st.integers(-10, 10).map(lambda near: 2**32 + near),
    limit=st.integers(0, 20),
    steps=st.lists(
        st.one_of(st.binary(max_size=12), st.integers(0, 12), st.tuples(st.integers(0, 12), st.integers(0, 12)))
    ),
)
def test_any_use_agrees_with_a_string_that_remembers_everything(
    start: int, limit: int, steps: list[bytes | int | tuple[int, int]]
) -> None:
    buffer = SendBuffer(start, limit)
    sent, released = b"", 0
    for step in steps:
        match step:
            case bytes():
                taken = buffer.append(step)
                assert taken == min(len(step), limit - (len(sent) - released))
                sent += step[:taken]
            case int():
                released = min(released + step, len(sent))
                buffer.release(start + released)
            case (skip, n):
                offset = min(released + skip, len(sent))
                assert buffer.peek(start + offset, n) == sent[offset : offset + n]
        assert (buffer.start, buffer.end) == (start + released, start + len(sent))
        assert len(buffer) + buffer.free == limit
