// SPDX-License-Identifier: MIT
// The addon: all of Node's runtime, and of Bun's the calls that wait.
import { createRequire } from "node:module";
import { cText, type Int64, type Native } from "./library.js";
import { type Pointer, type Runtime, type What } from "./interface.js";

export interface Addon extends Native<Pointer> {
  load(path: Uint8Array): void;
  memory(address: number, length: number): ArrayBuffer;
  detach(buffer: ArrayBuffer): void;
  text(pointer: Pointer): string;
  later(what: What, handle: Pointer, count: number, deadline: Int64, done: (result: number, ...back: number[]) => void): void;
}

export function addon(path: string): Addon {
  const file = `./prebuilds/linux-${process.arch}/krepis.node`;
  let loaded;
  try {
    loaded = createRequire(import.meta.url)(file) as Addon;
  } catch (cause) {
    throw new Error(`there is no addon for this machine in the package: ${file}`, { cause });
  }
  loaded.load(cText(path));
  return loaded;
}

export function laterBy(loaded: () => Addon): Runtime["later"] {
  return (what, handle, count, deadline) =>
    new Promise((resolve) => loaded().later(what, handle, count, deadline, (...result) => resolve(result)));
}
