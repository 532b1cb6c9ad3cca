// SPDX-License-Identifier: MIT
// The unions of messages.h in TypeScript.
import { Answer, Event, EventKind } from "./messages.ts";

function check(what: string, good: boolean): void {
  if (!good) throw new Error(what);
}

const event = new Event(new DataView(new Uint8Array(Event.size).fill(0xff).buffer));
check("no tag is known", event.key === undefined && event.bytes === undefined && event.width === undefined);
event.chooseBytes();
event.bytes!.fill(0xee);
check("an array", event.kind === EventKind.MOUSE && event.bytes!.length === 12 && event.key === undefined);
event.width = 80;
check("a number", event.kind === EventKind.RESIZE && event.width === 80);
check("nothing is left behind", event.view.getUint32(8) === 0 && event.view.getUint32(12) === 0);
event.chooseKey();
event.key!.code = 0x41;
check("a struct", event.kind === EventKind.KEY && event.key!.code === 0x41 && event.width === undefined);

const answer = new Answer(new DataView(new Uint8Array(Answer.size).fill(0xff).buffer));
check("a large tag", answer.lines(1) !== undefined && answer.text === undefined);
answer.text = "sixteen letters!";
check("a text", answer.tag === 0n && answer.text === "sixteen letters!" && answer.keys(1) === undefined);
let thrown = false;
try {
  answer.setLines(0, "no");
} catch (e) {
  thrown = e instanceof TypeError;
}
check("a text of an array is not written where another member is", thrown && answer.text === "sixteen letters!");
answer.chooseLines();
answer.setLines(1, "yes");
check("texts", answer.tag === 0xffffffffffffffffn && answer.lines(0) === "" && answer.lines(1) === "yes");
answer.chooseKeys();
answer.keys(1)!.mods = 3;
check("structs", answer.keys(0)!.code === 0 && answer.keys(1)!.mods === 3);
answer.number = 0.5;
check("a double", answer.tag === 3n && answer.number === 0.5);
