# SPDX-License-Identifier: MIT
"""
TypeScript: classes that look at memory through a DataView, and copy nothing but in decode(). Numbers of 64 bits
are bigint. Arrays of numbers are typed arrays on the same memory, for which the machine has to
be little-endian as the channel is, and the message to begin at a multiple of 8, as all do.
"""

from dataclasses import dataclass
from typing import Optional

from emit import HEAD, camel, pascal, short_values, spared
from model import Array, Enum, Field, Model, Scalar, Struct, Tagged, Type, dimensions, leaf

# get and set of DataView, the type, the typed array
SCALARS = {
    "u8": ("Uint8", "number", "Uint8Array"), "i8": ("Int8", "number", "Int8Array"),
    "u16": ("Uint16", "number", "Uint16Array"), "i16": ("Int16", "number", "Int16Array"),
    "u32": ("Uint32", "number", "Uint32Array"), "i32": ("Int32", "number", "Int32Array"),
    "u64": ("BigUint64", "bigint", "BigUint64Array"), "i64": ("BigInt64", "bigint", "BigInt64Array"),
    "f32": ("Float32", "number", "Float32Array"), "f64": ("Float64", "number", "Float64Array"),
    "bool": ("Uint8", "number", "Uint8Array"), "char": ("Uint8", "number", "Uint8Array"),
}

TEXT = """
const decoder = new TextDecoder();
const encoder = new TextEncoder();

/** Up to a 0, or all of it. */
function getText(view: DataView, at: number, size: number): string {
  const bytes = new Uint8Array(view.buffer, view.byteOffset + at, size);
  const end = bytes.indexOf(0);
  return decoder.decode(bytes.slice(0, end < 0 ? size : end));
}

/** With zeroes behind it. A RangeError if it is too long, and nothing is changed. */
function setText(view: DataView, at: number, size: number, text: string): void {
  const bytes = encoder.encode(text);
  if (bytes.length > size) throw new RangeError(`${bytes.length} bytes of text, where ${size} have room`);
  const room = new Uint8Array(view.buffer, view.byteOffset + at, size);
  room.set(bytes);
  room.fill(0, bytes.length);
}
"""

CHECK = """
function checkIndex(i: number, count: number): number {
  if (!Number.isInteger(i) || i < 0 || i >= count) throw new RangeError(`index ${i} of ${count}`);
  return i;
}
"""


SIZED = """
  /** Begins one in this memory: zeroes, and its size. */
  static encode(view: DataView, at: number = 0): {name} {{
    const packet = new {name}(view, at);
    new Uint8Array(view.buffer, view.byteOffset + at, {size}).fill(0);
    packet.size = {size};
    return packet;
  }}

  /** A copy of any version of it: what its sender did not have is 0. undefined: it is none. */
  static decode(view: DataView): {name} | undefined {{
    const size = view.byteLength < 4 ? 0 : view.getUint32(0, true);
    if (size < {base} || size > view.byteLength) return undefined;
    const copy = new Uint8Array({size});
    copy.set(new Uint8Array(view.buffer, view.byteOffset, Math.min(size, {size})));
    const packet = new {name}(new DataView(copy.buffer));
    packet.size = size;
    return packet;
  }}
"""


@dataclass(frozen=True)
class Meant:
    """Of a union's member: if the tag is this; and what makes it so."""

    test: str
    begin: str


def scalar(t: Type) -> Scalar:
    if isinstance(t, Enum):
        return t.scalar
    assert isinstance(t, Scalar)
    return t


def is_text(t: Type) -> bool:
    return isinstance(t, Array) and isinstance(t.element, Scalar) and t.element.name == "char"


def docs(doc: str, indent: str = "") -> list[str]:
    lines = doc.replace("*/", "* /").splitlines()
    if len(lines) == 1:
        return [f"{indent}/** {lines[0]} */"]
    return [f"{indent}/**", *(f"{indent} * {line}".rstrip() for line in lines), f"{indent} */"] if lines else []


def emit_enum(e: Enum) -> list[str]:
    out = [*docs(e.doc), f"export const {pascal(e.name)} = {{"]
    for name, v in zip(short_values([v.name for v in e.values]), e.values):
        out += docs(v.doc, "  ")
        out.append(f"  {name}: {v.value}{'n' if e.scalar.size == 8 else ''},")
    return out + ["} as const;", ""]


def upper(name: str) -> str:
    return name[:1].upper() + name[1:]


def member_name(name: str) -> str:
    return spared(camel(name), ("view", "at", "constructor"))


def getter(what: str, ts: str, value: str, meant: Optional[Meant]) -> list[str]:
    if meant:
        return [f"  {what}: {ts} | undefined {{", f"    return {meant.test} ? {value} : undefined;", "  }"]
    return [f"  {what}: {ts} {{", f"    return {value};", "  }"]


def setter(name: str, ts: str, does: str, meant: Optional[Meant]) -> list[str]:
    if meant:
        return [f"  set {name}(value: {ts}) {{", f"    {meant.begin}", f"    {does}", "  }"]
    return [f"  set {name}(value: {ts}) {{", f"    {does}", "  }"]


def one(t: Scalar, name: str, at: str, meant: Optional[Meant]) -> list[str]:
    access, ts, _ = SCALARS[t.name]
    end = "" if t.size == 1 else ", true"
    if t.name == "bool":
        return getter(f"get {name}()", "boolean", f"this.view.getUint8({at}) !== 0", meant) + \
            setter(name, "boolean", f"this.view.setUint8({at}, value ? 1 : 0);", meant)
    return getter(f"get {name}()", ts, f"this.view.get{access}({at}{end})", meant) + \
        setter(name, ts, f"this.view.set{access}({at}, value{end});", meant)


def many(f: Field, name: str, at: str, meant: Optional[Meant]) -> list[str]:
    """An array: of numbers, of texts or of structs."""
    t, counts = leaf(f.type), dimensions(f.type)
    if is_text(f.type):
        return getter(f"get {name}()", "string", f"getText(this.view, {at}, {f.type.size})", meant) + \
            setter(name, "string", f"setText(this.view, {at}, {f.type.size}, value);", meant)
    if isinstance(t, Struct) or (isinstance(t, Scalar) and t.name == "char"):
        inner = counts if isinstance(t, Struct) else counts[:-1]
        total, size = 1, t.size if isinstance(t, Struct) else counts[-1]
        for n in inner:
            total *= n
        place = f"{at} + checkIndex(i, {total}) * {size}"
        out = [f"  static readonly {name}Count = {total};"]
        if isinstance(t, Struct):
            return out + getter(f"{name}(i: number)", pascal(t.name), f"new {pascal(t.name)}(this.view, {place})",
                                meant)
        unless = [f'    if (!({meant.test})) throw new TypeError("the tag tells of another member");'] if meant else []
        return out + getter(f"{name}(i: number)", "string", f"getText(this.view, {place}, {size})", meant) + \
            [f"  set{upper(name)}(i: number, value: string): void {{", *unless,
             f"    setText(this.view, {place}, {size}, value);", "  }"]
    _, _, typed = SCALARS[scalar(t).name]
    total = f.type.size // t.size
    return getter(f"get {name}()", typed, f"new {typed}(this.view.buffer, this.view.byteOffset + {at}, {total})", meant)


def emit_union(f: Field, t: Tagged) -> list[str]:
    out = []
    tag = f"this.{member_name(t.tag.name)}"
    for c in t.cases:
        value = f"{c.value}{'n' if t.tag.type.size == 8 else ''}"
        begin = [f"{tag} = {value};",
                 f"new Uint8Array(this.view.buffer, this.view.byteOffset + this.at + {f.offset}, {t.size}).fill(0);"]
        out += emit_field(Field(c.name, c.type, f.offset, c.doc), Meant(f"{tag} === {value}", "\n    ".join(begin)))
        if isinstance(c.type, (Array, Struct)) and not is_text(c.type):
            out += ["  /** Makes it the one that is meant, of zeroes, to be written. */",
                    f"  choose{upper(member_name(c.name))}(): void {{", *(f"    {line}" for line in begin), "  }"]
    return out


def emit_field(f: Field, meant: Optional[Meant] = None) -> list[str]:
    if isinstance(f.type, Tagged):
        return emit_union(f, f.type)
    name, at = member_name(f.name), f"this.at + {f.offset}"
    out = ["", *docs(f.doc, "  ")]
    if isinstance(f.type, Array):
        return out + many(f, name, at, meant)
    if isinstance(f.type, Struct):
        return out + getter(f"get {name}()", pascal(f.type.name), f"new {pascal(f.type.name)}(this.view, {at})", meant)
    return out + one(scalar(f.type), name, at, meant)


def emit_struct(s: Struct) -> list[str]:
    out = [*docs(s.doc), f"export class {pascal(s.name)} {{", f"  static readonly size = {s.size};"]
    if s.packet is not None:
        out.append(f"  static readonly packet = {s.packet};")
    out.append("  /** Where each field begins, as in C. */")
    out.append("  static readonly offsets = { " + ", ".join(f"{f.name}: {f.offset}" for f in s.fields) + " } as const;")
    out += ["", "  constructor(", "    readonly view: DataView,", "    readonly at: number = 0,", "  ) {",
            f"    if (at < 0 || at + {s.size} > view.byteLength)",
            f"      throw new RangeError(`{pascal(s.name)} has {s.size} bytes, and from ${{at}} on there are "
            "${view.byteLength - at}`);", "  }"]
    for f in s.fields:
        out += emit_field(f)
    if s.base is not None:
        out += SIZED.format(name=pascal(s.name), size=s.size, base=s.base).rstrip().splitlines()
    return out + ["}", ""]


def emit(m: Model, source: str) -> str:
    out = [f"// {HEAD.format(source=source)}", "", f"export const layoutId = 0x{m.layout_id:08x};", ""]
    body: list[str] = []
    for e in m.enums:
        body += emit_enum(e)
    for s in m.structs:
        body += emit_struct(s)
    text = "\n".join(body)
    if "etText(" in text:
        out += TEXT.strip("\n").splitlines() + [""]
    if "checkIndex(" in text:
        out += CHECK.strip("\n").splitlines() + [""]
    return "\n".join(out) + text
