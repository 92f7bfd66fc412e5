"""TCP-MD5 against the kernel's over both families, with the longest key that it takes; the experiment has the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import pytest
import trio

import usertcp.wire.scapy  # noqa: F401  Here, since an ordinary user may not read where it is.
from usertcp import Md5Key
from usertcp.lab.experiment import enter
from usertcp.lab.peer import pattern
from usertcp.lab.workbench import CONFIG, open_lab

pytestmark = pytest.mark.lab

KEY = b"k" * 80
TEXT = pattern(100_000)


class Child(Protocol):
    """The fixture of conftest.py: a process of its own."""

    def __call__(self, function: Callable[[], object]) -> None: ...


@pytest.mark.rfc("2385", "2.0")
@pytest.mark.parametrize("family", [4, 6])
def test_a_kernel_and_we_exchange_text_both_ways(child: Child, family: int) -> None:
    async def body() -> None:
        peer = enter()
        config = replace(CONFIG, md5_keys=(Md5Key("0.0.0.0/0", KEY), Md5Key("::/0", KEY)))
        host = peer.address6 if family == 6 else peer.address
        with trio.fail_after(30):
            async with open_lab(peer, config=config) as lab:
                listener = peer.listen(179, host=host, md5_key=KEY)
                stream = await lab.connect(179, host=host)
                server = await peer.accept(listener)
                for source, sink in ((stream, server), (server, stream)):
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(source.send_all, TEXT)
                        received = b""
                        while len(received) < len(TEXT):
                            received += await sink.receive_some()
                    assert received == TEXT
                assert all(record.seg.options.signature for record in lab.received(stream.flow))
                assert not [name for name in stream.status().counters if "MD5" in name]

    child(lambda: trio.run(body))
