// SPDX-License-Identifier: MIT
// In a worker, which may block: tells what it receives until the producer has left.
import { parentPort, workerData } from "node:worker_threads";
import { Channel, Consumer, PeerGone } from "../../bindings/typescript/index.js";

const channel = Channel.open(workerData as number);
const consumer = new Consumer(channel);
parentPort!.postMessage("here");
try {
  for (;;) {
    using message = consumer.recv(20000);
    parentPort!.postMessage(message.type);
  }
} catch (e) {
  if (!(e instanceof PeerGone)) throw e;
}
consumer.close();
channel.close();
parentPort!.postMessage("gone");
