// SPDX-License-Identifier: MIT
import "./dispose.js";
import { bytesOf, deadline, u16, whole } from "./argument.js";
import { address, type Channel, out, outWords } from "./channel.js";
import { Slot } from "./consumer.js";
import { type AttachOptions, Endpoint } from "./endpoint.js";
import { check, KrepisError } from "./error.js";
import { READY } from "./interface.js";
import * as k from "./library.js";
import { Room } from "./producer.js";
import { native, runtime } from "./runtime.js";
import { Typed } from "./view.js";

/** The latest value: its producer. Never waits. */
export class TripleProducer extends Endpoint {
  readonly #bufferSize: number;
  #room: Room | null = null;

  constructor(channel: Channel, options: AttachOptions = {}) {
    super(channel, k.KREPIS_PRODUCER, options);
    this.#bufferSize = channel.query().geometry.bufferSize;
  }

  /** Room for the next value, until commit(). It holds an older one. */
  begin(): Room {
    const handle = this.own();
    check(native.krepis_triple_begin(handle, out), "begin");
    this.#room?.end();
    return (this.#room = new Room(this.held, address(outWords), this.#bufferSize));
  }

  /** Makes it the latest value. */
  commit(type: number, length: number): void {
    const handle = this.own();
    u16(type, "type");
    const size = runtime.size(whole(length, this.#bufferSize, "length"));
    check(native.krepis_triple_commit(handle, type, size), "commit");
    this.#room?.end();
    this.#room = null;
  }

  /** Both, with a copy. */
  write(type: number, data: ArrayBufferView): void {
    const bytes = bytesOf(data);
    u16(type, "type");
    if (bytes.length > this.#bufferSize)
      throw new KrepisError(k.EMSGSIZE, "write", `${bytes.length} bytes, and there is room for ${this.#bufferSize}`);
    this.begin().bytes.set(bytes);
    this.commit(type, bytes.length);
  }
}

/** A view of a value, until the next read() or the next wait. */
export class Value extends Typed {
  /** Whether it was not seen before. */
  get fresh(): boolean {
    return (this.flags & k.KREPIS_MSG_FRESH) !== 0;
  }
}

/** ... and its consumer. */
export class TripleConsumer extends Endpoint implements AsyncIterable<Value> {
  readonly #slot = new Slot();
  #value: Value | null = null;

  constructor(channel: Channel, options: AttachOptions = {}) {
    super(channel, k.KREPIS_CONSUMER, options);
  }

  /** @internal */
  override settle(): void {
    this.#value?.end();
    this.#value = null;
  }

  /** The latest value. Returns null if nothing was published yet. */
  read(): Value | null {
    const handle = this.own();
    this.settle();
    const slot = this.#slot;
    const err = native.krepis_triple_read(handle, slot.words);
    if (err === -k.ENODATA) return null;
    check(err, "read");
    return (this.#value = new Value(this.held, slot.data, slot.length, slot.type, slot.flags));
  }

  /** The next fresh value, and the event loop goes on. Returns null when the producer has left. */
  async next(timeoutMs = Infinity): Promise<Value | null> {
    const [err] = await this.later(READY, 0, deadline(timeoutMs));
    if (this.closed || err === -k.KREPIS_PEER_GONE || err === -k.ESHUTDOWN) return null;
    check(err, "next");
    return this.read();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Value, void, void> {
    for (let value; (value = await this.next()); ) yield value;
  }
}
