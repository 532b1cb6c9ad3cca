# SPDX-License-Identifier: MIT
"""Tests of krepis-codegen: tagged unions, and packets that have versions."""

import ctypes
import importlib.util
import json
import shutil
import struct
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

from tap import INCLUDE, ROOT, check, codegen, compiles, find, skip

HERE = Path(__file__).parent
BUILD = ROOT / "build"
ENUM = "enum e { A = 1, B = 2 };\n"
PACKET = "KREPIS_PACKET(1, s);"

GOOD = {
    "a_union": ENUM + "struct s { enum e k;\n union {\n int32_t a KREPIS_CASE(A);\n float b KREPIS_CASE(B); } u "
                      "KREPIS_TAG(k); };",
    "a_union_with_a_number": ENUM + "struct s { uint8_t k[3], t; union { int32_t a KREPIS_CASE(A); float b "
                             "KREPIS_CASE(0xff); } u KREPIS_TAG(t); };",
    "a_union_with_a_name": ENUM + "union u { int32_t a KREPIS_CASE(A); float b KREPIS_CASE(2); };\n"
                           "struct s { enum e k; union u u KREPIS_TAG(k); };",
    "a_case_of_a_macro": ENUM + "#define MACRO 7\nstruct s { uint32_t k; union { int32_t a KREPIS_CASE(MACRO); } u "
                         "KREPIS_TAG(k); };",
    "a_sized_struct": "struct KREPIS_SIZED s {\n uint32_t size;\n uint32_t a;\n uint32_t b KREPIS_ADDED;\n "
                      "uint32_t c KREPIS_ADDED;\n};\n" + PACKET,
    "a_sized_struct_of_one_version": "struct KREPIS_SIZED s { uint32_t size; };\n" + PACKET,
}

# Made of GOOD: which, what is replaced by what, the line where that is told, and words of it.
REFUSED = {
    "a_union_without_a_tag": ("a_union", " KREPIS_TAG(k)", "", 5, "KREPIS_TAG("),
    "a_tag_of_no_member": ("a_union", "TAG(k)", "TAG(kind)", 5, "no such member"),
    "a_tag_behind_the_union": ("a_union", "KREPIS_TAG(k); ", "KREPIS_TAG(l); uint32_t l; ", 5, "comes behind"),
    "a_signed_tag": ("a_union", "enum e k", "int32_t k", 5, "no enum and no unsigned"),
    "a_float_for_a_tag": ("a_union", "enum e k", "float k", 5, "no enum and no unsigned"),
    "an_array_for_a_tag": ("a_union", "enum e k", "uint8_t k[4]", 5, "no enum and no unsigned"),
    "a_member_without_a_case": ("a_union", " KREPIS_CASE(B)", "", 5, "KREPIS_CASE("),
    "two_members_with_one_case": ("a_union", "CASE(B)", "CASE(A)", 5, "same case 1"),
    "a_case_that_is_no_value": ("a_union", "CASE(B)", "CASE(C)", 5, "no value of enum e"),
    "a_number_that_is_no_value": ("a_union", "CASE(B)", "CASE(3)", 5, "no value of enum e"),
    "a_number_that_the_tag_has_not": ("a_union_with_a_number", "0xff", "0x100", 2, "no number that t can have"),
    "a_case_that_is_no_number": ("a_union_with_a_number", "0xff", "0xfg", 2, "no number that t can have"),
    "an_anonymous_union": ("a_union", "} u KREPIS_TAG(k)", "}", 3, "without a name"),
    "a_member_that_has_a_fields_name": ("a_union", "float b", "float k", 5, "another member of that name"),
    "a_packed_union": ("a_union", "union {", "union __attribute__((packed)) {", 4, "leave out what packs"),
    "a_pointer_in_a_union": ("a_union", "float b", "float *b", 5, "pointer"),
    "a_bit_field_in_a_union": ("a_union", "int32_t a", "int32_t a : 3", 4, "bit-field"),
    "an_empty_union": ("a_union_with_a_name", "int32_t a KREPIS_CASE(A); float b KREPIS_CASE(2);", "", 3, "is empty"),
    "an_array_of_unions": ("a_union", "u KREPIS_TAG", "u[2] KREPIS_TAG", 5, "not for an array"),
    "a_tag_of_no_union": ("a_sized_struct", "c KREPIS_ADDED", "c KREPIS_ADDED KREPIS_TAG(a)", 5, "is for a union"),
    "a_case_of_no_union": ("a_sized_struct", "c KREPIS_ADDED", "c KREPIS_ADDED KREPIS_CASE(1)", 5,
                           "for a union's members"),
    "a_size_that_is_missing": ("a_sized_struct", "uint32_t size;", "", 3, "uint32_t size as the first"),
    "a_size_that_is_not_first": ("a_sized_struct", "\n uint32_t size;\n uint32_t a;", "\n uint32_t a;\n uint32_t size;",
                                 2, "uint32_t size as the first"),
    "a_size_of_another_type": ("a_sized_struct", "uint32_t size", "int32_t size", 2, "uint32_t size as the first"),
    "a_size_that_was_added": ("a_sized_struct", "size;", "size KREPIS_ADDED;", 2, "uint32_t size as the first"),
    "added_and_not_sized": ("a_sized_struct", "KREPIS_SIZED ", "", 4, "not KREPIS_SIZED"),
    "not_added_behind_what_is": ("a_sized_struct", "c KREPIS_ADDED", "c", 5, "behind what was added"),
    "a_sized_struct_in_another": ("a_sized_struct", PACKET, PACKET + "\nstruct t { struct s s; };", 8,
                                  "is KREPIS_SIZED"),
    "a_sized_struct_in_an_array": ("a_sized_struct", PACKET, PACKET + "\nstruct t { struct s s[2]; };", 8,
                                   "is KREPIS_SIZED"),
    "a_sized_struct_that_is_no_packet": ("a_sized_struct", PACKET, "", 1, "KREPIS_PACKET("),
    "padding_at_the_end_of_the_base": ("a_sized_struct", "uint32_t a;", "uint32_t a; uint64_t t; uint32_t d;", 4,
                                       "without what was added it has 4 bytes of padding"),
    "padding_at_the_end_of_what_was_added": ("a_sized_struct", "uint32_t c ", "uint32_t d KREPIS_ADDED; uint64_t e "
                                             "KREPIS_ADDED; uint32_t c ", 1, "4 bytes of padding at the end"),
    "padding_before_what_was_added": ("a_sized_struct", "uint32_t a;\n uint32_t b", "uint32_t a, d;\n uint64_t b", 4,
                                      "4 bytes of padding before b"),
}
LINK = [f"-L{BUILD}", "-lkrepis", f"-Wl,-rpath,{BUILD}", "-pthread"]
TSC = ["tsc", "--strict", "--noEmit", "--target", "es2022"]
RUNTIMES = {"deno": ["run", "--quiet", "--no-check", "--allow-read", "--allow-write"], "bun": ["run"]}
HEAD = "#include <stdint.h>\n#include <krepis/annotate.h>\n#include <krepis/packet.h>\n"


def refusals(work: Path) -> None:
    header, lines = work / "refused.h", HEAD.count("\n")
    for name, text in GOOD.items():
        header.write_text(HEAD + text + "\n")
        done = codegen(header)
        check(f"{name}_is_taken", not done.returncode, done.stderr)
    for name, (good, old, new, line, words) in REFUSED.items():
        assert old in GOOD[good]
        header.write_text(HEAD + GOOD[good].replace(old, new) + "\n")
        done = codegen(header)
        check(f"{name}_is_refused", done.returncode == 1 and not done.stdout and
              f"{header}:{line + lines}: " in done.stderr and words in done.stderr, done.stderr + done.stdout)
    text = (HEAD + "struct KREPIS_SIZED s { uint32_t size; uint8_t a; %s uint64_t b KREPIS_ADDED; "
            "uint8_t c KREPIS_ADDED; %s };")
    header.write_text(text % ("", "") + PACKET + "\n")
    shown = codegen(header, "--fix-padding").stdout.splitlines()[1::2]
    check("fix_padding_knows_what_was_added",
          shown == ["\tuint8_t padding0[3];", "\tuint8_t padding1[7] KREPIS_ADDED;"], "\n".join(shown))
    header.write_text(text % tuple(shown) + PACKET + "\n")
    check("what_it_shows_of_versions_is_enough", not codegen(header).returncode, codegen(header).stderr)


def number_of(header: Path, text: str) -> int:
    header.write_text(text)
    done = codegen(header)
    return int(json.loads(done.stdout)["layout_id"]) if not done.returncode else 0


def layout_ids(work: Path) -> None:
    header = work / "layout.h"
    text = HEAD + GOOD["a_union"].replace("enum e k;", "enum e j, k;") + PACKET
    first = number_of(header, text)
    check("a_case's_name_does_not_change_the_layout's_number",
          first == number_of(header, text.replace("CASE(A)", "CASE(1)")) != 0)
    for name, old, new in (("a_case", "B = 2", "B = 3"), ("a_member's_name", "float b", "float c"),
                           ("a_member's_type", "float b", "int32_t b"), ("the_tag", "TAG(k)", "TAG(j)")):
        check(f"{name}_changes_the_layout's_number", number_of(header, text.replace(old, new)) not in (0, first))


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Python:
    """As the programs of other languages: what it writes, and what it says that it read."""

    def __init__(self, path: Path) -> None:
        self.made: Any = load(path)

    def write(self) -> bytes:
        m = self.made
        message = m.Move(number=7, time_ns=1 << 40)
        if ctypes.sizeof(message) == 40:
            message.name = b"x" * 16
            message.place = m.Place(-1, 2)
            message.speed = 1.5
        return bytes(message)

    def read(self, paths: list[Path]) -> str:
        return "".join(self.show(path.read_bytes()) + "\n" for path in paths)

    def show(self, data: bytes) -> str:
        message = self.made.Move.decode(memoryview(data))
        if not message:
            return "refused"
        text = f"{message.size} {message.number} {message.time_ns}"
        if ctypes.sizeof(message) < 40:
            return text
        place = f" place {message.place.x} {message.place.y}" if message.place is not None else ""
        name = " name " + message.name.decode() if message.name is not None else ""
        return f"{text} {message.speed * 2:.0f} {message.kind}{place}{name}"


class Program:
    def __init__(self, *command: object) -> None:
        self.command = [*map(str, command)]

    def run(self, *args: object) -> str:
        done = subprocess.run([*self.command, *map(str, args)], capture_output=True, text=True)
        return done.stdout if not done.returncode else f"{done.returncode}: {done.stderr}"

    def write(self) -> bytes:
        path = Path(self.command[-1]).with_name("written")
        path.unlink(missing_ok=True)
        said = self.run("write", path)
        return path.read_bytes() if path.exists() else said.encode()

    def read(self, paths: list[Path]) -> str:
        return self.run("read", *paths)


def programs(work: Path, version: int) -> dict[str, "Python | Program"]:
    """Of this version, in each language that is here."""
    made = {language: work / name for language, name in
            (("c", "move.layout.h"), ("c++", "move.hpp"), ("python", "move.py"), ("rust", "made.rs"),
             ("typescript", "made.ts"), ("zig", "made.zig"))}
    for language, path in made.items():
        codegen(work / "move.h", "-l", language, "-o", path)
    for name in ("move.c", "move.cc", "move.rs", "move.ts"):
        shutil.copy(HERE / name, work)
    found: dict[str, Python | Program] = {"python": Python(made["python"])}
    added = ["-DADDED"] if version == 2 else []
    for language, compiler, source, standard in (
            ("c", "gcc", "move.c", "gnu11"), ("c_of_clang", "clang", "move.c", "gnu11"),
            ("cpp", "g++", "move.cc", "c++20"), ("cpp_of_clang", "clang++", "move.cc", "c++20")):
        if not shutil.which(compiler):
            skip(f"{language}_{version}_compiles", f"no {compiler} here")
        elif compiles(f"{language}_{version}_compiles", compiler, f"-std={standard}", "-O2", "-Wall", "-Wextra",
                      "-Werror", *INCLUDE, f"-I{work}", *added, "-o", work / language, work / source, *LINK):
            found[language] = Program(work / language)
    if not shutil.which("rustc"):
        skip(f"rust_{version}_compiles", "no rustc here")
    elif compiles(f"rust_{version}_compiles", "rustc", "--edition", "2021", "-D", "warnings", "-A", "dead_code",
                  "--check-cfg", "cfg(added, test)", *(["--cfg", "added"] if added else []), "-o", work / "rust",
                  work / "move.rs"):
        found["rust"] = Program(work / "rust")
    if shutil.which("tsc"):
        compiles(f"typescript_{version}_has_types", *TSC, made["typescript"])
    else:
        skip(f"typescript_{version}_has_types", "no tsc here")
    for runtime, how in RUNTIMES.items():
        if shutil.which(runtime):
            found[runtime] = Program(runtime, *how, work / "move.ts")
        else:
            skip(f"{runtime}_{version}_runs", f"no {runtime} here")
    if find("zig"):
        with made["zig"].open("a") as file:
            file.write(ZIG[version])
        compiles(f"zig_{version}_reads", "zig", "test", made["zig"])
    else:
        skip(f"zig_{version}_reads", "no zig here")
    return found


# Zig's part of it: own bytes come back; of version 2, the union.
ZIG = {
    1: '\ntest {\n    var move = Move{ .size = 0, .number = 7, .time_ns = 1 };\n'
       '    assert(Move.decode(move.encode()).?.number == 7);\n'
       '    assert(Move.decode(move.encode()[0..15]) == null);\n}\n',
    2: '\ntest {\n    var move = @import("std").mem.zeroes(Move);\n    move.set_place(.{ .x = -1, .y = 2 });\n'
       '    const copy = Move.decode(move.encode()).?;\n    assert(copy.place().?.x == -1 and copy.name() == null);\n'
       '    const first = [_]u8{ 16, 0, 0, 0 } ++ [_]u8{0xff} ** 36;\n    assert(Move.decode(&first).?.speed == 0);\n'
       '    assert(Move.decode(first[0..15]) == null);\n}\n',
}

FIRST = struct.pack("<IIQ", 16, 7, 1 << 40)
SECOND = struct.pack("<IIQfIii8x", 40, 7, 1 << 40, 1.5, 1, -1, 2)


def of_size(size: int, length: int) -> bytes:
    """Says that it has @size bytes, and has @length."""
    return (struct.pack("<I", size) + SECOND[4:])[:length]



# A message, and what versions 1 and 2 make of it.
READ = {
    "of_the_first": (FIRST, "16 7 1099511627776", "16 7 1099511627776 0 0"),
    "of_the_second": (SECOND, "40 7 1099511627776", "40 7 1099511627776 3 1 place -1 2"),
    "of_a_third": (of_size(48, 40) + b"\xff" * 8, "48 7 1099511627776", "48 7 1099511627776 3 1 place -1 2"),
    "with_a_text": (struct.pack("<IIQfI16s", 40, 7, 1, 1, 4, b"krepis"), "40 7 1", "40 7 1 2 4 name krepis"),
    "with_another_tag": (struct.pack("<IIQfI16x", 40, 7, 1, 1, 9), "40 7 1", "40 7 1 2 9"),
    "that_ends_between_two_fields": (of_size(20, 20), "20 7 1099511627776", "20 7 1099511627776 3 0"),
    "with_more_behind_it": (FIRST + b"\xff" * 24, "16 7 1099511627776", "16 7 1099511627776 0 0"),
    "of_no_bytes": (b"", "refused", "refused"),
    "of_less_than_its_size": (b"\xff\xff\xff", "refused", "refused"),
    "shorter_than_the_base": (of_size(16, 15), "refused", "refused"),
    "shorter_than_the_base_as_it_says": (of_size(15, 15), "refused", "refused"),
    "shorter_than_it_says": (of_size(17, 16), "refused", "refused"),
    "much_shorter_than_it_says": (of_size(0xffffffff, 40), "refused", "refused"),
    "that_says_less_than_the_base": (of_size(15, 40), "refused", "refused"),
    "that_says_nothing": (of_size(0, 40), "refused", "refused"),
}


def exchange(work: Path) -> None:
    text = (HERE / "move.h").read_text()
    first = "".join(line for line in text.splitlines(True) if "KREPIS_ADDED;" not in line)
    numbers = []
    found = {}
    for version, header in ((1, first), (2, text)):
        place = work / f"version{version}"
        place.mkdir()
        numbers.append(number_of(place / "move.h", header))
        found[version] = programs(place, version)
    check("versions_have_one_layout's_number", numbers[0] == numbers[1] != 0, str(numbers))
    for name, old, new in (("another_base", "uint32_t number", "int32_t number"),
                           ("no_versions", "KREPIS_SIZED ", "")):
        check(f"{name}_has_another_layout's_number", number_of(work / "move.h", first.replace(old, new)) not in
              (0, numbers[0]))
    paths = []
    for name, (data, _, _) in READ.items():
        paths.append(work / name)
        paths[-1].write_bytes(data)
    for version, languages in found.items():
        for language, program in languages.items():
            wrote = program.write()
            check(f"{language}_{version}_writes", wrote == (SECOND if version == 2 else FIRST), repr(wrote))
            said = program.read(paths).splitlines()
            for i, (name, (_, *expected)) in enumerate(READ.items()):
                wanted = expected[version - 1]
                check(f"{language}_{version}_reads_one_{name}", said[i:i + 1] == [wanted],
                      f"{said[i:i + 1] or said}, not {wanted}")


def typescript_has_unions(work: Path) -> None:
    codegen(HERE / "messages.h", "-l", "typescript", "-o", work / "messages.ts")
    shutil.copy(HERE / "unions.ts", work)
    if shutil.which("tsc"):
        compiles("typescript_has_types_for_unions", *TSC, "--allowImportingTsExtensions", work / "unions.ts")
    for runtime, how in RUNTIMES.items():
        if shutil.which(runtime):
            compiles(f"{runtime}_has_unions", runtime, *how, work / "unions.ts")


def cpp_has_unions(work: Path) -> None:
    codegen(HERE / "messages.h", "-l", "c++", "-o", work / "messages.hpp")
    for compiler in ("g++", "clang++"):
        if shutil.which(compiler):
            if compiles(f"{compiler}_compiles_unions", compiler, "-std=c++20", "-Wall", "-Wextra", "-Werror", *INCLUDE,
                        f"-I{work}", f"-I{HERE}", "-o", work / "unions", HERE / "unions.cc", *LINK):
                compiles(f"{compiler}_has_unions", work / "unions")


def python_has_unions(work: Path) -> None:
    codegen(HERE / "messages.h", "-l", "python", "-o", work / "unions.py")
    m: Any = load(work / "unions.py")
    event = m.Event(bytes=(0xff,) * 12)
    event.key = m.Key(code=0x41)
    check("python_sets_the_tag", event.kind == m.EventKind.KEY and event.key.code == 0x41 and event.bytes is None)
    check("python_leaves_nothing_behind", bytes(event)[12:] == bytes(4), str(bytes(event)))
    event.key.mods = 3
    check("python_has_a_view_of_the_member", event.key.mods == 3)
    try:
        event.width = "text"
        check("python_refuses_another_type", False)
    except TypeError:
        check("python_refuses_another_type", event.kind == m.EventKind.KEY and event.key.mods == 3)


def main(work: Path) -> None:
    refusals(work)
    layout_ids(work)
    python_has_unions(work)
    unions = work / "unions"
    unions.mkdir()
    typescript_has_unions(unions)
    cpp_has_unions(unions)
    exchange(work)
