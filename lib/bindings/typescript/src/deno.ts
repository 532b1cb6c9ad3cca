// SPDX-License-Identifier: MIT
// Deno: its FFI, and for calls that wait its threads (nonblocking).
import { type Int64, KREPIS_FOREVER, type Native, symbols } from "./library.js";
import { ReadyRoom } from "./ready.js";
import { ACQUIRED, DRAINED, MEMBERS, PEER, type Pointer, READY, READY_MAX, type Runtime, type Transferable, type What } from "./interface.js";

type Address = Pointer | null;
type Table = Record<string, { parameters: readonly string[]; result: string; nonblocking?: boolean; name?: string }>;
declare const Deno: {
  dlopen(path: string, symbols: Table): { symbols: unknown };
  env: { get(name: string): string | undefined };
  permissions: { querySync(what: { name: "env"; variable: string }): { state: string } };
  UnsafePointer: { create(address: bigint): Address; value(pointer: Address): number | bigint };
  UnsafePointerView: {
    getArrayBuffer(pointer: Pointer, length: number, offset: number): ArrayBuffer;
    getCString(pointer: Pointer): string;
  };
};

interface Waits {
  wait(endpoint: Pointer, deadline: Int64): Promise<number>;
  wait_peer(endpoint: Pointer, count: number, deadline: Int64): Promise<number>;
  drain(endpoint: Pointer, deadline: Int64): Promise<number>;
  acquire(endpoint: Pointer, out: ArrayBufferView, deadline: Int64): Promise<number>;
  members(set: Pointer, ready: ArrayBufferView, count: number, deadline: Int64): Promise<number>;
  clock_gettime(clock: number, out: ArrayBufferView): number;
}

const later = (name: keyof typeof symbols) => ({ ...symbols[name], name, nonblocking: true });

/** What it may not ask for, it does not ask: that would be a question to whoever sits there. */
export function variable(name: string): string | undefined {
  return Deno.permissions.querySync({ name: "env", variable: name }).state === "granted" ? Deno.env.get(name) : undefined;
}

export function open(path: string): { version: string; start(): Runtime } {
  const { krepis_version } = symbols;
  const first = Deno.dlopen(path, { krepis_version }).symbols as Native<Pointer>;
  return { version: Deno.UnsafePointerView.getCString(first.krepis_version()!), start: () => start(path) };
}

function start(path: string): Runtime {
  const native = Deno.dlopen(path, symbols).symbols as Native<Pointer>;
  const waits = Deno.dlopen(path, {
    wait: later("krepis_wait"),
    wait_peer: later("krepis_wait_peer"),
    drain: later("krepis_drain"),
    acquire: later("krepis_acquire"),
    members: later("krepis_waitset_wait"),
    // Of the C library, which libkrepis brings.
    clock_gettime: { parameters: ["i32", "buffer"], result: "i32" },
  }).symbols as Waits;
  const clock = new Float64Array(2);
  const time = new BigInt64Array(clock.buffer);

  // All memory is told from here: to make a pointer of a number takes longer than to add.
  const base = native.krepis_version()!;
  const origin = Number(Deno.UnsafePointer.value(base));
  let length = 0;
  let size = 0n;

  return {
    native,
    nowait: 0n,
    forever: KREPIS_FOREVER,
    size(n) {
      if (n !== length) {
        length = n;
        size = BigInt(n);
      }
      return size;
    },
    pointer: (address) => Deno.UnsafePointer.create(BigInt(address))!,
    address: (pointer) => Number(Deno.UnsafePointer.value(pointer)),
    memory: (address, n) => Deno.UnsafePointerView.getArrayBuffer(base, n, address - origin),
    detach(buffer) {
      (buffer as Transferable).transfer(0);
    },
    text: (pointer) => Deno.UnsafePointerView.getCString(pointer),
    now() {
      waits.clock_gettime(1, clock);
      return Number(time[0]) * 1e9 + Number(time[1]);
    },
    async later(what: What, handle: Pointer, count: number, deadline: Int64) {
      const at = BigInt(deadline);
      switch (what) {
        case READY:
          return [await waits.wait(handle, at)];
        case PEER:
          return [await waits.wait_peer(handle, count, at)];
        case DRAINED:
          return [await waits.drain(handle, at)];
        case ACQUIRED: {
          const out = new BigUint64Array(1);
          return [await waits.acquire(handle, out, at), Number(out[0])];
        }
        case MEMBERS: {
          const room = new ReadyRoom();
          const found = await waits.members(handle, room.words, READY_MAX, at);
          return [found, ...room.told(found)];
        }
      }
    },
  };
}
