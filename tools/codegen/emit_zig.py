# SPDX-License-Identifier: MIT
"""Zig: extern structs, checked when they are compiled. Enumerations are open: a peer writes what it wants."""

from emit import HEAD, pascal, short_values, slashes
from model import Array, Enum, Handle, Model, Pointer, Scalar, Struct, Type


def type_name(t: Type) -> str:
    if isinstance(t, Scalar):
        return "u8" if t.name in ("bool", "char") else t.name
    if isinstance(t, Enum):
        return t.scalar.name if t.flags else pascal(t.name)
    if isinstance(t, Array):
        return f"[{t.count}]{type_name(t.element)}"
    if isinstance(t, Pointer):
        return f"?*{'const ' if t.const else ''}{type_name(t.to) if t.to else 'anyopaque'}"
    assert isinstance(t, (Struct, Handle))
    return pascal(t.name)


def emit_enum(e: Enum) -> list[str]:
    names = short_values([v.name for v in e.values])
    out = slashes(e.doc)
    if e.flags:
        out.append(f"pub const {pascal(e.name)} = struct {{")
        out += [f"    pub const {n.lower()}: {e.scalar.name} = {v.value};" for n, v in zip(names, e.values)]
        return out + ["};", ""]
    out.append(f"pub const {pascal(e.name)} = enum({e.scalar.name}) {{")
    out += [f'    @"{n.lower()}" = {v.value},' for n, v in zip(names, e.values)]
    return out + ["    _,", "};", ""]


def emit_struct(s: Struct) -> list[str]:
    name = pascal(s.name)
    out = [*slashes(s.doc), f"pub const {name} = extern struct {{"]
    for f in s.fields:
        out += slashes(f.doc, "    ")
        out.append(f'    @"{f.name}": {type_name(f.type)},')
    if s.packet is not None:
        out += ["", f"    pub const packet: u16 = {s.packet};"]
    out += ["};", "", "comptime {", f"    assert(@sizeOf({name}) == {s.size} and @alignOf({name}) == {s.align});"]
    out += [f'    assert(@offsetOf({name}, "{f.name}") == {f.offset});' for f in s.fields]
    return out + ["}", ""]


def emit(m: Model, source: str) -> str:
    out = [f"// {HEAD.format(source=source)}", "", 'const assert = @import("std").debug.assert;', "",
           f"pub const layout_id: u32 = 0x{m.layout_id:08x};", ""]
    for e in m.enums:
        out += emit_enum(e)
    for s in m.structs:
        out += emit_struct(s)
    return "\n".join(out)
