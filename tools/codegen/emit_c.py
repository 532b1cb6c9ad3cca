# SPDX-License-Identifier: MIT
"""C: nothing is to be defined again, only checked; and the layout has a number."""

from emit import HEAD
from model import Model, Struct

# A packet that has versions.
SIZED = """
/* Any version of it. 0; -ENOMSG: it is another packet; -EMSGSIZE: no version of this one. */
static inline int krepis_decode_{name}(const struct krepis_msg *msg, struct {name} *copy)
{{
	if (msg->type != {packet})
		return -ENOMSG;
	return krepis_decode_sized(msg->data, msg->len, {base}, copy, sizeof(*copy));
}}

/* krepis_send_{name}(), with its size. */
static inline int krepis_encode_{name}(struct krepis_endpoint *endpoint, struct {name} *packet, int64_t deadline)
{{
	packet->size = sizeof(*packet);
	return krepis_send_{name}(endpoint, packet, deadline);
}}
"""


def guard(m: Model) -> str:
    return f"_{m.name.upper()}_LAYOUT_H"


def emit_unions(s: Struct) -> list[str]:
    out = []
    for f, t in s.unions:
        out.append(f'_Static_assert(sizeof(((struct {s.name} *)0)->{f.name}) == {t.size}, "{s.name}.{f.name}");')
        for c in t.cases:
            member = f"{f.name}.{c.name}"
            out += [f'_Static_assert(offsetof(struct {s.name}, {member}) == {f.offset}, "{s.name}.{member}");',
                    f'_Static_assert(sizeof(((struct {s.name} *)0)->{member}) == {c.type.size}, "{s.name}.{member}");']
    return out


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
        out += emit_unions(s)
    for s in m.structs:
        if s.base is not None:
            out += SIZED.format(name=s.name, packet=s.packet, base=s.base).removesuffix("\n").splitlines()
    out += ["", f"#endif /* {guard(m)} */", ""]
    return "\n".join(out)
