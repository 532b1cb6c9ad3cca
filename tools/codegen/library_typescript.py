# SPDX-License-Identifier: MIT
"""
TypeScript: what Deno.dlopen(), bun:ffi and the addon of library_node.py are to be given and told,
so that what is built on it is the same for the three.
"""

from emit import function_doc, head, pascal
from emit_typescript import docs
from model import Array, Constant, Enum, Function, Handle, Model, Param, Pointer, Scalar, Struct, Type

RESERVED = {"catch", "class", "debugger", "delete", "eval", "export", "finally", "function", "import", "in",
            "instanceof", "new", "null", "super", "this", "throw", "try", "typeof", "var", "with", "yield"}
SAFE = 2 ** 53	# number has all integers below it

TEXT = """
/** A number of 64 bits: bigint where number is not exact. */
export type Int64 = number | bigint;

/** For a parameter that is a text. */
export function cText(text: string): Uint8Array {
  return new TextEncoder().encode(`${text}\\0`);
}

const bunTypes: Record<string, string> = { pointer: "ptr", buffer: "ptr", usize: "u64" };

type Symbols = Record<string, { parameters: readonly string[]; result: string }>;

/** For dlopen() of bun:ffi. */
export function bunSymbols(): Record<string, { args: string[]; returns: string }> {
  return Object.fromEntries(
    Object.entries(symbols as Symbols).map(([name, { parameters, result }]) => [
      name,
      {
        args: parameters.map((type) => bunTypes[type] ?? type),
        returns: result === "usize" ? "u64_fast" : (bunTypes[result] ?? result),
      },
    ]),
  );
}
"""

INTERFACE = """
/**
 * All functions, for each runtime. Pointer is what it has for addresses: Deno.PointerObject; a number for
 * Bun and for the addon of Node.
 *
 * What C reads or writes behind an address is an ArrayBufferView: a struct of the size given below, an array, a
 * text with a 0 at its end (cText()). A pointer that comes back is written into the first 8 bytes of one. A
 * small struct that is passed by value is the bigint of its bytes.
 */"""


def foreign(p: Param) -> str:
    """As Deno calls it."""
    if p.type is None:
        return "void"
    if isinstance(p.type, Pointer):
        return "pointer" if p.role in ("handle", "address") or not p.name else "buffer"
    if isinstance(p.type, Struct):
        return "u64"		# in one register on x86-64 and on arm64
    scalar = p.type.scalar if isinstance(p.type, Enum) else p.type
    assert isinstance(scalar, Scalar)
    return "u8" if scalar.name == "char" else scalar.name


def ts_type(p: Param) -> str:
    known = {"void": "void", "pointer": "Pointer", "buffer": "ArrayBufferView", "usize": "Int64", "i64": "Int64",
             "u64": "Int64", "bool": "boolean"}
    ts = "bigint" if p.role == "value" else known.get(foreign(p), "number")
    null = p.nullable or p.role in ("array", "address") or not p.name and ts == "Pointer"
    return f"{ts} | null" if null else ts


def emit_constant(c: Constant) -> list[str]:
    return [*docs(c.doc), f"export const {c.name} = {c.value}{'n' if abs(c.value) >= SAFE else ''};"]


def type_doc(t: Type) -> str:
    if isinstance(t, Array):
        return f"{type_doc(t.element)}[{t.count}]"
    if isinstance(t, Pointer):
        return "pointer"
    if isinstance(t, (Struct, Handle)):
        return pascal(t.name)
    return t.scalar.name if isinstance(t, Enum) else t.name


def emit_struct(s: Struct) -> list[str]:
    out = [*docs(s.doc), f"export const {pascal(s.name)} = {{", f"  size: {s.size},", f"  align: {s.align},",
           "  /** Where each field begins. */", "  offsets: {"]
    for f in s.fields:
        out += [*docs(f"{type_doc(f.type)}: {f.doc}".removesuffix(": "), "    "), f"    {f.name}: {f.offset},"]
    return [*out, "  },", "} as const;", ""]


def emit_function(f: Function) -> list[str]:
    params = ", ".join(f"{p.name}{'_' if p.name in RESERVED else ''}: {ts_type(p)}" for p in f.params)
    return [*docs(function_doc(f, "@param {name}{said}: {doc}"), "  "), f"  {f.name}({params}): {ts_type(f.result)};"]


def emit(m: Model, source: str) -> str:
    out = [*head(m, source), ""]
    for c in m.constants:
        out += emit_constant(c)
    out.append("")
    for s in m.structs:
        out += emit_struct(s)
    out += ["/** For Deno.dlopen(). */", "export const symbols = {"]
    for f in m.functions:
        params = ", ".join(f'"{foreign(p)}"' for p in f.params)
        out.append(f'  {f.name}: {{ parameters: [{params}], result: "{foreign(f.result)}" }},')
    out += ["} as const;", *TEXT.rstrip("\n").splitlines(), *INTERFACE.splitlines(),
            "export interface Native<Pointer> {"]
    for i, f in enumerate(m.functions):
        out += ([""] if i else []) + emit_function(f)
    return "\n".join([*out, "}", ""])
