# SPDX-License-Identifier: MIT
"""
Reads the headers of a library: its functions, and what they take and give. Refuses a pointer
whose owner is told neither by its type nor by a word of krepis/annotate.h.
"""

import os
import re
from pathlib import Path
from typing import Optional

from clang.cindex import Cursor, CursorKind, SourceLocation, StorageClass, TranslationUnit, TypeKind
from clang.cindex import Type as ClangType
from model import Constant, Function, Handle, Model, Param, Pointer, Scalar, Struct, Type, leaf
from parse import FIXED, PLAIN, Parser, Refusal, comment, field_docs, notes, peeled

OWNER = "KREPIS_OWNED(the function that ends it) or KREPIS_BORROWED"
MENTIONED = re.compile(r"\bKREPIS_[A-Z0-9_]+\*?|(?<=-)E[A-Z0-9]+\b")
LICENCE = re.compile(r"SPDX-License-Identifier: *(.*?) *(?:\*/)?$", re.MULTILINE)
PLAIN_WORD = PLAIN | {TypeKind.LONG: Scalar("i", 8), TypeKind.ULONG: Scalar("u", 8)}	# LP64


def has_pointers(t: Optional[Type]) -> bool:
    if t is None:
        return False
    t = leaf(t)
    return isinstance(t, Pointer) or isinstance(t, Struct) and any(has_pointers(f.type) for f in t.fields)


def is_char(t: Optional[Type]) -> bool:
    return isinstance(t, Scalar) and t.name == "char"


def words(cursor: Cursor) -> dict[str, str]:
    """What is said of a parameter or a result: the word, and what is in its parentheses."""
    said = {}
    for note in notes(cursor):
        word, _, inside = note.partition(":")
        said[word] = inside
    if len({"owned", "borrowed", "consumes"} & set(said)) > 1:
        raise Refusal(cursor.location, f"{cursor.spelling}: owned, borrowed or consumed: one of them")
    return said


def include_name(path: str, args: list[str]) -> str:
    """As a program names a header: from a directory of -I, if it is in one."""
    real = Path(os.path.realpath(path))
    for arg in args:
        directory = Path(os.path.realpath(arg.removeprefix("-I")))
        if directory in real.parents:
            return str(real.relative_to(directory))
    return real.name


class Library(Parser):
    """
    Several headers; the library has the name of the first one. What other headers say is there as
    far as these use it.
    """

    fixed = FIXED | {"size_t": Scalar("usize", 8)}

    def __init__(self, paths: list[str], args: list[str]) -> None:
        super().__init__(paths[0], args, allow_holes=True)
        self.paths = paths
        self.model.includes = [include_name(path, args) for path in paths]
        licence = LICENCE.search(Path(paths[0]).read_text(encoding="utf-8"))
        self.model.licence = licence.group(1) if licence else ""
        self.ours = {os.path.realpath(path) for path in paths}
        self.inside: list[str] = []
        self.ends: list[tuple[Cursor, Param]] = []

    def parse(self) -> Model:
        includes = "".join(f'#include "{os.path.abspath(path)}"\n' for path in self.paths)
        unit = self.unit("krepis-codegen.c", includes)
        for cursor in unit.cursor.get_children():
            if cursor.kind == CursorKind.FUNCTION_DECL and self.is_ours(cursor) and \
                    cursor.storage_class != StorageClass.STATIC:
                self.model.functions.append(self.function(cursor))
        for cursor, param in self.ends:
            self.check_end(cursor, param)
        self.constants(unit, includes)
        return self.model

    def is_ours(self, cursor: Cursor) -> bool:
        return bool(cursor.location.file) and os.path.realpath(cursor.location.file.name) in self.ours

    # ------------------------------------------------------------------------- types

    def type_of(self, t: ClangType, where: Cursor) -> Type:
        if t.get_canonical().kind != TypeKind.POINTER:
            return super().type_of(t, where)
        to = peeled(t).get_pointee()
        const, plain = to.is_const_qualified(), to.get_canonical()
        if plain.kind == TypeKind.VOID:
            return Pointer(None, const)
        if plain.kind in (TypeKind.FUNCTIONPROTO, TypeKind.FUNCTIONNOPROTO):
            raise Refusal(where.location, f"{where.spelling}: not every language has functions that C can call")
        if plain.kind == TypeKind.RECORD and not plain.get_declaration().get_definition():
            handle = Handle(plain.get_declaration().spelling)
            if handle not in self.model.handles:
                self.model.handles.append(handle)
            return Pointer(handle, const)
        return Pointer(self.type_of(to, where), const)

    def struct(self, cursor: Cursor) -> Struct:
        if cursor.spelling in self.inside:
            raise Refusal(cursor.location, f"struct {cursor.spelling} has a pointer to its own kind: who frees a "
                          "list is not for another language to know")
        self.inside.append(cursor.spelling)
        s = super().struct(cursor)
        self.inside.pop()
        return s

    # --------------------------------------------------------------------- functions

    def function(self, cursor: Cursor) -> Function:
        if cursor.type.kind != TypeKind.FUNCTIONPROTO or cursor.type.is_function_variadic():
            raise Refusal(cursor.location, f"{cursor.spelling}: which arguments it takes is not told by its type")
        doc, docs = field_docs(comment(cursor))
        arguments = list(cursor.get_arguments())
        numbers = {c.spelling for c in arguments if c.type.get_canonical().kind in PLAIN_WORD}
        params = [self.param(c, numbers, docs.get(c.spelling, "")) for c in arguments]
        return Function(cursor.spelling, self.result(cursor), params, doc)

    def result(self, cursor: Cursor) -> Param:
        said = words(cursor)
        if cursor.result_type.get_canonical().kind == TypeKind.VOID:
            t = None
        else:
            t = self.type_of(cursor.result_type, cursor)
        result = Param("", t, own=self.own(said), end=said.get("owned", ""))
        if isinstance(t, Pointer):
            if result.own not in ("owned", "borrowed"):
                raise Refusal(cursor.location, f"{cursor.spelling}: who frees what it returns? Say {OWNER}")
            result.role = ("handle" if isinstance(t.to, Handle) else "text" if is_char(t.to) and t.const else
                           "address")
        else:
            self.not_a_pointer(cursor, result, said)
        self.remember(cursor, result)
        return result

    def param(self, cursor: Cursor, numbers: set[str], doc: str) -> Param:
        if not cursor.spelling:
            raise Refusal(cursor.location, "a parameter without a name: other languages want one")
        if cursor.type.kind in (TypeKind.CONSTANTARRAY, TypeKind.INCOMPLETEARRAY):
            raise Refusal(cursor.location, f"{cursor.spelling}: is a pointer, and should look like one, with "
                          "KREPIS_ARRAY(the parameter that counts)")
        said = words(cursor)
        t = self.type_of(cursor.type, cursor)
        p = Param(cursor.spelling, t, own=self.own(said), end=said.get("owned", ""), count=said.get("array", ""),
                  nullable="nullable" in said, doc=doc)
        if isinstance(t, Pointer):
            p.role = self.role(cursor, p, t)
        else:
            self.not_a_pointer(cursor, p, said)
        if p.count and p.count not in numbers:
            raise Refusal(cursor.location, f"{p.name}: KREPIS_ARRAY({p.count}): no such number among the parameters")
        self.remember(cursor, p)
        return p

    def own(self, said: dict[str, str]) -> str:
        return next((word for word in ("owned", "borrowed", "consumes") if word in said), "")

    def not_a_pointer(self, cursor: Cursor, p: Param, said: dict[str, str]) -> None:
        if said:
            raise Refusal(cursor.location, f"{cursor.spelling}: {', '.join(sorted(said))}: is said of what is no "
                          "pointer")
        if isinstance(p.type, Struct):
            p.role = "value"
            if p.type.size > 8 or not all(isinstance(f.type, Scalar) and f.type.kind in "ui" for f in p.type.fields):
                raise Refusal(cursor.location, f"{cursor.spelling}: a struct that is not up to 8 bytes of whole "
                              "numbers: not every language can pass it. Take its address")

    def role(self, cursor: Cursor, p: Param, t: Pointer) -> str:
        back = "who frees what comes back? Say "
        if isinstance(t.to, Pointer):
            if isinstance(t.to.to, Pointer) or p.count:
                raise Refusal(cursor.location, f"{p.name}: one pointer can come back, and not more")
            if p.own not in ("owned", "borrowed"):
                raise Refusal(cursor.location, f"{p.name}: {back}{OWNER}")
            return "out"
        if isinstance(t.to, Handle):
            if p.count:
                raise Refusal(cursor.location, f"{p.name}: nobody knows how large a struct {t.to.name} is")
            return "handle"
        if not t.const and has_pointers(t.to) and not p.own:
            raise Refusal(cursor.location, f"{p.name}: it has pointers: {back}{OWNER}; or KREPIS_CONSUMES")
        if p.count:
            return "array"
        if isinstance(t.to, Struct):
            return "struct"
        if is_char(t.to) and t.const and not p.own:
            return "text"
        if p.own not in ("borrowed", "consumes"):
            raise Refusal(cursor.location, f"{p.name}: how much is behind it? Say KREPIS_ARRAY(the parameter that "
                          "counts), or KREPIS_BORROWED if nobody follows it")
        return "address"

    def remember(self, cursor: Cursor, p: Param) -> None:
        if p.own == "owned":
            self.ends.append((cursor, p))

    def check_end(self, cursor: Cursor, p: Param) -> None:
        end = next((f for f in self.model.functions if f.name == p.end), None)
        if not end:
            raise Refusal(cursor.location, f"{cursor.spelling}: KREPIS_OWNED({p.end}): no such function in these "
                          "headers")
        assert isinstance(p.type, Pointer)
        owned = p.type.to.to if isinstance(p.type.to, Pointer) else p.type.to
        if not any(e.own == "consumes" and isinstance(e.type, Pointer) and e.type.to == owned for e in end.params):
            raise Refusal(cursor.location, f"{cursor.spelling}: KREPIS_OWNED({p.end}): that does not take it with "
                          "KREPIS_CONSUMES")

    # --------------------------------------------------------------------- constants

    def constants(self, unit: TranslationUnit, includes: str) -> None:
        """
        Those that the headers name, wherever they stand: KREPIS_RING, KREPIS_F_* in a comment,
        -EAGAIN. What is no number is left out.
        """
        text = "".join(Path(path).read_text(encoding="utf-8") for path in self.paths)
        said = set(MENTIONED.findall(text))
        beginnings = tuple(name[:-1] for name in said if name.endswith("*"))

        def wanted(name: str) -> bool:
            return name in said or name.startswith("KREPIS_") and name.startswith(beginnings)

        for cursor in unit.cursor.get_children():
            if cursor.kind == CursorKind.ENUM_DECL and cursor.spelling and cursor.is_definition():
                values = [c for c in cursor.get_children() if c.kind == CursorKind.ENUM_CONSTANT_DECL]
                if cursor.spelling in self.known or any(wanted(c.spelling) for c in values):
                    e = self.enum(cursor)
                    self.model.constants += [Constant(v.name, v.value, e.scalar, v.doc) for v in e.values]
        macros = {c.spelling: c.location for c in unit.cursor.get_children()
                  if c.kind == CursorKind.MACRO_DEFINITION and wanted(c.spelling)}
        numbers = self.evaluate(list(macros), includes)
        self.model.constants += [Constant(name, *numbers[name], macro_doc(where)) for name, where in macros.items()
                                 if name in numbers and name.startswith("KREPIS_")]
        self.model.constants += sorted((Constant(name, *numbers[name]) for name in numbers if name.startswith("E")),
                                       key=lambda c: c.value)

    def evaluate(self, names: list[str], includes: str) -> dict[str, tuple[int, Scalar]]:
        """As the compiler does. A line for each, so that what is no number spoils no other one."""
        lines = [f"enum {{ krepis_value_{n} = ({n}) }}; static __typeof__({n}) krepis_type_{n};\n" for n in names]
        unit = self.unit("krepis-codegen.c", includes + "".join(lines), wrong=True)
        first = includes.count("\n") + 1
        bad = {d.location.line - first for d in unit.diagnostics
               if d.severity >= 3 and d.location.file and d.location.file.name == "krepis-codegen.c"}
        good = [n for i, n in enumerate(names) if i not in bad]
        values: dict[str, int] = {}
        types: dict[str, Scalar] = {}
        for cursor in unit.cursor.get_children():
            if cursor.kind == CursorKind.ENUM_DECL:
                values |= {c.spelling: c.enum_value for c in cursor.get_children()}
            elif cursor.kind == CursorKind.VAR_DECL and cursor.type.get_canonical().kind in PLAIN_WORD:
                types[cursor.spelling] = PLAIN_WORD[cursor.type.get_canonical().kind]
        return {n: (values[f"krepis_value_{n}"], types[f"krepis_type_{n}"]) for n in good}


def macro_doc(where: SourceLocation) -> str:
    """The comment behind it, or the one right before it."""
    lines = Path(where.file.name).read_text(encoding="utf-8").splitlines()
    at = where.line - 1
    behind = re.search(r"/\*+(.*?)\*/\s*$", lines[at])
    if behind:
        return behind.group(1).strip()
    first = at - 1
    if not lines[first].rstrip().endswith("*/"):
        return ""
    while "/*" not in lines[first]:
        first -= 1
    if not lines[first].lstrip().startswith("/*"):
        return ""
    text = "\n".join(line.strip().removeprefix("/*").removesuffix("*/").removeprefix("*").strip()
                     for line in lines[first:at])
    return text.strip()
