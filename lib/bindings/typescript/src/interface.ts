// SPDX-License-Identifier: MIT
// What Deno, Bun and Node have in common for the rest of the package.
import { type Int64, type Native } from "./library.js";

/** An address, as the runtime has it: an object in Deno, else a number. */
export interface Pointer {
  readonly address: unique symbol;
}

export const READY = 0;
export const PEER = 1;
export const DRAINED = 2;
export const ACQUIRED = 3;
export const MEMBERS = 4;
export type What = typeof READY | typeof PEER | typeof DRAINED | typeof ACQUIRED | typeof MEMBERS;

/** How many a wait set tells at once. */
export const READY_MAX = 64;

export interface Runtime {
  native: Native<Pointer>;
  /** Deadlines. Deno calls with a bigint ten times as fast as with a number. */
  nowait: Int64;
  forever: Int64;
  /** A length, for a parameter that is a size_t. */
  size(length: number): Int64;
  pointer(address: number): Pointer;
  address(pointer: Pointer | null): number;
  /** Foreign memory; no copy. */
  memory(address: number, length: number): ArrayBuffer;
  /** The end of what memory() made: it has no bytes from now on, nor has a view of it. */
  detach(buffer: ArrayBuffer): void;
  /** The same, and they are another ArrayBuffer's, where that takes less time than memory() next time. */
  renew?(buffer: ArrayBuffer): ArrayBuffer;
  text(pointer: Pointer): string;
  /** CLOCK_MONOTONIC, nanoseconds. */
  now(): number;
  /**
   * One call that waits, in another thread. Its result, and what came back: of ACQUIRED the buffer, of MEMBERS data
   * and err of each that is ready, READY_MAX at most.
   */
  later(what: What, handle: Pointer, count: number, deadline: Int64): Promise<[result: number, ...back: number[]]>;
}

/** ArrayBuffer of ECMAScript 2024: transfer() gives its bytes to another one, and copies nothing. */
export type Transferable = ArrayBuffer & { transfer(length?: number): ArrayBuffer };

/** What each of deno.ts, bun.ts and node.ts has. */
export interface Loader {
  variable(name: string): string | undefined;
  /** Only krepis_version() is called before versions were compared. */
  open(path: string): { version: string; start(): Runtime };
}
