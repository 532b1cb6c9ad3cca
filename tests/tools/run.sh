#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Drives the real krepis command, as a person would: TAP, one line a behaviour.
# usage: tests/tools/run.sh [KREPIS]. Its channels stand in a directory in /dev/shm, or
# where $KREPIS_TEST_DIR says, which may be a krepis mount.

# shellcheck disable=SC2016	# eval in check() expands them
. "$(dirname "$0")/frame.sh"
krepis=$(realpath -- "${1:-build/krepis}")
[ -x "$krepis" ] || { echo "Bail out! no command at $krepis"; exit 1; }

in_directory "${TMPDIR:-/tmp}/krepis-tools.XXXXXX"
KREPIS_DIR=$(mktemp -d "${KREPIS_TEST_DIR:-/dev/shm}"/krepis-tools.XXXXXX)
export KREPIS_DIR
kmod='' # 1 on a krepis mount
[ "$(stat -f -c %t "$KREPIS_DIR")" != 6b727073 ] || kmod=1
large=300000000
[ $slow = 1 ] || large=20000000

# shellcheck disable=SC2317
finish() {
	exec 7>&-
	jobs -p | xargs -r kill -9
	wait
	rm -rf "$work" "$KREPIS_DIR"
} 2>/dev/null
trap finish EXIT

# ---- helpers

# run ARGS...: krepis, with its streams in $out and $err and its result in $status
run() {
	timeout -k 1 $((20 * slow)) "$krepis" "$@" >"$out" 2>"$err"
	status=$?
}

# exits NAME STATUS ARGS...
exits() {
	local name=$1 expected=$2
	shift 2
	run "$@" </dev/null
	check "$name" [ "$status" -eq "$expected" ]
}

# started ARGS...: krepis in the background, in $pid
started() {
	"$krepis" "$@" <&0 &
	pid=$!
}

# ended PID: waits, at most for ten seconds where nothing is slow; its result is in $status, the seconds in $took
ended() {
	local begin=${EPOCHREALTIME/./} i
	for ((i = 0; i < 500 * slow; i++)); do
		kill -0 "$1" 2>/dev/null || break
		sleep 0.02
	done
	[ $i -lt $((500 * slow)) ] || kill -9 "$1"
	wait "$1" 2>/dev/null
	status=$?
	took=$(((${EPOCHREALTIME/./} - begin) / 1000))
} 2>/dev/null	# the shell's own "Killed"

consumers_are() { "$krepis" ls --json 2>/dev/null | grep -q "\"name\":\"$1\"[^}]*\"consumers\":$2,"; }
producer_is_there() { "$krepis" ls --json 2>/dev/null | grep -q "\"name\":\"$1\"[^}]*\"producer\":true"; }
has_sent() { "$krepis" ls --json 2>/dev/null | grep -q "\"name\":\"$1\"[^}]*\"sent\":{\"messages\":[1-9]"; }
size_is() { [ "$(stat -c %s "$1" 2>/dev/null || echo 0)" -ge "$2" ]; }
says() { grep -q -- "$1" "$err"; }
is_json() { python3 -m json.tool "$1" >/dev/null; }
are_json_lines() { python3 -c 'import json, sys
for line in open(sys.argv[1]): json.loads(line)' "$1"; }
no_channel() { [ ! -e "$KREPIS_DIR/$1" ]; }
both() { [ "$1" -eq "$2" ] && [ "$3" -lt "$4" ]; }
sum_of() { sha256sum <"$1" | cut -d' ' -f1; }

# ---- help and usage

usage_is_told() {
	exits help_is_done 0 help
	exits version_is_done 0 --version
	check version_names_the_file_VERSION prints "krepis $(cat VERSION)"
	for command in create ls rm send recv cat run policy oci-hook demo bench doctor; do
		run help "$command"
		first=$(cat "$out")
		run "$command" --help
		check "help_of_${command}_teaches_with_an_example" \
			eval '[ $status -eq 0 ] && prints "$first" && [ "$(grep -A2 ^Example: "$out" | grep -c "  ")" -eq 2 ]'
	done
	exits nothing_is_a_usage_error 2
	exits unknown_subcommand_is_a_usage_error 2 frobnicate
	check unknown_subcommand_tells_where_the_list_is says 'krepis help'
	exits unknown_option_is_a_usage_error 2 ls --frobnicate
	check unknown_option_is_named says "'--frobnicate'"
	exits missing_value_is_a_usage_error 2 create x --ring
	exits missing_name_is_a_usage_error 2 create
	exits bad_size_is_a_usage_error 2 create x --buffer-size 4Q
	exits impossible_shape_is_a_usage_error 2 create x --ring 5000
	exits bad_timeout_is_a_usage_error 2 recv x --timeout soon
	exits text_and_lines_is_a_usage_error 2 send x text --lines
	exits cat_without_direction_is_a_usage_error 2 cat x
	check cat_without_direction_teaches says 'krepis cat --to x'
}
# Which has nothing to do with where the channels stand.
[ -n "${KREPIS_TEST_DIR:-}" ] || usage_is_told

# ---- create, ls, rm

exits ls_of_nothing_is_done 0 ls
exits create_makes_a_channel 0 create cam --ring 64K --buffers 4 --buffer-size 2M --consumers 3
exits create_twice_fails 1 create cam
check create_twice_says_what_to_type says 'krepis rm cam'
exits create_prints_json 0 create pos --kind triple --buffer-size 64 --json
check create_json_is_json is_json "$out"
exits ls_lists 0 ls
check ls_shows_the_shape grep -q '64K+4x2M.*cam$' "$out"
exits ls_prints_json 0 ls --json
check ls_json_is_json is_json "$out"
check ls_json_has_both_channels python3 -c "import json
names = [c['name'] for c in json.load(open('$out'))['channels']]
assert names == ['cam', 'pos'], names"
# The module takes no text and no fifo: there it is a file that was not made a channel.
if [ $kmod ]; then
	: >"$KREPIS_DIR/text"
	check module_takes_no_other_file eval '! mkfifo "$KREPIS_DIR/fifo" 2>/dev/null'
else
	echo 'just text' >"$KREPIS_DIR/text"
	mkfifo "$KREPIS_DIR/fifo"
fi
run ls
check ls_skips_what_is_no_channel eval '[ $status -eq 0 ] && ! grep -q -e text -e fifo "$out" "$err"'
exits ls_of_a_directory 0 ls "$KREPIS_DIR"
exits ls_of_no_directory_is_not_found 3 ls "$work/nowhere"
exits recv_of_no_channel_is_not_found 3 recv text
check recv_of_no_channel_says_so says 'not a krepis channel'
if [ ! $kmod ]; then
	run create other
	for abi in 1:older 9:newer; do
		printf "\\x${abi%:*}" | dd of="$KREPIS_DIR/other" bs=1 seek=8 conv=notrunc status=none
		exits "recv_of_${abi#*:}_abi_fails" 1 recv other
		check "recv_of_${abi#*:}_abi_says_which_side_is_older" says "ABI ${abi%:*} .* ${abi#*:} krepis made it. .*krepis rm other"
	done
	run rm other
fi
exits rm_leaves_other_files_alone 3 rm text
check other_file_is_still_there [ -f "$KREPIS_DIR/text" ]
rm -f "$KREPIS_DIR/text" "$KREPIS_DIR/fifo"
exits rm_removes 0 rm cam
check removed_name_is_gone no_channel cam
exits rm_twice_is_not_found 3 rm cam
exits unknown_channel_is_not_found 3 send cam hello
check unknown_channel_says_how_to_make_it says 'Make one with: krepis create cam'
run create "$work/disk"
check create_off_tmpfs_says_what_to_set eval '[ $status -eq 0 ] || says KREPIS_DIR'
run create msg --mode 660
check mode_is_the_files [ "$(stat -c %a "$KREPIS_DIR/msg")" = 640 ]
run create layout --layout 0xfedcba98 --json
check layout_is_the_channels grep -q '"layout_id":4275878552,' "$out"
run rm layout
exits layout_beyond_32_bits_is_refused 2 create layout --layout 0x100000000

# ---- send and recv

started recv msg >"$work/got"
run send msg 'hello' 'second "message"' ''
ended $pid
check recv_ends_with_its_producer [ $status -eq 0 ]
printf '%s\n' 'hello' 'second "message"' '' >"$out"
check texts_arrive cmp -s "$out" "$work/got"

started recv msg --json >"$work/got"
run send msg --type 7 $'quote " backslash \\' $'control \x01\ttab' $'bytes \xff\xfe' $'\xe2\x82\xac'
ended $pid
check recv_json_is_json are_json_lines "$work/got"
check recv_json_has_type_and_payload python3 -c "import base64, json
m = [json.loads(line) for line in open('$work/got')]
assert [x['type'] for x in m] == [7] * 4
assert m[0]['text'] == 'quote \" backslash \\\\', m[0]
assert m[1]['text'] == 'control \x01\ttab', m[1]
assert base64.b64decode(m[2]['base64']) == b'bytes \xff\xfe', m[2]
assert m[3]['text'] == '\u20ac' and m[3]['len'] == 3, m[3]"

seq 1 20000 >"$work/lines"
printf 'no newline' >>"$work/lines"
started recv msg >"$work/got"
timeout $((20 * slow)) "$krepis" send msg --lines <"$work/lines" >"$out" 2>"$err"
ended $pid
echo >>"$work/lines"
check lines_arrive_in_order cmp -s "$work/lines" "$work/got"

head -c 700000 /dev/urandom >"$work/blob"
started recv msg --raw >"$work/got"
timeout $((20 * slow)) "$krepis" send msg <"$work/blob" >"$out" 2>"$err"
ended $pid
check stdin_is_one_message_and_raw_is_exact cmp -s "$work/blob" "$work/got"

started recv msg >"$work/got"
head -c 2000000 /dev/zero | timeout $((20 * slow)) "$krepis" send msg >"$out" 2>"$err"
status=$?
check too_long_a_message_fails_and_says_why eval '[ $status -eq 1 ] && says buffer-size'
ended $pid

started recv msg --count 2 >"$work/got"
started send msg --lines <"$work/lines" 2>"$err"
ended $pid
check count_ends_recv eval '[ "$(cat "$work/got")" = "1
2" ]'

started recv msg >"$work/got"
run send msg --wait 2 --timeout 0.2 x
check send_times_out_without_its_consumers [ $status -eq 5 ]
check send_timeout_says_what_to_start says 'krepis recv msg'
ended $pid
exits send_wait_beyond_the_slots_is_a_usage_error 2 send msg --wait 9 x
exits recv_times_out 5 recv msg --timeout 0.1
check recv_timeout_says_so says 'timed out'

mkfifo "$work/fifo"
exec 7<>"$work/fifo"
started recv msg 2>"$err" >"$work/got"
receiver=$pid
started send msg --lines <"$work/fifo" 7>&-
sender=$pid
echo first >&7
until_true size_is "$work/got" 6
run send msg --wait 0 x
check second_producer_is_refused eval '[ $status -eq 1 ] && says "krepis ls"'
kill -9 $sender
ended $receiver
check death_of_the_producer_ends_recv_at_once both $status 4 $took $((2000 * slow))
check death_of_the_producer_is_said eval 'says died || grep -q died "$err"'

started recv msg 2>"$err" >"$work/got"
receiver=$pid
started send msg --lines <"$work/fifo" 2>"$work/err2" 7>&-
sender=$pid
echo first >&7
until_true size_is "$work/got" 6
kill -9 $receiver
ended $sender
check death_of_the_consumer_ends_an_idle_send_at_once both $status 4 $took $((2000 * slow))
cp "$work/err2" "$err"
check death_of_the_consumer_is_said says 'has gone'

started recv msg >"$work/got" 2>"$err"
receiver=$pid
started recv msg >"$out" 2>/dev/null
other=$pid
started send msg --lines --wait 2 <"$work/fifo" 7>&-
sender=$pid
echo first >&7
until_true size_is "$out" 6
kill -9 $other
until_true consumers_are msg 1
echo second >&7
until_true size_is "$work/got" 13
kill -TERM $sender
ended $receiver
check death_of_another_consumer_is_not_the_producers [ $status -eq 0 ]
ended $sender

# ---- signals

started recv msg >"$out" 2>"$err"
until_true consumers_are msg 1
kill -TERM $pid
ended $pid
check sigterm_ends_recv_with_143 [ $status -eq 143 ]
env --default-signal=INT "$krepis" recv msg >"$out" 2>"$err" &
pid=$!
until_true consumers_are msg 1
kill -INT $pid
ended $pid
check sigint_ends_recv_with_130 [ $status -eq 130 ]
run ls --json
check signals_detach_and_are_no_deaths python3 -c "import json
c = [c for c in json.load(open('$out'))['channels'] if c['name'] == 'msg'][0]
assert c['consumers'] == 0 and c['deaths'] == 3, c"
started send msg --lines <"$work/fifo" 7>&- 2>"$err"
until_true producer_is_there msg
kill -TERM $pid
ended $pid
check sigterm_ends_a_waiting_send_with_143 [ $status -eq 143 ]

# ---- backpressure and the triple

run create small --ring 4K --inline 64 --buffers 0 --backpressure overwrite --consumers 1
started recv small --json >"$work/got"
until_true consumers_are small 1
exits all_slots_taken_fails 1 recv small
check all_slots_taken_says_how_to_have_more says '--consumers'
kill -STOP $pid
seq 1 5000 | timeout $((20 * slow)) "$krepis" send small --lines >"$out" 2>"$err"
status=$?
check overwrite_never_waits [ $status -eq 0 ]
kill -CONT $pid
ended $pid
check overwritten_messages_are_counted python3 -c "import json
m = [json.loads(line) for line in open('$work/got')]
lost = sum(x.get('lost', 0) for x in m)
assert lost > 0 and lost + sum('text' in x for x in m) == 5000, lost
assert m[-1]['text'] == '5000'"

run create full --ring 4K --inline 64 --buffers 0 --backpressure fail
started recv full >"$work/got"
until_true consumers_are full 1
kill -STOP $pid
seq 1 5000 | timeout $((20 * slow)) "$krepis" send full --lines >"$out" 2>"$err"
status=$?
check full_channel_fails_and_says_so eval '[ $status -eq 1 ] && says "is full after"'
kill -CONT $pid
ended $pid

started recv pos --count 1 >"$work/got"
run send pos 'latest'
ended $pid
check triple_carries_the_latest_value eval '[ $status -eq 0 ] && [ "$(cat "$work/got")" = latest ]'

# ---- cat

# through NAME FILE FIRST: FILE through a pipe and a channel; FIRST is who starts
through() {
	if [ "$3" = receiver ]; then
		started cat --from "$1" >"$work/got" 2>"$err"
		receiver=$pid
		until_true consumers_are "$1" 1
		started cat --to "$1" 2>>"$err" < <(cat "$2")
		sender=$pid
	else
		started cat --to "$1" 2>"$err" < <(cat "$2")
		sender=$pid
		until_true producer_is_there "$1"
		started cat --from "$1" >"$work/got" 2>>"$err"
		receiver=$pid
	fi
	ended $sender
	sent=$status
	ended $receiver
	[ "$sent" -eq 0 ] && [ $status -eq 0 ] && [ "$(sum_of "$work/got")" = "$(sum_of "$2")" ] &&
		no_channel "$1"
}

: >"$work/zero"
printf x >"$work/one"
head -c $large /dev/urandom >"$work/large"
for first in receiver sender; do
	check "cat_of_0_bytes_${first}_first" through s "$work/zero" $first
	check "cat_of_1_byte_${first}_first" through s "$work/one" $first
	check "cat_of_many_MB_${first}_first" through s "$work/large" $first
done

started cat --from s >"$work/got" 2>"$err"
receiver=$pid
started cat --from s >"$work/got2" 2>>"$err"
timeout $((20 * slow)) "$krepis" cat --to s --wait 2 <"$work/blob" 2>>"$err"
ended $receiver
ended $pid
check cat_to_two_receivers eval 'cmp -s "$work/blob" "$work/got" && cmp -s "$work/blob" "$work/got2"'

run create kept
check cat_keeps_what_create_made eval '! through kept "$work/blob" receiver; ! no_channel kept'
check cat_through_a_made_channel_is_exact cmp -s "$work/blob" "$work/got"
if [ $kmod ]; then
	for how in enforced exclusive; do
		exits "create_${how}_makes_a_channel" 0 create guarded --$how --json
		check "create_${how}_says_what_holds" grep -q '"guarantee":"enforced"' "$out"
		through guarded "$work/blob" receiver
		check "cat_through_an_${how}_channel_is_exact" cmp -s "$work/blob" "$work/got"
		run rm guarded
	done
else
	exits enforced_needs_the_module 1 create guarded --enforced
	check enforced_without_the_module_says_what_to_type says 'krepis doctor'
	check enforced_without_the_module_makes_nothing no_channel guarded
fi
exits exclusive_has_one_consumer 2 create guarded --exclusive --consumers 2
check ls_says_what_holds_of_cooperative_channels eval '"$krepis" ls | grep -q "cooperative.*kept$"'

started cat --from s >"$work/got" 2>"$err"
receiver=$pid
started cat --to s <"$work/fifo" 2>"$work/err2" 7>&-
sender=$pid
head -c 10000000 "$work/large" >&7
until_true size_is "$work/got" 10000000
exits cat_into_a_running_stream_fails 1 cat --to s
started cat --from s >"$out" 2>"$work/err3"
late=$pid
until_true consumers_are s 2
head -c 100000 "$work/large" >&7
ended $late
check cat_from_a_running_stream_fails eval '[ $status -eq 1 ] && grep -q "beginning has passed" "$work/err3"'
until_true size_is "$work/got" 10100000
kill -9 $sender
ended $receiver
check death_of_the_sender_ends_cat_at_once both $status 4 $took $((2000 * slow))
until_true says died
check death_of_the_sender_says_what_arrived says '10100000 bytes that arrived'
check death_of_the_sender_leaves_no_channel no_channel s

started cat --from s >"$out" 2>"$err"
receiver=$pid
started cat --to s <"$work/fifo" 2>"$work/err2" 7>&-
sender=$pid
echo first >&7
until_true size_is "$out" 6
kill -TERM $sender
ended $sender
check sigterm_ends_cat_with_143 [ $status -eq 143 ]
ended $receiver
check stopped_sender_is_not_the_end_of_the_stream eval '[ $status -eq 4 ] && says "left before the end"'

for kind in busy idle; do
	started cat --from s >/dev/null 2>"$work/err3"
	receiver=$pid
	until_true consumers_are s 1
	if [ $kind = busy ]; then
		started cat --to s </dev/zero 2>"$err"
	else
		started cat --to s <"$work/fifo" 2>"$err" 7>&-
	fi
	sender=$pid
	until_true has_sent s
	kill -9 $receiver
	ended $sender
	check "death_of_the_receiver_ends_a_${kind}_cat_at_once" both $status 4 $took $((2000 * slow))
	check "death_of_the_receiver_is_said_by_a_${kind}_cat" says 'receiver of .s. died'
	check "death_of_the_receiver_of_a_${kind}_cat_leaves_no_channel" no_channel s
done

started cat --to s <"$work/large" 2>"$work/err2"
"$krepis" cat --from s 2>"$err" | head -c 10 >"$out"
status=${PIPESTATUS[0]}
check closed_pipe_ends_the_receiver eval '[ $status -eq 1 ] && says "standard output"'
ended $pid
check receiver_that_leaves_ends_the_sender [ $status -eq 4 ]

exits cat_to_times_out 5 cat --to s --timeout 0.1
exits cat_from_times_out 5 cat --from s --timeout 0.1
run create narrow --buffers 0
exits cat_through_a_channel_without_buffers_fails 1 cat --to narrow

# ---- doctor and demo

run doctor
check doctor_tells_what_to_expect eval '[ $status -eq 0 ] || [ $status -eq 3 ]'
module='no kernel module yet' backend=shm
[ ! -d /sys/module/krepis ] || module='the module is loaded'
[ ! $kmod ] || backend=kmod
check doctor_knows_whether_the_module_is_there grep -q "kmod .*$module" "$out"
check doctor_names_the_backend_of_the_directory grep -q "^Backend: $backend " "$out"
before=$status
# In the virtual machine, where /sys is nobody's.
if [ $kmod ]; then
	for version in 0.0.9:module 9.0.0:library; do
		echo ${version%:*} >"$work/version"
		mount --bind "$work/version" /sys/module/krepis/version
		run doctor
		umount /sys/module/krepis/version
		check "doctor_says_that_the_${version#*:}_is_older" \
			eval "[ $status -eq 3 ] && grep -q 'kmod .*krepis ${version%:*},.*the ${version#*:} is older' '$out'"
	done
fi
run doctor --json
check doctor_json_is_json is_json "$out"
check doctor_json_agrees [ $status -eq $before ]
KREPIS_DIR=/proc run doctor
check doctor_without_tmpfs_is_3_and_says_what_to_set \
	eval '[ $status -eq 3 ] && grep -q "export KREPIS_DIR" "$out"'

mkdir "$work/files"
cp "$work/zero" "$work/one" "$work/blob" "$work/files"
demo_holds() {
	run demo --path "$work/files" --json
	check demo_of_a_directory_holds [ $status -eq 0 ]
	check demo_json_is_json is_json "$out"
	check demo_json_says_that_nothing_was_wrong python3 -c "import json
d = json.load(open('$out'))
assert d['ok'] and d['files']['count'] == 3 and d['sha256']['wrong'] == 0
assert d['triple']['torn'] == 0 and d['triple']['shown'] > 0
assert len(d['ways']) == 4 and all(w['mb_per_s'] > 0 for w in d['ways'])"
}
# It measures for minutes what pipes and sockets do under an emulator.
[ $slow != 1 ] || demo_holds
( while :; do head -c 65536 /dev/urandom | dd of="$work/files/moving" conv=notrunc status=none
done ) 2>/dev/null &
writer=$!
until_true size_is "$work/files/moving" 65536
run demo --path "$work/files" --no-grid
kill $writer
wait $writer 2>/dev/null
check demo_fails_with_the_name_of_a_file_that_differs eval '[ $status -eq 1 ] && says files/moving'
mkdir "$work/none"
exits demo_of_no_files_fails 1 demo --path "$work/none"

# ---- bench

bench_holds() {
	run bench --rounds 1 --json "$work/bench.json"
	check bench_measures [ $status -eq 0 ]
	check bench_shows_each_scenario eval 'for s in S1 S2 S4 S5; do grep -q "^$s  " "$out" || exit 1; done'
	check bench_records_are_there python3 -c "import json
d = json.load(open('$work/bench.json'))
assert {r['id'].split('/')[0] for r in d} == {'S1', 'S2', 'S4', 'S5'}
assert all(r['value'] > 0 for r in d if r['metric'] in ('p50', 'rate', 'time'))
assert {'pipe', 'unix', 'raw', 'futex'} <= {r['peer'] for r in d}"
}
# An emulator is no place for it, nor is one processor.
[ $slow != 1 ] || [ "$(nproc)" -lt 2 ] || bench_holds
exits bench_of_no_rounds_is_usage 2 bench --rounds 0
exits bench_of_one_processor_is_usage 2 bench --cpus 0,0
exits bench_of_processors_that_are_not_there_is_usage 2 bench --cpus 0,99999
exits bench_takes_no_operand 2 bench now

run ls --json
check nothing_stays_attached python3 -c "import json
for c in json.load(open('$out'))['channels']:
    assert not c['producer'] and not c['consumers'], c"

done_with_it
