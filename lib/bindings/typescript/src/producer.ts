// SPDX-License-Identifier: MIT
import "./dispose.js";
import { bytesOf, deadline, u16, whole } from "./argument.js";
import { address, type Channel, out, outWords } from "./channel.js";
import { type AttachOptions, Endpoint } from "./endpoint.js";
import { check, KrepisError } from "./error.js";
import { ACQUIRED, DRAINED, type Pointer } from "./interface.js";
import * as k from "./library.js";
import { native, runtime } from "./runtime.js";
import { type Accessor, type Held, View } from "./view.js";

/** Room that is the producer's until it gives it away. */
export class Room extends View {
  /** To write a struct into it. */
  as<T>(accessor: Accessor<T>): T {
    return new accessor(this.view);
  }
}

class RingRoom extends Room {
  protected override get recurs(): boolean {
    return false;
  }
}

/** Of the pool, and the producer's until it is published. If it is not, it goes back. */
export class Buffer extends Room implements Disposable {
  /** @internal */
  constructor(
    held: Held,
    address: number,
    size: number,
    readonly pointer: Pointer,
  ) {
    super(held, address, size);
  }

  /** @internal */
  of(held: Held): boolean {
    return this.held === held;
  }

  [Symbol.dispose](): void {
    if (!this.live) return this.end();
    const handle = this.held.handle!;
    const { taken } = this;
    this.end();
    if (!taken) native.krepis_abandon(handle, this.pointer);
  }
}

/** Sends: every message, in order, to every consumer. */
export class Producer extends Endpoint {
  /** By the address of its handle: a buffer stays where it is. */
  readonly #buffers = new Map<number, { pointer: Pointer; data: number }>();
  #bufferSize = 0;

  constructor(channel: Channel, options: AttachOptions = {}) {
    super(channel, k.KREPIS_PRODUCER, options);
  }

  /** Copies into the ring, or, if it is large, into a buffer. Blocks until there is room. */
  send(type: number, data: ArrayBufferView, timeoutMs = Infinity): void {
    const bytes = bytesOf(data);
    const { byteLength } = bytes;
    check(
      native.krepis_send(
        this.own(),
        u16(type, "type"),
        byteLength ? bytes : null,
        runtime.size(byteLength),
        deadline(timeoutMs),
      ),
      "send",
    );
  }

  /** Returns false if there is no room. */
  trySend(type: number, data: ArrayBufferView): boolean {
    const bytes = bytesOf(data);
    const { byteLength } = bytes;
    const room = byteLength ? bytes : null;
    const err = native.krepis_send(this.own(), u16(type, "type"), room, runtime.size(byteLength), runtime.nowait);
    return err !== -k.EAGAIN && check(err, "trySend") === 0;
  }

  /**
   * One message written in place: it goes out with the next flush() or send().
   * @param fill gets the room in the ring, for the time of the call; if it throws, nothing was said
   */
  emplace(type: number, length: number, fill: (room: Room) => void, timeoutMs = Infinity): void {
    const handle = this.own();
    u16(type, "type");
    const size = runtime.size(whole(length, 0xffffffff, "length"));
    check(native.krepis_send_begin(handle, size, out, deadline(timeoutMs)), "emplace");
    const room = new RingRoom(this.held, address(outWords), length);
    try {
      fill(room);
    } catch (e) {
      room.end();
      if (!this.closed) native.krepis_send_cancel(handle);
      throw e;
    }
    room.end();
    check(native.krepis_send_commit(this.own(), type, runtime.size(length)), "emplace");
  }

  /** Publishes what was emplaced. */
  flush(): void {
    const err = native.krepis_flush(this.own());
    if (err !== 0) check(err, "flush");
  }

  /** Takes a buffer, to be filled in place. Blocks until there is one. */
  acquire(timeoutMs = Infinity): Buffer {
    check(native.krepis_acquire(this.own(), out, deadline(timeoutMs)), "acquire");
    return this.#buffer(address(outWords));
  }

  /** Returns null if none is free. */
  tryAcquire(): Buffer | null {
    const err = native.krepis_acquire(this.own(), out, runtime.nowait);
    if (err === -k.EAGAIN) return null;
    check(err, "tryAcquire");
    return this.#buffer(address(outWords));
  }

  /** Takes a buffer when there is one, and the event loop goes on. */
  async acquired(timeoutMs = Infinity): Promise<Buffer> {
    const [err, buffer] = await this.later(ACQUIRED, 0, deadline(timeoutMs));
    check(err, "acquired");
    this.own();
    return this.#buffer(buffer!);
  }

  #buffer(at: number): Buffer {
    let known = this.#buffers.get(at);
    if (!known) {
      const pointer = runtime.pointer(at);
      known = { pointer, data: runtime.address(native.krepis_buffer_data(pointer)) };
      this.#buffers.set(at, known);
      this.#bufferSize = Number(native.krepis_buffer_size(pointer));
    }
    return new Buffer(this.held, known.data, this.#bufferSize, known.pointer);
  }

  /**
   * Gives a buffer to all consumers. Its views end. If this throws, the buffer is still yours.
   * @param flags KREPIS_MSG_CRC32C: with a checksum, for verify()
   */
  publish(buffer: Buffer, type: number, length: number, flags = 0, timeoutMs = Infinity): void {
    const handle = this.own();
    if (!(buffer instanceof Buffer)) throw new TypeError("buffer: not a Buffer");
    if (!buffer.of(this.held)) throw new KrepisError(k.EINVAL, "publish", "the buffer is another producer's");
    if (!buffer.live) throw buffer.over();
    if (buffer.taken) throw new TypeError("buffer: its ArrayBuffer was transferred, and cannot be taken from you");
    if (flags !== 0 && flags !== k.KREPIS_MSG_CRC32C) throw new RangeError(`flags: ${flags} is not KREPIS_MSG_CRC32C`);
    u16(type, "type");
    const size = runtime.size(whole(length, buffer.length, "length"));
    const err = native.krepis_publish(handle, buffer.pointer, type, size, flags, deadline(timeoutMs));
    if (err !== 0) check(err, "publish");
    buffer.end();
  }

  /** Blocks until every consumer has read and released all. */
  drain(timeoutMs = Infinity): void {
    check(native.krepis_drain(this.own(), deadline(timeoutMs)), "drain");
  }

  /** The same, and the event loop goes on. */
  async drained(timeoutMs = Infinity): Promise<void> {
    check((await this.later(DRAINED, 0, deadline(timeoutMs)))[0], "drained");
  }
}
