# SPDX-License-Identifier: MIT
"""The sides of a channel, and what they hold: of a ring, in which every message comes in order."""

import asyncio
import ctypes
import errno
import os
import weakref
from typing import Any, AsyncIterator, Iterator, List, Optional, Set, Type, TypeVar

from ._channel import Channel, Closing
from ._error import Error, Lapped, check, error
from ._library import C, BufferPointer, EndpointPointer, checked, contents, deadline, number_of
from ._memory import Hold
from ._native import (KREPIS_ATTACH_EINTR, KREPIS_CONSUMER, KREPIS_MSG_CRC32C, KREPIS_MSG_FRESH, KREPIS_PRODUCER,
                      KREPIS_RING, KrepisMsg, KrepisStatus)

S = TypeVar("S", bound=ctypes.Structure)

LEFT = (errno.EPIPE, errno.ESHUTDOWN)
IN_TURN = 64  # messages that a task takes before others have their turn

_endpoints: "weakref.WeakSet[Endpoint]" = weakref.WeakSet()


class Endpoint(Closing):
    """
    What all sides of a channel can do. It belongs to one thread at a time; shutdown() and query() may
    be called from any. After fork() it does not work in the child: Error EBADF, and views raise ValueError.
    """

    _kind = KREPIS_RING
    _role = 0
    _handle: Any = None
    # A message that came when a signal handler raised: the next call that receives has it.
    _late: Optional[KrepisMsg] = None

    def __init__(self, channel: Channel, flags: int = 0) -> None:
        """
        channel: may be closed afterwards. flags: NO_SPIN sleep at once instead of spinning first,
        NO_CACHE no per-thread caches before the buffer pool.

        Errors: ValueError, a ring for a class of triples, or a triple for one of rings; Error: EBUSY there is a
        producer already, EUSERS all consumer slots are taken, EACCES, EMEDIUMTYPE, ETIMEDOUT (Timeout),
        ENOMEM, EMFILE, EPROTO.
        """
        geometry = channel.query().geometry
        if geometry.kind != self._kind:
            raise ValueError("a ring has a Producer and Consumers, and a triple TripleProducer and TripleConsumer")
        self._holds: Set["weakref.ref[Hold]"] = set()
        # The last message that is not in a buffer, or the value of a triple: the next call ends it.
        self._last: Optional["weakref.ref[Hold]"] = None
        self._inline = ctypes.c_ubyte * geometry.inline_max
        self._room = ctypes.c_ubyte * geometry.buffer_size
        out = EndpointPointer()
        # So that Python's signal handlers run during a wait.
        check(C.krepis_attach(channel._open(), self._role, checked("flags", flags, 32) | KREPIS_ATTACH_EINTR,
                              ctypes.byref(out)))
        self._handle = out
        _endpoints.add(self)

    def _open(self) -> Any:
        if self._handle is None:
            raise ValueError("the endpoint is closed")
        return self._handle

    def _again(self, function: Any, *arguments: Any) -> None:
        """Calls it until it was no signal that ended it. Handlers run in between, and may raise."""
        err = -errno.EINTR
        while err == -errno.EINTR:
            err = function(self._open(), *arguments)
        check(err)

    def _end_last(self) -> None:
        last = self._last() if self._last else None
        if last is not None:
            last.check()
            last.forget()

    def _held(self) -> List[Hold]:
        refs = [*self._holds, *([self._last] if self._last else [])]
        return [hold for hold in (ref() for ref in refs) if hold is not None and hold.thing is not None]

    def shutdown(self) -> None:
        """
        Asks the endpoint's thread to stop: its wait ends with Error ESHUTDOWN, and an iteration without.
        What is there can still be received. From any thread, and from a signal handler.
        """
        C.krepis_shutdown(self._open())

    def wait_peer(self, count: int = 1, timeout: Optional[float] = None) -> None:
        """
        Waits until somebody is at the other side.

        count: consumers that a producer waits for, 1 to max_consumers; for a consumer 1. timeout: seconds.
        Errors: Timeout; Error: EINVAL the count, ESHUTDOWN.
        """
        self._again(C.krepis_wait_peer, checked("count", count, 32), deadline(timeout))

    def wait(self, timeout: Optional[float] = None) -> None:
        """
        Waits until there is a message, or for a triple a fresh value; a producer, until there is room for
        a message of inline_max bytes. Ends the view of a message that is not in a buffer.

        timeout: seconds. Errors: BufferError; Timeout; PeerGone; Error: ESHUTDOWN, EPROTO, and
        ENOTCONN of a producer: nobody ever attached.
        """
        until = deadline(timeout)
        if self._kind == KREPIS_RING:
            self._end_last()
        if self._late is None:
            self._again(C.krepis_wait, until)

    def fileno(self) -> int:
        """
        For select, poll and event loops: readable while wait() would not wait; it may be so a little too
        long, so call what does not wait (try_recv()) until there is nothing. A producer's
        may be writable instead: wait for both. It is the endpoint's: do not read or close it.

        Errors: Error: ENOMEM, EMFILE, EAGAIN (Timeout) too many threads.
        """
        return check(C.krepis_fd(self._open()))

    def query(self) -> KrepisStatus:
        """The channel as Channel.query() has it, and this endpoint's counters and slot. From any thread."""
        status = KrepisStatus(size=ctypes.sizeof(KrepisStatus))
        check(C.krepis_endpoint_query(self._open(), status))
        return status

    def close(self) -> None:
        """
        Leaves the channel. Messages sent before stay readable for the others. Buffers and messages of
        this endpoint end here. No other thread may be in a call of it.

        Errors: BufferError, and nothing has happened.
        """
        if self._handle is None:
            return
        held = self._held()
        for hold in held:
            hold.check()
        for hold in held:
            hold.forget()
        self._detach()

    def _detach(self) -> None:
        handle, self._handle, self._late = self._handle, None, None
        if handle is not None:
            C.krepis_detach(handle)

    def __del__(self) -> None:
        # Views keep the endpoint, so there are none.
        self._detach()


def _forked() -> None:
    """The child does not have the memory. Slices of views are beyond reach."""
    for endpoint in tuple(_endpoints):
        endpoint._late = None
        for hold in endpoint._held():
            hold.why = errno.EBADF
            try:
                hold.check()
            except BufferError:
                hold.thing = None
            else:
                hold.forget()


os.register_at_fork(after_in_child=_forked)


class Buffer(Closing):
    """
    A buffer that the producer owns, until it is published. One that is not goes back to the pool: at the
    end of with, by abandon(), or with its last view.
    """

    __slots__ = ("_hold", "_view")

    def __init__(self, hold: Hold, view: memoryview) -> None:
        """Not to be called: Producer.acquire() is."""
        self._hold, self._view = hold, view

    @property
    def view(self) -> memoryview:
        """All of it, to be written; page-aligned. Errors: ValueError, it is no longer ours."""
        if self._hold.thing is None:
            raise ValueError("the buffer was published or abandoned")
        return self._view

    def abandon(self) -> None:
        """Puts it back unused. From any thread. Errors: BufferError; Error: EPERM it is not owned any more."""
        hold = self._hold
        if hold.thing is None:
            raise hold.ended()
        hold.check()
        endpoint, thing = hold.endpoint._open(), hold.thing
        try:
            hold.forget()
        finally:
            check(C.krepis_abandon(endpoint, thing))

    def close(self) -> None:
        """As abandon(), if it is still owned."""
        if self._hold.thing is not None:
            self.abandon()


class Producer(Endpoint):
    """The one who sends on a ring."""

    _role = KREPIS_PRODUCER

    def send(self, data: Any, type: Optional[int] = None, timeout: Optional[float] = None) -> None:
        """
        Sends one message, copying it.

        data: bytes and what is like them, or a packet of krepis-codegen. Up to inline_max bytes go into the
        ring, more into a buffer; 1 MiB and more are for acquire().
        type: 0 to 65535; that of the packet, or 0, if nothing is said.
        timeout: seconds to wait for room, and for a buffer.

        Errors: Timeout, also with EAGAIN: no room on a channel of FAIL; PeerGone: the last consumer has
        gone; Error: ENOTCONN nobody ever attached, EMSGSIZE, ESHUTDOWN. If a signal handler raises, it may have
        been sent or not.
        """
        source, size = contents(data)
        number, until = number_of(data, type), deadline(timeout)
        err = C.krepis_send(self._open(), number, source, size, until)
        while err == -errno.EINTR:
            err = C.krepis_send(self._open(), number, source, size, until)
        if err:
            raise error(err)

    def try_send(self, data: Any, type: Optional[int] = None) -> bool:
        """Sends one message as send() does, if there is room now; False: there is none. Errors: as send()."""
        source, size = contents(data)
        err = C.krepis_send(self._open(), number_of(data, type), source, size, 0)
        return err != -errno.EAGAIN and not check(err)

    def acquire(self, timeout: Optional[float] = None) -> Buffer:
        """
        Takes a buffer from the pool, to be filled in place and published.

        timeout: seconds to wait until the consumers release one; with 0 this may be called from any thread.
        Errors: Timeout; Error: EOPNOTSUPP the channel has no buffers, ESHUTDOWN.
        """
        until, out = deadline(timeout), BufferPointer()
        try:
            self._again(C.krepis_acquire, ctypes.byref(out), until)
        except BaseException:
            # Of a signal handler, when it was there already.
            if out:
                C.krepis_abandon(self._handle, out)
            raise
        return self._buffer(out)

    def try_acquire(self) -> Optional[Buffer]:
        """A buffer; None: none is free now. From any thread. Errors: as acquire()."""
        out = BufferPointer()
        err = C.krepis_acquire(self._open(), ctypes.byref(out), 0)
        if err == -errno.EAGAIN:
            return None
        check(err)
        return self._buffer(out)

    def _buffer(self, handle: Any) -> Buffer:
        hold = Hold(self, handle, C.krepis_abandon)
        self._holds.add(weakref.ref(hold, self._holds.discard))
        size = ctypes.sizeof(self._room)
        return Buffer(hold, hold.view(self._room, C.krepis_buffer_data(handle), size, False))

    def _owns(self, thing: Any) -> bool:
        return not C.krepis_buffer_lookup(self._handle, C.krepis_buffer_handle(thing), ctypes.byref(BufferPointer()))

    def publish(self, buffer: Buffer, type: int, length: int, *, crc: bool = False,
                timeout: Optional[float] = None) -> None:
        """
        Gives a buffer to all consumers. Its view ends. After an error it is still ours, and the view is good.

        type: 0 to 65535. length: bytes of it. crc: with a checksum, for Message.verify().
        timeout: seconds to wait for room in the ring.

        Errors: BufferError, somebody else looks at it; Timeout; PeerGone; Error: EPERM it was published or
        abandoned already, EMSGSIZE the length, EINVAL another producer's buffer, ENOTCONN nobody ever
        attached, ESHUTDOWN, ESTALE and EOWNERDEAD a peer forged something.
        """
        hold, until = buffer._hold, deadline(timeout)
        if hold.thing is None:
            raise hold.ended()
        hold.check()
        try:
            self._again(C.krepis_publish, hold.thing, checked("type", type, 16), checked("length", length, 64),
                        KREPIS_MSG_CRC32C if crc else 0, until)
            hold.forget()
        except BaseException:
            # Also of a signal handler: during the wait, or when it was published already.
            if hold.thing is not None and not hold.endpoint._owns(hold.thing):
                hold.forget()
            raise

    def drain(self, timeout: Optional[float] = None) -> None:
        """
        Waits until every consumer has read and released all. timeout: seconds.

        Errors: Timeout; PeerGone: a consumer went before it had; Error: ESHUTDOWN.
        """
        self._again(C.krepis_drain, deadline(timeout))


class Message(Closing):
    """
    A received message: a view, and no copy. It ends with release(), at the end of with, or when nobody has it or
    its view any more; one that is not in a buffer ends with the next call that receives, too.
    Who is given it by another thread has it as well: that is how it is shared.
    """

    __slots__ = ("_hold", "_msg", "_view")

    def __init__(self, hold: Hold, msg: KrepisMsg) -> None:
        """Not to be called: Consumer.recv() is."""
        self._hold, self._msg = hold, msg
        self._view: Optional[memoryview] = None

    def _here(self) -> Hold:
        if self._hold.thing is None:
            raise ValueError("the message has ended")
        return self._hold

    @property
    def view(self) -> memoryview:
        """The payload, read-only, always the same object. Errors: ValueError, the message has ended."""
        view = self._view
        if view is None or self._hold.thing is None:
            hold, msg = self._here(), self._msg
            room = hold.endpoint._room if msg.buffer else hold.endpoint._inline
            view = self._view = hold.view(room, msg.data or 0, msg.len, True)
        return view

    @property
    def type(self) -> int:
        """The sender's number."""
        return int(self._msg.type)

    @property
    def length(self) -> int:
        """Bytes of payload."""
        return int(self._msg.len)

    @property
    def sequence(self) -> int:
        """Grows from message to message."""
        return int(self._msg.sequence)

    @property
    def in_buffer(self) -> bool:
        """Whether it lasts until it is released, or ends with the next call that receives."""
        return bool(self._msg.buffer)

    @property
    def fresh(self) -> bool:
        """Of a triple: a value not seen before."""
        return bool(self._msg.flags & KREPIS_MSG_FRESH)

    def as_(self, packet: Type[S]) -> Optional[S]:
        """
        The message as this packet of krepis-codegen: a copy, which may be kept; None: it is another one,
        by its number or its length. Errors: ValueError, the message has ended.
        """
        self._here()
        msg = self._msg
        if msg.type != packet.PACKET or msg.len != ctypes.sizeof(packet):
            return None
        copy = packet()
        ctypes.memmove(ctypes.byref(copy), msg.data, msg.len)
        return copy

    def verify(self) -> bool:
        """
        Whether the payload is what was checksummed.

        Errors: ValueError, the message has ended; Error: ENODATA the sender made no checksum.
        """
        self._here()
        err = C.krepis_msg_verify(self._msg)
        return err != -errno.EBADMSG and not check(err)

    def release(self) -> None:
        """
        Done with it: its view ends, and a buffer can be sent again when all consumers did this.

        Errors: BufferError, somebody else looks at it; Error: EPERM it has ended.
        """
        hold = self._hold
        if hold.thing is None:
            raise hold.ended()
        hold.check()
        endpoint = hold.endpoint._open()
        try:
            hold.forget()
        finally:
            self._give_back(endpoint)

    def _give_back(self, endpoint: Any) -> None:
        check(C.krepis_release(endpoint, self._msg))

    def close(self) -> None:
        """As release(), if it has not ended."""
        if self._hold.thing is not None:
            self.release()


class Messages(Iterator[Message], AsyncIterator[Message]):
    """What iter(consumer) is. Each message is released before the next one comes; the last one after break is not."""

    def __init__(self, consumer: "Consumer") -> None:
        self._consumer = consumer
        self._before: Optional[Message] = None
        self._taken = 0

    def __iter__(self) -> "Messages":
        return self

    def __aiter__(self) -> "Messages":
        return self

    def _release(self) -> None:
        # One that is not in a buffer ends with the call that receives the next one.
        if self._before is not None and self._before.in_buffer:
            self._before.close()
        self._before = None

    def __next__(self) -> Message:
        self._release()
        try:
            self._before = self._consumer.recv()
        except Error as e:
            if e.errno in LEFT:
                raise StopIteration from None
            raise
        return self._before

    async def __anext__(self) -> Message:
        self._release()
        self._taken += 1
        if self._taken % IN_TURN == 0:
            await asyncio.sleep(0)
        try:
            while self._before is None:
                self._before = self._consumer.try_recv()
                if self._before is None:
                    await self._consumer._readable()
        except Error as e:
            if e.errno in LEFT:
                raise StopAsyncIteration from None
            raise
        return self._before


class Consumer(Endpoint):
    """
    One of those who receive on a ring: what is sent from now on.

        for message in consumer:            # or async for
            ...                             # until the producer has left, or shutdown()

    Each message is released before the next one comes; if a view of it is still somewhere, that is
    a BufferError. Lapped ends a loop too; a new one goes on.
    """

    _role = KREPIS_CONSUMER
    _waits = False

    def recv(self, timeout: Optional[float] = None) -> Message:
        """
        The next message. The one before, if it is not in a buffer, ends.

        timeout: seconds. Errors: BufferError, somebody looks at the one before; Timeout; PeerGone; Lapped;
        Error: ESHUTDOWN, EPROTO the producer wrote what cannot be.
        """
        message = self._receive(deadline(timeout))
        if message is None:
            raise error(-errno.EAGAIN)
        return message

    def try_recv(self) -> Optional[Message]:
        """The next message; None: there is none now. Errors: as recv()."""
        return self._receive(0)

    def _receive(self, until: int) -> Optional[Message]:
        """None: there is none now."""
        self._end_last()
        msg, err = self._late, 0
        try:
            if msg is None:
                msg, err = KrepisMsg(), -errno.EINTR
            while err == -errno.EINTR:
                err = C.krepis_recv(self._open(), msg, until)
        except BaseException:
            if msg is not None and msg.data:
                self._late = msg
            raise
        self._late = None
        if err == -errno.EAGAIN:
            return None
        if err:
            raise Lapped(msg.lost) if err == -errno.EOVERFLOW else error(err)
        if msg.buffer:
            hold = Hold(self, msg, C.krepis_release)
            self._holds.add(weakref.ref(hold, self._holds.discard))
        else:
            hold = Hold(self, msg, None)
            self._last = weakref.ref(hold)
        return Message(hold, msg)

    async def _readable(self) -> None:
        """Until there may be a message. The loop has one callback for a descriptor: one task."""
        if self._waits:
            raise RuntimeError("another task waits for this consumer")
        loop, fd = asyncio.get_running_loop(), self.fileno()
        ready = loop.create_future()
        loop.add_reader(fd, lambda: None if ready.done() else ready.set_result(None))
        self._waits = True
        try:
            await ready
        finally:
            self._waits = False
            loop.remove_reader(fd)

    def __iter__(self) -> Messages:
        return Messages(self)

    def __aiter__(self) -> Messages:
        return Messages(self)
