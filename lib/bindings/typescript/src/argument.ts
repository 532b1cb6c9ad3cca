// SPDX-License-Identifier: MIT
// Arguments, looked at before C gets them: Deno and Bun take -1 for 65535, and text for 0.
import { type Int64 } from "./library.js";
import { runtime } from "./runtime.js";

export function whole(value: unknown, most: number, name: string): number {
  if (typeof value !== "number") throw new TypeError(`${name}: not a number`);
  if (!(Number.isInteger(value) && value >= 0 && value <= most))
    throw new RangeError(`${name}: ${value} is not a whole number from 0 to ${most}`);
  return value;
}

export function u16(value: number, name: string): number {
  return (value & 0xffff) === value ? value : whole(value, 0xffff, name);
}

export function u32(value: number, name: string): number {
  return whole(value, 0xffffffff, name);
}

/** The deadline so many milliseconds from now. */
export function deadline(timeoutMs: number): Int64 {
  if (timeoutMs === Infinity) return runtime.forever;
  if (typeof timeoutMs !== "number") throw new TypeError("timeoutMs: not a number");
  if (!(timeoutMs >= 0)) throw new RangeError(`timeoutMs: ${timeoutMs} is less than 0`);
  const at = Math.round(runtime.now() + timeoutMs * 1e6);
  return at >= 2 ** 63 ? runtime.forever : typeof runtime.nowait === "bigint" ? BigInt(at) : at;
}

export function bytesOf(data: ArrayBufferView): Uint8Array {
  if (data instanceof Uint8Array) return data;
  if (!ArrayBuffer.isView(data)) throw new TypeError("data: not an ArrayBufferView");
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

export function path(text: unknown): string {
  if (typeof text !== "string") throw new TypeError("path: not a string");
  if (text.includes("\0")) throw new RangeError("path: there is a 0 in it");
  return text;
}
