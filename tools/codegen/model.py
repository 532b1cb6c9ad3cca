# SPDX-License-Identifier: MIT
"""What a header says: structs, enumerations, packets. No language knows more than this."""

from dataclasses import dataclass, field
from typing import Optional, Union


@dataclass(frozen=True)
class Scalar:
    """A number of a fixed size. kind: "u", "i", "f", "bool" or "char"."""

    kind: str
    size: int

    @property
    def name(self) -> str:
        return self.kind if self.kind in ("bool", "char") else f"{self.kind}{8 * self.size}"

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
class Struct:
    """packet: the number of its messages; None: only a part of others."""

    name: str
    size: int
    align: int
    fields: list[Field] = field(default_factory=list)
    doc: str = ""
    packet: Optional[int] = None


Type = Union[Scalar, Enum, Array, Struct]


@dataclass
class Model:
    """In the order of the header, so that the same input gives the same output."""

    name: str
    enums: list[Enum] = field(default_factory=list)
    structs: list[Struct] = field(default_factory=list)

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
    return canonical_struct(t)


def canonical_struct(s: Struct) -> str:
    inside = ";".join(f"{f.name}@{f.offset}:{canonical_type(f.type)}" for f in s.fields)
    return f"{{{inside}}}{s.size}"


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
    return {"enum" if isinstance(t, Enum) else "struct": t.name}


def to_json(m: Model) -> dict[str, object]:
    return {
        "name": m.name,
        "layout_id": m.layout_id,
        "enums": [{
            "name": e.name, "type": e.scalar.name, "flags": e.flags, "doc": e.doc,
            "values": [{"name": v.name, "value": v.value, "doc": v.doc} for v in e.values],
        } for e in m.enums],
        "structs": [{
            "name": s.name, "size": s.size, "align": s.align, "packet": s.packet, "doc": s.doc,
            "fields": [{"name": f.name, "offset": f.offset, "size": f.type.size,
                        "type": type_json(f.type), "doc": f.doc} for f in s.fields],
        } for s in m.structs],
    }
