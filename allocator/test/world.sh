#!/bin/sh
# world.sh [--quick] [--keep DIR] FILE.so
#
# Run ordinary programs with FILE.so preloaded and compare what they print and how they end with
# the same commands without it. One line a program; last "N passed, N failed, N skipped".
# --keep DIR holds inputs and the outputs without preload, so that a series of libraries is
# compared with one and the same.
#
# That the library was really in place is proved for each program by the loader's own account of
# which file its malloc is bound to, and of every process that the command started.
# shellcheck disable=SC2016 # the quoted programs are other languages' text
set -u
export LC_ALL=C
quick=0 keep='' so=''

die()
{
	echo "world.sh: $*" >&2
	exit 2
}

while [ $# -gt 0 ]; do
	case $1 in
	--quick) quick=1 ;;
	--keep) [ $# -gt 1 ] || die "--keep needs a folder"; keep=$2; shift ;;
	-*) die "unknown option $1; usage: world.sh [--quick] [--keep DIR] FILE.so" ;;
	*) so=$1 ;;
	esac
	shift
done
[ -n "$so" ] || die "usage: world.sh [--quick] [--keep DIR] FILE.so"
[ -f "$so" ] || die "$so: no such file"
so=$(realpath "$so")
here=$(dirname "$(realpath "$0")")

tmp=$(mktemp -d) || die "no temporary folder"
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM
[ -n "$keep" ] || keep=$tmp/keep
keep=$keep/$quick
mkdir -p "$keep/expect" "$tmp/log" "$tmp/bind" || die "$keep cannot be written"
keep=$(realpath "$keep")

# Programs see one and the same environment with and without the library, and a folder of their own.
path=/usr/local/bin:/usr/bin:/bin
base_env="PATH=$path HOME=$tmp/home LC_ALL=C TMPDIR=$tmp GIT_CONFIG_NOSYSTEM=1 PYTHONMALLOC=malloc"
base_env="$base_env PYTHONDONTWRITEBYTECODE=1"
mkdir -p "$tmp/home"
export PATH=$path

if [ $quick = 1 ]; then
	rows=200000 commits=20 rounds=1 limit=60
else
	rows=1000000 commits=60 rounds=4 limit=180
fi

#
# Inputs
#

make_repository()
{
	[ -d "$keep/repo.git" ] && return
	rm -rf "$tmp/repo"
	git init -q -b main "$tmp/repo" || return 1
	(
		cd "$tmp/repo" || exit 1
		git config user.name tester
		git config user.email tester@example.invalid
		git config gc.auto 0
		i=0
		while [ $i -lt $commits ]; do
			mkdir -p "d$((i % 5))"
			awk -v n=$i 'BEGIN { for (k = 0; k < 120; k++) print k * n % 97, "line", n, k }' \
				>"d$((i % 5))/f$((i % 11)).txt"
			echo "round $i" >>log.txt
			git add -A
			GIT_AUTHOR_DATE="$((1762000000 + i)) +0000" \
			GIT_COMMITTER_DATE="$((1762000000 + i)) +0000" git commit -q -m "change $i" || exit 1
			i=$((i + 1))
		done
	) && git clone -q --bare "$tmp/repo" "$keep/repo.git"
}

make_tree()
{
	[ -d "$keep/src" ] && return
	mkdir -p "$keep/tree" "$keep/src"
	cp "$here/run.c" "$here/shadow.c" "$here/check.h" "$here/shadow.h" "$keep/src"
	i=0
	while [ $i -lt 12 ]; do
		cat >"$keep/tree/part$i.c" <<-END
		#include <stdio.h>
		#include <stdlib.h>
		#include <string.h>
		struct node$i { struct node$i *next; int value; char text[32]; };
		int part$i(int n);
		int part$i(int n)
		{
			struct node$i *head = NULL;
			int sum = 0;
			for (int k = 0; k < n; k++) {
				struct node$i *p = calloc(1, sizeof(*p));
				p->value = k * $i;
				snprintf(p->text, sizeof(p->text), "%d", k);
				p->next = head;
				head = p;
			}
			while (head) {
				struct node$i *p = head;
				sum += p->value + (int)strlen(p->text);
				head = p->next;
				free(p);
			}
			return sum;
		}
		END
		i=$((i + 1))
	done
	{
		echo '#include <stdio.h>'
		i=0
		while [ $i -lt 12 ]; do echo "int part$i(int n);"; i=$((i + 1)); done
		echo 'int main(void) { int s = 0;'
		i=0
		while [ $i -lt 12 ]; do echo "s += part$i(1000);"; i=$((i + 1)); done
		printf '%s\n' 'printf("%d\n", s); return 0; }'
	} >"$keep/tree/main.c"
	cat >"$keep/tree/Makefile" <<-'END'
	.RECIPEPREFIX := >
	OBJECTS := $(patsubst $(SRC)/%.c,%.o,$(sort $(wildcard $(SRC)/*.c)))
	VPATH := $(SRC)
	all: program
	>./program
	program: $(OBJECTS)
	>gcc -o $@ $(OBJECTS)
	%.o: %.c
	>gcc -O2 -c -o $@ $<
	END
}

#
# Commands: each runs in a folder of its own, prints its result, and takes the preload as "$@".
#

run_bash()
{
	"$@" bash -c '
		rounds=$1
		declare -A count
		for ((r = 0; r < rounds * 2; r++)); do
			for ((i = 0; i < 8000; i++)); do
				key="k$((i * 7919 % 613))"
				count[$key]=$((${count[$key]:-0} + i))
			done
		done
		for k in "${!count[@]}"; do echo "$k ${count[$k]}"; done | sort | md5sum
		s=
		for ((i = 0; i < 3000; i++)); do s+="$i,"; done
		echo "${#s} ${s//1/one}" | md5sum
		for i in {1..20}; do (echo "$(echo sub $i | tr a-z A-Z)"); done
		read -r -a words <<<"$(printf "%s " {a..z}{0..9})"
		echo "${#words[@]} ${words[@]: -3}"
		cat <(echo one) <(echo two) | while read -r x; do echo "got $x"; done
		' bash $rounds
}

run_git()
{
	"$@" git --git-dir="$keep/repo.git" fsck --full --strict --no-progress 2>&1 &&
	"$@" git --git-dir="$keep/repo.git" log -p --stat -M | md5sum &&
	"$@" git clone -q "$keep/repo.git" copy &&
	"$@" git -C copy -c pack.threads=2 repack -q -a -d -f &&
	"$@" git -C copy fsck --full --no-progress &&
	"$@" git -C copy grep -c 'line 1' | md5sum &&
	"$@" git -C copy blame log.txt | md5sum
}

run_python()
{
	"$@" /usr/bin/python3 -c '
import json, sqlite3, sys, threading, hashlib
rounds = int(sys.argv[1])
doc = {"k%d" % i: [i, str(i) * (i % 40), {"x": i / 7, "y": None}] for i in range(6000)}
for _ in range(rounds):
    text = json.dumps(doc, sort_keys=True)
    doc = json.loads(text)
print(hashlib.sha256(text.encode()).hexdigest())
db = sqlite3.connect(":memory:")
db.execute("create table t (id integer primary key, name text, value real)")
db.executemany("insert into t values (?, ?, ?)", ((i, "n%d" % (i * 37 % 1009), i * 0.5)
               for i in range(20000 * rounds)))
db.execute("create index n on t (name)")
print(db.execute("select count(*), sum(value), count(distinct name) from t").fetchone())
print(db.execute("select name, sum(value) from t group by name order by 2 desc, 1 limit 3").fetchall())
sums = {}
def work(k):
    d = {}
    for i in range(12000 * rounds):
        d[i % 700] = [str(i)] * (i % 9)
        if i % 5 == 0:
            d.pop(i % 300, None)
    sums[k] = sum(len(v) for v in d.values())
threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
for t in threads: t.start()
for t in threads: t.join()
print(sorted(sums.items()))
' $rounds
}

run_gcc()
{
	cp "$keep/src/"* . &&
	"$@" gcc -O2 -g -ffile-prefix-map="$PWD"=. -std=c17 -c run.c shadow.c &&
	"$@" gcc -O2 -S -o - "$keep/tree/part3.c" | md5sum &&
	"$@" gcc -o run run.o -pthread &&
	sha256sum run.o shadow.o run && ./run --no-such-option 2>&1
	[ $? = 2 ]
}

run_make()
{
	"$@" make -s -j2 -f "$keep/tree/Makefile" SRC="$keep/tree" 2>&1 && sha256sum program main.o
}

run_sqlite()
{
	"$@" sqlite3 file.db "
		pragma synchronous = off;
		create table t (id integer primary key, k integer, name text);
		with recursive c(i) as (select 1 union all select i + 1 from c where i < $rows)
		insert into t select i, i * 7919 % 100003, 'name ' || (i % 5003) from c;
		create index byk on t (k);
		select count(*), sum(k), min(name), max(name) from t;
		select k, count(*) from t group by k order by 2 desc, 1 limit 3;
		delete from t where k % 3 = 0;
		vacuum;
		pragma integrity_check;
		select count(*), sum(length(name)) from t;"
}

run_perl()
{
	"$@" perl -e '
		my $n = 40000 * shift;
		my (%h, @a);
		for my $i (1 .. $n) {
			my $k = "key" . ($i * 7919 % 10007);
			$h{$k} .= chr(97 + $i % 26);
			push @a, [$i, $k];
			delete $h{"key" . ($i % 97)} if $i % 11 == 0;
		}
		my $s = 0;
		$s += length $h{$_} for sort keys %h;
		print scalar(keys %h), " $s\n";
		@a = sort { $a->[1] cmp $b->[1] || $a->[0] <=> $b->[0] } @a;
		print join(",", map { $_->[0] } @a[0 .. 9]), "\n";
		my $text = join " ", map { $_->[1] } @a;
		my $c = () = $text =~ /key(\d)\1/g;
		$text =~ s/key(\d+)/<$1>/g;
		print "$c ", length $text, "\n";
		my $pid = fork; if (!$pid) { my @b = map { "x" x ($_ % 300) } 1 .. 20000; exit(@b == 20000 ? 7 : 1) }
		waitpid $pid, 0; print $? >> 8, "\n";' $rounds
}

run_node()
{
	"$@" node -e '
		const { Worker, isMainThread } = require("worker_threads");
		const crypto = require("crypto"), zlib = require("zlib");
		const rounds = Number(process.argv[1]);
		const m = new Map();
		for (let i = 0; i < 60000 * rounds; i++)
			m.set("k" + (i * 7919 % 20011), { i, s: "v".repeat(i % 50), a: [i, i + 1] });
		const text = JSON.stringify([...m].sort());
		console.log(m.size, crypto.createHash("sha256").update(text).digest("hex"));
		const bufs = [];
		for (let i = 0; i < 500 * rounds; i++)
			bufs.push(Buffer.alloc(i * 37 % 20000, i & 255));
		const all = Buffer.concat(bufs), packed = zlib.gzipSync(all, { level: 1 });
		console.log(all.length, zlib.gunzipSync(packed).equals(all));
		let left = 3;
		for (let k = 0; k < 3; k++)
			new Worker(`const { parentPort, workerData } = require("worker_threads");
				const a = []; for (let i = 0; i < 30000; i++) a.push({ i, t: "x" + i });
				parentPort.postMessage(a.length * workerData);`, { eval: true, workerData: k })
				.on("message", (v) => { if (!--left) console.log("workers done", v >= 0); });
		' $rounds
}

run_sort()
{
	awk -v n=$((rows / 4)) 'BEGIN { for (i = 0; i < n; i++) print i * 7919 % 1000003, "x" i }' |
		"$@" sort --parallel=2 -S 8M -k1,1n -k2 | md5sum
}

#
# The comparison
#

passed=0 failed=0 skipped=0

# proved PROGRAM: does the loader bind the program's malloc and free to our file?
proved()
{
	rm -f "$tmp/bind/"*
	# shellcheck disable=SC2086
	timeout -k 5 $limit env -i $base_env LD_PRELOAD="$so" LD_BIND_NOW=1 LD_DEBUG=bindings \
		LD_DEBUG_OUTPUT="$tmp/bind/b" "$1" --version >/dev/null 2>&1 </dev/null
	for name in malloc free; do
		cat "$tmp/bind/"* 2>/dev/null |
			grep -q "binding file .* to $so \[0\]: normal symbol .$name'" || return 1
	done
}

# everywhere: did every process of the command load our file?
everywhere()
{
	set -- "$tmp/log/"*
	[ -e "$1" ] || return 1
	! grep -L -F "file=$so" "$@" | grep -q .
}

tell()
{
	printf '%-8s %s\n' "$1" "$2"
}

# try NAME PROGRAM FUNCTION
try()
{
	begun=$(date +%s%N)
	program=$(command -v "$2") || program=
	[ "$2" = python3 ] && [ -x /usr/bin/python3 ] && program=/usr/bin/python3
	if [ -z "$program" ]; then
		tell "$1" "SKIPPED: $2 is not installed"
		skipped=$((skipped + 1))
		return
	fi
	expect=$keep/expect/$1
	rm -rf "$tmp/work" "$tmp/plain" "$tmp/log" && mkdir "$tmp/work" "$tmp/plain" "$tmp/log"
	# The two runs side by side: one core each.
	plain=
	if [ ! -e "$expect.status" ]; then
		{
			# shellcheck disable=SC2086
			(cd "$tmp/plain" && $3 timeout -k 5 $limit env -i $base_env) >"$expect.out" 2>"$expect.err" </dev/null
			echo $? >"$expect.status"
		} &
		plain=$!
	fi
	# shellcheck disable=SC2086
	(cd "$tmp/work" && $3 timeout -k 5 $limit env -i $base_env LD_PRELOAD="$so" LD_DEBUG=files \
		LD_DEBUG_OUTPUT="$tmp/log/p") >"$tmp/out" 2>"$tmp/err" </dev/null
	status=$?
	[ -z "$plain" ] || wait "$plain"
	if [ "$(cat "$expect.status")" != 0 ]; then
		tell "$1" "SKIPPED: $2 does not run here without the library either: $(tail -n 1 "$expect.err")"
		rm -f "$expect.status"
		skipped=$((skipped + 1))
		return
	fi
	if [ $status = 124 ] || [ $status = 137 ]; then
		why="did not end within $limit s"
	elif [ $status != 0 ]; then
		why="ended with $status: $(tail -n 3 "$tmp/err" | tr '\n' ' ')"
	elif ! cmp -s "$tmp/out" "$expect.out"; then
		why="printed something else: $(diff "$expect.out" "$tmp/out" | head -n 4 | tr '\n' ' ')"
	elif grep -q 'cannot be preloaded' "$tmp/err"; then
		why="the loader refused the library: $(grep -m 1 'cannot be preloaded' "$tmp/err")"
	elif ! proved "$program"; then
		why="its malloc does not come from $so"
	elif ! everywhere; then
		why="a process of it ran without the library"
	else
		tell "$1" "ok ($((($(date +%s%N) - begun) / 1000000)) ms)"
		passed=$((passed + 1))
		return
	fi
	tell "$1" "FAILED: $why"
	failed=$((failed + 1))
}

if command -v git >/dev/null; then
	make_repository || die "the repository for git could not be made"
fi
make_tree
try bash bash run_bash
try git git run_git
try python3 python3 run_python
try gcc gcc run_gcc
try make make run_make
try sqlite3 sqlite3 run_sqlite
try perl perl run_perl
try node node run_node
try sort sort run_sort
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ] && [ $passed != 0 ]
