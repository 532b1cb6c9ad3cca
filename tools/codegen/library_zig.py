# SPDX-License-Identifier: MIT
"""Zig: extern functions. What may be null is an optional, and nothing else is."""

from emit import function_doc, head, pascal, slashes
from emit_zig import declared, emit_struct, type_name
from model import Enum, Function, Model, Param, Pointer, Type


def c_type(t: Type) -> str:
    return t.scalar.name if isinstance(t, Enum) else type_name(t)


def param_type(p: Param) -> str:
    t = p.type
    if t is None:
        return "void"
    if not isinstance(t, Pointer):
        return c_type(t)
    const = "const " if t.const else ""
    if p.role == "address" or not p.name:		# a result may be null
        return f"?[*:0]{const}u8" if p.role == "text" else c_type(t)
    null = "?" if p.nullable or p.role == "array" else ""
    if p.role == "text":
        return f"{null}[*:0]{const}u8"
    if p.role == "array":
        return f"{null}[*]{const}{c_type(t.to) if t.to else 'u8'}"
    assert t.to is not None
    return f"{null}*{const}{c_type(t.to)}"


def emit_function(f: Function) -> list[str]:
    out = ["", *slashes(function_doc(f))]
    params = [f"{declared(p.name)}: {param_type(p)}" for p in f.params]
    line = f"pub extern fn {f.name}({', '.join(params)}) {param_type(f.result)};"
    if len(line) <= 100:
        return [*out, line]
    return [*out, f"pub extern fn {f.name}(", *(f"    {p}," for p in params), f") {param_type(f.result)};"]


def emit(m: Model, source: str) -> str:
    out = [*head(m, source), "",
           'const assert = @import("std").debug.assert;', ""]
    for c in m.constants:
        out += [*slashes(c.doc), f"pub const {c.name}: {c.type.name} = {c.value};"]
    out.append("")
    for h in m.handles:
        out += ["/// Nobody looks into it.", f"pub const {pascal(h.name)} = opaque {{}};", ""]
    for s in m.structs:
        out += emit_struct(s)
    for i, f in enumerate(m.functions):
        out += emit_function(f)[0 if i else 1:]
    return "\n".join([*out, ""])
