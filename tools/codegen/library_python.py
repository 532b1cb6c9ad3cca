# SPDX-License-Identifier: MIT
"""Python: a library's functions by ctypes. Nothing is loaded when it is imported."""

from emit import function_doc, head, pascal
from emit_python import CHECK, SCALARS, emit_struct, type_name
from model import Enum, Function, Model, Param, Pointer, Type

LOAD = '''

def load(path: str) -> ctypes.CDLL:
    """The library at this path, with the types of all its functions."""
    library = ctypes.CDLL(path)
    for name, (result, arguments) in FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
'''


def c_type(t: Type) -> str:
    return f"ctypes.{SCALARS[t.scalar.name]}" if isinstance(t, Enum) else type_name(t)


def param_type(p: Param) -> str:
    """Where there is one, what takes Python's own objects: bytes, arrays, byref()."""
    if p.type is None:
        return "None"
    if p.role == "text" and p.own != "owned":		# ctypes makes a copy, and forgets where it was
        return "ctypes.c_char_p"
    if p.role == "text":
        return "ctypes.c_void_p"
    if p.role == "address" or p.role == "array" and isinstance(p.type, Pointer) and p.type.to is None:
        return "ctypes.c_void_p"
    return c_type(p.type)


def emit_function(f: Function) -> list[str]:
    out = ["", *(f"    # {line}".rstrip() for line in function_doc(f).splitlines())]
    arguments = [param_type(p) for p in f.params]
    line = f'    "{f.name}": ({param_type(f.result)}, [{", ".join(arguments)}]),'
    if len(line) <= 120:
        return [*out, line]
    return [*out, f'    "{f.name}": ({param_type(f.result)}, [', *(f"        {a}," for a in arguments), "    ]),"]


def emit(m: Model, source: str) -> str:
    out = [*head(m, source, "# {}"), "", "import ctypes",
           "from typing import Any, Dict, List, Tuple, Type", ""]
    for c in m.constants:
        out += [f"# {line}" for line in c.doc.splitlines()] + [f"{c.name} = {c.value}"]
    out += CHECK
    for h in m.handles:
        out += ["", "", f"class {pascal(h.name)}(ctypes.Structure):", '    """Nobody looks into it."""']
    for s in m.structs:
        out += emit_struct(s)
    out += ["", "", "# What each returns and takes.", "FUNCTIONS: Dict[str, Tuple[Any, List[Any]]] = {"]
    for i, f in enumerate(m.functions):
        out += emit_function(f)[0 if i else 1:]
    return "\n".join([*out, "}"]) + "\n" + LOAD
