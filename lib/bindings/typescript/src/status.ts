// SPDX-License-Identifier: MIT
// struct krepis_channel_options and struct krepis_status, as objects.
import { u32, whole } from "./argument.js";
import * as k from "./library.js";

const kinds = { ring: k.KREPIS_RING, triple: k.KREPIS_TRIPLE };
const pressures = { block: k.KREPIS_BLOCK, fail: k.KREPIS_FAIL, overwrite: k.KREPIS_OVERWRITE };
export type Kind = keyof typeof kinds;
export type Backpressure = keyof typeof pressures;

/** The shape of a new channel. What is left out has the library's default. */
export interface ChannelOptions {
  kind?: Kind;
  /** What a ring does when it is full: the producer waits, fails, or the oldest message goes. */
  backpressure?: Backpressure;
  /** Inline messages only. */
  noBuffers?: boolean;
  /** The kernel keeps the owners; with the module only. */
  enforced?: boolean;
  /** An enforced ring of one consumer, who may write. */
  exclusive?: boolean;
  /** 1 to 32. */
  maxConsumers?: number;
  /** Largest payload that is copied into the ring, 8 to 65536 bytes. */
  inlineMax?: number;
  /** Bytes, a power of two, 4 KiB to 1 GiB. */
  ringSize?: number;
  /** Usable bytes of each buffer, up to 2 GiB. */
  bufferSize?: number;
  /** 1 to 65536. */
  bufferCount?: number;
  /** Of the message layout: layoutId of what krepis-codegen made. */
  layoutId?: number;
  /** Permission bits of the file, less the umask. */
  mode?: number;
}

export interface Counters {
  messages: number;
  bytes: number;
  /** Producer: refused for want of room; consumer: lost or skipped. */
  drops: number;
  /** How often it slept. */
  waits: number;
  /** System calls made to wake the other side. */
  wakes: number;
}

export interface Geometry extends Required<Omit<ChannelOptions, "mode">> {
  pageSize: number;
}

export interface Status {
  /** Who keeps the rules: each side by its own will, or the kernel. */
  guarantee: "cooperative" | "enforced";
  /** "shm" or "kmod". */
  backend: string;
  geometry: Geometry;
  channelBytes: number;
  /** Bit i: consumer i is attached. */
  live: number;
  producer: boolean;
  /** Endpoints that died attached, since the channel was created. */
  deaths: number;
  producerDeaths: number;
  /** Of an endpoint: the consumer's slot. */
  slot: number;
  /** Of the endpoint; of a channel: of its producer. */
  counters: Counters;
  /** Of each consumer slot. */
  consumers: Counters[];
}

function one<T extends Record<string, number>>(of: T, value: unknown, name: string): number {
  if (typeof value !== "string") throw new TypeError(`${name}: not a string`);
  if (!Object.hasOwn(of, value)) throw new RangeError(`${name}: ${value} is none of ${Object.keys(of).join(", ")}`);
  return of[value]!;
}

export function encode(options: ChannelOptions): Uint8Array {
  if (typeof options !== "object" || options === null) throw new TypeError("options: not an object");
  const at = k.KrepisChannelOptions.offsets;
  const room = new DataView(new ArrayBuffer(k.KrepisChannelOptions.size));
  const set32 = (offset: number, value: number | undefined, name: string) =>
    value !== undefined && room.setUint32(offset, u32(value, name), true);
  const set64 = (offset: number, value: number | undefined, name: string) =>
    value !== undefined && room.setBigUint64(offset, BigInt(whole(value, Number.MAX_SAFE_INTEGER, name)), true);
  const { kind = "ring", backpressure = "block", noBuffers, enforced, exclusive } = options;
  room.setUint32(at.size, room.byteLength, true);
  room.setUint32(at.kind, one(kinds, kind, "kind"), true);
  room.setUint32(at.backpressure, one(pressures, backpressure, "backpressure"), true);
  const flags =
    (noBuffers ? k.KREPIS_F_NO_BUFFERS : 0) | (enforced ? k.KREPIS_F_ENFORCED : 0) | (exclusive ? k.KREPIS_F_EXCLUSIVE : 0);
  room.setUint32(at.flags, flags, true);
  set32(at.max_consumers, options.maxConsumers, "maxConsumers");
  set32(at.inline_max, options.inlineMax, "inlineMax");
  set64(at.ring_size, options.ringSize, "ringSize");
  set64(at.buffer_size, options.bufferSize, "bufferSize");
  set32(at.buffer_count, options.bufferCount, "bufferCount");
  set32(at.layout_id, options.layoutId, "layoutId");
  set32(at.mode, options.mode, "mode");
  return new Uint8Array(room.buffer);
}

function name<T extends Record<string, number>>(of: T, value: number): keyof T {
  return Object.keys(of).find((key) => of[key] === value) ?? String(value);
}

/** @fill is the call that fills in the struct. */
export function status(fill: (room: Uint8Array) => void): Status {
  const room = new DataView(new ArrayBuffer(k.KrepisStatus.size));
  const at = k.KrepisStatus.offsets;
  const [g, c] = [k.KrepisGeometry.offsets, k.KrepisCounters.offsets];
  const get32 = (offset: number) => room.getUint32(offset, true);
  const get64 = (offset: number) => Number(room.getBigUint64(offset, true));
  const counters = (from: number): Counters => ({
    messages: get64(from + c.messages),
    bytes: get64(from + c.bytes),
    drops: get64(from + c.drops),
    waits: get64(from + c.waits),
    wakes: get64(from + c.wakes),
  });

  room.setUint32(at.size, room.byteLength, true);
  fill(new Uint8Array(room.buffer));
  const flags = get32(at.geometry + g.flags);
  const maxConsumers = get32(at.geometry + g.max_consumers);
  return {
    guarantee: get32(at.guarantee) === k.KREPIS_ENFORCED ? "enforced" : "cooperative",
    backend: new TextDecoder().decode(new Uint8Array(room.buffer, at.backend, 8)).split("\0")[0]!,
    geometry: {
      kind: name(kinds, get32(at.geometry + g.kind)),
      backpressure: name(pressures, get32(at.geometry + g.backpressure)),
      noBuffers: !!(flags & k.KREPIS_F_NO_BUFFERS),
      enforced: !!(flags & k.KREPIS_F_ENFORCED),
      exclusive: !!(flags & k.KREPIS_F_EXCLUSIVE),
      maxConsumers,
      inlineMax: get32(at.geometry + g.inline_max),
      bufferCount: get32(at.geometry + g.buffer_count),
      pageSize: get32(at.geometry + g.page_size),
      layoutId: get32(at.geometry + g.layout_id),
      ringSize: get64(at.geometry + g.ring_size),
      bufferSize: get64(at.geometry + g.buffer_size),
    },
    channelBytes: get64(at.channel_bytes),
    live: get32(at.live),
    producer: get32(at.producer) === 1,
    deaths: get32(at.deaths),
    producerDeaths: get32(at.producer_deaths),
    slot: get32(at.slot),
    counters: counters(at.counters),
    consumers: Array.from({ length: Math.min(maxConsumers, k.KREPIS_MAX_CONSUMERS) }, (_, i) =>
      counters(at.consumers + i * k.KrepisCounters.size),
    ),
  };
}
