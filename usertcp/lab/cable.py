"""The cable between the two hosts: a veth pair with fixed addresses, and no route to anywhere else."""

from __future__ import annotations

import array
import fcntl
import socket
import struct
import time
from pathlib import Path
from typing import Any, NamedTuple

from pyroute2 import IPRoute

from usertcp.lab.namespaces import Namespace, Namespaces

IFA_F_NODAD = 0x02
NUD_PERMANENT = 0x80
LOCAL_TABLE = 255
IPV6 = Path("/proc/sys/net/ipv6")
SIOCETHTOOL, ETHTOOL_STXCSUM = 0x8946, 0x17


class End(NamedTuple):
    """One end of the cable. The addresses are those set aside for documentation (RFC 5737, RFC 3849)."""

    interface: str
    address: str
    address6: str
    mac: str


OURS = End("us", "192.0.2.1", "2001:db8::1", "02:00:00:00:00:01")
PEER = End("peer", "192.0.2.2", "2001:db8::2", "02:00:00:00:00:02")


def plug(namespaces: Namespaces, *, offload: bool = False) -> None:
    """Join the two namespaces. The kernel removes the cable with either of them.

    Args:
      offload: let the kernels send super-segments with unfinished checksums, as they do to each other on one machine;
        otherwise packets are as on a wire.
    """
    peer = {"ifname": PEER.interface, "address": PEER.mac, "net_ns_fd": namespaces.peer.fileno()}
    with namespaces.ours.inside(), IPRoute() as ipr:
        ipr.link("add", kind="veth", ifname=OURS.interface, address=OURS.mac, peer=peer)
    ends = (namespaces.ours, OURS, PEER), (namespaces.peer, PEER, OURS)
    for namespace, end, _ in ends:
        _set_up(namespace, end, offload)
    for namespace, end, other in ends:
        _add_addresses(namespace, end, other)


def route(network: str) -> None:
    """From now on give the peer what this process sends to a network: the peer passes nothing on."""
    with IPRoute() as ipr:
        ipr.route("replace", dst=network, gateway=PEER.address)


def _set_up(namespace: Namespace, end: End, offload: bool) -> None:
    if IPV6.exists():
        namespace.sysctl(f"net.ipv6.conf.{end.interface}.disable_ipv6", 0)
        # No link-local address, and so no solicitations from it.
        namespace.sysctl(f"net.ipv6.conf.{end.interface}.addr_gen_mode", 1)
    with namespace.inside(), IPRoute() as ipr:
        if not offload:
            finish_every_packet(end.interface)
        for name in ("lo", end.interface):
            ipr.link("set", index=ipr.link_lookup(ifname=name)[0], state="up")


def _add_addresses(namespace: Namespace, end: End, other: End) -> None:
    """Addresses, and neighbours entered by hand, so that nothing but TCP is on the cable."""
    with namespace.inside(), IPRoute() as ipr:
        (index,) = ipr.link_lookup(ifname=end.interface)
        # Up to a second may pass before the kernel sees the carrier (it is asked to look by our asking, since 6.8).
        while ipr.link("get", index=index)[0].get("operstate") != "UP":
            time.sleep(0.01)
        ipr.addr("add", index=index, address=end.address, prefixlen=24)
        ipr.neigh("add", ifindex=index, dst=other.address, lladdr=other.mac, state=NUD_PERMANENT)
        if IPV6.exists():
            ipr.addr("add", index=index, address=end.address6, prefixlen=64, flags=IFA_F_NODAD)
            ipr.neigh("add", ifindex=index, dst=other.address6, lladdr=other.mac, state=NUD_PERMANENT)
            # IPv6 addresses come into use a little later, also without duplicate address detection.
            while end.address6 not in _local_addresses(ipr):
                time.sleep(0.001)


def _local_addresses(ipr: Any) -> list[str]:
    """The IPv6 addresses whose packets the kernel takes for its own."""
    return [route.get("dst") for route in ipr.get_routes(family=socket.AF_INET6, table=LOCAL_TABLE)]


def finish_every_packet(interface: str) -> None:
    """Have the kernel send packets as on a wire: checksums complete, one segment each (`ethtool -K ... tx off`)."""
    command = array.array("B", struct.pack("=II", ETHTOOL_STXCSUM, 0))
    request = struct.pack("16sP16x", interface.encode(), command.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, SIOCETHTOOL, request)
