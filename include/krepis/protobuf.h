/* SPDX-License-Identifier: MIT */
/*
 * libkrepis-protobuf: Protobuf messages (protobuf-c) over a ring, packed
 * straight into the ring or into a buffer.
 */
#ifndef _KREPIS_PROTOBUF_H
#define _KREPIS_PROTOBUF_H

#include <krepis/krepis.h>
#include <protobuf-c/protobuf-c.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * krepis_protobuf_send - packs a message into the channel and publishes it
 * @endpoint: producer of a ring
 * @type:     any number; the consumers see it
 * @message:  stays the caller's
 * @deadline: as for krepis_send()
 *
 * Up to inline_max bytes it is packed into the ring, above that into a buffer
 * of any size: there is no copy, so there is no 1 MiB limit either.
 *
 * Errors: as krepis_send() and krepis_acquire(); -EMSGSIZE it fits neither.
 */
KREPIS_API int krepis_protobuf_send(struct krepis_endpoint *endpoint, uint16_t type,
				    const ProtobufCMessage *message, int64_t deadline);

/*
 * The parser reads lengths more than once, so a peer that changes the bytes
 * meanwhile could lead it astray. Unless the peer is trusted the view is copied first.
 */
#define KREPIS_PROTOBUF_TRUST_PEER	(1U << 0)

/**
 * krepis_protobuf_unpack - unpacks a received message
 * @msg:	a view; it may be released as soon as this returns
 * @descriptor: the expected type, foo__descriptor
 * @flags:	KREPIS_PROTOBUF_TRUST_PEER: parse the view in place
 * @out:	to be freed with protobuf_c_message_free_unpacked()
 *
 * Errors: -EINVAL a flag; -EBADMSG not such a message; -ENOMEM.
 */
KREPIS_API int krepis_protobuf_unpack(const struct krepis_msg *msg,
				      const ProtobufCMessageDescriptor *descriptor,
				      uint32_t flags, ProtobufCMessage **out);

#ifdef __cplusplus
}
#endif

#endif /* _KREPIS_PROTOBUF_H */
