# SPDX-License-Identifier: MIT
"""Which library it is, and what calls of it have in common."""

import ctypes
import os
import re
import time
from typing import Any, Optional, Tuple

from . import _native
from ._version import VERSION


def _numbers(version: str) -> Tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", version))


def _load() -> ctypes.CDLL:
    """$KREPIS_LIBRARY, or what the loader finds."""
    path = os.environ.get("KREPIS_LIBRARY") or f"libkrepis.so.{VERSION.split('.')[0]}"
    try:
        version = ctypes.CDLL(path).krepis_version
    except OSError as e:
        raise ImportError(f"krepis: {e}: install libkrepis {VERSION}, or say where it is: "
                          "KREPIS_LIBRARY=/.../libkrepis.so") from None
    except AttributeError:
        raise ImportError(f"krepis: {path} is another library than libkrepis") from None
    version.restype = ctypes.c_char_p
    theirs = version().decode()
    if theirs == VERSION:
        # ctypes.CDLL: other threads run during a call. PyDLL, for those that never wait, would
        # make them a tenth quicker, and stop everybody for as long as a copy takes.
        return _native.load(path)
    if _numbers(theirs) < _numbers(VERSION):
        advice = f"the library is older: install libkrepis {VERSION}"
    else:
        advice = f"this package is older: install the package krepis {theirs}"
    raise ImportError(f"krepis: {path} is version {theirs} and this package is {VERSION}: {advice}")


C = _load()

ChannelPointer = ctypes.POINTER(_native.KrepisChannel)
EndpointPointer = ctypes.POINTER(_native.KrepisEndpoint)
BufferPointer = ctypes.POINTER(_native.KrepisBuffer)


def deadline(timeout: Optional[float]) -> int:
    """As C has it, of seconds from now."""
    if timeout is None:
        return _native.KREPIS_FOREVER
    if not timeout >= 0:
        raise ValueError(f"a timeout is None or 0 or more seconds, not {timeout}")
    if timeout == 0:
        return _native.KREPIS_NOWAIT
    return time.monotonic_ns() + int(timeout * 1e9) if timeout < 9e9 else _native.KREPIS_FOREVER


def checked(name: str, value: int, bits: int) -> int:
    """ctypes would cut it off."""
    if not 0 <= value < 1 << bits:
        raise ValueError(f"{name}: 0 to {(1 << bits) - 1}, not {value}")
    return value


def contents(data: Any) -> Any:
    """What ctypes takes as the address of these bytes, and how many they are."""
    if isinstance(data, bytes):
        return data, len(data)
    if isinstance(data, ctypes.Structure):
        return ctypes.byref(data), ctypes.sizeof(data)
    copy = memoryview(data).tobytes()
    return copy, len(copy)


def number_of(data: Any, number: Optional[int]) -> int:
    """The type of a message: as said, or that of a packet, or 0."""
    return checked("type", getattr(data, "PACKET", 0) if number is None else number, 16)


def crc32c(data: Any, crc: int = 0) -> int:
    """CRC-32C of bytes, after those that crc is the checksum of."""
    source, size = contents(data)
    return int(C.krepis_crc32c(checked("crc", crc, 32), source, size))
