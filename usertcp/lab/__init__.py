"""Places to run it: two hosts in network namespaces of their own, the kernel of one as the peer, and experiments.

    peer = enter()
    outcome = trio.run(run, find("handshake"), peer)

Nothing in here reaches the machine's own network, and nothing is left of it when the process has ended.
"""

from usertcp.lab.experiment import Experiment, Outcome, enter, experiments, find, run
from usertcp.lab.peer import Peer
from usertcp.lab.workbench import Claim, Lab, open_lab

__all__ = ["Claim", "Experiment", "Lab", "Outcome", "Peer", "enter", "experiments", "find", "open_lab", "run"]
