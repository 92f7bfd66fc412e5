"""A table of nf_tables rules that dies with its owner: written over netlink, no program needed.

The kernel deletes the table when the netlink socket that made it is closed, and so when the process is killed
(NFT_TABLE_F_OWNER, Linux 5.12). Nobody else can change it meanwhile, and it changes nobody else's.

A rule is a list of expressions: conditions, read from left to right until one fails, then a verdict.
"""

from __future__ import annotations

import os
import secrets
import struct
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from socket import AF_INET, AF_INET6, AF_NETLINK, IPPROTO_TCP, SOCK_NONBLOCK, SOCK_RAW, AddressFamily, socket
from typing import Any, NamedTuple

from pyroute2.netlink import NETLINK_NETFILTER, NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, NLM_F_REQUEST
from pyroute2.netlink.nfnetlink import nfgen_msg
from pyroute2.netlink.nfnetlink import nftsocket as nf
from pyroute2.nftables.expressions import genex, verdict

Expressions = list[dict[str, Any]]

NETWORK, TRANSPORT = 1, 2
"""The headers that `load` reads from."""
NF_DROP, NF_ACCEPT = 0, 1
OWNER = 0x2
NLMSG_HEADER = 16
NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END = 0x10, 0x11
TABLE, SET, ELEMENTS = 1, 2, 3
"""Attributes of a list of elements (NFTA_SET_ELEM_LIST_...)."""
ELEMENT = KEY = VALUE = 1
"""NFTA_LIST_ELEM, NFTA_SET_ELEM_KEY, NFTA_DATA_VALUE: each holds the next."""
NLA_F_NESTED = 0x8000
NFGENMSG = struct.pack("=BBH", nf.NFPROTO_INET, 0, 0)
FIRST_REGISTER = nf.Regs.NFT_REG32_00.value


class Field(NamedTuple):
    """Where something stands in a packet, and what it is."""

    header: int
    offset: int
    length: int
    type: int
    """As `nft describe` knows it; for display only."""

    @property
    def registers(self) -> int:
        """How many registers of four octets it takes: whole ones, the rest filled with zeros."""
        return (self.length + 3) // 4


SOURCE_PORT = Field(TRANSPORT, 0, 2, nf.DATA_TYPE_INET_SERVICE)
DESTINATION_PORT = Field(TRANSPORT, 2, 2, nf.DATA_TYPE_INET_SERVICE)
FLAGS = Field(TRANSPORT, 13, 1, nf.DATA_TYPE_TCP_FLAG)
SOURCE_ADDRESS = {
    AF_INET: Field(NETWORK, 12, 4, nf.DATA_TYPE_IPADDR),
    AF_INET6: Field(NETWORK, 8, 16, nf.DATA_TYPE_IP6ADDR),
}
DESTINATION_ADDRESS = {
    AF_INET: Field(NETWORK, 16, 4, nf.DATA_TYPE_IPADDR),
    AF_INET6: Field(NETWORK, 24, 16, nf.DATA_TYPE_IP6ADDR),
}
NFPROTO = {AF_INET: nf.NFPROTO_IPV4, AF_INET6: nf.NFPROTO_IPV6}


class OwnedTable:
    """A table of its own for this process, for both address families, gone with `close` or with the process.

    Every call is one exchange with the kernel, some 0.1 ms, and waits for nothing.

    Raises (every method):
      OSError: the kernel refuses: EPERM without CAP_NET_ADMIN, EOPNOTSUPP or EPROTONOSUPPORT without nf_tables.
    """

    def __init__(self, prefix: str = "usertcp") -> None:
        self.name = f"{prefix}-{os.getpid()}-{secrets.token_hex(4)}"
        self._netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK, NETLINK_NETFILTER)
        try:
            self._create(nf.NFT_MSG_NEWTABLE, nf.nft_table_msg, NAME=self.name, FLAGS=OWNER)
        except OSError:
            self.close()
            raise

    def add_chain(self, hook: str, *, priority: int = 0) -> None:
        """Make a chain named after its hook: prerouting, input, forward, output, postrouting. It accepts by default."""
        number = ("prerouting", "input", "forward", "output", "postrouting").index(hook)
        place = {"attrs": [("NFTA_HOOK_HOOKNUM", number), ("NFTA_HOOK_PRIORITY", priority)]}
        chain = {"TABLE": self.name, "NAME": hook, "HOOK": place, "TYPE": "filter", "POLICY": NF_ACCEPT}
        self._create(nf.NFT_MSG_NEWCHAIN, nf.nft_chain_msg, **chain)

    def add_rule(self, chain: str, expressions: Expressions) -> None:
        """Append a rule to a chain."""
        self._create(nf.NFT_MSG_NEWRULE, nf.nft_rule_msg, TABLE=self.name, CHAIN=chain, EXPRESSIONS=expressions)

    def add_set(self, name: str, fields: Iterable[Field]) -> None:
        """Make an empty set whose keys are these fields, one after another, each filled up to whole registers."""
        key_type = key_length = 0
        for field in fields:
            key_type, key_length = key_type << 6 | field.type, key_length + 4 * field.registers
        kind = {"KEY_TYPE": key_type, "KEY_LEN": key_length, "FLAGS": (), "ID": 1}
        self._create(nf.NFT_MSG_NEWSET, nf.nft_set_msg, TABLE=self.name, NAME=name, **kind)

    def add_elements(self, keys: Mapping[str, Sequence[bytes]]) -> None:
        """Put keys into sets: all of them or none. To each set, by its name, those that go there."""
        self._change_elements(nf.NFT_MSG_NEWSETELEM, NLM_F_CREATE | NLM_F_APPEND, keys)

    def remove_elements(self, keys: Mapping[str, Sequence[bytes]]) -> None:
        """Take keys out of sets: all of them or none."""
        self._change_elements(nf.NFT_MSG_DELSETELEM, 0, keys)

    def _change_elements(self, command: int, flags: int, keys: Mapping[str, Sequence[bytes]]) -> None:
        """Every connection may need it, and pyroute2 takes its time: so this one message is written here. It asks for
        no acknowledgment, for what fails is told in any case."""
        changes = []
        for name, those in keys.items():
            about = attribute(TABLE, self.name.encode() + b"\0") + attribute(SET, name.encode() + b"\0")
            body = NFGENMSG + about + attribute(ELEMENTS | NLA_F_NESTED, b"".join(map(element, those)))
            kind = nf.NFNL_SUBSYS_NFTABLES << 8 | command
            changes.append(struct.pack("=IHHII", NLMSG_HEADER + len(body), kind, NLM_F_REQUEST | flags, 0, 0) + body)
        if changes:
            self._send(BEGIN + b"".join(changes) + END)

    def _create(self, command: int, message: type, **attributes: Any) -> None:
        self._send(change(command, message, NLM_F_CREATE | NLM_F_APPEND, attributes))

    def _send(self, message: bytes) -> None:
        """Send a transaction, and read the answers, which are there when `send` returns.

        pyroute2 writes the messages; its own NFTables would wait for ever where we lack CAP_NET_ADMIN.
        """
        self._netlink.sendto(message, (0, 0))
        with suppress(BlockingIOError):
            while answer := self._netlink.recv(1 << 16):
                (error,) = struct.unpack_from("i", answer, NLMSG_HEADER)
                if error:
                    raise OSError(-error, f"nf_tables: {os.strerror(-error)}")

    def close(self) -> None:
        """Delete the table with all it holds. Idempotent."""
        self._netlink.close()


def change(command: int, message: type, flags: int, attributes: dict[str, Any]) -> bytes:
    """A transaction of one command."""
    return BEGIN + encode(message, nf.NFNL_SUBSYS_NFTABLES << 8 | command, flags | NLM_F_ACK, attributes) + END


def encode(message: type, kind: int, flags: int, attributes: dict[str, Any]) -> bytes:
    """A netlink message to nf_tables. Attributes are named without the prefix of their kind."""
    made = message()
    made["header"]["type"] = kind
    made["header"]["flags"] = NLM_F_REQUEST | flags
    if attributes:
        made["nfgen_family"] = nf.NFPROTO_INET
        made["attrs"] = [(made.name2nla(name), value) for name, value in attributes.items()]
    else:
        made["res_id"] = nf.NFNL_SUBSYS_NFTABLES
    made.encode()
    return bytes(made.data)


BEGIN, END = (encode(nfgen_msg, kind, 0, {}) for kind in (NFNL_MSG_BATCH_BEGIN, NFNL_MSG_BATCH_END))
"""What stands around a transaction."""


def attribute(kind: int, value: bytes) -> bytes:
    """A netlink attribute, filled up to whole words."""
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def element(key: bytes) -> bytes:
    """An element of a set. The key is of whole words."""
    return _before_key(len(key)) + key


@lru_cache
def _before_key(length: int) -> bytes:
    key = attribute(KEY | NLA_F_NESTED, attribute(VALUE, bytes(length)))
    return attribute(ELEMENT | NLA_F_NESTED, key)[:-length]


def load(field: Field, register: int = FIRST_REGISTER) -> Expressions:
    """Copy a field of the packet into registers."""
    return [genex("payload", {"dreg": register, "base": field.header, "offset": field.offset, "len": field.length})]


def compare(value: bytes, *, equal: bool = True) -> Expressions:
    """Go on only if what was loaded is, or is not, *value*."""
    operation = nf.Cmp.NFT_CMP_EQ if equal else nf.Cmp.NFT_CMP_NEQ
    return [genex("cmp", {"sreg": FIRST_REGISTER, "op": operation.value, "data": data(value)})]


def field_is(field: Field, value: bytes) -> Expressions:
    """Go on only if the field is *value*."""
    return [*load(field), *compare(value)]


def meta_is(key: nf.Meta, value: bytes, *, equal: bool = True) -> Expressions:
    """Go on only if what the kernel knows of the packet is, or is not, *value*."""
    return [genex("meta", {"dreg": FIRST_REGISTER, "key": key.value}), *compare(value, equal=equal)]


def tcp() -> Expressions:
    """Go on only with TCP."""
    return meta_is(nf.Meta.NFT_META_L4PROTO, bytes([IPPROTO_TCP]))


def family_is(family: AddressFamily) -> Expressions:
    """Go on only with packets of a family: AF_INET or AF_INET6."""
    return meta_is(nf.Meta.NFT_META_NFPROTO, bytes([NFPROTO[family]]))


def mark_is_not(mark: int) -> Expressions:
    """Go on only with packets of sockets that do not carry this SO_MARK."""
    return meta_is(nf.Meta.NFT_META_MARK, mark.to_bytes(4, sys.byteorder), equal=False)


def has_flag(flag: int) -> Expressions:
    """Go on only with segments that have this control bit set."""
    only = {"sreg": FIRST_REGISTER, "dreg": FIRST_REGISTER, "len": 1, "mask": data(bytes([flag])), "xor": data(b"\0")}
    return [*load(FLAGS), genex("bitwise", only), *compare(b"\0", equal=False)]


def in_set(name: str, fields: Iterable[Field]) -> Expressions:
    """Go on only if these fields of the packet, as a key, are in the set."""
    expressions, register = [], FIRST_REGISTER
    for field in fields:
        expressions += load(field, register)
        register += field.registers
    return [*expressions, genex("lookup", {"set": name, "sreg": FIRST_REGISTER})]


def drop() -> Expressions:
    """Count the packet and drop it."""
    return [genex("counter", {}), *verdict(code=NF_DROP)]


def data(value: bytes) -> dict[str, Any]:
    """A constant, as expressions hold it."""
    return {"attrs": [("NFTA_DATA_VALUE", value)]}
