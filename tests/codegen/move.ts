// SPDX-License-Identifier: MIT
// What tests/codegen/versions.py compares, in TypeScript: write FILE, or read FILE...
import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { Move } from "./made.ts";

const [what, ...paths] = process.argv.slice(2);

function write(path: string): void {
  const bytes = new Uint8Array(Move.size).fill(0xff);
  const move = Move.encode(new DataView(bytes.buffer));
  move.number = 7;
  move.timeNs = 1n << 40n;
  if (Move.size === 40) {
    move.speed = 1.5;
    move.name = "xxxxxxxxxxxxxxxx";
    move.choosePlace();
    const place = move.place!;
    place.x = -1;
    place.y = 2;
  }
  writeFileSync(path, bytes);
}

function read(path: string): string {
  const bytes = new Uint8Array(readFileSync(path));
  const move = Move.decode(new DataView(bytes.buffer));
  if (!move) return "refused";
  const text = `${move.size} ${move.number} ${move.timeNs}`;
  if (Move.size < 40) return text;
  const place = move.place ? ` place ${move.place.x} ${move.place.y}` : "";
  const name = move.name !== undefined ? ` name ${move.name}` : "";
  return `${text} ${move.speed * 2} ${move.kind}${place}${name}`;
}

if (what === "write") write(paths[0]);
else for (const path of paths) console.log(read(path));
