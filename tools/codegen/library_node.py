# SPDX-License-Identifier: MIT
"""
Node: the C source of an addon for Node-API. A wrapper for each function looks at its arguments
before C does. An address is a number: 48 bits fit in a double.

It is linked to the library; or it is compiled with -DLOADED and linked to nothing: then its load(path)
opens the library, and adds those functions that it has. MORE is what else the addon is to export.
"""

from pathlib import Path

from emit import head
from model import Enum, Function, Model, Param, Pointer, Scalar, Struct, Type

SUPPORT = Path(__file__).with_name("library_node.c")
LIMITS = {"u8": (0, 2**8 - 1), "u16": (0, 2**16 - 1), "u32": (0, 2**32 - 1), "i8": (-2**7, 2**7 - 1),
          "i16": (-2**15, 2**15 - 1), "i32": (-2**31, 2**31 - 1), "usize": (0, 2**53 - 1), "u64": (0, 2**53 - 1)}


def c_name(t: Type) -> str:
    """Of what @t is in C."""
    if isinstance(t, Pointer):
        const = "const " if t.const else ""
        return f"{const}{c_name(t.to) if t.to else 'void'} *".replace("* *", "**")
    if isinstance(t, Enum):
        return f"enum {t.name}"
    if isinstance(t, Scalar):
        if t.kind in ("bool", "char"):
            return t.kind
        if t.kind == "f":
            return "float" if t.size == 4 else "double"
        return "size_t" if t.kind == "usize" else f"{'u' if t.kind == 'u' else ''}int{8 * t.size}_t"
    return f"struct {t.name}"		# type: ignore[union-attr]


def scalar(p: Param) -> Scalar:
    t = p.type.scalar if isinstance(p.type, Enum) else p.type
    assert isinstance(t, Scalar)
    return t


def local(name: str) -> str:
    """A variable for what the library calls @name."""
    return f"{name}_" if name in ("env", "info", "argv") else name


class Argument:
    """How one is declared, read, checked once all are read, and passed."""

    def __init__(self, f: Function, i: int) -> None:
        p = f.params[i]
        name, null = local(p.name), "true" if p.nullable else "false"
        start = f'(env, argv[{i}], "{f.name}: {p.name}"'
        self.check = ""
        if isinstance(p.type, Pointer):
            t = p.type
            cast = f"({c_name(t)})"
            if p.role in ("handle", "address"):
                self.declare = f"void *{name};"
                self.read = f"get_{p.role}{start}, {'' if p.role == 'address' else null + ', '}&{name})"
                self.give = name
                return
            self.declare = f"struct napi_view {name};"
            self.give = f"{cast}{name}.data"
            if p.role == "text":
                self.read = f"get_text{start}, {null}, &{name})"
                return
            self.read = f"get_view{start}, {'true' if p.role == 'array' else null}, &{name})"
            size, align = ("1", "1") if t.to is None else (f"sizeof({c_name(t.to)})", f"_Alignof({c_name(t.to)})")
            many = local(p.count) if p.count else f"!!{name}.data" if p.nullable else "1"
            self.check = f'fits(env, &{name}, "{f.name}: {p.name}", {many}, {size}, {align})'
        elif isinstance(p.type, Struct):
            self.declare = f"{c_name(p.type)} {name};"
            self.read = f"get_value{start}, &{name}, sizeof({name}))"
            self.give = name
        else:
            number = scalar(p)
            self.declare = f"double {name};"
            self.give = f"({c_name(number)}){name}"
            if number.name == "i64":
                self.declare, self.give = f"int64_t {name};", name
                self.read = f"get_int64{start}, &{name})"
            elif number.name == "bool":
                self.declare, self.give = f"bool {name};", name
                self.read = f"get_bool{start}, &{name})"
            elif number.kind == "f":
                self.read = f"get_double{start}, &{name})"
            else:
                least, most = LIMITS["u8" if number.name == "char" else number.name]
                self.read = f"get_whole{start}, {least}.0, {most}.0, &{name})"


def give_back(p: Param, call: str) -> list[str]:
    t = p.type
    if t is None:
        return [f"\t{call};", "\treturn nothing(env);"]
    if isinstance(t, Struct):
        return [f"\tresult = {call};", "\treturn from_value(env, &result, sizeof(result));"]
    kind = "pointer" if isinstance(t, Pointer) else "bool" if scalar(p).name == "bool" else "number"
    line = f"\treturn from_{kind}(env, {call});"
    return [line] if len(line) <= 100 else [f"\treturn from_{kind}(env,", f"\t\t{call});"]


def emit_function(f: Function) -> list[str]:
    arguments = [Argument(f, i) for i in range(len(f.params))]
    out = [f"static napi_value call_{f.name}(napi_env env, napi_callback_info info)", "{"]
    if isinstance(f.result.type, Struct):
        out.append(f"\t{c_name(f.result.type)} result;")
    if not arguments:
        out.append("\t(void)info;")
    else:
        out += [f"\tnapi_value argv[{len(arguments)}];", *(f"\t{a.declare}" for a in arguments), ""]
        tests = [f"!get_arguments(env, info, {len(arguments)}, argv)", *(f"!{a.read}" for a in arguments),
                 *(f"!{a.check}" for a in arguments if a.check)]
        out += ["\tif (" + " ||\n\t    ".join(tests) + ")", "\t\treturn NULL;"]
    call = f"{f.name}({', '.join(a.give for a in arguments)})"
    return [*out, *give_back(f.result, call), "}", ""]


def loaded(m: Model) -> list[str]:
    """The functions, as pointers of the same names."""
    out = ["#ifdef LOADED", "static struct {"]
    out += [f"\t__typeof__({f.name}) *{f.name}_;" for f in m.functions]
    out += ["} library;", ""]
    return out + [f"#define {f.name} (*library.{f.name}_)" for f in m.functions] + ["#endif", ""]


def emit(m: Model, source: str) -> str:
    _, support = SUPPORT.read_text(encoding="utf-8").split("\n", 1)
    out = [*head(m, source, "/* {} */"), "#define NAPI_VERSION 8", "#include <node_api.h>",
           *(f"#include <{name}>" for name in m.includes), support, *loaded(m)]
    for f in m.functions:
        out += emit_function(f)
    out += ["static const napi_property_descriptor functions[] = {"]
    out += [f'\t{{ "{f.name}", NULL, call_{f.name}, NULL, NULL, NULL, napi_enumerable, NULL }},' for f in m.functions]
    out += ["};", "", "#ifdef LOADED", "static void **const slots[] = {"]
    out += [f"\t(void **)&library.{f.name}_," for f in m.functions]
    out += ["};", "", "static napi_value js_load(napi_env env, napi_callback_info info)", "{",
            "\treturn load(env, info, functions, slots, sizeof(slots) / sizeof(slots[0]));", "}", "#endif", ""]
    out += ["NAPI_MODULE_INIT()", "{", "\tstatic const napi_property_descriptor helpers[] = {"]
    out += [f"\t\tHELPER({name})," for name in ("memory", "read", "write", "text", "address", "detach")]
    out += ["#ifdef MORE", "\t\tMORE", "#endif", "#ifdef LOADED", "\t\tHELPER(load),", "#endif", "\t};", "",
            "\tnapi_define_properties(env, exports, sizeof(helpers) / sizeof(helpers[0]), helpers);", "#ifndef LOADED",
            "\tnapi_define_properties(env, exports, sizeof(functions) / sizeof(functions[0]), functions);", "#endif"]
    return "\n".join([*out, "\treturn exports;", "}", ""])
