# SPDX-License-Identifier: MIT
# The sandbox's tests. Included by tests/tests.mk.
#
# Not static, as the module's are: the library's own libraries are not to be had so. The
# programs of parts/ are what the tests execute; those are static, to need no other file.

SANDBOX_TEST	 := $(filter-out sandbox,$(basename $(notdir $(wildcard tests/sandbox/*.c))))
SANDBOX_TEST_OUT := $(OUT)/tests/sandbox
SANDBOX_TEST_BIN := $(SANDBOX_TEST:%=$(SANDBOX_TEST_OUT)/%)
SANDBOX_PART_BIN := $(SANDBOX_TEST_OUT)/parts/hand $(SANDBOX_TEST_OUT)/parts/preload.so
SANDBOX_TEST_FLAGS := $(filter-out -static,$(KSELFTEST_FLAGS))
SANDBOX_TEST_USES := tests/sandbox/sandbox.c tests/kselftest/util.c $(wildcard tests/sandbox/*.h) \
	tests/kselftest/util.h

.PHONY: sandboxtest
sandboxtest: $(SANDBOX_TEST_BIN) $(SANDBOX_PART_BIN)

$(SANDBOX_TEST_OUT)/parts/%.so: tests/sandbox/parts/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(WARN) -shared -fPIC -o $@ $<

$(SANDBOX_TEST_OUT)/parts/%: tests/sandbox/parts/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -O2 $(WARN) -static -s -o $@ $<

$(SANDBOX_TEST_OUT)/%: tests/sandbox/%.c $(SANDBOX_TEST_USES) $(OUT)/libkrepis-sandbox.a \
		| $(KSELFTEST_HARNESS)/kselftest_harness.h
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(SANDBOX_TEST_FLAGS) -o $@ $(filter %.c,$^) $(SANDBOX_LIBS) \
		-luring

$(SANDBOX_TEST_OUT)/channel: $(OUT)/libkrepis.a
$(SANDBOX_TEST_OUT)/channel: SANDBOX_LIBS += $(OUT)/libkrepis.a
