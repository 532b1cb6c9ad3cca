/* SPDX-License-Identifier: MIT */
/*
 * What krepis-codegen has to be told and C cannot say. It is empty for a compiler that is
 * not clang, and means nothing to one that is.
 *
 *	enum KREPIS_FLAGS paint { BOLD = 1, BLINK = 2 };	values are or-ed together
 */
#ifndef _KREPIS_ANNOTATE_H
#define _KREPIS_ANNOTATE_H

#ifdef __clang__
#define KREPIS_FLAGS	__attribute__((annotate("krepis:flags")))
#else
#define KREPIS_FLAGS
#endif

#endif /* _KREPIS_ANNOTATE_H */
