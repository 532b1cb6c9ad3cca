/* SPDX-License-Identifier: MIT */
/*
 * What krepis-codegen has to be told and C cannot say. It is empty for a compiler that is
 * not clang, and means nothing to one that is.
 *
 *	enum KREPIS_FLAGS paint { BOLD = 1, BLINK = 2 };	values are or-ed together
 *
 * Of messages, behind the name of a member:
 *
 *	KREPIS_TAG(field)	of a union: which of its members is meant is told by this field, an
 *				enum or unsigned, which comes before it in the same struct
 *	KREPIS_CASE(value)	of the union's members: meant if the tag is this
 *	KREPIS_ADDED		of what a later version put to the end of a packet
 *
 * and struct KREPIS_SIZED name { uint32_t size; ... } is a packet that has versions.
 *
 * Of a function's pointers, before the type of a parameter or of the result:
 *
 *	KREPIS_OWNED(end)	after success the caller owns what came back, or what it gave;
 *				end() is a function that ends that
 *	KREPIS_BORROWED		it is somebody else's, and nobody frees it
 *	KREPIS_CONSUMES		after success the caller owns it no more
 *	KREPIS_ARRAY(count)	so many elements, or bytes; count is another parameter
 *	KREPIS_NULLABLE		may be NULL
 *
 * The rest is in the types. A struct that the headers do not define is a handle, and a
 * parameter of that type lends it for the call. A pointer to a pointer is where one comes
 * back. `const char *` is a text with a 0 at its end. A struct goes by its address.
 */
#ifndef _KREPIS_ANNOTATE_H
#define _KREPIS_ANNOTATE_H

#ifdef __clang__
#define __KREPIS_NOTE(text)	__attribute__((annotate("krepis:" text)))
#else
#define __KREPIS_NOTE(text)
#endif

#define KREPIS_FLAGS		__KREPIS_NOTE("flags")
#define KREPIS_TAG(field)	__KREPIS_NOTE("tag:" #field)
#define __KREPIS_CASE(value)	__KREPIS_NOTE("case:" #value)
#define KREPIS_CASE(value)	__KREPIS_CASE(value)	/* which may be a macro */
#define KREPIS_SIZED		__KREPIS_NOTE("sized")
#define KREPIS_ADDED		__KREPIS_NOTE("added")
#define KREPIS_OWNED(end)	__KREPIS_NOTE("owned:" #end)
#define KREPIS_BORROWED		__KREPIS_NOTE("borrowed")
#define KREPIS_CONSUMES		__KREPIS_NOTE("consumes")
#define KREPIS_ARRAY(count)	__KREPIS_NOTE("array:" #count)
#define KREPIS_NULLABLE		__KREPIS_NOTE("nullable")

#endif /* _KREPIS_ANNOTATE_H */
