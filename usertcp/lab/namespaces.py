"""Network namespaces of our own: by system call, and as an ordinary user where the system allows it.

`enter` moves this process out of the machine's network into an empty one, and makes a second one for the peer. Both
are held by this process alone, which may open sockets in either: a socket stays in the namespace that it was made in.
So nothing has to be cleaned up. When the process ends, however it ends, the kernel takes down both namespaces with
all that is in them.
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from usertcp.errors import SetupError

CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000

SYSCTLS = {
    "kernel.unprivileged_userns_clone": ("0", "1"),
    "kernel.apparmor_restrict_unprivileged_userns": ("1", "0"),
    "user.max_user_namespaces": ("0", "10000"),
    "user.max_net_namespaces": ("0", "10000"),
}
"""Settings that may forbid us what we need: the value that does, and one that does not. Which exist depends on the
distribution."""

_libc = ctypes.CDLL(None, use_errno=True)


class Namespace:
    """A network namespace. It lives as long as a process or one of its descriptors refers to it."""

    def __init__(self) -> None:
        """The one that this thread is in."""
        self._fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def fileno(self) -> int:
        """The descriptor that names it."""
        return self._fd

    @contextmanager
    def inside(self) -> Iterator[None]:
        """This thread is inside for the length of a block, which must not wait: other tasks would find themselves
        there too."""
        back = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        _call("setns", self._fd, CLONE_NEWNET)
        try:
            yield
        finally:
            _call("setns", back, CLONE_NEWNET)
            os.close(back)

    def sysctl(self, name: str, value: object) -> None:
        """Set a kernel parameter of this namespace, as `sysctl -w net.ipv4.tcp_sack=0` does."""
        with self.inside():
            sysctl_path(name).write_text(str(value))


class Namespaces(NamedTuple):
    """The two sides of a lab."""

    ours: Namespace
    """Where this process is."""
    peer: Namespace


def enter() -> Namespaces:
    """Leave the machine's network for good, for one that holds nothing but this process; make another one for the peer.

    For a process with one thread. An ordinary user becomes root inside, of these namespaces and nothing else.

    Raises:
      SetupError: the system forbids it; the message says which setting does.
    """
    uid = os.getuid()
    try:
        try:
            unshare(CLONE_NEWNET)
        except PermissionError:
            become_root_inside()
            unshare(CLONE_NEWNET)
        peer = Namespace()
        unshare(CLONE_NEWNET)
    except OSError as error:
        raise SetupError(_remedy(error, uid)) from error
    return Namespaces(Namespace(), peer)


def become_root_inside() -> None:
    """Enter a user namespace, in which this user is root, of all that is made in it. For a process with one thread.

    Raises:
      OSError: the system forbids it.
    """
    uid, gid = os.getuid(), os.getgid()
    unshare(CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1")


def unshare(flags: int) -> None:
    """Move this process into new namespaces of these kinds; or its future children, for `CLONE_NEWPID`.

    Raises:
      OSError: it may not.
    """
    _call("unshare", flags)


def _call(function: str, *arguments: int) -> None:
    """Call a function of the C library that has no counterpart in Python 3.11's os.

    Raises:
      OSError: what errno says.
    """
    if getattr(_libc, function)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")


def _remedy(error: OSError, uid: int) -> str:
    """Why there are no namespaces for us, and what would change that."""
    whose = "an ordinary user may make no network namespaces here" if uid else "no network namespaces can be made here"
    lines = [f"{whose} ({error.strerror})."]
    for name, (forbids, allows) in SYSCTLS.items():
        if _sysctl(name) == forbids:
            lines.append(f"The setting {name} = {forbids} forbids it. To allow it:  sudo sysctl {name}={allows}")
    if len(lines) == 1 and error.errno == errno.EINVAL:
        lines.append("A process that has several threads cannot enter a user namespace.")
    elif len(lines) == 1:
        lines.append("No setting forbids it, so the rules of a container will: start it with --cap-add SYS_ADMIN.")
    if uid:
        lines.append("Or be root.")
    return "\n".join(lines)


def _sysctl(name: str) -> str:
    try:
        return sysctl_path(name).read_text().strip()
    except OSError:
        return ""


def sysctl_path(name: str) -> Path:
    """The file of a kernel parameter. It shows the network namespace of the thread that opens it."""
    return Path("/proc/sys", *name.split("."))
