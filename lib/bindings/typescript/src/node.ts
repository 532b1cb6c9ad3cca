// SPDX-License-Identifier: MIT
// Node: the addon, which looks at every argument once more.
import { addon, laterBy } from "./addon.js";
import { type Pointer, type Runtime, type Transferable } from "./interface.js";

export function variable(name: string): string | undefined {
  return process.env[name];
}

export function open(path: string): { version: string; start(): Runtime } {
  const native = addon(path);
  const start = (): Runtime => ({
    native,
    nowait: 0,
    forever: Infinity,
    size: (length) => length,
    pointer: (address) => address as unknown as Pointer,
    address: (pointer) => pointer as unknown as number,
    memory: native.memory,
    detach: native.detach,
    // Node 22 and newer.
    ...("transfer" in ArrayBuffer.prototype && { renew: (buffer: ArrayBuffer) => (buffer as Transferable).transfer() }),
    text: native.text,
    now: () => Number(process.hrtime.bigint()),
    later: laterBy(() => native),
  });
  return { version: native.text(native.krepis_version()!), start };
}
