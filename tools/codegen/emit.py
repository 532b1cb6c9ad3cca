# SPDX-License-Identifier: MIT
"""What all languages' emitters need."""

import keyword
import textwrap
from collections.abc import Container

from model import Function, Model, Param

# Types that the generated Rust and TypeScript use themselves: in no language the name of a user's type.
TAKEN = {"Self", "Option", "Some", "None", "DataView", "Math", "Number", "RangeError", "TextDecoder", "TextEncoder",
         "TypeError", *(f"{t}Array" for t in ("BigInt64", "BigUint64", "Float32", "Float64", "Int8", "Int16", "Int32",
                                              "Uint8", "Uint16", "Uint32"))}

HEAD = "Made by krepis-codegen from {source}: change that, and not this."


def spared(name: str, words: Container[str]) -> str:
    """What is to be called @name, where @words have a meaning already."""
    return f"{name}_" if name in words else name


def camel(name: str) -> str:
    """time_ns: timeNs."""
    first, *rest = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


def pascal(name: str) -> str:
    """cell_row: CellRow."""
    return spared("".join(word[:1].upper() + word[1:] for word in name.split("_")), TAKEN)


def short_values(names: list[str]) -> list[str]:
    """Without what all of them begin with: KIND_KEY, KIND_MOUSE: KEY, MOUSE. If that leaves names."""
    if len(names) < 2:
        return names
    parts = [name.split("_") for name in names]
    n = 0
    while all(len(p) > n + 1 and p[n] == parts[0][n] for p in parts):
        n += 1
    short = ["_".join(p[n:]) for p in parts]
    usable = all(s[0].isalpha() and not keyword.iskeyword(s) for s in short)
    return short if usable else names


def slashes(doc: str, indent: str = "") -> list[str]:
    """Of Rust and Zig."""
    return [f"{indent}/// {line}".rstrip() for line in doc.splitlines()]


# ------------------------------------------------------------------------------ libraries

def head(m: Model, source: str, line: str = "// {}") -> list[str]:
    licence = [f"SPDX-License-Identifier: {m.licence}"] if m.licence else []
    return [line.format(text) for text in (*licence, HEAD.format(source=source))]


def said_of(p: Param) -> str:
    """Who owns a pointer, in words."""
    said = {"owned": f"owned, ends with {p.end}()", "borrowed": "borrowed", "consumes": "consumed", "": ""}[p.own]
    parts = [said, f"{p.count} of them" if p.count else "", "may be NULL" if p.nullable else ""]
    return "; ".join(part for part in parts if part)


def function_doc(f: Function, item: str = "@{name}{said}: {doc}") -> str:
    """What it does, its parameters, and the rest."""
    first, _, rest = f.doc.partition("\n")
    params = [textwrap.fill(item.format(name=p.name, said=f" ({said_of(p)})" if said_of(p) else "", doc=p.doc), 90,
                            subsequent_indent="  ", break_on_hyphens=False)
              for p in f.params if p.doc or said_of(p)]
    result = [f"Return ({said_of(f.result)})."] if said_of(f.result) else []
    parts = [first, "\n".join(params), rest.strip(), "\n".join(result)]
    return "\n\n".join(part for part in parts if part)
