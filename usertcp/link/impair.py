"""A link made worse: rate, delay, loss, reordering, duplication and corruption, for the packets of any other link."""

from __future__ import annotations

from usertcp.link import Direction, Link
from usertcp.link.path import Path
from usertcp.link.wrapper import Wrapper


class ImpairedLink(Wrapper):
    """Another link, reached over a path each way.

        ImpairedLink(RawLink(), Path(loss=0.05, delay=0.02, seed=7), back=Path())

    has a lossy way out and a perfect way back.
    """

    def __init__(self, link: Link, path: Path, *, back: Path | None = None) -> None:
        """
        Args:
          link: the link to impair; it is closed with this one.
          path: what happens to packets that leave.
          back: what happens to packets that come; by default a path with the properties of *path*, and the next seed.
        """
        super().__init__(link)
        self.path = path
        self.back = back or path.another()

    def handle(self, packet: bytes, direction: Direction, now: float) -> None:
        if direction == "out":
            passage = self.path.carry(packet, now)
        else:
            passage = self.back.carry(packet, now, unfinished_checksum=self.unfinished_checksums)
        for deed, detail in passage.deeds:
            self.did(packet, direction, deed, detail)
        for time, octets in passage.arrivals:
            self.forward(octets, direction, time)
