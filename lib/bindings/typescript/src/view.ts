// SPDX-License-Identifier: MIT
// Foreign memory, and when it ends.
import "./dispose.js";
import { KrepisError } from "./error.js";
import { type Pointer } from "./interface.js";
import { EPERM } from "./library.js";
import { native, runtime } from "./runtime.js";

/**
 * What an endpoint holds, apart from itself: if it is dropped, all this is ended in its place, and first of all
 * the memory that somebody may still look at.
 */
export class Held {
  /** A call waits in another thread, and nothing else may be called. */
  busy = false;
  /** The views that have been looked at: a list. A Set takes longer. */
  first: View | null = null;
  /** By their addresses: ArrayBuffers that nobody has, of memory that comes again. */
  readonly spare = new Map<number, ArrayBuffer>();

  constructor(public handle: Pointer | null) {}

  endMemories(): void {
    while (this.first) this.first.forget();
    this.spare.clear();
  }

  end(): void {
    const { handle } = this;
    this.handle = null;
    this.endMemories();
    if (handle) native.krepis_detach(handle);
  }
}

/** What krepis-codegen -l typescript makes of a struct. */
export interface Accessor<T> {
  new (view: DataView, at?: number): T;
  readonly size: number;
  readonly packet?: number;
}

/**
 * Memory of the channel, not a copy, until it ends: then every ArrayBuffer and DataView of it is detached, and
 * asking for one throws a KrepisError with code EPERM.
 */
export abstract class View {
  // Not #private: that is slow in Node 20.
  private data_: ArrayBuffer | null = null;
  private bytes_: Uint8Array | null = null;
  private view_: DataView | null = null;
  private before: View | null = null;
  private behind: View | null = null;
  protected ended = false;

  /** @internal */
  constructor(
    protected readonly held: Held,
    private readonly address: number,
    private readonly size: number,
  ) {}

  /** Whether the same address comes again and again, as that of a buffer does. */
  protected get recurs(): boolean {
    return true;
  }

  /** Bytes. */
  get length(): number {
    return this.size;
  }

  /** Whether it is still there. */
  get live(): boolean {
    return !this.ended && this.held.handle !== null;
  }

  /** All of it. */
  get data(): ArrayBuffer {
    if (!this.live) throw this.over();
    return (this.data_ ??= this.open());
  }

  get bytes(): Uint8Array {
    const { data } = this;
    return (this.bytes_ ??= new Uint8Array(data));
  }

  get view(): DataView {
    const { data } = this;
    return (this.view_ ??= new DataView(data));
  }

  private open(): ArrayBuffer {
    const spare = this.recurs && this.held.spare.get(this.address);
    let data;
    if (spare && spare.byteLength === this.size) {
      this.held.spare.delete(this.address);
      data = spare;
    } else data = this.size ? runtime.memory(this.address, this.size) : new ArrayBuffer(0);
    this.behind = this.held.first;
    if (this.behind) this.behind.before = this;
    this.held.first = this;
    return data;
  }

  /** @internal From now on it is somebody else's. */
  over(): KrepisError {
    return new KrepisError(EPERM, this.constructor.name, "it has been given back, and is no longer there");
  }

  /** @internal Somebody has transferred its memory to an ArrayBuffer that is not known here, and not to be ended. */
  get taken(): boolean {
    return this.data_ !== null && this.data_.byteLength !== this.size;
  }

  /** @internal */
  end(): void {
    this.ended = true;
    if (this.data_) this.forget();
  }

  /** @internal What was looked at, nobody sees from now on. */
  forget(): void {
    const { before, behind } = this;
    if (before) before.behind = behind;
    else this.held.first = behind;
    if (behind) behind.before = before;
    this.before = this.behind = null;
    if (this.data_!.byteLength) {
      if (this.recurs && runtime.renew) this.held.spare.set(this.address, runtime.renew(this.data_!));
      else runtime.detach(this.data_!);
    }
    this.data_ = this.bytes_ = this.view_ = null;
  }
}

/** A view that came with a type. */
export abstract class Typed extends View {
  /** @internal */
  constructor(
    held: Held,
    address: number,
    size: number,
    /** The sender's number. */
    readonly type: number,
    /** KREPIS_MSG_*. */
    readonly flags: number,
  ) {
    super(held, address, size);
  }

  /** A look at it as one packet, or null: it is another one, or of another size. */
  as<T>(accessor: Accessor<T>): T | null {
    if (!this.live) throw this.over();
    if (this.type !== accessor.packet || this.length !== accessor.size) return null;
    return new accessor(this.view);
  }
}
