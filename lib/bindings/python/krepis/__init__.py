# SPDX-License-Identifier: MIT
"""
Zero-copy messages between processes, each buffer with one owner.

    with krepis.Channel.create("/dev/shm/example") as channel, krepis.Producer(channel) as producer:
        producer.wait_peer()
        with producer.acquire() as buffer:
            buffer.view[:5] = b"hello"
            producer.publish(buffer, type=1, length=5)

    with krepis.Channel.open("/dev/shm/example") as channel, krepis.Consumer(channel) as consumer:
        for message in consumer:            # until the producer has left
            print(bytes(message.view))      # released when the next one comes

What is given away cannot be looked at any more. A view is a memoryview: once its buffer was
published, or its message released, it raises ValueError. While somebody else still looks (a slice
of the view, a numpy array made of it), publish(), release() and close() raise BufferError, and
nothing was given away.

Errors are krepis.Error, an OSError, with the errno that krepis.h names for the C function of the
same name; a view that is in the way is BufferError. A timeout is in seconds; None is for ever, and 0
is not at all. Signal handlers of Python run while a call waits, so Ctrl-C works.

An endpoint, and what came of it, belongs to one thread at a time. From any thread: acquire() with a
timeout of 0, Buffer.abandon(), release() of a message in a buffer, shutdown(), query(),
WaitSet.interrupt(). Channels are thread-safe. Other threads run while a call waits.
"""

from ._channel import Channel, directory, unlink
from ._endpoint import Buffer, Consumer, Message, Producer
from ._error import Error, Lapped, LayoutMismatch, PeerGone, Timeout
from ._native import (
    KREPIS_ATTACH_NO_CACHE as NO_CACHE,
    KREPIS_ATTACH_NO_SPIN as NO_SPIN,
    KREPIS_BLOCK as BLOCK,
    KREPIS_COOPERATIVE as COOPERATIVE,
    KREPIS_ENFORCED as ENFORCED,
    KREPIS_F_ENFORCED as F_ENFORCED,
    KREPIS_F_EXCLUSIVE as F_EXCLUSIVE,
    KREPIS_F_NO_BUFFERS as F_NO_BUFFERS,
    KREPIS_FAIL as FAIL,
    KREPIS_OVERWRITE as OVERWRITE,
    KREPIS_RING as RING,
    KREPIS_TRIPLE as TRIPLE,
    KrepisStatus as Status,
)
from ._library import crc32c
from ._triple import TripleConsumer, TripleProducer
from ._version import VERSION as __version__
from ._waitset import Ready, WaitSet

__all__ = [
    "BLOCK", "Buffer", "COOPERATIVE", "Channel", "Consumer", "ENFORCED", "Error", "FAIL", "F_ENFORCED",
    "F_EXCLUSIVE", "F_NO_BUFFERS", "Lapped", "LayoutMismatch", "Message", "NO_CACHE", "NO_SPIN", "OVERWRITE",
    "PeerGone", "Producer", "RING", "Ready", "Status", "TRIPLE", "Timeout", "TripleConsumer", "TripleProducer",
    "WaitSet", "__version__", "crc32c", "directory", "unlink",
]
