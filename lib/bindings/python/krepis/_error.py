# SPDX-License-Identifier: MIT
"""Errors, each with its errno and what the library says of it."""

import errno
import os
from typing import Optional, Union

from ._library import C

Where = Union[str, int, None]


class Error(OSError):
    """What a function of the library returned: errno, and its text."""


class PeerGone(Error, BrokenPipeError):
    """The other side has left, or died, and nothing that it sent is left to read."""


class Timeout(Error, TimeoutError):
    """Not in time (ETIMEDOUT), or not at once where waiting was not wanted (EAGAIN)."""


class LayoutMismatch(Error):
    """
    The channel's messages have another layout. ours is the number that was asked for, theirs the
    channel's.
    """

    def __init__(self, ours: int, theirs: int, where: Where) -> None:
        name = "the channel" if where is None else where
        super().__init__(errno.EPROTO, f"{name} has layout 0x{theirs:08x}, and we have 0x{ours:08x}")
        self.ours, self.theirs = ours, theirs


class Lapped(Error):
    """Messages of an overwrite channel were lost: so many, in lost. The next call goes on."""

    def __init__(self, lost: int) -> None:
        super().__init__(errno.EOVERFLOW, f"{lost} messages were lost")
        self.lost = lost


KINDS = {errno.EPIPE: PeerGone, errno.ETIMEDOUT: Timeout, errno.EAGAIN: Timeout}


def error(err: int, where: Optional[str] = None) -> Error:
    """Of a negative errno. where: the path that it is about."""
    kind, text = KINDS.get(-err, Error), C.krepis_strerror(err).decode()
    return kind(-err, text) if where is None else kind(-err, text, where)


def check(err: int, where: Where = None) -> int:
    """What is not negative comes back. where: a path, or a descriptor."""
    if err >= 0:
        return err
    if isinstance(where, int):
        # The library's texts are about endpoints, which have another reason for it.
        raise error(err) if err != -errno.EBADF else Error(errno.EBADF, f"{os.strerror(errno.EBADF)}: {where}")
    raise error(err, where)
