#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Drives krepis run and krepis policy, as a person would: TAP, one line a behaviour.
# usage: tests/tools/run_sandbox.sh [KREPIS]. What is refused before anything is done is tested
# everywhere; what the kernel enforces, in the virtual machine alone, as root.

# shellcheck disable=SC2016	# eval in check() expands them
. "$(dirname "$0")/frame.sh"
krepis=$(realpath -- "${1:-build/krepis}")
[ -x "$krepis" ] || { echo "Bail out! no command at $krepis"; exit 1; }

in_directory "${TMPDIR:-/tmp}/krepis-sandbox.XXXXXX"
chmod 755 "$work"

# shellcheck disable=SC2317
finish() {
	jobs -p | xargs -r kill -9
	wait
	rm -rf "$work"
} 2>/dev/null
trap finish EXIT

# ---- helpers

# run ARGS...: krepis run, with its streams in $out and $err and its result in $status
run() {
	timeout -k 1 $((20 * slow)) "$krepis" run "$@" >"$out" 2>"$err" </dev/null
	status=$?
}

# policy ARGS...: krepis policy, in the same way, with the standard input
policy() {
	timeout -k 1 $((20 * slow)) "$krepis" policy "$@" >"$out" 2>"$err"
	status=$?
}

# exits NAME STATUS ARGS...: krepis run
exits() {
	local name=$1 expected=$2
	shift 2
	run "$@"
	check "$name" [ "$status" -eq "$expected" ]
}

says() { grep -qF -- "$1" "$err"; }
says_nothing() { [ ! -s "$err" ]; }
is_json() { python3 -m json.tool "$1" >/dev/null; }
has_domain() { "$krepis" policy ls --json 2>/dev/null | grep -q "\"name\":\"$1\""; }
no_domain() { ! has_domain "$1"; }

if "$krepis" run --help | grep -q 'was built without the sandbox'; then
	exits without_the_library_run_is_not_available 3 true
	check without_the_library_it_says_what_was_missing says 'packages were missing: '
	policy ls
	check without_the_library_policy_is_not_available [ $status -eq 3 ]
	done_with_it
fi

# ---- what is refused before anything is done: each varies one input

# refused NAME STATUS TEXT OPTION...: of krepis run; the command is not executed
refused() {
	local name=$1 expected=$2 text=$3
	shift 3
	run "$@" touch "$work/ran"
	check "$name" eval '[ $status -eq $expected ] && says "$text" && [ ! -e "$work/ran" ]'
}

exits without_a_command_is_a_usage_error 2 --allow-read
check without_a_command_it_says_so says 'needs a COMMAND'
refused unknown_sentence 2 "'--allow-frob=x'" --allow-frob=x
refused empty_object 2 'an object is empty' --allow-read=
refused empty_object_in_a_list 2 'an object is empty' --allow-read=/usr,,/etc
refused unknown_system_word 2 'allow-sys=frob' --allow-sys=frob
refused port_beyond_the_last 2 'allow-net=:65536' --allow-net=:65536
refused channel_without_a_role 2 'allow-channel=/run/x' --allow-channel=/run/x
refused variable_with_a_star_inside 2 'allow-env=A*B' '--allow-env=A*B'
refused bad_object_of_a_denial 2 'deny-sys=frob' --deny-sys=frob
refused all_takes_no_object 2 'takes no value' --allow-all=x
refused policy_that_is_not_there 3 "$work/none" --policy "$work/none"
echo '{' >"$work/bad"
refused policy_that_is_no_json 1 "$work/bad" --policy "$work/bad"
echo '{"allow": {"fly": true}}' >"$work/bad"
refused policy_with_an_unknown_word 1 'unknown key' --policy "$work/bad"
echo '{"allow": {"sys": ["frob"]}}' >"$work/bad"
refused policy_with_a_bad_object 1 frob --policy "$work/bad"
refused time_that_is_no_number 2 "'soon' is not a number" --timeout soon
refused memory_that_is_no_size 2 "'4Q' is not a size" --memory-max 4Q
refused no_memory_at_all 2 'could not even start' --memory-max 0
refused processes_that_are_no_number 2 "'few' is not a number" --pids-max few
refused no_process_at_all 2 'could not even start' --pids-max 0
refused unknown_user 2 'no such user' --user krepis-nobody-has-this
refused unknown_number_without_a_group 2 'needs a group' --user 3999999
refused group_that_is_no_number 2 'is not a number' --user 0:root
refused learning_without_complaining 2 'needs --complain' --learn "$work/learned"
refused complaining_with_best_effort 2 'exclude each other' --complain --best-effort
refused name_with_a_slash 2 'a name has' --name a/b
refused name_without_a_letter 2 'a name has' --name=
refused name_that_is_too_long 2 'a name has' --name "$(printf %064d 0)"
check nothing_was_learned_then [ ! -e "$work/learned" ]
exits unknown_command_is_127 127 krepis-nobody-has-this
check unknown_command_says_where_it_looked says 'no program of this name in PATH'
exits path_that_is_not_there_is_127 127 "$work/none"
: >"$work/data"
exits file_that_is_no_program_is_126 126 "$work/data"
exits directory_is_126 126 --allow-read "$work"
check directory_says_what_may_be_meant says "--allow-read=$work"

# policy_refused NAME TEXT ARGS...: a usage error of krepis policy
policy_refused() {
	local name=$1 text=$2
	shift 2
	policy "$@"
	check "$name" eval '[ $status -eq 2 ] && says "$text"'
}

policy_refused policy_without_a_verb 'needs one of'
policy_refused policy_with_an_unknown_verb "no 'frob'" frob
policy_refused policy_of_no_domain 'the NAME of a domain' show
policy_refused policy_of_two_domains 'the NAME of a domain' show a b
policy_refused policy_set_without_a_file 'and a FILE' set a
policy_refused policy_allow_of_nothing 'at least one' allow a
policy_refused policy_show_with_a_sentence 'takes no --allow' show a --allow-read
policy_refused policy_show_as_json 'takes no --json' show a --json
policy_refused policy_allow_of_an_empty_object 'object is empty' allow a --allow-read=

[ -n "${KREPIS_VM:-}" ] || done_with_it

# ---- where it is not available

nobody="setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs"
system=--allow-read=/usr,/lib,/lib64,/etc/ld.so.cache
echo secret >"$work/secret"
echo public >"$work/public"

umount /sys/fs/bpf
exits without_a_bpf_file_system_is_3 3 $system cat "$work/public"
check without_a_bpf_file_system_it_says_what_to_type says '/sys/fs/bpf'
check without_it_best_effort_is_suggested says --best-effort
mount -t bpf bpf /sys/fs/bpf

run_as_nobody() {
	timeout -k 1 $((20 * slow)) $nobody "$krepis" run "$@" >"$out" 2>"$err" </dev/null
	status=$?
}
run_as_nobody $system cat "$work/public"
check without_capabilities_is_3_and_best_effort_is_suggested eval '[ $status -eq 3 ] && says --best-effort'
run_as_nobody --best-effort $system,"$work/public" cat "$work/public"
check best_effort_allows eval '[ $status -eq 0 ] && prints public'
check best_effort_says_what_is_not_enforced says 'krepis run: not enforced: '
run_as_nobody --best-effort $system cat "$work/secret"
check best_effort_denies eval '[ $status -eq 1 ] && prints "" && says "Permission denied"'
run_as_nobody --best-effort --complain true
check best_effort_cannot_complain [ $status -eq 2 ]

# ---- what is allowed, and what is told of the rest

exits allowed_is_read 0 $system,"$work/public" cat "$work/public"
check allowed_needs_no_word eval 'prints public && says_nothing'
exits not_allowed_is_denied 1 $system cat "$work/secret"
check denied_is_told_with_the_option eval \
	'grep -qE "krepis run: cat \(pid [0-9]+\) was denied to read $work/secret: allow with --allow-read=$work/secret\$" "$err"'
exits denied_wins 1 $system,"$work" --deny-read="$work/secret" cat "$work/public" "$work/secret"
check denied_wins_for_that_alone prints public
exits quiet_is_quiet 1 --quiet $system cat "$work/secret"
check quiet_leaves_the_commands_own_words eval '! says "krepis run" && says "Permission denied"'
exits not_allowed_is_not_executed 126 $system sh -c ls
check not_executed_is_told says "was denied to execute $(realpath /bin/ls): allow with --allow-exec="

# What is told can be typed, whatever the name.
odd="$work/a, b'c\\ \$d"
echo odd >"$odd"
run $system cat "$odd"
flag=$(sed -n 's/.*: allow with //p' "$err")
eval "run $system $flag cat \"\$odd\""
check the_hint_of_an_odd_name_is_what_allows_it eval '[ $status -eq 0 ] && prints odd'

# A terminal obeys nothing that a command gave a name to.
obeyed=$'\e[2K\xc2\x9b2K\rkrepis run:\b\n'
no_controls() { ! LC_ALL=C grep -qP '[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]' "$@"; }
echo obeyed >"$work/$obeyed"
cp /bin/grep "$work/$obeyed grep"
run $system,"$work" cat "$work/$obeyed"
check name_with_controls_is_a_name prints obeyed
run $system --audit="$work/controls" "$work/$obeyed grep" -qs obeyed "$work/$obeyed"
check hint_of_names_with_controls_has_none eval \
	'says "krepis run: \\x1b[2K" && says "was denied to read $work/\\x1b[2K" && no_controls "$err"'
run "$work/none$obeyed"
check message_of_a_name_with_controls_has_none eval 'says "none\\x1b[2K" && no_controls "$err"'
check audit_of_names_with_controls_has_none eval \
	'grep -q "$work/.u001b.2K" "$work/controls" && no_controls "$work/controls"'
check audit_of_names_with_lines_in_them_is_a_line_each python3 -c \
	"import json; [json.loads(line)['object'] for line in open('$work/controls')]"

for i in {1..25}; do : >"$work/many$i"; done
run $system cat "$work"/many* "$work"/many*
check ten_hints_are_shown [ "$(grep -c 'allow with' "$err")" -eq 10 ]
check the_others_are_counted says 'and 15 more'

# ---- the environment and what is inherited

FOO=1 BAR=2 run $system env
check nothing_passes_but_a_path prints 'PATH=/usr/local/bin:/usr/bin:/bin'
FOO=1 FOOD=2 BAR=3 run $system '--allow-env=FOO*' --deny-env=FOOD env
check named_variables_pass eval '[ "$(sort "$out")" = "FOO=1
PATH=/usr/local/bin:/usr/bin:/bin" ]'
FOO=1 BAR=2 run --allow-all --deny-env=FOO env
check denied_variable_does_not_pass_whatever_is_allowed eval '! grep -q ^FOO "$out" && grep -q ^BAR "$out"'
echo 'echo gained' >"$work/startup"
BASH_ENV=$work/startup run $system,"$work/startup" bash -c 'echo run'
check variable_that_runs_code_does_not_pass prints run
BASH_ENV=$work/startup run $system,"$work/startup" --allow-env=BASH_ENV bash -c 'echo run'
check variable_that_runs_code_passes_if_it_is_named prints 'gained
run'
PATH=/usr/bin:/bin:/opt run $system --allow-env=PATH env
check path_passes_if_it_is_named prints 'PATH=/usr/bin:/bin:/opt'
run $system,"$work/public" sh -c 'cat <&9' 9<"$work/public"
check no_other_descriptor_is_inherited eval '[ $status -ne 0 ] && prints ""'
run $system,"$work/public" --chdir=/proc/self/fd/9 sh -c 'read -r a <public
	echo "$a"; read -r a <secret' 9<"$work"
check descriptor_as_the_first_directory_gives_no_right eval 'prints public && says "denied to read $work/secret"'
run $system,"$work" --chdir=/proc/self/fd/9 cat secret 9<"$work"
check descriptor_as_the_first_directory_takes_no_right prints secret
timeout 60 "$krepis" run --quiet $system,/proc --allow-write="$work" --allow-exec=/usr \
	--audit="$work/closed" sh -c 'ls -l /proc/self/fd >"$1"' sh "$work/fds" <&- >&- 2>&-
check descriptors_that_were_closed_are_not_those_of_the_launcher eval \
	'[ -s "$work/fds" ] && ! grep -qE "bpf|anon|pipe|closed|cgroup" "$work/fds"'
run $system sh -c 'echo "$@"' sh --allow-read --deny-all --audit=x
check options_behind_the_command_are_the_commands prints '--allow-read --deny-all --audit=x'
run $system --allow-read=/proc grep -E '^(NoNewPrivs|SigBlk|SigIgn)' /proc/self/status
check no_new_privileges_and_no_signals_blocked eval 'tr -d "\t" <"$out" | grep -q NoNewPrivs:1 &&
	grep -q "SigBlk:.0*$" "$out"'
exits chdir_is_where_it_starts 0 $system --chdir "$work" sh -c pwd
check chdir_is_told prints "$work"
exits chdir_to_nowhere_is_3 3 $system --chdir "$work/none" sh -c pwd
exits user_is_dropped_to 0 $system --allow-read=/etc --user=65534:65534 id
check user_has_no_group_but_its_own grep -q 'uid=65534.*gid=65534[^ ]* groups=65534[^,]*$' "$out"
run $system --allow-read=/proc --user=nobody grep -E '^Cap(Prm|Eff|Inh|Amb)' /proc/self/status
check user_has_no_capabilities eval '[ "$(grep -c "	0000000000000000$" "$out")" -eq 4 ]'

cat >"$work/script" <<-'END'
	#!/bin/sh
	echo "script $1"
END
chmod 755 "$work/script"
mkdir "$work/path"
cp /bin/true "$work/path/ls"
run $system,"$work/path" --allow-exec="$(realpath /bin/ls)" sh -c 'ls --version; PATH=$1:$PATH; ls' sh "$work/path"
check program_of_the_same_name_is_another_one eval \
	'grep -q coreutils "$out" && says "denied to execute $work/path/ls"'

# A program that names as its loader what it would like to read.
names_loader() {
	python3 -c 'import struct, sys
path = sys.argv[2].encode() + b"\0"
head = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 2, 62, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
part = struct.pack("<IIQQQQQQ", 3, 4, 120, 0, 0, len(path), len(path), 1)
open(sys.argv[1], "wb").write(head + part + path)' "$work/names" "$1"
	chmod 755 "$work/names"
	run --keep --name names "$work/names"
	policy show names
	"$krepis" policy rm names
}
cp -p "$(realpath /lib64/ld-linux-x86-64.so.2)" "$work/loader"
names_loader "$work/loader"
check loader_of_a_program_is_granted grep -qF "\"$work/loader\"" "$out"
names_loader "$work/secret"
check loader_that_is_none_is_not_granted eval 'is_json "$out" && ! grep -qF "\"$work/secret\"" "$out"'
names_loader /
check loader_that_is_a_directory_is_not_granted eval 'is_json "$out" && ! grep -qF "\"/\"" "$out"'

exits script_is_run_by_its_interpreter 0 $system "$work/script" word
check script_has_its_arguments prints 'script word'
(cd "$work" && PATH=.:$PATH exec timeout 20 "$krepis" run $system --chdir=/ script word) >"$out" 2>"$err"
check command_is_found_from_here_though_it_starts_elsewhere prints 'script word'

# ---- how it ends

exits status_is_the_commands 7 $system sh -c 'exit 7'
exits signal_is_128_and_its_number 137 $system sh -c 'kill -9 $$'
exits path_that_does_not_exist_is_3 3 $system,"$work/none" true
check path_that_does_not_exist_is_named says "$work/none"

run $system --allow-exec=/usr --timeout 0.5 sh -c 'sleep 71 & sleep 72'
check timeout_is_5 [ $status -eq 5 ]
check timeout_is_told says "'sh' was stopped"
check timeout_ends_all_of_them eval '! pgrep -f "^sleep 7[12]" >/dev/null'
begin=${EPOCHREALTIME/./}
run $system --allow-exec=/usr --timeout 0.3 sh -c 'trap "" TERM; sleep 73; sleep 74'
took=$(((${EPOCHREALTIME/./} - begin) / 1000))
check timeout_kills_who_does_not_listen eval '[ $status -eq 5 ] && [ $took -ge 2300 ] && [ $took -lt $((9000 * slow)) ]'
run --quiet $system --timeout 1 python3 -c 'while True:
	try: open("/etc/shadow")
	except OSError: pass'
check timeout_comes_though_denials_come_faster_than_they_are_told eval '[ $status -eq 5 ]'
exits who_is_done_in_time_is_not_stopped 4 $system --timeout 30 sh -c 'exit 4'

"$krepis" run --name sig $system,"$work" --allow-write="$work" --allow-exec=/usr sh -c \
	'trap "echo told; exit 9" USR1; echo >"$1"; while :; do sleep 0.05; done' sh "$work/started" \
	>"$out" 2>"$err" &
until_true [ -e "$work/started" ]
kill -USR1 $!
wait $!
status=$?
check signals_are_passed_on eval '[ $status -eq 9 ] && prints told'
check domain_is_gone_afterwards no_domain sig

# ---- control groups

exits memory_is_limited 137 $system --memory-max=30M python3 -c 'x = b"x" * 200000000'
check limit_of_memory_is_told says --memory-max
exits pids_are_limited 2 $system --allow-exec=/usr --pids-max=2 sh -c 'sleep 1 & sleep 1 & sleep 1 & wait'
run $system --allow-exec=/usr --pids-max=20 --timeout=0.3 setsid -w sh -c 'sleep 81 & setsid sleep 82'
check timeout_ends_the_whole_control_group eval '[ $status -eq 5 ] && ! pgrep -f "^sleep 8[12]" >/dev/null'
run $system --allow-exec=/usr --pids-max=20 setsid -f sleep 83
check who_is_left_in_the_control_group_is_killed eval '! pgrep -f "^sleep 83" >/dev/null'
check control_groups_are_removed eval '! ls -d /sys/fs/cgroup/krepis-run-* 2>/dev/null'
mount -o remount,ro /sys/fs/cgroup
exits control_groups_that_cannot_be_made_are_3 3 $system --pids-max=5 touch "$work/ran"
check control_groups_that_cannot_be_made_say_so eval 'says "cannot make the control group" && [ ! -e "$work/ran" ]'
mount -o remount,rw /sys/fs/cgroup

# ---- audit

run $system --audit="$work/audit" sh -c 'cat </etc/shadow; echo >"$1/new"; ls' sh "$work"
check audit_lines_are_json_and_complete python3 -c "import json, re
lines = [json.loads(line) for line in open('$work/audit')]
assert len(lines) >= 3, lines
for d in lines:
    assert set(d) == {'time', 'pid', 'comm', 'what', 'object', 'verdict', 'flag'}, d
    assert re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z', d['time']), d
    assert d['verdict'] == 'denied' and d['comm'] == 'sh' and d['pid'] > 0, d
assert any(d['object'] == '/etc/shadow' and d['flag'] == '--allow-read=/etc/shadow' for d in lines), lines
assert any(d['what'].startswith('create') and d['flag'] == '--allow-write=$work' for d in lines), lines"
before=$(wc -l <"$work/audit")
run $system --audit="$work/audit" cat /etc/shadow
check audit_is_appended_to [ "$(wc -l <"$work/audit")" -gt "$before" ]
run --quiet $system --audit=- cat /etc/shadow
check audit_to_standard_error grep -q '{"time":".*"/etc/shadow"' "$err"
refused audit_file_that_cannot_be_written 1 'cannot write' $system --audit="$work/none/audit"

# ---- learning

mkdir "$work/in" "$work/made"
for i in {1..30}; do echo $i >"$work/in/$i"; done
echo '{"allow": {"env": ["LEARNED"]}}' >"$work/given"
learn=(sh -c 'cat "$1"/in/* >"$1/made/all" && cp "$1/public" "$1/made/copy" && rm "$1/made/copy" &&
	ls /usr/lib >/dev/null && python3 -c "import json, socket, ctypes, decimal
s = socket.socket(); s.bind((\"127.0.0.1\", 4567)); s.listen(); s.close()"' sh "$work")
run --complain --policy "$work/given" --audit "$work/learning" --learn "$work/learned" "${learn[@]}"
check complaining_denies_nothing eval '[ $status -eq 0 ] && [ -s "$work/made/all" ]'
check what_only_was_complained_of_is_called_allowed eval \
	'grep -q "\"allowed\"" "$work/learning" && ! grep -q "\"denied\"" "$work/learning"'
check learned_policy_is_sensible python3 -c "import json
p = json.load(open('$work/learned'))['allow']
assert '$work/in' in p['read'], p
assert p['write'] == ['$work/made'], p
assert p['env'] == ['LEARNED'], p
assert p['net'] == ['bind:127.0.0.1:4567'], p
assert not {'/', '/usr', '/etc', '/proc', '/dev'} & set(p['read'] + p['exec']), p
assert '$(realpath /bin/ls)' in p['exec'] and not [x for x in p['exec'] if 'decimal' in x], p"
rm -f "$work/made/all"
exits learned_policy_is_enough 0 --policy "$work/learned" "${learn[@]}"
check learned_policy_leaves_nothing_to_say says_nothing
exits learned_policy_is_not_too_much 1 --policy "$work/learned" --allow-read="$work/public" cat "$work/secret"
run --complain cat "$work/public"
sed -n '/^{/,$p' "$err" >"$work/learned"
check without_a_file_it_is_on_standard_error eval 'is_json "$work/learned" && grep -q "$work/public" "$work/learned"'

# ---- live domains

# Reads what it is to do from a pipe, and says whether it could.
mkfifo "$work/orders"
"$krepis" run --quiet --name live $system,"$work/public" sh -c \
	'while read -r file; do read -r line <"$file" && echo "$line" || echo denied; done' \
	<"$work/orders" >"$work/answers" 2>/dev/null &
live=$!
exec 8>"$work/orders"
asked=0
answers() {
	echo "$2" >&8
	asked=$((asked + 1))
	until_true eval '[ "$(wc -l <"$work/answers")" -ge $asked ]'
	[ "$(sed -n ${asked}p "$work/answers")" = "$1" ]
}
check live_domain_allows answers public "$work/public"
check live_domain_denies answers denied "$work/secret"
policy ls
check ls_shows_it grep -qE '^enforce +[1-9][0-9]* +0  live$' "$out"
policy ls --json
check ls_json_is_json eval 'is_json "$out" && grep -q "{\"name\":\"live\",\"id\":[0-9]*,\"complain\":false,\"denials\":" "$out"'
policy allow live --allow-read="$work/secret"
check allowed_while_it_lives eval '[ $status -eq 0 ] && answers secret "$work/secret"'
policy show live
check show_has_the_sentence eval 'is_json "$out" && grep -qF "$work/secret" "$out"'
cp "$out" "$work/shown"
policy revoke live --allow-read="$work/secret"
check revoked_while_it_lives eval '[ $status -eq 0 ] && answers denied "$work/secret"'
policy revoke live --allow-read="$work/public" --allow-read="$work/secret"
check revoke_of_what_is_not_there_is_3 eval '[ $status -eq 3 ] && says "is no sentence of its policy"'
check and_changes_nothing answers public "$work/public"
policy set live "$work/shown"
check set_while_it_lives eval '[ $status -eq 0 ] && answers secret "$work/secret"'
policy set live - <<<'{"allow": {"read": ["'"$work"'/public"]}}'
check set_from_standard_input eval '[ $status -eq 0 ] && answers denied "$work/secret"'
policy set live - <<<'{"allow": {"read": ["/nowhere/at/all"]}}'
check set_of_a_path_that_does_not_exist_fails eval '[ $status -eq 3 ] && answers public "$work/public"'
policy set live - <<<'{'
check set_of_no_json_fails eval '[ $status -eq 1 ] && answers public "$work/public"'
exits second_domain_of_a_name_fails 1 --name live $system true
check second_domain_of_a_name_says_what_to_do says live
policy unload
check unload_is_refused_while_there_are_domains [ $status -eq 1 ]
policy rm live
check rm_takes_all eval '[ $status -eq 0 ] && answers denied "$work/public"'
exec 8>&-
wait $live
policy rm live
check rm_of_no_domain_is_3 eval '[ $status -eq 3 ] && says "krepis policy ls"'
policy show none
check show_of_no_domain_is_3 [ $status -eq 3 ]

exits keep_ends_as_ever 3 --keep --name kept $system sh -c 'exit 3'
check keep_keeps_the_domain has_domain kept
policy rm kept
check kept_domain_is_removed_by_hand no_domain kept

# ---- several at once

for i in {1..8}; do
	echo "mine $i" >"$work/own$i"
	(
		timeout 60 "$krepis" run --quiet $system,"$work/own$i" --allow-exec=/usr sh -c \
			'for n in 1 2 3 4 5 6 7 8; do cat "$1$n"; done' sh "$work/own" >"$work/got$i" 2>/dev/null
	) &
done
wait
one_each() {
	local i
	for i in {1..8}; do
		[ "$(cat "$work/got$i")" = "mine $i" ] || { echo "# $i got $(cat "$work/got$i")"; return 1; }
	done
}
check several_at_once_have_each_their_own one_each
policy ls
check nothing_is_left_of_them eval 'prints "" && says "no domains"'

# ---- killed

"$krepis" run --name killed $system sleep 60 2>/dev/null &
victim=$!
until_true pgrep -f '^sleep 60' >/dev/null
kill -9 $victim
wait $victim 2>/dev/null
# KREPIS_DOMAIN_TRANSIENT_S
sleep 11
run --quiet $system true
check domain_of_who_is_left_behind_stays has_domain killed
pkill -9 -f '^sleep 60'
# The kernel forgets credentials a little later.
goes_with_the_next_run() { run --quiet $system true; no_domain killed; }
check domain_where_nobody_is_goes_with_the_next_run until_true goes_with_the_next_run
policy unload
check unload_takes_the_programs_out eval '[ $status -eq 0 ] && [ ! -e /sys/fs/bpf/krepis ]'
policy unload
check unload_twice_is_3 [ $status -eq 3 ]
policy load
check load_puts_them_there eval '[ $status -eq 0 ] && [ -e /sys/fs/bpf/krepis ]'
policy unload

done_with_it
