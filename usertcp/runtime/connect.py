"""From the name of a host to a connection, by the fastest of its addresses (RFC 8305, as Trio does it)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

import trio

from usertcp.errors import ConnectionAborted, InvalidAddress, TcpError
from usertcp.link import canonical
from usertcp.link.interfaces import with_interface
from usertcp.runtime.stream import TcpStream
from usertcp.runtime.waiting import Changes
from usertcp.tcp.state import State

STAGGER: Final = 0.25
"""Seconds until the next address is tried beside those that have not answered."""

PENDING: Final = (State.SYN_SENT, State.SYN_RECEIVED)
NOT_OPEN: Final = (*PENDING, State.CLOSED)


async def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, in the order in which to try them, each as `with_interface`. A checkpoint if it has to
    look up a name, or is cancelled.

    Raises:
      OSError: there is no such host.
      InvalidAddress: there is no such port.
    """
    if not 0 <= port < 65536:
        raise InvalidAddress(f"port {port}")
    try:
        addresses = [canonical(host)]
    except ValueError:
        try:
            found = await trio.socket.getaddrinfo(host, port, type=trio.socket.SOCK_STREAM)
        except UnicodeError:
            raise InvalidAddress(f"{host!r} is no name of a host") from None
        return alternated(list(dict.fromkeys(with_interface(address) for *_, address in found)))
    await trio.lowlevel.checkpoint_if_cancelled()
    return addresses


def alternated(addresses: list[str]) -> list[str]:
    """The same, but with the first of the other family in second place (RFC 6555, 5.4)."""
    for index, address in enumerate(addresses):
        if (":" in address) != (":" in addresses[0]):
            return [addresses[0], address, *addresses[1:index], *addresses[index + 1 :]]
    return addresses


async def connect(
    addresses: list[str],
    attempt: Callable[[str, Changes], TcpStream],
    until: Callable[[Changes, Callable[[], bool]], Awaitable[None]],
    name: str,
    stagger: float,
) -> TcpStream:
    """The first connection to be established, of those that *attempt* begins. All others are aborted.

    No task is needed for an attempt: one waits for all of them. Always a checkpoint, if it returns.

    Raises:
      TcpError: all have failed. See `Stack.open_tcp_stream`.
    """
    changes = Changes()
    attempts: dict[str, TcpStream] = {}
    not_begun: dict[str, OSError] = {}
    established = None
    try:
        for address in addresses:
            try:
                attempts[address] = attempt(address, changes)
            except OSError as error:  # No route, no port.
                not_begun[address] = error
                continue
            if address != addresses[-1]:
                with trio.move_on_after(stagger):
                    await until(changes, partial(may_go_on, attempts))
                if winner(attempts) is not None:
                    break
        else:
            await until(changes, partial(decided, attempts))
        established = winner(attempts)
    finally:
        for stream in attempts.values():
            if stream is not established:
                stream.abort()
    if established is None:
        failed = {address: stream.error or ConnectionAborted() for address, stream in attempts.items()}
        raise one_for_all(failed or not_begun, name)
    return established


# By themselves, since a coroutine with functions in it refers to itself, and is freed late.


def winner(attempts: dict[str, TcpStream]) -> TcpStream | None:
    """The connection that is established, if one is."""
    for stream in attempts.values():
        if stream.state not in NOT_OPEN:
            return stream
    return None


def may_go_on(attempts: dict[str, TcpStream]) -> bool:
    """The latest attempt has failed, or some attempt has won."""
    latest = next(reversed(attempts.values()))
    return latest.state not in PENDING or winner(attempts) is not None


def decided(attempts: dict[str, TcpStream]) -> bool:
    """One has won, or all have failed."""
    return winner(attempts) is not None or not any(stream.state in PENDING for stream in attempts.values())


def one_for_all(errors: Mapping[str, OSError], name: str) -> OSError:
    """One error for all addresses: the only one there is, or one of the type that all have, if they have."""
    if len(errors) == 1:
        return next(iter(errors.values()))
    text = f"{name}: " + "; ".join(f"{address}: {error.strerror or error}" for address, error in errors.items())
    [kind, *others] = {type(error) for error in errors.values()}
    alike = not others and issubclass(kind, TcpError)
    error = kind(text) if alike else TcpError(text)
    error.__cause__ = ExceptionGroup(text, list(errors.values()))
    return error
