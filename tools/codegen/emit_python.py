# SPDX-License-Identifier: MIT
"""Python: structures of ctypes, which are views of memory and no copies."""

import keyword

from emit import HEAD, pascal, short_values, spared
from model import Array, Enum, Field, Handle, Model, Pointer, Scalar, Struct, Tagged, Type

SCALARS = {"u8": "c_uint8", "u16": "c_uint16", "u32": "c_uint32", "u64": "c_uint64",
           "i8": "c_int8", "i16": "c_int16", "i32": "c_int32", "i64": "c_int64",
           "f32": "c_float", "f64": "c_double", "bool": "c_bool", "char": "c_char", "usize": "c_size_t"}

CHECK = ["", "", "def _check(c: Type[ctypes.Structure], size: int, offsets: Dict[str, int]) -> None:",
         "    if ctypes.sizeof(c) != size or any(",
         "            getattr(c, name).offset != offset for name, offset in offsets.items()):",
         '        raise ImportError(f"{c.__name__} has another layout here than in C")']

MEMBER = ["", "", "def _member(union: str, kind: Type[ctypes.Union], tag: str, value: int, name: str) -> Any:",
          "    def get(self: Any) -> Any:",
          "        return getattr(getattr(self, union), name) if getattr(self, tag) == value else None", "",
          "    def put(self: Any, new: Any) -> None:",
          "        setattr(self, union, kind(**{name: new}))", "        setattr(self, tag, value)", "",
          "    return property(get, put)"]

SIZED = '''
    def __init__(self, *args: Any, **fields: Any) -> None:
        super().__init__(*args, **fields)
        self.size = {size}

    @classmethod
    def decode(cls, view: Any) -> "Optional[{name}]":
        """A copy of any version of it: what its sender did not have is 0. None: it is none."""
        data = bytes(view)
        size = int.from_bytes(data[:4], "little")
        if not {base} <= size <= len(data):
            return None
        return cls.from_buffer_copy(data[:size].ljust({size}, b"\\0"))
'''


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
    assert isinstance(t, (Struct, Handle, Tagged))
    return f"{'_' * isinstance(t, Tagged)}{pascal(t.name)}"


def name_of(name: str) -> str:
    return spared(name, (*keyword.kwlist, "PACKET", "decode"))


def field_name(f: Field) -> str:
    """Of a union it is hidden: its members are those of the struct."""
    return f"_{f.name}" if isinstance(f.type, Tagged) else name_of(f.name)


def emit_enum(e: Enum) -> list[str]:
    out = ["", "", f"class {pascal(e.name)}(enum.{'IntFlag' if e.flags else 'IntEnum'}):"]
    if e.doc:
        out += [f'    """{e.doc}"""', ""]
    names = short_values([v.name for v in e.values])
    for name, v in zip(names, e.values):
        out.append(f"    {name} = {v.value}" + (f"  # {v.doc}".replace("\n", " ") if v.doc else ""))
    return out


def emit_struct(s: Struct) -> list[str]:
    out = []
    for _, t in s.unions:
        out += ["", "", f"class {type_name(t)}(ctypes.Union):", "    _fields_ = ["]
        out += [f'        ("{name_of(c.name)}", {type_name(c.type)}),' for c in t.cases] + ["    ]"]
    out += ["", "", f"class {pascal(s.name)}(ctypes.LittleEndianStructure):"]
    if s.doc:
        out += [f'    """{s.doc}"""', ""]
    out.append("    _fields_ = [")
    for f in s.fields:
        out += [f"        # {line}" for line in f.doc.splitlines()]
        out.append(f'        ("{field_name(f)}", {type_name(f.type)}),')
    out.append("    ]")
    if s.packet is not None:
        out.append(f"    PACKET = {s.packet}")
    for f, t in s.unions:
        for c in t.cases:
            out += ["", f"    # If {t.tag.name} is {c.value}; None if not. To set it sets that.",
                    *(f"    # {line}" for line in c.doc.splitlines()),
                    f'    {name_of(c.name)} = _member("{field_name(f)}", {type_name(t)}, "{field_name(t.tag)}", {c.value}, '
                    f'"{name_of(c.name)}")']
    if s.base is not None:
        out += SIZED.format(name=pascal(s.name), size=s.size, base=s.base).rstrip().splitlines()
    out += ["", "", f"_check({pascal(s.name)}, {s.size}, {{"]
    out += [f'    "{field_name(f)}": {f.offset},' for f in s.fields]
    out.append("})")
    return out


def emit(m: Model, source: str) -> str:
    unions, sized = any(s.unions for s in m.structs), any(s.base is not None for s in m.structs)
    typing = ["Any"] * (unions or sized) + ["Dict"] + ["Optional"] * sized + ["Type"]
    out = [f'"""{HEAD.format(source=source)}"""', "", "import ctypes",
           *(["import enum"] if m.enums else []), f"from typing import {', '.join(typing)}", "",
           f"LAYOUT_ID = 0x{m.layout_id:08x}", *CHECK, *(MEMBER if unions else [])]
    for e in m.enums:
        out += emit_enum(e)
    for s in m.structs:
        out += emit_struct(s)
    return "\n".join(out) + "\n"
