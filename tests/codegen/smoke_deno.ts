// SPDX-License-Identifier: MIT
import * as k from "./native.ts";
import { smoke } from "./smoke.mjs";

const { symbols: native } = Deno.dlopen(Deno.args[0], k.symbols);

smoke({
  native,
  pointer: (low: number, high: number) => Deno.UnsafePointer.create(BigInt(high) << 32n | BigInt(low)),
  memory: (at: Deno.PointerObject, length: number) => Deno.UnsafePointerView.getArrayBuffer(at, length),
  text: (at: Deno.PointerObject) => Deno.UnsafePointerView.getCString(at),
  k,
  size: k.KrepisMsg.size,
  msgOf: k.KrepisMsg.offsets,
});
