// SPDX-License-Identifier: MIT
import "./dispose.js";
import { deadline } from "./argument.js";
import { address, out, outWords } from "./channel.js";
import { Endpoint } from "./endpoint.js";
import { check, failure, KrepisError } from "./error.js";
import { MEMBERS, type Pointer, READY_MAX } from "./interface.js";
import * as k from "./library.js";
import { ReadyRoom } from "./ready.js";
import { native, runtime } from "./runtime.js";
import { Turns } from "./turns.js";

/** An endpoint that has something to do. */
export interface Ready<T> {
  endpoint: Endpoint;
  /** What was given with it. */
  data: T;
  /** What its next call would throw: PeerGone, ... */
  error: KrepisError | null;
}

type Handle = { pointer: Pointer | null };
type Member<T> = { endpoint: Endpoint; data: T; pointer: Pointer };

// The last resort for sets that nobody closed.
const dropped = new FinalizationRegistry<Handle>(({ pointer }) => native.krepis_waitset_destroy(pointer));

/**
 * Waits for many endpoints, in one thread for all of them. It keeps them, until they are removed or closed, or it is.
 */
export class WaitSet<T = unknown> implements Disposable {
  readonly #handle: Handle;
  readonly #members = new Map<number, Member<T>>();
  readonly #room = new ReadyRoom();
  readonly #turns = new Turns();
  #next = 1;
  #waits = false;

  constructor() {
    check(native.krepis_waitset_create(out), "make a WaitSet");
    this.#handle = { pointer: runtime.pointer(address(outWords)) };
    dropped.register(this, this.#handle, this.#handle);
  }

  /**
   * Waits for one more. One that is closed leaves the set.
   * @param data comes back in Ready
   */
  add(endpoint: Endpoint, data: T): void {
    if (!(endpoint instanceof Endpoint)) throw new TypeError("endpoint: not an Endpoint");
    const [set, pointer] = [this.#own(), endpoint.own()];
    const key = this.#next;
    check(native.krepis_waitset_add(set, pointer, runtime.pointer(key)), "add");
    this.#next++;
    this.#members.set(key, { endpoint, data, pointer });
  }

  /** Waits for one less. */
  remove(endpoint: Endpoint): void {
    if (!(endpoint instanceof Endpoint)) throw new TypeError("endpoint: not an Endpoint");
    check(native.krepis_waitset_remove(this.#own(), endpoint.own()), "remove");
    for (const [key, member] of this.#members) if (member.endpoint === endpoint) this.#members.delete(key);
  }

  /**
   * Blocks until somebody is ready: a consumer with a message or a fresh value, a producer with room and a consumer, both
   * when their peer has gone. Who is left alone is told again. Ends the views of its consumers that are not in buffers.
   * Returns nobody after interrupt(), or if one was closed meanwhile.
   */
  wait(timeoutMs = Infinity): Ready<T>[] {
    const at = deadline(timeoutMs);
    return this.#told(...this.#look(at));
  }

  /** The same, and the event loop goes on. Nothing else can be called on the set and its endpoints meanwhile but close() and interrupt(). */
  async ready(timeoutMs = Infinity): Promise<Ready<T>[]> {
    const until = deadline(timeoutMs);
    this.#own();
    if (this.#turns.due) await this.#turns.give();
    if (this.#handle.pointer === null) return [];
    const [found, ...back] = this.#look(runtime.nowait);
    if (found !== -k.EAGAIN && found !== -k.ETIMEDOUT) return this.#told(found, ...back);
    return this.#told(...(await this.#later(until)));
  }

  /** Ends the wait, or else the next one: it returns nobody. */
  interrupt(): void {
    native.krepis_waitset_interrupt(this.#handle.pointer ?? this.#refuse());
  }

  /** Ends the set, and none of its endpoints. A wait that is awaited ends, too. */
  close(): void {
    const { pointer } = this.#handle;
    if (pointer === null) return;
    dropped.unregister(this.#handle);
    this.#handle.pointer = null;
    if (this.#waits) return native.krepis_waitset_interrupt(pointer);
    this.#members.clear();
    native.krepis_waitset_destroy(pointer);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #look(at: k.Int64): [found: number, ...back: number[]] {
    const set = this.#own();
    this.#settle();
    const found = native.krepis_waitset_wait(set, this.#room.words, READY_MAX, at);
    return [found, ...this.#room.told(found)];
  }

  async #later(at: k.Int64): Promise<[found: number, ...back: number[]]> {
    const set = this.#own();
    this.#waits = true;
    for (const { endpoint } of this.#members.values()) endpoint.held.busy = true;
    try {
      return await runtime.later(MEMBERS, set, 0, at);
    } finally {
      this.#waits = false;
      this.#turns.had();
      for (const { endpoint, pointer } of this.#members.values()) {
        endpoint.held.busy = false;
        if (endpoint.closed) native.krepis_detach(pointer);
      }
      if (this.#handle.pointer === null) {
        this.#members.clear();
        native.krepis_waitset_destroy(set);
      }
    }
  }

  /** Before a wait: who was closed has left, and what came inline ends. */
  #settle(): void {
    for (const [key, { endpoint }] of this.#members) {
      // Closed while it is awaited by itself: it is still in there.
      if (endpoint.closed && !endpoint.held.busy) this.#members.delete(key);
      else {
        endpoint.own();
        endpoint.settle();
      }
    }
  }

  #told(found: number, ...back: number[]): Ready<T>[] {
    if (found === -k.ECANCELED) return [];
    check(found, "wait");
    const ready: Ready<T>[] = [];
    for (let i = 0; i < back.length; i += 2) {
      const member = this.#members.get(back[i]!);
      const err = back[i + 1]!;
      if (member && !member.endpoint.closed)
        ready.push({ endpoint: member.endpoint, data: member.data, error: err < 0 ? failure(err, "wait") : null });
    }
    return ready;
  }

  #own(): Pointer {
    const { pointer } = this.#handle;
    return pointer === null || this.#waits ? this.#refuse() : pointer;
  }

  #refuse(): never {
    const [errno, why] = this.#waits ? [k.EBUSY, "a wait of it is awaited"] : [k.EBADF, "it was closed"];
    throw new KrepisError(errno, "WaitSet", why);
  }
}
