/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fs.h"
#include "harness/store.h"
#include "reports/html.h"
#include "reports/markdown.h"
#include "reports/page.h"
#include "reports/report.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define EVIL "<script>alert(1)</script> | `a` [x](javascript:1) \" onload='1"

/* A record with claims and no measurements of its own. */
struct place {
	char folder[64];
	struct store *s;
	struct error e;
};

static void add_claim(struct place *w, int64_t session, const char *name, const char *text,
	const char *configuration, double value, const char *outcome, double seen)
{
	const char *own = "{\"case\":\"pairs small\",\"metric\":\"ops_per_cpu_s\",\"own\":true,"
			  "\"phase\":\"steady\",\"variant\":\"release\"}";
	const struct store_claim c = { .name = name,
		.text = text,
		.revision = "phase:7",
		.configuration_json = configuration,
		.unit = "M ops/s",
		.source = EVIL,
		.claimed_on = "2025-11",
		.value_lo = STORE_REAL(value),
		.value_hi = STORE_REAL(value) };
	int64_t id, unused;
	assert_int_equal(store_claim(w->s, &c, &id, &w->e), 0);
	if (!outcome)
		return;
	struct store_claim_check k = { .claim_id = id,
		.session_id = STORE_INT(session),
		.rounds = STORE_INT(20),
		.result = outcome,
		.configuration_json = own,
		.value = STORE_REAL(seen),
		.value_lo = STORE_REAL(seen * 0.9),
		.value_hi = STORE_REAL(seen * 1.1) };
	assert_int_equal(store_claim_check(w->s, &k, &unused, &w->e), 0);
	k.configuration_json = "{\"overall\":true,\"tried\":1}";
	assert_int_equal(store_claim_check(w->s, &k, &unused, &w->e), 0);
}

static struct place place(void)
{
	struct place w = { .folder = "/tmp/hakperf-story-XXXXXX" };
	static const struct store_fact facts[] = { { "cpu_model", "One" } };
	char path[128];
	int64_t machine, session;
	assert_non_null(mkdtemp(w.folder));
	snprintf(path, sizeof(path), "%s/results.db", w.folder);
	assert_int_equal(store_open(path, STORE_CREATE, &w.s, &w.e), 0);
	assert_int_equal(store_machine(w.s, "one", facts, 1, &machine, &w.e), 0);
	const struct store_session q = { .verb = "claim",
		.request_json = "{}",
		.machine_id = machine,
		.toolkit_version = "test" };
	assert_int_equal(store_session_begin(w.s, &q, &session, &w.e), 0);
	const char *relative = "{\"relative_to\":\"phase:E1\",\"relative_value\":9.2}";
	add_claim(&w, session, "fast", "quick: " EVIL, relative, 59, "not reproduced", 9.66);
	add_claim(&w, session, "same", "no change", "{\"relative_to\":\"phase:E1\"}", 1,
		"reproduced", 1);
	add_claim(&w, session, "new", "never looked at", "{}", 5, NULL, 0);
	return w;
}

static void leave(struct place *w)
{
	store_close(w->s);
	assert_int_equal(fs_remove(w->folder, &w->e), 0);
}

static int story(struct place *w, const char *text, struct page **p, struct error *e)
{
	const struct report_story stories[] = { { "tale", "The tale", text } };
	const struct report_options o = { .out = w->folder, .stories = stories, .n_stories = 1 };
	return report_page(w->s, &o, "tale", NULL, p, NULL, e);
}

static char *told(struct place *w, const char *text)
{
	struct page *p = NULL;
	struct buf b = { 0 };
	assert_int_equal(story(w, text, &p, &w->e), 0);
	markdown_write(p, "", &b);
	page_free(p);
	return buf_detach(&b);
}

static void places_are_filled_from_the_record(void **state)
{
	(void)state;
	struct place w = place();
	char *md = told(&w,
		"# A tale\n\nThe lead\ngoes on.\n\n## Head\n\nClaimed {{claimed fast}}, measured "
		"{{measured fast}}, so {{result fast}}; **strong** `code` 2*3 {one}.\n\n"
		"- one {{exact A B pairs:small}}\n- two {{result none}}\n\n{{claims s*}}\n\n"
		"{{tries fast *release}}\n\n{{tries fast *debug}}\n\nend\n");
	static const char *const holds[] = { "# A tale\n\nThe lead goes on.\n\n## Head\n\n",
		"59 M ops/s, 6.413 × phase:E1", "1.05", "✗ not reproduced (1 tried)", "**strong**",
		"`code`", "2\\*3 {one}", "- one not measured\n- two not measured\n\n", "| `same` |",
		"| pairs small, release (its own) |", "\n\nnot measured\n\nend\n" };
	for (size_t i = 0; i < sizeof(holds) / sizeof(holds[0]); i++)
		if (!strstr(md, holds[i]))
			fail_msg("no '%s' in:\n%s", holds[i], md);
	assert_null(strstr(md, "| `fast` |"));
	free(md);
	leave(&w);
}

static void a_story_that_is_none_names_its_line(void **state)
{
	(void)state;
	static const struct {
		int line;
		const char *text, *message;
	} rows[] = {
		{ __LINE__, "", "the story is empty" },
		{ __LINE__, "\n\nno title\n", "line 3: the title comes first" },
		{ __LINE__, "# T\n\nfirst\nsecond {{exakt a b c}}\n", "{{exakt" },
		{ __LINE__, "# T\n\n{{exact a b}}\n", "line 3: {{exact …}}" },
		{ __LINE__, "# T\n\n{{}}\n", "is no place" },
		{ __LINE__, "# T\n\n{{claims a b}}\n", "{{claims …}}" },
		{ __LINE__, "# T\n\nin a line {{claims a}}\n", "{{claims …}}" },
	};
	struct place w = place();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct error e = { 0 };
		struct page *p = NULL;
		int rc = story(&w, rows[i].text, &p, &e);
		if (rc != -EINVAL || p || !strstr(e.text, rows[i].message))
			fail_msg("row at line %d: %d, '%s'", rows[i].line, rc, e.text);
	}
	leave(&w);
}

static void odd_marks_stay_words(void **state)
{
	(void)state;
	static const char *const texts[] = { "# T\n\n`open\n", "# T\n\n**open\n", "# T\n\n{{open\n",
		"# T\n\n}} ` * { }\n", "# T\n\n- \n", "# T\n\n{{{{}}\n\n", "# T", "# T\n\n##nohead\n",
		"# T\r\n\r\nwords\r\n", "# T\n\n``\n\n****\n" };
	struct place w = place();
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct page *p = NULL;
		struct error e = { 0 };
		int rc = story(&w, texts[i], &p, &e);
		assert_true(!rc == (p != NULL));
		assert_true(!rc || rc == -EINVAL);
		page_free(p);
	}
	leave(&w);
}

static void claims_of_hostile_words_stay_words(void **state)
{
	(void)state;
	struct place w = place();
	struct page *p = NULL;
	struct buf html = { 0 }, md = { 0 };
	const struct report_options o = { .out = w.folder };
	assert_int_equal(report_page(w.s, &o, "claims", NULL, &p, NULL, &w.e), 0);
	html_write(p, "", &html);
	markdown_write(p, "", &md);
	page_free(p);
	assert_null(strstr(html.data, "<script"));
	assert_null(strstr(html.data, " onload='"));
	assert_null(strstr(md.data, "<script"));
	assert_null(strstr(md.data, "[x](javascript"));
	assert_non_null(strstr(md.data, "3 claims: "));
	assert_non_null(strstr(md.data, "1 reproduced"));
	assert_non_null(strstr(md.data, "1 never tried"));
	buf_release(&html), buf_release(&md);
	leave(&w);
}

static void among_the_pages_and_with_pictures(void **state)
{
	(void)state;
	struct place w = place();
	const struct report_story stories[] = { { "tale", "The tale", "# Told\n\n{{measured fast}}\n" },
		{ "bad", "Bad", "no title\n" } };
	const struct report_options o = { .out = w.folder, .stories = stories, .n_stories = 2 };
	char *page = NULL, path[128];
	struct buf text = { 0 };
	assert_int_equal(report_run(w.s, &o, &page, &w.e), 0);
	free(page);
	snprintf(path, sizeof(path), "%s/claims.html", w.folder);
	assert_true(fs_exists(path));
	snprintf(path, sizeof(path), "%s/tale.html", w.folder);
	assert_true(fs_exists(path));
	snprintf(path, sizeof(path), "%s/bad.html", w.folder);
	assert_int_equal(fs_read(path, 1 << 20, &text, &w.e), 0);
	assert_non_null(strstr(text.data, "the title comes first"));
	assert_int_equal(report_illustrate(w.s, &o, "tale", NULL, &page, NULL, &w.e), 0);
	assert_non_null(strstr(page, "/tale.md"));
	free(page);
	buf_release(&text);
	leave(&w);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(places_are_filled_from_the_record),
		cmocka_unit_test(a_story_that_is_none_names_its_line),
		cmocka_unit_test(odd_marks_stay_words),
		cmocka_unit_test(claims_of_hostile_words_stay_words),
		cmocka_unit_test(among_the_pages_and_with_pictures),
	};
	return cmocka_run_group_tests_name("story", tests, NULL, NULL);
}
