// SPDX-License-Identifier: MIT
import "./dispose.js";
import { deadline, whole } from "./argument.js";
import { address, Channel, out, outWords } from "./channel.js";
import { check, KrepisError } from "./error.js";
import { PEER, type Pointer, READY, type What } from "./interface.js";
import * as k from "./library.js";
import { native, runtime } from "./runtime.js";
import { type Status, status } from "./status.js";
import { Held } from "./view.js";

export interface AttachOptions {
  /** Sleep at once instead of spinning first. */
  noSpin?: boolean;
}

// The last resort for endpoints that nobody closed.
const dropped = new FinalizationRegistry<Held>((held) => held.end());

/** What all sides of a channel can do. Its buffers and messages end with it. */
export abstract class Endpoint implements Disposable {
  /** @internal */
  readonly held: Held;

  /** @internal */
  constructor(channel: Channel, role: number, options: AttachOptions) {
    if (!(channel instanceof Channel)) throw new TypeError("channel: not a Channel");
    const flags = options.noSpin ? k.KREPIS_ATTACH_NO_SPIN : 0;
    check(native.krepis_attach(channel.pointer, role, flags, out), `attach a ${new.target.name}`);
    this.held = new Held(runtime.pointer(address(outWords)));
    dropped.register(this, this.held, this.held);
  }

  /** Blocks until the next call would not have to wait: there is a message, or room for one. */
  wait(timeoutMs = Infinity): void {
    const [handle, at] = [this.own(), deadline(timeoutMs)];
    this.settle();
    check(native.krepis_wait(handle, at), "wait");
  }

  /** The same, and the event loop goes on. Nothing else can be called on the endpoint meanwhile but close(). */
  async ready(timeoutMs = Infinity): Promise<void> {
    check((await this.later(READY, 0, deadline(timeoutMs)))[0], "ready");
  }

  /** Blocks until somebody is at the other side: so many consumers, or the producer. */
  waitPeer(count = 1, timeoutMs = Infinity): void {
    check(native.krepis_wait_peer(this.own(), whole(count, 0xffffffff, "count"), deadline(timeoutMs)), "waitPeer");
  }

  /** The same, and the event loop goes on. */
  async peer(count = 1, timeoutMs = Infinity): Promise<void> {
    check((await this.later(PEER, whole(count, 0xffffffff, "count"), deadline(timeoutMs)))[0], "peer");
  }

  /** Waits end, sends fail with ESHUTDOWN, receives do after what is there. */
  shutdown(): void {
    native.krepis_shutdown(this.handle());
  }

  query(): Status {
    return status((room) => check(native.krepis_endpoint_query(this.handle(), room), "query"));
  }

  get closed(): boolean {
    return this.held.handle === null;
  }

  /** Leaves the channel. What was sent stays readable; all views end. A call that is awaited ends. */
  close(): void {
    const { handle } = this.held;
    if (handle === null) return;
    dropped.unregister(this.held);
    if (!this.held.busy) return this.held.end();
    this.held.handle = null;
    this.held.endMemories();
    native.krepis_shutdown(handle);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** @internal What a wait ends. */
  settle(): void {}

  /** @internal */
  protected handle(): Pointer {
    return this.held.handle ?? this.refuse();
  }

  /** @internal For what only one thread at a time may call. */
  own(): Pointer {
    const { handle, busy } = this.held;
    return handle === null || busy ? this.refuse() : handle;
  }

  private refuse(): never {
    const [errno, why] = this.held.busy ? [k.EBUSY, "a call of it is awaited"] : [k.EBADF, "it was closed"];
    throw new KrepisError(errno, this.constructor.name, why);
  }

  /** @internal A call that waits, in another thread. */
  protected async later(what: What, count: number, at: k.Int64): Promise<[result: number, ...back: number[]]> {
    const handle = this.own();
    this.settle();
    this.held.busy = true;
    try {
      return await runtime.later(what, handle, count, at);
    } finally {
      this.held.busy = false;
      if (this.closed) native.krepis_detach(handle);
    }
  }
}
