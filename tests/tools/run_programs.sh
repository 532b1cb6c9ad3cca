#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Programs that people run, under a policy that was learned from them: TAP, one line a
# behaviour. usage: tests/tools/run_programs.sh [KREPIS]. As root, in the virtual machine.
#
# Each runs three times: with --complain, which writes the policy down; with that policy,
# under which it has to do the same; and with the policy less what it worked on, under
# which it must not.
. "$(dirname "$0")/frame.sh"
krepis=$(realpath -- "${1:-build/krepis}")
[ -x "$krepis" ] || { echo "Bail out! no command at $krepis"; exit 1; }
# Not where the programs have their temporary files: those are allowed as a directory.
in_directory /run/krepis-programs.XXXXXX
server=''

# shellcheck disable=SC2317
finish() {
	[ -z "$server" ] || kill "$server" 2>/dev/null
	wait
	rm -rf "$work"
} 2>/dev/null
trap finish EXIT

# The policy $1 without the sentences on $2 and what is below it.
without() {
	python3 - "$1" "$2" <<-'END'
	import json, sys
	policy = json.load(open(sys.argv[1]))
	for what, objects in policy["allow"].items():
	    if objects is not True:
	        policy["allow"][what] = [o for o in objects
	            if o != sys.argv[2] and not o.startswith(sys.argv[2] + "/")]
	print(json.dumps({"allow": {w: o for w, o in policy["allow"].items() if o}}))
	END
}

# program NAME OBJECT RESULT COMMAND...: RESULT is evaluated, and true if it has worked
program() {
	local name=$1 object=$2 result=$3
	shift 3
	rm -f "$work"/*.err
	prepare
	"$krepis" run --complain --learn "$work/policy.json" --quiet -- "$@" \
		>"$work/out" 2>"$work/learn.err" </dev/null
	check "${name}_works_while_it_is_learned" eval "$result"
	prepare
	"$krepis" run --policy "$work/policy.json" -- "$@" >"$work/out" 2>"$work/enforce.err" </dev/null
	check "${name}_works_with_what_was_learned" eval "$result"
	without "$work/policy.json" "$object" >"$work/less.json"
	prepare
	"$krepis" run --policy "$work/less.json" --quiet -- "$@" >"$work/out" 2>"$work/less.err" </dev/null
	check "${name}_does_not_without_a_part_of_it" eval "! { $result; }"
}

prepare() { rm -rf "$work/made" "$work/out"; mkdir "$work/made"; }

data=$work/data
mkdir "$data"
seq 1000 >"$data/numbers"
git init -q "$data/repository"
cp "$data/numbers" "$data/repository/"
git -C "$data/repository" add numbers
git -C "$data/repository" -c user.name=n -c user.email=e commit -qm first
printf '#include <stdio.h>\nint main(void) { return puts("compiled") < 0; }\n' >"$data/hello.c"

# shellcheck disable=SC2016	# check() expands them
program a_pipeline "$data/numbers" '[ "$(cat "$work/out")" = 100 ]' \
	sh -c "sort -n $data/numbers | head -n 100 | wc -l"
program python "$data/numbers" '[ "$(cat "$work/out")" = 500500 ]' \
	/usr/bin/python3 -c "print(sum(map(int, open('$data/numbers'))))"
if [ -x /usr/bin/node ]; then
	program node "$data/numbers" '[ "$(cat "$work/out")" = 1000 ]' /usr/bin/node -e \
		"console.log(require('fs').readFileSync('$data/numbers', 'utf8').trim().split('\n').length)"
else
	echo "ok $((++count)) node # SKIP is not installed"
fi
program git "$data/repository" 'cmp -s "$data/numbers" "$work/made/clone/numbers"' \
	git -c safe.directory='*' clone -q "$data/repository" "$work/made/clone"
program gcc "$data/hello.c" '[ "$("$work/made/hello" 2>/dev/null)" = compiled ]' \
	gcc -o "$work/made/hello" "$data/hello.c"

# A server: it is asked from outside, and stopped.
cat >"$data/nginx.conf" <<END
daemon off;
master_process off;
user root;
pid $work/made/pid;
error_log stderr;
events { }
http {
	access_log off;
	client_body_temp_path $work/made/body;
	proxy_temp_path $work/made/proxy;
	fastcgi_temp_path $work/made/fastcgi;
	uwsgi_temp_path $work/made/uwsgi;
	scgi_temp_path $work/made/scgi;
	server { listen 127.0.0.1:8081; location / { root $data/site; } }
}
END
mkdir "$data/site"
echo served >"$data/site/index.html"
ip link set lo up 2>/dev/null

fetch() {
	/usr/bin/python3 -c 'import urllib.request as u; print(u.urlopen("http://127.0.0.1:8081/index.html", timeout=5).read().decode(), end="")' 2>/dev/null
}

# serve OPTION...: krepis run of it, until it was asked, or has ended
serve() {
	local i
	prepare
	: >"$work/out"
	"$krepis" run "$@" -- /usr/sbin/nginx -c "$data/nginx.conf" 2>"$work/serve.err" </dev/null &
	server=$!
	for ((i = 0; i < 100; i++)); do
		fetch >"$work/out" && break
		kill -0 "$server" 2>/dev/null || break
		sleep 0.2
	done
	kill -TERM "$server" 2>/dev/null
	wait "$server"
	server=''
}

if [ -x /usr/sbin/nginx ]; then
	serve --complain --learn "$work/policy.json" --quiet
	check nginx_serves_while_it_is_learned eval '[ "$(cat "$work/out")" = served ]'
	serve --policy "$work/policy.json"
	check nginx_serves_with_what_was_learned eval '[ "$(cat "$work/out")" = served ]'
	without "$work/policy.json" "$data/site" >"$work/less.json"
	serve --policy "$work/less.json" --quiet
	check nginx_does_not_serve_another_directory eval '[ "$(cat "$work/out")" != served ]'
	without "$work/policy.json" bind:127.0.0.1:8081 >"$work/less.json"
	serve --policy "$work/less.json" --quiet
	check nginx_does_not_listen_elsewhere eval '[ "$(cat "$work/out")" != served ]'
fi
done_with_it
