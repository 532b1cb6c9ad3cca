// SPDX-License-Identifier: MIT
// Which runtime it is, and whether the library is the one that this was made for.
import { type Loader, type Runtime } from "./interface.js";
import { version } from "./version.js";

function older(a: string, b: string): boolean {
  const [x, y] = [a, b].map((text) => text.split(".").map(Number)) as [number[], number[]];
  const i = x.findIndex((part, at) => part !== y[at]);
  return i >= 0 && x[i]! < (y[i] ?? 0);
}

function load(loader: Loader): Runtime {
  const path = loader.variable("KREPIS_LIBRARY") || "libkrepis.so.0";
  let opened;
  try {
    opened = loader.open(path);
  } catch (cause) {
    throw new Error(
      `${path} cannot be opened: ${(cause as Error).message}. Install libkrepis ${version}, or say where it is: ` +
        "KREPIS_LIBRARY=/path/to/libkrepis.so.0",
      { cause },
    );
  }
  const theirs = opened.version;
  if (theirs !== version)
    throw new Error(
      `${path} is libkrepis ${theirs}, and this is @krepis/krepis ${version}: the ` +
        (older(theirs, version)
          ? `library is older. Install libkrepis ${version}`
          : `package is older. Install it anew: npm install @krepis/krepis@${theirs}`),
    );
  return opened.start();
}

const loader: Loader = await ("Deno" in globalThis
  ? import("./deno.js")
  : "Bun" in globalThis
    ? import("./bun.js")
    : import("./node.js"));

export const runtime = load(loader);
export const { native } = runtime;
