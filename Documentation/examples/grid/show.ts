// SPDX-License-Identifier: MIT
// Shows 60 times a second what draw.c draws: the latest frame, whole, read where it lies.
//
//	show CHANNEL [FRAMES]
import process from "node:process";
import { Channel, TripleConsumer } from "@krepis/krepis";
import { type Cell, Frame, layoutId } from "./grid.js";

const colour = ({ colour: c }: Cell) => `\x1b[38;2;${c >> 16};${(c >> 8) & 255};${c & 255}m`;

/** Escape sequences where the colour changes, and not for each cell. */
function draw(frame: Frame): string {
  const columns = Math.min(frame.columns, 80);
  let text = "\x1b[H";
  let last = -1;
  for (let i = 0; i < Math.min(frame.columns * frame.rows, Frame.cellsCount); i++) {
    const cell = frame.cells(i);
    if (i && i % columns === 0) text += "\r\n";
    if (cell.colour !== last) text += colour(cell);
    last = cell.colour;
    text += String.fromCodePoint(cell.code <= 0x10ffff ? cell.code : 0xfffd);
  }
  return text + "\x1b[0m\r\n";
}

const [path, frames = "0"] = process.argv.slice(2);
if (!path) throw new Error("usage: show CHANNEL [FRAMES]");
using channel = Channel.open(path, { layoutId });
using consumer = new TripleConsumer(channel);
let shown = 0;
let next = performance.now();
let number = 0n;

// Until who draws has gone. What is older than the latest is never seen, and nobody waits for it.
for await (const value of consumer) {
  const frame = value.as(Frame);
  if (!frame) continue;
  process.stdout.write(draw(frame));
  number = frame.number;
  if (++shown === Number(frames)) break;
  next = Math.max(next + 1000 / 60, performance.now());
  await new Promise((resolve) => setTimeout(resolve, next - performance.now()));
}
console.error(`${shown} frames shown, the last of them number ${number}`);
