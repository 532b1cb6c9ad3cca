// SPDX-License-Identifier: MIT
import { setImmediate } from "node:timers";

/** So long one consumer or set may keep the event loop from all others. */
const TURN_MS = 4;

/** Who never has to wait would never let the loop go on. */
export class Turns {
  /** When the loop had its last one. */
  private last = 0;

  get due(): boolean {
    return performance.now() - this.last > TURN_MS;
  }

  async give(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.had();
  }

  had(): void {
    this.last = performance.now();
  }
}
