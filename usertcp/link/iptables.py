"""Running iptables and ip6tables, and rules whose comment says who owns them.

An owner is a Unix socket in the abstract namespace, "@usertcp-1a2b3c": such sockets are per network namespace as the
rules are, and vanish with their process. A rule whose socket is gone is stale. `scripts/rst-guard` reads them the same.
"""

from __future__ import annotations

import errno
import re
import secrets
import socket
import subprocess
from pathlib import Path

FAMILY = {"iptables": socket.AF_INET, "ip6tables": socket.AF_INET6}


def run(command: str, *arguments: str) -> str:
    """Run iptables or ip6tables, waiting for our turn, and return what it printed.

    Raises:
      OSError: it is not installed, we may not use it, or it refuses; with what it said.
    """
    done = subprocess.run([command, "-w", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(errno.EPERM, f"{command} {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def usable() -> list[str]:
    """Which of the two work here."""
    return [command for command in FAMILY if works(command)]


def works(command: str) -> bool:
    """Whether we may read the rules, and so change them."""
    try:
        run(command, "-S", "OUTPUT")
    except OSError:
        return False
    return True


def owner() -> tuple[str, socket.socket]:
    """A name to put into the comments of rules, and the socket that makes it valid until it is closed."""
    name = f"usertcp-{secrets.token_hex(6)}"
    alive = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    alive.bind(f"\0{name}")
    return name, alive


def sweep(command: str) -> None:
    """Delete the rules in OUTPUT whose owner is gone."""
    for rule in run(command, "-S", "OUTPUT").splitlines():
        tag = re.search(r"--comment (usertcp-[0-9a-f]+)", rule)
        if tag and f"@{tag[1]}\n" not in Path("/proc/thread-self/net/unix").read_text():
            run(command, "-D", *rule.split()[1:])
