// SPDX-License-Identifier: MIT
// A message goes through: the same for each runtime. What they do not share is given: an address of
// two words, the memory and the text that are behind one; `k` are the constants, `msgOf` offsets.

export function equal(a, b, what) {
  if (a !== b) throw new Error(`${what}: ${a}, and not ${b}`);
}

export function smoke({ native, pointer, memory, text, k, size, msgOf }) {
  const out = new BigUint64Array(1);
  const words = new Uint32Array(out.buffer);
  const came = () => pointer(words[0], words[1]);
  const msg = new DataView(new ArrayBuffer(size));
  const data = () => pointer(msg.getUint32(msgOf.data, true), msg.getUint32(msgOf.data + 4, true));
  const length = () => msg.getUint32(msgOf.len, true);

  equal(native.krepis_channel_create(null, null, out), 0, "create");
  const channel = came();
  equal(native.krepis_attach(channel, k.KREPIS_PRODUCER, 0, out), 0, "attach the producer");
  const producer = came();
  equal(native.krepis_attach(channel, k.KREPIS_CONSUMER, 0, out), 0, "attach the consumer");
  const consumer = came();

  const hello = new TextEncoder().encode("hello");
  equal(native.krepis_send(producer, 7, hello, hello.length, k.KREPIS_NOWAIT), 0, "send");
  equal(native.krepis_recv(consumer, msg, k.KREPIS_FOREVER), 0, "recv");
  equal(msg.getUint16(msgOf.type, true), 7, "type");
  equal(new TextDecoder().decode(memory(data(), length())), "hello", "payload");
  equal(native.krepis_send(producer, 9, null, 0, k.KREPIS_NOWAIT), 0, "send nothing");
  equal(native.krepis_recv(consumer, msg, 1), 0, "receive nothing");
  equal(length(), 0, "length of nothing");

  equal(native.krepis_acquire(producer, out, k.KREPIS_NOWAIT), 0, "acquire");
  const buffer = came();
  const room = native.krepis_buffer_data(buffer);
  equal(Number(native.krepis_buffer_size(buffer)), 1 << 20, "buffer_size");
  new Uint8Array(memory(room, 1 << 20)).set(hello);
  const handle = native.krepis_buffer_handle(buffer);
  equal(typeof handle, "bigint", "buffer_handle");
  equal(native.krepis_buffer_lookup(producer, handle, out), 0, "buffer_lookup");
  equal(native.krepis_buffer_lookup(producer, handle + (1n << 32n), out), -k.ESTALE, "a handle of another life");
  equal(native.krepis_publish(producer, buffer, 8, 5, k.KREPIS_MSG_CRC32C, k.KREPIS_NOWAIT), 0, "publish");
  equal(native.krepis_recv(consumer, msg, k.KREPIS_NOWAIT), 0, "recv of a buffer");
  equal(native.krepis_msg_verify(msg), 0, "msg_verify");
  equal(new TextDecoder().decode(memory(data(), length())), "hello", "payload of a buffer");
  equal(native.krepis_release(consumer, msg), 0, "release");
  equal(native.krepis_release(consumer, msg), -k.EPERM, "release again");

  equal(native.krepis_crc32c(0, new TextEncoder().encode("123456789"), 9), 0xe3069283, "crc32c");
  equal(text(native.krepis_strerror(-k.KREPIS_PEER_GONE)), "the other side has gone", "strerror");

  native.krepis_detach(producer);
  equal(native.krepis_recv(consumer, msg, k.KREPIS_FOREVER), -k.KREPIS_PEER_GONE, "the end");
  native.krepis_detach(consumer);
  native.krepis_channel_close(channel);
  native.krepis_channel_close(null);
}
