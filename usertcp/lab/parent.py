"""Processes that end with the one that made them, however that ends."""

from __future__ import annotations

import ctypes
import os
import select
import signal

PR_SET_PDEATHSIG = 1


class Parent:
    """This process, to those that it makes."""

    def __init__(self) -> None:
        self._fd = os.pidfd_open(os.getpid())

    def end_with(self) -> None:
        """In a new process: be killed when its parent ends, and end now if that has ended already, for then nobody will
        tell any more. A descriptor shows it also where the parent has no number: in a new process namespace."""
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if select.select([self._fd], [], [], 0)[0]:
            os._exit(1)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._fd)
