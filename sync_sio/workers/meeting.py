"""Where the workers of one address meet, without being told: a private directory, with a socket in it for each.

Who shares an address accepts from the same listening socket, which the kernel knows by its inode, however the web server came to
have it: by a fork, by a reload, from systemd. Sockets with SO_REUSEPORT are one of a group, which is known by its address.
So a socket's name in the directory says whose it is: `ID.MARK.MARK…`, with a mark for each listening socket of the process.
"""

from __future__ import annotations

import _socket
import os
import stat
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import suppress
from hashlib import blake2b
from tempfile import gettempdir
from time import time
from typing import Final

__all__ = ["ID_LENGTH", "CannotMeet", "Meeting", "directory_name", "new_id"]

ID_LENGTH: Final = 6
"""Characters of a server's id, with which the ids of its sessions begin: 36 bits, as those of a thousand machines shall not meet by chance,
and 84 of a session's id are left for what nobody can guess."""
MARK_LENGTH: Final = 11
"""With its dot."""
FORGOTTEN: Final = 60.0
"""Seconds after which a socket that has no name yet will never get one."""
MAX_PATH: Final = 103
"""Bytes that the path of a Unix socket may have, less on some systems than on Linux."""


class CannotMeet(Exception):
    """The workers cannot find each other. The message says why, in words for an operator."""


class Meeting:
    """The place, and what our socket is called there.

    Args:
        purpose: tells servers of one process apart: where they are mounted.

    Raises:
        CannotMeet: see the message.
    """

    def __init__(self, purpose: str) -> None:
        if not hasattr(_socket, "SCM_RIGHTS"):
            raise CannotMeet("this system cannot pass descriptors between processes")
        try:
            self.directory = _directory()
            self._marks = {_mark(f"{purpose} {identity}") for identity in _listening(self.directory)}
            ids = {name.partition(".")[0] for name in os.listdir(self.directory)}
        except OSError as error:
            raise CannotMeet(f"what there is cannot be looked at: {error}") from error
        if not self._marks:
            raise CannotMeet("this process does not know the socket on which its clients arrive")
        self.id = new_id()
        while self.id in ids:
            self.id = new_id()
        room = (MAX_PATH - len(os.fsencode(self.directory)) - 1 - ID_LENGTH) // MARK_LENGTH
        if room < 1:
            raise CannotMeet(f"{self.directory!r} is too long a path for sockets: set TMPDIR to a shorter one")
        self.path = os.path.join(self.directory, ".".join([self.id, *sorted(self._marks)[:room]]))

    def sweep(self) -> None:
        """Remove what workers of whatever address, who were killed, have left behind."""
        with suppress(OSError):
            for name in os.listdir(self.directory):
                path = os.path.join(self.directory, name)
                if name.startswith("."):
                    if os.lstat(path).st_mtime < time() - FORGOTTEN:
                        clear(path)
                elif self._marks.isdisjoint(name.split(".")[1:]) and _is_dead(path):
                    clear(path)

    def others(self) -> Iterator[tuple[str, str]]:
        """Give id and path of each other socket that is of our address. Who has left one behind may be dead."""
        with suppress(OSError):
            for name in sorted(os.listdir(self.directory)):
                other, *marks = name.split(".")
                if other and other != self.id and not self._marks.isdisjoint(marks):
                    yield other, os.path.join(self.directory, name)

    def listen(self) -> _socket.socket:
        """Open our socket. It has its name only when it listens, or somebody might take it for one that was left behind.

        Raises:
            CannotMeet: see the message.
        """
        listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
        unfinished = os.path.join(self.directory, f".{self.id}")
        try:
            with suppress(FileNotFoundError):
                os.unlink(unfinished)
            listener.bind(unfinished)
            listener.listen(1024)
            listener.setblocking(False)
            os.rename(unfinished, self.path)
        except OSError as error:
            listener.close()
            raise CannotMeet(f"no socket can be made in {self.directory!r}: {error}") from error
        return listener

    def leave(self) -> None:
        """Take our name away."""
        with suppress(OSError):
            os.unlink(self.path)


def clear(path: str) -> None:
    """Remove what a worker that was killed has left behind."""
    with suppress(OSError):
        os.unlink(path)


def _is_dead(path: str) -> bool:
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.connect(path)
    except ConnectionRefusedError:
        return True
    except OSError:
        pass
    finally:
        sock.close()
    return False


def directory_name() -> str:
    """Return what the directory is called: each user has one on each machine, as several may share a file system."""
    return f"sync-sio-{os.geteuid()}-{blake2b(os.uname().nodename.encode(), digest_size=2).hexdigest()}"


def _directory() -> str:
    user = os.geteuid()
    try:
        directory = os.path.join(gettempdir(), directory_name())
        with suppress(FileExistsError):
            os.mkdir(directory, 0o700)
        found = os.lstat(directory)
    except OSError as error:
        raise CannotMeet(f"there is no directory for sockets: {error}") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != user or found.st_mode & 0o077:
        raise CannotMeet(f"{directory!r} is not a directory of this user alone (0700): remove it, or set TMPDIR")
    return directory


def _listening(directory: str) -> set[str]:
    """Name the sockets on which this process may accept, but for those in `directory`, which are each worker's own."""
    found: set[str] = set()
    for name in os.listdir("/dev/fd"):
        with suppress(OSError, ValueError):
            described = os.fstat(int(name))
            if stat.S_ISSOCK(described.st_mode) and described.st_ino:
                found |= _identities(int(name), described.st_ino, directory)
    return found


def _identities(number: int, inode: int, directory: str) -> set[str]:
    sock = _socket.socket(fileno=os.dup(number))
    try:
        if not sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_ACCEPTCONN):
            return set()
        if sock.family == _socket.AF_UNIX and os.path.dirname(os.fsdecode(sock.getsockname())) == directory:
            return set()
        identities = {f"inode {inode}"}
        if sock.family in (_socket.AF_INET, _socket.AF_INET6) and sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEPORT):
            # the kernel lets processes of one user in one network have the same address so
            identities.add(f"address {sock.getsockname()[:2]} in {_network()}")
        return identities
    finally:
        sock.close()


def _network() -> int:
    try:
        return os.stat("/proc/self/ns/net").st_ino
    except OSError:
        return 0            # no containers of this kind


def _mark(identity: str) -> str:
    return blake2b(identity.encode(), digest_size=5).hexdigest()


def new_id() -> str:
    """Return an id for a server that no other one has, on whichever machine."""
    return urlsafe_b64encode(os.urandom(ID_LENGTH)).decode()[:ID_LENGTH]
