/* SPDX-License-Identifier: MIT */
/*
 * What krepis-codegen has to be told and C cannot say. Each is empty for a compiler that
 * is not clang, and means nothing to one that is.
 *
 *	enum KREPIS_FLAGS paint { BOLD = 1, BLINK = 2 };	values are or-ed together
 *	int f(struct krepis_x **KREPIS_OWNED out);		the caller's, to be released
 *	const void *KREPIS_BORROWED data;			somebody else's, for a while
 *	int g(struct krepis_x *KREPIS_CONSUMES x);		not the caller's any more
 */
#ifndef _KREPIS_ANNOTATE_H
#define _KREPIS_ANNOTATE_H

#ifdef __clang__
#define __KREPIS_NOTE(text)	__attribute__((annotate("krepis:" text)))
#else
#define __KREPIS_NOTE(text)
#endif

#define KREPIS_FLAGS	__KREPIS_NOTE("flags")
#define KREPIS_OWNED	__KREPIS_NOTE("owned")
#define KREPIS_BORROWED	__KREPIS_NOTE("borrowed")
#define KREPIS_CONSUMES	__KREPIS_NOTE("consumes")

#endif /* _KREPIS_ANNOTATE_H */
