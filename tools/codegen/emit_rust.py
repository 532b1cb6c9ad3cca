# SPDX-License-Identifier: MIT
"""
Rust: repr(C) structs of what may have any bits. A peer writes what it wants, so bool is u8 and
an enumeration is its number with names, and a union is words with functions to look at them.
"""

from emit import HEAD, pascal, short_values, slashes, spared
from model import Array, Enum, Field, Handle, Model, Pointer, Scalar, Struct, Tagged, Type

KEYWORDS = {"as", "async", "await", "break", "const", "continue", "crate", "dyn", "else", "enum",
            "extern", "false", "fn", "for", "if", "impl", "in", "let", "loop", "match", "mod", "move",
            "mut", "pub", "ref", "return", "self", "static", "struct", "super", "trait", "true", "type",
            "unsafe", "use", "where", "while", "abstract", "become", "box", "do", "final", "macro",
            "override", "priv", "try", "typeof", "unsized", "virtual", "yield", "gen"}
NEVER = {"self", "Self", "super", "crate", "_"}		# nor with r#

SIZED = """
    /// A copy of any version of it: what its sender did not have is 0. None: it is none.
    pub fn decode(bytes: &[u8]) -> Option<Self> {{
        let room = core::mem::size_of::<Self>();
        let n = bytes.len().min(room);
        // SAFETY: of numbers only, which may have any bits, and all of them are written.
        unsafe {{
            let mut copy = core::mem::zeroed::<Self>();
            let at = core::ptr::addr_of_mut!(copy).cast::<u8>();
            core::ptr::copy_nonoverlapping(bytes.as_ptr(), at, n);
            let size = copy.size as usize;
            if size < {base} || size > bytes.len() {{
                return None;
            }}
            if size < n {{
                core::ptr::write_bytes(at.add(size), 0, n - size);
            }}
            Some(copy)
        }}
    }}

    /// Its bytes, with its size, to be sent.
    pub fn encode(&mut self) -> &[u8] {{
        let room = core::mem::size_of::<Self>();
        self.size = room as u32;
        // SAFETY: there is no padding.
        unsafe {{ core::slice::from_raw_parts((self as *const Self).cast::<u8>(), room) }}
    }}
"""


def field_name(name: str) -> str:
    return f"r#{name}" if name in KEYWORDS - NEVER else spared(name, NEVER)


def type_name(t: Type) -> str:
    if isinstance(t, Scalar):
        return "u8" if t.name in ("bool", "char") else t.name
    if isinstance(t, Array):
        return f"[{type_name(t.element)}; {t.count}]"
    if isinstance(t, Tagged):		# bytes, which no tag has to be believed for
        return f"[u{8 * t.align}; {t.size // t.align}]"
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


def emit_union(f: Field, t: Tagged) -> list[str]:
    out = []
    tag, union = f"self.{field_name(t.tag.name)}", f"self.{field_name(f.name)}"
    for c in t.cases:
        kind, is_enum = type_name(c.type), isinstance(t.tag.type, Enum)
        value = f"{type_name(t.tag.type)}({c.value})" if is_enum else str(c.value)
        out += ["", *slashes(c.doc, "    "), f"    pub fn {field_name(spared(c.name, ('decode', 'encode')))}(&self) -> Option<&{kind}> {{",
                f"        if {tag} != {value} {{", "            return None;", "        }",
                "        // SAFETY: it is within the union, aligned as that is, and may have any bits.",
                f"        Some(unsafe {{ &*{union}.as_ptr().cast::<{kind}>() }})", "    }", "",
                f"    /// Also sets {t.tag.name}; the rest of the union is 0.",
                f"    pub fn set_{c.name}(&mut self, value: {kind}) {{", f"        {tag} = {value};",
                f"        {union} = [0; {t.size // t.align}];", "        // SAFETY: as above.",
                f"        unsafe {{ {union}.as_mut_ptr().cast::<{kind}>().write(value) }}", "    }"]
    return out


def emit_struct(s: Struct) -> list[str]:
    name = pascal(s.name)
    out = [*slashes(s.doc), "#[repr(C)]", "#[derive(Clone, Copy, Debug)]", f"pub struct {name} {{"]
    for f in s.fields:
        out += slashes(f.doc, "    ")
        out.append(f"    pub {field_name(f.name)}: {type_name(f.type)},")
    out += ["}", "", f"const _: () = assert!(core::mem::size_of::<{name}>() == {s.size});",
            f"const _: () = assert!(core::mem::align_of::<{name}>() == {s.align});", ""]
    body = [f"    pub const PACKET: u16 = {s.packet};"] if s.packet is not None else []
    for f, t in s.unions:
        body += emit_union(f, t)[0 if body else 1:]
    if s.base is not None:
        body += SIZED.format(base=s.base).rstrip().splitlines()
    if body:
        out += [f"impl {name} {{", *body, "}", ""]
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
