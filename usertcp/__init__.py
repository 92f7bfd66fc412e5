"""A TCP endpoint (RFC 9293) that lives in a Python process."""

from usertcp import compiled  # noqa: F401  Before all that it may have compiled.
from usertcp.errors import (
    ConnectionAborted,
    ConnectionAlreadyExists,
    ConnectionClosing,
    ConnectionDoesNotExist,
    ConnectionRefused,
    ConnectionReset,
    ConnectionTimedOut,
    HostUnreachable,
    InvalidAddress,
    MalformedPacket,
    PortInUse,
    SetupError,
    TcpError,
)
from usertcp.link import Link
from usertcp.runtime.default import open_tcp_stream, serve_tcp
from usertcp.runtime.listener import TcpListener
from usertcp.runtime.opening import open_stack
from usertcp.runtime.stack import Stack
from usertcp.runtime.stream import TcpStream
from usertcp.tcp.ao import MasterKey
from usertcp.tcp.config import Config
from usertcp.tcp.keepalive import KeepAlive
from usertcp.tcp.md5 import Md5Key
from usertcp.tcp.segment import Flow
from usertcp.tcp.state import State
from usertcp.tcp.status import Status
from usertcp.tcp.user_timeout import UserTimeoutOption

__version__ = "0.1.0"

__all__ = [
    "Config",
    "ConnectionAborted",
    "ConnectionAlreadyExists",
    "ConnectionClosing",
    "ConnectionDoesNotExist",
    "ConnectionRefused",
    "ConnectionReset",
    "ConnectionTimedOut",
    "Flow",
    "HostUnreachable",
    "InvalidAddress",
    "KeepAlive",
    "Link",
    "MalformedPacket",
    "MasterKey",
    "Md5Key",
    "PortInUse",
    "SetupError",
    "Stack",
    "State",
    "Status",
    "TcpError",
    "TcpListener",
    "TcpStream",
    "UserTimeoutOption",
    "open_stack",
    "open_tcp_stream",
    "serve_tcp",
]
