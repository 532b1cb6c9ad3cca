// SPDX-License-Identifier: MIT
// bench.js EMPTY C1 C2: a library, or for Node an addon, with empty(); what C takes for its two loops. Medians, ns.
import { createRequire } from "node:module";
import process from "node:process";
import { Channel, Consumer, Producer } from "../../bindings/typescript/index.js";
import { Sample } from "./sample.js";

const [library, ...inC] = process.argv.slice(2) as [string, string, string];
const [publishInC, receiveInC] = inC.map(Number) as [number, number];
const BATCH = 32;

type Foreign = { dlopen(path: string, symbols: object): { symbols: { empty(p: unknown): number } } };
const { Deno, Bun } = globalThis as unknown as { Deno?: Foreign; Bun?: object };

async function loadEmpty(): Promise<(p: unknown) => unknown> {
  if (Deno) return Deno.dlopen(library, { empty: { parameters: ["pointer"], result: "i32" } }).symbols.empty;
  if (!Bun) return (createRequire(import.meta.url)(library) as { empty(p: unknown): void }).empty;
  const ffi = (await import("bun:ffi" as string)) as Foreign;
  return ffi.dlopen(library, { empty: { args: ["ptr"], returns: "i32" } }).symbols.empty;
}

const median = (all: number[]) => all.sort((a, b) => a - b)[all.length >> 1]!;

/** Of one call, which is made in a loop. */
function time(loop: (n: number) => unknown, n = 300000, rounds = 21): number {
  const all: number[] = [];
  loop(n);
  for (let i = 0; i < rounds; i++) {
    const begin = performance.now();
    loop(n);
    all.push(((performance.now() - begin) * 1e6) / n);
  }
  return median(all);
}

function line(name: string, ns: number, beside: string): void {
  console.log(`${name.padEnd(44)} ${ns.toFixed(1).padStart(9)} ns   ${beside}`);
}

using channel = Channel.create(null, { bufferCount: BATCH });
using producer = new Producer(channel);
using consumer = new Consumer(channel);

const empty = await loadEmpty();
const nothing = time((n) => { for (let i = 0; i < n; i++) empty(null); });
line("empty native call", nothing, "");
const flush = time((n) => { for (let i = 0; i < n; i++) producer.flush(); });
line("producer.flush()", flush, `${(flush - nothing).toFixed(1)} ns over the empty call (goal 30)`);

const words = new Uint8Array(64);
const inline = time((n) => {
  for (let i = 0; i < n; i++) {
    producer.send(1, words);
    consumer.tryRecv();
  }
}, 30000);
line("send, receive 64 B, no look", inline, "");
const looked = time((n) => {
  let sum = 0;
  for (let i = 0; i < n; i++) {
    producer.send(1, words);
    sum += consumer.tryRecv()!.bytes[0]!;
  }
  return sum;
}, 30000);
line("send, receive 64 B, bytes[0]", looked, "");

function cycle(size: number): [number, number] {
  const [publish, receive]: [number[], number[]] = [[], []];
  for (let round = 0; round < 1000; round++) {
    let begin = performance.now();
    for (let i = 0; i < BATCH; i++) {
      const buffer = producer.acquire();
      if (size) buffer.bytes[0] = i;
      producer.publish(buffer, 1, 1 << 20);
    }
    publish.push(((performance.now() - begin) * 1e6) / BATCH);
    begin = performance.now();
    for (let i = 0; i < BATCH; i++) {
      const message = consumer.tryRecv()!;
      if (size && message.bytes[0] !== i) throw new Error("a wrong message");
      message[Symbol.dispose]();
    }
    receive.push(((performance.now() - begin) * 1e6) / BATCH);
  }
  // The mean: what the collector takes comes seldom, and then at once.
  const mean = (all: number[]) => all.slice(200).reduce((a, b) => a + b, 0) / (all.length - 200);
  return [mean(publish), mean(receive)];
}

cycle(1);
const [bare] = cycle(0);
const [publish, receive] = cycle(1);
line("acquire, publish 1 MiB, no look", bare, `${(bare - publishInC).toFixed(0)} ns over C (${publishInC})`);
line("acquire, bytes[0], publish 1 MiB", publish, `${(publish - publishInC).toFixed(0)} ns over C (goal 1000)`);
line("receive, bytes[0], dispose 1 MiB", receive, `${(receive - receiveInC).toFixed(0)} ns over C (${receiveInC})`);

const sample = new Uint8Array(Sample.size);
producer.send(Sample.packet, sample);
const message = consumer.recv();
const packet = message.as(Sample)!;
const plain = new Uint32Array(message.data);
const at = Sample.offsets.crc >> 2;
const typed = time((n) => {
  let sum = 0;
  for (let i = 0; i < n; i++) sum = (sum + plain[at]! + i) | 0;
  return sum;
}, 3000000);
const read = time((n) => {
  let sum = 0;
  for (let i = 0; i < n; i++) sum = (sum + packet.crc + i) | 0;
  return sum;
}, 3000000);
line("u32 of a Uint32Array", typed, "");
line("u32 of a packet", read, `${(read / typed).toFixed(2)} x (goal 2)`);

const wakes: number[] = [];
for (let i = 0; i < 200; i++) {
  const next = consumer.next();
  await new Promise((resolve) => setTimeout(resolve, 5));
  const begin = performance.now();
  producer.send(1, words);
  await next;
  wakes.push((performance.now() - begin) * 1e6);
}
line("send to a sleeper, to the end of its next()", median(wakes), "");
