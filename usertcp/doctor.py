"""What on this machine would stop a handshake, and the remedy for each: the checks behind `usertcp doctor`.

Each check tries the thing itself where it can, and leaves nothing behind. Names are looked up; else nothing is sent to
any other host. They work for an ordinary user too: what such a user may not see is said to be unknown.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from usertcp import compiled
from usertcp.errors import PortInUse, SetupError, TcpError
from usertcp.link import routes
from usertcp.link.interfaces import with_interface
from usertcp.link.packet_sockets import RECEIVE_BUFFER
from usertcp.link.reservation import Reservations
from usertcp.link.rst_guard import ACTIVE_PORTS, MARK, IptablesGuard, NftablesGuard, kernel_resets, open_guard
from usertcp.runtime.opening import named_link
from usertcp.tcp.config import Config

SYSCTL = Path("/proc/sys")
RULE_LISTINGS = (["iptables-save"], ["ip6tables-save"], ["nft", "--stateless", "list", "ruleset"])
SIOCETHTOOL, ETHTOOL_GDRVINFO, ETHTOOL_GGRO = 0x8946, 0x03, 0x2B
RTN_LOCAL, RTN_BROADCAST, RTN_MULTICAST = 2, 3, 5
SAME_MACHINE = {"veth", "bridge", "tun", "loopback"}
"""Drivers with another kernel's software, not a wire, at the other end."""


ENTER_NAMESPACES = """
import sys
from usertcp.errors import SetupError
from usertcp.lab.namespaces import enter
try:
    enter()
except SetupError as error:
    sys.exit(str(error))
"""


class Verdict(Enum):
    """What a finding means for a handshake."""

    OK = "ok"
    WARN = "warn"
    """It will work, or may, but not as one would expect."""
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    name: str
    verdict: Verdict
    found: str
    remedy: str = ""
    """What to run or to do; "" where nothing has to be done."""


def examine(host: str, port: int) -> list[Finding]:
    """Everything that bears upon a handshake with *port* of *host*. May take some seconds: names are looked up."""
    findings = list(destination(host, port))
    for check in (raw_sockets, fastest_link, machine_code, suppression, source_ports, connection_tracking, ipv6, lab):
        findings.append(check())
    return findings


def destination(host: str, port: int) -> Iterator[Finding]:
    """The name, and for each of its addresses the route, and what is to be expected of its interface."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        yield Finding("name", Verdict.FAIL, f"{host}: {error.strerror}", f"getent ahosts {host}")
        return
    addresses = list(dict.fromkeys(with_interface(sockaddr) for *_, sockaddr in found))
    yield Finding("name", Verdict.OK, f"{host} is {', '.join(addresses)}")
    ways = [route(address) for address in addresses]
    some_work = any(finding.verdict is Verdict.OK for finding, _ in ways)
    for finding, _ in ways:
        unneeded = some_work and finding.verdict is Verdict.FAIL
        yield Finding("route", Verdict.WARN, finding.found, finding.remedy) if unneeded else finding
    for interface in dict.fromkeys(interface for _, interface in ways if interface):
        yield offloads(interface)
        yield reverse_path_filter(interface)


def route(address: str) -> tuple[Finding, str]:
    """The way to an address, and the interface that it leaves by ("" if there is none)."""
    plain, _, zone = address.partition("%")
    try:
        source, mtu = routes.route(address)
        with IPRoute() as netlink:
            [way] = netlink.route("get", dst=plain, **({"oif": socket.if_nametoindex(zone)} if zone else {}))
        interface = socket.if_indextoname(way.get("oif"))
    except (OSError, NetlinkError) as error:
        add = f"sudo ip route add {plain} via GATEWAY dev INTERFACE"
        return Finding("route", Verdict.FAIL, f"{address}: {error.args[1]}", add), ""
    if way["type"] in (RTN_BROADCAST, RTN_MULTICAST):
        return Finding("route", Verdict.FAIL, f"{address} is no single host", "choose a unicast address"), interface
    gateway = way.get("gateway")
    via = "this machine itself" if way["type"] == RTN_LOCAL else f"by {gateway}" if gateway else "a neighbour"
    return Finding("route", Verdict.OK, f"{address}: {via}, {interface}, from {source}, MTU {mtu}"), interface


def raw_sockets() -> Finding:
    """Whether we may open what `RawLink` opens."""
    try:
        for family, protocol in ((socket.AF_INET, socket.IPPROTO_RAW), (socket.AF_PACKET, 0)):
            socket.socket(family, socket.SOCK_RAW, protocol).close()
    except OSError:
        who = "root, but without the capability NET_RAW" if os.geteuid() == 0 else "an ordinary user without NET_RAW"
        return Finding("raw sockets", Verdict.FAIL, who, capabilities_remedy())
    return Finding("raw sockets", Verdict.OK, "allowed" + (", in a container" if in_container() else ""))


def fastest_link() -> Finding:
    """What `open_stack("auto")` takes here."""
    try:
        link = named_link("auto")
    except SetupError:
        return Finding("auto link", Verdict.WARN, "none: raw sockets are not for us")
    link.close()
    if link.offloads:
        found = "packet sockets, which leave checksums and cutting to the kernel"
    else:
        found = "raw sockets: packet sockets with virtio-net headers are not to be had"
    if link.receive_queue < Config().receive_buffer:
        found += f"; no window above {link.receive_queue:,} octets, since more would not fit into the socket"
        return Finding("auto link", Verdict.WARN, found, f"sudo sysctl net.core.rmem_max={RECEIVE_BUFFER}")
    return Finding("auto link", Verdict.OK, found)


def machine_code() -> Finding:
    """Whether the core is compiled."""
    if compiled.in_use:
        return Finding("core", Verdict.OK, "compiled")
    return Finding("core", Verdict.OK, "interpreted: compiled it is about twice as fast", "usertcp compile")


def capabilities_remedy() -> str:
    """How to come by NET_RAW and NET_ADMIN."""
    if in_container():
        return "start the container with: --cap-add NET_RAW --cap-add NET_ADMIN"
    return f"run it with sudo, or: sudo setcap cap_net_raw,cap_net_admin+ep {os.path.realpath(sys.executable)}"


def in_container() -> bool:
    """Whether this looks like the inside of a container."""
    return any(Path(mark).exists() for mark in ("/.dockerenv", "/run/.containerenv"))


def suppression() -> Finding:
    """Whether the kernel's RSTs are kept in: tried, over loopback."""
    name = "kernel's RSTs"
    port = free_port()
    if port is None:
        return Finding(name, Verdict.WARN, "could not be tried: no local port is free")
    guard = open_guard()
    how = {NftablesGuard: "the stack drops them, by nf_tables", IptablesGuard: "the stack drops them, by iptables"}
    try:
        with Reservations().hold("", port), guard.suppress(port):
            if not kernel_resets("", port):
                return Finding(name, Verdict.OK, how.get(type(guard), "a standing rule drops them"))
        return Finding(name, Verdict.FAIL, "a rule was accepted, but they leave all the same", "sudo nft list ruleset")
    except (SetupError, TcpError):
        low, high = ACTIVE_PORTS
        script = f"sudo scripts/rst-guard up --ports {low}-{high}"
        return Finding(name, Verdict.FAIL, "they leave, and would reset every connection", script)
    finally:
        guard.close()


def free_port() -> int | None:
    """A port of those for active OPENs that nobody has at this moment."""
    low, high = ACTIVE_PORTS
    for port in range(high, low - 1, -1):
        try:
            with Reservations().hold("", port):
                return port
        except PortInUse:
            continue
    return None


def source_ports() -> Finding:
    """Whether the kernel chooses from the same ports as we do."""
    name, (low, high) = "local ports", ACTIVE_PORTS
    first, last = (int(number) for number in sysctl("net.ipv4.ip_local_port_range").split())
    reserved = sysctl("net.ipv4.ip_local_reserved_ports")
    if free_port() is None:
        return Finding(name, Verdict.FAIL, f"all of {low}-{high} are in use", f"ss -tan 'sport >= {low}'")
    if first <= high and low <= last and f"{low}-{high}" not in reserved.split(","):
        everything = ",".join(filter(None, [reserved, f"{low}-{high}"]))
        found = f"{low}-{high}: the kernel chooses from {first}-{last} too, and may be first"
        return Finding(name, Verdict.WARN, found, f"sudo sysctl net.ipv4.ip_local_reserved_ports={everything}")
    return Finding(name, Verdict.OK, f"{low}-{high}, the kernel's are {first}-{last}")


def connection_tracking() -> Finding:
    """Whether a firewall drops what connection tracking takes for INVALID.

    What arrives we read in front of the firewall. What leaves passes it, and experiments send what looks invalid.
    """
    name = "conntrack"
    if not sysctl("net.netfilter.nf_conntrack_max"):
        return Finding(name, Verdict.OK, "not in use")
    rules, unread = firewall_rules()
    dropping = [rule for rule in rules if re.search(r"\binvalid\b.*\b(drop|reject)\b", rule, re.IGNORECASE)]
    if dropping:
        found = f"drops what it takes for INVALID, such as old duplicates and unusual flags: {dropping[0].strip()}"
        return Finding(name, Verdict.WARN, found, f"sudo iptables -I OUTPUT -p tcp -m mark --mark {MARK:#x} -j ACCEPT")
    if unread:
        look = f"sudo {' '.join(unread[0])} | grep -i invalid"
        return Finding(name, Verdict.WARN, "in use; its rules are not ours to read", look)
    return Finding(name, Verdict.OK, "in use, no rule drops INVALID")


def firewall_rules() -> tuple[list[str], list[list[str]]]:
    """The rules of netfilter, line by line, and the commands that we were not allowed to read them by."""
    rules: list[str] = []
    unread: list[list[str]] = []
    for command in RULE_LISTINGS:
        program = shutil.which(command[0], path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
        if program is None:
            continue
        done = subprocess.run([program, *command[1:]], capture_output=True, text=True, check=False)
        if done.returncode:
            unread.append(command)
        rules += done.stdout.splitlines()
    return rules, unread


def reverse_path_filter(interface: str) -> Finding:
    """Whether the kernel checks where packets come from (RFC 3704): it may, we read in front of it."""
    settings = [sysctl(f"net.ipv4.conf.{name}.rp_filter") or "0" for name in ("all", interface)]
    kind = ("off", "strict", "loose")[max(int(setting) for setting in settings)]
    return Finding("rp_filter", Verdict.OK, f"{kind} on {interface}; packets reach us before it")


def offloads(interface: str) -> Finding:
    """In which form segments arrive by an interface."""
    driver = "loopback" if interface == "lo" else ethtool_driver(interface)
    if driver in SAME_MACHINE:
        found = "segments of up to 64 kB come whole, their checksums unfinished: both are accepted"
        return Finding("offloads", Verdict.OK, f"{interface} ({driver}): {found}")
    if ethtool_flag(interface, ETHTOOL_GGRO):
        found = f"the kernel merges segments before we see them (to see each: sudo ethtool -K {interface} gro off)"
        return Finding("offloads", Verdict.OK, f"{interface} ({driver}): {found}")
    return Finding("offloads", Verdict.OK, f"{interface} ({driver}): each segment as it was sent")


def ethtool_driver(interface: str) -> str:
    """The name of an interface's driver."""
    answer = ethtool(interface, struct.pack("I192x", ETHTOOL_GDRVINFO))
    return answer[4:36].rstrip(b"\0").decode() or "unknown driver"


def ethtool_flag(interface: str, question: int) -> bool:
    """One of the questions of ethtool that are answered by yes or no."""
    return any(ethtool(interface, struct.pack("I4x", question))[4:8])


def ethtool(interface: str, question: bytes) -> bytes:
    """Ask an interface's driver; it answers in the memory of the question, or leaves that as it is."""
    memory = array("B", question)
    request = struct.pack("16sP16x", interface.encode(), memory.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            fcntl.ioctl(sock, SIOCETHTOOL, request)
        except OSError:
            return question
    return memory.tobytes()


def ipv6() -> Finding:
    """Whether IPv6 is there at all."""
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()
    except OSError:
        return Finding("IPv6", Verdict.WARN, "not in this kernel: IPv4 only")
    if sysctl("net.ipv6.conf.all.disable_ipv6") == "1":
        return Finding("IPv6", Verdict.WARN, "switched off", "sudo sysctl net.ipv6.conf.all.disable_ipv6=0")
    return Finding("IPv6", Verdict.OK, "available")


def lab() -> Finding:
    """Whether `usertcp lab` may make its namespaces: tried, in a process of its own."""
    done = subprocess.run([sys.executable, "-c", ENTER_NAMESPACES], capture_output=True, text=True, check=False)
    if done.returncode:
        found, *remedy = done.stderr.strip().splitlines()
        return Finding("lab", Verdict.WARN, found, "\n".join(remedy))
    return Finding("lab", Verdict.OK, "`usertcp lab` may make its namespaces")


def sysctl(name: str) -> str:
    """A kernel parameter; "" where this kernel has none of that name. Interfaces' names may have dots."""
    head, _, interface = name.partition(".conf.")
    path = head.replace(".", "/")
    if interface:
        which, _, last = interface.rpartition(".")
        path = f"{path}/conf/{which}/{last}"
    try:
        return (SYSCTL / path).read_text().strip()
    except OSError:
        return ""
