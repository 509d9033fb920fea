/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fs.h"
#include "harness/store.h"
#include "reports/escape.h"
#include "reports/html.h"
#include "reports/markdown.h"
#include "reports/page.h"
#include "reports/plot.h"
#include "reports/plot_svg.h"
#include "reports/report.h"

#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const hostile[] = {
	"<script>alert(1)</script>",
	"\" onmouseover=\"alert(1)",
	"' onload='x",
	"| a | b |",
	"`code` and ``more``",
	"[x](javascript:alert(1))",
	"![i](http://e.invalid)",
	"**bold** _it_ ~~no~~",
	"]]> --> </style></svg>",
	"&lt;i&gt; &amp;",
	"\\\"; system(\"touch x\") #",
	"line\none\ttwo",
	"caf\xe9 \xff\xfe \xc0\xaf",
	"\x1b[31m\x07",
	"right\xe2\x80\xaeleft \xe2\x80\x8b",
	"\xed\xa0\x80 \xf4\x90\x80\x80",
	"%n%s%d",
	"1. list",
	"- item",
	"# head",
	"@everyone",
	"http://e.invalid/",
	"www.e.invalid",
	"W0 W1__ W2",
	"rgb(2,1,3) gpPt0 xlink:href",
	"\xf0\x9f\x90\x9b fine",
};
enum { HOSTILE = sizeof(hostile) / sizeof(hostile[0]) };

/* Does XML text hold nothing but text? Then "<" and bare quotes are gone, and each "&" begins one
 * of our five entities. */
static void assert_inert(const char *s)
{
	for (; *s; s++) {
		assert_false(*s == '<' || *s == '>' || *s == '"' || *s == '\'');
		if (*s == '&')
			assert_true(!strncmp(s, "&amp;", 5) || !strncmp(s, "&lt;", 4) ||
				!strncmp(s, "&gt;", 4) || !strncmp(s, "&quot;", 6) ||
				!strncmp(s, "&#39;", 5));
	}
}

static size_t count(const char *s, const char *what)
{
	size_t n = 0;
	for (; (s = strstr(s, what)); s += strlen(what))
		n++;
	return n;
}

/* Lines that begin a table's row, code blocks left out. */
static size_t table_lines(const char *markdown)
{
	size_t n = 0;
	bool code = false;
	for (const char *s = markdown; *s; s += strcspn(s, "\n"), s += *s == '\n') {
		code ^= !strncmp(s, "```", 3);
		n += !code && *s == '|';
	}
	return n;
}

static void clean_text_is_utf8_without_controls(void **state)
{
	(void)state;
	static const struct {
		int line;
		const char *in, *out;
	} rows[] = {
		{ __LINE__, "plain", "plain" },
		{ __LINE__, NULL, "" },
		{ __LINE__, "a\nb\tc", "a\nb\tc" },
		{ __LINE__, "caf\xe9", "caf\\xe9" },
		{ __LINE__, "caf\xc3\xa9", "caf\xc3\xa9" },
		{ __LINE__, "\x1b[0m\x7f", "\\x1b[0m\\x7f" },
		{ __LINE__, "\xc0\xaf", "\\xc0\\xaf" },			  /* overlong */
		{ __LINE__, "\xed\xa0\x80", "\\xed\\xa0\\x80" },	  /* a surrogate */
		{ __LINE__, "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80" }, /* above U+10FFFF */
		{ __LINE__, "\xe2\x80\xae", "\\xe2\\x80\\xae" }, /* right-to-left override */
		{ __LINE__, "\xc2\x85", "\\xc2\\x85" },		 /* C1 control */
		{ __LINE__, "\xe2\x82", "\\xe2\\x82" },		 /* cut short */
		{ __LINE__, "\xf0\x9f\x90\x9b", "\xf0\x9f\x90\x9b" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *out = text_clean(rows[i].in);
		if (strcmp(out, rows[i].out))
			fail_msg("line %d: '%s'", rows[i].line, out);
		free(out);
	}
}

static void html_text_stays_text(void **state)
{
	(void)state;
	for (size_t i = 0; i < HOSTILE; i++) {
		struct buf b = { 0 };
		char *clean = text_clean(hostile[i]);
		escape_html(clean, &b);
		assert_inert(buf_str(&b));
		buf_release(&b);
		free(clean);
	}
}

static void markdown_text_stays_text(void **state)
{
	(void)state;
	static const struct {
		int line;
		const char *in, *out;
	} rows[] = {
		{ __LINE__, "a|b", "a\\|b" },
		{ __LINE__, "*x*", "\\*x\\*" },
		{ __LINE__, "<b>", "&lt;b&gt;" },
		{ __LINE__, "- item", "\\- item" },
		{ __LINE__, "1. list", "1\\. list" },
		{ __LINE__, "12) x", "12\\) x" },
		{ __LINE__, "# h", "\\# h" },
		{ __LINE__, "a - b", "a - b" },
		{ __LINE__, "x\ny", "x y" },
		{ __LINE__, "\\`", "\\\\\\`" },
		{ __LINE__, "[a](b)", "\\[a\\](b)" },
		{ __LINE__, "http://x", "http&#58;//x" },
		{ __LINE__, "www.x", "www&#46;x" },
		{ __LINE__, "&lt;", "&amp;lt;" },
		{ __LINE__, "@a", "&#64;a" },
		{ __LINE__, "3.5 ns", "3.5 ns" },
		{ __LINE__, "![a]", "\\!\\[a\\]" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf b = { 0 };
		escape_markdown(rows[i].in, &b);
		if (strcmp(buf_str(&b), rows[i].out))
			fail_msg("line %d: '%s'", rows[i].line, buf_str(&b));
		buf_release(&b);
	}
	struct buf b = { 0 };
	escape_markdown_code("a `b` ``c``", false, &b);
	assert_string_equal(b.data, "``` a `b` ``c`` ```");
	buf_reset(&b);
	escape_markdown_code("x|y", true, &b);
	assert_string_equal(b.data, "`x\\|y`");
	buf_reset(&b);
	escape_markdown_code("", true, &b);
	assert_int_equal(b.len, 0);
	buf_release(&b);
}

/* A page with every kind of node, every text hostile. */
static struct page *hostile_page(const char *text)
{
	struct page *p = page_new("hostile", "%s", text);
	struct figure f = { .value = 1.5,
		.unit = text,
		.metric = text,
		.source = text,
		.rounds = 3,
		.lo = 1,
		.hi = 2,
		.verdict = text,
		.decimals = 1 };
	line_text(page_lead(p), "%s", text);
	page_heading(p, 2, "%s", text);
	struct line *l = page_paragraph(p);
	line_text(l, "%s", text), line_strong(l, "%s", text), line_code(l, "%s", text),
		line_quote(l, "%s", text), line_small(l, "%s", text);
	line_toned(l, TONE_BAD, "%s", text), line_figure(l, &f), line_link(l, "index", "%s", text);
	line_text(page_note(p), "%s", text);
	line_text(page_item(p), "%s", text);
	page_code(p, text);
	struct table *t = page_table(p, "%s", text);
	table_column(t, ALIGN_LEFT, "%s", text);
	table_column(t, ALIGN_RIGHT, "%s", text);
	table_begin_row(t);
	table_cell_text(t, "%s", text);
	table_hover(t, "%s", text);
	line_figure(table_cell(t), &f);
	line_text(page_open_answer(p, TONE_GOOD, text), "%s", text);
	page_close(p);
	line_text(page_open_details(p), "%s", text);
	page_close(p);
	struct plot *plot = plot_new(PLOT_TIMELINE, text, text, text);
	plot_caption(plot, "%s", text), plot_alt(plot, "%s", text);
	struct plot_series *s = plot_add_series(plot, text, PLOT_DISC, 0, true);
	plot_add_point(s, 0, 1, 0.5, 1.5, "%s", text),
		plot_add_point(s, 1, 2, NAN, NAN, "%s", text);
	plot_add_series(plot, text, PLOT_RING, 1, false);
	plot_add_tick(plot, 0, true, text);
	plot_add_broken(plot, 1);
	plot->x_lo = -1, plot->x_hi = 2;
	page_plot(p, plot);
	page_link(p, "index", "%s", text), page_link(p, "hostile", "%s", text);
	return p;
}

/* The structure of a page must not depend on its words: as many elements whatever they are. */
static void a_page_keeps_its_structure_under_hostile_words(void **state)
{
	(void)state;
	struct page *plain = hostile_page("plain");
	struct buf want = { 0 }, md = { 0 };
	html_write(plain, "made", &want);
	markdown_write(plain, "made", &md);
	size_t tags = count(want.data, "<"), rows = table_lines(md.data);
	page_free(plain);
	for (size_t i = 0; i < HOSTILE; i++) {
		struct page *p = hostile_page(hostile[i]);
		struct buf html = { 0 }, markdown = { 0 };
		html_write(p, hostile[i], &html);
		markdown_write(p, "made", &markdown);
		if (count(html.data, "<") != tags)
			fail_msg("'%s' made %zu tags of %zu", hostile[i], count(html.data, "<"),
				tags);
		assert_null(strstr(html.data, "<script"));
		assert_int_equal(table_lines(markdown.data), rows);
		/* Markup as such stands in code blocks and code spans alone. */
		assert_true(count(markdown.data, "\n<script") <= 1);
		assert_int_equal(
			count(markdown.data, "<script"), strstr(hostile[i], "<script") ? 4 : 0);
		json_t *j = page_json(p);
		assert_non_null(j);
		char *text = json_dumps(j, 0);
		assert_non_null(text);
		free(text);
		json_decref(j);
		buf_release(&html), buf_release(&markdown);
		page_free(p);
	}
	buf_release(&want), buf_release(&md);
}

static void words_never_reach_gnuplot(void **state)
{
	(void)state;
	struct plot_words words = { 0 };
	struct buf plain = { 0 };
	for (size_t i = 0; i <= HOSTILE; i++) {
		/* Words of one length, so that the place holders are as long. */
		char text[9] = "abcdefgh";
		if (i)
			memcpy(text, "\"';`$\\{}", 8), text[0] = (char)('!' + i);
		struct plot *p = plot_new(PLOT_HEAT, text, text, text);
		plot_add_cell(plot_add_series(p, text, PLOT_DISC, 0, false), 0, 0, 0.5, "%s", text);
		plot_add_row(p, 0, text), plot_add_tick(p, 0, true, text);
		p->x_lo = -1, p->x_hi = 1;
		struct buf script = { 0 };
		plot_script(p, 920, 300, &words, &script);
		if (!i)
			buf_puts(&plain, script.data);
		assert_string_equal(script.data, plain.data);
		assert_true(words.n > 0);
		buf_release(&script);
		plot_words_release(&words);
		plot_free(p);
	}
	buf_release(&plain);
}

static void gnuplots_picture_is_dressed(void **state)
{
	(void)state;
	struct plot *p = plot_new(PLOT_TIMELINE, "t", "x <axis>", "y & z");
	struct plot_series *s = plot_add_series(p, "s", PLOT_DISC, 3, true);
	for (int i = 0; i < 5; i++)
		plot_add_point(s, i, i * i, i * i - 0.5, i * i + 0.5, "point %d <b>&\"", i);
	plot_add_tick(p, 2, true, "E3-1 <script>");
	plot_alt(p, "says \"%s\"", "<all>");
	p->x_lo = -1, p->x_hi = 5;
	struct error e = { 0 };
	int rc = plot_draw(&p, 1, &e);
	if (rc == -ENOENT) {
		print_message("skipped: %s\n", e.text);
		plot_free(p);
		skip();
	}
	assert_int_equal(rc, 0);
	const char *svg = p->svg_wide;
	assert_non_null(strstr(svg, "E3-1 &lt;script&gt;</text>"));
	assert_non_null(strstr(svg, "x &lt;axis&gt;</text>"));
	assert_non_null(strstr(svg, "y &amp; z</text>"));
	assert_non_null(strstr(svg, "aria-label=\"says &quot;&lt;all&gt;&quot;\""));
	for (int i = 0; i < 5; i++) {
		char title[64];
		snprintf(title, sizeof(title), "<title>point %d &lt;b&gt;&amp;&quot;</title>", i);
		assert_int_equal(count(svg, title), 1);
	}
	assert_int_equal(count(svg, "<title>"), 5);
	assert_non_null(strstr(svg, "var(--c3)"));
	assert_int_equal(count(svg, "<g>") + count(svg, "<g "), count(svg, "</g>"));
	assert_null(strstr(svg, "rgb("));
	/* gnuplot's groups say color="black": words that follow it are unreadable on dark paper. */
	assert_null(strstr(svg, "fill=\"currentColor\" font-size"));
	assert_null(strstr(svg, "gpPt"));
	assert_non_null(strstr(svg, "href='#p0wp"));
	assert_non_null(strstr(p->svg_narrow, "href='#p0np"));
	plot_free(p);
}

static void figures_read_as_written(void **state)
{
	(void)state;
	static const struct {
		int line;
		struct figure f;
		const char *text, *basis;
	} rows[] = {
		{ __LINE__,
			{ .value = 45.284,
				.unit = "instructions/op",
				.lo = NAN,
				.hi = NAN,
				.decimals = 2 },
			"45.28 instructions/op", "" },
		{ __LINE__, { .value = NAN, .unit = "ns/op", .lo = NAN, .hi = NAN }, "–", "" },
		{ __LINE__,
			{ .value = -3.26,
				.unit = "%",
				.lo = -4,
				.hi = -2,
				.rounds = 1,
				.decimals = 1,
				.sign = true },
			"−3.3 %", "[−4.0, −2.0], 1 round" },
		{ __LINE__,
			{ .value = 2,
				.unit = "ns/op",
				.lo = 1,
				.hi = INFINITY,
				.rounds = 12,
				.source = "pmu",
				.verdict = "unclear",
				.decimals = 0,
				.bare = true },
			"2", "[1, ∞], 12 rounds, pmu, unclear" },
		{ __LINE__,
			{ .value = 7,
				.lo = 7,
				.hi = 7,
				.rounds = 2,
				.source = "callgrind",
				.decimals = -1 },
			"7.000", "2 counts, callgrind" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf a = { 0 }, b = { 0 };
		figure_print(&rows[i].f, &a);
		figure_basis(&rows[i].f, &b);
		if (strcmp(buf_str(&a), rows[i].text) || strcmp(buf_str(&b), rows[i].basis))
			fail_msg("line %d: '%s', '%s'", rows[i].line, buf_str(&a), buf_str(&b));
		buf_release(&a), buf_release(&b);
	}
}

static void html_and_markdown_and_json_say_the_same(void **state)
{
	(void)state;
	struct page *p = page_new("one", "A page");
	struct figure f = { .value = 31.5,
		.unit = "instructions/op",
		.metric = "instructions_exact",
		.source = "callgrind",
		.rounds = 2,
		.lo = NAN,
		.hi = NAN,
		.decimals = 2 };
	struct table *t = page_table(p, "A table");
	table_column(t, ALIGN_LEFT, "revision");
	table_column(t, ALIGN_RIGHT, "count");
	table_begin_row(t);
	table_cell_text(t, "E1");
	line_figure(table_cell(t), &f);
	line_verdict(page_paragraph(p), "regression");
	struct buf html = { 0 }, md = { 0 };
	html_write(p, "made", &html);
	markdown_write(p, "made", &md);
	assert_non_null(strstr(html.data, ">31.50 instructions/op</span>"));
	assert_non_null(strstr(html.data, "title=\"instructions_exact: 2 counts, callgrind\""));
	assert_non_null(strstr(md.data, "| E1 | 31.50 instructions/op |"));
	/* A sign beside the colour. */
	assert_non_null(strstr(html.data,
		"<span class=\"bad\"><span aria-hidden=\"true\">✗</span>&#160;regression</span>"));
	assert_non_null(strstr(md.data, "✗ regression"));
	json_t *j = page_json(p),
	       *cell = json_array_get(
		       json_array_get(
			       json_object_get(
				       json_array_get(json_object_get(j, "content"), 0), "rows"),
			       0),
		       1);
	json_t *figure = json_object_get(cell, "figure");
	assert_true(json_number_value(json_object_get(figure, "value")) == 31.5);
	assert_string_equal(json_string_value(json_object_get(figure, "source")), "callgrind");
	assert_int_equal(json_integer_value(json_object_get(figure, "rounds")), 2);
	assert_true(json_is_null(json_object_get(figure, "lo")));
	json_decref(j);
	buf_release(&html), buf_release(&md);
	page_free(p);
}

struct place {
	char folder[64];
	struct store *s;
	struct error e;
};

static struct place place(void)
{
	struct place w = { .folder = "/tmp/hakperf-report-XXXXXX" };
	assert_non_null(mkdtemp(w.folder));
	char *path = x_printf("%s/results.db", w.folder);
	assert_int_equal(store_open(path, STORE_CREATE, &w.s, &w.e), 0);
	free(path);
	return w;
}

static void leave(struct place *w)
{
	store_close(w->s);
	assert_int_equal(fs_remove(w->folder, &w->e), 0);
}

static void an_empty_record_gives_a_page_that_says_so(void **state)
{
	(void)state;
	struct place w = place();
	char *page = NULL;
	struct buf html = { 0 };
	struct report_options o = { .out = w.folder };
	assert_int_equal(report_run(w.s, &o, &page, &w.e), 0);
	assert_int_equal(fs_read(page, 1u << 20, &html, &w.e), 0);
	assert_non_null(strstr(html.data, "The record holds no session with figures."));
	assert_null(strstr(html.data, "phases.html"));
	struct page *p;
	static const char *const needs[] = { "phases", "bisect", "compare", "history", "machine" };
	for (size_t i = 0; i < 5; i++) {
		struct error why = { 0 };
		assert_int_equal(report_page(w.s, &o, needs[i], NULL, &p, NULL, &why), -ENOENT);
		assert_non_null(strstr(why.text, "hakperf "));
		assert_null(p);
	}
	struct error why = { 0 };
	assert_int_equal(report_page(w.s, &o, "nonsense", NULL, &p, NULL, &why), -EINVAL);
	free(page);
	buf_release(&html);
	leave(&w);
}

/* One session, two arms, one case; a_ns and b_ns: what an operation costs, over `rounds` rounds. */
static void small_session(struct place *w, double a_ns, double b_ns, int64_t rounds, bool exact)
{
	static const struct store_fact facts[] = { { "cpu_model", "One" }, { "governor", NULL },
		{ "pmus", "software" } };
	int64_t machine, session, sitting, workload, case_id, build[2], commit[2], arm[2];
	struct store *s = w->s;
	assert_int_equal(store_machine(s, "m", facts, 3, &machine, &w->e), 0);
	struct store_session q = { .verb = "run",
		.request_json = "{}",
		.machine_id = machine,
		.toolkit_version = "test" };
	assert_int_equal(store_session_begin(s, &q, &session, &w->e), 0);
	assert_int_equal(
		store_sitting_begin(s, session, STORE_INT(0), "test", facts, 3, &sitting, &w->e),
		0);
	assert_int_equal(store_workload(s, "hot_path", "hot_path", "x", &workload, &w->e), 0);
	struct store_case c = { .workload_id = workload,
		.size_class = "C4",
		.cycles = STORE_INT(1000),
		.seed = STORE_INT(42) };
	assert_int_equal(store_case(s, &c, &case_id, &w->e), 0);
	for (int i = 0; i < 2; i++) {
		char id[41];
		snprintf(id, sizeof(id), "%040d", i + 1);
		struct store_commit k = { .full_id = id,
			.subject = i ? "<b>second</b>" : "first",
			.phase = i ? "two" : "one",
			.author_time_s = STORE_INT(1000 + i) };
		assert_int_equal(store_commit_info(s, &k, &commit[i], &w->e), 0);
		struct store_build b = { .key = id,
			.kind = "preload",
			.variant = "release",
			.outcome = "ok",
			.artifact_hash = id };
		assert_int_equal(store_build(s, &b, &build[i], &w->e), 0);
		struct store_arm a = { .number = i,
			.role = "subject",
			.build_id = build[i],
			.commit_id = STORE_INT(commit[i]),
			.label = i ? "two" : "one" };
		assert_int_equal(store_arm(s, session, &a, &arm[i], &w->e), 0);
	}
	for (int64_t n = 0; n < rounds; n++) {
		struct store_sample v[2];
		struct store_run runs[2];
		for (int i = 0; i < 2; i++) {
			v[i] = (struct store_sample){ .metric = "ops_per_cpu_s",
				.value = STORE_FIGURE(
					1e9 / (i ? b_ns : a_ns) * (1 + 1e-4 * (double)(n % 3))),
				.source = "thread_cpu_clock",
				.quality = "measured" };
			runs[i] = (struct store_run){ .arm_id = arm[i],
				.multiplier = 1,
				.outcome = "ok",
				.operations = STORE_INT(1000),
				.checksum = "1",
				.link_seed = STORE_INT(n + 1),
				.samples = &v[i],
				.n_samples = 1 };
		}
		struct store_round r = { .session_id = session,
			.case_id = case_id,
			.number = n,
			.kind = STORE_TIMED,
			.runs = runs,
			.n_runs = 2 };
		assert_int_equal(store_round(s, &r, NULL, NULL, &w->e), 0);
	}
	for (int64_t i = 0; i < 2 && exact; i++) {
		struct store_sample v = { .metric = "instructions_exact",
			.value = STORE_COUNT(i ? 31000 : 23000),
			.source = "callgrind",
			.quality = "exact" };
		struct store_run run = { .arm_id = arm[i],
			.multiplier = 1,
			.outcome = "ok",
			.operations = STORE_INT(1000),
			.samples = &v,
			.n_samples = 1 };
		struct store_round r = { .session_id = session,
			.case_id = case_id,
			.number = i,
			.kind = STORE_EXACT,
			.runs = &run,
			.n_runs = 1 };
		assert_int_equal(store_round(s, &r, NULL, NULL, &w->e), 0);
	}
	assert_int_equal(store_session_end(s, session, sitting, "done", NULL, NULL, 0, &w->e), 0);
}

static char *markdown_of(struct place *w, const char *name, const char *argument, bool *worse)
{
	struct report_options o = { .out = w->folder };
	struct page *p = NULL;
	struct buf b = { 0 };
	int rc = report_page(w->s, &o, name, argument, &p, worse, &w->e);
	if (rc)
		fail_msg("%s: %s", name, w->e.text);
	markdown_write(p, "", &b);
	page_free(p);
	return buf_detach(&b);
}

static void a_regression_is_told_with_figure_and_verdict(void **state)
{
	(void)state;
	struct place w = place();
	bool worse = false;
	small_session(&w, 2.5, 3, 24, true);
	char *md = markdown_of(&w, "index", NULL, &worse);
	assert_true(worse);
	assert_non_null(strstr(md, "23.00 → 31.00 instructions per operation, +34.8 %"));
	assert_non_null(strstr(md, "✗ regression"));
	assert_non_null(strstr(md, "+20.0 %"));
	free(md);
	md = markdown_of(&w, "compare", "one..two", &worse);
	assert_true(worse);
	assert_non_null(strstr(md, "1 regression"));
	assert_non_null(strstr(md, "+20.0 %"));
	free(md);
	md = markdown_of(&w, "compare", "two..one", &worse);
	assert_false(worse);
	assert_non_null(strstr(md, "1 improvement"));
	assert_non_null(strstr(md, "−16.7 %"));
	free(md);
	leave(&w);
}

static void the_same_twice_is_no_regression(void **state)
{
	(void)state;
	struct place w = place();
	bool worse = true;
	small_session(&w, 2.5, 2.5, 40, false);
	char *md = markdown_of(&w, "compare", NULL, &worse);
	assert_false(worse);
	assert_non_null(strstr(md, "= no change"));
	free(md);
	leave(&w);
}

static void what_was_not_counted_is_said_and_not_zero(void **state)
{
	(void)state;
	struct place w = place();
	small_session(&w, 2.5, 3, 3, false);
	char *md = markdown_of(&w, "index", NULL, NULL);
	assert_non_null(strstr(md, "**Not counted:** cycles, instructions, branches"));
	assert_non_null(strstr(md, "absent, not zero"));
	assert_non_null(strstr(md, "| governor | not readable here |"));
	assert_null(strstr(md, "Instructions per operation, by phase"));
	assert_non_null(strstr(md, "? unclear"));
	assert_non_null(strstr(md, "noise unknown"));
	free(md);
	md = markdown_of(&w, "phases", NULL, NULL);
	assert_non_null(strstr(md, "too few A/A pairs"));
	assert_null(strstr(md, "cycles/op (PMU)"));
	free(md);
	leave(&w);
}

static void a_session_without_rounds_is_no_crash(void **state)
{
	(void)state;
	struct place w = place();
	char *page = NULL;
	small_session(&w, 2.5, 3, 0, false);
	struct report_options o = { .out = w.folder };
	assert_int_equal(report_run(w.s, &o, &page, &w.e), 0);
	free(page);
	leave(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(clean_text_is_utf8_without_controls),
		cmocka_unit_test(html_text_stays_text),
		cmocka_unit_test(markdown_text_stays_text),
		cmocka_unit_test(a_page_keeps_its_structure_under_hostile_words),
		cmocka_unit_test(words_never_reach_gnuplot),
		cmocka_unit_test(gnuplots_picture_is_dressed),
		cmocka_unit_test(figures_read_as_written),
		cmocka_unit_test(html_and_markdown_and_json_say_the_same),
		cmocka_unit_test(an_empty_record_gives_a_page_that_says_so),
		cmocka_unit_test(a_regression_is_told_with_figure_and_verdict),
		cmocka_unit_test(the_same_twice_is_no_regression),
		cmocka_unit_test(what_was_not_counted_is_said_and_not_zero),
		cmocka_unit_test(a_session_without_rounds_is_no_crash),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
