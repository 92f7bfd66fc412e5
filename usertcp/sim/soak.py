"""Scenarios that nobody would think of: a seed decides everything about them."""

from __future__ import annotations

from random import Random

from usertcp.link.loss import Burst, EveryNth
from usertcp.sim.scenario import Scenario

CONTROLLERS = ("reno", "cubic", "bbr")
"""Those that heed losses. "fixed" sends the same nine segments at each timeout, of which a path that loses every ninth
packet always loses the first: the sender gives up, as it should, and a peer that only reads never learns of it if the
RST is lost too."""
CHANCES = (0.0, 0.01, 0.03, 0.1, 0.15)


def random_scenario(seed: int) -> Scenario:
    """Erratic programs over a path that is bad in many ways at once, with any mixture of TCP's options."""
    random = Random(seed)
    rack, sack, timestamps, window_scaling, pacing = (random.choice((None, True, False)) for _ in range(5))
    mark, ecn = random.choice((None, 0, 2)), random.choice((None, "on", "accurate"))
    loss, reordering, duplication, corruption = (random.choice(CHANCES) for _ in range(4))
    return Scenario(
        controller=(random.choice(CONTROLLERS),),
        program="erratic",
        octets=random.choice((1, 1000, 20_000)),
        rate=random.choice((1e5, 1e6, 1e8, float("inf"))),
        delay=random.choice((0.0, 0.001, 0.05, 0.3)),
        queue=random.choice((3, 20, 1000)),
        mark=mark,
        loss=random.choice((loss, loss, Burst(0.02, 0.3), EveryNth(9))),
        reordering=reordering,
        reordering_delay=random.choice((0.0001, 0.01, 0.5)),
        duplication=duplication,
        corruption=corruption,
        ecn=ecn,
        rack=rack,
        sack=sack,
        timestamps=timestamps,
        window_scaling=window_scaling,
        pacing=pacing,
        receive_buffer=random.choice((3000, 30_000)),
        mtu=random.choice((None, None, 600, 1300)),
        send_buffer=50_000,
        patience=3600.0,  # Over the worst of these paths a hundred seconds of bad luck do happen.
        seed=seed,
    )
