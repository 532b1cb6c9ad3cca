#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The Python peer: see ../README.md. PYTHONPATH has krepis, and sample.py of krepis-codegen."""

import ctypes
import sys
import time

import krepis
import sample
from sample import Sample, SampleKind

TAIL = 4096
TAILS = bytes(range(256)) * (TAIL // 256 + 1)
SIZE = ctypes.sizeof(Sample)
PATIENCE_S = 60
KINDS = {"ring": SampleKind.RING, "buffer": SampleKind.BUFFER, "triple": SampleKind.TRIPLE}


class Wrong(Exception):
    """A message is not what it should be."""


def expected(n: int, kind: SampleKind) -> Sample:
    flags = (sample.SampleFlags.ODD if n % 2 else 0) | (0 if n % 3 else sample.SampleFlags.THIRD)
    s = Sample(sequence=n, half=n / 2, negative=-(n % 1000), kind=kind, flags=flags,
               small=tuple(n * i & 0xffff for i in range(1, 5)), name=b"s%d" % (n % 10000000))
    s.crc = krepis.crc32c(memoryview(s).cast("B")[:Sample.crc.offset])
    return s


def tail(n: int) -> bytes:
    return TAILS[n % 256:n % 256 + TAIL]


class Peer:
    def __init__(self, kind: str, count: int) -> None:
        self.kind, self.count, self.done = KINDS[kind], count, 0

    def more(self) -> bool:
        return not self.count or self.done < self.count

    def fill(self, view: memoryview) -> int:
        view[:SIZE] = memoryview(expected(self.done, self.kind)).cast("B")
        view[SIZE:SIZE + TAIL] = tail(self.done)
        return SIZE + TAIL

    def produce(self, channel: krepis.Channel) -> None:
        if self.kind == SampleKind.TRIPLE:
            return self.produce_values(channel)
        with krepis.Producer(channel) as producer:
            producer.wait_peer(timeout=PATIENCE_S)
            while self.more():
                if self.kind == SampleKind.RING:
                    producer.send(expected(self.done, self.kind))
                else:
                    with producer.acquire() as buffer:
                        producer.publish(buffer, Sample.PACKET, self.fill(buffer.view), crc=True)
                self.done += 1
            try:
                producer.drain(PATIENCE_S)
            except krepis.PeerGone:
                pass  # who has all of it may leave

    def produce_values(self, channel: krepis.Channel) -> None:
        with krepis.TripleProducer(channel) as producer:
            producer.wait_peer(timeout=PATIENCE_S)
            while self.more():
                producer.commit(Sample.PACKET, self.fill(producer.begin()))
                self.done += 1
            end = time.monotonic() + PATIENCE_S
            while producer.query().live:
                if time.monotonic() > end:
                    raise Wrong("the consumer does not leave")
                time.sleep(0.001)

    def consume(self, channel: krepis.Channel) -> None:
        if self.kind == SampleKind.TRIPLE:
            return self.consume_values(channel)
        with krepis.Consumer(channel) as consumer:
            while self.more():
                with consumer.recv() as message:
                    self.check(message)
                    if self.kind == SampleKind.BUFFER and not message.verify():
                        raise Wrong(f"the checksum of {self.done} is wrong")

    def consume_values(self, channel: krepis.Channel) -> None:
        with krepis.TripleConsumer(channel) as consumer:
            while self.more():
                consumer.wait()
                value = consumer.read()
                if value is None:
                    raise Wrong("a fresh value that is not there")
                self.check(value)

    def check(self, message: krepis.Message) -> None:
        """Notes what is to come next; of a triple, at the least."""
        got = bytes(message.view)
        n = Sample.from_buffer_copy(got).sequence if len(got) >= SIZE else -1
        behind = b"" if self.kind == SampleKind.RING else tail(n)
        ordered = n + 1 >= self.done if self.kind == SampleKind.TRIPLE else n == self.done
        if message.type != Sample.PACKET or not ordered or got != bytes(expected(n, self.kind)) + behind:
            raise Wrong(f"a wrong message instead of {self.done}")
        self.done = n + 1


def main() -> int:
    if len(sys.argv) != 5 or sys.argv[1] not in ("produce", "consume") or sys.argv[2] not in KINDS or \
            not sys.argv[4].isdigit():
        print("usage: peer produce|consume ring|buffer|triple CHANNEL COUNT", file=sys.stderr)
        return 1
    role, kind, path, count = sys.argv[1:]
    peer = Peer(kind, int(count))
    try:
        with krepis.Channel.open(path, sample.LAYOUT_ID) as channel:
            peer.produce(channel) if role == "produce" else peer.consume(channel)
    except krepis.PeerGone:
        print(f"gone after {peer.done}", file=sys.stderr)
        return 3
    except krepis.LayoutMismatch as e:
        print(e, file=sys.stderr)
        return 4
    except (krepis.Error, Wrong) as e:
        print(e, file=sys.stderr)
        return 1
    print(f"ok {count}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
