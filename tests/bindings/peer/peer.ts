// SPDX-License-Identifier: MIT
// The TypeScript peer, for Deno, Bun and Node: see ../README.md.
import process from "node:process";
import {
  Channel,
  Consumer,
  crc32c,
  KREPIS_MSG_CRC32C,
  LayoutMismatch,
  PeerGone,
  Producer,
  TripleConsumer,
  TripleProducer,
} from "../../bindings/typescript/index.js";
import { layoutId, Sample, SampleFlags } from "./sample.js";

const TAIL = 4096; // bytes behind the sample in a buffer
const PATIENCE_MS = 60000;
const KINDS = ["", "ring", "buffer", "triple"];
const [RING, BUFFER, TRIPLE] = [1, 2, 3];

let kind = 0;
let count = 0;
let done = 0; // messages

const more = () => count === 0 || done < count;

/** One for all: what it was is overwritten. */
const expected = new Sample(new DataView(new ArrayBuffer(Sample.size)));
const expectedBytes = new Uint8Array(expected.view.buffer as ArrayBuffer);
const expectedSmall = expected.small;
const summed = expectedBytes.subarray(0, Sample.offsets.crc);

function expect(n: number): void {
  expected.sequence = BigInt(n);
  expected.half = n / 2;
  expected.negative = -(n % 1000);
  expected.kind = kind;
  expected.flags = (n % 2 ? SampleFlags.ODD : 0) | (n % 3 ? 0 : SampleFlags.THIRD);
  for (let i = 0; i < 4; i++) expectedSmall[i] = n * (i + 1);
  expected.name = `s${n % 10000000}`;
  expected.crc = crc32c(summed);
}

function fill(room: Uint8Array, n: number): number {
  expect(n);
  room.set(expectedBytes);
  for (let i = 0; i < TAIL; i++) room[Sample.size + i] = n + i;
  return Sample.size + TAIL;
}

function check(bytes: Uint8Array, type: number): void {
  if (type !== Sample.packet || bytes.length !== Sample.size + (kind === RING ? 0 : TAIL))
    throw new Error(`type ${type} and ${bytes.length} bytes`);
  const n = Number(new Sample(new DataView(bytes.buffer, bytes.byteOffset, bytes.length)).sequence);
  expect(n);
  for (let i = 0; i < Sample.size; i++)
    if (bytes[i] !== expectedBytes[i]) throw new Error(`byte ${i} of ${n} is wrong`);
  for (let i = Sample.size; i < bytes.length; i++)
    if (bytes[i] !== ((n + i - Sample.size) & 0xff)) throw new Error(`byte ${i} of ${n} is wrong`);
  if (kind === TRIPLE ? n + 1 < done : n !== done) throw new Error(`${n} instead of ${done}`);
  done = n + 1;
}

async function produce(channel: Channel): Promise<void> {
  using producer = new Producer(channel);
  await producer.peer(1, PATIENCE_MS);
  for (; more(); done++) {
    if (kind === RING) {
      expect(done);
      producer.send(Sample.packet, expectedBytes);
    } else {
      using buffer = producer.acquire();
      producer.publish(buffer, Sample.packet, fill(buffer.bytes, done), KREPIS_MSG_CRC32C);
    }
  }
  try {
    await producer.drained(PATIENCE_MS);
  } catch (e) {
    if (!(e instanceof PeerGone)) throw e; // who has all of it may leave
  }
}

async function produceValues(channel: Channel): Promise<void> {
  using producer = new TripleProducer(channel);
  await producer.peer(1, PATIENCE_MS);
  for (; more(); done++) {
    const length = fill(producer.begin().bytes, done);
    producer.commit(Sample.packet, length);
  }
  for (const end = Date.now() + PATIENCE_MS; producer.query().live; ) {
    if (Date.now() > end) throw new Error("the consumer does not leave");
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

async function consume(channel: Channel): Promise<void> {
  using consumer = new Consumer(channel);
  while (more()) {
    using message = await consumer.next();
    if (!message) return gone();
    check(message.bytes, message.type);
    if (kind === BUFFER && !message.verify()) throw new Error(`the checksum of ${done - 1} is wrong`);
  }
}

async function consumeValues(channel: Channel): Promise<void> {
  using consumer = new TripleConsumer(channel);
  while (more()) {
    consumer.wait();
    const value = consumer.read();
    if (value) check(value.bytes, value.type);
  }
}

function gone(): void {
  console.error(`gone after ${done}`);
  process.exitCode = 3;
}

async function main([role, kindName, path, countText]: string[]): Promise<void> {
  kind = KINDS.indexOf(kindName ?? "?");
  count = Number(countText);
  if ((role !== "produce" && role !== "consume") || kind < 1 || !path || !Number.isInteger(count))
    throw new Error("usage: peer produce|consume ring|buffer|triple CHANNEL COUNT");
  using channel = Channel.open(path, { layoutId });
  if (role === "produce") await (kind === TRIPLE ? produceValues : produce)(channel);
  else await (kind === TRIPLE ? consumeValues : consume)(channel);
}

try {
  await main(process.argv.slice(2));
  if (!process.exitCode) console.log(`ok ${count}`);
} catch (e) {
  if (e instanceof PeerGone) {
    gone();
  } else {
    console.error((e as Error).message);
    process.exitCode = e instanceof LayoutMismatch ? 4 : 1;
  }
}
