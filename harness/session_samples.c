/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/session_samples.h"

#include "harness/counter.h"
#include "harness/metric.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const software_events[] = { "page-faults", "context-switches", "cpu-migrations", NULL };
static const char *const hardware_events[] = { "cycles", "instructions", "branch-misses", "LLC-load-misses", "dTLB-load-misses", NULL };

/* The kernel's names of software events, and what the store calls them. */
static const char *metric_name(const char *event)
{
	static const char *const names[][2] = {
		{ "page-faults", "page_faults" }, { "context-switches", "context_switches" }, { "cpu-migrations", "cpu_migrations" },
		{ "task-clock", "task_clock_ns" }, { "minor-faults", "minor_faults" }, { "major-faults", "major_faults" },
	};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(event, names[i][0]))
			return names[i][1];
	return event;
}

static void add_event(struct session_events *ev, const struct counter_event *c, uint32_t group)
{
	if (ev->n_all == SESSION_EVENTS_MAX)
		return;
	ev->all[ev->n_all] = (struct run_event_spec){ .attr = c->attr, .group = group };
	ev->all_event[ev->n_all] = *c;
	ev->all_metric[ev->n_all++] = x_strdup(metric_name(c->name));
}

static int encode(const char *const *names, struct counter_event *out, size_t *n, size_t max, struct error *e)
{
	bool kernel = counter_kernel_allowed(counter_paranoid());
	for (; *names && *n < max; names++) {
		int rc = counter_encode(*names, kernel, &out[*n], e);
		if (rc)
			return rc;
		(*n)++;
	}
	return 0;
}

/* Lines "event: why": events with the same reason share a line. */
static void group_advice(const struct buf *lines, struct buf *out)
{
	char *text = x_strdup(buf_str(lines)), *reason[SESSION_EVENTS_MAX], *names[SESSION_EVENTS_MAX];
	size_t n = 0;
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		char *colon = strstr(line, ": ");
		if (!colon)
			continue;
		*colon = '\0';
		size_t i = 0;
		while (i < n && strcmp(reason[i], colon + 2))
			i++;
		if (i < n) {
			char *both = x_printf("%s, %s", names[i], line);
			free(names[i]);
			names[i] = both;
		} else if (n < SESSION_EVENTS_MAX) {
			reason[n] = colon + 2;
			names[n++] = x_strdup(line);
		}
	}
	for (size_t i = 0; i < n; i++) {
		buf_printf(out, "%s: %s\n", names[i], reason[i]);
		free(names[i]);
	}
	free(text);
}

int session_events_choose(const char *const *names, struct session_events *ev, struct error *e)
{
	struct counter_event list[SESSION_EVENTS_MAX];
	struct counter_pass passes[SESSION_EVENTS_MAX];
	size_t n = 0;
	*ev = (struct session_events){ 0 };
	int rc = encode(software_events, list, &n, SESSION_EVENTS_MAX, e);
	if (!rc && names)
		rc = encode(names, list, &n, SESSION_EVENTS_MAX, e);
	else if (!rc)
		(void)encode(hardware_events, list, &n, SESSION_EVENTS_MAX, NULL);
	if (rc)
		return rc;
	struct buf advice = { 0 };
	size_t n_passes = counter_passes(&counter_linux, list, n, passes, &advice);
	group_advice(&advice, &ev->advice);
	buf_release(&advice);
	size_t in_passes = 0;
	for (size_t p = 0; p < n_passes; p++)
		for (size_t i = 0; i < passes[p].n; i++)
			if (counter_is_software(&list[passes[p].index[i]]) && ev->n_software < HAKPERF_EVENTS / 2) {
				add_event(ev, &list[passes[p].index[i]], (uint32_t)ev->n_software);
				ev->n_software++;
			}
	for (size_t p = 0; p < n_passes; p++) {
		bool hardware = !counter_is_software(&list[passes[p].index[0]]);
		in_passes += passes[p].n;
		if (!hardware)
			continue;
		ev->pass_start[ev->n_passes++] = ev->n_all;
		for (size_t i = 0; i < passes[p].n; i++)
			add_event(ev, &list[passes[p].index[i]], 100);
	}
	ev->pass_start[ev->n_passes] = ev->n_all;
	if (names && in_passes < n)
		return error_set(e, -ENOENT, "cannot count what was asked for: %.*s", (int)strcspn(buf_str(&ev->advice), "\n"), buf_str(&ev->advice));
	return 0;
}

void session_events_arm(struct session_events *ev)
{
	ev->n = 0;
	size_t begin = 0, end = 0;
	if (ev->n_passes) {
		begin = ev->pass_start[ev->turn % ev->n_passes];
		end = ev->pass_start[ev->turn % ev->n_passes + 1];
		ev->turn++;
	}
	for (size_t i = 0; i < ev->n_all && ev->n < HAKPERF_EVENTS; i++) {
		if (i >= ev->n_software && (i < begin || i >= end))
			continue;
		ev->spec[ev->n] = ev->all[i];
		ev->index[ev->n] = i;
		ev->metric[ev->n] = ev->all_metric[i];
		ev->software[ev->n++] = i < ev->n_software;
	}
}

void session_events_begin_process(const struct session_events *ev, struct counter_set *cs)
{
	struct counter_event list[HAKPERF_EVENTS];
	*cs = (struct counter_set){ 0 };
	for (size_t i = 0; i < ev->n; i++)
		list[i] = ev->all_event[ev->index[i]];
	if (ev->n)
		(void)counter_open(cs, &counter_linux, COUNTER_CHILDREN, list, ev->n, NULL);
}

void session_events_end_process(const struct session_events *ev, struct counter_set *cs, struct run_result *r)
{
	struct counter_reading now[COUNTER_MAX];
	const struct counter_reading zero = { 0 };
	if (!r->whole_process || cs->n != ev->n || !cs->n || counter_read(cs, now, NULL)) {
		counter_close(cs);
		return;
	}
	r->n_events = cs->n;
	for (size_t i = 0; i < cs->n; i++) {
		struct run_event *x = &r->event[i];
		*x = (struct run_event){ .raw = now[i].value, .enabled_ns = now[i].enabled_ns, .running_ns = now[i].running_ns };
		x->counted = counter_judge(&zero, &now[i], &x->value) == COUNTER_COUNTED;
	}
	counter_close(cs);
}

void session_events_release(struct session_events *ev)
{
	for (size_t i = 0; i < ev->n_all; i++)
		free(ev->all_metric[i]);
	buf_release(&ev->advice);
	*ev = (struct session_events){ 0 };
}

static void add(struct session_samples *s, const char *metric, struct store_value v, const char *source, const char *quality)
{
	for (size_t i = 0; i < s->n; i++) /* the first source wins: two under one name would be two figures */
		if (!strcmp(s->items[i].metric, metric))
			return;
	x_grow(s->items, s->n, s->cap);
	s->items[s->n++] = (struct store_sample){ .metric = metric, .value = v, .source = source, .quality = quality };
}

static void add_rate(struct session_samples *s, const char *metric, uint64_t operations, uint64_t ns, const char *source)
{
	if (operations && ns)
		add(s, metric, STORE_FIGURE((double)operations * 1e9 / (double)ns), source, "measured");
}

static void add_figure(struct session_samples *s, const struct run_result *r, const struct bench_case *c)
{
	regex_t re;
	regmatch_t m[2];
	if (!c->figure || regcomp(&re, c->figure, REG_EXTENDED | REG_NEWLINE))
		return;
	const char *text = buf_str(&r->out);
	if (!regexec(&re, text, 2, m, 0) && m[1].rm_so >= 0) {
		char *end, *digits = x_printf("%.*s", (int)(m[1].rm_eo - m[1].rm_so), text + m[1].rm_so);
		double v = strtod(digits, &end);
		if (end != digits && isfinite(v))
			add(s, session_figure_metric(c), STORE_FIGURE(v), "output", "measured");
		free(digits);
	}
	regfree(&re);
}

void session_samples_fill(struct session_samples *s, const struct run_result *r, const struct session_events *ev, const struct bench_case *c,
			  uint64_t total_ns)
{
	if (r->outcome != RUN_OK)
		return;
	const char *wall = "monotonic_clock", *cpu = r->whole_process ? "rusage" : "thread_cpu_clock";
	add(s, "wall_ns", STORE_COUNT(r->wall_ns), wall, "measured");
	add(s, "cpu_ns", STORE_COUNT(r->cpu_ns), cpu, "measured");
	add_rate(s, "ops_per_s", r->operations, r->wall_ns, wall);
	add_rate(s, "ops_per_cpu_s", r->operations, r->cpu_ns, cpu);
	for (size_t i = 0; i < r->n_events && i < ev->n; i++) {
		const struct run_event *x = &r->event[i];
		if (!x->counted)
			continue;
		size_t before = s->n;
		add(s, ev->metric[i], STORE_COUNT(x->value), ev->software[i] ? "perf_software" : "pmu", "measured");
		if (s->n == before)
			continue;
		s->items[s->n - 1].enabled_ns = STORE_INT(x->enabled_ns);
		s->items[s->n - 1].running_ns = STORE_INT(x->running_ns);
	}
	if (r->tsc)
		add(s, "tsc_cycles", STORE_COUNT(r->tsc), "tsc", "measured");
	if (r->core_cycles_est > 0)
		add(s, "core_cycles_est", STORE_FIGURE(r->core_cycles_est), "tsc", "estimated");
	add(s, "minor_faults", STORE_COUNT(r->minor_faults), "rusage", "measured");
	add(s, "major_faults", STORE_COUNT(r->major_faults), "rusage", "measured");
	add(s, "voluntary_switches", STORE_COUNT(r->voluntary_switches), "rusage", "measured");
	add(s, "involuntary_switches", STORE_COUNT(r->involuntary_switches), "rusage", "measured");
	if (r->peak_rss_bytes)
		add(s, "peak_rss_bytes", STORE_COUNT(r->peak_rss_bytes), r->whole_process ? "rusage" : "proc", "measured");
	if (r->end_rss_bytes && !r->whole_process)
		add(s, "rss_after_bytes", STORE_COUNT(r->end_rss_bytes), "proc", "measured");
	add(s, "user_ns", STORE_COUNT(r->process_user_ns), "rusage", "measured");
	add(s, "sys_ns", STORE_COUNT(r->process_sys_ns), "rusage", "measured");
	add(s, "process_cpu_ns", STORE_COUNT(r->process_user_ns + r->process_sys_ns), "rusage", "measured");
	add(s, "process_wall_ns", STORE_COUNT(r->process_wall_ns), wall, "measured");
	if (total_ns > r->process_wall_ns)
		add(s, "harness_ns", STORE_COUNT(total_ns - r->process_wall_ns), wall, "measured");
	add_figure(s, r, c);
}

double session_samples_value(const struct session_samples *s, const char *metric)
{
	for (size_t i = 0; i < s->n; i++)
		if (!strcmp(s->items[i].metric, metric))
			return store_value_real(s->items[i].value);
	return NAN;
}

void session_samples_release(struct session_samples *s)
{
	free(s->items);
	*s = (struct session_samples){ 0 };
}

const char *session_figure_metric(const struct bench_case *c)
{
	static char *names[64];
	char *wanted = x_printf("figure %s", c->figure_unit ? c->figure_unit : "(no unit)");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!names[i])
			return names[i] = wanted;
		if (!strcmp(names[i], wanted)) {
			free(wanted);
			return names[i];
		}
	}
	free(wanted);
	return "figure (other units)";
}

static bool executable(const char *path)
{
	struct stat st;
	return !stat(path, &st) && S_ISREG(st.st_mode) && !access(path, X_OK);
}

char *session_find_program(const char *name)
{
	if (strchr(name, '/')) {
		char *real = realpath(name, NULL);
		if (real && executable(real))
			return real;
		free(real);
		return NULL;
	}
	/* The places that a run's own PATH names come first: what a program starts by name is then of the same installation. */
	const char *paths[] = { "/usr/local/bin:/usr/bin:/bin", getenv("PATH") };
	for (size_t i = 0; i < 2; i++)
		for (const char *s = paths[i] ? paths[i] : ""; *s;) {
			size_t n = strcspn(s, ":");
			char *file = x_printf("%.*s/%s", (int)n, s, name);
			if (n && executable(file))
				return file;
			free(file);
			s += n + (s[n] == ':');
		}
	return NULL;
}
