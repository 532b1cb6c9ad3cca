# SPDX-License-Identifier: MIT
"""Python: structures of ctypes, which are views of memory and no copies."""

from emit import HEAD, pascal, short_values
from model import Array, Enum, Handle, Model, Pointer, Scalar, Struct, Type

SCALARS = {"u8": "c_uint8", "u16": "c_uint16", "u32": "c_uint32", "u64": "c_uint64",
           "i8": "c_int8", "i16": "c_int16", "i32": "c_int32", "i64": "c_int64",
           "f32": "c_float", "f64": "c_double", "bool": "c_bool", "char": "c_char", "usize": "c_size_t"}

CHECK = ["", "", "def _check(c: Type[ctypes.Structure], size: int, offsets: Dict[str, int]) -> None:",
         "    if ctypes.sizeof(c) != size or any(",
         "            getattr(c, name).offset != offset for name, offset in offsets.items()):",
         '        raise ImportError(f"{c.__name__} has another layout here than in C")']


def type_name(t: Type) -> str:
    if isinstance(t, Scalar):
        return f"ctypes.{SCALARS[t.name]}"
    if isinstance(t, Enum):
        return f"ctypes.{SCALARS[t.scalar.name]}"
    if isinstance(t, Array):
        return f"{type_name(t.element)} * {t.count}" if not isinstance(t.element, Array) else \
            f"({type_name(t.element)}) * {t.count}"
    if isinstance(t, Pointer):
        return f"ctypes.POINTER({type_name(t.to)})" if t.to else "ctypes.c_void_p"
    assert isinstance(t, (Struct, Handle))
    return pascal(t.name)


def emit_enum(e: Enum) -> list[str]:
    out = ["", "", f"class {pascal(e.name)}(enum.{'IntFlag' if e.flags else 'IntEnum'}):"]
    if e.doc:
        out += [f'    """{e.doc}"""', ""]
    names = short_values([v.name for v in e.values])
    for name, v in zip(names, e.values):
        out.append(f"    {name} = {v.value}" + (f"  # {v.doc}".replace("\n", " ") if v.doc else ""))
    return out


def emit_struct(s: Struct) -> list[str]:
    out = ["", "", f"class {pascal(s.name)}(ctypes.LittleEndianStructure):"]
    if s.doc:
        out += [f'    """{s.doc}"""', ""]
    out.append("    _fields_ = [")
    for f in s.fields:
        out += [f"        # {line}" for line in f.doc.splitlines()]
        out.append(f'        ("{f.name}", {type_name(f.type)}),')
    out.append("    ]")
    if s.packet is not None:
        out.append(f"    PACKET = {s.packet}")
    out += ["", "", f"_check({pascal(s.name)}, {s.size}, {{"]
    out += [f'    "{f.name}": {f.offset},' for f in s.fields]
    out.append("})")
    return out


def emit(m: Model, source: str) -> str:
    out = [f'"""{HEAD.format(source=source)}"""', "", "import ctypes",
           *(["import enum"] if m.enums else []), "from typing import Dict, Type", "",
           f"LAYOUT_ID = 0x{m.layout_id:08x}", *CHECK]
    for e in m.enums:
        out += emit_enum(e)
    for s in m.structs:
        out += emit_struct(s)
    return "\n".join(out) + "\n"
