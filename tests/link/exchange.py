"""Some megabytes each way between us and a kernel, of which every octet counts."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio

from usertcp.runtime.stack import Stack
from usertcp.tcp.config import Config

CONFIG = Config(msl=0.1)
TEXT = os.urandom(1 << 20)
ROUNDS = 4
SIZE = ROUNDS * len(TEXT)
DIGEST = hashlib.sha256(TEXT * ROUNDS).digest()


def take_and_give(listener: socket.socket) -> None:
    """Take `SIZE` octets from whoever calls, answer by their hash, and send `SIZE` octets."""
    connection, _ = listener.accept()
    with connection:
        digest, left = hashlib.sha256(), SIZE
        while left and (data := connection.recv(1 << 20)):
            digest.update(data)
            left -= len(data)
        connection.sendall(digest.digest())
        for _ in range(ROUNDS):
            connection.sendall(TEXT)


async def exchange(stack: Stack, remote: str, port: int) -> dict[str, int]:
    """Send and receive `SIZE` octets, and look at each; the counters of our connection."""
    stream = await stack.open_tcp_stream(remote, port)
    for _ in range(ROUNDS):
        await stream.send_all(TEXT)
    received = b"".join([chunk async for chunk in stream])
    counters = stream.status().counters
    await stream.aclose()
    assert received[:32] == DIGEST
    assert hashlib.sha256(received[32:]).digest() == DIGEST
    return counters


@asynccontextmanager
async def serving(where: Any, address: str) -> AsyncIterator[int]:
    with where.listen(address) as listener:
        thread = threading.Thread(target=take_and_give, args=(listener,), daemon=True)
        thread.start()
        yield listener.getsockname()[1]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what only looking tells."""
    with trio.fail_after(30):
        while True:
            if condition():
                return
            await trio.sleep(0.02)
