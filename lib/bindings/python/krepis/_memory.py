# SPDX-License-Identifier: MIT
"""
Memory of a channel that is ours for a while.

Every view of it, and whatever was made of such a view, keeps the Hold; and that keeps the endpoint,
and so the mapping. Nobody can have an address that means nothing any more.
"""

import ctypes
import errno
import gc
import pickle
import sys
import weakref
from typing import Any, Callable, Optional

from ._error import Error, error

# Where CPython counts. memoryview.release() asks the second count only, and slices and numpy's
# arrays are in the first one, which the views of the same memory have in common.
_SIBLINGS = object.__basicsize__ + 8
_EXPORTS = tuple.__basicsize__ + 24


def _count(address: int) -> int:
    return ctypes.c_ssize_t.from_address(address).value


def others(view: memoryview) -> int:
    """How many look at the memory of this view beside it: slices of it, what was made of those, or of view.obj."""
    try:
        ours, behind = 1, sys.getrefcount(view.obj) - 2
    except ValueError:
        ours, behind = 0, 0  # its user released it
    return _count(id(gc.get_referents(view)[0]) + _SIBLINGS) - ours + _count(id(view) + _EXPORTS) + behind


def _self_test() -> None:
    view = memoryview(bytearray(2))
    seen = [others(view)]
    part = view[:1]
    export: Any = pickle.PickleBuffer(view)
    seen.append(others(view))
    part.release()
    seen.append(others(view))
    export.release()
    seen.append(others(view))
    export = view.obj
    seen.append(others(view))
    view.release()
    seen.append(others(view))
    if seen != [0, 2, 1, 0, 1, 0]:
        raise ImportError(f"krepis: this Python does not count views as CPython does: {seen}")


_self_test()


class Hold:
    """
    One buffer or message.

    thing: how C calls it; None: no longer ours. give_back: what C wants when the last view has gone,
    of any thread.
    """

    __slots__ = ("endpoint", "thing", "give_back", "seen", "why", "__weakref__")

    def __init__(self, endpoint: Any, thing: Any, give_back: Optional[Callable[[Any, Any], int]]) -> None:
        self.endpoint, self.thing, self.give_back = endpoint, thing, give_back
        self.seen: Optional["weakref.ref[memoryview]"] = None
        self.why = errno.EPERM

    def view(self, room: Any, address: int, size: int, readonly: bool) -> memoryview:
        """
        The one view that is ours. room: a type of ctypes with at least so many bytes; there are few of
        those, because each is slow to make.
        """
        array = room.from_address(address)
        array.hold = self
        view = memoryview(array).cast("B")[:size]
        if readonly:
            view = view.toreadonly()
        self.seen = weakref.ref(view)
        return view

    def check(self) -> None:
        """BufferError: somebody looks at it, beside our view."""
        if self.seen is None:
            return
        view = self.seen()
        if view is None or others(view):
            raise BufferError("something still looks at this memory: a slice of the view, or an array made of "
                              "it; delete that first")

    def ended(self) -> Error:
        """Why this cannot be given away."""
        return error(-self.why)

    def forget(self) -> None:
        """No longer ours, and that C knows."""
        self.thing = self.endpoint = None
        view = self.seen() if self.seen else None
        if view is not None:
            view.release()

    def __del__(self) -> None:
        if self.thing is not None and self.give_back and self.endpoint._handle:
            self.give_back(self.endpoint._handle, self.thing)
