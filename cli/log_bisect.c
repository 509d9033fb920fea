/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "cli/log.h"
#include "cli/show.h"
#include "cli/table.h"

#include "base/buf.h"
#include "bisect/bisect_steps.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

json_t *log_bisect_json(struct page *p, const struct store_bisect_row *b)
{
	return json_pack("{s:I, s:I, s:s, s:o, s:o, s:o, s:o, s:I, s:o}", "id", (json_int_t)b->id,
			 "session", (json_int_t)b->session_id, "started",
			 page_time(p, b->started_s, true), "good", cli_json_string(b->good), "bad",
			 cli_json_string(b->bad), "metric", page_json_text(b->metric), "state",
			 cli_json_string(b->state), "steps", (json_int_t)b->steps, "result",
			 page_json_parsed(b->result_json));
}

static const char *text(struct page *p, const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? page_text(p, s) : "";
}

static double number(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);
	return json_is_number(v) ? json_number_value(v) : NAN;
}

/* The commits that hold most of the probability after this step. */
static void favourites(struct page *p, const json_t *posterior, struct buf *out)
{
	double best = 0;
	const char *id = NULL;
	size_t i;
	json_t *x;
	json_array_foreach(posterior, i, x) {
		double v = json_number_value(json_array_get(x, 1));
		if (v > best) {
			best = v;
			id = json_string_value(json_array_get(x, 0));
		}
	}
	if (id)
		buf_printf(out, "; most probable %.12s with %.1f %%", page_text(p, id), 100 * best);
}

/* One step in words; steps of other kinds as they are kept. */
static const char *what(struct page *p, const struct store_step_row *s)
{
	json_t *o = page_json_parsed(s->payload_json);
	struct buf b = { 0 };
	char change[32];
	const json_t *options = json_object_get(o, "options");
	if (!strcmp(s->action, "build") || !strcmp(s->action, "skip")) {
		buf_printf(&b, "%s%s", text(p, o, "outcome"),
			   json_is_true(json_object_get(o, "cached")) ? ", cached" : "");
		if (*text(p, o, "detail"))
			buf_printf(&b, ": %s", text(p, o, "detail"));
		else if (isfinite(number(o, "seconds")) &&
			 !json_is_true(json_object_get(o, "cached")))
			buf_printf(&b, ", %.1f s", number(o, "seconds"));
	} else if (!strcmp(s->action, "measure")) {
		buf_printf(&b, "%s against good",
			   table_change(exp(number(o, "log_ratio")), change, sizeof(change)));
		if (isfinite(number(o, "value")))
			buf_printf(&b, ", %.2f instructions", number(o, "value"));
		favourites(p, json_object_get(o, "posterior"), &b);
	} else if (!strcmp(s->action, "ends") && *text(p, o, "verdict")) {
		buf_printf(&b, "%s %s", text(p, o, "verdict"),
			   table_change(number(o, "ratio"), change, sizeof(change)));
	} else if (!strcmp(s->action, "ends")) {
		buf_printf(&b, "%.2f → %.2f instructions", number(o, "good"), number(o, "bad"));
	} else if (!strcmp(s->action, "metric")) {
		buf_puts(&b, text(p, o, "metric"));
	} else if (!strcmp(s->action, "open") && options) {
		buf_printf(&b, "%zu built, %zu broken, %zu measurements known",
			   json_array_size(json_object_get(o, "built")),
			   json_array_size(json_object_get(o, "broken")),
			   json_array_size(json_object_get(o, "pairs")));
		if (number(options, "noise_sd") > 0)
			buf_printf(&b, "; noise %.2f %%", 100 * number(options, "noise_sd"));
		if (!json_is_true(json_object_get(options, "exact")))
			buf_printf(&b, "; a build costs %.1f measurements",
				   number(options, "build_cost"));
	} else if (!strcmp(s->action, "confirm")) {
		buf_printf(&b, "beside %.12s: %s %s", text(p, o, "parent"), text(p, o, "time"),
			   table_change(number(o, "ratio"), change, sizeof(change)));
	} else if (!strcmp(s->action, "beside")) {
		size_t n = json_array_size(json_object_get(o, "log_ratios"));
		buf_printf(&b, "%s beside %.12s, %zu %s%s",
			   table_change(exp(bisect_step_log_ratio(o)), change,
					sizeof(change)),
			   text(p, o, "other"), n, n == 1 ? "round" : "rounds",
			   json_is_true(json_object_get(o, "asked")) ? "" : " of the proof");
		favourites(p, json_object_get(o, "posterior"), &b);
	} else if (!strcmp(s->action, "same")) {
		buf_puts(&b, "loads the very code of its parents");
	} else if (!strcmp(s->action, "refute")) {
		buf_puts(&b, "no different from its parent: searching on");
		favourites(p, json_object_get(o, "posterior"), &b);
	} else {
		buf_puts(&b, page_text(p, s->payload_json));
	}
	json_decref(o);
	return page_keep(p, buf_detach(&b));
}

int log_bisect(struct page *p, int64_t id, bool json, struct error *e)
{
	struct store_bisect_rows rows = { 0 };
	struct store_step_rows steps = { 0 };
	int rc = store_bisects(p->s, STORE_INT(id), &rows, e);
	if (!rc)
		rc = store_steps(p->s, id, &steps, e);
	if (!rc && json) {
		json_t *o = log_bisect_json(p, &rows.items[0]), *list = json_array();
		for (size_t i = 0; i < steps.n; i++)
			json_array_append_new(
				list, json_pack("{s:I, s:s, s:o, s:o, s:o}", "seq",
						(json_int_t)steps.items[i].seq, "at",
						page_time(p, steps.items[i].at_s, true), "action",
						cli_json_string(steps.items[i].action), "commit",
						page_json_text(steps.items[i].commit), "payload",
						page_json_parsed(steps.items[i].payload_json)));
		json_object_set_new(o, "log", list);
		cli_envelope("log", json_pack("{s:I}", "bisect", (json_int_t)id), o);
	} else if (!rc) {
		const struct store_bisect_row *b = &rows.items[0];
		printf("bisect %" PRId64 " (session %" PRId64
		       "): %s, %.12s … %.12s, by %s, began %s\n\n",
		       b->id, b->session_id, page_text(p, b->state), page_text(p, b->good),
		       page_text(p, b->bad), b->metric ? page_text(p, b->metric) : "auto",
		       page_time(p, b->started_s, false));
		struct table *t = table_new(4, "rlll");
		table_head(t, "step", "action", "commit", "what");
		for (size_t i = 0; i < steps.n; i++)
			table_row(t, page_int(p, steps.items[i].seq),
				  page_text(p, steps.items[i].action),
				  steps.items[i].commit
					  ? page_keep(p,
						      x_printf("%.12s",
							       page_text(p, steps.items[i].commit)))
					  : "–",
				  what(p, &steps.items[i]));
		table_print(t, stdout);
		table_free(t);
		json_t *result = page_json_parsed(b->result_json);
		if (json_is_object(result)) {
			printf("\n");
			show_bisect(result, stdout);
		}
		json_decref(result);
	}
	store_free(rows.pool);
	store_free(steps.pool);
	return rc;
}
