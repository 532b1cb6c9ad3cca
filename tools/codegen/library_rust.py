# SPDX-License-Identifier: MIT
"""Rust: what a -sys crate is. Raw pointers, no promises; Rust 1.63, of edition 2021 or older."""

from emit import function_doc, head, pascal, slashes
from emit_rust import KEYWORDS, emit_struct, emit_test, type_name
from model import Enum, Function, Handle, Model, Param, Struct, Type


def c_type(t: Type) -> str:
    return t.scalar.name if isinstance(t, Enum) else type_name(t)


def param_type(p: Param) -> str:
    assert p.type is not None
    return "*const std::os::raw::c_char" if p.role == "text" else c_type(p.type)


def name_of(p: Param) -> str:
    return f"r#{p.name}" if p.name in KEYWORDS else p.name


def emit_handle(h: Handle) -> list[str]:
    return ["/// Nobody looks into it.", "#[repr(C)]", f"pub struct {pascal(h.name)} {{", "    _data: [u8; 0],",
            "    _marker: core::marker::PhantomData<(*mut u8, core::marker::PhantomPinned)>,", "}", ""]


def emit_default(s: Struct) -> list[str]:
    return [f"impl Default for {pascal(s.name)} {{", "    fn default() -> Self {",
            "        // SAFETY: numbers and raw pointers, which may be 0.", "        unsafe { core::mem::zeroed() }",
            "    }", "}", ""]


def emit_function(f: Function) -> list[str]:
    out = ["", *slashes(function_doc(f, "- `{name}`{said}: {doc}"), "    ")]
    if f.result.type is not None:
        out.append("    #[must_use]")
    result = f" -> {param_type(f.result)}" if f.result.type is not None else ""
    params = [f"{name_of(p)}: {param_type(p)}" for p in f.params]
    line = f"    pub fn {f.name}({', '.join(params)}){result};"
    if len(line) <= 100:
        return [*out, line]
    return [*out, f"    pub fn {f.name}(", *(f"        {p}," for p in params), f"    ){result};"]


def emit(m: Model, source: str) -> str:
    out = [*head(m, source), ""]
    for c in m.constants:
        out += [*slashes(c.doc), f"pub const {c.name}: {c.type.name} = {c.value};"]
    out.append("")
    for h in m.handles:
        out += emit_handle(h)
    for s in m.structs:
        out += emit_struct(s) + emit_default(s)
    out += [f'#[link(name = "{m.name}")]', 'extern "C" {']
    for i, f in enumerate(m.functions):
        out += emit_function(f)[0 if i else 1:]
    return "\n".join([*out, "}", "", *emit_test(m)])
