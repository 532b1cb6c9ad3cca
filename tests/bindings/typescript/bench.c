/* SPDX-License-Identifier: MIT */
/*
 * What bench.ts is compared with. As a program: the same loops in C. As a library, for the FFI of Deno and Bun, and as
 * an addon (-DADDON), for Node: a function that does nothing.
 */
#if defined(ADDON)
#define NAPI_VERSION 8
#include <node_api.h>

static napi_value empty(napi_env env, napi_callback_info info)
{
	(void)env;
	(void)info;
	return NULL;
}

NAPI_MODULE_INIT()
{
	static const napi_property_descriptor one = { "empty", NULL, empty, NULL, NULL, NULL, napi_default, NULL };

	napi_define_properties(env, exports, 1, &one);
	return exports;
}
#else
#include <krepis/krepis.h>
#include <stdio.h>
#include <stdlib.h>

#define BATCH	32
#define ROUNDS	3000

int empty(void *p);

int empty(void *p)
{
	return 0;
}

static int64_t now(void)
{
	return krepis_deadline_ns(0);
}

static int compare(const void *a, const void *b)
{
	return (*(const int64_t *)a > *(const int64_t *)b) - (*(const int64_t *)a < *(const int64_t *)b);
}

int main(void)
{
	struct krepis_channel_options options = { .size = sizeof(options), .buffer_count = BATCH };
	static int64_t times[ROUNDS], ends[ROUNDS];
	struct krepis_endpoint *producer, *consumer;
	struct krepis_channel *channel;
	struct krepis_buffer *buffer;
	struct krepis_msg msg;
	unsigned int i, j;
	int64_t begin;

	if (krepis_channel_create(NULL, &options, &channel) ||
	    krepis_attach(channel, KREPIS_PRODUCER, 0, &producer) ||
	    krepis_attach(channel, KREPIS_CONSUMER, 0, &consumer))
		return 1;
	for (i = 0; i < ROUNDS; i++) {
		begin = now();
		for (j = 0; j < BATCH; j++) {
			if (krepis_acquire(producer, &buffer, KREPIS_NOWAIT))
				return 1;
			*(volatile char *)krepis_buffer_data(buffer) = (char)j;
			if (krepis_publish(producer, buffer, 1, 1 << 20, 0, KREPIS_NOWAIT))
				return 1;
		}
		times[i] = now() - begin;
		begin = now();
		for (j = 0; j < BATCH; j++) {
			if (krepis_recv(consumer, &msg, KREPIS_NOWAIT))
				return 1;
			(void)*(const volatile char *)msg.data;
			krepis_release(consumer, &msg);
		}
		ends[i] = now() - begin;
	}
	qsort(times, ROUNDS, sizeof(times[0]), compare);
	qsort(ends, ROUNDS, sizeof(ends[0]), compare);
	printf("%.1f %.1f\n", (double)times[ROUNDS / 2] / BATCH, (double)ends[ROUNDS / 2] / BATCH);
	return 0;
}
#endif
