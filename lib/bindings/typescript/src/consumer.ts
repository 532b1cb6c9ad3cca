// SPDX-License-Identifier: MIT
import "./dispose.js";
import { deadline } from "./argument.js";
import { address, type Channel, out } from "./channel.js";
import { type AttachOptions, Endpoint } from "./endpoint.js";
import { check, failure, type KrepisError, Lapped } from "./error.js";
import { READY } from "./interface.js";
import * as k from "./library.js";
import { native, runtime } from "./runtime.js";
import { Turns } from "./turns.js";
import { type Held, Typed } from "./view.js";

const at = k.KrepisMsg.offsets;

/** A struct krepis_msg. */
export class Slot {
  readonly words = new Uint32Array(new ArrayBuffer(k.KrepisMsg.size));

  get data(): number {
    return address(this.words, at.data >> 2);
  }
  get length(): number {
    return this.words[at.len >> 2]!;
  }
  get type(): number {
    return this.words[at.type >> 2]! & 0xffff;
  }
  get flags(): number {
    return this.words[at.type >> 2]! >>> 16;
  }
  get inBuffer(): boolean {
    return (this.words[at.buffer >> 2]! | this.words[(at.buffer >> 2) + 1]!) !== 0;
  }
}

/** A view of a message. One that came inline ends with the next call that receives or waits, too. */
export class Message extends Typed implements Disposable {
  /** Whether it lasts until it is released. */
  readonly inBuffer: boolean;
  private readonly slot: Slot;
  private readonly free: Slot[];

  /** @internal */
  constructor(held: Held, slot: Slot, free: Slot[]) {
    super(held, slot.data, slot.length, slot.type, slot.flags);
    this.inBuffer = slot.inBuffer;
    this.slot = slot;
    this.free = free;
  }

  protected override get recurs(): boolean {
    return this.inBuffer;
  }

  /** Grows from message to message. */
  get sequence(): number {
    if (!this.live) throw this.over();
    return address(this.slot.words, at.sequence >> 2);
  }

  /** Compares the payload with its checksum: false if they differ. ENODATA: the sender made none. */
  verify(): boolean {
    if (!this.live) throw this.over();
    const err = native.krepis_msg_verify(this.slot.words);
    return err !== -k.EBADMSG && check(err, "verify") === 0;
  }

  /** Of an exclusive channel, in a buffer: from now on data and bytes may be written. */
  edit(): Uint8Array {
    if (!this.live) throw this.over();
    check(native.krepis_msg_edit(this.slot.words, out), "edit");
    return this.bytes;
  }

  /** Releases it. Once more does nothing. */
  [Symbol.dispose](): void {
    if (!this.live) return this.end();
    const handle = this.held.handle!;
    const { taken } = this;
    this.end();
    if (!taken) native.krepis_release(handle, this.slot.words);
  }

  /** @internal */
  override end(): void {
    if (!this.ended) this.free.push(this.slot);
    super.end();
  }
}

/** Receives every message from now on. */
export class Consumer extends Endpoint implements AsyncIterable<Message> {
  readonly #free: Slot[] = [];
  #inline: Message | null = null;
  readonly #turns = new Turns();

  constructor(channel: Channel, options: AttachOptions = {}) {
    super(channel, k.KREPIS_CONSUMER, options);
  }

  /** @internal */
  override settle(): void {
    this.#inline?.end();
    this.#inline = null;
  }

  /** Returns null: there is none now. */
  #take(deadline_: k.Int64, what: string): Message | KrepisError | null {
    const handle = this.own();
    this.settle();
    const slot = this.#free.pop() ?? new Slot();
    const err = native.krepis_recv(handle, slot.words, deadline_);
    if (err === 0) {
      const message = new Message(this.held, slot, this.#free);
      if (!message.inBuffer) this.#inline = message;
      return message;
    }
    const lost = address(slot.words, at.lost >> 2);
    this.#free.push(slot);
    if (err === -k.EAGAIN) return null;
    return err === -k.KREPIS_ELAPPED ? new Lapped(k.KREPIS_ELAPPED, what, lost) : failure(err, what);
  }

  /** Returns null if there is none now. */
  tryRecv(): Message | null {
    const got = this.#take(runtime.nowait, "tryRecv");
    if (got instanceof Error) throw got;
    return got;
  }

  /** Blocks until there is one: for workers, and not for whoever has an event loop. */
  recv(timeoutMs = Infinity): Message {
    const got = this.#take(deadline(timeoutMs), "recv");
    if (got instanceof Message) return got;
    throw got ?? failure(-k.EAGAIN, "recv");
  }

  /**
   * The next message, and the event loop goes on. Returns null when the producer has left and all is read, or after
   * shutdown() or close().
   */
  async next(timeoutMs = Infinity): Promise<Message | null> {
    const until = deadline(timeoutMs);
    if (this.#turns.due) await this.#turns.give();
    let waited = 0;
    for (;;) {
      if (this.closed) return null;
      const got = this.#take(runtime.nowait, "next");
      if (got instanceof Message) return got;
      if (got?.errno === k.KREPIS_PEER_GONE || got?.errno === k.ESHUTDOWN) return null;
      if (got) throw got;
      if (waited < 0) throw failure(waited, "next");
      [waited] = await this.later(READY, 0, until);
      this.#turns.had();
    }
  }

  /** for await (using message of consumer): each is released when the next one is asked for. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Message, void, void> {
    for (let message; (message = await this.next()); )
      try {
        yield message;
      } finally {
        message[Symbol.dispose]();
      }
  }
}
