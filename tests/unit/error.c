// SPDX-License-Identifier: MIT
/*
 * What errors are called, and what the library says of itself.
 */
#include <stdio.h>
#include <string.h>
#include "helpers.h"

static void every_number_has_a_text(void **state)
{
	(void)state;
	for (int err = -300; err <= 300; err++) {
		assert_non_null(krepis_strerror(err));
		assert_true(*krepis_strerror(err));
		assert_ptr_equal(krepis_strerror(err), krepis_strerror(-err));
	}
}

static void the_extremes_have_a_text(void **state)
{
	(void)state;
	assert_non_null(krepis_strerror(INT32_MAX));
	assert_non_null(krepis_strerror(-INT32_MAX));
	assert_non_null(krepis_strerror(INT32_MIN));
}

static void the_librarys_own_errors_have_their_own_texts(void **state)
{
	static const int errors[] = {
		KREPIS_PEER_GONE, KREPIS_ELAPPED, ENOTCONN, ESHUTDOWN, EPROTO,
		EMEDIUMTYPE, EUSERS, ESTALE, EMSGSIZE, EBADF,
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		assert_string_not_equal(krepis_strerror(errors[i]), strerror(errors[i]));
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(krepis_strerror(errors[i]),
						krepis_strerror(errors[j]));
	}
}

static void the_version_is_three_numbers(void **state)
{
	int major, minor, patch, end = 0;

	(void)state;
	assert_int_equal(sscanf(krepis_version(), "%d.%d.%d%n", &major, &minor, &patch, &end), 3);
	assert_int_equal(end, strlen(krepis_version()));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(every_number_has_a_text),
		CLAIM(the_extremes_have_a_text),
		CLAIM(the_librarys_own_errors_have_their_own_texts),
		CLAIM(the_version_is_three_numbers),
	};

	return RUN("error", tests);
}
