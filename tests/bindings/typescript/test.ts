// SPDX-License-Identifier: MIT
// One program for Deno, Bun and Node: every method, one wrong argument each, and what views do at their end. TAP.
// test.js DIRECTORY PEER KREPIS FD FD: a new directory on tmpfs; the C peer; the command krepis;
// a pair of UNIX sockets: the second one has a byte to read
import { spawn } from "node:child_process";
import { closeSync, openSync, writeFileSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
import process from "node:process";
import { Worker } from "node:worker_threads";
import {
  type Buffer,
  Channel,
  type ChannelOptions,
  Consumer,
  crc32c,
  KREPIS_MSG_CRC32C,
  KrepisError,
  Lapped,
  LayoutMismatch,
  type Message,
  PeerGone,
  Producer,
  spawnPlugin,
  TimedOut,
  TripleConsumer,
  TripleProducer,
  type View,
  WaitSet,
} from "../../bindings/typescript/index.js";
import { layoutId, Sample } from "./sample.js";

const [directory, peer, krepis, ...ends] = process.argv.slice(2) as [string, string, string, string, string];
const small: ChannelOptions = { ringSize: 4096, bufferSize: 4096, bufferCount: 2, layoutId };
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const bytes = (words: string) => new TextEncoder().encode(words);
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

let count = 0;

function ok(good: boolean, name: string, why: unknown = ""): void {
  console.log(`${good ? "ok" : "not ok"} ${++count} ${name}`);
  if (!good) {
    console.log(`# ${String(why)}`);
    process.exitCode = 1;
  }
}

function equal(got: unknown, wanted: unknown, name: string): void {
  ok(got === wanted, name, `${String(got)} instead of ${String(wanted)}`);
}

type Kind = new (...args: never[]) => Error;

function wrong(e: unknown, kind: Kind, words: string, name: string): void {
  const code = e instanceof KrepisError ? e.code : "";
  ok(e instanceof kind && `${code} ${e.message}`.includes(words), name, e);
}

function refused(kind: Kind, words: string, call: () => unknown, name: string): void {
  try {
    call();
  } catch (e) {
    return wrong(e, kind, words, name);
  }
  ok(false, name, "it was taken");
}

async function rejected(kind: Kind, words: string, call: Promise<unknown>, name: string): Promise<void> {
  await call.then(
    () => ok(false, name, "it was taken"),
    (e: unknown) => wrong(e, kind, words, name),
  );
}

/** What was kept of a view is empty, and nothing more is to be had of it. */
class Kept {
  private readonly data: ArrayBuffer;
  private readonly bytes: Uint8Array;
  private readonly dataView: DataView;
  constructor(private readonly view: View) {
    this.data = view.data;
    this.bytes = view.bytes;
    this.dataView = view.view;
  }
  ended(name: string): void {
    this.bytes[0] = 1;
    const good = this.data.byteLength === 0 && this.bytes.length === 0 && this.bytes[0] === undefined;
    ok(good && !this.view.live, `${name}: what was kept is empty`, `${this.data.byteLength} ${this.bytes.length}`);
    refused(TypeError, "", () => this.dataView.getUint8(0), `${name}: a DataView throws`);
    for (const part of ["data", "bytes", "view"] as const)
      refused(KrepisError, "EPERM", () => this.view[part], `${name}: there is no ${part} any more`);
  }
}

class Pair {
  readonly channel: Channel;
  readonly producer: Producer;
  readonly consumer: Consumer;
  constructor(options: ChannelOptions = small) {
    this.channel = Channel.create(null, options);
    this.producer = new Producer(this.channel);
    this.consumer = new Consumer(this.channel);
  }
  [Symbol.dispose](): void {
    this.producer.close();
    this.consumer.close();
    this.channel.close();
  }
}

function channels(): void {
  const path = `${directory}/channel`;
  using channel = Channel.create(path, { ...small, backpressure: "fail", maxConsumers: 3, inlineMax: 64, mode: 0o600 });
  const { geometry, backend, guarantee, consumers, live, producer, channelBytes } = channel.query();
  ok(
    geometry.kind === "ring" && geometry.backpressure === "fail" && geometry.maxConsumers === 3 &&
      geometry.inlineMax === 64 && geometry.ringSize === 4096 && geometry.bufferSize === 4096 &&
      geometry.bufferCount === 2 && geometry.layoutId === layoutId && !geometry.enforced && !geometry.exclusive,
    "a channel has the shape that was asked for", JSON.stringify(geometry));
  ok(backend === "shm" && guarantee === "cooperative" && consumers.length === 3 && live === 0 && !producer &&
    channelBytes > 4096 * 3, "a channel tells its state");
  using same = Channel.open(path, { layoutId });
  equal(same.query().geometry.inlineMax, 64, "a channel is opened by its name");
  using anonymous = Channel.create(null);
  using inherited = Channel.open(anonymous.fd);
  equal(inherited.query().geometry.bufferSize, 1 << 20, "a channel is opened by its descriptor");
  using none = Channel.create(null, { noBuffers: true });
  equal(none.query().geometry.noBuffers, true, "a channel has no buffers");
  try {
    Channel.open(path, { layoutId: 0x1234 });
    ok(false, "another layout is refused");
  } catch (e) {
    ok(e instanceof LayoutMismatch && e.code === "EPROTO" && e.ours === 0x1234 && e.theirs === layoutId &&
      e.message.includes("0x00001234") && e.message.includes(`0x${layoutId.toString(16).padStart(8, "0")}`),
      "another layout is refused, and both are named", e);
  }
  refused(KrepisError, "EEXIST", () => Channel.create(path), "a name is taken once");
  Channel.unlink(path);
  refused(KrepisError, "ENOENT", () => Channel.open(path), "a removed name is gone");
  refused(KrepisError, "ENOENT", () => Channel.unlink(path), "it is removed once");
  ok(Channel.directory().startsWith("/"), "there is a directory");
  writeFileSync(path, new Uint8Array(65536).map((_, i) => i * 7));
  refused(KrepisError, "EMEDIUMTYPE", () => Channel.open(path), "garbage is no channel");
  channel.close();
  channel.close();
  refused(KrepisError, "EBADF", () => channel.query(), "a closed channel says so");
  refused(KrepisError, "EBADF", () => channel.fd, "a closed channel has no descriptor");
  refused(KrepisError, "EBADF", () => new Producer(channel), "nobody attaches to a closed channel");
}

function passed(): void {
  const [one, other] = ends.map(Number) as [number, number];
  refused(KrepisError, "EBADMSG", () => Channel.receive(other), "receive: what is no channel is refused");
  using channel = Channel.create(null, small);
  using producer = new Producer(channel);
  for (let i = 0; i < 3; i++) channel.pass(one);
  using received = Channel.receive(other, { layoutId });
  using unchecked = Channel.receive(other);
  using consumer = new Consumer(received);
  producer.send(5, bytes("x"));
  equal(consumer.recv(1000).type, 5, "a channel is passed");
  equal(unchecked.query().geometry.layoutId, layoutId, "a layout is not looked at if none was told");
  refused(LayoutMismatch, "0x00001234", () => Channel.receive(other, { layoutId: 0x1234 }), "receive: another layout is refused");
  refused(RangeError, "fd", () => Channel.receive(-1), "receive: a wrong descriptor");
  refused(RangeError, "fd", () => channel.pass(0.5), "pass: a wrong descriptor");
  refused(KrepisError, "ENOTSOCK", () => channel.pass(channel.fd), "pass: no socket");
  received.close();
  refused(KrepisError, "EBADF", () => received.pass(one), "a closed channel is not passed");
}

function argumentsOf(): void {
  const create = (options: object) => () => Channel.create(null, options);
  refused(TypeError, "path", () => Channel.create(1 as never), "a path is a text");
  refused(RangeError, "path", () => Channel.create("a\0b"), "there is no 0 in a path");
  refused(TypeError, "options", create(1 as never), "options are an object");
  refused(RangeError, "kind", create({ kind: "square" }), "a kind is one of two");
  refused(RangeError, "kind", create({ kind: "toString" }), "a kind is not what every object has");
  refused(TypeError, "backpressure", create({ backpressure: 1 }), "a backpressure is a text");
  refused(RangeError, "bufferSize", create({ bufferSize: -1 }), "a size is not negative");
  refused(RangeError, "ringSize", create({ ringSize: 0.5 }), "a size is whole");
  refused(RangeError, "layoutId", create({ layoutId: 2 ** 32 }), "a layout has 32 bits");
  refused(TypeError, "mode", create({ mode: "600" }), "a mode is a number");
  refused(KrepisError, "EINVAL", create({ ringSize: 5000 }), "what the library refuses is told");
  refused(RangeError, "fd", () => Channel.open(-1), "a descriptor is not negative");
  refused(KrepisError, "EBADF", () => Channel.open(99999), "a descriptor is open");
  refused(TypeError, "path", () => Channel.open(null as never), "what is opened has a name");
  refused(TypeError, "channel", () => new Producer({} as never), "an endpoint is of a channel");
  refused(TypeError, "data", () => crc32c("text" as never), "a checksum is of bytes");
  equal(crc32c(bytes("123456789")), 0xe3069283, "CRC-32C is CRC-32C");
  equal(crc32c(bytes("6789"), crc32c(bytes("12345"))), 0xe3069283, "a checksum goes on");

  using pair = new Pair();
  const { producer, consumer } = pair;
  const room = new Uint8Array(8);
  refused(RangeError, "type: 65536", () => producer.send(65536, room), "send: a type has 16 bits");
  refused(RangeError, "type: -1", () => producer.trySend(-1, room), "trySend: a type is not negative");
  refused(RangeError, "type: 0.5", () => producer.send(0.5, room), "send: a type is whole");
  refused(TypeError, "type", () => producer.send("1" as never, room), "send: a type is a number");
  refused(TypeError, "data", () => producer.send(1, "text" as never), "send: data are bytes");
  refused(TypeError, "data", () => producer.trySend(1, null as never), "trySend: null is no data");
  refused(TypeError, "timeoutMs", () => producer.send(1, room, "1" as never), "send: a timeout is a number");
  refused(RangeError, "timeoutMs", () => producer.send(1, room, NaN), "send: NaN is no timeout");
  refused(RangeError, "timeoutMs", () => producer.send(1, room, -1), "send: a timeout is not negative");
  refused(RangeError, "timeoutMs", () => consumer.recv(-1), "recv: a timeout is not negative");
  refused(RangeError, "timeoutMs", () => producer.acquire(NaN), "acquire: NaN is no timeout");
  refused(RangeError, "length", () => producer.emplace(1, -1, () => {}), "emplace: a length is not negative");
  refused(RangeError, "type", () => producer.emplace(70000, 1, () => {}), "emplace: a type has 16 bits");
  refused(RangeError, "count", () => producer.waitPeer(0.5), "waitPeer: a count is whole");
  refused(KrepisError, "EINVAL", () => producer.waitPeer(99), "waitPeer: there are not so many");
  refused(KrepisError, "EBUSY", () => new Producer(pair.channel), "there is one producer");
  using buffer = producer.acquire();
  refused(TypeError, "buffer", () => producer.publish(room as never, 1, 8), "publish: a buffer is a Buffer");
  refused(RangeError, "length", () => producer.publish(buffer, 1, 4097), "publish: a length is in the buffer");
  refused(RangeError, "type", () => producer.publish(buffer, -1, 8), "publish: a type is not negative");
  refused(RangeError, "flags", () => producer.publish(buffer, 1, 8, 1 << 16), "publish: a flag is known");
  using other = new Pair();
  refused(KrepisError, "EINVAL", () => other.producer.publish(buffer, 1, 8), "publish: a buffer is the producer's own");
  ok(buffer.live && buffer.bytes.length === 4096, "what was not published is still there");
}

function sends(): void {
  using pair = new Pair();
  const { producer, consumer } = pair;
  producer.send(3, bytes("inline"));
  {
    using message = consumer.recv(1000);
    ok(message.type === 3 && text(message.bytes) === "inline" && !message.inBuffer && message.length === 6, "it is received");
    refused(KrepisError, "ENODATA", () => message.verify(), "nobody made a checksum");
    refused(KrepisError, "EINVAL", () => message.edit(), "what came inline is not edited");
  }
  equal(consumer.tryRecv(), null, "there is no other message");
  producer.send(4, new Uint8Array(0));
  equal(consumer.recv(1000).bytes.length, 0, "a message of nothing is received");
  producer.send(4, new Float64Array([1.5]).subarray(0));
  using of8 = consumer.recv();
  equal(of8.view.getFloat64(0, true), 1.5, "any view is sent");
  producer.send(5, new Uint8Array(3000).fill(7));
  const large = consumer.recv();
  ok(large.inBuffer && large.bytes[2999] === 7, "what is large goes by a buffer");
  refused(KrepisError, "EACCES", () => large.edit(), "a message of a shared channel is not edited");
  large[Symbol.dispose]();
  const [first, second] = [producer.trySend(1, bytes("a")), producer.trySend(1, bytes("b"))];
  const [a, b] = [consumer.recv().sequence, consumer.recv().sequence];
  ok(first && second && b > a, "sequences grow");
  let sent = 0;
  while (producer.trySend(1, new Uint8Array(500))) sent++;
  ok(sent > 3 && sent < 9, "a full ring takes no more", sent);
  refused(TimedOut, "ETIMEDOUT", () => producer.send(1, new Uint8Array(500), 10), "send: in time or not at all");
  refused(TimedOut, "ETIMEDOUT", () => producer.drain(10), "drain: in time or not at all");
  for (let message; (message = consumer.tryRecv()); ) message[Symbol.dispose]();
  producer.drain(1000);
  refused(TimedOut, "ETIMEDOUT", () => consumer.recv(10), "recv: in time or not at all");
  refused(TimedOut, "ETIMEDOUT", () => consumer.recv(0), "recv: now or not at all");
  refused(TimedOut, "ETIMEDOUT", () => consumer.wait(10), "wait: in time or not at all");
  refused(KrepisError, "EMSGSIZE", () => producer.send(1, new Uint8Array(5000)), "what is too large is refused");
  refused(KrepisError, "EINVAL", () => new TripleProducer(Channel.create(null)).begin(), "a ring has no values");

  producer.emplace(9, 4, (room) => room.bytes.set([1, 2, 3, 4]));
  equal(consumer.tryRecv(), null, "what is emplaced is not yet there");
  producer.flush();
  equal(consumer.recv(1000).bytes.join(), "1,2,3,4", "it goes out with the flush");
  refused(SyntaxError, "mine", () => producer.emplace(9, 4, () => { throw new SyntaxError("mine"); }), "emplace: an error gets through");
  producer.flush();
  equal(consumer.tryRecv(), null, "and nothing was said");
  const { counters } = producer.query();
  ok(counters.messages > 5 && counters.bytes > 3000, "counters count", JSON.stringify(counters));

  const sample = new Sample(new DataView(new ArrayBuffer(Sample.size)));
  sample.sequence = 2n ** 60n;
  producer.send(Sample.packet, sample.view);
  equal(consumer.recv().as(Sample)?.sequence, 2n ** 60n, "a packet is read in place");
  producer.send(Sample.packet + 1, sample.view);
  equal(consumer.recv().as(Sample), null, "another type is no such packet");
  producer.send(Sample.packet, new Uint8Array(Sample.size + 1));
  equal(consumer.recv().as(Sample), null, "another size is no such packet");
}

interface Protobuf {
  parse(text: string): { root: { lookupType(name: string): Type } };
}
interface Type {
  encode(fields: object): { finish(): Uint8Array };
  decode(bytes: Uint8Array): Record<string, unknown>;
}

/** What others read bytes with reads those of a message. */
function protobuf(): void {
  const tools = new URL("../../bindings/tools/package.json", import.meta.url);
  const { parse } = createRequire(tools)("protobufjs") as Protobuf;
  const type = parse('syntax = "proto3"; message Point { int32 x = 1; string name = 2; }').root.lookupType("Point");
  using pair = new Pair();
  pair.producer.send(1, type.encode({ x: -7, name: "here" }).finish());
  const point = type.decode(pair.consumer.recv().bytes);
  ok(point["x"] === -7 && point["name"] === "here", "protobufjs reads a message in place", JSON.stringify(point));
}

function lapped(): void {
  using pair = new Pair({ ...small, backpressure: "overwrite" });
  for (let i = 0; i < 100; i++) pair.producer.send(i, new Uint8Array(100));
  try {
    pair.consumer.tryRecv();
    ok(false, "who is lapped is told");
  } catch (e) {
    ok(e instanceof Lapped && e.lost > 10 && e.lost < 100, "who is lapped is told", e);
    equal(pair.consumer.recv().type, e instanceof Lapped ? e.lost : 0, "and goes on with the oldest that is left");
  }
}

function buffers(): void {
  using pair = new Pair();
  const { producer, consumer } = pair;
  for (let i = 0; i < 50; i++) {
    using a = producer.acquire();
    using b = producer.acquire();
    a.bytes[0] = b.bytes[0] = i;
    if (producer.tryAcquire()) ok(false, "there are two buffers");
  }
  {
    using a = producer.tryAcquire();
    ok(a !== null, "what is not published goes back");
    using b = producer.acquire();
    refused(TimedOut, "ETIMEDOUT", () => producer.acquire(10), "acquire: in time or not at all");
    b.bytes[0] = 1;
  }
  const lent: Buffer = producer.acquire();
  let kept = new Kept(lent);
  lent[Symbol.dispose]();
  kept.ended("abandoned");
  lent[Symbol.dispose]();
  refused(KrepisError, "EPERM", () => producer.publish(lent, 1, 1), "what was abandoned is not published");

  const buffer = producer.acquire();
  buffer.bytes.set(bytes("large"));
  buffer.as(Sample).crc = 77;
  kept = new Kept(buffer);
  producer.publish(buffer, 2, Sample.size, KREPIS_MSG_CRC32C);
  kept.ended("published");
  refused(KrepisError, "EPERM", () => buffer.as(Sample), "published: it has no packet");
  refused(KrepisError, "EPERM", () => producer.publish(buffer, 2, 5), "it is published once");
  buffer[Symbol.dispose]();
  const message = consumer.recv(1000);
  ok(text(message.bytes.subarray(0, 5)) === "large" && new Sample(message.view).crc === 77 && message.inBuffer,
    "what was written is read in place");
  equal(message.verify(), true, "the checksum is right");
  equal(message.as(Sample), null, "it is no such packet");
  using held = producer.acquire();
  equal(producer.tryAcquire(), null, "a message holds its buffer");
  kept = new Kept(message);
  message[Symbol.dispose]();
  kept.ended("released");
  for (const [name, call] of Object.entries({ verify: () => message.verify(), as: () => message.as(Sample), edit: () => message.edit(), sequence: () => message.sequence }))
    refused(KrepisError, "EPERM", call, `released: there is no ${name}`);
  message[Symbol.dispose]();
  using again = producer.tryAcquire();
  ok(again !== null && held.live, "the end of a message releases its buffer");

  const [one, two] = [again!, held].map((room, i) => (room.bytes.fill(i), producer.publish(room, i, 4096), consumer.recv())) as [Message, Message];
  ok(one.bytes[0] === 0 && two.bytes[4095] === 1 && one.type === 0, "messages in buffers last");
  const [keptOne, keptTwo] = [new Kept(one), new Kept(two)];
  producer.send(1, bytes("x"));
  ok(consumer.recv().type === 1 && one.live, "... also while others come");
  consumer.close();
  keptOne.ended("closed, one");
  keptTwo.ended("closed, two");
  one[Symbol.dispose]();
  refused(KrepisError, "EBADF", () => consumer.tryRecv(), "a closed consumer says so");
  refused(KrepisError, "EBADF", () => consumer.query(), "... whatever is asked");
  refused(PeerGone, "EPIPE", () => producer.send(1, bytes("x")), "the producer is told");
  kept = new Kept(producer.acquire());
  producer.close();
  producer.close();
  kept.ended("producer closed");
  refused(KrepisError, "EBADF", () => producer.flush(), "a closed producer says so");
}

/** The same memory, again and again, and each time another ArrayBuffer. */
function again(): void {
  using pair = new Pair({ ...small, bufferCount: 1 });
  const seen: ArrayBuffer[] = [];
  const wrong: unknown[] = [];
  [4096, 4096, 100, 100, 4096].forEach((length, i) => {
    using buffer = pair.producer.acquire();
    seen.push(buffer.data);
    buffer.bytes.fill(i);
    pair.producer.publish(buffer, 1, length);
    using message = pair.consumer.recv();
    seen.push(message.data);
    if (buffer.live || message.bytes.length !== length || message.bytes[length - 1] !== i) wrong.push(length, i);
  });
  equal(String(wrong), "", "memory that comes again has its length and its bytes");
  ok(new Set(seen).size === 10 && seen.every((data) => data.byteLength === 0), "... and what was kept of it is empty");
}

/** What was transferred cannot be ended, so it is not given away. @used: memory that was looked at before, too. */
function transferred(used: boolean): void {
  using pair = new Pair();
  if (used) {
    for (const buffer of [pair.producer.acquire(), pair.producer.acquire()]) {
      buffer.bytes[0] = 1;
      pair.producer.publish(buffer, 1, 4096);
    }
    for (const message of [pair.consumer.recv(), pair.consumer.recv()]) {
      equal(message.bytes[0], 1, "looked at, and used again");
      message[Symbol.dispose]();
    }
  }
  /** Returns whether it stayed. */
  const take = ({ data }: View) => {
    try {
      structuredClone(data, { transfer: [data] });
    } catch {
      // Node of later
    }
    return data.byteLength !== 0; // Node copies
  };
  {
    using buffer = pair.producer.acquire();
    if (take(buffer)) return ok(true, "what is foreign is not transferred");
    refused(TypeError, "transferred", () => pair.producer.publish(buffer, 1, 1), "a transferred buffer is not published");
  }
  using other = pair.producer.acquire();
  equal(pair.producer.tryAcquire(), null, "nor given back");
  pair.producer.publish(other, 1, 4096);
  const message = pair.consumer.recv();
  take(message);
  message[Symbol.dispose]();
  equal(pair.producer.tryAcquire(), null, "nor is a transferred message");
}

async function inline(): Promise<void> {
  for (const how of ["tryRecv", "dispose", "wait", "next", "close"] as const) {
    using pair = new Pair();
    pair.producer.send(1, bytes("one"));
    const message = pair.consumer.recv();
    const kept = new Kept(message);
    if (how === "tryRecv") pair.consumer.tryRecv();
    else if (how === "dispose") message[Symbol.dispose]();
    else if (how === "close") pair.consumer.close();
    else if (how === "wait") refused(TimedOut, "", () => pair.consumer.wait(0), "wait times out");
    else await rejected(TimedOut, "ETIMEDOUT", pair.consumer.next(1), "next times out");
    kept.ended(`inline, ${how}`);
  }
}

async function triples(): Promise<void> {
  using channel = Channel.create(null, { kind: "triple", bufferSize: 4096 });
  using producer = new TripleProducer(channel);
  using consumer = new TripleConsumer(channel);
  equal(consumer.read(), null, "nothing was published yet");
  refused(KrepisError, "EINVAL", () => producer.commit(1, 1), "what was not begun is not committed");
  let kept = new Kept(producer.begin());
  refused(RangeError, "length", () => producer.commit(1, 4097), "commit: a length is in the buffer");
  refused(RangeError, "type", () => producer.commit(65536, 1), "commit: a type has 16 bits");
  producer.commit(7, 3);
  kept.ended("committed");
  const value = consumer.read()!;
  ok(value.type === 7 && value.length === 3 && value.fresh, "a value is read");
  kept = new Kept(value);
  equal(consumer.read()?.fresh, false, "it is fresh once");
  kept.ended("read again");
  producer.begin().as(Sample).crc = 5;
  producer.commit(Sample.packet, Sample.size);
  equal((await consumer.next(1000))?.as(Sample)?.crc, 5, "a packet is read in place");
  producer.write(8, bytes("copied"));
  equal(text(consumer.read()!.bytes), "copied", "a value is copied");
  refused(KrepisError, "EMSGSIZE", () => producer.write(8, new Uint8Array(5000)), "write: it has room");
  refused(KrepisError, "EINVAL", () => new Consumer(Channel.create(null, { kind: "triple" })).tryRecv(), "a triple has no messages");
  await rejected(TimedOut, "ETIMEDOUT", consumer.next(10), "next value: in time or not at all");
  setTimeout(() => producer.write(9, bytes("later")), 20);
  setTimeout(() => producer.close(), 60);
  let seen = "";
  for await (const fresh of consumer) seen += text(fresh.bytes);
  equal(seen, "later", "values are waited for, until their producer leaves");
}

async function loops(): Promise<void> {
  using pair = new Pair({ ...small, ringSize: 65536 });
  const { producer, consumer } = pair;
  let ticks = 0;
  const timer = setInterval(() => ++ticks === 10 && producer.send(1, bytes("late")), 5);

  // Nobody sends until the timer does.
  equal(text((await consumer.next(10000))!.bytes), "late", "the loop goes on while next waits for a message");

  // There is always one more.
  ticks = 0;
  let got = 0;
  const end = Date.now() + 10000;
  producer.send(1, bytes("x"));
  for await (using message of consumer) {
    got += message.length;
    if (ticks >= 9 || Date.now() > end) break;
    producer.send(1, bytes("x"));
    producer.send(1, bytes("x"));
    using other = consumer.tryRecv();
    got += other ? 1 : 0;
  }
  clearInterval(timer);
  ok(ticks >= 9 && got > ticks, "the loop goes on while there is always one more", `${ticks} ticks, ${got} messages`);
  for (let message; (message = consumer.tryRecv()); ) message[Symbol.dispose]();

  const next = consumer.next();
  await sleep(10);
  refused(KrepisError, "EBUSY", () => consumer.tryRecv(), "who is awaited is busy");
  await rejected(KrepisError, "EBUSY", consumer.next(), "... for a second next, too");
  equal(consumer.query().live, 1, "it can be looked at");
  consumer.close();
  equal(await next, null, "close ends what is awaited");
  await rejected(PeerGone, "EPIPE", producer.drained(1000).then(() => producer.send(1, bytes("x"))), "and it is gone");

  using other = new Pair();
  const waiting = other.consumer.next();
  other.consumer.shutdown();
  equal(await waiting, null, "shutdown ends what is awaited");
  refused(KrepisError, "ESHUTDOWN", () => other.consumer.recv(), "after shutdown nothing is received");

  using third = new Pair();
  await third.producer.peer(1, 1000);
  await third.consumer.peer(1, 1000);
  third.consumer.waitPeer(1, 1000);
  await third.producer.ready(1000);
  await rejected(TimedOut, "ETIMEDOUT", third.producer.peer(2, 20), "peer: in time or not at all");
  await rejected(RangeError, "timeoutMs", third.producer.ready(NaN), "ready: NaN is no timeout");
  const [a, b] = [await third.producer.acquired(), third.producer.acquire()];
  third.producer.publish(a, 1, 10);
  const holding = third.consumer.recv();
  setTimeout(() => holding[Symbol.dispose](), 30);
  using late = await third.producer.acquired(5000);
  ok(late.bytes.length === 4096 && b.live, "acquired waits for a buffer");
  await rejected(TimedOut, "ETIMEDOUT", third.producer.acquired(20), "acquired: in time or not at all");
  third.producer.send(1, bytes("x"));
  setTimeout(() => third.consumer.recv()[Symbol.dispose](), 20);
  await rejected(TimedOut, "ETIMEDOUT", third.producer.drained(1), "drained: in time or not at all");
  await sleep(40);
  third.consumer.tryRecv();
  await third.producer.drained(1000);
  third.producer.send(2, bytes("last"));
  third.producer.close();
  const types: number[] = [];
  for await (using message of third.consumer) types.push(message.type);
  equal(types.join(), "2", "it is received until the producer has left");

  const many = Array.from({ length: 40 }, () => new Pair());
  const all = many.map(({ consumer }) => consumer.next(10000));
  many.forEach(({ producer }, i) => producer.send(i, bytes("x")));
  equal((await Promise.all(all)).filter((message, i) => message?.type === i).length, 40, "forty are awaited at once");
  for (const each of many) each[Symbol.dispose]();
}

async function sets(): Promise<void> {
  using a = new Pair();
  using b = new Pair();
  using set = new WaitSet<string>();
  const names = (all: { data: string }[]) => all.map(({ data }) => data).sort().join();
  set.add(a.consumer, "a");
  set.add(b.consumer, "b");
  refused(KrepisError, "EEXIST", () => set.add(a.consumer, "again"), "an endpoint is in a set once");
  refused(TypeError, "endpoint", () => set.add({} as Consumer, "x"), "add: no endpoint");
  refused(TypeError, "endpoint", () => set.remove({} as Consumer), "remove: no endpoint");
  refused(KrepisError, "ENOENT", () => set.remove(a.producer), "remove: who is not there");
  refused(TimedOut, "ETIMEDOUT", () => set.wait(10), "wait of a set: in time or not at all");
  refused(RangeError, "timeoutMs", () => set.wait(-1), "wait of a set: a wrong timeout");
  a.producer.send(1, bytes("x"));
  let [ready] = set.wait(5000);
  ok(ready!.endpoint === a.consumer && ready!.data === "a" && ready!.error === null, "who has a message is told");
  equal(names(await set.ready(5000)), "a", "who is left alone is told again");
  const message = a.consumer.recv();
  const kept = new Kept(message);
  b.producer.send(2, bytes("y"));
  equal(names(set.wait(5000)), "b", "... and the others are not");
  kept.ended("wait of a set");
  b.consumer.recv();

  // In another thread.
  await rejected(TimedOut, "ETIMEDOUT", set.ready(10), "ready: in time or not at all");
  let ticks = 0;
  const timer = setInterval(() => ++ticks === 5 && b.producer.send(1, bytes("z")), 5);
  const waiting = set.ready(10000);
  for (const [name, call] of Object.entries({
    wait: () => set.wait(), add: () => set.add(a.producer, "p"), remove: () => set.remove(a.consumer), tryRecv: () => a.consumer.tryRecv(),
  }))
    refused(KrepisError, "EBUSY", call, `while a set waits: ${name}`);
  equal(b.consumer.query().live, 1, "while a set waits: query()");
  equal(names(await waiting), "b", "the loop goes on while a set waits");
  clearInterval(timer);
  equal(b.consumer.tryRecv()?.type, 1, "its endpoints may be called again");
  set.interrupt();
  equal((await set.ready()).length, 0, "an interrupt is not lost");
  setTimeout(() => set.interrupt(), 20);
  equal((await set.ready()).length, 0, "an interrupt ends the wait");
  const alone = a.consumer.ready(20).catch(() => {});
  refused(KrepisError, "EBUSY", () => set.wait(), "a set does not wait for who is awaited");
  await alone;
  const leaver = new Consumer(a.channel);
  set.add(leaver, "leaver");
  const leaving = leaver.ready(20000).catch(() => {});
  leaver.close();
  refused(KrepisError, "EBUSY", () => set.wait(10), "... nor beside one that is just leaving");
  await leaving;
  refused(TimedOut, "ETIMEDOUT", () => set.wait(10), "... but when it has left");

  // Who leaves.
  b.producer.close();
  [ready] = await set.ready(5000);
  ok(ready!.endpoint === b.consumer && ready!.error instanceof PeerGone, "whose peer has gone is told why");
  set.remove(b.consumer);
  setTimeout(() => a.consumer.close(), 20);
  equal((await set.ready(10000)).length, 0, "who is closed ends the wait");
  equal(a.channel.query().live, 0, "... and has left its channel");
  set.add(b.consumer, "b");
  b.consumer.close();
  refused(TimedOut, "ETIMEDOUT", () => set.wait(10), "who was closed has left the set");
  const last = set.ready();
  set.close();
  set.close();
  equal((await last).length, 0, "the end of a set ends the wait");
  refused(KrepisError, "EBADF", () => set.wait(), "a closed set says so");
  refused(KrepisError, "EBADF", () => set.interrupt(), "... whatever is called");

  // Many of them, and always one more.
  using channel = Channel.create(null, { ...small, maxConsumers: 32 });
  using producer = new Producer(channel);
  using many = new WaitSet<number>();
  const consumers = Array.from({ length: 32 }, () => new Consumer(channel));
  consumers.forEach((consumer, i) => many.add(consumer, i));
  let turns = 0;
  const clock = setInterval(() => turns++, 1);
  const counts = consumers.map(() => 0);
  const end = Date.now() + 20000;
  for (let sent = 0; (sent < 100 || turns < 10) && Date.now() < end; sent++) {
    producer.send(1, bytes("x"));
    while (Math.min(...counts) <= sent) for (const { endpoint, data } of await many.ready(5000)) if ((endpoint as Consumer).tryRecv()) counts[data]!++;
  }
  clearInterval(clock);
  ok(turns >= 10 && Math.min(...counts) >= 100, "a set of 32, and the loop goes on", `${turns} ${counts}`);
  for (const consumer of consumers) consumer.close();
}

async function deaths(): Promise<void> {
  const path = `${directory}/death`;
  using channel = Channel.create(path, { layoutId, bufferCount: 8, bufferSize: 8192 });
  const start = (role: string) => spawn(peer, [role, "ring", path, "0"], { stdio: "ignore" });
  {
    using consumer = new Consumer(channel);
    const dying = start("produce");
    let n = 0;
    for await (using message of consumer) if (message.as(Sample) && ++n === 1000) dying.kill("SIGKILL");
    ok(n >= 1000, "the death of a producer is noticed", n);
    equal(consumer.query().producerDeaths, 1, "it is counted");
  }
  using producer = new Producer(channel);
  const dying = start("consume");
  await producer.peer(1, 10000);
  dying.kill("SIGKILL");
  await new Promise((resolve) => dying.once("exit", resolve));
  refused(PeerGone, "EPIPE", () => { for (;;) producer.send(1, new Uint8Array(8), 5000); }, "the death of a consumer is noticed");
}

async function workers(): Promise<void> {
  using channel = Channel.create(null);
  using producer = new Producer(channel);
  const worker = new Worker(new URL("./worker.js", import.meta.url), { workerData: channel.fd });
  const told: unknown[] = [];
  await new Promise<void>((resolve, reject) => {
    worker.on("error", reject);
    worker.on("message", (what) => {
      told.push(what);
      if (what === "here") {
        producer.send(1, bytes("x"));
        producer.send(2, new Uint8Array(9000));
        producer.close();
      }
      if (what === "gone") resolve();
    });
  });
  equal(told.join(), "here,1,2,gone", "a worker may block");
  await worker.terminate();
}

/** A program in a sandbox, with a channel as its standard input. */
async function plugins(): Promise<void> {
  const [policy, program] = [`${directory}/policy.json`, `${directory}/plugin.mjs`];
  const everything = ["/"];
  writeFileSync(policy, JSON.stringify({ allow: { read: everything, write: everything, exec: everything, env: ["*"] } }));
  writeFileSync(program, `
    import { Channel, Producer } from ${JSON.stringify(new URL("../../bindings/typescript/index.js", import.meta.url).href)};
    const producer = new Producer(Channel.open(0));
    producer.send(7, new Uint8Array([1, 2, 3]));
    producer.close();
  `);
  using channel = Channel.create(null);
  using consumer = new Consumer(channel);
  const deno = "Deno" in globalThis ? ["run", "--quiet", "--no-lock", "--allow-all"] : [];
  const plugin = spawnPlugin(policy, [process.execPath, ...deno, program], { channel, krepis, options: ["--best-effort", "--quiet"] });
  const ended = new Promise((resolve) => plugin.once("exit", resolve));
  const message = await Promise.race([consumer.next(20000), ended]);
  // 3: what krepis run says of a kernel without Landlock.
  if (message === 3) return console.log(`ok ${++count} plugin # SKIP krepis run has no sandbox here`);
  equal(typeof message === "object" && (message as Message | null)?.bytes.join(), "1,2,3", "a plugin sends");
  equal(await consumer.next(20000), null, "a plugin ends");
  await ended;
}

function forged(): void {
  const path = `${directory}/forged`;
  using channel = Channel.create(path, { ...small, layoutId: 0 });
  using producer = new Producer(channel);
  using consumer = new Consumer(channel);
  producer.send(1, bytes("x"));
  const file = openSync(path, "r+");
  writeSync(file, new Uint8Array(8).fill(0x5a), 0, 8, channel.query().geometry.pageSize);
  closeSync(file);
  refused(KrepisError, "EPROTO", () => { for (;;) consumer.recv(100); }, "what cannot be is told");
}

const engine = globalThis as { gc?: () => void; Bun?: { gc(sync: boolean): void } };

/** Who forgets to close is helped some time, and what he kept is empty. */
async function dropped(): Promise<void> {
  const collect = engine.Bun ? () => engine.Bun!.gc(true) : engine.gc;
  if (!collect) return console.log(`ok ${++count} dropped # SKIP no gc() here`);
  using channel = Channel.create(null, small);
  const kept: Uint8Array[] = [];
  for (let i = 0; i < 20; i++) {
    (() => {
      const consumer = new Consumer(channel);
      const producer = new Producer(channel);
      const buffer = producer.acquire();
      kept.push(buffer.bytes);
      producer.send(1, bytes("x"));
      kept.push(consumer.recv().bytes);
    })();
    for (let tries = 0; tries < 100 && channel.query().producer; tries++) {
      collect();
      await sleep(2);
    }
    if (channel.query().producer) return ok(false, "what was dropped is closed", i);
  }
  for (let tries = 0; tries < 100 && channel.query().live; tries++) {
    collect();
    await sleep(2);
  }
  ok(true, "what was dropped is closed");
  ok(kept.every((array) => array.length === 0 && array[0] === undefined), "what was kept of it is empty", kept.map((array) => array.length));
}

channels();
passed();
argumentsOf();
sends();
protobuf();
lapped();
buffers();
again();
transferred(false);
transferred(true);
await inline();
await triples();
await loops();
await sets();
await deaths();
await workers();
await plugins();
forged();
await dropped();
console.log(`1..${count}`);
