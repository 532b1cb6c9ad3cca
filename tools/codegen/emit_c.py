# SPDX-License-Identifier: MIT
"""C: nothing is to be defined again, only checked; and the layout has a number."""

from emit import HEAD
from model import Model


def guard(m: Model) -> str:
    return f"_{m.name.upper()}_LAYOUT_H"


def emit(m: Model, source: str) -> str:
    out = [f"/* {HEAD.format(source=source)} */",
           f"#ifndef {guard(m)}", f"#define {guard(m)}", "",
           "#include <stddef.h>", f'#include "{source}"', "",
           "/* For krepis_channel_options.layout_id and krepis_channel_open(). */",
           f"#define {m.name.upper()}_LAYOUT_ID 0x{m.layout_id:08x}U", ""]
    for s in m.structs:
        out.append(f'_Static_assert(sizeof(struct {s.name}) == {s.size}, "{s.name}");')
        for f in s.fields:
            out.append(f"_Static_assert(offsetof(struct {s.name}, {f.name}) == {f.offset}, "
                       f'"{s.name}.{f.name}");')
    out += ["", f"#endif /* {guard(m)} */", ""]
    return "\n".join(out)
