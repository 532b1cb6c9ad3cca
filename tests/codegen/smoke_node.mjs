// SPDX-License-Identifier: MIT
// node smoke_node.mjs ADDON LIBRARY.JSON: a message goes through, and wrong arguments do not.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { equal, smoke } from "./smoke.mjs";

const native = createRequire(import.meta.url)(process.argv[2]);
const library = JSON.parse(readFileSync(process.argv[3], "utf8"));
const k = Object.fromEntries(library.constants.map((c) => [c.name, c.value]));
const msg = library.structs.find((s) => s.name === "krepis_msg");
const msgOf = Object.fromEntries(msg.fields.map((f) => [f.name, f.offset]));

// JSON.parse() makes a number of it, which is one too many: what is too large is for ever.
k.KREPIS_FOREVER = Number.POSITIVE_INFINITY;
smoke({
  native,
  pointer: (low, high) => high * 2 ** 32 + low,
  memory: native.memory,
  text: native.text,
  k,
  size: msg.size,
  msgOf,
});

function refused(kind, words, call) {
  try {
    call();
  } catch (e) {
    if (!(e instanceof kind) || !e.message.includes(words)) throw new Error(`${words}: ${e}`);
    return;
  }
  throw new Error(`taken: ${words}`);
}

const out = new BigUint64Array(1);
equal(native.krepis_channel_create(null, null, out), 0, "create");
const channel = Number(out[0]);
equal(native.krepis_attach(channel, k.KREPIS_PRODUCER, 0, out), 0, "attach");
const producer = Number(out[0]);
const room = new Uint8Array(8);

// One argument is wrong each.
equal(native.krepis_send(producer, 7, room, 8, 0), -k.ENOTCONN, "send");
refused(TypeError, "krepis_send: endpoint: neither an address", () => native.krepis_send("1", 7, room, 8, 0));
refused(TypeError, "krepis_send: endpoint: null", () => native.krepis_send(null, 7, room, 8, 0));
refused(RangeError, "krepis_send: endpoint: not an address", () => native.krepis_send(-1, 7, room, 8, 0));
refused(RangeError, "krepis_send: endpoint: not an address", () => native.krepis_send(0.5, 7, room, 8, 0));
refused(TypeError, "krepis_send: type: not a number", () => native.krepis_send(producer, "7", room, 8, 0));
refused(RangeError, "krepis_send: type: not a whole number from 0 to 65535", () => native.krepis_send(producer, 65536, room, 8, 0));
refused(RangeError, "krepis_send: type: not a whole number", () => native.krepis_send(producer, 0.5, room, 8, 0));
refused(RangeError, "krepis_send: type: not a whole number", () => native.krepis_send(producer, NaN, room, 8, 0));
refused(TypeError, "krepis_send: data: neither an ArrayBufferView nor null", () => native.krepis_send(producer, 7, "text", 4, 0));
refused(RangeError, "krepis_send: data: 8 bytes, and not 9", () => native.krepis_send(producer, 7, room, 9, 0));
refused(RangeError, "krepis_send: data: 0 bytes, and not 1", () => native.krepis_send(producer, 7, null, 1, 0));
refused(TypeError, "krepis_send: deadline: neither a number nor a bigint", () => native.krepis_send(producer, 7, room, 8));
refused(RangeError, "krepis_send: deadline: not a number", () => native.krepis_send(producer, 7, room, 8, NaN));
refused(RangeError, "krepis_send: deadline: more than 64 bits", () => native.krepis_send(producer, 7, room, 8, 1n << 64n));
equal(native.krepis_send(producer, 7, room, 8, (1n << 63n) - 1n), -k.ENOTCONN, "a bigint");
refused(RangeError, "krepis_acquire: out: 4 bytes, and not 8", () => native.krepis_acquire(producer, new Uint32Array(1), 0));
refused(RangeError, "krepis_acquire: out: 0 bytes", () => native.krepis_acquire(producer, new Uint32Array(0), 0));
refused(RangeError, "multiple of 8", () => native.krepis_acquire(producer, new Uint8Array(new ArrayBuffer(16), 1, 8), 0));
refused(TypeError, "krepis_acquire: out: not an ArrayBufferView", () => native.krepis_acquire(producer, null, 0));
refused(RangeError, "krepis_channel_create: options: 0 bytes, and not 56", () => native.krepis_channel_create(null, new Uint8Array(0), out));
refused(RangeError, "krepis_channel_open: path: a text without a 0", () => native.krepis_channel_open(new TextEncoder().encode("x"), 0, out));
refused(RangeError, "krepis_channel_open: path: a text without a 0", () => native.krepis_channel_open(new Uint8Array(0), 0, out));
refused(TypeError, "krepis_channel_open: path: not an ArrayBufferView", () => native.krepis_channel_open(null, 0, out));
equal(native.krepis_channel_open(new TextEncoder().encode("/nowhere/x\0"), 0, out), -k.ENOENT, "open");
refused(TypeError, "krepis_buffer_lookup: handle: not a bigint", () => native.krepis_buffer_lookup(producer, 1, out));
refused(RangeError, "krepis_recv_batch: msgs: 8 bytes, and not 96", () => native.krepis_recv_batch(producer, room, 2, 0));

// Memory: two views of one place, one of which ends.
const at = native.address(room);
const [a, b] = [native.memory(at, 8), native.memory(at, 8)];
new Uint8Array(a)[3] = 5;
equal(room[3], 5, "one memory");
native.write(at, new Uint8Array([9, 8]));
equal(room[0] * 256 + room[1] + room[3], 9 * 256 + 8 + 5, "write");
const taken = new Uint8Array(4);
native.read(at, taken);
equal(taken.join(), "9,8,0,5", "read");
refused(TypeError, "copy: address: null", () => native.read(null, taken));
native.detach(a);
equal(a.byteLength, 0, "detached");
equal(new Uint8Array(b)[3], 5, "the other one");
refused(TypeError, "detach: buffer", () => native.detach(room));
refused(TypeError, "memory: address: null", () => native.memory(null, 8));
refused(RangeError, "memory: length", () => native.memory(at, -1));

native.krepis_detach(producer);
native.krepis_channel_close(channel);
