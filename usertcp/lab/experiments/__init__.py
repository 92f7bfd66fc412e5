"""The experiments, a file each. Copy one, change it, and run the copy: `usertcp lab run ./mine.py`."""

ORDER = (
    "handshake",
    "passive-open",
    "simultaneous-open",
    "active-close",
    "passive-close",
    "simultaneous-close",
    "half-close",
    "refused",
    "abort",
    "syn-loss",
    "synack-loss",
    "fin-loss",
    "last-ack-loss",
    "time-wait",
    "port-reuse",
    "data-loss",
    "reordering",
    "zero-window",
    "keepalive",
    "user-timeout",
    "urgent",
    "fragments",
    "no-suppression",
    "ipv6",
)
"""Names in the order in which to read them."""
