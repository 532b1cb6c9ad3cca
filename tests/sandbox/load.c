// SPDX-License-Identifier: MIT
/* The programs are loaded into the kernel, and taken out again. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <kselftest_harness.h>
#include "sandbox.h"

#define PINS	"/sys/fs/bpf/krepis"

FIXTURE(load)
{
	struct krepis_policy *all;
};

FIXTURE_SETUP(load)
{
	ASSERT_EQ(0, krepis_policy_create(&self->all));
	ASSERT_EQ(0, krepis_policy_add(self->all, true, KREPIS_READ, "/"));
	ASSERT_EQ(0, krepis_sandbox_load());
}

FIXTURE_TEARDOWN(load)
{
	krepis_policy_destroy(self->all);
}

static unsigned int descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;

	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

TEST_F(load, twice_is_as_once)
{
	EXPECT_EQ(0, krepis_sandbox_load());
	EXPECT_EQ(0, access(PINS, F_OK));
}

TEST_F(load, with_a_domain_nothing_is_unloaded)
{
	struct krepis_domain *d;

	ASSERT_EQ(0, krepis_domain_create("load", self->all, 0, &d));
	EXPECT_EQ(-EBUSY, krepis_sandbox_unload());
	EXPECT_EQ(0, access(PINS, F_OK));
	ASSERT_EQ(0, krepis_domain_remove(d));
	krepis_domain_close(d);
}

TEST_F(load, neither_pin_nor_descriptor_is_left)
{
	unsigned int before;

	ASSERT_EQ(0, krepis_sandbox_unload());
	EXPECT_EQ(-1, access(PINS, F_OK));
	EXPECT_EQ(-ENOENT, krepis_sandbox_unload());
	before = descriptors();
	ASSERT_EQ(0, krepis_sandbox_load());
	EXPECT_EQ(before, descriptors());
	ASSERT_EQ(0, krepis_sandbox_unload());
	EXPECT_EQ(before, descriptors());
}

TEST_HARNESS_MAIN
