"""Names to addresses."""

from __future__ import annotations

import socket

import trio

from usertcp.errors import SetupError
from usertcp.link.interfaces import with_interface


async def resolve(host: str, port: int, family: int = socket.AF_UNSPEC) -> list[str]:
    """The addresses of a host, in the order in which to try them (RFC 6724).

    Raises:
      SetupError: there are none; the message is fit for the user.
    """
    try:
        found = await trio.socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
    except OSError as error:
        raise SetupError(f"cannot resolve {host}: {error.strerror}") from error
    except UnicodeError:
        raise SetupError(f"cannot resolve {host}: that is no name of a host") from None
    return list(dict.fromkeys(with_interface(address) for *_, address in found))
