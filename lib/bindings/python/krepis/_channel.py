# SPDX-License-Identifier: MIT
"""Channels: shared memory with a shape."""

import ctypes
import errno
import os
from types import TracebackType
from typing import Any, Optional, Type, TypeVar, Union

from ._error import LayoutMismatch, check
from ._library import C, ChannelPointer, checked
from ._native import KREPIS_RING, KrepisChannelOptions, KrepisStatus

Path = Union[str, bytes, "os.PathLike[str]", "os.PathLike[bytes]"]
Self = TypeVar("Self", bound="Closing")


def text_of(path: Path) -> bytes:
    """As C has it."""
    name = os.fsencode(path)
    if b"\0" in name:
        raise ValueError("a path has no zeros in it")
    return name


def descriptor(file: Any) -> int:
    """A number, or an object that has one."""
    return file if isinstance(file, int) else int(file.fileno())


class Closing:
    """What with closes."""

    __slots__ = ()

    def close(self) -> None:
        """Ends it. Nothing happens if it has ended."""
        raise NotImplementedError

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], e: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        try:
            self.close()
        except BufferError:
            # The error on its way has our views in its trace, and is what should be told. What
            # could not be closed ends with them.
            if e is None:
                raise


class Channel(Closing):
    """
    A channel. Thread-safe. Its endpoints live on when it is closed.
    """

    _handle: Any = None

    def __init__(self) -> None:
        """Not to be called: create(), open() and receive() are."""
        raise TypeError("Channel.create(), Channel.open() or Channel.receive()")

    @classmethod
    def _of(cls, handle: Any) -> "Channel":
        channel = cls.__new__(cls)
        channel._handle = handle
        return channel

    @classmethod
    def create(cls, path: Optional[Path] = None, *, kind: int = KREPIS_RING, flags: int = 0, backpressure: int = 0,
               max_consumers: int = 0, inline_max: int = 0, ring_size: int = 0, buffer_size: int = 0,
               buffer_count: int = 0, layout_id: int = 0, mode: int = 0) -> "Channel":
        """
        A new channel.

        path: a new file on tmpfs or on a krepis mount; a name without "/" stands in directory();
        None: anonymous, for pass_() and fileno().
        kind: RING or TRIPLE. flags: F_NO_BUFFERS, F_ENFORCED, F_EXCLUSIVE. backpressure: BLOCK, FAIL or
        OVERWRITE. max_consumers: 1 to 32. inline_max: largest message that is copied into the ring, in
        bytes. ring_size, buffer_size: bytes. buffer_count: how many. mode: permission bits, less the
        umask. 0 is a default, each one's is in krepis.h.
        layout_id: LAYOUT_ID of a module by krepis-codegen; 0: unchecked.

        Errors: ValueError, a number that its field does not hold; Error: EINVAL, E2BIG, EEXIST,
        ENOENT, EACCES, EOPNOTSUPP not on tmpfs, ENOSPC, ENOMEM, EMFILE.
        """
        options = KrepisChannelOptions(size=ctypes.sizeof(KrepisChannelOptions))
        given = {"kind": kind, "flags": flags, "backpressure": backpressure, "max_consumers": max_consumers,
                 "inline_max": inline_max, "ring_size": ring_size, "buffer_size": buffer_size,
                 "buffer_count": buffer_count, "layout_id": layout_id, "mode": mode}
        for name, value in given.items():
            bits = 8 * getattr(KrepisChannelOptions, name).size
            setattr(options, name, checked(name, value, bits))
        out = ChannelPointer()
        check(C.krepis_channel_create(None if path is None else text_of(path), options, ctypes.byref(out)),
              None if path is None else os.fsdecode(path))
        return cls._of(out)

    @classmethod
    def open(cls, where: Union[Path, int], layout_id: int = 0) -> "Channel":
        """
        A channel that is there.

        where: its path or name; or a descriptor, which stays the caller's.
        layout_id: LAYOUT_ID of a module by krepis-codegen; 0: unchecked.

        Errors: LayoutMismatch; Error: ENOENT, EACCES, EBADF, EMEDIUMTYPE it is no channel,
        EPROTONOSUPPORT of another version, EPERM, ENOMEM, EMFILE.
        """
        checked("layout_id", layout_id, 32)
        out = ChannelPointer()
        if isinstance(where, int):
            name: Union[str, int] = where
            err = C.krepis_channel_open_fd(where, 0, ctypes.byref(out))
        else:
            name = os.fsdecode(where)
            err = C.krepis_channel_open(text_of(where), 0, ctypes.byref(out))
        check(err, name)
        return cls._of(out)._with_layout(layout_id, name if isinstance(name, str) else f"descriptor {name}")

    @classmethod
    def receive(cls, socket: Any, layout_id: int = 0) -> "Channel":
        """
        What the other end of a UNIX socket gave to pass_(). Waits for it, if the socket waits.

        socket: a connected one, or its descriptor. layout_id: see open().

        Errors: as open(); PeerGone: the socket was closed; Error: EBADMSG, EPERM; EAGAIN is Timeout.
        """
        checked("layout_id", layout_id, 32)
        out = ChannelPointer()
        fd = descriptor(socket)
        err = -errno.EINTR
        while err == -errno.EINTR:
            err = C.krepis_channel_receive(fd, 0, ctypes.byref(out))
        check(err, fd)
        return cls._of(out)._with_layout(layout_id, None)

    def _with_layout(self, ours: int, where: Optional[str]) -> "Channel":
        """As C compares them; but who it refuses has nothing left to look at."""
        theirs = self.query().geometry.layout_id if ours else 0
        if theirs and theirs != ours:
            self.close()
            raise LayoutMismatch(ours, theirs, where)
        return self

    def _open(self) -> Any:
        if self._handle is None:
            raise ValueError("the channel is closed")
        return self._handle

    def pass_(self, socket: Any) -> None:
        """
        Sends an anonymous channel over a UNIX socket, to receive() of the other process. It stays open
        here. One with a name travels by its name.

        socket: a connected one, or its descriptor. Errors: those of sendmsg(2).
        """
        fd = descriptor(socket)
        check(C.krepis_channel_pass(self._open(), fd), fd)

    def fileno(self) -> int:
        """
        The channel's descriptor, for a child that inherits it. It is the channel's, and close-on-exec:
        see pass_fds of subprocess.Popen.
        """
        return int(C.krepis_channel_fd(self._open()))

    def query(self) -> KrepisStatus:
        """
        Its shape (geometry), who is there (producer, live), deaths, and counters, as krepis.h says.

        Errors: Error: EMEDIUMTYPE the file was truncated or grown; ENOMEM.
        """
        status = KrepisStatus(size=ctypes.sizeof(KrepisStatus))
        check(C.krepis_query(self._open(), status))
        return status

    def close(self) -> None:
        """Forgets the channel. Its endpoints live on."""
        handle, self._handle = self._handle, None
        if handle is not None:
            C.krepis_channel_close(handle)

    def __del__(self) -> None:
        self.close()


def unlink(path: Path) -> None:
    """Removes a channel's name; who uses the channel goes on. Errors: those of unlink(2)."""
    check(C.krepis_unlink(text_of(path)), os.fsdecode(path))


def directory() -> str:
    """Where names without "/" stand. It is made with the first channel there."""
    path = ctypes.create_string_buffer(4096)
    check(C.krepis_directory(path, len(path)))
    return os.fsdecode(path.value)

