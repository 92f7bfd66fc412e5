from collections import Counter

import pytest

from usertcp.errors import PortInUse
from usertcp.tcp.ports import PortChooser

LOW, HIGH = 61000, 61099
SECRET = bytes(32)


def free(port: int) -> bool:
    return False


def choose(chooser: PortChooser, remote: str = "192.0.2.2", remote_port: int = 80) -> int:
    return chooser.choose("192.0.2.1", remote, remote_port, free)


@pytest.mark.rfc("6056", "3.3.4")
def test_toward_one_remote_socket_every_port_comes_once_before_any_comes_again() -> None:
    chooser = PortChooser(SECRET, LOW, HIGH)
    ports = [choose(chooser) for _ in range(100)]
    assert sorted(ports) == list(range(LOW, HIGH + 1))
    assert choose(chooser) == ports[0]


@pytest.mark.rfc("6056", "3.3.4")
def test_the_first_port_depends_on_the_secret_and_on_every_part_of_the_destination() -> None:
    firsts = [choose(PortChooser(bytes([n]), LOW, HIGH)) for n in range(50)]
    firsts += [choose(PortChooser(SECRET, LOW, HIGH), remote=f"192.0.2.{n}") for n in range(50)]
    firsts += [choose(PortChooser(SECRET, LOW, HIGH), remote_port=n) for n in range(50)]
    firsts += [PortChooser(SECRET, LOW, HIGH).choose(f"192.0.2.{n}", "192.0.2.2", 80, free) for n in range(50)]
    for tenth in range(4):
        assert len(set(firsts[tenth * 50 : tenth * 50 + 50])) > 20
    assert max(Counter(firsts).values()) < 15


@pytest.mark.rfc("6056", "3.3.4")
def test_what_one_remote_socket_sees_does_not_count_the_connections_to_the_others() -> None:
    alone, busy = PortChooser(SECRET, LOW, HIGH), PortChooser(SECRET, LOW, HIGH)
    choose(alone)
    choose(busy)
    others = 0
    for n in range(100):
        others += choose(busy, remote="198.51.100.7", remote_port=n) > 0
    assert others == 100
    step = (choose(busy) - choose(alone)) % (HIGH - LOW + 1)
    assert step < 10


def test_ports_in_use_are_passed_over() -> None:
    chooser = PortChooser(SECRET, LOW, HIGH)
    taken = set(range(LOW, HIGH + 1)) - {61042}
    assert chooser.choose("192.0.2.1", "192.0.2.2", 80, taken.__contains__) == 61042


def test_a_range_without_a_free_port_is_an_error_that_names_it() -> None:
    chooser = PortChooser(SECRET, LOW, HIGH)
    asked: list[int] = []

    def in_use(port: int) -> bool:
        asked.append(port)
        return True

    with pytest.raises(PortInUse, match="61000-61099"):
        chooser.choose("192.0.2.1", "192.0.2.2", 80, in_use)
    assert sorted(asked) == list(range(LOW, HIGH + 1))


def test_a_range_of_one_port() -> None:
    assert PortChooser(SECRET, 61005, 61005).choose("::1", "::1", 1, free) == 61005
