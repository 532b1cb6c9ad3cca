# SPDX-License-Identifier: MIT
"""Many endpoints, one wait."""

import ctypes
import errno
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from ._channel import Closing
from ._endpoint import Endpoint
from ._error import Error, check, error
from ._library import C, checked, deadline
from ._native import KREPIS_RING, KrepisReady, KrepisWaitset


class Ready(NamedTuple):
    """An endpoint that has something to do; what was given with it; what its next call would raise, or None."""

    endpoint: Endpoint
    data: Any
    error: Optional[Error]


class WaitSet(Closing):
    """
    Waits for many endpoints. It belongs to one thread, which is also that of its endpoints; interrupt() may be
    called from any. It keeps its endpoints, until they are removed or it is closed. Without the module each has a
    thread of the library.
    """

    _handle: Any = None

    def __init__(self) -> None:
        """An empty set. Errors: Error: ENOMEM, EMFILE."""
        out = ctypes.POINTER(KrepisWaitset)()
        check(C.krepis_waitset_create(ctypes.byref(out)))
        self._handle = out
        self._members: Dict[int, Tuple[Endpoint, Any]] = {}

    def _open(self) -> Any:
        if self._handle is None:
            raise ValueError("the wait set is closed")
        return self._handle

    def add(self, endpoint: Endpoint, data: Any = None) -> None:
        """
        Waits for one more. data: anything, comes back in Ready. An endpoint that is closed leaves the set.

        Errors: Error: EEXIST it is in the set, ENOMEM, ENOSPC, EAGAIN (Timeout) too many threads.
        """
        check(C.krepis_waitset_add(self._open(), endpoint._open(), None))
        self._forget_closed()
        self._members[ctypes.addressof(endpoint._handle.contents)] = (endpoint, data)

    def remove(self, endpoint: Endpoint) -> None:
        """Waits for one less. Errors: Error: ENOENT it is not in the set."""
        check(C.krepis_waitset_remove(self._open(), endpoint._open()))
        del self._members[ctypes.addressof(endpoint._handle.contents)]

    def _forget_closed(self) -> None:
        for address, (endpoint, _) in tuple(self._members.items()):
            if endpoint._handle is None:
                del self._members[address]

    def wait(self, timeout: Optional[float] = None, count: int = 64) -> List[Ready]:
        """
        Waits until somebody is ready: a consumer with a message or a fresh value, a producer with room and
        a consumer, both when their peer has gone. Who is left alone is told again. Ends the views
        of their messages that are not in buffers.

        timeout: seconds; without the module what was sent an instant ago may be missed with 0.
        count: so many at most, 1 or more.
        Return: who is ready; nobody after interrupt().
        Errors: BufferError; Timeout; Error: EINVAL the count.
        """
        until, ready = deadline(timeout), (KrepisReady * checked("count", count, 16))()
        self._forget_closed()
        rings = [endpoint for endpoint, _ in self._members.values() if endpoint._kind == KREPIS_RING]
        for last in [endpoint._last() for endpoint in rings if endpoint._last]:
            if last is not None:
                last.check()
        for endpoint in rings:
            endpoint._end_last()
        late = [Ready(endpoint, data, None) for endpoint, data in self._members.values() if endpoint._late is not None]
        if late:
            return late
        found = -errno.EINTR
        while found == -errno.EINTR:
            found = C.krepis_waitset_wait(self._open(), ready, count, until)
        if found == -errno.ECANCELED:
            return []
        check(found)
        told = []
        for one in ready[:found]:
            endpoint, data = self._members[ctypes.addressof(one.endpoint.contents)]
            told.append(Ready(endpoint, data, error(one.err) if one.err else None))
        return told

    def interrupt(self) -> None:
        """Ends the wait, or else the next one. From any thread, and from a signal handler."""
        C.krepis_waitset_interrupt(self._open())

    def fileno(self) -> int:
        """Readable while wait() might find somebody ready. It is the set's."""
        return check(C.krepis_waitset_fd(self._open()))

    def close(self) -> None:
        """Ends the set, and none of its endpoints."""
        handle, self._handle = self._handle, None
        if handle is not None:
            C.krepis_waitset_destroy(handle)
            self._members.clear()

    def __del__(self) -> None:
        self.close()
