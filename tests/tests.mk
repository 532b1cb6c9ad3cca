# SPDX-License-Identifier: MIT
# What the tests and the benchmark are built from. Included by the Makefile.

TEST_FLAGS := -std=gnu11 $(WARN) -Ilib -Itests/unit -I$(OUT)/tests/unit
UNIT	   := $(filter-out helpers,$(basename $(notdir $(wildcard tests/unit/*.c))))
UNIT_BIN   := $(UNIT:%=$(OUT)/tests/unit/%)
STRESS_BIN := $(patsubst %.c,$(OUT)/%,$(wildcard tests/stress/*.c))
FUZZ_BIN   := $(patsubst %.c,$(OUT)/%,$(wildcard tests/fuzz/*.c))
PROTO	   := $(wildcard tests/unit/*.proto)
PROTO_C	   := $(PROTO:%.proto=$(OUT)/%.pb-c.c)

.SECONDARY: $(PROTO_C)
.PHONY: tests unit check-debug demo-vm bench-vm

unit: $(UNIT_BIN)
BINDING_PEERS := $(OUT)/tests/bindings/peer_c $(OUT)/tests/bindings/peer_cc
tests: $(UNIT_BIN) $(STRESS_BIN) $(FUZZ_BIN) $(OUT)/tests/bindings/cpp $(OUT)/tests/bindings/sample.py $(BINDING_PEERS)
tests: $(if $(VARIANT),,bindings)

include tests/kselftest/kselftest.mk
include tests/sandbox/sandbox.mk

$(OUT)/tests/unit/%.pb-c.c: tests/unit/%.proto
	@mkdir -p $(@D)
	protoc-c --c_out=$(@D) -I$(<D) $<

$(OUT)/tests/unit/protobuf: tests/unit/protobuf.c tests/unit/helpers.c $(PROTO_C) \
		$(OUT)/libkrepis-protobuf.a $(OUT)/libkrepis.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(TEST_FLAGS) -Wno-missing-prototypes $(SANITIZE) -o $@ \
		$(filter %.c %.a,$^) -lcmocka -lprotobuf-c -pthread

$(OUT)/tests/unit/uring $(OUT)/tests/unit/uring_release: LIBS := -luring
# Of the sandbox what needs none of its programs in the kernel.
SANDBOX_BIN := $(filter $(OUT)/tests/unit/policy% $(OUT)/tests/unit/best_effort%,$(UNIT_BIN)) \
	$(OUT)/tests/fuzz/policy
$(SANDBOX_BIN): $(OUT)/libkrepis-sandbox.a
$(SANDBOX_BIN): LIBS := -lbpf -ljson-c -lelf -lz
$(SANDBOX_BIN): TEST_FLAGS += -Ibpf
$(OUT)/tests/unit/%: tests/unit/%.c tests/unit/helpers.c $(wildcard tests/unit/*.h) $(OUT)/libkrepis.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(TEST_FLAGS) $(SANITIZE) -o $@ $(filter %.c %.a,$^) \
		-lcmocka $(LIBS) -pthread

$(OUT)/tests/stress/%: tests/stress/%.c $(wildcard tests/stress/*.h) $(OUT)/libkrepis.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(TEST_FLAGS) $(SANITIZE) -o $@ $(filter %.c %.a,$^) -pthread

$(OUT)/tests/fuzz/%: tests/fuzz/%.c $(wildcard tests/fuzz/*.h) $(OUT)/libkrepis.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(TEST_FLAGS) $(SANITIZE) -o $@ $(filter %.c %.a,$^) \
		$(LIBS) -pthread

# What krepis-codegen makes of the tests' messages, for C++.
$(OUT)/tests/bindings/messages.hpp: tests/codegen/messages.h $(wildcard tools/codegen/*) include/krepis/packet.h
	@mkdir -p $(@D)
	tools/codegen/krepis-codegen -Iinclude -Iinclude/uapi --language c++ --out $@ $<

# What the peers of tests/bindings/cross send each other, for Python.
$(OUT)/tests/bindings/sample.py: tests/bindings/sample.h $(wildcard tools/codegen/*) include/krepis/packet.h
	@mkdir -p $(@D)
	tools/codegen/krepis-codegen -Iinclude -Iinclude/uapi --language python --out $@ $<

$(OUT)/tests/bindings/cpp: tests/bindings/cpp.cc $(OUT)/tests/bindings/messages.hpp \
		include/krepis/krepis.hpp $(OUT)/libkrepis.a
	$(CXX) $(CPPFLAGS) $(CFLAGS) -std=c++20 -Wall -Wextra -Werror $(SANITIZE) -I$(@D) -Itests/codegen \
		-o $@ $< $(OUT)/libkrepis.a -pthread

# Programs that talk to those of other languages: tests/bindings/README.md.
SAMPLE	      := tests/bindings/sample.h $(wildcard tools/codegen/*) include/krepis/packet.h

$(OUT)/tests/bindings/sample_layout.h: $(SAMPLE)
	@mkdir -p $(@D)
	tools/codegen/krepis-codegen -Iinclude -Iinclude/uapi --language c --out $@ $<
$(OUT)/tests/bindings/sample.hpp: $(SAMPLE)
	@mkdir -p $(@D)
	tools/codegen/krepis-codegen -Iinclude -Iinclude/uapi --language c++ --out $@ $<
$(OUT)/tests/bindings/peer_c: tests/bindings/peer/peer.c $(OUT)/tests/bindings/sample_layout.h $(OUT)/libkrepis.a
	$(CC) $(CPPFLAGS) $(CFLAGS) $(SANITIZE) -I$(@D) -Itests/bindings -o $@ $< $(OUT)/libkrepis.a -pthread
$(OUT)/tests/bindings/peer_cc: tests/bindings/peer/peer.cc $(OUT)/tests/bindings/sample.hpp \
		include/krepis/krepis.hpp $(OUT)/libkrepis.a
	$(CXX) $(CPPFLAGS) $(CFLAGS) -std=c++20 -Wall -Wextra -Werror $(SANITIZE) -I$(@D) -Itests/bindings \
		-o $@ $< $(OUT)/libkrepis.a -pthread

# With the shared library, as the other languages have it.
$(OUT)/tests/bindings/bench_c: tests/bindings/bench/bench.c $(OUT)/libkrepis.so
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(TEST_FLAGS) -o $@ $< -L$(OUT) -lkrepis -Wl,-rpath,$(abspath $(OUT))
$(OUT)/tests/bindings/bench_cc: tests/bindings/bench/bench.cc include/krepis/krepis.hpp $(OUT)/libkrepis.so
	@mkdir -p $(@D)
	$(CXX) $(CPPFLAGS) $(CFLAGS) -std=c++20 -Wall -Wextra -Werror -o $@ $< -L$(OUT) -lkrepis \
		-Wl,-rpath,$(abspath $(OUT))

# The tests of the package for TypeScript, and its peer, beside what they import.
TS_TESTS := $(wildcard tests/bindings/typescript/*.ts) tests/bindings/peer/peer.ts

build/tests/bindings/sample.ts: $(SAMPLE)
	@mkdir -p $(@D)
	tools/codegen/krepis-codegen -Iinclude -Iinclude/uapi --language typescript --out $@ $<

build/tests/bindings/peer.js: $(TS_TESTS) tests/bindings/typescript/tests.tsconfig.json build/tests/bindings/sample.ts \
		$(TS)/index.js $(TS_ADDON)
	@cp $(TS_TESTS) tests/bindings/typescript/tests.tsconfig.json $(@D)/
	@echo '{ "type": "module" }' >$(@D)/package.json
	$(TSC) -p $(@D)/tests.tsconfig.json

typescript: lib tool build/tests/bindings/peer.js build/tests/bindings/peer_c

JOBS := -j$(shell nproc)

check:
	tools/deps test
	$(MAKE) -s $(JOBS) all tests bindings kselftest sandboxtest
	if [ -e $(NPM_DIR)/package-lock.json ]; then $(MAKE) -s typescript; fi
	$(MAKE) -s $(JOBS) tests VARIANT=asan CFLAGS="-O1 -g"
	$(MAKE) -s $(JOBS) unit VARIANT=tsan CFLAGS="-O1 -g"
	$(MAKE) -s $(JOBS) unit VARIANT=valgrind CFLAGS="-O1 -g"
	tests/check

# The same tests in a machine with a kernel that watches itself, built here once.
check-debug:
	tools/deps test
	tools/deps debug
	$(MAKE) -s all tests kselftest sandboxtest
	tests/vm/check-debug

# The main job on the module's channels.
demo-vm:
	tools/deps test
	$(MAKE) -s all
	tests/vm/run -- $(OUT)/krepis demo --small

demo:
	tools/deps build
	$(MAKE) -s all
	$(OUT)/krepis demo

# That part of the benchmark which wants nothing but the library is in the command, too.
BENCH_SRC := $(wildcard tests/bench/*.c)
BENCH_OBJ := $(BENCH_SRC:%.c=$(OUT)/%.o) $(patsubst %.cc,$(OUT)/%.o,$(wildcard tests/bench/*.cc))

$(OUT)/tests/bench/%.o: tests/bench/%.c $(wildcard tests/bench/*.h include/krepis/*.h include/uapi/linux/*.h)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -std=gnu11 $(WARN) -Itests/bench -c $< -o $@

$(OUT)/tests/bench/%.o: tests/bench/%.cc $(wildcard tests/bench/*.h include/krepis/*.h include/uapi/linux/*.h)
	@mkdir -p $(@D)
	$(CXX) $(CPPFLAGS) $(CFLAGS) -Wall -Wextra -Itests/bench -c $< -o $@

# Peers that are libraries: each is linked if its header is there, and its file asks the
# same way. What is not there is named in the tables, with its package.
ICEORYX_CFLAGS = $(addprefix -isystem ,$(lastword $(wildcard /usr/include/iceoryx/v*)))
DPDK_CFLAGS = $(patsubst -I%,-isystem %,$(shell pkg-config --cflags libdpdk 2>/dev/null))
bench_has = $(shell $(CC) $2 -E -x c -include $1 /dev/null >/dev/null 2>&1 && echo $3)
BENCH_LIBS = -lisal -luring \
	$(call bench_has,rte_ring.h,$(DPDK_CFLAGS),-lrte_ring -lrte_eal) \
	$(call bench_has,iceoryx_binding_c/publisher.h,$(ICEORYX_CFLAGS),-liceoryx_binding_c) \
	$(call bench_has,zmq.h,,-lzmq) $(call bench_has,nng/nng.h,,-lnng)

$(OUT)/tests/bench/link_rte.o: CPPFLAGS += $(DPDK_CFLAGS)
$(OUT)/tests/bench/link_iceoryx.o: CPPFLAGS += $(ICEORYX_CFLAGS)

# S10 calls into the shared library, which it looks for beside itself.
$(OUT)/krepis-bench: $(BENCH_OBJ) $(OUT)/libkrepis.a | $(OUT)/libkrepis.so
	$(CXX) $(CFLAGS) -o $@ $^ $(BENCH_LIBS) -pthread

$(OUT)/krepis-bench-sandbox: tests/bench/sandbox/main.c $(OUT)/libkrepis-sandbox.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -std=gnu11 $(WARN) -o $@ $< $(SANDBOX_LIBS)

bench-vm:
	tools/deps test
	tools/deps bench
	$(MAKE) -s all $(OUT)/krepis-bench $(OUT)/krepis-bench-sandbox
	@mkdir -p $(OUT)/bench
	tests/vm/run --smp 1 --pin -t 600 -o $(OUT)/bench -- \
		$(OUT)/krepis-bench-sandbox --json /mnt/out/sandbox.json $(OUT)/krepis
	tests/vm/run --pin -t 1200 -o $(OUT)/bench -- $(OUT)/krepis-bench --vm --json /mnt/out/vm.json

bench:
	tools/deps bench
	$(MAKE) -s lib $(OUT)/krepis-bench
	@mkdir -p $(OUT)/bench
	$(OUT)/krepis-bench --json $(OUT)/bench/native.json
	tests/bench/plot $(OUT)/bench/native.json
