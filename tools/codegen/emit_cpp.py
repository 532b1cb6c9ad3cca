# SPDX-License-Identifier: MIT
"""C++: the C structs themselves, with their numbers and checks."""

from emit import HEAD
from model import Model

SIZED = """
// Any version of it: what its sender did not have is 0.
template <> inline std::optional<::{name}> decode<{name}_packet>(krepis::ConstBytes bytes) noexcept
{{
	::{name} copy;

	if (krepis_decode_sized(bytes.data(), bytes.size(), {base}, &copy, sizeof(copy)))
		return std::nullopt;
	return copy;
}}

// With its size, to be sent.
inline ::{name} encode(::{name} packet) noexcept
{{
	packet.size = sizeof(packet);
	return packet;
}}"""


def namespace(m: Model) -> str:
    """The header's name. A struct that has it stands beside the namespace and wants another."""
    return f"{m.name}_h" if m.name in {s.name for s in m.structs} | {e.name for e in m.enums} else m.name


def emit(m: Model, source: str) -> str:
    name = namespace(m)
    out = [f"// {HEAD.format(source=source)}", "#pragma once", "",
           "#include <cstddef>", "#include <cstdint>",
           *(["#include <optional>"] if any(s.base is not None for s in m.structs) else []),
           "#include <type_traits>", "",
           'extern "C" {', f'#include "{source}"', "}", "#include <krepis/krepis.hpp>", "",
           f"namespace {name} {{", "",
           f"inline constexpr std::uint32_t layout_id = 0x{m.layout_id:08x};", ""]
    out += [f"using ::{s.name};" for s in m.structs] + [f"using ::{e.name};" for e in m.enums]
    for s in m.packets:
        out.append(f"using {s.name}_packet = krepis::Packet<{s.packet}, ::{s.name}>;")
    if any(s.base is not None for s in m.structs):
        out += ["", "template <class P> std::optional<typename P::type> decode(krepis::ConstBytes) noexcept = delete;"]
    for s in m.structs:
        if s.base is not None:
            out += SIZED.format(name=s.name, base=s.base).splitlines()
        for f, t in s.unions:
            for c in t.cases:
                value = f"{c.value}{'u' if c.value >> 63 > 0 else ''}"
                out += ["", f"inline auto as_{c.name}(const ::{s.name} &m) noexcept", "{",
                        f"\treturn m.{t.tag.name} == {value} ? &m.{f.name}.{c.name} : nullptr;", "}"]
    out.append("")
    for s in m.structs:
        out.append(f"static_assert(std::is_trivially_copyable_v<::{s.name}>);")
        out.append(f"static_assert(sizeof(::{s.name}) == {s.size} && alignof(::{s.name}) == {s.align});")
        for f in s.fields:
            out.append(f"static_assert(offsetof(::{s.name}, {f.name}) == {f.offset});")
        out += [f"static_assert(sizeof(::{s.name}::{f.name}) == {t.size});" for f, t in s.unions]
    out += ["", f"}} // namespace {name}", ""]
    return "\n".join(out)
