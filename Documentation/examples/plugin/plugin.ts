// SPDX-License-Identifier: MIT
// The plugin: nobody trusts it. Its channel is its standard input; it has nothing else.
import { readFileSync } from "node:fs";
import { Channel, PeerGone, Producer } from "@krepis/krepis";
import { layoutId, Picture } from "./picture.js";

try {
  console.error("plugin: /etc/shadow begins with", readFileSync("/etc/shadow", "utf8").slice(0, 8));
} catch {
  console.error("plugin: /etc/shadow is out of reach");
}

using channel = Channel.open(0, { layoutId });
using producer = new Producer(channel);
await producer.peer(1, 5000);
try {
  for (let number = 1n; ; number++) {
    using buffer = await producer.acquired();
    const picture = buffer.as(Picture);
    picture.number = number;
    picture.pixels.fill(Number(number % 256n));
    producer.publish(buffer, Picture.packet, Picture.size); // the host's now; the view has ended
  }
} catch (e) {
  if (!(e instanceof PeerGone)) throw e; // the host has seen enough
}
