# SPDX-License-Identifier: MIT
"""
Reads a header as the C compiler does, by libclang, and refuses what cannot be shared: what has
another size or place for another compiler or language, or means something in one process alone.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from clang.cindex import Config, Cursor, CursorKind, Index, LibclangError, SourceLocation
from clang.cindex import TranslationUnit, TypeKind, conf
from clang.cindex import Type as ClangType
from model import Array, Case, Enum, Field, Model, Scalar, Struct, Tagged, Type, Value, leaf

PACKET = "KREPIS_PACKET_ID_"	# an enumerator of KREPIS_PACKET()
LARGEST_ALIGN = 8		# of a record in the ring
NUMBER = re.compile(r"-?(0x[0-9a-fA-F]+|0|[1-9][0-9]*)")

# Of a type with one of these names the size is known, whatever it is a name of here.
FIXED = {f"{prefix}int{bits}_t": Scalar(kind, bits // 8)
         for prefix, kind in (("u", "u"), ("", "i")) for bits in (8, 16, 32, 64)}
FIXED |= {f"__{letter}{bits}": Scalar(kind, bits // 8)
          for letter, kind in (("u", "u"), ("s", "i")) for bits in (8, 16, 32, 64)}

PLAIN = {
    TypeKind.BOOL: Scalar("bool", 1),
    TypeKind.CHAR_S: Scalar("char", 1), TypeKind.CHAR_U: Scalar("char", 1),
    TypeKind.SCHAR: Scalar("i", 1), TypeKind.UCHAR: Scalar("u", 1),
    TypeKind.SHORT: Scalar("i", 2), TypeKind.USHORT: Scalar("u", 2),
    TypeKind.INT: Scalar("i", 4), TypeKind.UINT: Scalar("u", 4),
    TypeKind.LONGLONG: Scalar("i", 8), TypeKind.ULONGLONG: Scalar("u", 8),
    TypeKind.FLOAT: Scalar("f", 4), TypeKind.DOUBLE: Scalar("f", 8),
}

WHY_NOT = {
    TypeKind.POINTER: "a pointer means nothing in another process: send an index, an offset or the bytes",
    TypeKind.LONG: "long has 4 bytes for some compilers and 8 for others: take int32_t or int64_t",
    TypeKind.ULONG: "unsigned long has 4 bytes for some compilers and 8 for others: take uint32_t or uint64_t",
    TypeKind.LONGDOUBLE: "long double has no size that all agree on: take double",
    TypeKind.INT128: "not every language has 128 bits: take two uint64_t",
    TypeKind.UINT128: "not every language has 128 bits: take two uint64_t",
    TypeKind.INCOMPLETEARRAY: "an array without a size at the end: its length is that of the message; "
                              "send it as bytes of its own",
    TypeKind.COMPLEX: "complex numbers: take two of the real type",
}


@dataclass
class Refusal(Exception):
    """Why, at a place of the header."""

    where: SourceLocation
    why: str

    def __str__(self) -> str:
        return f"{self.where.file}:{self.where.line}: {self.why}"


@dataclass
class Hole:
    """Padding that the compiler puts in: @size bytes before @before, or at the end. added: of a later version."""

    where: Cursor
    before: Optional[str]
    size: int
    added: bool = False


def notes(cursor: Cursor) -> set[str]:
    return {c.spelling.removeprefix("krepis:") for c in cursor.get_children()
            if c.kind == CursorKind.ANNOTATE_ATTR and c.spelling.startswith("krepis:")}


def inside(cursor: Cursor, word: str) -> str:
    """What is said in the parentheses of this word; "" if it is not there."""
    return next((note.partition(":")[2] for note in notes(cursor) if note.startswith(f"{word}:")), "")


def comment(cursor: Cursor) -> str:
    """Without its stars and the indentation."""
    raw = cursor.raw_comment or ""
    lines = [line.strip() for line in raw.removeprefix("/**").removeprefix("/*").removeprefix("//")
             .removesuffix("*/").splitlines()]
    lines = [line.removeprefix("*").removeprefix("<").strip() for line in lines]
    return "\n".join(lines).strip()


def field_docs(doc: str) -> tuple[str, dict[str, str]]:
    """The kernel's style, "@name: what it is", taken apart: the rest, and by name."""
    rest: list[str] = []
    fields: dict[str, str] = {}
    name = ""
    for line in doc.splitlines():
        if line.startswith("@") and ":" in line:
            name, _, text = line[1:].partition(":")
            fields[name] = text.strip()
        elif name and line:
            fields[name] += " " + line
        else:
            name = ""
            rest.append(line)
    return "\n".join(rest).strip(), fields


def peeled(t: ClangType) -> ClangType:
    """Without the names that it has."""
    while t.kind in (TypeKind.TYPEDEF, TypeKind.ELABORATED):
        t = t.get_named_type() if t.kind == TypeKind.ELABORATED else t.get_declaration().underlying_typedef_type
    return t


class Parser:
    """One header. After parse(): model, and holes if they were allowed."""

    fixed = FIXED

    def __init__(self, path: str, args: list[str], allow_holes: bool = False) -> None:
        self.path = path
        self.args = args
        self.allow_holes = allow_holes
        self.holes: list[Hole] = []
        self.model = Model(name=Path(path).stem)
        self.known: dict[str, Type] = {}
        self.enumerators: Optional[dict[str, int]] = None	# a library has no tagged unions

    def unit(self, path: str, text: Optional[str] = None, wrong: bool = False) -> TranslationUnit:
        """text: what stands in @path, if not what is there. wrong: it may be what does not compile."""
        unit = Index.create().parse(path, args=["-x", "c", "-std=gnu11", "-fparse-all-comments", "-ferror-limit=0",
                                                *self.args],
                                    unsaved_files=[(path, text)] if text is not None else None,
                                    options=TranslationUnit.PARSE_DETAILED_PROCESSING_RECORD)
        for d in unit.diagnostics:
            if d.severity >= 3 and not wrong:
                raise Refusal(d.location, d.spelling)
        return unit

    def parse(self) -> Model:
        unit = self.unit(self.path)
        packets = self.find_packets(unit.cursor)
        self.enumerators = {c.spelling: c.enum_value for e in unit.cursor.get_children()
                            if e.kind == CursorKind.ENUM_DECL for c in e.get_children()
                            if c.kind == CursorKind.ENUM_CONSTANT_DECL}
        sized: dict[str, SourceLocation] = {}
        for cursor in unit.cursor.get_children():
            if self.is_ours(cursor) and cursor.is_definition():
                if cursor.kind == CursorKind.ENUM_DECL and cursor.spelling:
                    if not cursor.spelling.startswith(PACKET):
                        self.enum(cursor)
                elif cursor.kind == CursorKind.STRUCT_DECL and cursor.spelling:
                    if self.struct(cursor).base is not None:
                        sized[cursor.spelling] = cursor.location
        for name, (number, where) in packets.items():
            s = self.known.get(name)
            if not isinstance(s, Struct):
                raise Refusal(where, f"KREPIS_PACKET({number}, {name}): struct {name} is not in this header")
            other = next((p for p in self.model.structs if p.packet == number), None)
            if other:
                raise Refusal(where, f"struct {name} and struct {other.name} have the same number {number}")
            s.packet = number
        for name, where in sized.items():
            if name not in packets:
                raise Refusal(where, f"struct {name}: KREPIS_SIZED is for packets: say KREPIS_PACKET(a number, {name})")
        return self.model

    def is_ours(self, cursor: Cursor) -> bool:
        return bool(cursor.location.file) and cursor.location.file.name == self.path

    def find_packets(self, unit: Cursor) -> dict[str, tuple[int, SourceLocation]]:
        found = {}
        for cursor in unit.get_children():
            if cursor.kind == CursorKind.ENUM_DECL and self.is_ours(cursor):
                for c in cursor.get_children():
                    if c.kind == CursorKind.ENUM_CONSTANT_DECL and c.spelling.startswith(PACKET):
                        found[c.spelling.removeprefix(PACKET)] = (c.enum_value, c.location)
        return found

    # ------------------------------------------------------------------------- types

    def enum(self, cursor: Cursor) -> Enum:
        if cursor.spelling in self.known:
            return self.known[cursor.spelling]  # type: ignore[return-value]
        scalar = self.scalar_of(cursor.enum_type, cursor)
        doc, docs = field_docs(comment(cursor))
        e = Enum(name=cursor.spelling, scalar=scalar, flags="flags" in notes(cursor), doc=doc,
                 values=[Value(c.spelling, c.enum_value, comment(c) or docs.get(c.spelling, ""))
                         for c in cursor.get_children() if c.kind == CursorKind.ENUM_CONSTANT_DECL])
        self.known[e.name] = e
        self.model.enums.append(e)
        return e

    def scalar_of(self, t: ClangType, where: Cursor) -> Scalar:
        """By its names first: uint64_t is a long here, and may be."""
        if t.get_canonical().is_volatile_qualified():
            raise Refusal(where.location, f"{where.spelling}: volatile says nothing to another process")
        name = t
        while name.kind in (TypeKind.TYPEDEF, TypeKind.ELABORATED):
            if name.kind == TypeKind.ELABORATED:
                name = name.get_named_type()
                continue
            spelled = name.get_declaration().spelling
            if spelled in self.fixed:
                return self.fixed[spelled]
            name = name.get_declaration().underlying_typedef_type
        plain = t.get_canonical()
        if plain.kind in PLAIN:
            return PLAIN[plain.kind]
        why = WHY_NOT.get(plain.kind, f"{t.spelling} has no fixed layout that all languages know")
        raise Refusal(where.location, f"{where.spelling}: {why}")

    def type_of(self, t: ClangType, where: Cursor) -> Type:
        plain = t.get_canonical()
        if plain.kind == TypeKind.CONSTANTARRAY:
            if not plain.element_count:
                raise Refusal(where.location, f"{where.spelling}: {WHY_NOT[TypeKind.INCOMPLETEARRAY]}")
            return Array(self.type_of(peeled(t).element_type, where), plain.element_count)
        if plain.kind == TypeKind.ENUM:
            return self.enum(plain.get_declaration())
        if plain.kind == TypeKind.RECORD:
            declaration = plain.get_declaration()
            if declaration.kind == CursorKind.UNION_DECL:
                raise Refusal(where.location, f"{where.spelling}: nothing tells which member of a union is "
                              "meant: take a packet for each, or make the union a member of a struct, with "
                              "KREPIS_TAG(a member before it) behind its name")
            if declaration.is_anonymous() or not declaration.spelling:
                raise Refusal(where.location, f"{where.spelling or 'a struct'}: a struct without a name: "
                              "other languages want one")
            s = self.struct(declaration)
            if s.base is not None:
                raise Refusal(where.location, f"{where.spelling}: struct {s.name} is KREPIS_SIZED, and what comes "
                              "behind it would move when it grows: it can only be a packet")
            return s
        return self.scalar_of(t, where)

    def member(self, c: Cursor, struct: Cursor, before: list[Field]) -> Type:
        said = {note.partition(":")[0] for note in notes(c)}
        is_union = c.type.get_canonical().get_declaration().kind == CursorKind.UNION_DECL
        if "case" in said or "tag" in said and not is_union:
            raise Refusal(c.location, f"{c.spelling}: KREPIS_TAG is for a union, and not for an array of them; "
                          "KREPIS_CASE is for a union's members")
        if "tag" in said and self.enumerators is not None:
            return self.tagged(c, struct, before)
        return self.type_of(c.type, c)

    def tagged(self, c: Cursor, struct: Cursor, before: list[Field]) -> Tagged:
        """A union: @c of @struct, where the fields @before come before it."""
        name = inside(c, "tag")
        said = f"{c.spelling}: KREPIS_TAG({name}): "
        tag = next((f for f in before if f.name == name), None)
        if not tag:
            if any(f.spelling == name for f in struct.type.get_fields()):
                raise Refusal(c.location, f"{said}{name} comes behind the union: put it before")
            raise Refusal(c.location, f"{said}struct {struct.spelling} has no such member")
        if not (isinstance(tag.type, Enum) or isinstance(tag.type, Scalar) and tag.type.kind == "u"):
            raise Refusal(c.location, f"{said}{name} is no enum and no unsigned integer: make it one")
        t = Tagged(f"{struct.spelling}_{c.spelling}", tag, c.type.get_size(), c.type.get_align(), [])
        docs = field_docs(comment(c.type.get_declaration()))[1]
        beside = {f.spelling for f in struct.type.get_fields()} | \
            {o.name for f in before if isinstance(f.type, Tagged) for o in f.type.cases}
        for m in c.type.get_fields():
            if not m.spelling:
                raise Refusal(m.location, f"{c.spelling}: a member without a name: other languages want one")
            if m.spelling in beside:
                raise Refusal(m.location, f"{m.spelling}: struct {struct.spelling} has another member of that "
                              "name, and other languages have both side by side: rename one")
            self.check_bits(m)
            case = Case(m.spelling, self.type_of(m.type, m), self.case_of(m, tag),
                        comment(m) or docs.get(m.spelling, ""))
            if case.type.align > t.align:
                raise Refusal(m.location, f"{m.spelling}: the union is no place for {case.type.align} bytes: leave "
                              "out what packs it")
            other = next((o for o in t.cases if o.value == case.value), None)
            if other:
                raise Refusal(m.location, f"{other.name} and {m.spelling} have the same case {case.value}: give one of "
                              "them another")
            t.cases.append(case)
        if not t.cases:
            raise Refusal(c.location, f"{c.spelling}: the union is empty")
        return t

    def case_of(self, m: Cursor, tag: Field) -> int:
        said = inside(m, "case")
        if not said:
            raise Refusal(m.location, f"{m.spelling}: nothing tells when it is meant: say KREPIS_CASE(a value of "
                          f"{tag.name}) behind its name")
        known = {v.name: v.value for v in tag.type.values} if isinstance(tag.type, Enum) else self.enumerators or {}
        value = known[said] if said in known else int(said, 0) if NUMBER.fullmatch(said) else None
        if isinstance(tag.type, Enum) and value not in known.values():
            raise Refusal(m.location, f"{m.spelling}: KREPIS_CASE({said}): no value of enum {tag.type.name}: "
                          "give it one")
        if value is None or not isinstance(tag.type, Enum) and not 0 <= value < 1 << 8 * tag.type.size:
            raise Refusal(m.location, f"{m.spelling}: KREPIS_CASE({said}): no number that {tag.name} can have: "
                          "take one, or an enumerator")
        return value

    def check_bits(self, c: Cursor) -> None:
        if c.is_bitfield():
            raise Refusal(c.location, f"{c.spelling}: where the bits of a bit-field are is the compiler's "
                          "affair: take a uint32_t and KREPIS_FLAGS")

    # ----------------------------------------------------------------------- structs

    def struct(self, cursor: Cursor) -> Struct:
        if cursor.spelling in self.known:
            return self.known[cursor.spelling]  # type: ignore[return-value]
        doc, docs = field_docs(comment(cursor))
        s = Struct(name=cursor.spelling, size=cursor.type.get_size(),
                   align=cursor.type.get_align(), doc=doc)
        end = 0
        sized = "sized" in notes(cursor)
        for c in cursor.get_children():
            if c.kind in (CursorKind.UNION_DECL, CursorKind.STRUCT_DECL) and \
                    conf.lib.clang_Cursor_isAnonymousRecordDecl(c):
                raise Refusal(c.location, f"struct {s.name}: a member without a name: other languages want one")
            if c.kind != CursorKind.FIELD_DECL:
                continue
            self.check_bits(c)
            t = self.member(c, cursor, s.fields)
            offset = c.get_field_offsetof() // 8
            if offset % t.align:
                raise Refusal(c.location, f"{c.spelling}: at {offset}, which is no place for {t.align} bytes: "
                              "leave out what packs the struct")
            if sized or "added" in notes(c):
                end = self.check_added(cursor, c, s, sized, end)
            self.check_hole(cursor, c, c.spelling, end, offset, s.base is not None)
            s.fields.append(Field(c.spelling, t, offset, comment(c) or docs.get(c.spelling, "")))
            end = offset + t.size
        self.check_hole(cursor, cursor, None, end, s.size, s.base is not None)
        if sized and s.base is None:
            s.base = s.size
        if not s.fields:
            raise Refusal(cursor.location, f"struct {s.name} is empty")
        if s.align > LARGEST_ALIGN:
            raise Refusal(cursor.location, f"struct {s.name} wants an alignment of {s.align} bytes: a message "
                          f"has {LARGEST_ALIGN}")
        self.known[s.name] = s
        self.model.structs.append(s)
        return s

    def check_added(self, struct: Cursor, c: Cursor, s: Struct, sized: bool, end: int) -> int:
        """The next field of @s, which has versions; sets @s.base when that is known. Where the field may begin."""
        added = "added" in notes(c)
        if not sized:
            raise Refusal(c.location, f"{c.spelling}: KREPIS_ADDED, but struct {s.name} is not KREPIS_SIZED: "
                          "another size is another packet")
        if not s.fields and (added or c.spelling != "size" or self.type_of(c.type, c) != Scalar("u", 4)):
            raise Refusal(c.location, f"struct {s.name}: KREPIS_SIZED wants uint32_t size as the first member")
        if s.base is not None and not added:
            raise Refusal(c.location, f"{c.spelling}: comes behind what was added: say KREPIS_ADDED, or older programs "
                          "would not understand the rest")
        if s.base is None and added:
            s.base = end
            lacking = -end % max(f.type.align for f in s.fields)
            if lacking:
                self.holes.append(Hole(struct, c.spelling, lacking))
                end += lacking
            if lacking and not self.allow_holes:
                raise Refusal(c.location, f"struct {s.name}: without what was added it has {lacking} bytes of padding "
                              "at the end: --fix-padding shows what to write")
        return end

    def check_hole(self, struct: Cursor, at: Cursor, before: Optional[str], end: int,
                   offset: int, added: bool) -> None:
        if end >= offset:
            return
        self.holes.append(Hole(struct, before, offset - end, added))
        if self.allow_holes:
            return
        place = f"before {before}" if before else "at the end"
        raise Refusal(at.location, f"struct {struct.spelling}: {offset - end} bytes of padding {place} are not "
                      "there to be seen, and would be sent with whatever is in them: --fix-padding shows what "
                      "to write")


def fixed_padding(parser: Parser) -> str:
    """The members to write, each behind the place where it belongs."""
    lines = []
    counts: dict[str, int] = {}
    for h in parser.holes:
        n = counts[h.where.spelling] = counts.get(h.where.spelling, -1) + 1
        place = f"before {h.before}" if h.before else "at the end"
        lines.append(f"{h.where.location.file}:{h.where.location.line}: struct {h.where.spelling}, {place}:\n"
                     f"\tuint8_t padding{n}[{h.size}]{' KREPIS_ADDED' if h.added else ''};\n")
    return "".join(lines)


def find_libclang() -> None:
    """Debian's package knows where it is; another one may not."""
    try:
        assert conf.lib
    except LibclangError:
        found = sorted(Path("/usr/lib").glob("llvm-*/lib/libclang*.so*"))
        if not found:
            raise
        Config.set_library_file(str(found[-1]))
