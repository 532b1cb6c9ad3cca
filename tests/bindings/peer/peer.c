// SPDX-License-Identifier: MIT
/* The C peer: see ../README.md. */
#include <errno.h>
#include <krepis/krepis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "sample.h"
#include "sample_layout.h"

#define TAIL		4096	/* bytes behind the sample in a buffer */
#define PATIENCE_MS	60000

static enum sample_kind kind;
static uint64_t done;	/* messages */

static int report(int err, const char *what)
{
	if (err == -KREPIS_PEER_GONE) {
		fprintf(stderr, "gone after %llu\n", (unsigned long long)done);
		return 3;
	}
	fprintf(stderr, "%s: %s\n", what, krepis_strerror(err));
	return 1;
}

static void fill_sample(struct sample *s, uint64_t n)
{
	unsigned int i;

	*s = (struct sample){
		.sequence = n,
		.half = (double)n / 2,
		.negative = -(int32_t)(n % 1000),
		.kind = kind,
		.flags = (n % 2 ? SAMPLE_ODD : 0) | (n % 3 ? 0 : SAMPLE_THIRD),
	};
	for (i = 0; i < 4; i++)
		s->small[i] = (uint16_t)(n * (i + 1));
	snprintf(s->name, sizeof(s->name), "s%u", (unsigned int)(n % 10000000));
	s->crc = krepis_crc32c(0, s, offsetof(struct sample, crc));
}

static bool good_sample(const struct sample *s, size_t len)
{
	const uint8_t *tail = (const uint8_t *)(s + 1);
	struct sample expected;
	size_t i;

	if (len != sizeof(*s) + (kind == SAMPLE_RING ? 0 : TAIL))
		return false;
	fill_sample(&expected, s->sequence);
	if (memcmp(s, &expected, sizeof(expected)))
		return false;
	for (i = 0; i < len - sizeof(*s); i++)
		if (tail[i] != (uint8_t)(s->sequence + i))
			return false;
	return true;
}

static size_t fill_buffer(void *room, uint64_t n)
{
	uint8_t *tail = (uint8_t *)room + sizeof(struct sample);
	size_t i;

	fill_sample(room, n);
	for (i = 0; i < TAIL; i++)
		tail[i] = (uint8_t)(n + i);
	return sizeof(struct sample) + TAIL;
}

static int produce_one(struct krepis_endpoint *ep, uint64_t n)
{
	struct krepis_buffer *buffer;
	struct sample s;
	void *room;
	int err;

	switch (kind) {
	case SAMPLE_RING:
		fill_sample(&s, n);
		return krepis_send(ep, KREPIS_PACKET_ID_sample, &s, sizeof(s), KREPIS_FOREVER);
	case SAMPLE_BUFFER:
		err = krepis_acquire(ep, &buffer, KREPIS_FOREVER);
		if (err)
			return err;
		return krepis_publish(ep, buffer, KREPIS_PACKET_ID_sample,
				      fill_buffer(krepis_buffer_data(buffer), n), KREPIS_MSG_CRC32C,
				      KREPIS_FOREVER);
	default:
		err = krepis_triple_begin(ep, &room);
		return err ? err : krepis_triple_commit(ep, KREPIS_PACKET_ID_sample,
							fill_buffer(room, n));
	}
}

static int until_gone(struct krepis_endpoint *ep)
{
	int64_t deadline = krepis_deadline_ms(PATIENCE_MS);
	struct krepis_status status = { .size = sizeof(status) };
	struct timespec pause = { .tv_nsec = 1000000 };

	do {
		int err = krepis_endpoint_query(ep, &status);

		if (err)
			return err;
		if (!status.live)
			return 0;
		nanosleep(&pause, NULL);
	} while (krepis_deadline_ns(0) < deadline);
	return -ETIMEDOUT;
}

static int produce(struct krepis_endpoint *ep, uint64_t count)
{
	int err = krepis_wait_peer(ep, 1, krepis_deadline_ms(PATIENCE_MS));

	while (!err && (!count || done < count)) {
		err = produce_one(ep, done);
		done += !err;
	}
	if (err)
		return report(err, "produce");
	err = kind == SAMPLE_TRIPLE ? until_gone(ep) :
				      krepis_drain(ep, krepis_deadline_ms(PATIENCE_MS));
	/* Who has all of it may leave. */
	return err && err != -KREPIS_PEER_GONE ? report(err, "drain") : 0;
}

/* The next sequence that is wanted is @done; of a triple, the least one. */
static int check_message(const struct krepis_msg *msg)
{
	const struct sample *s = msg->data;
	bool triple = kind == SAMPLE_TRIPLE;

	if (msg->type != KREPIS_PACKET_ID_sample || !good_sample(s, msg->len) ||
	    (triple ? s->sequence + 1 < done : s->sequence != done)) {
		fprintf(stderr, "a wrong message instead of %llu\n", (unsigned long long)done);
		return 1;
	}
	if (kind == SAMPLE_BUFFER && krepis_msg_verify(msg)) {
		fprintf(stderr, "the checksum of %llu is wrong\n", (unsigned long long)done);
		return 1;
	}
	done = s->sequence + 1;
	return 0;
}

static int consume(struct krepis_endpoint *ep, uint64_t count)
{
	struct krepis_msg msg;
	int err = 0, wrong;

	while (!count || done < count) {
		if (kind != SAMPLE_TRIPLE)
			err = krepis_recv(ep, &msg, KREPIS_FOREVER);
		else if (!(err = krepis_wait(ep, KREPIS_FOREVER)))
			err = krepis_triple_read(ep, &msg);
		if (err)
			return report(err, "consume");
		wrong = check_message(&msg);
		if (kind != SAMPLE_TRIPLE)
			krepis_release(ep, &msg);
		if (wrong)
			return wrong;
	}
	return 0;
}

static int open_channel(const char *path, struct krepis_channel **channel)
{
	struct krepis_status status = { .size = sizeof(status) };
	int err = krepis_channel_open(path, SAMPLE_LAYOUT_ID, channel);

	if (err != -EPROTO)
		return err ? report(err, path) : 0;
	err = krepis_channel_open(path, 0, channel);
	if (!err)
		err = krepis_query(*channel, &status);
	if (err)
		return report(err, path);
	fprintf(stderr, "%s has layout 0x%08x, and we have 0x%08x\n", path,
		status.geometry.layout_id, SAMPLE_LAYOUT_ID);
	return 4;
}

static bool parse(char **argv, bool *producer, uint64_t *count)
{
	static const char *const kinds[] = { "", "ring", "buffer", "triple" };
	unsigned int i;
	char *end;

	*producer = !strcmp(argv[1], "produce");
	for (i = 1; i < 4; i++)
		if (!strcmp(argv[2], kinds[i]))
			kind = i;
	*count = strtoull(argv[4], &end, 10);
	return (*producer || !strcmp(argv[1], "consume")) && kind && *argv[4] && !*end;
}

int main(int argc, char **argv)
{
	struct krepis_channel *channel;
	struct krepis_endpoint *ep;
	uint64_t count;
	bool producer;
	int result;

	if (argc != 5 || !parse(argv, &producer, &count)) {
		fprintf(stderr, "usage: peer produce|consume ring|buffer|triple CHANNEL COUNT\n");
		return 1;
	}
	result = open_channel(argv[3], &channel);
	if (result)
		return result;
	result = krepis_attach(channel, producer ? KREPIS_PRODUCER : KREPIS_CONSUMER, 0, &ep);
	if (result)
		return report(result, "attach");
	result = producer ? produce(ep, count) : consume(ep, count);
	krepis_detach(ep);
	krepis_channel_close(channel);
	if (!result)
		printf("ok %llu\n", (unsigned long long)count);
	return result;
}
