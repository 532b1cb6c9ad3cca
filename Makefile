# SPDX-License-Identifier: MIT
#
#	make			the library and the command, in build/
#	make demo		installs what is missing, builds, shows the main job on real files
#	make check		installs what is missing, builds, runs every test
#	make check-debug	the tests on a kernel with KASAN, lockdep and fault injection
#	make demo-vm, bench-vm	the demo, the measuring, on the module in a virtual machine
#	make bench		measures, beside other ways, and draws, into build/bench/
#	make kmod		the module for the running kernel; KVER=... or KDIR=... for another
#	make install		under PREFIX (/usr/local), honours DESTDIR
#	make install-kmod	the module under MODDIR (/lib/modules/KVER), what loads and mounts it under PREFIX
#	make dkms		the module's sources for dkms, in build/dkms/
#	make bindings		the library for other languages, in build/bindings/<language>/
#	make typescript		the package for Deno, Bun and Node, and its tests; wants npm
#
# VARIANT=asan|tsan|valgrind builds the same into build/<variant>/.

VERSION	:= $(shell cat VERSION)
PREFIX	?= /usr/local
LIBDIR	?= $(PREFIX)/lib
VARIANT	?=
OUT	:= build$(if $(VARIANT),/$(VARIANT))

CC	?= gcc
CXX	?= g++
CFLAGS	?= -O2 -g
WARN	:= -Wall -Wextra -Wno-unused-parameter -Wmissing-prototypes -Wstrict-prototypes -Werror
CPPFLAGS += -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -Iinclude -Iinclude/uapi
LIBFLAGS := -std=gnu11 $(WARN) -fPIC -fvisibility=hidden -Ilib

SANITIZE_asan	  := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
SANITIZE_tsan	  := -fsanitize=thread -Wno-tsan
SANITIZE_valgrind := -DKREPIS_VALGRIND
SANITIZE := $(SANITIZE_$(VARIANT))

LIB_SRC	 := $(filter-out lib/protobuf.c,$(wildcard lib/*.c))
LIB_OBJ	 := $(LIB_SRC:%.c=$(OUT)/%.o)
HAVE_PROTOBUF := $(shell pkg-config --exists libprotobuf-c 2>/dev/null && echo yes)

# The sandbox: programs for the kernel, and the library that carries them.
CLANG	 ?= clang
BPFTOOL	 ?= $(shell PATH=$$PATH:/usr/sbin:/sbin command -v bpftool)
BPF_ARCH := $(patsubst aarch64,arm64,$(patsubst x86_64,x86,$(shell uname -m)))
SANDBOX_SRC := $(wildcard lib/sandbox/*.c)
SANDBOX_OBJ := $(SANDBOX_SRC:%.c=$(OUT)/%.o)
SANDBOX_LIBS := $(OUT)/libkrepis-sandbox.a -lbpf -ljson-c -lelf -lz
HAVE_SANDBOX := $(if $(BPFTOOL),$(shell pkg-config --exists libbpf json-c 2>/dev/null && \
	command -v $(CLANG) >/dev/null && echo yes))

# Without the sandbox the command says what was missing, in place of what would use it.
SANDBOX_LACKS := $(if $(BPFTOOL),,bpftool) $(if $(shell command -v $(CLANG)),,clang) \
	$(foreach p,libbpf json-c,$(if $(shell pkg-config --exists $p 2>/dev/null && echo yes),,\
	$(patsubst liblib%,lib%,lib$p)-dev))
SANDBOX_TOOL := $(wildcard tools/krepis/run*.c tools/krepis/oci_*.c) tools/krepis/policy.c \
	tools/krepis/sandbox_options.c
TOOL_SRC := $(filter-out $(if $(HAVE_SANDBOX),tools/krepis/sandbox_none.c,$(SANDBOX_TOOL)), \
	$(wildcard tools/krepis/*.c))
TOOL_BENCH := $(patsubst %,$(OUT)/tests/bench/%.o,backend count link link_krepis link_raw \
	link_stream machine report run s1_latency s2_rate s4_wake s5_handover stats suite)
TOOL_OBJ := $(TOOL_SRC:%.c=$(OUT)/%.o)

SONAME	 := libkrepis.so.$(firstword $(subst ., ,$(VERSION)))

# The module: built in a copy, because the kernel's build system leaves its objects
# beside the sources.
KVER	?= $(shell uname -r)
KDIR	?= /lib/modules/$(KVER)/build
KOUT	?= build/kmod/$(KVER)
# Of the headers, which may be another kernel's than the one that runs.
KRELEASE = $(shell cat $(KDIR)/include/config/kernel.release 2>/dev/null || echo $(KVER))
MODDIR	?= /lib/modules/$(KRELEASE)
DKMS	:= build/dkms/krepis-$(VERSION)

.PHONY: all lib tool kmod tests check demo bench install install-kmod dkms bindings typescript clean deps format
all: lib tool

lib: $(OUT)/libkrepis.a $(OUT)/libkrepis.so $(if $(HAVE_PROTOBUF),$(OUT)/libkrepis-protobuf.a) \
	$(if $(HAVE_SANDBOX),$(OUT)/libkrepis-sandbox.a)
tool: $(OUT)/krepis

$(OUT)/lib/%.o: lib/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(LIBFLAGS) $(SANITIZE) -MMD -MP -c $< -o $@

$(OUT)/tools/%.o: tools/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -std=gnu11 $(WARN) $(SANITIZE) -MMD -MP -c $< -o $@

$(OUT)/libkrepis.a: $(LIB_OBJ)
	@rm -f $@
	$(AR) rcs $@ $^

$(OUT)/libkrepis.so: $(LIB_OBJ) lib/krepis.map
	$(CC) -shared $(SANITIZE) -Wl,-soname,$(SONAME) -Wl,-z,nodelete -Wl,-z,relro,-z,now \
		-Wl,--version-script=lib/krepis.map -o $@ $(LIB_OBJ) -pthread
	ln -sf libkrepis.so $(OUT)/$(SONAME)

$(OUT)/libkrepis-protobuf.a: $(OUT)/lib/protobuf.o
	@rm -f $@
	$(AR) rcs $@ $^

# Where the fields of the kernel's types stand is found when they are loaded: one object for
# all kernels. -g: for that it needs their names.
build/bpf/sandbox.bpf.o: $(wildcard bpf/*.c bpf/*.h)
	@mkdir -p $(@D)
	$(CLANG) -O2 -g -Wall -Werror -target bpf -D__TARGET_ARCH_$(BPF_ARCH) \
		-I/usr/include/$(shell $(CC) -print-multiarch) -c bpf/sandbox.bpf.c -o $@

build/bpf/sandbox.skel.h: build/bpf/sandbox.bpf.o
	$(BPFTOOL) gen skeleton $< name sandbox_bpf >$@.new
	@mv $@.new $@

$(SANDBOX_OBJ): LIBFLAGS += -Ibpf -Ibuild/bpf
$(SANDBOX_OBJ): build/bpf/sandbox.skel.h

$(OUT)/libkrepis-sandbox.a: $(SANDBOX_OBJ)
	@rm -f $@
	$(AR) rcs $@ $^

$(OUT)/tools/krepis/bench.o: CPPFLAGS += -Itests/bench
$(OUT)/tools/krepis/sandbox_none.o: CPPFLAGS += -DKREPIS_SANDBOX_LACKS='"$(strip $(SANDBOX_LACKS))"'

$(OUT)/krepis: $(TOOL_OBJ) $(TOOL_BENCH) $(if $(HAVE_SANDBOX),$(OUT)/libkrepis-sandbox.a) \
		$(OUT)/libkrepis.a
	$(CC) $(CFLAGS) $(SANITIZE) -o $@ $(TOOL_OBJ) $(TOOL_BENCH) $(if $(HAVE_SANDBOX),$(SANDBOX_LIBS)) \
		$(OUT)/libkrepis.a -lcrypto -pthread

kmod:
	@[ -e $(KDIR)/Makefile ] || { \
		echo "krepis: no kernel headers at $(KDIR)." >&2; \
		echo "krepis: install them (Debian: apt-get install linux-headers-$(KVER))," \
			"or say where they are: make kmod KDIR=..." >&2; exit 1; }
	@mkdir -p $(KOUT)
	@cp -Rpu Kbuild kmod include $(KOUT)/
	$(MAKE) -C $(KDIR) M=$(abspath $(KOUT)) KREPIS=$(abspath $(KOUT)) modules

# The public headers, as other languages call them: a file in each one's directory.
NATIVE	 := $(addprefix build/bindings/,json/native.json node/krepis_node.c python/_native.py \
	rust/native.rs typescript/native.ts zig/native.zig)
BOUND	 := $(addprefix include/krepis/,krepis.h waitset.h batch.h)

# The package for TypeScript. What it is compiled with is npm's.
NPM	 ?= npm
HAVE_NPM = $(shell command -v $(NPM))
NPM_DIR	 := build/bindings/tools
TS	 := build/bindings/typescript
TS_SRC	 := lib/bindings/typescript
TS_ARCH	 := $(patsubst aarch64,arm64,$(patsubst x86_64,x64,$(shell uname -m)))
TS_ADDON := $(TS)/prebuilds/linux-$(TS_ARCH)/krepis.node
TSC	 := $(NPM_DIR)/node_modules/.bin/tsc

# The crate: its sources, what is made above, and the version.
CRATE_SRC := $(patsubst lib/bindings/rust/%,%,$(wildcard $(addprefix lib/bindings/rust/,\
	*.rs src/*.rs tests/*.rs examples/*.rs)))
CRATE	  := $(addprefix build/bindings/rust/,Cargo.toml $(CRATE_SRC) src/native.rs examples/sample/mod.rs)
BINDINGS := $(NATIVE) $(CRATE)

bindings: $(BINDINGS)
	@if [ -z "$(HAVE_NPM)" ]; then \
		echo "krepis: no package for TypeScript without npm (Debian: apt-get install npm)"; \
	elif $(MAKE) -s $(NPM_DIR)/package-lock.json; then \
		$(MAKE) -s $(TS)/index.js $(TS_ADDON); \
	else \
		echo "krepis: no package for TypeScript: npm could not bring what it is compiled with"; \
	fi

build/bindings/rust/Cargo.toml: lib/bindings/rust/Cargo.toml VERSION
	@mkdir -p $(@D)
	sed 's|^version = .*|version = "$(VERSION)"|' $< >$@
build/bindings/rust/src/native.rs: build/bindings/rust/native.rs
	@mkdir -p $(@D)
	cp $< $@
build/bindings/rust/examples/sample/mod.rs: tests/bindings/sample.h $(wildcard tools/codegen/*)
	@mkdir -p $(@D)
	tools/codegen/krepis-codegen -l rust --crate -Iinclude -Iinclude/uapi -o $@ $<
$(addprefix build/bindings/rust/,$(CRATE_SRC)): build/bindings/rust/%: lib/bindings/rust/%
	@mkdir -p $(@D)
	cp $< $@

# Not `npm ci`: the lock does not name what deno has for other machines.
$(NPM_DIR)/package-lock.json: $(addprefix tests/bindings/tools/,package.json package-lock.json)
	@mkdir -p $(@D)
	cp tests/bindings/tools/package.json $(@D)/
	cd $(@D) && cp $(abspath tests/bindings/tools/package-lock.json) . && \
		{ $(NPM) install --no-audit --no-fund --loglevel=error >&2 || { rm package-lock.json; exit 1; }; }

$(TS)/index.js: $(wildcard $(TS_SRC)/src/*.ts) $(TS_SRC)/package.tsconfig.json $(TS_SRC)/package.json.in \
		$(TS)/native.ts VERSION $(NPM_DIR)/package-lock.json
	@rm -rf $(TS)/src
	@mkdir -p $(TS)/src
	@cp $(TS_SRC)/src/*.ts $(TS)/src/
	@cp $(TS)/native.ts $(TS)/src/library.ts
	@echo 'export const version = "$(VERSION)";' >$(TS)/src/version.ts
	@sed -e 's|@VERSION@|$(VERSION)|' $(TS_SRC)/package.json.in >$(TS)/package.json
	@cp $(TS_SRC)/package.tsconfig.json $(TS)/
	$(TSC) -p $(TS)/package.tsconfig.json
	@# Deno does not look beside a file for its types.
	@for f in $(TS)/*.d.ts; do f=$${f##*/}; f=$${f%.d.ts}; \
		sed -i "1i // @ts-self-types=\"./$$f.d.ts\"" $(TS)/$$f.js || exit 1; done

$(TS_ADDON): $(TS_SRC)/addon.c build/bindings/node/krepis_node.c $(NPM_DIR)/package-lock.json
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -std=gnu11 -Wall -Wextra -Werror -fPIC -shared -Wl,-z,nodelete \
		-Ibuild/bindings/node -I$(NPM_DIR)/node_modules/node-api-headers/include -o $@ $< -pthread

$(NATIVE): build/bindings/%: $(BOUND) include/krepis/annotate.h include/uapi/linux/krepis.h \
		$(wildcard tools/codegen/*)
	@mkdir -p $(@D)
	tools/codegen/krepis-codegen --library -l $(notdir $(@D)) -Iinclude -Iinclude/uapi -o $@ $(BOUND)

# The package for Python: what is written, what is made of the headers, and VERSION.
PYTHON	   := build/bindings/python/krepis
PYTHON_SRC := $(wildcard lib/bindings/python/krepis/*.py) lib/bindings/python/krepis/py.typed
PYTHON_OUT := $(addprefix $(PYTHON)/,$(notdir $(PYTHON_SRC)) _native.py _version.py)

bindings: $(PYTHON_OUT)
$(PYTHON_OUT): | $(PYTHON)
$(PYTHON):
	@mkdir -p $@
$(PYTHON)/_native.py: build/bindings/python/_native.py
$(filter-out %/_native.py %/_version.py,$(PYTHON_OUT)): $(PYTHON)/%: lib/bindings/python/krepis/%
$(filter-out %/_version.py,$(PYTHON_OUT)):
	cp $< $@
$(PYTHON)/_version.py: VERSION
	printf '# SPDX-License-Identifier: MIT\nVERSION = "%s"\n' '$(VERSION)' >$@

# The file for Zig: what is made of the headers, and VERSION.
ZIG := build/bindings/zig/krepis.zig

bindings: $(ZIG)
$(ZIG): build/bindings/zig/native.zig lib/bindings/zig/version.zig VERSION
	{ cat $< && sed -e '1s|.*||' -e 's|@VERSION@|$(VERSION)|' lib/bindings/zig/version.zig; } >$@

-include $(LIB_OBJ:.o=.d) $(TOOL_OBJ:.o=.d) $(SANDBOX_OBJ:.o=.d)

deps:
	tools/deps

include tests/tests.mk

# For runtimes: a device of CDI, which is to be copied to /etc/cdi, and a hook of podman.
define install-containers
for d in krepis/cdi:cdi containers/oci/hooks.d:oci; do \
		install -d $(DESTDIR)$(PREFIX)/share/$${d%:*}; \
		sed -e 's|@PREFIX@|$(PREFIX)|' tools/system/$${d#*:}/krepis.json.in \
			>$(DESTDIR)$(PREFIX)/share/$${d%:*}/krepis.json; \
	done
endef

# What other languages have, where what makes it is there: python3-clang.
HAVE_CODEGEN = $(shell tools/codegen/krepis-codegen --help >/dev/null 2>&1 && echo yes)
define install-crate
	$(MAKE) -s $(CRATE)
	install -d $(DESTDIR)$(PREFIX)/share/krepis/rust/src
	install -m 644 build/bindings/rust/Cargo.toml build/bindings/rust/build.rs $(DESTDIR)$(PREFIX)/share/krepis/rust/
	install -m 644 build/bindings/rust/src/*.rs $(DESTDIR)$(PREFIX)/share/krepis/rust/src/
endef
define install-python
	$(MAKE) -s $(PYTHON_OUT)
	install -d $(DESTDIR)$(PREFIX)/lib/python3/dist-packages/krepis
	install -m 644 $(PYTHON_OUT) $(DESTDIR)$(PREFIX)/lib/python3/dist-packages/krepis/
endef

define install-zig
	$(MAKE) -s $(ZIG)
	install -d $(DESTDIR)$(PREFIX)/share/krepis/zig
	install -m 644 $(ZIG) $(DESTDIR)$(PREFIX)/share/krepis/zig/
endef

# If it was made.
define install-typescript
d=$(DESTDIR)$(PREFIX)/share/krepis/typescript; \
	install -d $$d/$(dir $(TS_ADDON:$(TS)/%=%)) && \
	install -m 644 $(TS)/package.json $(TS)/*.js $(TS)/*.d.ts $$d/ && \
	install -m 755 $(TS_ADDON) $$d/$(dir $(TS_ADDON:$(TS)/%=%))
endef

install: all
	install -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(PREFIX)/bin \
		$(DESTDIR)$(PREFIX)/include/krepis $(DESTDIR)$(PREFIX)/include/linux \
		$(DESTDIR)$(PREFIX)/share/man/man1
	install -m 755 $(OUT)/krepis $(DESTDIR)$(PREFIX)/bin/
	install -d $(DESTDIR)$(PREFIX)/share/krepis/codegen
	install -m 644 tools/codegen/*.py tools/codegen/library_node.c $(DESTDIR)$(PREFIX)/share/krepis/codegen/
	install -m 755 tools/codegen/krepis-codegen $(DESTDIR)$(PREFIX)/share/krepis/codegen/
	ln -sf ../share/krepis/codegen/krepis-codegen $(DESTDIR)$(PREFIX)/bin/krepis-codegen
	install -m 644 include/krepis/krepis.h include/krepis/packet.h include/krepis/protobuf.h \
		include/krepis/waitset.h include/krepis/uring.h include/krepis/batch.h \
		include/krepis/ring.h include/krepis/atomic.h include/krepis/annotate.h \
		include/krepis/version.h include/krepis/krepis.hpp $(DESTDIR)$(PREFIX)/include/krepis/
	install -m 644 include/uapi/linux/krepis.h $(DESTDIR)$(PREFIX)/include/linux/
	install -m 644 $(OUT)/libkrepis.a $(DESTDIR)$(LIBDIR)/
	$(if $(HAVE_PROTOBUF),install -m 644 $(OUT)/libkrepis-protobuf.a $(DESTDIR)$(LIBDIR)/)
	$(if $(HAVE_SANDBOX),install -m 644 include/krepis/sandbox.h $(DESTDIR)$(PREFIX)/include/krepis/)
	$(if $(HAVE_SANDBOX),install -m 644 $(OUT)/libkrepis-sandbox.a $(DESTDIR)$(LIBDIR)/)
	install -m 755 $(OUT)/libkrepis.so $(DESTDIR)$(LIBDIR)/libkrepis.so.$(VERSION)
	ln -sf libkrepis.so.$(VERSION) $(DESTDIR)$(LIBDIR)/$(SONAME)
	ln -sf $(SONAME) $(DESTDIR)$(LIBDIR)/libkrepis.so
	for f in lib/*.pc.in; do \
		sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' -e 's|@VERSION@|$(VERSION)|' \
			$$f >$(DESTDIR)$(LIBDIR)/pkgconfig/$$(basename $$f .in); \
	done
	$(if $(HAVE_CODEGEN),$(install-crate))
	$(if $(HAVE_CODEGEN),$(install-zig))
	install -m 644 Documentation/man/krepis.1 Documentation/man/krepis-run.1 $(DESTDIR)$(PREFIX)/share/man/man1/
	$(if $(HAVE_SANDBOX),$(install-containers))
	$(if $(HAVE_CODEGEN),$(install-python),@echo "krepis: without python3-clang-14 there is nothing for Python, Rust, TypeScript and Zig")
	$(if $(wildcard $(TS_ADDON)),$(install-typescript))

install-kmod: kmod
	install -d $(DESTDIR)$(MODDIR)/extra $(DESTDIR)$(PREFIX)/lib/systemd/system \
		$(foreach d,modprobe modules-load tmpfiles,$(DESTDIR)$(PREFIX)/lib/$d.d)
	install -m 644 $(KOUT)/krepis.ko $(DESTDIR)$(MODDIR)/extra/
	for d in modprobe.d modules-load.d tmpfiles.d; do \
		install -m 644 tools/system/$$d/krepis.conf $(DESTDIR)$(PREFIX)/lib/$$d/; \
	done
	install -m 644 tools/system/systemd/run-krepis.mount $(DESTDIR)$(PREFIX)/lib/systemd/system/
	@echo "krepis: now: depmod $(KRELEASE) && systemctl daemon-reload && systemctl enable --now run-krepis.mount"

dkms:
	@rm -rf $(DKMS)
	@mkdir -p $(DKMS)/kmod $(DKMS)/include
	@cp -p Kbuild $(DKMS)/
	@cp -p kmod/*.c kmod/*.h $(DKMS)/kmod/
	@cp -Rp include/krepis include/uapi $(DKMS)/include/
	@sed -e 's|@VERSION@|$(VERSION)|' kmod/dkms.conf.in >$(DKMS)/dkms.conf
	@echo "krepis: $(DKMS) is made; now: cp -R $(DKMS) /usr/src/ && dkms install krepis/$(VERSION)"

clean:
	rm -rf build
