# SPDX-License-Identifier: MIT
# The module's self tests. Included by tests/tests.mk.
#
# Static, because the machine that runs them may have another C library; those that
# only an old ABI could break, also as 32-bit programs (.32).
# Needs the packages gcc-multilib, and dpkg-dev's apt to fetch the kernel's harness.

KSELFTEST_PARTS := util sqe
KSELFTEST	:= $(filter-out $(KSELFTEST_PARTS),$(basename $(notdir $(wildcard tests/kselftest/*.c))))
KSELFTEST_32	:= $(filter abi geometry rights transfer mmap lifetime names wait poll compat,$(KSELFTEST))
KSELFTEST_OUT	:= $(OUT)/tests/kselftest
KSELFTEST_BIN	:= $(KSELFTEST:%=$(KSELFTEST_OUT)/%) $(KSELFTEST_32:%=$(KSELFTEST_OUT)/%.32)
KSELFTEST_HARNESS := build/kernel/kselftest
KSELFTEST_FLAGS := -std=gnu11 $(WARN) -Wno-missing-prototypes -Wno-clobbered -Wno-override-init \
	-isystem $(KSELFTEST_HARNESS) -static -pthread
KSELFTEST_USES	:= $(KSELFTEST_PARTS:%=tests/kselftest/%.c) $(wildcard tests/kselftest/*.h)

.PHONY: kselftest
kselftest: $(KSELFTEST_BIN)

$(KSELFTEST_HARNESS)/kselftest_harness.h:
	@tests/kselftest/headers >/dev/null

$(KSELFTEST_OUT)/%.32: tests/kselftest/%.c $(KSELFTEST_USES) | $(KSELFTEST_HARNESS)/kselftest_harness.h
	@mkdir -p $(@D)
	$(CC) -m32 $(CPPFLAGS) $(CFLAGS) $(KSELFTEST_FLAGS) -o $@ $(filter %.c,$^) -latomic

$(KSELFTEST_OUT)/%: tests/kselftest/%.c $(KSELFTEST_USES) | $(KSELFTEST_HARNESS)/kselftest_harness.h
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(KSELFTEST_FLAGS) -o $@ $(filter %.c,$^)
