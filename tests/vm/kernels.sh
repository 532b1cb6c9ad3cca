# SPDX-License-Identifier: MIT
#
# Sourced: the kernels that the tests need, unpacked under build/kernel/ from
# Debian's packages and never installed. Each function prints one path, fetches
# what is missing first, and may run twice at once. The file `headers', and the
# link root/boot/vmlinuz, are made last: what has them is whole.
# "debug" is not Debian's: tests/vm/debug-kernel builds it into the same places.

vm_top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
vm_kernels=$vm_top/build/kernel
PATH=$PATH:/usr/sbin:/sbin

# Runs @2... while no other process does anything under the same name @1.
vm_locked() {
	local name=$1
	shift
	mkdir -p "$vm_kernels" && (flock 9 && "$@") 9>"$vm_kernels/$name.lock"
}

# What Debian has grows old on its servers: with a stale list, nothing is found.
vm_again() {
	"$@" || { apt-get update >>"$vm_kernels/log" 2>&1; "$@"; }
}

# The packages @2..., unpacked into @1. The download has its own directory, so
# that one which was interrupted leaves nothing that looks whole.
vm_unpack() {
	local root=$1 deb=${1%/root}.deb package
	shift
	rm -rf "$deb" && mkdir -p "$deb" "$root" &&
		(cd "$deb" && apt-get download "$@") >>"$vm_kernels/log" 2>&1 || return 1
	for package in "$deb"/*.deb; do
		dpkg -x "$package" "$root" 2>>"$vm_kernels/log" || return 1
	done
	rm -rf "$deb"
}

# Debian's name for the newest build of the kernel series @1.
vm_release() {
	local meta=linux-headers-$1-amd64 headers
	[ "$1" != 6.1 ] || meta=linux-headers-amd64
	headers=$(apt-cache depends "$meta" 2>/dev/null | awk '/Depends: linux-headers/ { print $2; exit }')
	[ -n "$headers" ] && echo "${headers#linux-headers-}"
}

vm_have_headers() {
	local headers
	headers=$(cat "$vm_kernels/$1/headers" 2>/dev/null) &&
		case $headers in "$vm_kernels/$1/"*) [ -e "$headers/Makefile" ] ;; *) false ;; esac
}

vm_fetch_headers() {
	local dir=$vm_kernels/$1 release kbuild
	release=$(vm_release "$1") || return 1
	kbuild=$(apt-cache depends "linux-headers-$release" |
		awk '/Depends: linux-kbuild/ { print $2; exit }')
	rm -rf "$dir" && vm_unpack "$dir/root" "linux-headers-$release" \
		"linux-headers-${release%-amd64}-common" "$kbuild" || return 1
	# The package expects to be installed at /.
	sed -i "s|include /usr/src/|include $dir/root/usr/src/|" \
		"$dir/root/usr/src/linux-headers-$release/Makefile" &&
		echo "$dir/root/usr/src/linux-headers-$release" >"$dir/headers.new" &&
		mv "$dir/headers.new" "$dir/headers"
}

# With the vmlinux that some header packages have, a module gets type information
# that nothing here reads, made by a tool that need not be installed.
vm_need_headers() {
	vm_have_headers "$1" || { [ "$1" != debug ] && vm_again vm_fetch_headers "$1"; } || return 1
	[ "$1" = debug ] || rm -f "$(cat "$vm_kernels/$1/headers")/vmlinux"
}

# Of the same build as the headers, or the module would not load.
vm_fetch_image() {
	local dir=$vm_kernels/$1 headers release
	headers=$(cat "$dir/headers") && release=${headers##*/linux-headers-} &&
		vm_unpack "$dir/root" "linux-image-$release" &&
		depmod -b "$dir/root" "$release" 2>>"$vm_kernels/log" &&
		ln -sfn "vmlinuz-$release" "$dir/root/boot/vmlinuz"
}

# An image that is gone from the servers takes the headers of its build with it.
vm_need_image() {
	vm_need_headers "$1" || return 1
	[ ! -e "$vm_kernels/$1/root/boot/vmlinuz" ] || return 0
	[ "$1" != debug ] || return 1
	vm_again vm_fetch_image "$1" || { vm_fetch_headers "$1" && vm_fetch_image "$1"; }
}

# The directory that a module for the kernel @1 is built against.
kernel_headers() {
	vm_locked "$1" vm_need_headers "$1" && cat "$vm_kernels/$1/headers"
}

# The directory that has boot/vmlinuz, and lib/modules if the kernel has modules.
kernel_root() {
	vm_locked "$1" vm_need_image "$1" && echo "$vm_kernels/$1/root"
}

vm_need_busybox() {
	[ -e "$vm_kernels/busybox/whole" ] ||
		{ vm_again vm_unpack "$vm_kernels/busybox" busybox-static && : >"$vm_kernels/busybox/whole"; }
}

kernel_busybox() {
	vm_locked busybox vm_need_busybox && echo "$vm_kernels/busybox/bin/busybox"
}

vm_build_module() {
	local out=$vm_kernels/$1/kmod said
	said=$(env -u MAKEFLAGS -u MFLAGS make -s -C "$vm_top" kmod "KDIR=$2" "KOUT=$out" 2>&1) ||
		{ printf '%s\n' "$said" >&2; return 1; }
	{ [ -z "$3" ] || cp "$out/krepis.ko" "$3"; } && echo "$out/krepis.ko"
}

# krepis.ko for the kernel @1, built, and if @2 is there copied to it before
# anyone builds another; KREPIS_KO names one that is not to be built.
kernel_module() {
	local headers
	if [ -n "${KREPIS_KO:-}" ]; then
		{ [ -z "${2:-}" ] || cp "$KREPIS_KO" "$2"; } && echo "$KREPIS_KO"
	else
		headers=$(kernel_headers "$1") &&
			vm_locked "$1.kmod" vm_build_module "$1" "$headers" "${2:-}"
	fi
}
