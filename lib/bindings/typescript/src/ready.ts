// SPDX-License-Identifier: MIT
import { READY_MAX } from "./interface.js";
import { KrepisReady } from "./library.js";

const at = KrepisReady.offsets;
const WORDS = KrepisReady.size >> 2;

/** Where a wait set writes who is ready. */
export class ReadyRoom {
  readonly words = new Uint32Array(READY_MAX * WORDS);

  /** Of each of the first ones: its data, and its err. */
  told(count: number): number[] {
    const told: number[] = [];
    for (let i = 0; i < count * WORDS; i += WORDS) told.push(this.words[i + (at.data >> 2)]!, this.words[i + (at.err >> 2)]! | 0);
    return told;
  }
}
