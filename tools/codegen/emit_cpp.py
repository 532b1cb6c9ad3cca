# SPDX-License-Identifier: MIT
"""C++: the C structs themselves, with their numbers and checks."""

from emit import HEAD
from model import Model


def namespace(m: Model) -> str:
    """The header's name. A struct that has it stands beside the namespace and wants another."""
    return f"{m.name}_h" if m.name in {t.name for t in [*m.structs, *m.enums]} else m.name


def emit(m: Model, source: str) -> str:
    name = namespace(m)
    out = [f"// {HEAD.format(source=source)}", "#pragma once", "",
           "#include <cstddef>", "#include <cstdint>", "#include <type_traits>", "",
           'extern "C" {', f'#include "{source}"', "}", "#include <krepis/krepis.hpp>", "",
           f"namespace {name} {{", "",
           f"inline constexpr std::uint32_t layout_id = 0x{m.layout_id:08x};", ""]
    out += [f"using ::{s.name};" for s in m.structs] + [f"using ::{e.name};" for e in m.enums]
    for s in m.packets:
        out.append(f"using {s.name}_packet = krepis::Packet<{s.packet}, ::{s.name}>;")
    out.append("")
    for s in m.structs:
        out.append(f"static_assert(std::is_trivially_copyable_v<::{s.name}>);")
        out.append(f"static_assert(sizeof(::{s.name}) == {s.size} && alignof(::{s.name}) == {s.align});")
        for f in s.fields:
            out.append(f"static_assert(offsetof(::{s.name}, {f.name}) == {f.offset});")
    out += ["", f"}} // namespace {name}", ""]
    return "\n".join(out)
