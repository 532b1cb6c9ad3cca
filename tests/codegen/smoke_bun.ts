// SPDX-License-Identifier: MIT
import { CString, dlopen, toArrayBuffer } from "bun:ffi";
import * as k from "./native.ts";
import { smoke } from "./smoke.mjs";

const { symbols: native } = dlopen(process.argv[2], k.bunSymbols() as never);

smoke({
  native,
  pointer: (low: number, high: number) => high * 2 ** 32 + low,
  memory: (at: never, length: number) => toArrayBuffer(at, 0, length),
  text: (at: never) => new CString(at).toString(),
  k,
  size: k.KrepisMsg.size,
  msgOf: k.KrepisMsg.offsets,
});
