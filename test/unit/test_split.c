/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/split.h"
#include "bisect/account_split.h"

#include "base/buf.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/*
 * A commit made up: which units need which. A set builds when every unit in it has what it needs.

 */
struct made_up {
	const char *needs; /* "2:01 3:2": unit 2 needs 0 and 1, unit 3 needs 2 */
	bool clash;        /* units 0 and 1 do not build together without unit 2 */
	size_t asked, fail_at;
};

static int builds(void *ctx, const bool *with, size_t n, bool *yes, struct error *e)
{
	struct made_up *m = ctx;
	*yes = true;
	if (++m->asked == m->fail_at)
		return error_set(e, -EIO, "the machine fails");
	for (const char *s = m->needs; *s; s += strcspn(s, " "), s += *s == ' ') {
		size_t unit = (size_t)(*s - '0');
		assert_true(unit < n);
		for (const char *k = s + 2; *k && *k != ' '; k++)
			*yes &= !with[unit] || with[*k - '0'];
	}
	if (m->clash && with[0] && with[1] && !with[2])
		*yes = false;
	return 0;
}

/* "0 1 | 2 34": groups that build alone, then the chain. */
static char *told(const struct split *s)
{
	struct buf b = { 0 };
	bool chain = false;
	for (size_t i = 0; i < s->n_groups; i++) {
		if (!s->groups[i].alone && !chain) {
			buf_puts(&b, b.len ? " |" : "|");
			chain = true;
		}
		assert_true(s->groups[i].alone != chain);
		buf_puts(&b, b.len ? " " : "");
		for (size_t k = 0; k < s->groups[i].n_units; k++)
			buf_printf(&b, "%zu", s->groups[i].units[k]);
	}
	buf_puts(&b, "");
	return buf_detach(&b);
}

/* Every unit is in one group, and the parent with all groups up to any of the chain builds. */
static void assert_chain_builds(const struct split *s, struct made_up *m, size_t n)
{
	bool with[16] = { false };
	size_t units = 0;
	for (size_t i = 0; i < s->n_groups; i++) {
		bool yes;
		for (size_t k = 0; k < s->groups[i].n_units; k++) {
			assert_false(with[s->groups[i].units[k]]);
			with[s->groups[i].units[k]] = true;
			units++;
		}
		assert_int_equal(builds(m, with, n, &yes, NULL), 0);
		if (!s->groups[i].alone && s->complete)
			assert_true(yes);
	}
	assert_int_equal(units, n);
}

static void commits_are_split_into_what_builds(void **state)
{
	(void)state;
	static const struct {
		int line;
		size_t n;
		const char *needs;
		bool clash;
		const char *groups;
	} rows[] = {
		{ __LINE__, 1, "", false, "0" },
		{ __LINE__, 3, "", false, "0 1 2" },
		/* a declaration and its user */
		{ __LINE__, 2, "1:0", false, "0 | 1" },
		/* a definition, its call, and a call of that */
		{ __LINE__, 4, "1:0 2:1 3:2", false, "0 | 1 2 3" },
		/* two that need each other: one group; a third that needs both */
		{ __LINE__, 3, "0:1 1:0 2:01", false, "| 01 2" },
		{ __LINE__, 5, "1:2 2:1 3:4 4:3", false, "0 | 12 34" },
		{ __LINE__, 5, "1:2 2:3 3:1 4:1", false, "0 | 123 4" },
		/* all or nothing */
		{ __LINE__, 4, "0:123 1:0 2:0 3:0", false, "| 0123" },
		/* alone each builds, together only with a third */
		{ __LINE__, 3, "", true, "0 1 2" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct made_up m = { .needs = rows[i].needs, .clash = rows[i].clash };
		struct error e = { 0 };
		struct split s;
		assert_int_equal(split_find(rows[i].n, builds, &m, 1000, &s, &e), 0);
		char *groups = told(&s);
		if (strcmp(groups, rows[i].groups) || !s.complete || s.asked > m.asked)
			fail_msg("line %d: %s", rows[i].line, groups);
		assert_chain_builds(&s, &m, rows[i].n);
		free(groups);
		split_release(&s);
		split_release(&s);
	}
}

static void limits_and_failures_are_told(void **state)
{
	(void)state;
	for (size_t limit = 1; limit < 20; limit++) {
		struct made_up m = { .needs = "1:2 2:3 3:1 4:1 5:4" };
		struct split s;
		assert_int_equal(split_find(6, builds, &m, limit, &s, NULL), 0);
		assert_true(s.asked <= limit);
		assert_chain_builds(&s, &m, 6);
		split_release(&s);
	}
	for (size_t at = 1; at < 12; at++) {
		struct made_up m = { .needs = "1:2 2:3 3:1 4:1 5:4", .fail_at = at };
		struct split s;
		struct error e = { 0 };
		assert_int_equal(split_find(6, builds, &m, 1000, &s, &e), -EIO);
		assert_null(s.groups);
	}
}

static void files_are_composed_of_hunks(void **state)
{
	(void)state;
	/* one: changed; behind two: two lines put in; four: taken away; at the end: one put in. */
	static struct diff_hunk hunks[] = {
		{ .old_start = 1, .old_lines = 1, .new_start = 1, .new_lines = 1 },
		{ .old_start = 2, .old_lines = 0, .new_start = 3, .new_lines = 2 },
		{ .old_start = 4, .old_lines = 1, .new_start = 5, .new_lines = 0 },
		{ .old_start = 5, .old_lines = 0, .new_start = 7, .new_lines = 1 },
	};
	const struct diff_file f = { .hunks = hunks, .n_hunks = 4 };
	static const char old_text[] = "one\ntwo\nthree\nfour\nfive\n", new_text[] = "ONE\ntwo\na\n"
										     "b\nthree\nfiv"
										     "e\nsix\n";
	static const struct {
		int line;
		bool with[4];
		const char *text;
	} rows[] = {
		{ __LINE__, { false, false, false, false }, old_text },
		{ __LINE__, { true, true, true, true }, new_text },
		{ __LINE__, { true, false, false, false }, "ONE\ntwo\nthree\nfour\nfive\n" },
		{ __LINE__, { false, true, false, false }, "one\ntwo\na\nb\nthree\nfour\nfive\n" },
		{ __LINE__, { false, false, true, true }, "one\ntwo\nthree\nfive\nsix\n" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct buf old = { 0 }, new = { 0 }, out = { 0 };
		buf_puts(&old, old_text);
		buf_puts(&new, new_text);
		account_split_compose(&f, rows[i].with, &old, &new, &out);
		if (strcmp(buf_str(&out), rows[i].text))
			fail_msg("line %d: %s", rows[i].line, buf_str(&out));
		buf_release(&old), buf_release(&new), buf_release(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commits_are_split_into_what_builds),
		cmocka_unit_test(limits_and_failures_are_told),
		cmocka_unit_test(files_are_composed_of_hunks),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
