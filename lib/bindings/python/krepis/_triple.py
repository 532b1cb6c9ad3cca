# SPDX-License-Identifier: MIT
"""A triple: the latest value only. Neither side waits for the other."""

import ctypes
import errno
import weakref
from typing import Any, Optional

from ._channel import Channel
from ._endpoint import Endpoint, Message
from ._error import check, error
from ._library import C, checked, contents, number_of
from ._memory import Hold
from ._native import KREPIS_CONSUMER, KREPIS_PRODUCER, KREPIS_TRIPLE, KrepisMsg


class Value(Message):
    """What TripleConsumer.read() returns: a Message that ends with the next read()."""

    __slots__ = ()

    def _give_back(self, endpoint: Any) -> None:
        """It stays the consumer's until then."""


class TripleProducer(Endpoint):
    """
    The one who writes the value.

        view = producer.begin()
        ...
        producer.commit(type, length)
    """

    _kind, _role = KREPIS_TRIPLE, KREPIS_PRODUCER

    def begin(self) -> memoryview:
        """
        Room for the next value, of buffer_size bytes; holds an older one. Ends with commit(). If it was
        begun already, the same view.

        Errors: BufferError, of that view only slices are left; Error: ESHUTDOWN, EPROTO.
        """
        last = self._last() if self._last else None
        if last is not None:
            view = last.seen() if last.seen else None
            if view is not None:
                return view
            last.check()
        room = ctypes.c_void_p()
        check(C.krepis_triple_begin(self._open(), ctypes.byref(room)))
        hold = Hold(self, room, None)
        self._last = weakref.ref(hold)
        return hold.view(self._room, room.value or 0, ctypes.sizeof(self._room), False)

    def commit(self, type: int, length: int) -> None:
        """
        Makes it the latest value. Never waits. After an error the room and its view are still ours.

        type: 0 to 65535. length: bytes of it.
        Errors: BufferError, somebody looks at it beside the view of begin(); Error: EINVAL not begun, EMSGSIZE,
        ESHUTDOWN.
        """
        last = self._last() if self._last else None
        if last is not None:
            last.check()
        number, size = checked("type", type, 16), checked("length", length, 64)
        handle, err = self._open(), 0
        try:
            err = C.krepis_triple_commit(handle, number, size)
        finally:
            # A signal handler may have raised, when it was committed already.
            if not err and last is not None:
                last.forget()
        check(err)

    def write(self, data: Any, type: Optional[int] = None) -> None:
        """
        begin(), a copy, and commit().

        data, type: as Producer.send(). Errors: as commit(); Error EMSGSIZE, before anything is written.
        """
        source, size = contents(data)
        number = number_of(data, type)
        if size > ctypes.sizeof(self._room):
            raise error(-errno.EMSGSIZE)
        room = ctypes.c_void_p()
        check(C.krepis_triple_begin(self._open(), ctypes.byref(room)))
        ctypes.memmove(room, source, size)
        self.commit(number, size)


class TripleConsumer(Endpoint):
    """The one who reads it."""

    _kind, _role = KREPIS_TRIPLE, KREPIS_CONSUMER

    def __init__(self, channel: Channel, flags: int = 0) -> None:
        super().__init__(channel, flags)
        self._inline = self._room

    def read(self) -> Optional[Message]:
        """
        The latest value, a view until the next read(); None: nothing was published yet. Never waits.
        Its fresh tells whether it was seen before.

        Errors: BufferError, somebody looks at the one before; Error: ESHUTDOWN, EPROTO.
        """
        self._end_last()
        msg = KrepisMsg()
        err = C.krepis_triple_read(self._open(), msg)
        if err == -errno.ENODATA:
            return None
        check(err)
        hold = Hold(self, msg, None)
        self._last = weakref.ref(hold)
        return Value(hold, msg)


TripleProducer.__init__.__doc__ = TripleConsumer.__init__.__doc__ = Endpoint.__init__.__doc__
