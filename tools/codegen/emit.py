# SPDX-License-Identifier: MIT
"""What all languages' emitters need."""

import keyword

HEAD = "Made by krepis-codegen from {source}: change that, and not this."


def camel(name: str) -> str:
    """time_ns: timeNs."""
    first, *rest = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


def pascal(name: str) -> str:
    """cell_row: CellRow."""
    return "".join(word[:1].upper() + word[1:] for word in name.split("_"))


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
