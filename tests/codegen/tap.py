# SPDX-License-Identifier: MIT
"""What the tests of krepis-codegen share: TAP, and how it is called."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Optional

ROOT = Path(__file__).resolve().parents[2]
CODEGEN = ROOT / "tools/codegen/krepis-codegen"
INCLUDE = [f"-I{ROOT}/include", f"-I{ROOT}/include/uapi"]

# What npm brought, where the system has none.
os.environ["PATH"] += f":{ROOT}/build/bindings/tools/node_modules/.bin"
os.environ["ZIG_LOCAL_CACHE_DIR"] = os.environ["ZIG_GLOBAL_CACHE_DIR"] = f"{ROOT}/build/bindings/zig/cache"

# Zig compiles only what something uses. This does, of a whole file.
ZIG_USES_ALL = """
test {
    @setEvalBranchQuota(10000);
    const std = @import("std");
    inline for (comptime std.meta.declarations(@This())) |declaration| {
        const it = @field(@This(), declaration.name);
        if (@TypeOf(it) == type and @typeInfo(it) == .@"struct") std.testing.refAllDecls(it);
        _ = &it;
    }
}
"""

count = failed = 0


def check(name: str, good: bool, why: str = "") -> None:
    global count, failed
    count += 1
    failed += not good
    print(f"{'ok' if good else 'not ok'} {count} {name}", flush=True)
    if not good and why:
        print("".join(f"# {line}\n" for line in why.splitlines()), end="")


def skip(name: str, why: str) -> None:
    global count
    count += 1
    print(f"ok {count} {name} # SKIP {why}")


def end() -> int:
    print(f"1..{count}")
    return 1 if failed else 0


def find(name: str) -> Optional[str]:
    """
    A program, as PATH has it. A node before 20 is none: the package does not promise that. Nor is a zig that does not
    run: npm's is a script, and for some machines there is nothing behind it.
    """
    path = shutil.which(name)
    if path and name == "zig" and subprocess.run([path, "version"], capture_output=True).returncode:
        return None
    if path and name == "node":
        version = subprocess.run([path, "--version"], capture_output=True, text=True).stdout
        if not version.startswith("v") or int(version[1:].split(".")[0]) < 20:
            return None
    return path


def codegen(*args: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([CODEGEN, *INCLUDE, *map(str, args)], capture_output=True, text=True)


def compiles(name: str, *command: object) -> bool:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True)
    check(name, not done.returncode, done.stderr + done.stdout)
    return not done.returncode
