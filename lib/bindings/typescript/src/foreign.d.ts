// SPDX-License-Identifier: MIT
// What is used here of bun:ffi.
declare module "bun:ffi" {
  type Symbol_ = { args: string[]; returns: string };
  export function dlopen(path: string, symbols: Record<string, Symbol_>): { symbols: Record<string, unknown> };
  export function toArrayBuffer(address: number, offset: number, length: number): ArrayBuffer;
  export class CString extends String {
    constructor(address: number);
  }
}
