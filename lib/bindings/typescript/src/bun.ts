// SPDX-License-Identifier: MIT
// Bun: its FFI; and because that cannot call in another thread, the addon for calls that wait.
import { CString, dlopen, toArrayBuffer } from "bun:ffi";
import { type Addon, addon, laterBy } from "./addon.js";
import { bunSymbols, KREPIS_FOREVER, type Native } from "./library.js";
import { type Pointer, type Runtime, type Transferable } from "./interface.js";

type Clock = { clock_gettime(clock: number, out: ArrayBufferView): number };

export function variable(name: string): string | undefined {
  return process.env[name];
}

const number = (pointer: Pointer) => pointer as unknown as number;
const text = (pointer: Pointer) => new CString(number(pointer)).toString();

export function open(path: string): { version: string; start(): Runtime } {
  const { krepis_version } = bunSymbols();
  const first = dlopen(path, { krepis_version: krepis_version! }).symbols as unknown as Native<Pointer>;
  return { version: text(first.krepis_version()!), start: () => start(path) };
}

function start(path: string): Runtime {
  const { symbols } = dlopen(path, {
    ...bunSymbols(),
    // Of the C library, which libkrepis brings: process.hrtime() begins with the process.
    clock_gettime: { args: ["i32", "ptr"], returns: "i32" },
  });
  const clock = new Float64Array(2);
  const time = new BigInt64Array(clock.buffer);
  let loaded: Addon | null = null;
  return {
    native: symbols as unknown as Native<Pointer>,
    nowait: 0,
    forever: KREPIS_FOREVER,
    size: (length) => length,
    pointer: (address) => address as unknown as Pointer,
    address: (pointer) => (pointer === null ? 0 : number(pointer)),
    memory: (address, length) => toArrayBuffer(address, 0, length),
    detach(buffer) {
      (buffer as Transferable).transfer(0);
    },
    renew: (buffer) => (buffer as Transferable).transfer(),
    text,
    now() {
      (symbols as unknown as Clock).clock_gettime(1, clock);
      return Number(time[0]) * 1e9 + Number(time[1]);
    },
    later: laterBy(() => (loaded ??= addon(path))),
  };
}
