"""Which local port an active OPEN gets (RFC 6056)."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2s
from typing import Final

from usertcp.errors import PortInUse

TABLE_LENGTH: Final = 256


class PortChooser:
    """The double-hash algorithm (RFC 6056, 3.3.4).

    Toward one remote socket ports come in sequence from a secret beginning, so that a port is reused as late as
    possible (an old incarnation has time to die); what is seen of one remote socket says next to nothing about the
    others, because the counters are many, and which of them counts for whom is secret too.
    """

    __slots__ = ("_counters", "_secret", "high", "low")

    def __init__(self, secret: bytes, low: int, high: int) -> None:
        """*secret*: up to 32 octets. *low*, *high*: the first and the last port to choose."""
        self.low = low
        self.high = high
        self._secret = secret
        self._counters = [0] * TABLE_LENGTH

    def choose(self, local: str, remote: str, remote_port: int, in_use: Callable[[int], bool]) -> int:
        """A port for a connection from *local* to the remote socket for which *in_use* is false.

        Raises:
          PortInUse: *in_use* said so of every port of the range.
        """
        offset, index = _hashes(self._secret, f"{local} {remote} {remote_port}")
        size = self.high - self.low + 1
        for _ in range(size):
            port = self.low + (offset + self._counters[index]) % size
            self._counters[index] += 1
            if not in_use(port):
                return port
        raise PortInUse(f"no free port in {self.low}-{self.high} toward {remote} port {remote_port}")


@lru_cache(1024)
def _hashes(secret: bytes, text: str) -> tuple[int, int]:
    """Where the sequence begins, and which counter counts: F and G of the RFC. The same few remote sockets come with
    many connections."""
    digest = blake2s(text.encode(), key=secret, person=b"port", digest_size=8).digest()
    return int.from_bytes(digest[:4], "big"), int.from_bytes(digest[4:], "big") % TABLE_LENGTH
