/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/bisect_private.h"

#include "base/buf.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A control that fails may be chance while rounds are few. */
#define INVALID_AFTER 24
/* Rounds one after another in which a run went wrong; that gave no figure, as disturbed ones do. */
#define FAILED_MOST 3
#define WITHOUT_MOST 30
/* Share of the time that the proof of one step by time may take. */
#define PROOF_SHARE 0.2
/* Chance that a side-by-side verdict is wrong, as told to the search. */
#define PROOF_ERROR 0.01

int bisect_side_by_side(struct bisect *b, const struct bisect_pair *p, const char *metric,
			double share_of_time, struct verdict_answer *out, struct error *e)
{
	double began = bisect_used(b);
	int rc = bisect_need_arms(b, p, e);
	if (rc)
		return rc;
	struct verdict_question q = bisect_question(b, p, metric);
	for (size_t failed = 0, without = 0;;) {
		rc = verdict_ask(b->o->store, &q, out, e);
		if (rc)
			return rc;
		bool open = out->a.verdict == STATS_UNCLEAR ||
			    (out->a.verdict == STATS_INVALID && !out->mismatch &&
			     out->a.log.n < INVALID_AFTER);
		double used = bisect_used(b) - began;
		if (!open || used > share_of_time || bisect_out_of_time(b) || failed >= FAILED_MOST ||
		    without >= WITHOUT_MOST)
			return verdict_store(b->o->store, &q, out, false, e);
		bisect_say(b, -1, "%s beside %s: round %zu",
			   b->range.commits[p->after].info.short_id,
			   b->range.commits[p->before].info.short_id, out->a.log.n + 1);
		double x;
		int bad_side;
		rc = bisect_pair_round(b, p, &x, &bad_side, e);
		if (rc)
			return rc;
		failed = bad_side ? failed + 1 : 0;
		without = isnan(x) ? without + 1 : 0;
	}
}

/* The nearest commit at or before `i` along first parents that can be measured, or BISECT_NONE. */
static int measurable(struct bisect *b, size_t i, size_t *found, struct error *e)
{
	for (;;) {
		bool ok;
		int rc = bisect_need_arm(b, i, &ok, e);
		if (rc)
			return rc;
		if (ok) {
			*found = i;
			return 0;
		}
		if (!b->range.commits[i].n_parents) {
			*found = BISECT_NONE;
			return 0;
		}
		i = b->range.commits[i].parents[0];
	}
}

static struct bisect_proof *proof_of(struct bisect *b, size_t commit, size_t parent)
{
	for (size_t i = 0; i < b->n_proofs; i++)
		if (b->proofs[i].commit == commit && b->proofs[i].parent == parent)
			return &b->proofs[i];
	b->proofs = x_realloc(b->proofs, b->n_proofs + 1, sizeof(*b->proofs));
	b->proofs[b->n_proofs] = (struct bisect_proof){
		.commit = commit, .parent = parent, .exact_before = NAN, .exact_after = NAN
	};
	return &b->proofs[b->n_proofs++];
}

static json_t *real_or_null(double v)
{
	return isfinite(v) ? json_real(v) : json_null();
}

bool bisect_proof_confirms(const struct bisect *b, const struct bisect_proof *p)
{
	if (!b->exact)
		return p->timed && (p->own.a.verdict == STATS_REGRESSION ||
				    p->own.a.verdict == STATS_IMPROVEMENT);
	/* Counts of whole processes move by a few instructions with the environment. */
	if (p->counted && b->commits[p->commit].exact.whole_process)
		return fabs(stats_log_ratio(p->exact_before, p->exact_after)) >
		       log1p(b->o->delta >= 0 ? b->o->delta : BISECT_EXACT_DELTA);
	return p->counted && p->exact_before != p->exact_after;
}

static int prove_pair(struct bisect *b, size_t c, size_t parent, bool *confirmed,
		      bool *contradicted, struct error *e)
{
	struct bisect_proof *p = proof_of(b, c, parent);
	/* Nobody chose the ends by what they showed. */
	bool ends = !parent && c + 1 == b->range.n;
	struct bisect_pair pair = { .before = parent, .after = c, .proof = !ends };
	int rc = 0;
	if (b->o->c->exact && !p->counted) {
		bool ok[2];
		rc = bisect_need_exact(b, parent, &ok[0], e);
		if (!rc)
			rc = bisect_need_exact(b, c, &ok[1], e);
		p->counted = !rc && ok[0] && ok[1];
		if (p->counted) {
			p->exact_before = b->commits[parent].exact.per_op;
			p->exact_after = b->commits[c].exact.per_op;
		}
	}
	if (!rc && !p->timed && !bisect_out_of_time(b)) {
		/* The same rounds answer both: by the search's metric whether it is proved, by time
		 * what it means. */
		const char *time = b->exact ? session_metric(b->session, b->index)
					    : bisect_time_metric(b->o->c);
		bool same = b->exact || !strcmp(time, b->metric);
		if (!same)
			rc = bisect_side_by_side(b, &pair, b->metric, PROOF_SHARE, &p->own, e);
		if (!rc)
			rc = bisect_side_by_side(b, &pair, time, PROOF_SHARE, &p->time, e);
		if (same)
			p->own = p->time;
		/* The rounds that time took say more of the other metric, too. */
		else if (!rc && p->own.a.verdict == STATS_UNCLEAR)
			rc = bisect_side_by_side(b, &pair, b->metric, 0, &p->own, e);
		p->timed = !rc;
		if (!rc)
			rc = bisect_step(b, "confirm", c,
					 json_pack("{s:s, s:s, s:o, s:i, s:o, s:o}", "parent",
						   b->range.commits[parent].info.id, "time",
						   stats_verdict_name(p->time.a.verdict), "ratio",
						   real_or_null(p->time.a.ratio), "rounds",
						   (int)p->time.a.log.n, "exact_before",
						   real_or_null(p->exact_before), "exact_after",
						   real_or_null(p->exact_after)),
					 e);
	}
	if (rc)
		return rc;
	*confirmed = bisect_proof_confirms(b, p);
	*contradicted = b->exact ? p->counted && !*confirmed
				 : p->timed && p->own.a.verdict == STATS_NO_CHANGE;
	return 0;
}

int bisect_prove(struct bisect *b, bool *again, struct error *e)
{
	struct search_result r;
	search_get_result(b->search, &r);
	*again = false;
	int rc = 0;
	for (size_t i = 0; !rc && i < r.n_steps; i++) {
		size_t c = r.steps[i].commit, before, alike = BISECT_NONE;
		/* A merge that is like one of its parents only brings in what that one has. */
		bool ok, confirmed = true, contradicted = false;
		if (!r.steps[i].named)
			continue;
		rc = bisect_need_arm(b, c, &ok, e);
		for (size_t k = 0; !rc && ok && k < b->range.commits[c].n_parents; k++) {
			bool yes = false, no = false;
			rc = measurable(b, b->range.commits[c].parents[k], &before, e);
			if (!rc && before != BISECT_NONE && before != c)
				rc = prove_pair(b, c, before, &yes, &no, e);
			confirmed &= yes;
			contradicted |= no;
			alike = no ? before : alike;
		}
		if (!rc && !confirmed && contradicted && (b->exact || !bisect_out_of_time(b))) {
			size_t n;
			rc = bisect_tell_proof(b, alike, c, &n, e);
			/* Named again after that, by nothing new: it is a matter of opinion then. */
			if (rc || (!n && b->commits[c].refuted))
				continue;
			bisect_say(b, -1, "%s is no different from its parent: searching on",
				   b->range.commits[c].info.short_id);
			rc = bisect_refute(b, c, PROOF_ERROR, e);
			*again = true;
		}
	}
	search_result_release(&r);
	return rc;
}
