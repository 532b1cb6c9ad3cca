// SPDX-License-Identifier: MIT
/**
 * Safe zero-copy messages in shared memory: one API for Deno, Bun and Node.
 *
 *     using channel = Channel.create("cam");
 *     using producer = new Producer(channel);
 *     using buffer = producer.acquire();      // goes back to the pool if it is not published
 *     fill(buffer.bytes);                     // the channel's memory
 *     producer.publish(buffer, 1, length);    // theirs now: buffer.bytes throws
 *
 *     using consumer = new Consumer(channel);
 *     for await (using message of consumer)   // until the producer has left
 *       use(message.bytes);
 */
import "./dispose.js";
import { bytesOf, u32 } from "./argument.js";
import { native, runtime } from "./runtime.js";

export { Channel } from "./channel.js";
export { Consumer, Message } from "./consumer.js";
export { type AttachOptions, Endpoint } from "./endpoint.js";
export { KrepisError, Lapped, LayoutMismatch, PeerGone, TimedOut } from "./error.js";
export { KREPIS_MSG_CRC32C } from "./library.js";
export { type Plugin, type PluginOptions, spawnPlugin } from "./plugin.js";
export { Buffer, Producer, Room } from "./producer.js";
export { type Backpressure, type ChannelOptions, type Counters, type Geometry, type Kind, type Status } from "./status.js";
export { TripleConsumer, TripleProducer, Value } from "./triple.js";
export { type Ready, WaitSet } from "./waitset.js";
export { version } from "./version.js";
export { type Accessor, Typed, View } from "./view.js";

/** CRC-32C. @param crc the result for what came before */
export function crc32c(data: ArrayBufferView, crc = 0): number {
  const bytes = bytesOf(data);
  return native.krepis_crc32c(u32(crc, "crc"), bytes.length ? bytes : null, runtime.size(bytes.length)) >>> 0;
}
