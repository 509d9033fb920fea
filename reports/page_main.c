/* SPDX-License-Identifier: Apache-2.0 */
#include "reports/parts.h"

#include "base/buf.h"
#include "harness/metric.h"
#include "reports/plot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The first page: what was asked, the answers and how much to believe them, the pictures, the two
 * tables, the machine. */

static bool spans(const struct report *rp, const struct store_bisect_row *b)
{
	return axis_find(&rp->axis, b->good) < rp->axis.n &&
		axis_find(&rp->axis, b->bad) < rp->axis.n;
}

/*
 * The newest search with an answer, by exact count or by time, whose ends this page's commits hold;
 * within the same ends as `like` where that is given. *result: its answer, to be released; NULL:
 * none.
 */
static const struct store_bisect_row *newest_bisect(
	const struct report *rp, bool exact, const struct store_bisect_row *like, json_t **result)
{
	*result = NULL;
	for (size_t i = 0; i < rp->bisects.n; i++) {
		const struct store_bisect_row *b = &rp->bisects.items[i];
		if (!b->result_json || !spans(rp, b) ||
			(like && (strcmp(b->good, like->good) || strcmp(b->bad, like->bad))))
			continue;
		*result = json_loads(b->result_json, 0, NULL);
		if (*result && exact == !strcmp(part_str(*result, "metric"), "instructions_exact"))
			return b;
		json_decref(*result);
		*result = NULL;
	}
	return NULL;
}

static const char *subject_name(const struct report *rp)
{
	return rp->o->subject ? rp->o->subject : "the subject";
}

static void asked(struct report *rp, struct page *p, const json_t *result)
{
	const struct record *r = &rp->run;
	char when[32], a[16], b[16];
	struct line *l = page_lead(p);
	size_t timed = 0, exact = 0;
	for (size_t c = 0; c < r->n_cases; c++)
		timed += r->cases[c].rounds > 0, exact += r->cases[c].exact;
	line_text(l,
		"%zu revisions of %s, %zu cases counted exactly, %zu timed side by side; session "
		"%lld, %s.",
		r->n_arms, subject_name(rp), exact, timed, (long long)r->session->id,
		part_time(r->session->started_s, when));
	if (strcmp(r->session->state, "done"))
		line_toned(page_paragraph(p), TONE_UNSURE,
			"The session is %s%s%s: what follows is what was measured so far.",
			r->session->state, r->session->detail ? ": " : "",
			r->session->detail ? r->session->detail : "");
	if (!result)
		return;
	l = page_paragraph(p);
	const json_t *good = json_object_get(result, "good"), *bad = json_object_get(result, "bad");
	line_strong(l, "Asked: ");
	line_text(l, "which commit between ");
	line_code(l, "%s", short_id(part_str(good, "commit"), a));
	line_text(l, "%s%s%s and ", *part_str(good, "phase") ? " (phase " : "",
		part_str(good, "phase"), *part_str(good, "phase") ? ")" : "");
	line_code(l, "%s", short_id(part_str(bad, "commit"), b));
	line_text(l,
		"%s%s%s moved the figures of %s, in instructions and in time? These are two "
		"questions, and their answers may be two commits.",
		*part_str(bad, "phase") ? " (phase " : "", part_str(bad, "phase"),
		*part_str(bad, "phase") ? ")" : "", part_str(result, "case"));
}

struct largest {
	size_t arm;
	double ratio;
	struct record_change change;
	double before, after;
};

/* Largest change between neighbours, by size whatever its sign; arm 0: none. */
static int largest_timed(const struct record *r, size_t c, struct largest *out, struct error *e)
{
	*out = (struct largest){ .ratio = 1 };
	size_t before = SIZE_MAX;
	int rc = 0;
	for (size_t a = 0; !rc && a < r->n_arms; a++) {
		struct record_change k;
		if (!record_timed_of(r, c, a)->n)
			continue;
		if (before != SIZE_MAX) {
			rc = record_change(r, c, before, a, &k, e);
			if (!rc && k.known && isfinite(k.ratio) && k.ratio > 0 &&
				fabs(log(k.ratio)) > fabs(log(out->ratio)))
				*out = (struct largest){ a, k.ratio, k,
					record_timed_of(r, c, before)->median,
					record_timed_of(r, c, a)->median };
		}
		before = a;
	}
	return rc;
}

static void largest_exact(const struct record *r, size_t c, struct largest *out)
{
	*out = (struct largest){ .ratio = 1 };
	double before = NAN;
	for (size_t a = 0; a < r->n_arms; a++) {
		const struct record_exact *x = record_exact_of(r, c, a);
		if (!x->counted)
			continue;
		if (before > 0 && fabs(log(x->per_op / before)) > fabs(log(out->ratio)))
			*out = (struct largest){ .arm = a,
				.ratio = x->per_op / before,
				.before = before,
				.after = x->per_op };
		before = x->per_op;
	}
}

static void arm_words(struct line *l, const struct record_arm *a)
{
	if (a->commit)
		part_commit(l, a->commit, a->subject, a->phase);
	else
		line_text(l, "%s", a->label);
}

/* Cards for where no bisect has an answer: the phases side by side say something too. */
static int answers_of_phases(struct report *rp, struct page *p, size_t exact_case,
	size_t timed_case, bool need_exact, bool need_timed, struct error *e)
{
	const struct record *r = &rp->run;
	struct largest k;
	if (need_exact && exact_case < r->n_cases) {
		largest_exact(r, exact_case, &k);
		if (k.arm) {
			struct line *l = page_open_answer(p, k.ratio > 1 ? TONE_BAD : TONE_GOOD,
				"Largest change between measured revisions, in instructions");
			arm_words(l, &r->arms[k.arm]);
			line_text(l, ": %.2f → %.2f instructions per operation, %+.1f %% ",
				k.before, k.after, 100 * (k.ratio - 1));
			line_toned(l, k.ratio > 1 ? TONE_BAD : TONE_GOOD,
				k.ratio > 1 ? "regression" : "improvement");
			line_text(page_paragraph(p),
				"Counted by callgrind on %s. The revisions between were not "
				"searched: see hakperf bisect.",
				r->cases[exact_case].name);
			page_close(p);
			rp->worse |= k.ratio > 1;
		}
	}
	if (!need_timed || timed_case >= r->n_cases)
		return 0;
	int rc = largest_timed(r, timed_case, &k, e);
	if (rc || !k.arm)
		return rc;
	const struct record_case *c = &r->cases[timed_case];
	struct line *l = page_open_answer(p, verdict_tone(k.change.verdict),
		"Largest change between neighbouring revisions, in time");
	arm_words(l, &r->arms[k.arm]);
	line_text(l, ": medians %.3g → %.3g %s; paired within rounds %+.1f %%", k.before, k.after,
		record_cost_unit(c), 100 * (k.ratio - 1));
	if (k.change.lo > 0 && isfinite(k.change.hi))
		line_text(l, " [%+.1f, %+.1f]", 100 * (k.change.lo - 1), 100 * (k.change.hi - 1));
	line_text(l, " ");
	line_verdict(l, k.change.verdict);
	l = page_paragraph(p);
	line_strong(l, "How sure: ");
	line_text(l, "%lld interleaved rounds on %s", (long long)k.change.rounds, c->name);
	int beyond = record_beyond_noise(c, &k.change);
	if (beyond >= 0)
		line_text(l,
			"; the change is %s what two runs of one build differ by here (±%.1f %%)",
			beyond ? "more than" : "within", 100 * record_noise(c));
	if (!strcmp(k.change.verdict, "unclear"))
		line_text(l, ". Not enough to tell: about %lld more round%s would likely decide",
			(long long)k.change.more_rounds, PLURAL(k.change.more_rounds));
	line_text(l, ".%s%s", *k.change.detail ? " " : "", k.change.detail);
	page_close(p);
	rp->worse |= !strcmp(k.change.verdict, "regression");
	return 0;
}

static void pictures(struct report *rp, struct page *p, size_t exact_case, size_t timed_case,
	const json_t *result)
{
	const struct record *r = &rp->run;
	struct plot *exact = part_exact_timeline(r, exact_case, &rp->axis, result);
	struct plot *timed =
		timed_case < r->n_cases ? part_timed_timeline(r, timed_case, &rp->axis) : NULL;
	if (!exact && !timed)
		return;
	page_heading(p, 2, "Over the history");
	if (exact) {
		const char *name = exact_case < r->n_cases ? r->cases[exact_case].name
							   : part_str(result, "case");
		struct largest k = { .ratio = 1 };
		if (exact_case < r->n_cases)
			largest_exact(r, exact_case, &k);
		plot_caption(exact,
			"%s. Each disc is a commit that was counted, by callgrind, on its "
			"canonical link: counts of one thread repeat to the instruction, so that "
			"there are no bars. A level holds until the next count.",
			name);
		if (k.arm)
			plot_alt(exact,
				"Instructions per operation of %s over commits. The largest change "
				"between neighbouring phases is at %s: %.2f to %.2f.",
				name, r->arms[k.arm].label, k.before, k.after);
		else
			plot_alt(exact, "Instructions per operation of %s over commits.", name);
		page_plot(p, exact);
	}
	if (timed) {
		const struct record_case *c = &r->cases[timed_case];
		plot_caption(timed,
			"%s, by %s. Each square is the median over a phase's rounds; its bar is "
			"the 95 %% interval of that median (order statistics; none below "
			"six rounds) and holds what drifted meanwhile, which the paired changes in "
			"the tables do not.",
			c->name, c->metric);
		plot_alt(timed, "Time per operation of %s over phases.", c->name);
		page_plot(p, timed);
	}
}

/* With very many revisions the tables are of those that open a phase, each against the shown one
 * before it; the history page has all. */
static bool shown(const struct record *r, size_t a)
{
	return r->n_arms <= RECORD_MANY_ARMS || r->arms[a].phase || a + 1 == r->n_arms;
}

static void exact_table(const struct record *r, struct page *p)
{
	size_t columns = 0;
	for (size_t c = 0; c < r->n_cases; c++)
		columns += r->cases[c].exact;
	if (!columns)
		return;
	page_heading(p, 2, "Instructions per operation, by phase and size class");
	struct table *t = page_table(p,
		"Exact counts by callgrind of the timed region, per operation (one call of malloc "
		"or free); below each the change from the revision "
		"before. Shaded where it changed. They say where to look; time confirms.");
	table_column(t, ALIGN_LEFT, "revision");
	for (size_t c = 0; c < r->n_cases; c++)
		if (r->cases[c].exact)
			table_column(t, ALIGN_RIGHT, "%s",
				columns > 1 && r->cases[c].size_class ? r->cases[c].size_class
								      : r->cases[c].name);
	for (size_t a = 0; a < r->n_arms; a++) {
		if (!shown(r, a))
			continue;
		part_row_head(t, &r->arms[a]);
		for (size_t c = 0; c < r->n_cases; c++) {
			const struct record_exact *x = record_exact_of(r, c, a), *before = NULL;
			if (!r->cases[c].exact)
				continue;
			struct line *l = table_cell(t);
			if (!x->counted) {
				line_toned(l, TONE_DIM, "–");
				table_hover(t, "not counted");
				continue;
			}
			for (size_t b = a; b-- > 0 && !before;)
				if (record_exact_of(r, c, b)->counted && shown(r, b))
					before = record_exact_of(r, c, b);
			struct figure f = part_exact_figure(x);
			line_figure(l, &f);
			if (!before)
				continue;
			double change = x->per_op - before->per_op;
			if (fabs(change) < 0.005)
				line_small(l, "=");
			else
				line_small(l, "%s %+.2f", change > 0 ? "✗" : "✓", change);
			table_shade(t, 3 * log(x->per_op / before->per_op));
		}
	}
	struct line *l = page_note(p);
	for (size_t c = 0; c < r->n_cases; c++)
		if (r->cases[c].exact) {
			line_text(l, "Case: %s.", r->cases[c].words);
			break;
		}
}

static int timed_table(struct report *rp, struct page *p, struct error *e)
{
	const struct record *r = &rp->run;
	size_t columns = 0;
	for (size_t c = 0; c < r->n_cases; c++)
		columns += r->cases[c].timed;
	if (!columns)
		return 0;
	page_heading(p, 2, "Time per operation, by phase and workload");
	struct table *t = page_table(p,
		"Median over rounds; below it the change from the revision before, paired within "
		"rounds, with its always-valid interval, the verdict, and "
		"whether the change exceeds the noise of this run (twice the spread of A/A "
		"pairs).");
	table_column(t, ALIGN_LEFT, "revision");
	for (size_t c = 0; c < r->n_cases; c++)
		if (r->cases[c].timed)
			table_column(t, ALIGN_RIGHT, "%s, %s", r->cases[c].name,
				record_cost_unit(&r->cases[c]));
	int rc = 0;
	for (size_t a = 0; !rc && a < r->n_arms; a++) {
		if (!shown(r, a))
			continue;
		part_row_head(t, &r->arms[a]);
		for (size_t c = 0; !rc && c < r->n_cases; c++) {
			const struct record_case *k = &r->cases[c];
			const struct record_timed *v = record_timed_of(r, c, a);
			if (!k->timed)
				continue;
			struct line *l = table_cell(t);
			if (!v->n) {
				line_toned(l, TONE_DIM, "–");
				table_hover(t, "not measured");
				continue;
			}
			struct figure f = part_timed_figure(k, v);
			line_figure(l, &f);
			size_t before = a;
			while (before-- > 0 &&
				(!record_timed_of(r, c, before)->n || !shown(r, before)))
				;
			if (before >= a)
				continue;
			struct record_change ch;
			rc = record_change(r, c, before, a, &ch, e);
			if (rc || !ch.known)
				continue;
			if (ch.lo > 0 && isfinite(ch.hi))
				line_small(l, "%+.1f %% [%+.1f, %+.1f]", 100 * (ch.ratio - 1),
					100 * (ch.lo - 1), 100 * (ch.hi - 1));
			else
				line_small(l, "%+.1f %%, no interval yet", 100 * (ch.ratio - 1));
			int beyond = record_beyond_noise(k, &ch);
			line_verdict(l, ch.verdict);
			line_small(l, "%s",
				beyond < 0	 ? "noise unknown"
					: beyond ? "beyond noise"
						 : "within noise");
			table_hover(t, "%lld rounds; %s%s%s", (long long)ch.rounds, ch.verdict,
				*ch.detail ? ": " : "", ch.detail);
			if (!strcmp(ch.verdict, "regression") || !strcmp(ch.verdict, "improvement"))
				table_shade(t, 3 * log(ch.ratio));
			rp->worse |= !strcmp(ch.verdict, "regression");
		}
	}
	size_t least = SIZE_MAX, most = 0;
	for (size_t c = 0; c < r->n_cases; c++)
		if (r->cases[c].timed) {
			least = r->cases[c].rounds < least ? r->cases[c].rounds : least;
			most = r->cases[c].rounds > most ? r->cases[c].rounds : most;
		}
	struct line *l = page_note(p);
	char most_words[32] = "";
	if (most > least)
		snprintf(most_words, sizeof(most_words), " to %zu", most);
	line_text(l,
		"%zu%s rounds a workload. One thread is judged by its CPU time, several by wall "
		"time. Smallest effect of interest %.3g %%, confidence %.3g %%; these verdicts are "
		"descriptive: the question that carries the error rate is the bisect's.",
		least, most_words, r->session->delta.known ? 100 * r->session->delta.v : 1,
		r->session->confidence.known ? 100 * r->session->confidence.v : 99.5);
	return rc;
}

static void repeat(struct report *rp, struct page *p)
{
	page_heading(p, 2, "To repeat it");
	page_code(p, rp->o->command ? rp->o->command : "./run.sh");
	line_text(page_note(p),
		"Every sample, with its source and provenance, is in the record (results.db); "
		"hakperf export writes it out. The session's plan was drawn from seed %lld.",
		(long long)rp->run.session->plan_seed);
}

static void all_pages(struct report *rp, struct page *p)
{
	struct line *l;
	char stem[40];
	page_heading(p, 2, "All pages");
	line_link(l = page_item(p), "phases", "Phases");
	line_text(l,
		": every revision and workload against the one before and the base, the functions "
		"a step is made of");
	for (size_t i = 0; i < rp->bisects.n && i < REPORT_BISECTS; i++) {
		const struct store_bisect_row *b = &rp->bisects.items[i];
		char good[16], bad[16];
		snprintf(stem, sizeof(stem), "bisect-%lld", (long long)b->id);
		line_link(l = page_item(p), stem, "Bisect %lld", (long long)b->id);
		line_text(l, ": %s to %s by %s, %s", short_id(b->good, good), short_id(b->bad, bad),
			b->metric ? b->metric : "a metric chosen on the way", b->state);
	}
	line_link(l = page_item(p), "compare", "First against last");
	line_text(l, ": the two ends of this session side by side");
	line_link(l = page_item(p), "history", "History");
	line_text(l, ": every measured commit, and where the figures step");
	line_link(l = page_item(p), "machine", "Machine");
	line_text(l,
		": what was counted and where from, the noise, disturbances, everything in the "
		"record");
}

static int empty(struct page *p)
{
	struct line *l = page_open_answer(p, TONE_UNSURE, "Nothing yet");
	line_text(l, "The record holds no session with figures.");
	line_text(page_paragraph(p),
		"hakperf run fills it with the main job; hakperf bench and hakperf bisect answer "
		"single questions.");
	page_close(p);
	return 0;
}

int page_main(struct report *rp, struct page **out, struct error *e)
{
	struct page *p = page_new("index", "%s: which commit made it slow?",
		rp->o->subject ? rp->o->subject : "hakperf");
	*out = p;
	if (!rp->has_run)
		return empty(p);
	const struct record *r = &rp->run;
	json_t *exact, *timed;
	const struct store_bisect_row *exact_row = newest_bisect(rp, true, NULL, &exact),
				      *timed_row = newest_bisect(rp, false, exact_row, &timed);
	size_t exact_case = r->n_cases, timed_case = r->n_cases;
	if (exact)
		exact_case = record_find_case(r, part_str(exact, "case"));
	if (timed)
		timed_case = record_find_case(r, part_str(timed, "case"));
	for (size_t c = 0; c < r->n_cases; c++) {
		if (exact_case == r->n_cases && r->cases[c].exact && !exact)
			exact_case = c;
		if ((timed_case == r->n_cases || !r->cases[timed_case].timed) && r->cases[c].timed)
			timed_case = c;
	}
	asked(rp, p, exact ? exact : timed);
	if (exact)
		rp->worse |= part_bisect_answer(
			p, exact, "Largest step in instructions", exact_row->id, true);
	if (timed)
		rp->worse |=
			part_bisect_answer(p, timed, "Largest step in time", timed_row->id, true);
	bool time_found = timed && json_array_size(json_object_get(timed, "culprits"));
	int rc = answers_of_phases(rp, p, exact_case, timed_case, !exact, !time_found, e);
	if (!rc) {
		pictures(rp, p, exact_case, timed_case, exact);
		exact_table(r, p);
		rc = timed_table(rp, p, e);
	}
	if (!rc) {
		page_heading(p, 2, "The machine, and what it could not count");
		rc = part_machine(p, r, true, e);
	}
	if (!rc) {
		repeat(rp, p);
		all_pages(rp, p);
	}
	json_decref(exact), json_decref(timed);
	return rc;
}
