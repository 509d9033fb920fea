/* SPDX-License-Identifier: Apache-2.0 */
#include "reports/parts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* What a bisect found, as a card: the answer, and how much to believe it. */

static bool per_time(const char *metric)
{
	return !strncmp(metric, "ops_per_", 8);
}

/* "35.28 → 51.78 instructions per operation, +46.8 % [+45.1, +48.2]": operations per time are told
 * as time per operation. */
static void step_figures(struct line *l, const char *metric, const char *unit, double before,
	double after, double ratio, double lo, double hi, int64_t rounds, const char *verdict)
{
	bool inverse = per_time(metric), exact = !strcmp(metric, "instructions_exact");
	const char *shown = inverse ? "ns per operation"
		: exact		    ? "instructions per operation"
				    : unit;
	if (inverse) {
		double was_lo = lo;
		before = 1e9 / before, after = 1e9 / after, ratio = 1 / ratio;
		lo = 1 / hi, hi = was_lo > 0 ? 1 / was_lo : INFINITY;
	}
	struct figure f = { .value = before,
		.unit = shown,
		.metric = metric,
		.source = exact ? "callgrind" : "paired rounds",
		.lo = NAN,
		.hi = NAN,
		.decimals = exact ? 2 : -1,
		.bare = true,
		.rounds = exact ? 0 : rounds };
	if (isfinite(before) && isfinite(after)) {
		line_figure(l, &f);
		line_text(l, " → ");
		f.value = after, f.bare = false;
		line_figure(l, &f);
		line_text(l, ", ");
	}
	f = (struct figure){ .value = 100 * (ratio - 1),
		.unit = "%",
		.metric = metric,
		.source = exact ? "callgrind" : "paired rounds",
		.lo = 100 * (lo - 1),
		.hi = 100 * (hi - 1),
		.decimals = 1,
		.sign = true,
		.told = true,
		.verdict = verdict,
		.rounds = rounds };
	line_figure(l, &f);
	if (!exact && lo > 0 && isfinite(hi) && lo != hi)
		line_text(l, " [%+.1f, %+.1f]", 100 * (lo - 1), 100 * (hi - 1));
}

static void believe_exact(struct page *p, const json_t *culprit)
{
	struct line *l = page_paragraph(p);
	line_strong(l, "How sure: ");
	line_text(l, "%s with probability %.3f",
		json_is_true(json_object_get(culprit, "named")) ? "named"
								: "the most probable commit,",
		part_num(culprit, "posterior"));
	if (json_is_true(json_object_get(culprit, "proved")))
		line_text(l,
			", and counted beside its parent: the two differ, and counts of one thread "
			"repeat to the instruction.");
	else
		line_text(l, "; it was not yet counted beside its parent.");
}

static void believe_timed(struct page *p, const json_t *culprit)
{
	size_t i;
	json_t *proof;
	struct line *l = page_paragraph(p);
	line_strong(l, "How sure: ");
	line_text(l, "%s with probability %.3f. ",
		json_is_true(json_object_get(culprit, "named")) ? "named"
								: "the most probable commit,",
		part_num(culprit, "posterior"));
	json_array_foreach (json_object_get(culprit, "proofs"), i, proof) {
		const json_t *t = json_object_get(proof, "time");
		char id[16];
		if (!json_is_object(t))
			continue;
		line_text(l, "Side by side with its parent ");
		line_code(l, "%s",
			short_id(part_str(json_object_get(proof, "parent"), "commit"), id));
		line_text(l, ", %.0f rounds: ", part_num(t, "rounds"));
		line_verdict(l, part_str(t, "verdict"));
		line_text(l, "%s. ",
			!strcmp(part_str(t, "scope"), "source")
				? ", of the source: every run had a fresh random link"
				: ", of this binary: its layout was fixed");
		if (*part_str(t, "detail"))
			line_text(l, "(%s) ", part_str(t, "detail"));
	}
}

static void other_evidence(struct page *p, const json_t *culprit, bool exact)
{
	size_t i;
	json_t *proof;
	json_array_foreach (json_object_get(culprit, "proofs"), i, proof) {
		const json_t *t = json_object_get(proof, exact ? "time" : "instructions");
		if (!json_is_object(t))
			continue;
		struct line *l = page_paragraph(p);
		line_strong(l,
			exact ? "The same commit in time: " : "The same commit in instructions: ");
		step_figures(l, part_str(t, "metric"), part_str(t, "metric_unit"),
			part_num(t, "before"), part_num(t, "after"), part_num(t, "value"),
			part_num(t, "lo"), part_num(t, "hi"),
			exact ? (int64_t)part_num(t, "rounds") : 0, part_str(t, "verdict"));
		if (exact) {
			line_text(l, ", %.0f rounds: ", part_num(t, "rounds"));
			line_verdict(l, part_str(t, "verdict"));
		}
		return;
	}
}

static void credible_set(struct page *p, const json_t *culprit)
{
	const json_t *set = json_object_get(culprit, "set");
	size_t i;
	json_t *c;
	if (json_array_size(set) < 2)
		return;
	line_text(
		page_paragraph(p), "It is one of these %zu (credible set):", json_array_size(set));
	json_array_foreach (set, i, c) {
		struct line *l = page_item(p);
		line_text(l, "%.1f %% ", 100 * part_num(c, "probability"));
		part_commit_json(l, c);
	}
}

static void no_culprit(struct page *p, const json_t *result, const char *label, struct line **head)
{
	const char *outcome = part_str(result, "outcome");
	bool none = !strcmp(outcome, "no difference");
	*head = page_open_answer(p, none ? TONE_SAME : TONE_UNSURE, label);
	line_toned(*head, none ? TONE_SAME : TONE_UNSURE, "%s", outcome);
	if (*part_str(result, "why"))
		line_text(*head, ": %s", part_str(result, "why"));
	const json_t *t = json_object_get(json_object_get(result, "ends"), "time");
	if (json_is_object(t)) {
		struct line *l = page_paragraph(p);
		line_text(l, "The ends side by side: ");
		step_figures(l, part_str(t, "metric"), part_str(t, "metric_unit"),
			part_num(t, "before"), part_num(t, "after"), part_num(t, "value"),
			part_num(t, "lo"),
			json_is_number(json_object_get(t, "hi")) ? part_num(t, "hi") : INFINITY,
			(int64_t)part_num(t, "rounds"), part_str(t, "verdict"));
		line_text(l, ", %.0f rounds: ", part_num(t, "rounds"));
		line_verdict(l, part_str(t, "verdict"));
		if (isfinite(part_num(t, "aa_sd")))
			line_text(l, ". Two runs of one build differed by ±%.0f %% here",
				100 * expm1(2 * part_num(t, "aa_sd")));
		line_text(l, ".");
	}
	if (isfinite(part_num(result, "smallest_seen")))
		line_text(page_paragraph(p), "A difference of %.1f %% would have been seen.",
			100 * part_num(result, "smallest_seen"));
}

static void footing(struct page *p, const json_t *result, int64_t id, bool link)
{
	struct line *l = page_note(p);
	char a[16], b[16];
	double commits = part_num(result, "commits");
	line_text(l, "%s, variant %s, by %s, from ", part_str(result, "case"),
		part_str(result, "variant"), part_str(result, "metric"));
	line_code(l, "%s", short_id(part_str(json_object_get(result, "good"), "commit"), a));
	line_text(l, " to ");
	line_code(l, "%s", short_id(part_str(json_object_get(result, "bad"), "commit"), b));
	line_text(l, ": %.0f commits, %.0f builds, %.0f measurements, %.0f s. ", commits,
		part_num(result, "builds"), part_num(result, "measurements"),
		part_num(result, "wall_s"));
	if (link) {
		char stem[32];
		snprintf(stem, sizeof(stem), "bisect-%lld", (long long)id);
		line_link(l, stem, "Every measurement of it");
		line_text(l, ".");
	}
}

/*
 * A step's direction. Where its own interval does not say it, it is the search's alone, and that is
 * told instead. Returns whether it is shown to be a regression.
 */
static bool direction(struct line *l, const json_t *c, bool exact)
{
	const char *word = part_str(c, "direction");
	double lo = part_num(c, "lo"), hi = part_num(c, "hi");
	bool bad = !strcmp(word, "regression");
	line_text(l, " ");
	if (!exact && !((lo > 1 && !(hi < 1)) || (hi < 1 && !(lo > 1)))) {
		line_toned(l, TONE_UNSURE, "unclear");
		line_text(l, " (the search alone says %s, with probability %.3f)", word,
			part_num(c, "posterior"));
		return false;
	}
	line_toned(l, bad ? TONE_BAD : TONE_GOOD, "%s", word);
	return bad;
}

bool part_bisect_answer(
	struct page *p, const json_t *result, const char *label, int64_t id, bool link)
{
	const char *metric = part_str(result, "metric");
	const json_t *culprits = json_object_get(result, "culprits"),
		     *largest = json_array_get(culprits, 0);
	bool exact = !strcmp(metric, "instructions_exact"), worse = false;
	struct line *l;
	if (!largest) {
		no_culprit(p, result, label, &l);
	} else {
		worse = !strcmp(part_str(largest, "direction"), "regression");
		l = page_open_answer(p, worse ? TONE_BAD : TONE_GOOD, label);
		part_commit_json(l, largest);
		line_text(l, ": ");
		step_figures(l, metric, part_str(largest, "unit"), part_num(largest, "before"),
			part_num(largest, "after"), part_num(largest, "ratio"),
			part_num(largest, "lo"), part_num(largest, "hi"), 0,
			part_str(largest, "direction"));
		worse = direction(l, largest, exact);
		if (exact)
			believe_exact(p, largest);
		else
			believe_timed(p, largest);
		credible_set(p, largest);
		other_evidence(p, largest, exact);
		for (size_t i = 1; i < json_array_size(culprits); i++) {
			const json_t *c = json_array_get(culprits, i);
			l = page_item(p);
			line_text(l, "Also ");
			part_commit_json(l, c);
			line_text(l, ": ");
			step_figures(l, metric, part_str(c, "unit"), part_num(c, "before"),
				part_num(c, "after"), part_num(c, "ratio"), part_num(c, "lo"),
				part_num(c, "hi"), 0, part_str(c, "direction"));
			worse |= direction(l, c, exact);
		}
		if (*part_str(result, "why")) {
			l = page_paragraph(p);
			line_toned(l, TONE_UNSURE, "There may be more");
			line_text(l, ": %s.", part_str(result, "why"));
		}
	}
	footing(p, result, id, link);
	page_close(p);
	return worse;
}
