// SPDX-License-Identifier: MIT
/*
 * The transitions of a buffer's ownership word: from every state, in every order, and by those
 * who clean up after the dead.
 */
#include "helpers.h"
#include "ownership.h"

#define SIZE	4096	/* of the buffer */

static const enum krepis_owner states[] = {
	KREPIS_OWNED_PRODUCER, KREPIS_OWNED_CONSUMER, KREPIS_LOCKED,
};

/* ------------------------------------------------------------------------- one word */

static void state_and_generation_are_one_word(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		struct krepis_desc desc = desc_in(states[i], 0x12345678, 0);

		assert_int_equal(krepis_own_state(desc.word), states[i]);
		assert_int_equal(krepis_own_generation(desc.word), 0x12345678);
		assert_true(desc.word == krepis_own_word(states[i], 0x12345678));
	}
}

static void the_numbers_of_the_states_are_abi(void **state)
{
	(void)state;
	assert_int_equal(KREPIS_OWNED_PRODUCER, 0);
	assert_int_equal(KREPIS_OWNED_CONSUMER, 1);
	assert_int_equal(KREPIS_LOCKED, 2);
}

static void no_generation_is_zero(void **state)
{
	(void)state;
	assert_int_equal(krepis_own_next(1), 2);
	assert_int_equal(krepis_own_next(INT32_MAX), 1U << 31);
	assert_int_equal(krepis_own_next(UINT32_MAX), 1);
}

/* ------------------------------------------------------------------------ the producer */

static void only_the_owner_locks(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		struct krepis_desc desc = desc_in(states[i], GEN, 3), before = desc;

		if (states[i] == KREPIS_OWNED_PRODUCER) {
			assert_ok(krepis_own_lock(&desc, GEN));
			assert_true(is(&desc, KREPIS_LOCKED, GEN));
			continue;
		}
		assert_error(krepis_own_lock(&desc, GEN), EPERM);
		assert_memory_equal(&desc, &before, sizeof(desc));
	}
}

static void another_life_is_not_locked(void **state)
{
	static const uint32_t others[] = { 0, GEN - 1, GEN + 1, UINT32_MAX };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		for (size_t o = 0; o < ARRAY_SIZE(others); o++) {
			struct krepis_desc desc = desc_in(states[i], GEN, 3), before = desc;

			assert_error(krepis_own_lock(&desc, others[o]), ESTALE);
			assert_memory_equal(&desc, &before, sizeof(desc));
		}
	}
}

static void only_what_is_locked_is_granted(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		for (uint32_t generation = GEN - 1; generation <= GEN + 1; generation++) {
			struct krepis_desc desc = desc_in(states[i], GEN, 3), before = desc;

			if (states[i] == KREPIS_LOCKED && generation == GEN) {
				assert_ok(krepis_own_grant(&desc, generation));
				assert_true(is(&desc, KREPIS_OWNED_CONSUMER, GEN));
				continue;
			}
			assert_error(krepis_own_grant(&desc, generation), EOWNERDEAD);
			assert_memory_equal(&desc, &before, sizeof(desc));
		}
	}
}

static void only_what_is_locked_is_unlocked(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		struct krepis_desc desc = desc_in(states[i], GEN, 3), before = desc;

		krepis_own_unlock(&desc, GEN + 1);
		assert_memory_equal(&desc, &before, sizeof(desc));
		krepis_own_unlock(&desc, GEN);
		if (states[i] == KREPIS_LOCKED)
			assert_true(is(&desc, KREPIS_OWNED_PRODUCER, GEN));
		else
			assert_memory_equal(&desc, &before, sizeof(desc));
	}
}

static void a_publication_describes_and_grants(void **state)
{
	const struct krepis_desc what = { .len = 55, .type = 9, .flags = KREPIS_MSG_CRC32C,
					  .crc32c = 0xabcd, .sequence = 4096 };
	struct krepis_desc desc = desc_in(KREPIS_OWNED_PRODUCER, GEN, 0);
	uint32_t live = 5;

	(void)state;
	assert_ok(krepis_own_publish(&desc, GEN, &live, 7, &what));
	assert_true(is(&desc, KREPIS_OWNED_CONSUMER, GEN));
	assert_int_equal(desc.holders, 5);
	assert_int_equal(desc.len, 55);
	assert_int_equal(desc.type, 9);
	assert_int_equal(desc.flags, KREPIS_MSG_CRC32C);
	assert_int_equal(desc.crc32c, 0xabcd);
	assert_int_equal(desc.sequence, 4096);
	assert_true(desc.claim == (uint64_t)GEN << 32);
}

static void a_publication_to_nobody_changes_nothing(void **state)
{
	static const uint32_t lives[] = { 0, 8, ~7U };
	const struct krepis_desc what = { .len = 55 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lives); i++) {
		struct krepis_desc desc = desc_in(KREPIS_OWNED_PRODUCER, GEN, 0), before = desc;
		uint32_t live = lives[i];

		assert_error(krepis_own_publish(&desc, GEN, &live, 7, &what), ENOTCONN);
		assert_memory_equal(&desc, &before, sizeof(desc));
	}
}

static void a_second_publication_is_refused(void **state)
{
	const struct krepis_desc what = { .len = 55 }, other = { .len = 66 };
	struct krepis_desc desc = desc_in(KREPIS_OWNED_PRODUCER, GEN, 0), before;
	uint32_t live = 1;

	(void)state;
	assert_ok(krepis_own_publish(&desc, GEN, &live, 1, &what));
	before = desc;
	assert_error(krepis_own_publish(&desc, GEN, &live, 1, &other), EPERM);
	assert_error(krepis_own_publish(&desc, GEN + 1, &live, 1, &other), ESTALE);
	assert_memory_equal(&desc, &before, sizeof(desc));
}

static void a_return_is_seen_as_another_life(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		struct krepis_desc desc = desc_in(states[i], GEN, 0);

		assert_int_equal(krepis_own_returned(&desc, GEN), 0);
		assert_int_equal(krepis_own_returned(&desc, GEN - 1),
				 states[i] == KREPIS_OWNED_PRODUCER ? GEN : 0);
	}
}

/* ------------------------------------------------------------------------ the consumers */

static void the_last_drop_returns_the_buffer_in_every_order(void **state)
{
	(void)state;
	for (unsigned int first = 0; first < 3; first++) {
		for (unsigned int second = 0; second < 3; second++) {
			struct krepis_desc desc = desc_in(KREPIS_OWNED_CONSUMER, GEN, 7);

			if (first == second)
				continue;
			assert_false(krepis_own_drop(&desc, GEN, 1U << first));
			assert_false(krepis_own_drop(&desc, GEN, 1U << second));
			assert_true(is(&desc, KREPIS_OWNED_CONSUMER, GEN));
			assert_true(krepis_own_drop(&desc, GEN, 1U << (3 - first - second)));
			assert_true(is(&desc, KREPIS_OWNED_PRODUCER, GEN + 1));
		}
	}
}

static void dropping_twice_is_harmless(void **state)
{
	struct krepis_desc desc = desc_in(KREPIS_OWNED_CONSUMER, GEN, 3);

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_false(krepis_own_drop(&desc, GEN, 1));
	assert_int_equal(desc.holders, 2);
	assert_true(is(&desc, KREPIS_OWNED_CONSUMER, GEN));
	assert_true(krepis_own_drop(&desc, GEN, 2));
	for (int i = 0; i < 3; i++)
		assert_false(krepis_own_drop(&desc, GEN, 2));
	assert_true(is(&desc, KREPIS_OWNED_PRODUCER, GEN + 1));
}

static void what_is_held_is_not_returned(void **state)
{
	struct krepis_desc desc = desc_in(KREPIS_OWNED_CONSUMER, GEN, 4);

	(void)state;
	assert_false(krepis_own_return(&desc, GEN));
	desc.holders = 0;
	assert_false(krepis_own_return(&desc, GEN + 1));
	assert_true(krepis_own_return(&desc, GEN));
	assert_false(krepis_own_return(&desc, GEN));
}

static void the_last_generation_is_followed_by_the_first(void **state)
{
	struct krepis_desc desc = desc_in(KREPIS_OWNED_CONSUMER, UINT32_MAX, 1);

	(void)state;
	assert_true(krepis_own_drop(&desc, UINT32_MAX, 1));
	assert_true(is(&desc, KREPIS_OWNED_PRODUCER, 1));
}

static void a_handle_resolves_in_its_life_for_its_holder_alone(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		for (uint32_t generation = GEN - 1; generation <= GEN + 1; generation++) {
			for (uint32_t bit = 1; bit <= 4; bit <<= 1) {
				struct krepis_desc desc = desc_in(states[i], GEN, 5), what;
				bool ok = states[i] == KREPIS_OWNED_CONSUMER &&
					  generation == GEN && (bit & 5);

				assert_int_equal(krepis_own_resolve(&desc, generation, bit, SIZE,
								    &what), ok ? 0 : -ESTALE);
			}
		}
	}
}

static void what_a_handle_resolves_to_is_a_copy(void **state)
{
	struct krepis_desc desc = desc_in(KREPIS_OWNED_CONSUMER, GEN, 1), what;

	(void)state;
	assert_ok(krepis_own_resolve(&desc, GEN, 1, SIZE, &what));
	assert_int_equal(what.len, desc.len);
	assert_int_equal(what.type, desc.type);
	assert_int_equal(what.sequence, desc.sequence);
}

static void a_length_beyond_the_buffer_does_not_resolve(void **state)
{
	struct krepis_desc desc = desc_in(KREPIS_OWNED_CONSUMER, GEN, 1), what;

	(void)state;
	desc.len = SIZE;
	assert_ok(krepis_own_resolve(&desc, GEN, 1, SIZE, &what));
	desc.len = SIZE + 1;
	assert_error(krepis_own_resolve(&desc, GEN, 1, SIZE, &what), EPROTO);
	desc.len = UINT32_MAX;
	assert_error(krepis_own_resolve(&desc, GEN, 1, SIZE, &what), EPROTO);
}

/* ------------------------------------------------------------------- taken or evicted */

static void a_hold_is_taken_once(void **state)
{
	struct krepis_desc desc = desc_in(KREPIS_OWNED_CONSUMER, GEN, 3);

	(void)state;
	assert_false(krepis_own_take(&desc, GEN - 1, 1));
	assert_false(krepis_own_take(&desc, GEN + 1, 1));
	assert_true(krepis_own_take(&desc, GEN, 1));
	assert_false(krepis_own_take(&desc, GEN, 1));
	assert_true(krepis_own_take(&desc, GEN, 2));
	assert_int_equal(desc.holders, 3);
}

static void who_took_keeps_and_who_did_not_loses(void **state)
{
	(void)state;
	for (uint32_t taken = 0; taken < 8; taken++) {
		struct krepis_desc desc = desc_in(KREPIS_OWNED_CONSUMER, GEN, 7);

		for (uint32_t bit = 1; bit < 8; bit <<= 1) {
			if (taken & bit)
				assert_true(krepis_own_take(&desc, GEN, bit));
		}
		assert_int_equal(krepis_own_evict(&desc, GEN), 7 & ~taken);
		assert_int_equal(desc.holders, taken);
		for (uint32_t bit = 1; bit < 8; bit <<= 1)
			assert_false(krepis_own_take(&desc, GEN, bit));
		assert_true(taken ? is(&desc, KREPIS_OWNED_CONSUMER, GEN) :
				    is(&desc, KREPIS_OWNED_PRODUCER, GEN + 1));
		if (taken)
			assert_true(krepis_own_drop(&desc, GEN, taken));
		assert_true(is(&desc, KREPIS_OWNED_PRODUCER, GEN + 1));
	}
}

static void another_life_is_not_evicted(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		struct krepis_desc desc = desc_in(states[i], GEN, 3), before = desc;

		assert_int_equal(krepis_own_evict(&desc, GEN - 1), 0);
		assert_int_equal(krepis_own_evict(&desc, GEN + 1), 0);
		if (states[i] != KREPIS_OWNED_CONSUMER)
			assert_int_equal(krepis_own_evict(&desc, GEN), 0);
		assert_memory_equal(&desc, &before, sizeof(desc));
	}
}

static void evicting_twice_is_harmless(void **state)
{
	struct krepis_desc desc = desc_in(KREPIS_OWNED_CONSUMER, GEN, 3);

	(void)state;
	assert_true(krepis_own_take(&desc, GEN, 1));
	assert_int_equal(krepis_own_evict(&desc, GEN), 2);
	assert_int_equal(krepis_own_evict(&desc, GEN), 0);
	assert_int_equal(desc.holders, 1);
	assert_true(is(&desc, KREPIS_OWNED_CONSUMER, GEN));
}

/* ------------------------------------------------------------------------ after a death */

static void a_dead_consumers_hold_is_swept(void **state)
{
	struct krepis_desc desc = desc_in(KREPIS_OWNED_CONSUMER, GEN, 3);

	(void)state;
	assert_false(krepis_own_sweep(&desc, 1));
	assert_int_equal(desc.holders, 2);
	assert_true(krepis_own_sweep(&desc, 2));
	assert_true(is(&desc, KREPIS_OWNED_PRODUCER, GEN + 1));
	assert_false(krepis_own_sweep(&desc, 2));
}

static void who_died_after_its_last_drop_is_completed(void **state)
{
	struct krepis_desc desc = desc_in(KREPIS_OWNED_CONSUMER, GEN, 0);

	(void)state;
	assert_true(krepis_own_sweep(&desc, 1));
	assert_true(is(&desc, KREPIS_OWNED_PRODUCER, GEN + 1));
}

static void a_sweep_leaves_the_producers_buffers(void **state)
{
	struct krepis_desc desc = desc_in(KREPIS_OWNED_PRODUCER, GEN, 0), before = desc;

	(void)state;
	assert_false(krepis_own_sweep(&desc, 1));
	assert_memory_equal(&desc, &before, sizeof(desc));
	desc = desc_in(KREPIS_LOCKED, GEN, 1);
	before = desc;
	assert_false(krepis_own_sweep(&desc, 1));
	assert_memory_equal(&desc, &before, sizeof(desc));
}

static void what_a_dead_producer_locked_is_recovered(void **state)
{
	struct krepis_desc desc = desc_in(KREPIS_LOCKED, GEN, 3);

	(void)state;
	krepis_own_recover(&desc, UINT64_MAX / 2);
	assert_true(is(&desc, KREPIS_OWNED_PRODUCER, GEN + 1));
	assert_int_equal(desc.holders, 0);
	/* It was not dead: its grant finds another life. */
	assert_error(krepis_own_grant(&desc, GEN), EOWNERDEAD);
}

static void what_a_dead_producer_never_published_is_recovered(void **state)
{
	(void)state;
	for (uint64_t head = 632; head <= 648; head += 8) {
		struct krepis_desc desc = desc_in(KREPIS_OWNED_CONSUMER, GEN, 3);

		krepis_own_recover(&desc, head);
		if (desc.sequence >= head) {
			assert_true(is(&desc, KREPIS_OWNED_PRODUCER, GEN + 1));
			assert_int_equal(desc.holders, 0);
		} else {
			assert_true(is(&desc, KREPIS_OWNED_CONSUMER, GEN));
			assert_int_equal(desc.holders, 3);
		}
	}
}

static void what_a_dead_producer_owned_stays_free(void **state)
{
	struct krepis_desc desc = desc_in(KREPIS_OWNED_PRODUCER, GEN, 0), before = desc;

	(void)state;
	krepis_own_recover(&desc, 0);
	assert_false(krepis_own_reclaim(&desc));
	assert_memory_equal(&desc, &before, sizeof(desc));
}

static void what_is_reclaimed_begins_another_life(void **state)
{
	static const enum krepis_owner lost[] = { KREPIS_LOCKED, KREPIS_OWNED_CONSUMER };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lost); i++) {
		struct krepis_desc desc = desc_in(lost[i], UINT32_MAX, 7);

		assert_true(krepis_own_reclaim(&desc));
		assert_true(is(&desc, KREPIS_OWNED_PRODUCER, 1));
		assert_int_equal(desc.holders, 0);
		assert_false(krepis_own_reclaim(&desc));
	}
}

static void an_eviction_that_a_dead_producer_began_is_ended(void **state)
{
	struct krepis_desc desc = desc_in(KREPIS_OWNED_CONSUMER, GEN, 3);

	(void)state;
	assert_true(krepis_own_take(&desc, GEN, 1));
	/* It died between the claim and the drop. */
	desc.claim = (uint32_t)desc.claim;
	krepis_own_recover(&desc, 1 << 20);
	assert_int_equal(desc.holders, 1);
	assert_true(krepis_own_drop(&desc, GEN, 1));
}

static void who_comes_late_forgoes_what_it_cannot_read(void **state)
{
	(void)state;
	for (int overwrite = 0; overwrite < 2; overwrite++) {
		struct krepis_desc desc = desc_in(KREPIS_OWNED_CONSUMER, GEN, 3);

		krepis_own_forgo(&desc, 1, 640, overwrite);
		assert_int_equal(desc.holders, 3);
		krepis_own_forgo(&desc, 1, 648, overwrite);
		assert_int_equal(desc.holders, 2);
		krepis_own_forgo(&desc, 1, 648, overwrite);
		assert_true(is(&desc, KREPIS_OWNED_CONSUMER, GEN));
		krepis_own_forgo(&desc, 2, 648, overwrite);
		assert_true(is(&desc, KREPIS_OWNED_PRODUCER, GEN + 1));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(state_and_generation_are_one_word),
		CLAIM(the_numbers_of_the_states_are_abi),
		CLAIM(no_generation_is_zero),
		CLAIM(only_the_owner_locks),
		CLAIM(another_life_is_not_locked),
		CLAIM(only_what_is_locked_is_granted),
		CLAIM(only_what_is_locked_is_unlocked),
		CLAIM(a_publication_describes_and_grants),
		CLAIM(a_publication_to_nobody_changes_nothing),
		CLAIM(a_second_publication_is_refused),
		CLAIM(a_return_is_seen_as_another_life),
		CLAIM(the_last_drop_returns_the_buffer_in_every_order),
		CLAIM(dropping_twice_is_harmless),
		CLAIM(what_is_held_is_not_returned),
		CLAIM(the_last_generation_is_followed_by_the_first),
		CLAIM(a_handle_resolves_in_its_life_for_its_holder_alone),
		CLAIM(what_a_handle_resolves_to_is_a_copy),
		CLAIM(a_length_beyond_the_buffer_does_not_resolve),
		CLAIM(a_hold_is_taken_once),
		CLAIM(who_took_keeps_and_who_did_not_loses),
		CLAIM(another_life_is_not_evicted),
		CLAIM(evicting_twice_is_harmless),
		CLAIM(a_dead_consumers_hold_is_swept),
		CLAIM(who_died_after_its_last_drop_is_completed),
		CLAIM(a_sweep_leaves_the_producers_buffers),
		CLAIM(what_a_dead_producer_locked_is_recovered),
		CLAIM(what_a_dead_producer_never_published_is_recovered),
		CLAIM(what_a_dead_producer_owned_stays_free),
		CLAIM(what_is_reclaimed_begins_another_life),
		CLAIM(an_eviction_that_a_dead_producer_began_is_ended),
		CLAIM(who_comes_late_forgoes_what_it_cannot_read),
	};

	return RUN("ownership", tests);
}
