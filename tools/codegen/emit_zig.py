# SPDX-License-Identifier: MIT
"""Zig: extern structs, checked when they are compiled. Enumerations are open: a peer writes what it wants."""

import re

from emit import HEAD, pascal, short_values, slashes, spared
from model import Array, Enum, Field, Handle, Model, Pointer, Scalar, Struct, Tagged, Type


KEYWORDS = frozenset("""addrspace align allowzero and anyframe anytype asm break callconv catch comptime const continue
    defer else enum errdefer error export extern fn for if inline linksection noalias noinline nosuspend opaque or orelse
    packed pub resume return struct suspend switch test threadlocal try union unreachable var volatile while""".split())
PRIMITIVES = re.compile(r"[iu]\d+|f(16|32|64|80|128)|c_(u?(char|short|int|long|longlong)|longdouble)|[iu]size|bool|void|"
                        r"type|true|false|null|undefined|noreturn|anyerror|anyopaque|comptime_(int|float)")
USED = {"packet", "decode", "encode", "self", "given"}	# in a struct, which has fields and functions side by side

# Nothing here may be called as a member of a union could be: that is a function beside them.
SIZED = """
    /// A copy of any version of it: what its sender did not have is 0. null: it is none.
    pub fn decode(given: []const u8) ?{name} {{
        var copy_: {name} = undefined;
        const room_ = @import("std").mem.asBytes(&copy_);
        const n_ = @min(given.len, room_.len);
        @memset(room_, 0);
        @memcpy(room_[0..n_], given[0..n_]);
        if (copy_.size < {base} or copy_.size > given.len) return null;
        if (copy_.size < n_) @memset(room_[copy_.size..n_], 0);
        return copy_;
    }}

    /// Its bytes, with its size, to be sent.
    pub fn encode(self: *{name}) []const u8 {{
        self.size = @sizeOf({name});
        return @import("std").mem.asBytes(self);
    }}
"""


def member(name: str) -> str:
    """A name of an enumeration: quoted where it has to be."""
    return f'@"{name}"' if name in KEYWORDS or not name.isidentifier() else name


def field_name(name: str) -> str:
    return member(spared(name, USED))


def declared(name: str) -> str:
    """A parameter, constant or function: what the language itself has stays visible."""
    return f'@"{name}"' if PRIMITIVES.fullmatch(name) else member(name)


def type_name(t: Type) -> str:
    if isinstance(t, Scalar):
        return "u8" if t.name in ("bool", "char") else t.name
    if isinstance(t, Enum):
        return t.scalar.name if t.flags else pascal(t.name)
    if isinstance(t, Array):
        return f"[{t.count}]{type_name(t.element)}"
    if isinstance(t, Tagged):
        return "extern union { " + ", ".join(f"{field_name(c.name)}: {type_name(c.type)}" for c in t.cases) + " }"
    if isinstance(t, Pointer):
        return f"?*{'const ' if t.const else ''}{type_name(t.to) if t.to else 'anyopaque'}"
    assert isinstance(t, (Struct, Handle))
    return pascal(t.name)


def emit_enum(e: Enum) -> list[str]:
    names = short_values([v.name for v in e.values])
    out = slashes(e.doc)
    if e.flags:
        out.append(f"pub const {pascal(e.name)} = struct {{")
        out += [f"    pub const {declared(n.lower())}: {e.scalar.name} = {v.value};" for n, v in zip(names, e.values)]
        return out + ["};", ""]
    out.append(f"pub const {pascal(e.name)} = enum({e.scalar.name}) {{")
    first: dict[int, str] = {}
    for n, v in zip(names, e.values):
        first.setdefault(v.value, n.lower())
    out += [f"    {member(n)} = {value}," for value, n in first.items()] + ["    _,"]
    same = [f"    pub const {declared(n.lower())}: {pascal(e.name)} = .{member(first[v.value])};"
            for n, v in zip(names, e.values) if n.lower() != first[v.value]]
    return out + ([""] + same if same else []) + ["};", ""]


def emit_union(s: Struct, f: Field, t: Tagged) -> list[str]:
    out = []
    is_enum = isinstance(t.tag.type, Enum) and not t.tag.type.flags
    for c in t.cases:
        kind, tag, union = type_name(c.type), f"self.{field_name(t.tag.name)}", f"self.{field_name(f.name)}"
        case = f"{union}.{field_name(c.name)}"
        out += ["", *slashes(c.doc, "    "), f"    pub fn {declared(spared(c.name, USED))}(self: *const {pascal(s.name)}) ?*const {kind} {{",
                f"        return if ({f'@intFromEnum({tag})' if is_enum else tag} == {c.value}) &{case} else null;",
                "    }", "",
                f"    /// Also sets {t.tag.name}; the rest of the union is 0.",
                f"    pub fn set_{c.name}(self: *{pascal(s.name)}, given: {kind}) void {{",
                f"        {tag} = {f'@enumFromInt({c.value})' if is_enum else c.value};",
                f'        @memset(@import("std").mem.asBytes(&{union}), 0);',
                f"        {case} = given;", "    }"]
    return out


def emit_struct(s: Struct) -> list[str]:
    name = pascal(s.name)
    out = [*slashes(s.doc), f"pub const {name} = extern struct {{"]
    for f in s.fields:
        out += slashes(f.doc, "    ")
        out.append(f"    {field_name(f.name)}: {type_name(f.type)},")
    if s.packet is not None:
        out += ["", f"    pub const packet: u16 = {s.packet};"]
    for f, t in s.unions:
        out += emit_union(s, f, t)
    if s.base is not None:
        out += SIZED.format(name=name, base=s.base).rstrip().splitlines()
    out += ["};", "", "comptime {", f"    assert(@sizeOf({name}) == {s.size} and @alignOf({name}) == {s.align});"]
    out += [f'    assert(@offsetOf({name}, "{spared(f.name, USED)}") == {f.offset});' for f in s.fields]
    return out + ["}", ""]


def emit(m: Model, source: str) -> str:
    out = [f"// {HEAD.format(source=source)}", "", 'const assert = @import("std").debug.assert;', "",
           f"pub const layout_id: u32 = 0x{m.layout_id:08x};", ""]
    for e in m.enums:
        out += emit_enum(e)
    for s in m.structs:
        out += emit_struct(s)
    return "\n".join(out)
