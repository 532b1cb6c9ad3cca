/* SPDX-License-Identifier: MIT */
/*
 * Packets: messages with a type that the compiler knows.
 *
 *	struct position { uint64_t time_ns; float x, y; };
 *	KREPIS_PACKET(7, position)
 *
 * declares, for the message number 7,
 *
 *	int krepis_send_position(ep, const struct position *, deadline);
 *	int krepis_begin_position(ep, struct position **, deadline);
 *	int krepis_commit_position(ep);
 *	const struct position *krepis_as_position(const struct krepis_msg *);
 *
 * The last is NULL if the message is no such packet: another number, or another
 * size. That a struct fits the smallest default of inline_max, needs no more than 8-byte
 * alignment and has a number of 16 bits is checked at compile time.
 *
 * What is larger travels in a buffer, or is the value of a triple: KREPIS_VALUE(7, position)
 * declares krepis_as_position() and
 *
 *	int krepis_publish_position(ep, buffer, deadline);
 *	int krepis_triple_begin_position(ep, struct position **);
 *	int krepis_triple_commit_position(ep);
 *
 * A packet that has versions (KREPIS_SIZED of krepis/annotate.h) begins with uint32_t size, which
 * its sender sets. krepis_as_NAME() takes our own version alone, and does not look at it; what
 * krepis-codegen makes for C reads all of them.
 */
#ifndef _KREPIS_PACKET_H
#define _KREPIS_PACKET_H

#include <errno.h>
#include <string.h>
#include <krepis/krepis.h>

#define KREPIS_PACKET_MAX 4096

/* The enumerator is for krepis-codegen. */
#define __KREPIS_TYPED(id, name)                                                            \
	enum { KREPIS_PACKET_ID_##name = (id) };                                            \
	__KREPIS_ASSERT((id) >= 0 && (id) <= UINT16_MAX);                                   \
	__KREPIS_ASSERT(sizeof(struct name) > 0 && sizeof(struct name) <= INT32_MAX);       \
	__KREPIS_ASSERT(__alignof__(struct name) <= 8);                                     \
	static inline const struct name *krepis_as_##name(const struct krepis_msg *msg)     \
	{                                                                                   \
		if (msg->type != (id) || msg->len != sizeof(struct name))                   \
			return NULL;                                                        \
		return (const struct name *)msg->data;                                      \
	}

#define KREPIS_VALUE(id, name)                                                              \
	__KREPIS_TYPED(id, name)                                                            \
	static inline int krepis_publish_##name(struct krepis_endpoint *endpoint,           \
						struct krepis_buffer *buffer,               \
						int64_t deadline)                           \
	{                                                                                   \
		return krepis_publish(endpoint, buffer, (id), sizeof(struct name), 0,       \
				      deadline);                                            \
	}                                                                                   \
	static inline int krepis_triple_begin_##name(struct krepis_endpoint *endpoint,      \
						     struct name **value)                   \
	{                                                                                   \
		void *data = NULL;                                                          \
		int err = krepis_triple_begin(endpoint, &data);                             \
                                                                                            \
		if (!err)                                                                   \
			*value = (struct name *)data;                                       \
		return err;                                                                 \
	}                                                                                   \
	static inline int krepis_triple_commit_##name(struct krepis_endpoint *endpoint)     \
	{                                                                                   \
		return krepis_triple_commit(endpoint, (id), sizeof(struct name));           \
	}                                                                                   \
	__KREPIS_ASSERT(sizeof(struct name) > 0)

#define KREPIS_PACKET(id, name)                                                             \
	__KREPIS_TYPED(id, name)                                                            \
	__KREPIS_ASSERT(sizeof(struct name) <= KREPIS_PACKET_MAX);                          \
	static inline int krepis_send_##name(struct krepis_endpoint *endpoint,              \
					     const struct name *packet, int64_t deadline)   \
	{                                                                                   \
		return krepis_send(endpoint, (id), packet, sizeof(*packet), deadline);      \
	}                                                                                   \
	static inline int krepis_begin_##name(struct krepis_endpoint *endpoint,             \
					      struct name **packet, int64_t deadline)       \
	{                                                                                   \
		void *data = NULL;                                                          \
		int err = krepis_send_begin(endpoint, sizeof(**packet), &data, deadline);   \
                                                                                            \
		if (!err)                                                                   \
			*packet = (struct name *)data;                                      \
		return err;                                                                 \
	}                                                                                   \
	static inline int krepis_commit_##name(struct krepis_endpoint *endpoint)            \
	{                                                                                   \
		return krepis_send_commit(endpoint, (id), sizeof(struct name));             \
	}                                                                                   \
	__KREPIS_ASSERT(sizeof(struct name) > 0)

/*
 * Copies a packet that has versions: what its sender did not have is 0, and what the copy has no
 * room for is left out. @base: how many bytes all versions have. 0, or -EMSGSIZE: it is no
 * version of it, and the copy is untouched.
 */
static inline int krepis_decode_sized(const void *data, size_t len, size_t base, void *copy,
				      size_t room)
{
	uint32_t size;

	if (len < base)
		return -EMSGSIZE;
	memcpy(&size, data, sizeof(size));
	__asm__("" : "+r"(size)); /* a peer could write another one, if it were read again */
	if (size < base || size > len)
		return -EMSGSIZE;
	if (room > size)
		memset((char *)copy + size, 0, room - size);
	memcpy(copy, data, size < room ? size : room);
	memcpy(copy, &size, sizeof(size));
	return 0;
}

#endif /* _KREPIS_PACKET_H */
