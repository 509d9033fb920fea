/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/plan.h"

#include "base/buf.h"

#include <assert.h>
#include <stdlib.h>

/* What a draw is for: draws for different purposes are independent. */
enum purpose {
	FOR_ARMS = 1,
	FOR_CASES,
	FOR_LENGTHS,
	FOR_AA_PLACE,
	FOR_CONTROL_PLACE,
	FOR_CONTROL_ORDER,
	FOR_LINK,
	FOR_PADDING,
	FOR_STARTUP,
};

/* Finalizer of SplitMix64 (Steele, Lea & Flood, OOPSLA 2014): a bijection that mixes all bits. */
static uint64_t mix(uint64_t z)
{
	z += 0x9e3779b97f4a7c15u;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* Every draw is a function of what it is for, so that no draw depends on how many were made before
 * it. */
static uint64_t key(uint64_t seed, enum purpose p, uint64_t a, uint64_t b, uint64_t c)
{
	return mix(mix(mix(mix(mix(seed) ^ p) ^ a) ^ b) ^ c);
}

/* Uniform in 0 … n - 1 but for a bias of n / 2^32. */
static uint32_t below(uint64_t draw, uint32_t n)
{
	return (uint32_t)(((draw >> 32) * n) >> 32);
}

static void shuffle(uint32_t *v, size_t n, uint64_t k)
{
	for (size_t i = 0; i < n; i++)
		v[i] = (uint32_t)i;
	for (size_t i = n; i > 1; i--) {
		size_t j = below(mix(k + i), (uint32_t)i);
		uint32_t t = v[i - 1];
		v[i - 1] = v[j];
		v[j] = t;
	}
}

/*
 * Order of n things at the turn-th time. Each block of PLAN_BLOCK turns is made of PLAN_BLOCK / 2
 * drawn orders and their mirror images, in drawn sequence: in every block each thing comes before
 * each other one exactly half of the time, and nobody who knows the turns so far can tell much
 * about the next. v: room for n.
 */
static void take_turns(uint32_t *v, size_t n, uint64_t turn, uint64_t k)
{
	uint32_t slots[PLAN_BLOCK];
	uint64_t block = mix(k ^ turn / PLAN_BLOCK);
	shuffle(slots, PLAN_BLOCK, block);
	uint32_t slot = slots[turn % PLAN_BLOCK];
	shuffle(v, n, mix(block ^ (1 + slot / 2)));
	for (size_t i = 0; slot % 2 && i < n / 2; i++) {
		uint32_t t = v[i];
		v[i] = v[n - 1 - i];
		v[n - 1 - i] = t;
	}
}

static void check(const struct plan_spec *s)
{
	assert(s->arms >= 1 && s->arms <= PLAN_ARMS_MAX);
	assert(s->cases >= 1 && s->cases <= PLAN_CASES_MAX);
	(void)s;
}

static bool every(unsigned period, uint64_t round)
{
	return period && round % period == 0;
}

static bool relinks(const struct plan_spec *s, size_t arm)
{
	return !s->fixed_layout || !s->fixed_layout[arm];
}

static uint32_t aa_arm(const struct plan_spec *s, uint64_t round)
{
	return (uint32_t)(round / s->control_every % s->arms);
}

static size_t extras(const struct plan_spec *s, uint64_t round)
{
	return !every(s->control_every, round) ? 0 : s->no_positive_control ? 1 : 3;
}

const char *plan_role_name(enum plan_role role)
{
	static const char *const names[] = { "subject", "aa", "control-base", "control" };
	assert((size_t)role < sizeof(names) / sizeof(*names));
	return names[role];
}

size_t plan_runs(const struct plan_spec *s, uint64_t round)
{
	check(s);
	size_t lengths = every(s->double_every, round) ? 2 : 1;
	return s->cases * (s->arms * lengths + extras(s, round));
}

size_t plan_runs_max(const struct plan_spec *s)
{
	return plan_runs(s, 0);
}

static void insert(struct plan_run *v, size_t *n, size_t at, struct plan_run r)
{
	for (size_t i = *n; i > at; i--)
		v[i] = v[i - 1];
	v[at] = r;
	++*n;
}

/* A/A beside its arm, before or after; the control's two runs beside each other, anywhere. */
static void add_controls(const struct plan_spec *s, uint64_t round, uint32_t c, struct plan_run *v,
			 size_t *n)
{
	struct plan_run aa = { .arm = aa_arm(s, round), .role = PLAN_AA };
	size_t at = 0;
	while (v[at].arm != aa.arm)
		at++;
	insert(v, n, at + below(key(s->seed, FOR_AA_PLACE, round, c, 0), 2), aa);
	if (s->no_positive_control)
		return;
	struct plan_run base = { .role = PLAN_CONTROL_BASE }, with = { .role = PLAN_CONTROL };
	bool base_first = below(key(s->seed, FOR_CONTROL_ORDER, round, c, 0), 2);
	at = below(key(s->seed, FOR_CONTROL_PLACE, round, c, 0), (uint32_t)*n + 1);
	insert(v, n, at, base_first ? base : with);
	insert(v, n, at + 1, base_first ? with : base);
}

/* The runs of one case and one length. */
static size_t group(const struct plan_spec *s, uint64_t round, uint32_t c, uint32_t multiplier,
		    struct plan_run *v)
{
	uint32_t *arms = x_calloc(s->arms, sizeof(*arms));
	size_t n = 0;
	take_turns(arms, s->arms, multiplier == 2 ? round / s->double_every : round,
		   key(s->seed, FOR_ARMS, c, multiplier, 0));
	for (size_t i = 0; i < s->arms; i++)
		v[n++] = (struct plan_run){ .arm = arms[i], .role = PLAN_SUBJECT };
	free(arms);
	if (multiplier == 1 && extras(s, round))
		add_controls(s, round, c, v, &n);
	for (size_t i = 0; i < n; i++) {
		struct plan_run *r = v + i;
		uint64_t who = (uint64_t)r->role << 32 | r->arm;
		bool control = r->role == PLAN_CONTROL_BASE || r->role == PLAN_CONTROL;
		r->round = round;
		r->case_index = c;
		r->multiplier = multiplier;
		if (control || relinks(s, r->arm))
			r->link_seed = 1 + below(key(s->seed, FOR_LINK, round, who, 0), INT32_MAX);
		r->padding_bytes =
			below(key(s->seed, FOR_PADDING, round, who, c), PLAN_PADDING_MAX + 1);
		r->startup_allocs =
			below(key(s->seed, FOR_STARTUP, round, who, c), PLAN_STARTUP_MAX + 1);
	}
	return n;
}

size_t plan_round(const struct plan_spec *s, uint64_t round, struct plan_run *out)
{
	check(s);
	uint32_t *cases = x_calloc(s->cases, sizeof(*cases));
	size_t n = 0;
	take_turns(cases, s->cases, round, key(s->seed, FOR_CASES, 0, 0, 0));
	for (size_t i = 0; i < s->cases; i++) {
		uint32_t c = cases[i];
		if (!every(s->double_every, round)) {
			n += group(s, round, c, 1, out + n);
			continue;
		}
		uint32_t lengths[2];
		take_turns(lengths, 2, round / s->double_every, key(s->seed, FOR_LENGTHS, c, 0, 0));
		n += group(s, round, c, lengths[0] + 1, out + n);
		n += group(s, round, c, lengths[1] + 1, out + n);
	}
	free(cases);
	for (size_t i = 0; i < n; i++)
		out[i].order = (uint32_t)i;
	assert(n == plan_runs(s, round));
	return n;
}

/* Sums over cases and arms that the time of any round is made of. */
struct sums {
	double one, two; /* all cases once, at N and at 2N operations */
	size_t links;    /* relinkable arms */
};

static struct sums sum_up(const struct plan_spec *s, const struct plan_cost *cost)
{
	check(s);
	struct sums t = { 0 };
	for (size_t c = 0; c < s->cases; c++) {
		t.one += cost->run_ns[c];
		t.two += 2 * cost->run_ns[c] - (cost->fixed_ns ? cost->fixed_ns[c] : 0);
	}
	for (size_t a = 0; a < s->arms; a++)
		t.links += relinks(s, a);
	return t;
}

static double round_ns(const struct plan_spec *s, const struct plan_cost *cost,
		       const struct sums *t, uint64_t round)
{
	size_t extra = extras(s, round), links = t->links;
	if (extra)
		links += (relinks(s, aa_arm(s, round)) ? 1 : 0) + (extra - 1);
	double ns = t->one * (double)(s->arms + extra) + cost->relink_ns * (double)links;
	return ns + (every(s->double_every, round) ? t->two * (double)s->arms : 0);
}

double plan_time_ns(const struct plan_spec *s, const struct plan_cost *cost, uint64_t first,
		    uint64_t n)
{
	struct sums t = sum_up(s, cost);
	double ns = 0;
	for (uint64_t k = first; k < first + n; k++)
		ns += round_ns(s, cost, &t, k);
	return ns;
}

uint64_t plan_rounds_within(const struct plan_spec *s, const struct plan_cost *cost, uint64_t first,
			    double budget_ns)
{
	struct sums t = sum_up(s, cost);
	uint64_t n = 0;
	assert(t.one > 0);
	for (;; n++) {
		budget_ns -= round_ns(s, cost, &t, first + n);
		if (budget_ns < 0)
			return n;
	}
}
