# SPDX-License-Identifier: MIT
"""Tests of krepis-codegen --library: what it refuses, that nothing is missing, and that what is made works."""

import ctypes
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tap import CODEGEN, INCLUDE, ROOT, ZIG_USES_ALL, check, codegen, compiles, find, skip

HEADERS = [ROOT / "include/krepis" / name for name in ("krepis.h", "waitset.h", "batch.h")]
BUILD = ROOT / "build"
HERE = Path(__file__).parent
BOX = HERE / "box.h"

# Public headers whose functions are in no binding.
LEFT_OUT = {
    "protobuf.h": "another library, of protobuf-c's messages: other languages have a Protobuf of their own",
    "sandbox.h": "another library, which is a static one: a launcher is a program, krepis-run(1)",
    "uring.h": "inline functions over liburing, which other languages do not share",
    "packet.h": "a macro: krepis-codegen makes packets of messages",
    "krepis.hpp": "C++",
    "annotate.h": "no functions",
    "version.h": "no functions",
    "atomic.h": "inline functions of the library and of the module",
    "geometry.h": "inline functions of the library and of the module",
    "ownership.h": "inline functions of the library and of the module",
    "ring.h": "inline functions of the library and of the module",
    "triple.h": "inline functions of the library and of the module",
}

HEAD = """#include <stddef.h>
#include <stdint.h>
#include <krepis/annotate.h>
struct box;
struct pair { uint32_t a, b; };
struct view { void *data; uint64_t len; };
void box_free(KREPIS_NULLABLE KREPIS_CONSUMES struct box *box);
void box_shake(struct box *box);
"""

# The line that differs, and words of what is said.
REFUSED = {
    "what_comes_back_without_an_owner": ("int f(\n struct box **out);", "who frees what comes back"),
    "a_void_pointer_that_comes_back_without_an_owner": ("int f(\n void **out);", "who frees what comes back"),
    "a_consumed_thing_that_comes_back": ("int f(\n KREPIS_CONSUMES struct box **out);", "who frees what comes back"),
    "a_result_without_an_owner": ("int x;\nstruct box *f(void);", "who frees what it returns"),
    "a_text_as_a_result_without_an_owner": ("int x;\nconst char *f(void);", "who frees what it returns"),
    "a_consumed_result": ("int x;\nKREPIS_CONSUMES struct box *f(void);", "who frees what it returns"),
    "bytes_without_a_length": ("int f(\n const void *data, size_t len);", "how much is behind it"),
    "room_for_a_text_without_a_length": ("int f(\n char *text, size_t len);", "how much is behind it"),
    "numbers_without_a_count": ("int f(\n uint32_t *numbers);", "how much is behind it"),
    "a_struct_with_pointers_without_an_owner": ("int f(\n struct view *view);", "it has pointers: who frees"),
    "a_count_that_is_no_parameter": ("int f(\n KREPIS_ARRAY(size) const void *data, size_t len);",
                                     "no such number among the parameters"),
    "a_count_that_is_a_pointer": ("int f(\n KREPIS_ARRAY(len) const void *data, struct box *len);",
                                  "no such number among the parameters"),
    "an_array_of_handles": ("int f(\n KREPIS_ARRAY(n) struct box *boxes, size_t n);", "how large a struct box is"),
    "an_end_that_is_not_there": ("int f(\n KREPIS_OWNED(box_burn) struct box **out);", "no such function"),
    "an_end_that_consumes_nothing": ("int f(\n KREPIS_OWNED(box_shake) struct box **out);", "KREPIS_CONSUMES"),
    "an_end_of_something_else": ("int f(\n KREPIS_OWNED(box_free) struct view *view);", "KREPIS_CONSUMES"),
    "two_owners": ("int f(\n KREPIS_BORROWED KREPIS_OWNED(box_free) struct box **out);", "one of them"),
    "a_number_that_is_borrowed": ("int f(\n KREPIS_BORROWED uint32_t n);", "no pointer"),
    "a_number_as_a_result_that_is_owned": ("int x;\nKREPIS_OWNED(box_free) int f(void);", "no pointer"),
    "three_stars": ("int f(\n KREPIS_BORROWED struct box ***out);", "one pointer can come back"),
    "an_array_that_is_a_pointer": ("int f(\n uint32_t n[4]);", "should look like one"),
    "a_parameter_without_a_name": ("int f(\n struct box *);", "without a name"),
    "a_function_as_a_parameter": ("int f(\n void (*g)(void));", "functions that C can call"),
    "arguments_that_nobody_knows": ("int x;\nint f(const char *format, ...);", "which arguments"),
    "a_large_struct_by_value": ("int f(\n struct view view);", "Take its address"),
    "a_long_parameter": ("int f(\n long n);", "int64_t"),
    "a_struct_with_a_bit_field": ("struct s {\n uint32_t a : 3; };\nint f(struct s *s);", "bit-field"),
    "a_list": ("\nstruct s { struct s *next; };\nint f(KREPIS_BORROWED struct s *s);", "its own kind"),
}

# How a function is declared in each language.
DECLARED = {
    "json": r'^      "name": "(\w+)",\n      "doc": ".*",\n      "result"',
    "node": r'^\t\{ "(\w+)", NULL, call_\1,',
    "python": r'^    "(\w+)": \(',
    "rust": r"^    pub fn (\w+)\(",
    "typescript": r"^  (\w+)\(.*\): .*;$",
    "zig": r"^pub extern fn (\w+)\(",
}


def refusals(work: Path) -> None:
    done = codegen("--library", BOX)
    check("what_may_be_said_is_taken", not done.returncode, done.stderr)
    for name, (text, words) in REFUSED.items():
        header = work / f"{name}.h"
        header.write_text(HEAD + text + "\n")
        done = codegen("--library", header)
        place = f"{header}:{HEAD.count(chr(10)) + 2}: "
        check(f"{name}_is_refused_with_its_line", done.returncode == 1 and not done.stdout and
              place in done.stderr and words in done.stderr, done.stderr + done.stdout)


def usage() -> None:
    check("a_library_for_cpp_is_usage", codegen("--library", "-l", "c++", HEADERS[0]).returncode == 2)
    check("messages_for_node_are_usage", codegen("-l", "node", HEADERS[0]).returncode == 2)
    check("messages_of_two_headers_are_usage", codegen(*HEADERS).returncode == 2)
    check("padding_of_a_library_is_usage", codegen("--library", "--fix-padding", *HEADERS).returncode == 2)


def compilers_see_nothing(work: Path) -> None:
    source = work / "headers.c"
    source.write_text("".join(f'#include "{h}"\n' for h in HEADERS))
    for cc in ("gcc", "clang"):
        for std, language in (("c11", "c"), ("c++20", "c++")):
            compiles(f"{cc}_takes_the_headers_as_{language}", cc, "-x", language, f"-std={std}", "-D_GNU_SOURCE",
                     "-Wall", "-Wextra", "-Werror", *INCLUDE, "-fsyntax-only", source)
    done = subprocess.run(["gcc", "-E", "-P", *INCLUDE, source], capture_output=True, text=True)
    check("gcc_sees_no_word_of_it", not done.returncode and "krepis_send" in done.stdout and
          not re.search("annotate|KREPIS_(OWNED\\(|BORROWED|CONSUMES|ARRAY|NULLABLE)", done.stdout), done.stderr)


def emitted() -> dict[str, str]:
    """By language; and each is the same from another directory."""
    texts = {}
    for language in DECLARED:
        a = codegen("--library", "-l", language, *HEADERS)
        b = subprocess.run([CODEGEN, "-Iinclude", "-Iinclude/uapi", "--library", "-l", language,
                            *(os.path.relpath(h, ROOT) for h in HEADERS)], cwd=ROOT, capture_output=True, text=True)
        check(f"library_{language}_is_the_same_twice", not a.returncode and a.stdout == b.stdout != "",
              a.stderr + b.stderr)
        texts[language] = a.stdout
    return texts


def exported() -> set[str]:
    done = subprocess.run(["nm", "-D", "--defined-only", BUILD / "libkrepis.so"], capture_output=True, text=True)
    return {line.split()[2].partition("@")[0] for line in done.stdout.splitlines() if " T " in line}


def nothing_is_missing(texts: dict[str, str]) -> None:
    functions = exported()
    check("the_library_exports_functions", "krepis_send" in functions, "make lib, first")
    for language, pattern in DECLARED.items():
        declared = set(re.findall(pattern, texts[language], re.MULTILINE))
        check(f"{language}_has_every_function", declared == functions, "\n".join(sorted(declared ^ functions)))
    table = set(re.findall(r"^  (\w+): \{ parameters", texts["typescript"], re.MULTILINE))
    check("typescript_has_every_symbol", table == functions, "\n".join(sorted(table ^ functions)))
    public = {p.name for p in (ROOT / "include/krepis").iterdir()}
    check("every_header_is_bound_or_left_out", public == {h.name for h in HEADERS} | set(LEFT_OUT),
          "\n".join(sorted(public ^ ({h.name for h in HEADERS} | set(LEFT_OUT)))))


def model(text: str) -> None:
    m = json.loads(text)
    f = {x["name"]: x for x in m["functions"]}
    p = {(x["name"], y["name"]): y for x in m["functions"] for y in x["params"]}
    c = {x["name"]: x["value"] for x in m["constants"]}
    out = p["krepis_attach", "out"]
    check("what_is_owned_has_its_end", (out["own"], out["end"], out["role"]) == ("owned", "krepis_detach", "out"))
    check("what_is_consumed_is_told", p["krepis_publish", "buffer"]["own"] == "consumes")
    data = p["krepis_send", "data"]
    check("lengths_are_told", (data["count"], data["role"]) == ("len", "array"))
    check("null_is_told", p["krepis_channel_create", "path"].get("nullable") is True and
          "nullable" not in p["krepis_channel_open", "path"])
    check("comments_of_functions_travel", f["krepis_flush"]["doc"].startswith("krepis_flush - publishes all") and
          p["krepis_send", "type"]["doc"] == "any number; the consumers see it")
    wanted = {"KREPIS_FOREVER": 2**63 - 1, "KREPIS_NOWAIT": 0, "KREPIS_CONSUMER": 2, "KREPIS_F_EXCLUSIVE": 4,
              "KREPIS_PEER_GONE": 32, "EAGAIN": 11}
    check("constants_have_their_values", {name: c.get(name) for name in wanted} == wanted)
    check("what_the_headers_do_not_name_is_left_out", not any(name.startswith("KREPIS_IOC") for name in c))


def python_works(work: Path, text: str) -> None:
    path = work / "_native.py"
    path.write_text(text)
    spec = importlib.util.spec_from_file_location("_native", path)
    assert spec and spec.loader
    k = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(k)
    lib = k.load(str(BUILD / "libkrepis.so"))
    channel = ctypes.POINTER(k.KrepisChannel)()
    producer, consumer = ctypes.POINTER(k.KrepisEndpoint)(), ctypes.POINTER(k.KrepisEndpoint)()
    buffer = ctypes.POINTER(k.KrepisBuffer)()
    msg = k.KrepisMsg()
    results = [
        lib.krepis_channel_create(None, None, ctypes.byref(channel)),
        lib.krepis_attach(channel, k.KREPIS_PRODUCER, 0, ctypes.byref(producer)),
        lib.krepis_attach(channel, k.KREPIS_CONSUMER, 0, ctypes.byref(consumer)),
        lib.krepis_send(producer, 7, b"hello", 5, k.KREPIS_NOWAIT),
        lib.krepis_recv(consumer, ctypes.byref(msg), k.KREPIS_FOREVER),
    ]
    check("python_sends_and_receives", results == [0] * 5 and msg.type == 7 and
          ctypes.string_at(msg.data, msg.len) == b"hello", str(results))
    check("python_acquires", lib.krepis_acquire(producer, ctypes.byref(buffer), k.KREPIS_NOWAIT) == 0)
    ctypes.memmove(lib.krepis_buffer_data(buffer), b"large", 5)
    handle = lib.krepis_buffer_handle(buffer)
    found = ctypes.POINTER(k.KrepisBuffer)()
    results = [lib.krepis_buffer_lookup(producer, handle, ctypes.byref(found)),
               lib.krepis_publish(producer, buffer, 8, 5, k.KREPIS_MSG_CRC32C, k.KREPIS_NOWAIT),
               lib.krepis_recv(consumer, ctypes.byref(msg), k.KREPIS_NOWAIT),
               lib.krepis_msg_verify(ctypes.byref(msg)), lib.krepis_release(consumer, ctypes.byref(msg)),
               lib.krepis_release(consumer, ctypes.byref(msg))]
    check("python_hands_over", results == [0, 0, 0, 0, 0, -k.EPERM] and handle.generation > 0 and
          ctypes.addressof(found.contents) == ctypes.addressof(buffer.contents), str(results))
    try:
        lib.krepis_flush(channel)
        check("python_knows_handles_apart", False)
    except ctypes.ArgumentError:
        check("python_knows_handles_apart", True)
    lib.krepis_detach(producer)
    check("python_sees_the_end", lib.krepis_recv(consumer, ctypes.byref(msg), k.KREPIS_FOREVER) == -k.KREPIS_PEER_GONE)
    check("python_has_texts", lib.krepis_version().decode() == (ROOT / "VERSION").read_text().strip())
    lib.krepis_detach(consumer)
    lib.krepis_channel_close(channel)


def rust_works(work: Path, text: str) -> None:
    if not shutil.which("rustc"):
        skip("rust_sends_and_receives", "no rustc here")
        return
    (work / "native.rs").write_text(text)
    shutil.copy(HERE / "smoke.rs", work)
    if compiles("rust_of_the_library_compiles", "rustc", "--edition", "2021", "-D", "warnings", "-A", "dead_code",
                "-L", BUILD, "-C", f"link-arg=-Wl,-rpath,{BUILD}", "-o", work / "smoke", work / "smoke.rs"):
        compiles("rust_sends_and_receives", work / "smoke")
    if compiles("rust_of_the_library_has_a_test", "rustc", "--edition", "2021", "--test", "-L", BUILD, "-C",
                f"link-arg=-Wl,-rpath,{BUILD}", "-o", work / "layout", work / "native.rs"):
        compiles("rust_has_the_layout", work / "layout")


def node_headers(node: str) -> str:
    places = [Path(node).resolve().parents[1] / "include/node", Path("/usr/include/node")]
    return next((str(p) for p in places if (p / "node_api.h").exists()), "")


def node_works(work: Path, text: str) -> None:
    node = find("node")
    headers = node_headers(node) if node else ""
    if not node or not headers:
        skip("node_sends_and_receives", "no node 20 here" if not node else "no node_api.h here (Debian: libnode-dev)")
        return
    source, addon = work / "krepis_node.c", work / "krepis_node.node"
    source.write_text(text)
    done = True
    for cc in ("clang", "gcc"):
        done &= compiles(f"{cc}_compiles_the_addon", cc, "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC",
                         "-shared", *INCLUDE, f"-I{headers}", "-o", addon, source, f"-L{BUILD}", "-lkrepis",
                         f"-Wl,-rpath,{BUILD}")
    if done:
        compiles("node_sends_and_receives", node, HERE / "smoke_node.mjs", addon, work / "library.json")


def box_compiles(work: Path) -> None:
    """What libkrepis does not have, but a library may."""
    files = {language: work / f"box{end}" for language, end in
             (("node", "_node.c"), ("python", ".py"), ("rust", ".rs"), ("typescript", ".ts"))}
    for language, path in files.items():
        codegen("--library", f"-I{HERE}", "-l", language, "-o", path, BOX)
    compiles("python_of_any_library_compiles", sys.executable, files["python"])
    if shutil.which("rustc"):
        compiles("rust_of_any_library_compiles", "rustc", "--edition", "2021", "-D", "warnings", "--crate-type", "lib",
                 "-o", work / "box.rlib", files["rust"])
    node = find("node")
    if node and node_headers(node):
        compiles("node_of_any_library_compiles", "gcc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", *INCLUDE,
                 f"-I{HERE}", f"-I{node_headers(node)}", "-fsyntax-only", files["node"])
    if shutil.which("tsc"):
        compiles("typescript_of_any_library_compiles", "tsc", "--strict", "--noEmit", "--target", "es2022",
                 files["typescript"])


def typescript_works(work: Path, text: str) -> None:
    (work / "native.ts").write_text(text)
    for name in ("smoke.mjs", "smoke_deno.ts", "smoke_bun.ts"):
        shutil.copy(HERE / name, work)
    if shutil.which("tsc"):
        compiles("typescript_has_types", "tsc", "--strict", "--noEmit", "--target", "es2022", work / "native.ts")
    else:
        skip("typescript_has_types", "no tsc here")
    runtimes = {"deno": ["run", "--quiet", "--no-check", "--allow-ffi", "--unstable-ffi"], "bun": ["run"]}
    for runtime, how in runtimes.items():
        if shutil.which(runtime):
            compiles(f"{runtime}_sends_and_receives", runtime, *how, work / f"smoke_{runtime}.ts",
                     BUILD / "libkrepis.so")
        else:
            skip(f"{runtime}_sends_and_receives", f"no {runtime} here")


def zig_works(work: Path, text: str) -> None:
    """All of it compiles, and links. A program that uses it: tests/install."""
    zig = find("zig")
    if not zig:
        skip("zig_of_the_library_compiles", "no zig here")
        return
    source = work / "native.zig"
    source.write_text(text)
    compiles("zig_of_the_library_has_zigs_format", zig, "fmt", "--check", source)
    source.write_text(text + ZIG_USES_ALL)
    compiles("zig_of_the_library_compiles", zig, "test", "-lc", f"-L{BUILD}", "-lkrepis", source)


def main(work: Path) -> None:
    refusals(work)
    usage()
    compilers_see_nothing(work)
    texts = emitted()
    (work / "library.json").write_text(texts["json"])
    nothing_is_missing(texts)
    model(texts["json"])
    python_works(work, texts["python"])
    rust_works(work, texts["rust"])
    node_works(work, texts["node"])
    typescript_works(work, texts["typescript"])
    zig_works(work, texts["zig"])
    box_compiles(work)
