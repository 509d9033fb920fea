/* SPDX-License-Identifier: Apache-2.0 */
#include "reports/claims.h"
#include "reports/parts.h"

#include <errno.h>
#include <string.h>

/* What was claimed, and what came of trying it. */

static void answer(struct page *p, const struct claim_list *c)
{
	static const struct {
		const char *result, *words;
		enum tone tone;
	} kinds[] = {
		{ "reproduced", "reproduced", TONE_GOOD },
		{ "reproduced only elsewhere", "reproduced only with other parameters",
			TONE_UNSURE },
		{ "not reproduced, elsewhere unclear",
			"not reproduced where it was claimed, unclear elsewhere", TONE_BAD },
		{ "not reproduced anywhere", "not reproduced at any tried configuration",
			TONE_BAD },
		{ "unclear", "unclear", TONE_UNSURE },
		{ "not tried", "could not be tried", TONE_DIM },
		{ "never tried", "never tried", TONE_DIM },
	};
	size_t found[7] = { 0 }, told = 0;
	for (size_t i = 0; i < c->n; i++)
		for (size_t k = 0; k < 7; k++)
			found[k] += !strcmp(c->items[i].result, kinds[k].result);
	struct line *l = page_open_answer(p,
		found[2]	      ? TONE_BAD
		: found[1] + found[4] ? TONE_UNSURE
				      : TONE_GOOD,
		"Claims");
	line_text(l, "%zu claim%s: ", c->n, PLURAL(c->n));
	for (size_t k = 0; k < 7; k++) {
		if (!found[k])
			continue;
		line_text(l, told++ ? ", " : "");
		line_toned(l, kinds[k].tone, "%zu %s", found[k], kinds[k].words);
	}
	l = page_paragraph(p);
	line_text(l,
		"A claim is met where the whole interval of what was measured lies in its "
		"range, widened by its tolerance; missed where they "
		"do not touch; else unclear. ");
	line_code(l, "hakperf claim verify");
	line_text(l, " tries them again.");
	page_close(p);
}

static void tries(struct page *p, const struct claim_row *k)
{
	struct line *l = page_open_details(p);
	line_code(l, "%s", k->name);
	line_text(l, ": %s", k->text);
	l = page_paragraph(p);
	line_text(l, "Of %s. Claimed: ", k->commit);
	claim_line_claimed(l, k);
	line_text(l, ", taken to be exact to ±%.3g %%. ", 100 * k->tolerance);
	if (k->session)
		line_text(l, "Newest verification: session %lld.", (long long)k->session);
	claim_tries(p, k, NULL);
	page_close(p);
}

int page_claims(struct report *rp, struct page **out, struct error *e)
{
	struct claim_list c = { 0 };
	int rc = claim_list_load(rp->store, &c, e);
	if (!rc && !c.n)
		rc = error_set(e, -ENOENT,
			"the record has no claims: write [claim NAME] in hakperf.ini and run "
			"'hakperf claim verify'");
	if (rc)
		return rc;
	struct page *p = *out = page_new("claims", "Claims: what was said, and what was measured");
	answer(p, &c);
	claim_table(p, &c, NULL);
	page_heading(p, 2, "Each of them");
	for (size_t i = 0; i < c.n; i++)
		tries(p, &c.items[i]);
	claim_list_release(&c);
	return 0;
}
