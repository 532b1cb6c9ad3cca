// SPDX-License-Identifier: MIT
import { constants } from "node:os";
import * as k from "./library.js";
import { native, runtime } from "./runtime.js";

const names = new Map<number, string>();
for (const table of [k as Record<string, unknown>, constants.errno as Record<string, unknown>])
  for (const [name, value] of Object.entries(table))
    if (/^E[A-Z0-9]+$/.test(name) && typeof value === "number" && !names.has(value)) names.set(value, name);

/** What the library refused. */
export class KrepisError extends Error {
  /** As in C: "EPIPE". */
  readonly code: string;
  readonly errno: number;

  constructor(errno: number, what: string, why?: string) {
    super(`${what}: ${why ?? runtime.text(native.krepis_strerror(errno)!)}`);
    this.name = new.target.name;
    this.errno = errno;
    this.code = names.get(errno) ?? `E${errno}`;
  }
}

/** The other side has left or died, and nothing is left to read. */
export class PeerGone extends KrepisError {}

/** It did not happen in time. */
export class TimedOut extends KrepisError {}

/** The consumer of an overwrite channel was lapped. The next call goes on with the oldest message left. */
export class Lapped extends KrepisError {
  constructor(
    errno: number,
    what: string,
    /** How many messages were lost. */
    readonly lost: number,
  ) {
    super(errno, what, `${lost} messages were overwritten before they were read`);
  }
}

const hex = (layout: number) => `0x${layout.toString(16).padStart(8, "0")}`;

/** Who opens the channel was made of another header than who created it. */
export class LayoutMismatch extends KrepisError {
  constructor(
    what: string,
    readonly theirs: number,
    readonly ours: number,
  ) {
    super(k.EPROTO, what, `the channel has layout ${hex(theirs)}, and we have ${hex(ours)}`);
  }
}

/** Of a result below 0. */
export function failure(result: number, what: string): KrepisError {
  const errno = -result;
  if (errno === k.KREPIS_PEER_GONE) return new PeerGone(errno, what);
  if (errno === k.ETIMEDOUT) return new TimedOut(errno, what);
  return new KrepisError(errno, what);
}

export function check(result: number, what: string): number {
  if (result < 0) throw failure(result, what);
  return result;
}
