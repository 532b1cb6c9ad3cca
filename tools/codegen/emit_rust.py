# SPDX-License-Identifier: MIT
"""
Rust: repr(C) structs of what may have any bits. A peer writes what it wants, so bool is u8 and
an enumeration is its number with names.
"""

from emit import HEAD, pascal, short_values, slashes
from model import Array, Enum, Handle, Model, Pointer, Scalar, Struct, Type

KEYWORDS = {"as", "async", "await", "break", "const", "continue", "crate", "dyn", "else", "enum",
            "extern", "false", "fn", "for", "if", "impl", "in", "let", "loop", "match", "mod", "move",
            "mut", "pub", "ref", "return", "self", "static", "struct", "super", "trait", "true", "type",
            "unsafe", "use", "where", "while", "abstract", "become", "box", "do", "final", "macro",
            "override", "priv", "try", "typeof", "unsized", "virtual", "yield"}


def field_name(name: str) -> str:
    return f"r#{name}" if name in KEYWORDS - {"self", "super", "crate"} else name


def type_name(t: Type) -> str:
    if isinstance(t, Scalar):
        return "u8" if t.name in ("bool", "char") else t.name
    if isinstance(t, Array):
        return f"[{type_name(t.element)}; {t.count}]"
    if isinstance(t, Pointer):
        return f"*{'const' if t.const else 'mut'} {type_name(t.to) if t.to else 'core::ffi::c_void'}"
    assert isinstance(t, (Enum, Struct, Handle))
    return pascal(t.name)


def emit_enum(e: Enum) -> list[str]:
    name, number = pascal(e.name), e.scalar.name
    out = [*slashes(e.doc), "#[repr(transparent)]",
           "#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]",
           f"pub struct {name}(pub {number});", "", f"impl {name} {{"]
    for short, v in zip(short_values([v.name for v in e.values]), e.values):
        out += slashes(v.doc, "    ")
        out.append(f"    pub const {short.upper()}: {name} = {name}({v.value});")
    out.append("}")
    if e.flags:
        out += ["", f"impl core::ops::BitOr for {name} {{", f"    type Output = {name};",
                f"    fn bitor(self, other: {name}) -> {name} {{", f"        {name}(self.0 | other.0)",
                "    }", "}", "", f"impl core::ops::BitAnd for {name} {{", f"    type Output = {name};",
                f"    fn bitand(self, other: {name}) -> {name} {{", f"        {name}(self.0 & other.0)",
                "    }", "}"]
    return out + [""]


def emit_struct(s: Struct) -> list[str]:
    name = pascal(s.name)
    out = [*slashes(s.doc), "#[repr(C)]", "#[derive(Clone, Copy, Debug)]", f"pub struct {name} {{"]
    for f in s.fields:
        out += slashes(f.doc, "    ")
        out.append(f"    pub {field_name(f.name)}: {type_name(f.type)},")
    out += ["}", "", f"const _: () = assert!(core::mem::size_of::<{name}>() == {s.size});",
            f"const _: () = assert!(core::mem::align_of::<{name}>() == {s.align});", ""]
    if s.packet is not None:
        out += [f"impl {name} {{", f"    pub const PACKET: u16 = {s.packet};", "}", ""]
    return out


def emit_packet(s: Struct) -> list[str]:
    return ["// SAFETY: repr(C), numbers only, and no padding: krepis-codegen has looked.",
            f"unsafe impl krepis::Packet for {pascal(s.name)} {{", f"    const ID: u16 = {s.packet};",
            "    const LAYOUT: u32 = LAYOUT_ID;", "}", ""]


def emit_test(m: Model) -> list[str]:
    """Where the fields are."""
    out = ["#[cfg(test)]", "mod layout {", "    use super::*;", "    use core::mem::MaybeUninit;",
           "    use core::ptr::addr_of;", "", "    macro_rules! offset {",
           "        ($t:ty, $f:ident) => {{", "            let m = MaybeUninit::<$t>::uninit();",
           "            let base = m.as_ptr();",
           "            // SAFETY: nothing is read.",
           "            unsafe { addr_of!((*base).$f) as usize - base as usize }", "        }};", "    }", "",
           "    #[test]", "    fn offsets_are_those_of_c() {"]
    for s in m.structs:
        out += [f"        assert_eq!(offset!({pascal(s.name)}, {field_name(f.name)}), {f.offset});" for f in s.fields]
    return out + ["    }", "}", ""]


def emit(m: Model, source: str, crate: bool = False) -> str:
    """@crate: for who uses the crate krepis. The packets are such."""
    out = [f"// {HEAD.format(source=source)}", "", f"pub const LAYOUT_ID: u32 = 0x{m.layout_id:08x};", ""]
    for e in m.enums:
        out += emit_enum(e)
    for s in m.structs:
        out += emit_struct(s) + (emit_packet(s) if crate and s.packet is not None else [])
    return "\n".join(out + emit_test(m))
