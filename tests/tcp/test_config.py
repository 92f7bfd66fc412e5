"""A config that cannot work is refused when it is made, and not when a segment arrives."""

from __future__ import annotations

from typing import Any

import pytest

from usertcp.tcp.config import Config


@pytest.mark.parametrize(
    "setting",
    [
        {"congestion": "nope"},
        {"msl": 0},
        {"r1": 0},
        {"r2": -1},
        {"r2_syn": 0},
        {"backlog": 0},
        {"challenge_acks_per_second": -1},
        {"user_timeout": 0},
        {"fin_wait_2_timeout": -1},
        {"initial_window": 0},
        {"mss": 63},
        {"mss": 70_000},
        {"receive_buffer": 0},
        {"receive_buffer": 1 << 31},
        {"send_buffer": 0},
        {"memory": 0},
        {"delayed_ack": 0.5},
        {"rto_min": 2.0, "rto_max": 1.0},
        {"rto_initial": 0},
        {"port_range": (0, 10)},
        {"port_range": (10, 9)},
    ],
    ids=str,
)
def test_what_cannot_work_is_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(setting)).split("_")[0]):
        Config(**setting)
