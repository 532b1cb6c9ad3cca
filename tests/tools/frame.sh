# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2034	# who sources it uses them
#
# Sourced: the frame of tests that are shell scripts and print TAP, a line a claim. Who sources
# it sets $work, its directory, and puts the streams of what it runs into $out and $err, or
# into *.err there, and the result into $status.

set -u
umask 022
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
count=0 failures=0 status=0
slow=1
! grep -q 'QEMU TCG' /proc/cpuinfo || slow=5

# in_directory TEMPLATE: $work
in_directory() {
	work=$(mktemp -d "$1") || exit 1
	out=$work/out err=$work/err
}

# check NAME COMMAND...: the claim NAME holds if COMMAND succeeds
check() {
	local name=$1 f
	shift
	count=$((count + 1))
	if "$@"; then
		echo "ok $count $name"
		return
	fi
	failures=$((failures + 1))
	echo "not ok $count $name"
	echo "# failed: $*"
	echo "# status $status"
	for f in "$work"/{out,err,*.err}; do
		[ -s "$f" ] && head -c 1200 "$f" | tail -n 12 | sed "s|^|# ${f##*/}: |"
	done
}

# until_true COMMAND...: polls, for ten seconds where nothing is slow
until_true() {
	local i
	for ((i = 0; i < 500 * slow; i++)); do
		"$@" && return 0
		sleep 0.02
	done
	echo "# never became true: $*"
	return 1
}

prints() { [ "$(cat "$out")" = "$1" ]; }

done_with_it() {
	echo "1..$count"
	[ $failures -eq 0 ]
	exit
}
