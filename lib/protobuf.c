// SPDX-License-Identifier: MIT
#include <stdlib.h>
#include <string.h>
#include <krepis/protobuf.h>

static int send_in_buffer(struct krepis_endpoint *endpoint, uint16_t type,
			  const ProtobufCMessage *message, size_t len, int64_t deadline)
{
	struct krepis_buffer *buffer;
	int err;

	err = krepis_acquire(endpoint, &buffer, deadline);
	if (err)
		return err == -EOPNOTSUPP ? -EMSGSIZE : err;
	if (len > krepis_buffer_size(buffer)) {
		krepis_abandon(endpoint, buffer);
		return -EMSGSIZE;
	}
	protobuf_c_message_pack(message, krepis_buffer_data(buffer));
	err = krepis_publish(endpoint, buffer, type, len, 0, deadline);
	if (err)
		krepis_abandon(endpoint, buffer);
	return err;
}

KREPIS_API int krepis_protobuf_send(struct krepis_endpoint *endpoint, uint16_t type,
				    const ProtobufCMessage *message, int64_t deadline)
{
	size_t len = protobuf_c_message_get_packed_size(message);
	void *data;
	int err;

	err = krepis_send_begin(endpoint, len, &data, deadline);
	if (err == -EMSGSIZE)
		return send_in_buffer(endpoint, type, message, len, deadline);
	if (err)
		return err;
	protobuf_c_message_pack(message, data);
	err = krepis_send_commit(endpoint, type, len);
	return err ? err : krepis_flush(endpoint);
}

KREPIS_API int krepis_protobuf_unpack(const struct krepis_msg *msg,
				      const ProtobufCMessageDescriptor *descriptor,
				      uint32_t flags, ProtobufCMessage **out)
{
	const void *data = msg->data;
	uint8_t *copy = NULL;

	if (flags & ~KREPIS_PROTOBUF_TRUST_PEER)
		return -EINVAL;
	if (!(flags & KREPIS_PROTOBUF_TRUST_PEER)) {
		copy = malloc(msg->len ? msg->len : 1);
		if (!copy)
			return -ENOMEM;
		memcpy(copy, msg->data, msg->len);
		data = copy;
	}
	*out = protobuf_c_message_unpack(descriptor, NULL, msg->len, data);
	free(copy);
	return *out ? 0 : -EBADMSG;
}
