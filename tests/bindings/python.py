#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Tests of the Python package, krepis. TAP."""

import array
import asyncio
import contextlib
import ctypes
import errno
import gc
import inspect
import math
import mmap
import os
import pickle
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Callable, Iterator, Optional

sys.dont_write_bytecode = True

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "build/bindings/python"
os.environ.setdefault("KREPIS_LIBRARY", str(ROOT / "build/libkrepis.so"))
os.environ["PYTHONPATH"] = str(PACKAGE)
sys.path[:0] = [str(PACKAGE), str(ROOT / "tests/codegen")]

import tap  # noqa: E402
from tap import check, skip  # noqa: E402

import krepis  # noqa: E402

VERSION = (ROOT / "VERSION").read_text().strip()
SMALL = {"ring_size": 4096, "buffer_size": 4096, "buffer_count": 2}
GIVEN_S = 10


def raises(kind: type, call: Callable[[], Any], number: Optional[int] = None, text: str = "") -> bool:
    """Whether it raises that, with that errno, and says that."""
    try:
        call()
    except kind as e:
        good = (number is None or getattr(e, "errno", None) == number) and text in str(e)
        if not good:
            print(f"# {e!r}")
        return good
    except Exception as e:  # pylint: disable=broad-except
        print(f"# {e!r}")
    return False


@contextlib.contextmanager
def pair(**options: Any) -> Iterator[tuple[krepis.Producer, krepis.Consumer]]:
    with krepis.Channel.create(**{**SMALL, **options}) as channel:
        with krepis.Producer(channel) as p, krepis.Consumer(channel) as c:
            yield p, c


def free(p: krepis.Producer) -> int:
    """Buffers in the pool."""
    taken = []
    while (buffer := p.try_acquire()) is not None:
        taken.append(buffer)
    for buffer in taken:
        buffer.abandon()
    return len(taken)


def dead(view: memoryview) -> bool:
    return raises(ValueError, lambda: view[0])


# --------------------------------------------------------------------- ownership

# What looks at the memory of a view, and how it stops.
LOOKS: dict[str, tuple[Callable[[memoryview], Any], Callable[[Any], None]]] = {
    "a_slice": (lambda v: v[8:16], lambda x: x.release()),
    "an_empty_slice": (lambda v: v[:0], lambda x: x.release()),
    "a_slice_of_a_slice": (lambda v: v[8:64][1:2], lambda x: x.release()),
    "a_cast": (lambda v: v.cast("I"), lambda x: x.release()),
    "what_is_behind_the_view": (lambda v: [v.obj], lambda x: x.clear()),
    "a_copy_of_the_view": (memoryview, lambda x: x.release()),
    "a_read_only_one": (lambda v: v.toreadonly(), lambda x: x.release()),
    "an_export": (pickle.PickleBuffer, lambda x: x.release()),
    "an_export_of_a_slice": (lambda v: pickle.PickleBuffer(v[1:9]), lambda x: x.release()),
}


def buffers_have_one_owner() -> None:
    with pair() as (p, c):
        for name, (look, stop) in LOOKS.items():
            buffer = p.acquire()
            view = buffer.view
            x = look(view)
            refused = raises(BufferError, lambda: p.publish(buffer, 1, 64)) and \
                raises(BufferError, buffer.abandon) and raises(BufferError, p.close)
            view[0:1] = b"!"
            same = buffer.view is view and c.try_recv() is None
            stop(x)
            p.publish(buffer, 1, 64)
            with c.recv(1) as message:
                check(f"{name}_is_in_the_way_of_publish", refused and same and dead(view) and message.view[0] == 33)
        buffer = p.acquire()
        floats = (ctypes.c_float * 4).from_buffer(buffer.view)
        refused = raises(BufferError, lambda: p.publish(buffer, 1, 16))
        floats[:] = [1, 2, 3, 4]
        del floats
        p.publish(buffer, 1, 16)
        check("an_object_of_ctypes_is_in_the_way", refused and c.recv(1).view.cast("f").tolist() == [1, 2, 3, 4])
        gc.collect()
        buffer = p.acquire()
        view = buffer.view
        part = view[:2]
        view.release()
        refused = raises(BufferError, lambda: p.publish(buffer, 1, 1))
        part.release()
        p.publish(buffer, 1, 1)
        check("a_view_released_by_its_user_is_not_counted", refused and c.recv(1).length == 1)


def numpy_is_counted() -> None:
    try:
        import numpy
    except ImportError:
        skip("numpy_is_in_the_way_of_publish", "no numpy here (Debian: python3-numpy)")
        return
    with pair() as (p, c):
        buffer = p.acquire()
        numbers = numpy.frombuffer(buffer.view, dtype=numpy.uint64)
        part = numbers[3:]
        del numbers
        refused = raises(BufferError, lambda: p.publish(buffer, 1, 4096))
        part[:] = 7
        del part
        p.publish(buffer, 1, 4096)
        check("numpy_is_in_the_way_of_publish", refused)
        message = c.recv(1)
        numbers = numpy.frombuffer(message.view, dtype=numpy.uint64)
        refused = raises(BufferError, message.release) and raises(BufferError, c.close)
        check("numpy_is_in_the_way_of_release", refused and numbers[3:].sum() == 7 * 509 and
              not numbers.flags.writeable)
        other = numpy.asarray(message.view)
        del numbers
        check("each_array_is_counted", raises(BufferError, message.release))
        del other
        message.release()
        check("and_then_it_is_released", free(p) == 2)


def buffers_are_given_once() -> None:
    with pair() as (p, c):
        buffer = p.acquire()
        view = buffer.view
        view[:5] = b"hello"
        p.publish(buffer, 5, 5)
        check("a_published_buffer_is_gone", dead(view) and raises(ValueError, lambda: buffer.view) and
              raises(krepis.Error, lambda: p.publish(buffer, 5, 5), errno.EPERM) and
              raises(krepis.Error, buffer.abandon, errno.EPERM))
        with c.recv(1) as message:
            check("what_was_written_is_read_in_place", message.type == 5 and message.in_buffer and
                  message.length == 5 and
                  bytes(message.view) == b"hello" and message.view.readonly and message.view is message.view and
                  free(p) == 1)
            seen = message.view
        check("the_end_of_with_releases", dead(seen) and free(p) == 2)
        buffer = p.acquire()
        view = buffer.view
        buffer.abandon()
        check("an_abandoned_buffer_is_gone", dead(view) and raises(krepis.Error, buffer.abandon, errno.EPERM) and
              free(p) == 2)
        buffer.close()
        for _ in range(100):
            with p.acquire(0):
                pass
        check("a_buffer_that_is_not_published_goes_back", free(p) == 2)

        def fails() -> None:
            with p.acquire(0) as buffer:
                part = buffer.view[:4]
                raise KeyError(bytes(part))

        check("an_error_is_not_hidden_by_a_view_in_its_trace", raises(KeyError, fails))
        gc.collect()
        check("and_the_buffer_goes_back", free(p) == 2)

        def forgets() -> None:
            with p.acquire(0) as buffer:
                kept.append(buffer.view[:4])

        kept: list[memoryview] = []
        check("a_slice_that_leaves_with_is_an_error", raises(BufferError, forgets) and free(p) == 1)
        kept[0][0] = 1
        kept.clear()
        check("its_buffer_goes_back_with_it", free(p) == 2)


def publish_is_refused() -> None:
    with pair() as (p, c), pair() as (other, _):
        buffer = p.acquire()
        view = buffer.view
        check("a_longer_length_is_refused", raises(krepis.Error, lambda: p.publish(buffer, 1, 4097), errno.EMSGSIZE))
        check("a_length_less_than_0_is_refused", raises(ValueError, lambda: p.publish(buffer, 1, -1)))
        check("a_type_of_more_than_16_bits_is_refused", raises(ValueError, lambda: p.publish(buffer, 65536, 1)) and
              raises(ValueError, lambda: p.publish(buffer, -1, 1)))
        check("another_producer_is_refused", raises(krepis.Error, lambda: other.publish(buffer, 1, 1), errno.EINVAL))
        c.close()
        gone = raises(krepis.PeerGone, lambda: p.publish(buffer, 1, 1), errno.EPIPE)
        view[0] = 1
        check("a_buffer_that_was_refused_is_still_ours", gone and buffer.view is view)
        view = memoryview(b"")
        p.close()
        check("close_ends_buffers", raises(ValueError, lambda: buffer.view) and
              raises(krepis.Error, buffer.abandon, errno.EPERM))
    with krepis.Channel.create(**SMALL) as channel, krepis.Producer(channel) as p:
        buffer = p.acquire()
        check("without_a_consumer_it_is_refused", raises(krepis.Error, lambda: p.publish(buffer, 1, 1), errno.ENOTCONN))


def messages_have_one_owner() -> None:
    with pair() as (p, c):
        for name, (look, stop) in LOOKS.items():
            with p.acquire() as buffer:
                p.publish(buffer, 1, 64)
            message = c.recv(1)
            view = message.view
            x = look(view)
            refused = raises(BufferError, message.release) and raises(BufferError, c.close)
            same = message.view is view and view[0] >= 0
            stop(x)
            message.release()
            check(f"{name}_is_in_the_way_of_release", refused and same and dead(view) and free(p) == 2)
        check("a_message_is_released_once", raises(krepis.Error, message.release, errno.EPERM))
        check("a_released_message_is_gone", raises(ValueError, lambda: message.view) and
              raises(ValueError, message.verify) and raises(ValueError, lambda: message.as_(messages.Position)))
        message.close()
        for _ in range(2):
            p.publish(p.acquire(), 1, 64)
        first, second = c.recv(1), c.recv(1)
        part = second.view[:1]
        refused = raises(BufferError, c.close) and first.view[0] >= 0
        part.release()
        view = first.view
        c.close()
        check("close_ends_all_messages_or_none", refused and dead(view) and raises(ValueError, lambda: second.view))
        c.close()
    with pair() as (p, c):
        p.publish(p.acquire(), 1, 8)
        message = c.recv(1)
        thread = threading.Thread(target=message.release)
        thread.start()
        thread.join()
        check("another_thread_may_release", free(p) == 2)


def inline_messages_end() -> None:
    with pair() as (p, c):
        for i in range(8):
            p.send(bytes([i] * 8))
        first = c.recv(1)
        view = first.view
        second = c.recv(1)
        check("the_next_receive_ends_an_inline_message", dead(view) and raises(ValueError, lambda: first.view) and
              raises(krepis.Error, first.release, errno.EPERM) and not first.in_buffer and second.view[0] == 1)
        part = second.view[2:]
        with krepis.WaitSet() as waiting:
            waiting.add(c)
            refused = [raises(BufferError, call) for call in (lambda: c.recv(1), c.try_recv, lambda: c.wait(1),
                                                              lambda: waiting.wait(1), lambda: next(iter(c)), c.close)]
            check("a_slice_of_it_is_in_the_way_of_all_that_receives", all(refused) and part[0] == 1, str(refused))
        del second
        check("also_when_only_the_slice_is_left", raises(BufferError, c.try_recv))
        del part
        check("nothing_was_lost_meanwhile", c.recv(1).view[0] == 2)
        view = (message := c.recv(1)).view
        c.wait(1)
        check("wait_ends_an_inline_message", dead(view))
        message = c.recv(1)
        view = message.view
        message.release()
        check("an_inline_message_can_be_released", dead(view) and raises(krepis.Error, message.release, errno.EPERM))
        message = c.recv(1)
        p.send(b"")
        for _ in range(2):
            c.recv(1)
        check("an_empty_message_has_a_view", len(c.recv(1).view) == 0 and c.try_recv() is None)


def loops_release() -> None:
    with pair() as (p, c):
        def two() -> None:
            for i in range(2):
                with p.acquire(1) as buffer:
                    buffer.view[0] = i
                    p.publish(buffer, 1, 8)

        two()
        seen = []
        for message in c:
            seen.append(message.view[0])
            if len(seen) == 2:
                break
        check("a_loop_releases_each_but_that_of_break", seen == [0, 1] and message.view[0] == 1 and free(p) == 1)
        del message
        check("and_that_with_its_variable", free(p) == 2)
        two()

        def keeps() -> None:
            for message in c:
                kept.append(message.view[:1])

        kept: list[memoryview] = []
        check("a_loop_that_keeps_a_slice_is_told", raises(BufferError, keeps) and len(kept) == 1)
        kept.clear()
        gc.collect()
        c.recv(1).release()
        two()
        for message in c:
            message.release()
            if free(p) == 2:
                break
        check("a_loop_may_release_itself", free(p) == 2)
        for i in range(3):
            p.send(b"x")
        p.close()
        check("a_loop_ends_with_the_producer", [bytes(m.view) for m in c] == [b"x"] * 3)


def garbage() -> None:
    channel = krepis.Channel.create(**SMALL)
    p, c = krepis.Producer(channel), krepis.Consumer(channel)
    p.acquire()
    check("a_dropped_buffer_goes_back", free(p) == 2)
    p.publish(p.acquire(), 1, 64)
    c.recv(1)
    check("a_dropped_message_is_released", free(p) == 2)
    p.publish(p.acquire(), 1, 64)
    part = c.recv(1).view[8:16]
    held = free(p) == 1
    del part
    check("a_slice_holds_it_as_long_as_it_lives", held and free(p) == 2)
    part = p.acquire().view[:8]
    part[:] = b"12345678"
    held = free(p) == 1
    del part
    check("so_does_one_of_a_buffer", held and free(p) == 2)
    with p.acquire() as buffer:
        buffer.view[:8] = b"abcdefgh"
        p.publish(buffer, 1, 8)
    view = c.recv(1).view
    del c
    check("a_view_keeps_the_consumer", bytes(view) == b"abcdefgh" and channel.query().live == 1)
    del view
    check("and_no_longer", channel.query().live == 0)
    c = krepis.Consumer(channel)
    p.send(b"inline")
    view = c.recv(1).view
    del c
    check("an_inline_view_keeps_it_too", bytes(view) == b"inline" and channel.query().live == 1)
    del view
    del p
    status = channel.query()
    check("dropped_endpoints_detach", (status.producer, status.live, status.deaths) == (0, 0, 0))

    class Ring:
        def __init__(self) -> None:
            self.consumer, self.producer = krepis.Consumer(channel), krepis.Producer(channel)
            self.producer.publish(self.producer.acquire(), 1, 8)
            self.part = self.consumer.recv(1).view[:4]
            self.me = self

    Ring()
    there = channel.query().live
    gc.collect()
    status = channel.query()
    check("so_do_those_in_a_cycle", there == 1 and (status.producer, status.live, status.deaths) == (0, 0, 0))
    before = len(os.listdir("/proc/self/fd"))
    krepis.Channel.create(**SMALL)
    krepis.WaitSet()
    check("dropped_channels_are_closed", len(os.listdir("/proc/self/fd")) == before)


# ---------------------------------------------------------------------- channels

def channels(work: Path) -> None:
    create = krepis.Channel.create
    check("an_unknown_option_is_refused", raises(TypeError, lambda: create(colour=1)))  # type: ignore[call-arg]
    for name, value in {"kind": 1 << 32, "flags": -1, "layout_id": 1 << 32, "ring_size": 1 << 64, "buffer_size": -4096,
                        "mode": 1 << 40}.items():
        check(f"{name}_that_does_not_fit_is_refused", raises(ValueError, lambda: create(**{name: value}), text=name))
    for name, value in {"kind": 3, "flags": 1 << 30, "backpressure": 3, "max_consumers": 33, "inline_max": 7,
                        "ring_size": 5000, "buffer_count": 65537}.items():
        check(f"{name}_out_of_range_is_refused", raises(krepis.Error, lambda: create(**{name: value})))
    check("a_path_with_a_zero_is_refused", raises(ValueError, lambda: create("a\0b")))
    check("a_channel_is_not_called", raises(TypeError, krepis.Channel))
    path = work / "channel"
    with create(path, layout_id=5, mode=0o640, **SMALL) as channel:
        check("a_name_is_made_once", raises(krepis.Error, lambda: create(path), errno.EEXIST, str(path)))
        with krepis.Channel.open(path, 5) as again, krepis.Channel.open(channel.fileno(), 5), \
                krepis.Channel.open(str(path)), krepis.Channel.open(os.fsencode(path)):
            g = again.query().geometry
            check("a_channel_has_its_shape", (g.ring_size, g.buffer_size, g.buffer_count, g.layout_id, g.kind) ==
                  (4096, 4096, 2, 5, krepis.RING) and path.stat().st_mode & 0o777 == 0o640 & ~0o022)
        check("the_status_is_told", channel.query().guarantee == krepis.COOPERATIVE)
        both = f"0x{5:08x}", f"0x{6:08x}"
        for name, where in {"by_name": path, "by_descriptor": channel.fileno()}.items():
            try:
                krepis.Channel.open(where, 6)
                check(f"another_layout_{name}_is_refused", False)
            except krepis.LayoutMismatch as e:
                check(f"another_layout_{name}_is_refused", e.errno == errno.EPROTO and
                      all(x in str(e) for x in both) and
                      (e.ours, e.theirs) == (6, 5), str(e))
        ours, theirs = socket.socketpair()
        with ours, theirs, create(layout_id=5) as nameless:
            nameless.pass_(ours)
            with krepis.Channel.receive(theirs, 5) as received:
                check("a_channel_is_passed", received.query().geometry.layout_id == 5)
            nameless.pass_(ours.fileno())
            check("another_layout_passed_is_refused", raises(
                krepis.LayoutMismatch, lambda: krepis.Channel.receive(theirs.fileno(), 6), text=both[0]))
            channel.pass_(ours)
            check("a_channel_with_a_name_is_not_received", raises(krepis.Error,
                                                                  lambda: krepis.Channel.receive(theirs), errno.EPERM))
            ours.send(b"x")
            check("what_is_no_channel_is_refused", raises(krepis.Error, lambda: krepis.Channel.receive(theirs),
                                                          errno.EBADMSG))
            theirs.setblocking(False)
            check("nothing_yet_is_told", raises(krepis.Timeout, lambda: krepis.Channel.receive(theirs), errno.EAGAIN))
            ours.close()
            check("a_closed_socket_is_told", raises(krepis.PeerGone, lambda: krepis.Channel.receive(theirs)))
        check("a_pass_to_nowhere_is_refused", raises(krepis.Error, lambda: channel.pass_(-1), errno.EBADF,
                                                     "descriptor"))
    check("a_closed_channel_is_refused", all(raises(ValueError, call) for call in (
        channel.query, channel.fileno, lambda: channel.pass_(0), lambda: krepis.Producer(channel))))
    channel.close()
    krepis.unlink(path)
    check("an_unlinked_one_is_gone", raises(krepis.Error, lambda: krepis.Channel.open(path), errno.ENOENT,
                                            str(path)) and
          raises(krepis.Error, lambda: krepis.unlink(path), errno.ENOENT))
    check("no_descriptor_is_refused", raises(krepis.Error, lambda: krepis.Channel.open(-1), errno.EBADF, "descriptor"))
    check("layouts_have_32_bits", raises(ValueError, lambda: krepis.Channel.open(path, 1 << 32)))
    path.write_bytes(bytes(8192))
    check("what_is_no_channel_is_told", raises(krepis.Error, lambda: krepis.Channel.open(path), errno.EMEDIUMTYPE))
    os.environ["KREPIS_DIR"] = str(work / "names")
    check("the_directory_is_told", krepis.directory() == str(work / "names"))
    with create("short", **SMALL):
        check("a_name_stands_there", (work / "names/short").exists())
    del os.environ["KREPIS_DIR"]
    with create(**SMALL) as channel, krepis.Consumer(channel) as c:
        code = "import krepis, sys\nwith krepis.Channel.open(int(sys.argv[1])) as a, \
            krepis.Producer(a) as p: p.send(b'hi', 9)"
        fd = channel.fileno()
        subprocess.run([sys.executable, "-c", code, str(fd)], pass_fds=[fd], check=True)
        message = c.recv(GIVEN_S)
        check("a_child_inherits_a_channel", (message.type, bytes(message.view)) == (9, b"hi"))


def endpoints() -> None:
    with krepis.Channel.create(max_consumers=1, **SMALL) as ring, krepis.Channel.create(kind=krepis.TRIPLE) as triple:
        for kind in (krepis.TripleProducer, krepis.TripleConsumer):
            check(f"no_{kind.__name__}_of_a_ring", raises(ValueError, lambda: kind(ring)))
        for other in (krepis.Producer, krepis.Consumer):
            check(f"no_{other.__name__}_of_a_triple", raises(ValueError, lambda: other(triple)))
        check("an_unknown_flag_is_refused", raises(krepis.Error, lambda: krepis.Producer(ring, 1 << 30), errno.EINVAL))
        with krepis.Producer(ring, krepis.NO_SPIN | krepis.NO_CACHE) as p, krepis.Consumer(ring) as c:
            check("there_is_one_producer", raises(krepis.Error, lambda: krepis.Producer(ring), errno.EBUSY))
            check("there_are_so_many_consumers", raises(krepis.Error, lambda: krepis.Consumer(ring), errno.EUSERS))
            p.wait_peer()
            c.wait_peer(1, 1)
            check("a_count_out_of_range_is_refused", raises(krepis.Error, lambda: p.wait_peer(0, 1), errno.EINVAL) and
                  raises(ValueError, lambda: p.wait_peer(-1)))
            p.wait(1)
            p.send(b"x")
            c.wait(1)
            check("messages_are_counted", (p.query().counters.messages, p.query().live) == (1, 1))
            check("drain_has_a_timeout", raises(krepis.Timeout, lambda: p.drain(0.01), errno.ETIMEDOUT))
            c.recv().release()
            p.drain(1)
            p.send(b"x")
            threading.Timer(0.05, c.close).start()
            check("drain_tells_who_went", raises(krepis.PeerGone, lambda: p.drain(GIVEN_S)))
        closed = [lambda: p.send(b""), lambda: p.try_send(b""), p.acquire, p.try_acquire, p.drain, p.wait, p.wait_peer,
                  p.fileno, p.query, p.shutdown, c.recv, c.try_recv, lambda: next(iter(c)), c.fileno]
        check("a_closed_endpoint_is_refused", all(raises(ValueError, call) for call in closed))
        p.close()


def sending() -> None:
    with pair() as (p, c):
        numbers = array.array("i", [1, 2, 3])
        likes = {"bytes": b"abc", "bytearray": bytearray(b"abc"), "memoryview": memoryview(b"abc"),
                 "strided": memoryview(b"a-b-c")[::2], "array": numbers, "empty": b""}
        for name, data in likes.items():
            p.send(data, 7, 1)
            message = c.recv(1)
            check(f"{name}_is_sent", bytes(message.view) == bytes(memoryview(data).tobytes()) and message.type == 7)
        p.send(messages.Position(time_ns=7, x=1.5, y=-2))
        message = c.recv(1)
        at = message.as_(messages.Position)
        message.release()
        check("a_packet_arrives_as_what_it_is", at is not None and (at.time_ns, at.x, at.y) == (7, 1.5, -2))
        p.send(messages.Position(), 8)
        check("another_number_is_not_taken_for_it", c.recv(1).as_(messages.Position) is None)
        p.send(b"short", 7)
        check("another_length_is_not_taken_for_it", c.recv(1).as_(messages.Position) is None)
        with p.acquire() as buffer:
            packet = messages.Everything.from_buffer(buffer.view)
            packet.ratio = 0.25
            del packet
            p.publish(buffer, messages.Everything.PACKET, ctypes.sizeof(messages.Everything))
        everything = c.recv(1).as_(messages.Everything)
        check("a_packet_is_filled_in_place", everything is not None and everything.ratio == 0.25)
        p.send(bytes(4000), 1)
        check("a_long_message_is_in_a_buffer", (message := c.recv(1)).in_buffer and message.length == 4000)
        del message
        check("a_message_too_long_is_refused", raises(krepis.Error, lambda: p.send(bytes(4097)), errno.EMSGSIZE) and
              raises(krepis.Error, lambda: p.try_send(bytes(4097)), errno.EMSGSIZE))
        check("what_is_no_bytes_is_refused", all(raises(TypeError, lambda: p.send(x)) for x in ("text", 5, None, [1])))
        check("a_type_out_of_range_is_refused", raises(ValueError, lambda: p.send(b"", 65536)) and
              raises(ValueError, lambda: p.try_send(b"", -1)) and raises(TypeError, lambda: p.send(b"", "x")))
        check("nothing_of_it_was_sent", c.try_recv() is None)
        p.send(b"a"), p.send(b"b")
        first, second = c.recv(1).sequence, c.recv(1).sequence
        check("sequences_grow", second > first)
        c.close()
        check("a_consumer_that_left_is_told", raises(krepis.PeerGone, lambda: p.send(b"x"), errno.EPIPE) and
              raises(BrokenPipeError, lambda: p.try_send(b"x")))
    with krepis.Channel.create(**SMALL) as channel, krepis.Producer(channel) as p:
        check("nobody_to_send_to_is_told", raises(krepis.Error, lambda: p.send(b"x"), errno.ENOTCONN))
    with pair(flags=krepis.F_NO_BUFFERS, buffer_size=0, buffer_count=0) as (p, c):
        check("without_buffers_none_is_acquired", raises(krepis.Error, p.acquire, errno.EOPNOTSUPP) and
              raises(krepis.Error, p.try_acquire, errno.EOPNOTSUPP))
    check("crc32c_is_that_of_rfc_3720", krepis.crc32c(b"123456789") == 0xe3069283 and
          krepis.crc32c(memoryview(b"6789"), krepis.crc32c(b"12345")) == 0xe3069283 and
          raises(ValueError, lambda: krepis.crc32c(b"", -1)))


def waiting() -> None:
    with pair() as (p, c):
        begin = time.monotonic()
        late = raises(krepis.Timeout, lambda: c.recv(0.05), errno.ETIMEDOUT) and \
            raises(TimeoutError, lambda: c.wait(0.05))
        took = time.monotonic() - begin
        check("a_timeout_is_kept", late and 0.1 <= took < 5, str(took))
        check("a_timeout_of_0_is_now", raises(krepis.Timeout, lambda: c.recv(0), errno.EAGAIN) and c.try_recv() is None)
        check("a_timeout_less_than_0_is_refused", raises(ValueError, lambda: c.recv(-1)) and
              raises(ValueError, lambda: c.recv(math.nan)) and raises(TypeError, lambda: c.recv("1")))
        p.send(b"x")
        check("for_ever_is_inf_too", c.recv(math.inf).length == 1)
        held = [p.acquire(1), p.acquire(1)]
        check("no_buffer_in_time_is_told", raises(krepis.Timeout, lambda: p.acquire(0.01)) and p.try_acquire() is None)
        held.clear()
        threading.Timer(0.05, lambda: p.send(b"late")).start()
        check("other_threads_run_during_a_wait", bytes(c.recv(GIVEN_S).view) == b"late")
    with pair(backpressure=krepis.FAIL) as (p, c):
        n = 0
        while p.try_send(bytes(64)):
            n += 1
        check("there_is_no_room_now", n > 10 and raises(krepis.Timeout, lambda: p.send(bytes(64)), errno.EAGAIN))
    with pair() as (p, c):
        while p.try_send(bytes(64)):
            pass
        check("room_is_waited_for_in_time", raises(krepis.Timeout, lambda: p.send(bytes(64), timeout=0.01)) and
              raises(krepis.Timeout, lambda: p.wait(0.01)))
    with pair(backpressure=krepis.OVERWRITE, inline_max=64) as (p, c):
        for i in range(1000):
            p.send(i.to_bytes(8, "little"))
        try:
            c.recv(1)
            check("a_lapped_consumer_is_told", False)
        except krepis.Lapped as e:
            next_one = int.from_bytes(c.recv(1).view, "little")
            check("a_lapped_consumer_is_told", e.lost == next_one > 0 and e.errno == errno.EOVERFLOW, f"{e} {next_one}")
    with pair() as (p, c):
        threading.Timer(0.05, c.shutdown).start()
        check("shutdown_ends_a_wait", raises(krepis.Error, lambda: c.recv(GIVEN_S), errno.ESHUTDOWN))
        check("shutdown_ends_a_loop", list(c) == [])
        p.shutdown()
        check("shutdown_ends_sends", raises(krepis.Error, lambda: p.send(b"x"), errno.ESHUTDOWN) and
              raises(krepis.Error, lambda: p.wait_peer(2), errno.ESHUTDOWN))


class Rang(Exception):
    """What a handler raises."""


def signals() -> None:
    """Of Ctrl-C nothing but the handler is special."""
    with pair() as (p, c), pair() as (full, reader), krepis.Channel.create(**SMALL) as alone, krepis.WaitSet() as idle:
        held = [p.acquire(), p.acquire()]
        p.wait_peer()
        full.send(b"x")
        while full.try_send(bytes(64)):
            pass
        idle.add(c)
        with krepis.Producer(alone) as nobody:
            waits = {"recv": c.recv, "wait": c.wait, "next": lambda: next(iter(c)), "acquire": p.acquire,
                     "drain": full.drain,
                     "send": lambda: full.send(bytes(64)), "wait_peer": nobody.wait_peer, "a_wait_set": idle.wait}

            def ring(number: int, frame: Any) -> None:
                nonlocal rings
                rings += 1
                if rings == 3:
                    signal.setitimer(signal.ITIMER_REAL, 0)
                    raise Rang

            before = signal.signal(signal.SIGALRM, ring)
            for name, call in waits.items():
                rings = 0
                signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
                check(f"a_signal_handler_runs_in_{name}", raises(Rang, call) and rings == 3)
            signal.signal(signal.SIGALRM, before)
        del held, reader
    code = "import krepis\na = krepis.Channel.create()\nc = krepis.Consumer(a)\nprint('here', flush=True)\nc.recv()"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout
    child.stdout.readline()
    time.sleep(0.2)
    child.send_signal(signal.SIGINT)
    try:
        _, error = child.communicate(timeout=GIVEN_S)
    except subprocess.TimeoutExpired:
        child.kill()
        _, error = child.communicate()
    check("ctrl_c_ends_a_wait", child.returncode == -signal.SIGINT and "KeyboardInterrupt" in error, error)


@contextlib.contextmanager
def interrupted(name: str, begins: bool = False) -> Iterator[None]:
    """A signal handler that raises right behind the call, or before it."""
    library = krepis.Channel.create.__func__.__globals__["C"]  # type: ignore[attr-defined]
    real = getattr(library, name)

    def call(*arguments: Any) -> int:
        if not begins:
            real(*arguments)
        raise Rang

    setattr(library, name, call)
    try:
        yield
    finally:
        setattr(library, name, real)


def late_signals() -> None:
    with pair() as (p, c):
        with interrupted("krepis_acquire"):
            rang = raises(Rang, p.acquire)
        check("a_signal_after_acquire_loses_no_buffer", rang and free(p) == 2)
        buffer = p.acquire()
        view = buffer.view
        with interrupted("krepis_publish", begins=True):
            rang = raises(Rang, lambda: p.publish(buffer, 1, 8))
        view[0] = 9
        check("a_signal_before_publish_leaves_it_ours", rang and buffer.view is view)
        with interrupted("krepis_publish"):
            rang = raises(Rang, lambda: p.publish(buffer, 1, 8))
        check("a_signal_after_publish_does_not", rang and dead(view) and
              raises(krepis.Error, buffer.abandon, errno.EPERM))
        p.send(b"inline")
        with interrupted("krepis_recv"):
            rang = raises(Rang, lambda: c.recv(1))
        message = c.recv(1)
        check("a_signal_after_recv_loses_no_message", rang and message.view[0] == 9)
        view = message.view
        with interrupted("krepis_release"):
            rang = raises(Rang, message.release)
        check("a_signal_after_release_leaves_no_view", rang and dead(view) and free(p) == 2)
        with interrupted("krepis_recv"):
            rang = raises(Rang, c.try_recv)
        with krepis.WaitSet() as s:
            s.add(c)
            c.wait(0)
            told = s.wait(0)
        check("nor_one_that_is_inline", rang and told == [(c, None, None)] and bytes(c.recv(1).view) == b"inline" and
              c.try_recv() is None)
        p.send(b"inline")
        with interrupted("krepis_recv"):
            rang = raises(Rang, lambda: c.recv(1))
        check("in_a_child_it_is_lost", rang and child(lambda: raises(krepis.Error, c.try_recv, errno.EBADF)))
        c.close()
        check("and_after_close", raises(ValueError, c.try_recv))
    with krepis.Channel.create(kind=krepis.TRIPLE) as channel, krepis.TripleProducer(channel) as t:
        view = t.begin()
        with interrupted("krepis_triple_commit"):
            check("a_signal_after_commit_leaves_no_view", raises(Rang, lambda: t.commit(1, 8)) and dead(view))


def verifying() -> None:
    with krepis.Channel.create(**SMALL) as channel, krepis.Producer(channel) as p, krepis.Consumer(channel) as c:
        secret = b"found by a peer that writes where it should not"
        for number in range(2):
            with p.acquire() as buffer:
                buffer.view[:len(secret)] = secret
                p.publish(buffer, 1, len(secret), crc=number == 0)
        first, second = c.recv(1), c.recv(1)
        check("what_is_right_is_verified", first.verify())
        check("without_a_checksum_nothing_is_verified", raises(krepis.Error, second.verify, errno.ENODATA))
        with mmap.mmap(channel.fileno(), 0) as whole:
            at = whole.find(secret)
            while at >= 0:
                whole[at] = 0
                at = whole.find(secret, at + 1)
        check("what_was_changed_is_not", not first.verify())


# ------------------------------------------------------------ triples, wait sets

def triples() -> None:
    with krepis.Channel.create(kind=krepis.TRIPLE, buffer_size=4096) as channel, \
            krepis.TripleProducer(channel) as p, krepis.TripleConsumer(channel) as c:
        check("nothing_was_published", c.read() is None)
        p.write(messages.Position(time_ns=1))
        p.write(messages.Position(time_ns=2))
        value = c.read()
        assert value
        at = value.as_(messages.Position)
        check("the_latest_value_is_read", value.fresh and at is not None and at.time_ns == 2)
        view = value.view
        again = c.read()
        check("the_next_read_ends_it", dead(view) and again is not None and not again.fresh and again.length == 16 and
              raises(krepis.Error, value.release, errno.EPERM))
        assert again
        part = again.view[:8]
        check("a_slice_is_in_the_way_of_read", raises(BufferError, c.read) and raises(BufferError, c.close))
        part.release()
        view = again.view
        again.release()
        check("a_value_may_be_released", dead(view))
        view = p.begin()
        check("begin_is_the_same_until_commit", p.begin() is view and len(view) == 4096)
        for name, (look, stop) in LOOKS.items():
            view = p.begin()
            x = look(view)
            refused = raises(BufferError, lambda: p.commit(3, 8))
            view[:8] = name[:8].ljust(8).encode()
            stop(x)
            p.commit(3, 8)
            got = c.read()
            assert got
            check(f"{name}_is_in_the_way_of_commit", refused and dead(view) and
                  bytes(got.view) == name[:8].ljust(8).encode())
        check("commit_is_refused_without_begin", raises(krepis.Error, lambda: p.commit(1, 1), errno.EINVAL))
        view = p.begin()
        check("a_value_too_long_is_refused", raises(krepis.Error, lambda: p.commit(1, 4097), errno.EMSGSIZE) and
              raises(krepis.Error, lambda: p.write(bytes(4097)), errno.EMSGSIZE) and
              raises(krepis.Error, lambda: p.write(bytes(1 << 26)), errno.EMSGSIZE) and \
                  raises(ValueError, lambda: p.commit(1, -1)))
        view[0] = 0
        part = view[1:2]
        del view
        check("slices_alone_are_not_forgotten", raises(BufferError, p.begin) and
              raises(BufferError, lambda: p.write(b"x")))
        del part
        p.write(b"x", 4)
        c.wait(1)
        got = c.read()
        assert got
        view = got.view
        check("wait_tells_a_fresh_value", raises(krepis.Timeout, lambda: c.wait(0.01)) and bytes(view) == b"x")
        p.close()
        check("what_was_written_stays", bytes(view) == b"x" and c.read() is not None and
              raises(krepis.PeerGone, lambda: c.wait(1)))


def wait_sets() -> None:
    with pair() as (p, c), pair() as (q, d), krepis.WaitSet() as s:
        s.add(c, "c")
        s.add(d, ["d"])
        check("a_member_is_added_once", raises(krepis.Error, lambda: s.add(c), errno.EEXIST))
        check("a_set_has_a_timeout", raises(krepis.Timeout, lambda: s.wait(0.01)) and
              raises(krepis.Timeout, lambda: s.wait(0)))
        q.send(b"x")
        ready = s.wait(1)
        check("who_is_ready_is_told", len(ready) == 1 and ready[0] == (d, ["d"], None) and s.wait(1)[0].endpoint is d)
        check("its_descriptor_is_readable", select.select([s], [], [], GIVEN_S)[0] == [s])
        d.recv(1).release()
        threading.Timer(0.05, s.interrupt).start()
        check("interrupt_ends_a_wait", s.wait(GIVEN_S) == [])
        p.close()
        ready = s.wait(1)
        check("a_peer_that_left_is_told", [r.endpoint for r in ready] == [c] and
              isinstance(ready[0].error, krepis.PeerGone))
        s.remove(c)
        check("a_member_is_removed_once", raises(krepis.Error, lambda: s.remove(c), errno.ENOENT))
        check("a_count_of_0_is_refused", raises(krepis.Error, lambda: s.wait(1, 0), errno.EINVAL) and
              raises(ValueError, lambda: s.wait(1, -1)))
        d.close()
        check("a_closed_endpoint_leaves_the_set", raises(krepis.Timeout, lambda: s.wait(0.01)) and
              raises(ValueError, lambda: s.remove(d)) and raises(ValueError, lambda: s.add(d)))
    with pair() as (p, c), pair() as (q, d), krepis.WaitSet() as two:
        two.add(c)
        two.add(d)
        p.send(b"first")
        q.send(b"second")
        first, second = c.recv(1).view, d.recv(1).view
        part = second[1:]
        p.send(b"next")
        check("a_wait_ends_all_inline_messages_or_none", raises(BufferError, lambda: two.wait(1)) and
              bytes(first) == b"first")
        part.release()
        check("a_wait_ends_inline_messages", len(two.wait(1)) == 1 and dead(first) and dead(second))
    s.close()
    check("a_closed_set_is_refused", all(raises(ValueError, call) for call in (s.wait, s.interrupt, s.fileno,
                                                                               lambda: s.add(q), lambda: s.remove(q))))


def loops_of_events() -> None:
    with pair() as (p, c):
        with select.epoll() as poll:
            poll.register(c, select.EPOLLIN)
            quiet = poll.poll(0.05)
            p.send(b"x")
            check("a_descriptor_is_polled", quiet == [] and poll.poll(GIVEN_S) == [(c.fileno(), select.EPOLLIN)])
            c.recv(1).release()
            check("until_there_is_nothing", c.try_recv() is None and poll.poll(0.05) == [])

    async def reads(c: krepis.Consumer, seen: list[bytes]) -> None:
        async for message in c:
            seen.append(bytes(message.view))

    async def main() -> None:
        with krepis.Channel.create(**SMALL) as channel:
            p, c = krepis.Producer(channel), krepis.Consumer(channel)
            seen: list[bytes] = []
            task = asyncio.create_task(reads(c, seen))
            for i in range(5):
                await asyncio.sleep(0.01)
                check(f"the_loop_is_not_blocked_{i}", len(seen) == i, str(seen))
                p.send(bytes([i]))
            await asyncio.sleep(0.05)
            other = asyncio.create_task(reads(c, []))
            done, _ = await asyncio.wait([other], timeout=1)
            check("one_task_waits", done == {other} and isinstance(other.exception(), RuntimeError))
            p.close()
            await asyncio.wait_for(task, GIVEN_S)
            check("async_for_ends_with_the_producer", seen == [bytes([i]) for i in range(5)])
            with krepis.Producer(channel) as p:
                task = asyncio.create_task(reads(c, seen))
                await asyncio.sleep(0.05)
                task.cancel()
                await asyncio.wait([task])
                p.send(b"after")
                check("a_cancelled_task_took_nothing", task.cancelled() and bytes(c.recv(1).view) == b"after")
                task = asyncio.create_task(reads(c, seen))
                await asyncio.sleep(0.05)
                c.shutdown()
                await asyncio.wait_for(task, GIVEN_S)
                check("async_for_ends_by_shutdown", True)
                c.close()
            p, c = krepis.Producer(channel), krepis.Consumer(channel)
            ticks = 0

            async def endless() -> None:
                p.send(b"x")
                async for _ in c:
                    p.send(b"x")

            task = asyncio.create_task(endless())
            for _ in range(10):
                await asyncio.sleep(0)
                ticks += 1
            task.cancel()
            await asyncio.wait([task])
            check("others_have_their_turn", ticks == 10)
            p.close()
            c.close()

    asyncio.run(asyncio.wait_for(main(), 4 * GIVEN_S))


# --------------------------------------------------------------------- processes

def child(function: Callable[[], bool]) -> bool:
    """Whether it says yes, in a forked child."""
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        status = 1
        try:
            status = 0 if function() else 1
        finally:
            sys.stdout.flush()
            os._exit(status)
    return os.waitpid(pid, 0)[1] == 0


def forks() -> None:
    with pair() as (p, c), pair() as (q, d), krepis.WaitSet() as s:
        p.publish(p.acquire(), 1, 64)
        buffer, message = p.acquire(), c.recv(1)
        view, seen = buffer.view, message.view
        view[0], kept = 1, seen[:0]
        q.send(b"inline")
        inline = d.recv(1).view
        s.add(c)
        kept.release()

        def in_child() -> bool:
            calls = [lambda: p.send(b"x"), p.acquire, lambda: c.recv(0), c.wait, p.drain, c.wait_peer, c.fileno,
                     lambda: p.publish(buffer, 1, 1), buffer.abandon, message.release, lambda: s.wait(0), \
                         lambda: next(iter(c))]
            good = [raises(krepis.Error, call, errno.EBADF, "parent") for call in calls]
            good += [dead(view), dead(seen), dead(inline), raises(ValueError, message.verify)]
            for thing in (buffer, message, s, p, c, q, d):
                thing.close()
            if not all(good):
                print("#", good)
            return all(good)

        check("after_fork_errors_are_clear", child(in_child))
        view[1] = 2
        p.publish(buffer, 1, 2)
        with c.recv(1) as other:
            check("the_parent_goes_on", bytes(other.view) == b"\1\2" and seen[0] >= 0 and bytes(inline) == b"inline" and
                  p.query().deaths == 0)
        del seen, inline
        message.release()

        def attaches() -> bool:
            with krepis.Channel.create(**SMALL) as mine, krepis.Producer(mine) as a, krepis.Consumer(mine) as b:
                a.send(b"x")
                return bytes(b.recv(1).view) == b"x"

        check("the_child_may_attach_itself", child(attaches))


def deaths(work: Path) -> None:
    head = "import krepis, sys\na = krepis.Channel.open(sys.argv[1])\n"
    codes = {
        "producer": "with krepis.Producer(a) as p:\n p.wait_peer()\n while True: p.send(b'x', timeout=60)",
        "consumer": "with krepis.Consumer(a) as c:\n for m in c: pass",
        "holder": "c = krepis.Consumer(a)\nm = [c.recv(60), c.recv(60)]\nimport time\ntime.sleep(60)",
    }
    for name, code in codes.items():
        path = work / f"death-{name}"
        with krepis.Channel.create(path, **SMALL) as channel:
            victim = subprocess.Popen([sys.executable, "-c", head + code, path])
            begin = 0.0
            try:
                if name == "producer":
                    with krepis.Consumer(channel) as c:
                        for n, _ in enumerate(c):
                            if n == 1000:
                                victim.kill()
                                begin = time.monotonic()
                        check("the_death_of_a_producer_ends_a_loop", n >= 1000)
                        check("recv_names_it", raises(krepis.PeerGone, lambda: c.recv(1)))
                else:
                    with krepis.Producer(channel) as p:
                        p.wait_peer(timeout=GIVEN_S)
                        for _ in range(2):
                            p.publish(p.acquire(GIVEN_S), 1, 8)
                        if name == "holder":
                            time.sleep(0.3)
                        victim.kill()
                        begin = time.monotonic()

                        def goes_on() -> None:
                            while True:
                                p.send(b"x", timeout=GIVEN_S)

                        check(f"the_death_of_a_{name}_is_told", raises(krepis.PeerGone, goes_on))
                        held = [p.acquire(GIVEN_S), p.acquire(GIVEN_S)]
                        check(f"what_a_dead_{name}_held_is_back", len(held) == 2)
            finally:
                victim.kill()
                victim.wait()
            status = channel.query()
            check(f"a_{name}_that_died_is_counted", status.deaths == 1 and
                  status.producer_deaths == (name == "producer") and
                  time.monotonic() - begin < GIVEN_S)


def imports(library: str, path: str = str(PACKAGE)) -> str:
    """What the import says; nothing: it succeeds."""
    done = subprocess.run([sys.executable, "-c", "import krepis; print(krepis.__version__)"], capture_output=True,
                          text=True,
                          env={**os.environ, "KREPIS_LIBRARY": library, "PYTHONPATH": path})
    return done.stderr.strip().splitlines()[-1] if done.returncode else ""


def versions(work: Path) -> None:
    major, minor, patch = VERSION.split(".")
    others = {"newer": f"{major}.{minor}.{int(patch) + 1}", "ten_newer": f"{major}.{int(minor) + 10}.0",
              "older": "0.0.9"}
    for name, version in others.items():
        library = work / f"{name}.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", library], check=True, text=True,
                       input=f'const char *krepis_version(void) {{ return "{version}"; }}')
        said = imports(str(library))
        older = "this package is older" if "newer" in name else "the library is older"
        wanted = version if "newer" in name else VERSION
        check(f"a_library_that_is_{name}_is_refused", said.startswith("ImportError") and older in said and
              version in said and
              VERSION in said and "install" in said and said.endswith(wanted), said)
    shutil.copytree(PACKAGE / "krepis", work / "later/krepis", ignore=shutil.ignore_patterns("__pycache__"))
    (work / "later/krepis/_version.py").write_text('VERSION = "0.10.0"\n')
    said = imports(str(work / "older.so"), str(work / "later"))
    check("nine_is_less_than_ten", "the library is older" in said, said)
    none = work / "none.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "/dev/null", "-o", none], check=True)
    check("another_library_is_refused", "another library" in (said := imports(str(none))) and
          "ImportError" in said, said)
    check("no_library_is_told", "KREPIS_LIBRARY" in (said := imports("/nowhere/libkrepis.so")) and
          "ImportError" in said, said)
    check("the_right_one_is_taken", imports(os.environ["KREPIS_LIBRARY"]) == "" and krepis.__version__ == VERSION)


# ------------------------------------------------------------------------ source

def everything_is_explained() -> None:
    """Whether public functions have docstrings, with all parameters in them."""
    bare = []
    for name in krepis.__all__:
        thing = getattr(krepis, name)
        members = inspect.getmembers(thing) if inspect.isclass(thing) and \
            not issubclass(thing, ctypes.Structure) else []
        functions = [(f"{name}.{n}", f) for n, f in members if (inspect.isroutine(f) or isinstance(f, property)) and
                     not n.startswith("_") and "krepis" in (getattr(f, "__module__", None) or "krepis") and
                     n not in dir(OSError) and n not in dir(tuple)]
        if inspect.isroutine(thing) or inspect.isclass(thing):
            functions.append((name, thing))
        for full, f in functions:
            doc = inspect.getdoc(f) or ""
            if not doc or inspect.isroutine(f) and "timeout" in inspect.signature(f).parameters and \
                "seconds" not in doc:
                bare.append(full)
    check("everything_is_explained", not bare, str(bare))


def the_document_is_right() -> None:
    text = (ROOT / "Documentation/bindings/python.md").read_text(encoding="utf-8")
    program, _, prints = text.partition("```python\n")[2].partition("```")
    wanted = "".join(line[4:] + "\n" for line in prints.splitlines() if line.startswith("    "))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=GIVEN_S)
    check("the_program_of_the_document_runs", done.returncode == 0 and done.stdout != "" and
          wanted.startswith(done.stdout), done.stdout + done.stderr)
    missing = [name for kind in (krepis.Channel, krepis.Producer, krepis.Consumer, krepis.TripleProducer,
                                 krepis.TripleConsumer, krepis.Buffer, krepis.Message, krepis.WaitSet)
               for name in dir(kind) if not name.startswith("_") and f"`{name}" not in text.replace(".", "`")]
    check("the_document_names_all_methods", not missing, str(missing))


def types() -> None:
    if not shutil.which("mypy"):
        skip("mypy_finds_nothing", "no mypy here (Debian: mypy)")
        return
    with tempfile.TemporaryDirectory() as cache:
        done = subprocess.run(["mypy", "--strict", "--cache-dir", cache, "-p", "krepis"], cwd=PACKAGE,
                              capture_output=True,
                              text=True)
    check("mypy_finds_nothing", not done.returncode, done.stdout + done.stderr)


def main() -> int:
    global messages
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="krepis-python.") as name:
        work = Path(name)
        done = tap.codegen(ROOT / "tests/codegen/messages.h", "-l", "python", "-o", work / "messages.py")
        check("messages_are_made", not done.returncode, done.stderr)
        sys.path.insert(0, name)
        import messages
        for part in (buffers_have_one_owner, numpy_is_counted, buffers_are_given_once, publish_is_refused,
                     messages_have_one_owner, inline_messages_end, loops_release, garbage, endpoints, sending, waiting,
                     signals, late_signals, verifying, triples, wait_sets, loops_of_events, forks,
                     everything_is_explained, the_document_is_right, types):
            part()
        for with_files in (channels, deaths, versions):
            with_files(work)
    return tap.end()


if __name__ == "__main__":
    sys.exit(main())
