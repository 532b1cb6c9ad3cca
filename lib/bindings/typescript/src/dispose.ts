// SPDX-License-Identifier: MIT
// Node 20 has no `using`, but what it is compiled to works there with these.
const symbols = Symbol as { dispose?: symbol; asyncDispose?: symbol };
symbols.dispose ??= Symbol.for("Symbol.dispose");
symbols.asyncDispose ??= Symbol.for("Symbol.asyncDispose");
