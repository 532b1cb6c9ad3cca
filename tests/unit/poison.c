// SPDX-License-Identifier: MIT
/*
 * Sanitizer and Valgrind builds of the library make buffers untouchable that this
 * process does not own. Each side has its own view of a buffer, so both can be
 * looked at from one process. In a plain build nothing is ever untouchable.
 */
#include "helpers.h"
#include "poison.h"

#if defined(KREPIS_ASAN)
#define INSTRUMENTED true
static bool touchable(const void *p)
{
	return !__asan_address_is_poisoned(p);
}
#elif defined(KREPIS_VALGRIND)
#define INSTRUMENTED (RUNNING_ON_VALGRIND != 0)
static bool touchable(const void *p)
{
	uint8_t bits;

	return !INSTRUMENTED || VALGRIND_GET_VBITS(p, &bits, 1) != 3;
}
#else
#define INSTRUMENTED false
static bool touchable(const void *p)
{
	(void)p;
	return true;
}
#endif

#define LAST(data) ((uint8_t *)(data) + 4095)

/* A byte at both ends: owned, or not. */
static void assert_owned(const void *data, bool owned)
{
	assert_int_equal(touchable(data), owned || !INSTRUMENTED);
	assert_int_equal(touchable(LAST(data)), owned || !INSTRUMENTED);
}

static struct pair open_buffers(void)
{
	return open_pair(OPTIONS(.ring_size = 4096, .buffer_count = 2, .buffer_size = 4096));
}

static void an_acquired_buffer_is_touchable_until_it_is_published(void **state)
{
	struct pair p = open_buffers();
	struct krepis_buffer *buffer;

	(void)state;
	assert_ok(krepis_acquire(p.producer, &buffer, KREPIS_NOWAIT));
	assert_owned(krepis_buffer_data(buffer), true);
	assert_ok(krepis_publish(p.producer, buffer, 1, 4096, 0, KREPIS_NOWAIT));
	assert_owned(krepis_buffer_data(buffer), false);
	close_pair(&p);
}

static void an_abandoned_buffer_is_untouchable(void **state)
{
	struct pair p = open_buffers();
	struct krepis_buffer *buffer;

	(void)state;
	assert_ok(krepis_acquire(p.producer, &buffer, KREPIS_NOWAIT));
	assert_ok(krepis_abandon(p.producer, buffer));
	assert_owned(krepis_buffer_data(buffer), false);
	close_pair(&p);
}

static void a_refused_publication_leaves_the_buffer_touchable(void **state)
{
	struct pair p = open_buffers();
	struct krepis_buffer *buffer;

	(void)state;
	assert_ok(krepis_acquire(p.producer, &buffer, KREPIS_NOWAIT));
	krepis_detach(p.consumer);
	p.consumer = NULL;
	assert_error(krepis_publish(p.producer, buffer, 1, 4096, 0, KREPIS_NOWAIT),
		     KREPIS_PEER_GONE);
	assert_owned(krepis_buffer_data(buffer), true);
	close_pair(&p);
}

static void a_received_buffer_is_touchable_until_it_is_released(void **state)
{
	struct pair p = open_buffers();
	struct krepis_buffer *buffer;
	struct krepis_msg msg;

	(void)state;
	assert_ok(krepis_acquire(p.producer, &buffer, KREPIS_NOWAIT));
	assert_ok(krepis_publish(p.producer, buffer, 1, 4096, 0, KREPIS_NOWAIT));
	assert_ok(krepis_recv(p.consumer, &msg, KREPIS_NOWAIT));
	assert_owned(msg.data, true);
	assert_ok(krepis_msg_get(&msg));
	assert_ok(krepis_release(p.consumer, &msg));
	assert_owned(msg.data, true);
	assert_ok(krepis_msg_put(&msg));
	assert_owned(msg.data, false);
	close_pair(&p);
}

static void a_committed_value_is_untouchable(void **state)
{
	struct pair p = open_pair(OPTIONS(.kind = KREPIS_TRIPLE, .buffer_size = 4096));
	struct krepis_msg msg;
	void *data;

	(void)state;
	assert_ok(krepis_triple_begin(p.producer, &data));
	assert_owned(data, true);
	assert_ok(krepis_triple_commit(p.producer, 1, 4096));
	assert_owned(data, false);
	assert_ok(krepis_triple_read(p.consumer, &msg));
	assert_owned(msg.data, true);
	close_pair(&p);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		CLAIM(an_acquired_buffer_is_touchable_until_it_is_published),
		CLAIM(an_abandoned_buffer_is_untouchable),
		CLAIM(a_refused_publication_leaves_the_buffer_touchable),
		CLAIM(a_received_buffer_is_touchable_until_it_is_released),
		CLAIM(a_committed_value_is_untouchable),
	};

	return RUN("poison", tests);
}
