/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fs.h"
#include "bisect/diff.h"
#include "bisect/history.h"
#include "bisect/range.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* Every repository of this file lies below one scratch folder; scripts run there with git set up
 * and no user configuration. */
static char scratch[] = "/tmp/hakperf-history.XXXXXX";
static char *home; /* the source tree: tests start there */

static void script(const char *text)
{
	char *line = x_printf(
		"set -eu; cd '%s'; TOY='%s/test/toy'; unset GIT_CONFIG_GLOBAL; export GIT_CONFIG_NOSYSTEM=1 HOME='%s' "
		"GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@example.invalid GIT_COMMITTER_NAME=C "
		"GIT_COMMITTER_EMAIL=c@example.invalid "
		"GIT_AUTHOR_DATE='1700000000 +0000' GIT_COMMITTER_DATE='1700000000 +0000'; %s",
		scratch, home, scratch, text);
	int rc = system(line);
	if (rc)
		fail_msg("script ended with %d: %s", rc, text);
	free(line);
}

static char *below(const char *name)
{
	return x_printf("%s/%s", scratch, name);
}

static struct history *opened(const char *name)
{
	struct error e = { 0 };
	struct history *h;
	char *path = below(name);
	if (history_open(&h, path, &e))
		fail_msg("%s", e.text);
	free(path);
	return h;
}

static struct history_commit resolved(struct history *h, const char *rev)
{
	struct error e = { 0 };
	struct history_commit c;
	if (history_resolve(h, rev, &c, &e))
		fail_msg("%s", e.text);
	return c;
}

static void assert_contains(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("'%s' does not contain '%s'", text, part);
}

static int set_up(void **state)
{
	(void)state;
	home = getcwd(NULL, 0);
	if (!mkdtemp(scratch))
		return -1;
	setenv("HOME", scratch, 1);
	setenv("XDG_CONFIG_HOME", scratch, 1);
	script("\"$TOY/make-history.sh\" odd --commits 8 --odd --phase 2=One --phase 4=two --phase "
	       "5=TWO");
	script("\"$TOY/make-history.sh\" merged --commits 13 --merges --unrelated 9 --same 11");
	script("\"$TOY/make-history.sh\" long --commits 600 --merges");
	script("git clone -q --bare odd bare.git; git clone -q --depth 3 file://$PWD/odd shallow");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	free(home);
	return fs_remove(scratch, NULL);
}

static void opening_says_the_remedy(void **state)
{
	(void)state;
	script("mkdir plain; cp -r odd foreign; chmod 755 .");
	bool root = geteuid() == 0;
	if (root)
		script("cp -r foreign other; chown -R 12345 foreign other");
	const struct {
		int line;
		const char *name;
		int rc;
		const char *says;
		bool needs_root;
	} rows[] = {
		{ __LINE__, "plain", -ENOENT, "not a git repository", false },
		{ __LINE__, "nowhere", -ENOENT, "not a git repository", false },
		{ __LINE__, "foreign", -EPERM, "safe.directory", true },
		{ __LINE__, "other", -EPERM, "safe.directory",
		  true }, /* with a setting for a third folder */
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		if (rows[i].needs_root && !root) {
			print_message(
				"SKIP line %d: giving a repository to another user needs root\n",
				rows[i].line);
			continue;
		}
		if (!strcmp(rows[i].name, "other"))
			script("git config --global safe.directory /third");
		struct error e = { 0 };
		struct history *h;
		char *path = below(rows[i].name);
		if (history_open(&h, path, &e) != rows[i].rc || h)
			fail_msg("line %d: %d %s", rows[i].line, e.code, e.text);
		assert_contains(e.text, rows[i].says);
		assert_contains(e.text, path);
		free(path);
	}
	script("rm -f .gitconfig");
}

static void open_knows_what_it_opened(void **state)
{
	(void)state;
	const struct {
		int line;
		const char *name;
		bool bare, shallow;
	} rows[] = {
		{ __LINE__, "odd", false, false },	{ __LINE__, "odd/toy", false, false },
		{ __LINE__, "odd/.git", false, false }, { __LINE__, "bare.git", true, false },
		{ __LINE__, "shallow", false, true },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct history *h = opened(rows[i].name);
		if (!history_workdir(h) != rows[i].bare || history_shallow(h) != rows[i].shallow)
			fail_msg("line %d", rows[i].line);
		history_close(h);
	}
}

static void revisions_resolve(void **state)
{
	(void)state;
	const struct {
		int line;
		const char *rev;
		int rc;
		const char *says; /* the commit's subject, or the message, contains it */
	} rows[] = {
		{ __LINE__, "HEAD", 0, "commit 7" },
		{ __LINE__, "main~3", 0, "commit 4" },
		{ __LINE__, "c0", 0, "commit 0" },
		{ __LINE__, "c3^{commit}", 0, "commit 3" },
		{ __LINE__, ":/commit 5", 0, "commit 5" },
		{ __LINE__, "phase:one", 0, "commit 2" },
		{ __LINE__, "PHASE:ONE", 0, "commit 2" },
		{ __LINE__, "phase:one~1", 0, "commit 1" },
		{ __LINE__, "phase:ONE^", 0, "commit 1" },
		{ __LINE__, "phase:three~1", -ENOENT, "'three'" },
		{ __LINE__, "phase:two", -EEXIST, "commit 5" },
		{ __LINE__, "phase:two", -EEXIST, "commit 4" },
		{ __LINE__, "phase:three", -ENOENT, "One, two, TWO" },
		{ __LINE__, "phase:", -ENOENT, "One, two, TWO" },
		{ __LINE__, "no-such", -ENOENT, "git log --oneline" },
		{ __LINE__, "c1..c2", -EINVAL, "single commit" },
		{ __LINE__, "", -EINVAL, "single commit" },
		{ __LINE__, "HEAD:toy", -EINVAL, "not a commit" },
		{ __LINE__, "0123456789012345678901234567890123456789", -ENOENT, "no revision" },
	};
	struct history *h = opened("odd");
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct error e = { 0 };
		struct history_commit c;
		if (history_resolve(h, rows[i].rev, &c, &e) != rows[i].rc)
			fail_msg("line %d: %d %s", rows[i].line, e.code, e.text);
		if (!strstr(rows[i].rc ? e.text : c.subject, rows[i].says))
			fail_msg("line %d: '%s'", rows[i].line, rows[i].rc ? e.text : c.subject);
		history_commit_release(&c);
	}
	history_close(h);
}

static void trailers_count_only_in_the_last_block(void **state)
{
	(void)state;
	script("git init -q -b main trailers; cd trailers; "
	       "m() { printf '%b' \"$1\" | git commit -q --allow-empty -F -; }; "
	       "m 'in the text\\n\\nPhase: text\\n\\nThe body goes on.\\n'; "
	       "m 'Phase: subject\\n'; "
	       "m 'a block before\\n\\nPhase: early\\n\\nSigned-off-by: X <x@example.invalid>\\n'; "
	       "m 'right\\n\\nBody.\\n\\nReviewed-by: Y <y@example.invalid>\\npHASE:   Last \\n'");
	struct history *h = opened("trailers");
	struct history_commit *list, c;
	size_t n;
	struct error e = { 0 };
	assert_int_equal(history_phases(h, &list, &n, &e), 0);
	assert_int_equal(n, 1);
	assert_string_equal(list[0].subject, "right");
	history_list_release(list, n);
	c = resolved(h, "phase:last");
	assert_string_equal(c.subject, "right");
	history_commit_release(&c);
	history_close(h);
}

static void only_phases_reachable_from_head_count(void **state)
{
	(void)state;
	script("git clone -q odd reach; cd reach; git reset -q --hard c4");
	struct history *h = opened("reach");
	struct history_commit c = resolved(h, "phase:two");
	assert_contains(c.subject, "commit 4");
	history_commit_release(&c);
	history_close(h);
}

static void subjects_are_escaped_and_flagged(void **state)
{
	(void)state;
	const struct {
		int line;
		const char *rev, *subject;
		bool escaped;
	} rows[] = {
		{ __LINE__, "c0", "commit 0: tune", false },
		{ __LINE__, "c1", "commit 1: tune \"quoted\" 'single' $(touch x) `y` \\n", false },
		{ __LINE__, "c2", "commit 2: tune latin \\xe9 and \\xff bytes", true },
		{ __LINE__, "c3", "commit 3: tune <b>&amp;</b> \\x1b[31mred | pipe", true },
	};
	struct history *h = opened("odd");
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct history_commit c = resolved(h, rows[i].rev);
		if (strcmp(c.subject, rows[i].subject) || c.subject_escaped != rows[i].escaped)
			fail_msg("line %d: '%s'", rows[i].line, c.subject);
		history_commit_release(&c);
	}
	history_close(h);
}

static void escape_knows_utf8(void **state)
{
	(void)state;
	const struct {
		int line;
		const char *in, *out;
		bool newlines;
	} rows[] = {
		{ __LINE__, "plain", "plain", false },
		{ __LINE__, "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80",
		  "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80", false },
		{ __LINE__, "\xc0\xaf", "\\xc0\\xaf", false },		/* overlong */
		{ __LINE__, "\xed\xa0\x80", "\\xed\\xa0\\x80", false }, /* surrogate */
		{ __LINE__, "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80",
		  false }, /* beyond U+10FFFF */
		{ __LINE__, "cut \xe2\x82", "cut \\xe2\\x82", false },
		{ __LINE__,
		  "\xc2\x9b"
		  "1m",
		  "\\xc2\\x9b1m", false }, /* C1 control: a terminal obeys it */
		{ __LINE__, "a\tb\nc", "a\\x09b\\x0ac", false },
		{ __LINE__, "a\tb\nc\x7f", "a\tb\nc\\x7f", true },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct buf b = { 0 };
		bool escaped = history_escape(rows[i].in, strlen(rows[i].in), rows[i].newlines, &b);
		if (strcmp(buf_str(&b), rows[i].out) ||
		    escaped != (strcmp(rows[i].in, rows[i].out) != 0))
			fail_msg("line %d: '%s'", rows[i].line, buf_str(&b));
		buf_release(&b);
	}
}

static void a_range_is_the_ancestry_path(void **state)
{
	(void)state;
	struct history *h = opened("merged");
	struct error e = { 0 };
	struct range r;
	const char *paths[] = { "toy" };
	/* 0 - 3 - 4 - 5 - 6 ..., 1 and 2 beside 3, merged by 4; the same again from 6 with 7 and 8
	 * beside 9, merged by 10. */
	struct history_commit c0 = resolved(h, "c0"), c3 = resolved(h, "c3"),
			      c12 = resolved(h, "c12");
	assert_int_equal(range_between(h, &c0, &c12, false, paths, 1, &r, &e), 0);
	assert_int_equal(r.n, 13);
	assert_string_equal(r.commits[0].info.id, c0.id);
	assert_string_equal(r.commits[12].info.id, c12.id);
	for (size_t i = 0; i < r.n; i++) {
		for (size_t k = 0; k < r.commits[i].n_parents; k++)
			assert_true(r.commits[i].parents[k] < i);
		/* 9 wrote notes only, 0 is good. */
		bool quiet = strstr(r.commits[i].info.subject, "commit 9:") || i == 0;
		if (r.commits[i].changes_subject != !quiet)
			fail_msg("%s", r.commits[i].info.subject);
		assert_int_equal(r.commits[i].n_outside, 0);
		assert_true(range_is_ancestor(&r, 0, i));
		assert_true(range_is_ancestor(&r, i, 12));
	}
	struct history_commit c2 = resolved(h, "c2"), c4 = resolved(h, "c4");
	size_t i2 = range_find(&r, c2.id), i3 = range_find(&r, c3.id), i4 = range_find(&r, c4.id);
	assert_int_equal(r.commits[i4].n_parents, 2);
	assert_false(range_is_ancestor(&r, i2, i3));
	assert_false(range_is_ancestor(&r, i3, i2));
	assert_true(range_is_ancestor(&r, i2, i4));
	assert_int_equal(range_find(&r, "none"), r.n);
	range_release(&r);

	/* From 3 on, the side branch of 1 and 2 began before good: its merge is in the range, its
	 * commits are not. */
	assert_int_equal(range_between(h, &c3, &c12, false, paths, 1, &r, &e), 0);
	assert_int_equal(r.n, 10);
	assert_string_equal(r.commits[1].info.id, c4.id);
	assert_int_equal(r.commits[1].n_parents, 1);
	assert_int_equal(r.commits[1].n_outside, 1);
	struct range_branch *branches;
	size_t n_branches;
	assert_int_equal(range_branches(h, &r, 1, &branches, &n_branches, &e), 0);
	assert_int_equal(n_branches, 1);
	assert_int_equal(branches[0].commits, 2);
	assert_string_equal(branches[0].fork, c0.id);
	assert_string_equal(branches[0].tip, c2.id);
	free(branches);
	assert_int_equal(range_branches(h, &r, 2, &branches, &n_branches, &e), 0);
	assert_int_equal(n_branches, 0);
	range_release(&r);

	assert_int_equal(range_between(h, &c0, &c12, true, paths, 1, &r, &e), 0);
	assert_int_equal(r.n, 9);
	for (size_t i = 1; i < r.n; i++)
		assert_int_equal(r.commits[i].parents[0], i - 1);
	assert_int_equal(range_branches(h, &r, range_find(&r, c4.id), &branches, &n_branches, &e), 0);
	assert_int_equal(n_branches, 1);
	assert_string_equal(branches[0].tip, c2.id);
	free(branches);
	range_release(&r);

	assert_int_equal(range_between(h, &c3, &c3, false, paths, 1, &r, &e), 0);
	assert_int_equal(r.n, 1);
	range_release(&r);

	assert_int_equal(range_between(h, &c12, &c0, false, paths, 1, &r, &e), -EINVAL);
	assert_contains(e.text, "swap");
	error_clear(&e);
	assert_int_equal(range_between(h, &c2, &c3, false, paths, 1, &r, &e), -EINVAL);
	assert_contains(e.text, c0.short_id);
	error_clear(&e);
	assert_int_equal(range_between(h, &c2, &c12, true, paths, 1, &r, &e), -EINVAL);
	assert_contains(e.text, "first-parent");
	history_commit_release(&c0);
	history_commit_release(&c2);
	history_commit_release(&c3);
	history_commit_release(&c4);
	history_commit_release(&c12);
	history_close(h);
}

static void a_specification_selects_commits(void **state)
{
	(void)state;
	/* Commits of "merged": 1 and 2 stand beside 3, 4 merges them. */
	static const char *const revs[] = { "c0", "c1", "c2", "c3", "c4", "c5", "worktree" };
	enum { N = sizeof(revs) / sizeof(*revs) };
	static const struct {
		int line;
		const char *spec, *in; /* one letter a commit; NULL: refused */
		int rc;
	} rows[] = {
		{ __LINE__, "c0..c4", "-xxxx--", 0 },
		{ __LINE__, "c3..c4", "-xx-x--", 0 },
		{ __LINE__, "c2..", "---xxxx", 0 },
		{ __LINE__, "..c3", "x--x---", 0 },
		{ __LINE__, "..worktree", "xxxxxxx", 0 },
		{ __LINE__, "c5..c0", "-------", 0 },
		{ __LINE__, "HEAD..worktree", "------x", 0 },
		{ __LINE__, "c0", NULL, -EINVAL },
		{ __LINE__, "..", NULL, -EINVAL },
		{ __LINE__, "c0...c4", NULL, -EINVAL },
		{ __LINE__, "c0..none", NULL, -ENOENT },
	};
	struct history *h = opened("merged");
	struct history_commit c[N];
	const struct history_commit *list[N];
	for (size_t i = 0; i < N; i++) {
		c[i] = resolved(h, revs[i]);
		list[i] = &c[i];
	}
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct error e = { 0 };
		bool in[N];
		if (range_select(h, rows[i].spec, list, N, in, &e) != rows[i].rc)
			fail_msg("line %d: %d %s", rows[i].line, e.code, e.text);
		for (size_t k = 0; rows[i].in && k < N; k++)
			if (in[k] != (rows[i].in[k] == 'x'))
				fail_msg("line %d: %s", rows[i].line, revs[k]);
	}
	for (size_t i = 0; i < N; i++)
		history_commit_release(&c[i]);
	history_close(h);
}

static void a_long_range_has_every_commit_once(void **state)
{
	(void)state;
	struct history *h = opened("long");
	struct error e = { 0 };
	struct range r;
	struct history_commit a = resolved(h, "c0"), b = resolved(h, "c599");
	assert_int_equal(range_between(h, &a, &b, false, NULL, 0, &r, &e), 0);
	assert_int_equal(r.n, 600);
	range_release(&r);
	history_commit_release(&a);
	history_commit_release(&b);
	history_close(h);
}

static void a_shallow_clone_says_so(void **state)
{
	(void)state;
	struct history *h = opened("shallow");
	struct error e = { 0 };
	struct history_commit c = resolved(h, "HEAD"), none;
	assert_int_equal(history_resolve(h, "HEAD~6", &none, &e), -ENOENT);
	assert_contains(e.text, "--unshallow");
	error_clear(&e);
	assert_int_equal(history_resolve(h, "phase:one", &none, &e), -ENODATA);
	assert_contains(e.text, "--unshallow");
	history_commit_release(&c);
	history_close(h);
}

static void the_worktree_is_a_revision(void **state)
{
	(void)state;
	script("git clone -q odd work; cd work; echo '*.o' > .gitignore; git add .; git commit -qm "
	       "ignore");
	struct history *h = opened("work");
	struct history_commit head = resolved(h, "HEAD"), w = resolved(h, "worktree");
	assert_string_equal(w.id, "worktree");
	assert_string_equal(w.tree, head.tree);
	assert_false(w.dirty);
	assert_int_equal(w.n_parents, 1);
	assert_string_equal(w.parents[0], head.id);
	history_commit_release(&w);
	history_close(h);

	script("cd work; echo '#define COST 77' > toy/cost.h; echo new > 'toy/a b'; rm "
	       "toy/comment.h; echo x > toy/x.o; "
	       "git rm -q --cached toy/tune.h; find .git -type f | sort | xargs sha256sum > "
	       "../before");
	h = opened("work");
	w = resolved(h, "worktree");
	assert_true(w.dirty);
	struct error e = { 0 };
	char *target = below("work-export");
	assert_int_equal(history_export(h, &w, NULL, 0, target, NULL, &e), 0);
	script("cmp work-export/toy/cost.h work/toy/cost.h; cmp 'work-export/toy/a b' 'work/toy/a "
	       "b'; test ! -e work-export/toy/comment.h; "
	       "test ! -e work-export/toy/x.o; test -e work-export/toy/tune.h; test -e "
	       "work-export/toy/Makefile");
	/* Nothing of the user's repository changed, no object was written. */
	script("cd work; find .git -type f | sort | xargs sha256sum | cmp - ../before");
	const char *notes[] = { "notes.txt" }, *toy[] = { "toy" };
	char a[HASH_HEX], b[HASH_HEX];
	assert_int_equal(history_tree_key(h, &w, notes, 1, a, NULL, &e), 0);
	assert_int_equal(history_tree_key(h, &head, notes, 1, b, NULL, &e), 0);
	assert_string_equal(a, b);
	assert_int_equal(history_tree_key(h, &w, toy, 1, a, NULL, &e), 0);
	assert_int_equal(history_tree_key(h, &head, toy, 1, b, NULL, &e), 0);
	assert_string_not_equal(a, b);

	struct history_commit good = resolved(h, "c6");
	struct range r;
	assert_int_equal(range_between(h, &good, &w, false, toy, 1, &r, &e), 0);
	assert_int_equal(r.n, 4);
	assert_string_equal(r.commits[3].info.id, "worktree");
	assert_int_equal(r.commits[3].parents[0], 2);
	assert_true(r.commits[3].changes_subject);
	range_release(&r);
	assert_int_equal(range_between(h, &w, &good, false, toy, 1, &r, &e), -EINVAL);
	error_clear(&e);
	struct diff d;
	assert_int_equal(diff_commit(h, &w, toy, 1, 0, &d, &e), 0);
	assert_int_equal(d.n_files, 3);
	diff_release(&d);
	history_commit_release(&good);
	history_commit_release(&head);
	history_commit_release(&w);
	free(target);
	history_close(h);

	h = opened("bare.git");
	assert_int_equal(history_resolve(h, "worktree", &w, &e), -EINVAL);
	assert_contains(e.text, "bare");
	history_close(h);
}

static void a_conflict_is_no_revision(void **state)
{
	(void)state;
	script("git clone -q odd conflict; cd conflict; git checkout -q -b a; echo a > notes.txt; "
	       "git commit -qam a; "
	       "git checkout -q main; echo b > notes.txt; git commit -qam b; ! git merge -q a "
	       ">/dev/null 2>&1");
	struct history *h = opened("conflict");
	struct history_commit w;
	struct error e = { 0 };
	assert_int_equal(history_resolve(h, "worktree", &w, &e), -EBUSY);
	assert_contains(e.text, "finish the merge");
	history_close(h);
}

static void export_writes_what_the_commit_has(void **state)
{
	(void)state;
	script("git init -q -b main tree; cd tree; mkdir -p sub/deep other; printf 'a\\r\\nb\\n' > "
	       "sub/crlf; echo '* text=auto eol=crlf' > .gitattributes; "
	       "printf '#!/bin/sh\\n' > sub/run; chmod +x sub/run; ln -s ../other/x sub/link; ln "
	       "-s /etc/passwd sub/absolute; "
	       "echo x > other/x; echo q > \"sub/q'u\\\"o te\"; echo l > \"sub/$(printf "
	       "'l\\351')\"; echo g > 'sub/*'; echo s > subx; "
	       "git add -A 2>/dev/null; git update-index --add --cacheinfo 160000,$(git -C ../odd "
	       "rev-parse HEAD),sub/module; "
	       "git update-index --add --cacheinfo 160000,$(git -C ../odd rev-parse "
	       "HEAD),elsewhere; git commit -qm tree");
	struct history *h = opened("tree");
	struct history_commit c = resolved(h, "HEAD");
	struct history_exported x;
	struct error e = { 0 };
	char *all = below("all"), *some = below("some"), *glob = below("glob"),
	     *none = below("none");
	assert_int_equal(history_export(h, &c, NULL, 0, all, &x, &e), 0);
	assert_int_equal(x.n_submodules, 2);
	buf_release(&x.submodules);
	script("mkdir want; echo '* -text -eol' > tree/.git/info/attributes; git -C tree archive "
	       "HEAD | tar x -C want; rm tree/.git/info/attributes; diff -r --no-dereference want "
	       "all; test -x all/sub/run; "
	       "test ! -x all/other/x; test \"$(readlink all/sub/absolute)\" = /etc/passwd");
	const char *paths[] = { "./sub/" };
	assert_int_equal(history_export(h, &c, paths, 1, some, &x, &e), 0);
	assert_int_equal(x.n_submodules, 1);
	assert_string_equal(buf_str(&x.submodules), "sub/module\n");
	buf_release(&x.submodules);
	script("test ! -e some/other; test ! -e some/subx; test -e some/sub/run; test \"$(git -C "
	       "tree cat-file blob HEAD:sub/crlf | sha256sum)\" = "
	       "\"$(sha256sum < some/sub/crlf)\"");
	const char *star[] = { "sub/*" };
	assert_int_equal(history_export(h, &c, star, 1, glob, NULL, &e), 0);
	script("test \"$(find glob -type f | wc -l)\" = 1");
	const char *nothing[] = { "absent" };
	assert_int_equal(history_export(h, &c, nothing, 1, none, NULL, &e), -ENOENT);
	assert_contains(e.text, "absent");
	script("test ! -e none; git -C tree status --porcelain > status-after; test -z \"$(grep -v "
	       "'elsewhere\\|sub/module' status-after)\"");
	free(all);
	free(some);
	free(glob);
	free(none);
	history_commit_release(&c);
	history_close(h);
}

static void tree_keys_follow_the_paths(void **state)
{
	(void)state;
	struct history *h = opened("merged");
	const struct {
		int line;
		const char *a, *b, *paths[2];
		size_t n_paths;
		bool equal;
		size_t present;
	} rows[] = {
		{ __LINE__, "c9", "c9^", { "toy" }, 1, true, 1 },
		{ __LINE__, "c9", "c9^", { "toy/" }, 1, true, 1 },
		{ __LINE__, "c9", "c9^", { "notes.txt" }, 1, false, 1 },
		{ __LINE__, "c9", "c9^", { 0 }, 0, false, 1 },
		{ __LINE__, "c9", "c9^", { "." }, 1, false, 1 },
		{ __LINE__, "c9", "c9^", { "toy", "notes.txt" }, 2, false, 2 },
		{ __LINE__, "c9", "c9^", { "toy", "absent" }, 2, true, 1 },
		{ __LINE__, "c9", "c9^", { "absent" }, 1, true, 0 },
		{ __LINE__, "c11", "c11^", { "toy" }, 1, false, 1 },
		{ __LINE__, "c11", "c11^", { "toy/toy.c" }, 1, true, 1 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct error e = { 0 };
		struct history_commit a = resolved(h, rows[i].a), b = resolved(h, rows[i].b);
		char ka[HASH_HEX], kb[HASH_HEX];
		size_t present;
		assert_int_equal(
			history_tree_key(h, &a, rows[i].paths, rows[i].n_paths, ka, &present, &e),
			0);
		assert_int_equal(
			history_tree_key(h, &b, rows[i].paths, rows[i].n_paths, kb, NULL, &e), 0);
		if (!strcmp(ka, kb) != rows[i].equal || present != rows[i].present)
			fail_msg("line %d: present %zu", rows[i].line, present);
		history_commit_release(&a);
		history_commit_release(&b);
	}
	history_close(h);
}

static void a_difference_has_its_hunks(void **state)
{
	(void)state;
	script("git init -q -b main diff; cd diff; mkdir s; seq 1 60 > s/a.c; echo old > s/gone; "
	       "seq 100 140 > s/name; printf '\\0\\1' > s/bin; echo o > out; "
	       "git add .; git commit -qm one; sed -i -e '3s/.*/three/' -e '50,51d' s/a.c; rm "
	       "s/gone; git mv s/name s/renamed; printf '\\0\\2' > s/bin; "
	       "echo o2 > out; printf 'no newline' > s/new; git add -A; git commit -qm two");
	struct history *h = opened("diff");
	struct history_commit c = resolved(h, "HEAD"), root = resolved(h, "HEAD~1");
	struct error e = { 0 };
	struct diff d;
	const char *paths[] = { "s" };
	assert_int_equal(diff_commit(h, &c, paths, 1, 1, &d, &e), 0);
	assert_int_equal(d.n_files, 5);
	assert_int_equal(d.added, 2);
	assert_int_equal(d.removed, 4);
	const struct {
		int line;
		const char *old_path, *new_path;
		char status;
		bool binary;
		size_t hunks;
	} rows[] = {
		{ __LINE__, "s/a.c", "s/a.c", 'M', false, 2 },
		{ __LINE__, "s/bin", "s/bin", 'M', true, 0 },
		{ __LINE__, "s/gone", NULL, 'D', false, 1 },
		{ __LINE__, NULL, "s/new", 'A', false, 1 },
		{ __LINE__, "s/name", "s/renamed", 'R', false, 0 },
	};
	for (size_t i = 0; i < d.n_files; i++) {
		struct diff_file *f = &d.files[i];
		const char *want_old = rows[i].old_path ? rows[i].old_path : "-",
			   *want_new = rows[i].new_path ? rows[i].new_path : "-";
		if (strcmp(f->old_path ? f->old_path : "-", want_old) ||
		    strcmp(f->new_path ? f->new_path : "-", want_new) ||
		    f->status != rows[i].status || f->n_hunks != rows[i].hunks ||
		    f->binary != rows[i].binary)
			fail_msg("line %d: %c %s %s %zu", rows[i].line, f->status,
				 f->old_path ? f->old_path : "-", f->new_path ? f->new_path : "-",
				 f->n_hunks);
	}
	struct diff_hunk *k = &d.files[0].hunks[0];
	assert_int_equal(k->old_start, 2);
	assert_int_equal(k->old_lines, 3);
	assert_int_equal(k->new_start, 2);
	assert_int_equal(k->new_lines, 3);
	assert_string_equal(k->text, " 2\n-3\n+three\n 4\n");
	k = &d.files[0].hunks[1];
	assert_int_equal(k->old_start, 49);
	assert_int_equal(k->new_start, 49);
	assert_int_equal(k->removed, 2);
	assert_string_equal(d.files[3].hunks[0].text, "+no newline\n");
	diff_release(&d);
	assert_int_equal(diff_commit(h, &root, NULL, 0, 0, &d, &e), 0);
	assert_int_equal(d.n_files, 5);
	assert_int_equal(d.files[0].status, 'A');
	diff_release(&d);
	history_commit_release(&c);
	history_commit_release(&root);
	history_close(h);
}

static void a_message_keeps_its_lines(void **state)
{
	(void)state;
	struct history *h = opened("odd");
	struct history_commit c = resolved(h, "c2"), copy;
	struct buf b = { 0 };
	struct error e = { 0 };
	assert_int_equal(history_message(h, &c, &b, &e), 0);
	assert_contains(buf_str(&b), "\\xe9 and");
	assert_contains(buf_str(&b), "\n\nPhase: One\n");
	history_commit_copy(&copy, &c);
	history_commit_release(&c);
	history_commit_release(&c);
	assert_string_equal(copy.phase, "One");
	assert_int_equal(copy.author_time_s, 1700000120);
	assert_string_equal(copy.author, "Toy Maker");
	history_commit_release(&copy);
	buf_release(&b);
	history_close(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opening_says_the_remedy),
		cmocka_unit_test(open_knows_what_it_opened),
		cmocka_unit_test(revisions_resolve),
		cmocka_unit_test(trailers_count_only_in_the_last_block),
		cmocka_unit_test(only_phases_reachable_from_head_count),
		cmocka_unit_test(subjects_are_escaped_and_flagged),
		cmocka_unit_test(escape_knows_utf8),
		cmocka_unit_test(a_range_is_the_ancestry_path),
		cmocka_unit_test(a_specification_selects_commits),
		cmocka_unit_test(a_long_range_has_every_commit_once),
		cmocka_unit_test(a_shallow_clone_says_so),
		cmocka_unit_test(the_worktree_is_a_revision),
		cmocka_unit_test(a_conflict_is_no_revision),
		cmocka_unit_test(export_writes_what_the_commit_has),
		cmocka_unit_test(tree_keys_follow_the_paths),
		cmocka_unit_test(a_difference_has_its_hunks),
		cmocka_unit_test(a_message_keeps_its_lines),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
