// SPDX-License-Identifier: MIT
/*
 * Checksums of payloads: made by the sender on request, compared by the receiver.
 */
#include "helpers.h"

static struct krepis_buffer *acquire(struct krepis_endpoint *producer)
{
	struct krepis_buffer *buffer = NULL;

	assert_ok(krepis_acquire(producer, &buffer, KREPIS_NOWAIT));
	return buffer;
}

static void publish(struct krepis_endpoint *producer, struct krepis_buffer *buffer, uint64_t seed)
{
	size_t size = krepis_buffer_size(buffer);

	fill(krepis_buffer_data(buffer), size, seed);
	assert_ok(krepis_publish(producer, buffer, 1, size, 0, KREPIS_NOWAIT));
}

static struct krepis_msg receive(struct krepis_endpoint *consumer, uint64_t seed)
{
	struct krepis_msg msg;

	assert_ok(krepis_recv(consumer, &msg, KREPIS_NOWAIT));
	assert_non_null(msg.buffer);
	assert_int_equal(msg.len, krepis_buffer_size(msg.buffer));
	assert_true(filled(msg.data, msg.len, seed));
	return msg;
}

static struct krepis_msg checked_message(struct pair *p, size_t len)
{
	struct krepis_buffer *buffer = acquire(p->producer);
	struct krepis_msg msg;

	fill(krepis_buffer_data(buffer), len, len);
	assert_ok(krepis_publish(p->producer, buffer, 1, len, KREPIS_MSG_CRC32C, KREPIS_NOWAIT));
	assert_ok(krepis_recv(p->consumer, &msg, KREPIS_NOWAIT));
	assert_true(msg.flags & KREPIS_MSG_CRC32C);
	return msg;
}

static void an_intact_payload_is_verified(void **state)
{
	struct pair p = open_pair(SMALL_RING());

	(void)state;
	for (size_t len = 0; len <= 4096; len += 512) {
		struct krepis_msg msg = checked_message(&p, len);

		assert_int_equal(msg.crc32c, krepis_crc32c(0, msg.data, len));
		assert_ok(krepis_msg_verify(&msg));
		assert_ok(krepis_release(p.consumer, &msg));
	}
	close_pair(&p);
}

static void any_corrupted_byte_is_found(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct view v = open_view(p.channel);
	struct krepis_msg msg = checked_message(&p, 1000);
	uint8_t *payload = v.payload + krepis_buffer_handle(msg.buffer).index * v.layout.stride;

	(void)state;
	for (size_t i = 0; i < 1000; i += 37) {
		payload[i] ^= 1;
		assert_error(krepis_msg_verify(&msg), EBADMSG);
		payload[i] ^= 1;
	}
	payload[1000] ^= 1;	/* beyond it */
	assert_ok(krepis_msg_verify(&msg));
	close_view(&v);
	close_pair(&p);
}

static void a_message_without_checksum_says_so(void **state)
{
	struct pair p = open_pair(SMALL_RING());
	struct krepis_msg msg;

	(void)state;
	assert_ok(krepis_send(p.producer, 1, "x", 1, KREPIS_NOWAIT));
	assert_ok(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT));
	assert_error(krepis_msg_verify(&msg), ENODATA);
	publish(p.producer, acquire(p.producer), 1);
	msg = receive(p.consumer, 1);
	assert_error(krepis_msg_verify(&msg), ENODATA);
	close_pair(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(an_intact_payload_is_verified),
		CLAIM(any_corrupted_byte_is_found),
		CLAIM(a_message_without_checksum_says_so),
	};

	return RUN("checksum", tests);
}
