# SPDX-License-Identifier: MIT
"""What a header says: structs, enumerations, packets, functions. No language knows more than this."""

from dataclasses import dataclass, field
from typing import Optional, Union


@dataclass(frozen=True)
class Scalar:
    """A number of a fixed size. kind: "u", "i", "f", "bool", "char", or "usize" of a function."""

    kind: str
    size: int

    @property
    def name(self) -> str:
        return self.kind if self.kind in ("bool", "char", "usize") else f"{self.kind}{8 * self.size}"

    @property
    def align(self) -> int:
        return self.size


@dataclass
class Value:
    name: str
    value: int
    doc: str


@dataclass
class Enum:
    """flags: its values are or-ed together, so that what is stored need not be one of them."""

    name: str
    scalar: Scalar
    values: list[Value]
    flags: bool
    doc: str

    @property
    def size(self) -> int:
        return self.scalar.size

    @property
    def align(self) -> int:
        return self.scalar.size


@dataclass
class Array:
    """Of arrays for more than one dimension. Of "char": a text, ended by a 0 or by its size."""

    element: "Type"
    count: int

    @property
    def size(self) -> int:
        return self.element.size * self.count

    @property
    def align(self) -> int:
        return self.element.align


@dataclass
class Field:
    name: str
    type: "Type"
    offset: int
    doc: str


@dataclass
class Case:
    """A member of a union, meant if its tag is @value."""

    name: str
    type: "Type"
    value: int
    doc: str


@dataclass
class Tagged:
    """A union in a struct, whose field @tag tells which member is meant. name: of the struct and its field."""

    name: str
    tag: Field
    size: int
    align: int
    cases: list[Case]


@dataclass
class Struct:
    """
    packet: the number of its messages; None: only a part of others. base: how many bytes all of its
    versions have; None: it has but one.
    """

    name: str
    size: int
    align: int
    fields: list[Field] = field(default_factory=list)
    doc: str = ""
    packet: Optional[int] = None
    base: Optional[int] = None

    @property
    def unions(self) -> list[tuple[Field, Tagged]]:
        return [(f, f.type) for f in self.fields if isinstance(f.type, Tagged)]


@dataclass(frozen=True)
class Handle:
    """A struct that the headers do not define: nobody looks into it, and there are only pointers to it."""

    name: str
    size: int = 0
    align: int = 0


@dataclass
class Pointer:
    """to: None is void. Not in messages: of functions, and of the structs that they take."""

    to: Optional["Type"]
    const: bool = False
    size: int = 8
    align: int = 8


Type = Union[Scalar, Enum, Array, Tagged, Struct, Handle, Pointer]


@dataclass
class Param:
    """
    Of a function; without a name: its result. role: what is passed,
        "scalar"	a number, or nothing
        "value"		a small struct of numbers
        "handle"	a pointer to what nobody looks into
        "text"		ends with a 0
        "array"		@count elements, or bytes if it points to void; count: another parameter
        "struct"	the address of one
        "out"		the address of a pointer, which comes back
        "address"	a pointer that nobody follows, or one that came from the library
    own: "", "owned", "borrowed" or "consumes"; end: the function that ends what is owned.
    """

    name: str
    type: Optional[Type]
    role: str = "scalar"
    own: str = ""
    end: str = ""
    count: str = ""
    nullable: bool = False
    doc: str = ""


@dataclass
class Function:
    name: str
    result: Param
    params: list[Param]
    doc: str = ""


@dataclass
class Constant:
    name: str
    value: int
    type: Scalar
    doc: str = ""


@dataclass
class Model:
    """
    In the order of the header, so that the same input gives the same output. Of a library also
    includes: its headers, as a program names them, and licence: what SPDX calls that of the first.
    """

    name: str
    includes: list[str] = field(default_factory=list)
    licence: str = ""
    enums: list[Enum] = field(default_factory=list)
    structs: list[Struct] = field(default_factory=list)
    handles: list[Handle] = field(default_factory=list)
    constants: list[Constant] = field(default_factory=list)
    functions: list[Function] = field(default_factory=list)

    @property
    def packets(self) -> list[Struct]:
        return sorted((s for s in self.structs if s.packet is not None),
                      key=lambda s: s.packet or 0)

    @property
    def layout_id(self) -> int:
        return layout_id(self)


def leaf(t: Type) -> Type:
    """What an array is of, however many dimensions it has."""
    while isinstance(t, Array):
        t = t.element
    return t


def dimensions(t: Type) -> list[int]:
    """Outermost first."""
    counts = []
    while isinstance(t, Array):
        counts.append(t.count)
        t = t.element
    return counts


# ------------------------------------------------------------------------------ layout_id

def canonical_type(t: Type) -> str:
    if isinstance(t, Scalar):
        return t.name
    if isinstance(t, Enum):
        return t.scalar.name
    if isinstance(t, Array):
        return f"[{t.count}]{canonical_type(t.element)}"
    if isinstance(t, Tagged):
        inside = ";".join(f"{c.name}={c.value}:{canonical_type(c.type)}" for c in t.cases)
        return f"<{t.tag.name};{inside}>{t.size}"
    assert isinstance(t, Struct)	# a message has no pointers
    return canonical_struct(t)


def canonical_struct(s: Struct) -> str:
    """Of what has versions: what they have in common."""
    size = s.size if s.base is None else s.base
    inside = ";".join(f"{f.name}@{f.offset}:{canonical_type(f.type)}" for f in s.fields if f.offset < size)
    return f"{{{inside}}}{size}{'' if s.base is None else '+'}"


def canonical(m: Model) -> str:
    """One line a packet, by number. Names of fields count, those of types do not."""
    return "".join(f"{s.packet}={canonical_struct(s)}\n" for s in m.packets)


def crc32c(data: bytes) -> int:
    """Castagnoli's, as krepis_crc32c() with 0 has it; RFC 3720, B.4."""
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def layout_id(m: Model) -> int:
    """0 says "unchecked" to the library, so nothing has it."""
    return crc32c(canonical(m).encode()) or 1


# ----------------------------------------------------------------------------------- JSON

def type_json(t: Type) -> object:
    if isinstance(t, Scalar):
        return t.name
    if isinstance(t, Array):
        return {"array": type_json(t.element), "count": t.count}
    if isinstance(t, Pointer):
        return {"pointer": type_json(t.to) if t.to else "void", "const": t.const}
    if isinstance(t, Handle):
        return {"handle": t.name}
    if isinstance(t, Tagged):
        return {"tag": t.tag.name, "union": [{"name": c.name, "case": c.value, "type": type_json(c.type), "doc": c.doc}
                                             for c in t.cases]}
    return {"enum" if isinstance(t, Enum) else "struct": t.name}


def enums_and_structs(m: Model) -> dict[str, object]:
    return {
        "enums": [{
            "name": e.name, "type": e.scalar.name, "flags": e.flags, "doc": e.doc,
            "values": [{"name": v.name, "value": v.value, "doc": v.doc} for v in e.values],
        } for e in m.enums],
        "structs": [{
            "name": s.name, "size": s.size, "align": s.align, "packet": s.packet, "doc": s.doc,
            **({} if s.base is None else {"base": s.base}),
            "fields": [{"name": f.name, "offset": f.offset, "size": f.type.size,
                        "type": type_json(f.type), "doc": f.doc} for f in s.fields],
        } for s in m.structs],
    }


def to_json(m: Model) -> dict[str, object]:
    return {"name": m.name, "layout_id": m.layout_id, **enums_and_structs(m)}


def param_json(p: Param) -> dict[str, object]:
    said: dict[str, object] = {"name": p.name} if p.name else {}
    said |= {"type": type_json(p.type) if p.type else "void", "role": p.role}
    said |= {key: value for key, value in (("own", p.own), ("end", p.end), ("count", p.count),
                                           ("nullable", p.nullable)) if value}
    return said | {"doc": p.doc}


def library_json(m: Model) -> dict[str, object]:
    return {
        "name": m.name,
        **enums_and_structs(m),
        "handles": [h.name for h in m.handles],
        "constants": [{"name": c.name, "type": c.type.name, "value": c.value, "doc": c.doc} for c in m.constants],
        "functions": [{"name": f.name, "doc": f.doc, "result": param_json(f.result),
                       "params": [param_json(p) for p in f.params]} for f in m.functions],
    }
