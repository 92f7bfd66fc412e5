import pytest
from hypothesis import given
from hypothesis import strategies as st

from usertcp.tcp.sequence import unwrap, wrap

POSITIONS = st.one_of(st.integers(-(2**33), 2**34), st.integers(-4, 4).map(lambda near: 2**32 + near))


@given(position=POSITIONS, distance=st.integers(-(2**31), 2**31 - 1))
@pytest.mark.rfc("9293", "3.4")
def test_a_position_survives_the_wire_while_it_is_nearer_than_half_the_space(position: int, distance: int) -> None:
    number = wrap(position + distance)
    assert 0 <= number < 2**32
    assert unwrap(number, near=position) == position + distance


@given(near=POSITIONS)
@pytest.mark.rfc("9293", "3.4")
def test_at_exactly_half_the_space_the_older_position_is_taken(near: int) -> None:
    assert unwrap(wrap(near + 2**31), near) == near - 2**31


def test_numbers_around_the_wrap_compare_as_positions() -> None:
    near = unwrap(2**32 - 2, near=0) + 2**32
    assert [unwrap(number, near) - near for number in (2**32 - 3, 2**32 - 2, 2**32 - 1, 0, 1)] == [-1, 0, 1, 2, 3]
    assert [wrap(near + distance) for distance in (0, 1, 2)] == [2**32 - 2, 2**32 - 1, 0]
