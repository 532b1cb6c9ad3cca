// SPDX-License-Identifier: MIT
// The host: runs a plugin that it does not trust in another process, and looks at what that draws.
// Where the module is, the kernel takes each picture away from the plugin when it hands it over.
//
//	deno run --allow-ffi --allow-run --allow-read --allow-write --allow-env host.ts [PICTURES]
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { Channel, type ChannelOptions, Consumer, spawnPlugin } from "@krepis/krepis";
import { layoutId, Picture } from "./picture.js";

const here = dirname(fileURLToPath(import.meta.url));
const wanted = BigInt(process.argv[2] ?? 100);
const options: ChannelOptions = { bufferSize: Picture.size, bufferCount: 4, maxConsumers: 1, layoutId };

function create(): Channel {
  try {
    return Channel.create(null, { ...options, enforced: true });
  } catch {
    console.error("host: without the module the plugin could change a picture while it is looked at");
    return Channel.create(null, options);
  }
}

/** What a program of this runtime needs to start, these files, and nothing else of ours. */
function policy(directory: string): string {
  const path = `${directory}/policy.json`;
  const system = ["/usr", "/lib", "/lib64", "/proc", "/sys", "/etc/ssl", process.execPath];
  const files = (process.env["PLUGIN_READ"] ?? here).split(":");
  process.env["DENO_DIR"] = `${directory}/deno`;
  writeFileSync(path, JSON.stringify({
    allow: {
      read: [...system, ...files, directory],
      write: [directory],
      exec: [process.execPath],
      channel: true, // of which it has one
      env: ["KREPIS_LIBRARY", "DENO_DIR"],
    },
  }));
  return path;
}

const directory = mkdtempSync(`${tmpdir()}/plugin-`);
using channel = create();
using consumer = new Consumer(channel);
// All rights that Deno could give: it is the kernel that refuses.
const deno = "Deno" in globalThis ? ["run", "--quiet", "--no-lock", "--allow-all"] : [];
const command = [process.execPath, ...deno, `${here}/plugin.js`];
const plugin = spawnPlugin(policy(directory), command, {
  channel,
  krepis: process.env["KREPIS"] ?? "krepis",
  options: (process.env["KREPIS_RUN"] ?? "").split(" ").filter(Boolean), // such as --best-effort
});
const ended = new Promise<number | null>((resolve, reject) => {
  plugin.once("exit", resolve);
  plugin.once("error", reject); // there is no krepis
});
let seen = 0n;

while (seen < wanted) {
  using message = await Promise.race([consumer.next(30000), ended.then(() => null)]);
  const picture = message?.as(Picture);
  if (!picture) break; // it has gone, or sends what it should not
  if (picture.number !== seen + 1n || picture.pixels.some((p) => p !== Number(picture.number % 256n))) {
    console.error(`host: picture ${seen + 1n} is not as it should be`);
    break;
  }
  seen++;
}
consumer.close(); // the plugin ends when nobody looks any more
const patience = setTimeout(() => plugin.kill("SIGKILL"), 5000);
const status = await ended; // null: it had to be killed
clearTimeout(patience);
rmSync(directory, { recursive: true });
console.log(`host: ${seen} pictures, the plugin ended with status ${status}`);
process.exitCode = seen === wanted ? 0 : 1;
