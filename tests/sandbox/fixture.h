/* SPDX-License-Identifier: MIT */
/* The fixture of most of the sandbox's tests: the tree. */
#ifndef _SANDBOX_FIXTURE_H
#define _SANDBOX_FIXTURE_H

#include <kselftest_harness.h>
#include "sandbox.h"

FIXTURE(tree)
{
};

FIXTURE_SETUP(tree)
{
	ASSERT_EQ(0, tree_make("tmpfs"));
}

FIXTURE_TEARDOWN(tree)
{
	tree_end();
}

#endif /* _SANDBOX_FIXTURE_H */
