/* SPDX-License-Identifier: Apache-2.0 */
#include "config/config.h"

#include "base/buf.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <libgen.h>
#include <regex.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* libinih 55 as Debian builds it cuts lines at 200 and section names at 50 bytes without a word. */
#define LINE_MAX_BYTES 190
#define SECTION_MAX_BYTES 45

struct loader {
	struct config *c;
	FILE *file;
	const char *path;
	int line;
	char section[64], key[64]; /* the pair before, since a continuation line repeats its key */
	struct error *e;
};

static int bad(struct loader *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int bad(struct loader *l, const char *fmt, ...)
{
	char text[512];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!l->line)
		return error_set(l->e, -EINVAL, "%s: %s", l->path, text);
	return error_set(l->e, -EINVAL, "%s:%d: %s", l->path, l->line, text);
}

/* What a section's keys mean together is known at the end: the message names where the section begins. */
#define bad_at(l, at, ...) ((l)->line = (at), bad((l), __VA_ARGS__))

static void list_add(char ***list, const char *s)
{
	size_t n = 0;
	while (*list && (*list)[n])
		n++;
	*list = x_realloc(*list, n + 2, sizeof(**list));
	(*list)[n] = x_strdup(s);
	(*list)[n + 1] = NULL;
}

/* Split at white space and commas; double quotes keep a word together. */
static void list_words(char ***list, const char *s)
{
	for (;;) {
		s += strspn(s, " \t,");
		if (!*s)
			return;
		struct buf word = { 0 };
		bool quoted = false;
		for (; *s && (quoted || !strchr(" \t,", *s)); s++) {
			if (*s == '"')
				quoted = !quoted;
			else
				buf_putc(&word, *s);
		}
		list_add(list, buf_str(&word));
		buf_release(&word);
	}
}

static void list_free(char **list)
{
	for (char **s = list; s && *s; s++)
		free(*s);
	free(list);
}

static void set(char **slot, const char *value)
{
	free(*slot);
	*slot = x_strdup(value);
}

static int number(struct loader *l, const char *key, const char *value, uint64_t *out)
{
	char *end;
	errno = 0;
	unsigned long long v = strtoull(value, &end, 10);
	if (!isdigit((unsigned char)*value) || *end || errno)
		return bad(l, "%s = %s: not a whole number", key, value);
	*out = v;
	return 0;
}

static int one_of(struct loader *l, const char *key, const char *value, const char *first, const char *second, bool *is_second)
{
	*is_second = !strcmp(value, second);
	if (*is_second || !strcmp(value, first))
		return 0;
	return bad(l, "%s = %s: write %s or %s", key, value, first, second);
}

/* The element of that name, appended zeroed when there is none. Every such struct has a `char *name`. */
#define named(array, n, wanted)                                                     \
	({                                                                          \
		size_t at_ = 0;                                                     \
		while (at_ < (n) && strcmp((array)[at_].name, (wanted)))            \
			at_++;                                                      \
		if (at_ == (n)) {                                                   \
			(array) = x_realloc((array), (n) + 1, sizeof(*(array)));    \
			memset(&(array)[at_], 0, sizeof(*(array)));                 \
			(array)[at_].name = x_strdup(wanted);                       \
			(n)++;                                                      \
		}                                                                   \
		&(array)[at_];                                                      \
	})

/* A step a line; a line that ends in a backslash goes on in the next. */
static void build_step(char ***steps, const char *value)
{
	size_t n = 0;
	while (*steps && (*steps)[n])
		n++;
	char *last = n ? (*steps)[n - 1] : NULL;
	size_t len = last ? strlen(last) : 0;
	if (!len || last[len - 1] != '\\') {
		list_add(steps, value);
		return;
	}
	last[len - 1] = '\0';
	(*steps)[n - 1] = x_printf("%s%s", last, value);
	free(last);
}

static int recipe_key(struct loader *l, const char *name, const char *key, const char *value)
{
	struct config_recipe *r = named(l->c->recipes, l->c->n_recipes, name);
	r->line = r->line ? r->line : l->line;
	if (!strcmp(key, "build"))
		build_step(&r->build, value);
	else if (!strcmp(key, "artifact"))
		set(&r->artifact, value);
	else if (!strcmp(key, "test"))
		build_step(&r->test, value);
	else if (strcmp(key, "range"))
		return bad(l, "[recipe %s] has no key '%s'", name, key);
	else if (!strstr(value, ".."))
		return bad(l, "range = %s: write A..B", value);
	else
		set(&r->range, value);
	return 0;
}

static int seconds(struct loader *l, const char *key, const char *value, unsigned *out)
{
	uint64_t n;
	int rc = number(l, key, value, &n);
	if (rc)
		return rc;
	if (n < 1 || n > 86400)
		return bad(l, "%s = %s: seconds, 1 to 86400", key, value);
	*out = (unsigned)n;
	return 0;
}

static int subject_key(struct loader *l, const char *name, const char *key, const char *value)
{
	(void)name;
	struct config_subject *s = &l->c->subject;
	if (!strcmp(key, "build") || !strcmp(key, "test") || !strcmp(key, "artifact"))
		return recipe_key(l, "", key, value);
	if (!strcmp(key, "build_timeout"))
		return seconds(l, key, value, &s->build_timeout_s);
	if (!strcmp(key, "run_timeout"))
		return seconds(l, key, value, &s->run_timeout_s);
	if (!strcmp(key, "network"))
		return one_of(l, key, value, "no", "yes", &s->network);
	if (!strcmp(key, "use")) {
		static const char *const words[] = { "preload", "exec", "library" };
		for (unsigned i = 0; i < 3; i++)
			if (!strcmp(value, words[i])) {
				s->use = (enum config_use)i;
				return 0;
			}
		return bad(l, "use = %s: write preload, exec or library", value);
	}
	const struct { const char *key; char **slot; } texts[] = {
		{ "name", &s->name }, { "repository", &s->repository }, { "cc", &s->cc }, { "cflags", &s->cflags },
	};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (!strcmp(key, texts[i].key)) {
			set(texts[i].slot, value);
			return 0;
		}
	const struct { const char *key; char ***list; } lists[] = {
		{ "paths", &s->paths }, { "build_env", &s->build_env }, { "run_env", &s->run_env },
	};
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		if (!strcmp(key, lists[i].key)) {
			list_words(lists[i].list, value);
			return 0;
		}
	return bad(l, "[subject] has no key '%s'", key);
}

static int variant_key(struct loader *l, const char *name, const char *key, const char *value)
{
	struct config_variant *v = named(l->c->variants, l->c->n_variants, name);
	if (strcmp(key, "arguments"))
		return bad(l, "[variant %s] has no key '%s'", name, key);
	set(&v->arguments, strcmp(value, "none") ? value : "");
	return 0;
}

static int class_key(struct loader *l, const char *name, const char *key, const char *value)
{
	struct config_class *k = named(l->c->classes, l->c->n_classes, name);
	k->line = k->line ? k->line : l->line;
	if (!strcmp(key, "min"))
		return number(l, key, value, &k->min);
	if (!strcmp(key, "max"))
		return number(l, key, value, &k->max);
	return bad(l, "[class %s] has no key '%s'", name, key);
}

static int workload_key(struct loader *l, const char *name, const char *key, const char *value)
{
	struct config_workload *w = named(l->c->workloads, l->c->n_workloads, name);
	w->line = w->line ? w->line : l->line;
	bool second;
	int rc = 0;
	if (!strcmp(key, "command"))
		list_words(&w->command, value);
	else if (!strcmp(key, "classes"))
		list_words(&w->classes, value);
	else if (!strcmp(key, "scale"))
		set(&w->scale, value);
	else if (!strcmp(key, "figure"))
		set(&w->figure, value);
	else if (!strcmp(key, "figure_unit"))
		set(&w->figure_unit, value);
	else if (!strcmp(key, "exact"))
		rc = one_of(l, key, value, "no", "yes", &w->exact);
	else if (!strcmp(key, "figure_better"))
		rc = one_of(l, key, value, "higher", "lower", &w->figure_lower_is_better);
	else if (!strcmp(key, "judge")) {
		rc = one_of(l, key, value, "cpu", "wall", &second);
		w->judge = second ? CONFIG_BY_WALL : CONFIG_BY_CPU;
	} else if (!strcmp(key, "phase")) {
		rc = one_of(l, key, value, "steady", "cold", &second);
		set(&w->phase, value);
	} else {
		if (key[strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789_")])
			return bad(l, "[workload %s] has no key '%s' (parameters are "
				"lower-case words)", name, key);
		struct config_param *p = named(w->params, w->n_params, key);
		list_words(&p->values, value);
	}
	return rc;
}

static int claim_number(struct loader *l, const char *value, double *lo, double *hi)
{
	char first[64], *end;
	const char *dots = strstr(value, "..");
	snprintf(first, sizeof(first), "%.*s", dots ? (int)(dots - value) : (int)strlen(value), value);
	*lo = *hi = strtod(first, &end);
	bool ok = end != first && !*end;
	if (ok && dots) {
		*hi = strtod(dots + 2, &end);
		ok = dots[2] && !*end;
	}
	return ok ? 0 : bad(l, "value = %s: write a number or LOW..HIGH", value);
}

/* A positive number; "5%" is 0.05. */
static int claim_positive(struct loader *l, const char *key, const char *value, double *out)
{
	char *end;
	*out = strtod(value, &end);
	if (end != value && *end == '%')
		*out /= 100, end++;
	return end != value && !*end && *out > 0 ? 0 : bad(l, "%s = %s: write a number above 0", key, value);
}

static int claim_key(struct loader *l, const char *name, const char *key, const char *value)
{
	size_t before = l->c->n_claims;
	struct config_claim *k = named(l->c->claims, l->c->n_claims, name);
	if (l->c->n_claims > before)
		config_claim_defaults(k), k->line = l->line;
	if (!strcmp(key, "value"))
		return claim_number(l, value, &k->lo, &k->hi);
	if (!strcmp(key, "relative_value"))
		return claim_positive(l, key, value, &k->relative_value);
	if (!strcmp(key, "operations"))
		return claim_positive(l, key, value, &k->operations);
	if (!strcmp(key, "tolerance"))
		return claim_positive(l, key, value, &k->tolerance);
	if (!strcmp(key, "params")) {
		list_words(&k->params, value);
		return 0;
	}
	if (!strcmp(key, "compare")) {
		k->difference = !strcmp(value, "difference");
		return k->difference || !strcmp(value, "ratio") ? 0 : bad(l, "compare = %s: write ratio or difference", value);
	}
	const struct { const char *key; char **slot; } texts[] = {
		{ "text", &k->text }, { "commit", &k->commit }, { "workload", &k->workload }, { "class", &k->class_name },
		{ "variant", &k->variant }, { "metric", &k->metric }, { "unit", &k->unit }, { "source", &k->source },
		{ "date", &k->date }, { "relative_to", &k->relative_to }, { "function", &k->function }, { "entry", &k->entry },
	};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		if (strcmp(key, texts[i].key))
			continue;
		char *joined = *texts[i].slot ? x_printf("%s %s", *texts[i].slot, value) : x_strdup(value);
		free(*texts[i].slot);
		*texts[i].slot = joined;
		return 0;
	}
	return bad(l, "[claim %s] has no key '%s'", name, key);
}

static int part_key(struct loader *l, const char *name, const char *key, const char *value)
{
	struct config_part *p = named(l->c->parts, l->c->n_parts, name);
	if (strcmp(key, "match"))
		return bad(l, "[part %s] has no key '%s'", name, key);
	list_words(&p->patterns, value);
	return 0;
}

static int story_key(struct loader *l, const char *name, const char *key, const char *value)
{
	struct config_story *t = named(l->c->stories, l->c->n_stories, name);
	t->line = t->line ? t->line : l->line;
	if (name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-")])
		return bad(l, "[story %s]: the name is a file's: lower-case letters, digits "
			"and -", name);
	if (!strcmp(key, "file"))
		set(&t->file, value);
	else if (!strcmp(key, "title"))
		set(&t->title, value);
	else
		return bad(l, "[story %s] has no key '%s'", name, key);
	return 0;
}

static void cell_parse(const char *word, struct config_cell *cell)
{
	size_t n = strcspn(word, ":");
	cell->workload = x_printf("%.*s", (int)n, word);
	cell->class_name = word[n] ? x_strdup(word + n + 1) : NULL;
}

static void cells(const char *value, struct config_cell **list, size_t *n)
{
	char **words = NULL;
	list_words(&words, value);
	for (char **w = words; w && *w; w++) {
		*list = x_realloc(*list, *n + 1, sizeof(**list));
		cell_parse(*w, &(*list)[(*n)++]);
	}
	list_free(words);
}

static int main_key(struct loader *l, const char *name, const char *key, const char *value)
{
	(void)name;
	struct config_main *m = &l->c->main_job;
	m->line = m->line ? m->line : l->line;
	if (!strcmp(key, "good"))
		set(&m->good, value);
	else if (!strcmp(key, "bad"))
		set(&m->bad, value);
	else if (!strcmp(key, "exact"))
		cells(value, &m->exact, &m->n_exact);
	else if (!strcmp(key, "timed"))
		cells(value, &m->timed, &m->n_timed), m->timed_given = true;
	else if (strcmp(key, "bisect"))
		return bad(l, "[main] has no key '%s'", key);
	else if (strpbrk(value, " \t,"))
		return bad(l, "bisect = %s: one cell, WORKLOAD or WORKLOAD:CLASS", value);
	else
		cell_parse(value, &m->bisect);
	return 0;
}

static const struct kind {
	const char *kind;
	bool wants_name;
	const char *repeats; /* keys that may stand again or go on in an indented line, each between blanks */
	int (*key)(struct loader *, const char *name, const char *key, const char *value);
} kinds[] = {
	{ "subject", false, " build test paths build_env run_env ", subject_key },
	{ "recipe", true, " build test ", recipe_key },
	{ "variant", true, " ", variant_key },
	{ "class", true, " ", class_key },
	{ "workload", true, " command classes ", workload_key },
	{ "claim", true, " text params ", claim_key },
	{ "part", true, " match ", part_key },
	{ "story", true, " ", story_key },
	{ "main", false, " timed exact ", main_key },
};

static int dispatch(struct loader *l, const char *section, const char *key, const char *value)
{
	size_t n = strcspn(section, " ");
	const char *name = section + n + strspn(section + n, " ");
	const struct kind *k = NULL;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strlen(kinds[i].kind) == n && !strncmp(kinds[i].kind, section, n))
			k = &kinds[i];
	if (!k)
		return bad(l, "no such section: [%s]", section);
	if (k->wants_name != (*name != '\0'))
		return bad(l, k->wants_name ? "[%s] wants a name" : "[%s] takes no name", section);
	char padded[80];
	snprintf(padded, sizeof(padded), " %.70s ", key);
	if (!strcmp(l->section, section) && !strcmp(l->key, key) && !strstr(k->repeats, padded))
		return bad(l, "'%s' stands twice in [%s], or goes on in an indented line", key, section);
	snprintf(l->section, sizeof(l->section), "%s", section);
	snprintf(l->key, sizeof(l->key), "%s", key);
	if (!*value)
		return bad(l, "'%s' has no value", key);
	return k->key(l, name, key, value);
}

static int handler(void *user, const char *section, const char *key, const char *value)
{
	struct loader *l = user;
	if (!l->e->code)
		dispatch(l, section, key, value);
	return 1;
}

/* fgets-style reader for libinih that counts lines and refuses what libinih would cut in silence. */
static char *reader(char *str, int num, void *stream)
{
	struct loader *l = stream;
	if (!fgets(str, num, l->file))
		return NULL;
	l->line++;
	size_t n = strlen(str);
	bool cut = n && str[n - 1] != '\n' && !feof(l->file);
	if (cut || n > LINE_MAX_BYTES)
		bad(l, "the line is longer than %d bytes: go on in an indented line", LINE_MAX_BYTES);
	else if (str[0] == '[' && strcspn(str, "]") > SECTION_MAX_BYTES)
		bad(l, "the section's name is longer than %d bytes", SECTION_MAX_BYTES);
	return l->e->code ? NULL : str;
}

static int check_recipes(struct loader *l)
{
	struct config *c = l->c;
	for (size_t i = 0; i < c->n_recipes; i++) {
		struct config_recipe *r = &c->recipes[i];
		const char *where = i ? r->name : "subject";
		if (!r->build)
			return bad_at(l, r->line, "[%s] has no build command", where);
		if (i && !r->artifact && c->recipes[0].artifact)
			r->artifact = x_strdup(c->recipes[0].artifact);
		if (!r->artifact)
			return bad_at(l, r->line, "[%s] has no artifact (a path in the prefix)", where);
		if (r->artifact[0] == '/' || strstr(r->artifact, ".."))
			return bad_at(l, r->line, "artifact = %s must lie inside the prefix", r->artifact);
	}
	return 0;
}

static int check_placeholders(struct loader *l, const struct config_workload *w)
{
	static const char *const own[] = { "workloads", "prefix", "min", "max" };
	for (char **a = w->command; *a; a++)
		for (const char *s = strchr(*a, '{'); s; s = strchr(s + 1, '{')) {
			char name[64];
			if (s[1] == '{') { /* a brace of its own */
				s++;
				continue;
			}
			snprintf(name, sizeof(name), "%.*s", (int)strcspn(s + 1, "}"), s + 1);
			bool known = config_param(w, name) != NULL;
			for (size_t k = 0; k < sizeof(own) / sizeof(own[0]); k++)
				known |= !strcmp(name, own[k]);
			if (!known)
				return bad_at(l, w->line, "[workload %s]: {%s} is not one of "
					"its parameters", w->name, name);
		}
	return 0;
}

/* Any lower-case word may name a parameter, so that a mistyped key would look like one: it must be used. */
static int check_params(struct loader *l, const struct config_workload *w)
{
	for (size_t i = 0; i < w->n_params; i++) {
		char *word = x_printf("{%s}", w->params[i].name);
		bool used = false;
		for (char **a = w->command; *a && !used; a++)
			used = strstr(*a, word) != NULL;
		free(word);
		if (!used)
			return bad_at(l, w->line, "[workload %s]: '%s' is neither a key nor a "
				"parameter that the command uses ({%s})", w->name,
				      w->params[i].name, w->params[i].name);
	}
	return 0;
}

static int check_workload(struct loader *l, const struct config_workload *w)
{
	if (!w->command)
		return bad_at(l, w->line, "[workload %s] has no command", w->name);
	for (char **k = w->classes; k && *k; k++)
		if (!config_class(l->c, *k))
			return bad_at(l, w->line, "[workload %s]: there is no [class %s]", w->name, *k);
	if (w->scale && !config_param(w, w->scale))
		return bad_at(l, w->line, "[workload %s]: scale = %s is not one of its "
			"parameters", w->name,
				 w->scale);
	regex_t re;
	int bad_pattern = w->figure ? regcomp(&re, w->figure, REG_EXTENDED | REG_NEWLINE) : 0;
	if (bad_pattern) {
		char why[128];
		regerror(bad_pattern, &re, why, sizeof(why));
		return bad_at(l, w->line, "[workload %s]: figure = %s: %s", w->name, w->figure, why);
	}
	size_t groups = w->figure ? re.re_nsub : 1;
	if (w->figure)
		regfree(&re);
	if (groups < 1)
		return bad_at(l, w->line, "[workload %s]: figure = %s: put the number into a "
			"group, like ([0-9.]+)", w->name, w->figure);
	int rc = check_placeholders(l, w);
	return rc ? rc : check_params(l, w);
}

static int check_cell(struct loader *l, const struct config_cell *cell)
{
	const struct config_workload *w = config_workload(l->c, cell->workload);
	if (!w)
		return bad_at(l, l->c->main_job.line, "[main]: there is no [workload %s]", cell->workload);
	if (cell->class_name && !config_class(l->c, cell->class_name))
		return bad_at(l, l->c->main_job.line, "[main]: there is no [class %s]", cell->class_name);
	return 0;
}

/* What the keys mean together. */
static int check(struct loader *l)
{
	struct config *c = l->c;
	if (!c->subject.name) {
		const char *folder = strrchr(c->folder, '/');
		set(&c->subject.name, folder && folder[1] ? folder + 1 : c->folder);
	}
	int rc = check_recipes(l);
	for (size_t i = 0; !rc && i < c->n_classes; i++)
		if (c->classes[i].max < c->classes[i].min || !c->classes[i].max)
			rc = bad_at(l, c->classes[i].line, "[class %s]: max must be at least "
				"min, and above 0", c->classes[i].name);
	for (size_t i = 0; !rc && i < c->n_workloads; i++)
		rc = check_workload(l, &c->workloads[i]);
	struct config_main *m = &c->main_job;
	if (!rc && m->bisect.workload)
		rc = check_cell(l, &m->bisect);
	for (size_t i = 0; !rc && i < m->n_exact; i++)
		rc = check_cell(l, &m->exact[i]);
	for (size_t i = 0; !rc && i < m->n_timed; i++)
		rc = check_cell(l, &m->timed[i]);
	for (size_t i = 0; !rc && i < c->n_claims; i++) {
		struct error why = { 0 };
		if (config_claim_check(c, &c->claims[i], &why))
			rc = bad_at(l, c->claims[i].line, "[claim %s]: %s", c->claims[i].name, why.text);
	}
	for (size_t i = 0; !rc && i < c->n_stories; i++)
		if (!c->stories[i].file)
			rc = bad_at(l, c->stories[i].line, "[story %s] has no file", c->stories[i].name);
	return rc;
}

static void fill_defaults(struct config *c)
{
	if (!c->subject.repository)
		set(&c->subject.repository, ".");
	if (!c->n_variants)
		(void)named(c->variants, c->n_variants, "release");
	for (size_t i = 0; i < c->n_workloads; i++)
		if (!c->workloads[i].phase)
			set(&c->workloads[i].phase, "steady");
	/* Without a main job: all workloads are timed, and a bisect is by the first. */
	struct config_main *m = &c->main_job;
	if (!m->bisect.workload && c->n_workloads)
		m->bisect.workload = x_strdup(c->workloads[0].name);
	for (size_t i = 0; i < c->n_workloads && !m->timed_given; i++) {
		m->timed = x_realloc(m->timed, m->n_timed + 1, sizeof(*m->timed));
		m->timed[m->n_timed++] = (struct config_cell){ .workload = x_strdup(c->workloads[i].name) };
	}
}

int config_load(const char *path, struct config *c, struct error *e)
{
	struct error own = { 0 };
	struct loader l = { .c = c, .path = path, .e = e ? e : &own };
	*c = (struct config){ 0 };
	l.file = fopen(path, "re");
	if (!l.file)
		return error_errno(l.e, errno, "cannot read %s", path);
	c->path = x_strdup(path);
	char *real = realpath(path, NULL);
	c->folder = x_strdup(real ? dirname(real) : ".");
	free(real);
	c->subject.build_timeout_s = 300;
	c->subject.run_timeout_s = 60;
	(void)named(c->recipes, c->n_recipes, "");

	int line = ini_parse_stream(reader, &l, handler, &l);
	fclose(l.file);
	if (!l.e->code && line > 0) {
		l.line = line;
		bad(&l, "neither a [section] nor 'key = value'");
	}
	int rc = l.e->code ? l.e->code : check(&l);
	if (rc)
		config_release(c);
	else
		fill_defaults(c);
	return rc;
}

static void workload_release(struct config_workload *w)
{
	free(w->name), free(w->scale), free(w->phase), free(w->figure), free(w->figure_unit);
	list_free(w->command), list_free(w->classes);
	for (size_t k = 0; k < w->n_params; k++)
		free(w->params[k].name), list_free(w->params[k].values);
	free(w->params);
}

static void cells_release(struct config_cell *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(list[i].workload), free(list[i].class_name);
}

void config_release(struct config *c)
{
	struct config_subject *s = &c->subject;
	free(c->path), free(c->folder);
	free(s->name), free(s->repository), free(s->cc), free(s->cflags);
	list_free(s->paths), list_free(s->build_env), list_free(s->run_env);
	for (size_t i = 0; i < c->n_recipes; i++) {
		struct config_recipe *r = &c->recipes[i];
		free(r->name), free(r->range), free(r->artifact), list_free(r->build), list_free(r->test);
	}
	for (size_t i = 0; i < c->n_variants; i++)
		free(c->variants[i].name), free(c->variants[i].arguments);
	for (size_t i = 0; i < c->n_classes; i++)
		free(c->classes[i].name);
	for (size_t i = 0; i < c->n_workloads; i++)
		workload_release(&c->workloads[i]);
	for (size_t i = 0; i < c->n_claims; i++)
		config_claim_release(&c->claims[i]);
	for (size_t i = 0; i < c->n_parts; i++)
		free(c->parts[i].name), list_free(c->parts[i].patterns);
	for (size_t i = 0; i < c->n_stories; i++)
		free(c->stories[i].name), free(c->stories[i].file), free(c->stories[i].title);
	free(c->stories);
	struct config_main *m = &c->main_job;
	free(m->good), free(m->bad);
	cells_release(&m->bisect, 1);
	cells_release(m->exact, m->n_exact);
	cells_release(m->timed, m->n_timed);
	free(m->exact), free(m->timed);
	free(c->recipes), free(c->variants), free(c->classes), free(c->workloads), free(c->claims), free(c->parts);
	*c = (struct config){ 0 };
}

#define return_named(array, n, wanted)                  \
	for (size_t i = 0; i < (n); i++)                \
		if (!strcmp((array)[i].name, (wanted))) \
			return &(array)[i];             \
	return NULL

const struct config_class *config_class(const struct config *c, const char *name)
{
	return_named(c->classes, c->n_classes, name);
}

const struct config_workload *config_workload(const struct config *c, const char *name)
{
	return_named(c->workloads, c->n_workloads, name);
}

const struct config_variant *config_variant(const struct config *c, const char *name)
{
	return_named(c->variants, c->n_variants, name);
}

const char *config_param(const struct config_workload *w, const char *name)
{
	for (size_t i = 0; i < w->n_params; i++)
		if (!strcmp(w->params[i].name, name))
			return w->params[i].values[0];
	return NULL;
}
