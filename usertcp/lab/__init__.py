"""Places to run it: two hosts in network namespaces of their own, the kernel of one as the peer, and experiments.

Nothing in here reaches the machine's own network.
"""
