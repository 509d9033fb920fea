/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/store_export.h"

#include "base/buf.h"
#include "harness/store_read.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void add_csv_text(struct buf *b, const char *s)
{
	if (*s && !strpbrk(s, ",\"\r\n")) {
		buf_puts(b, s);
		return;
	}
	buf_putc(b, '"');
	for (; *s; s++) {
		if (*s == '"')
			buf_putc(b, '"');
		buf_putc(b, *s);
	}
	buf_putc(b, '"');
}

/* RFC 8259, section 7. The store's text is UTF-8 already. */
static void add_json_text(struct buf *b, const char *s)
{
	buf_putc(b, '"');
	while (*s) {
		size_t plain = 0;
		while ((unsigned char)s[plain] >= 0x20 && s[plain] != 0x7f && s[plain] != '"' && s[plain] != '\\')
			plain++;
		buf_add(b, s, plain);
		s += plain;
		if (!*s)
			break;
		if (*s == '"' || *s == '\\')
			buf_printf(b, "\\%c", *s);
		else
			buf_printf(b, "\\u%04x", (unsigned char)*s);
		s++;
	}
	buf_putc(b, '"');
}

/* The shortest of 15 and 17 digits that reads back as the same double. */
static void add_real(struct buf *b, double v)
{
	char s[40];
	snprintf(s, sizeof(s), "%.15g", v);
	if (strtod(s, NULL) != v)
		snprintf(s, sizeof(s), "%.17g", v);
	buf_puts(b, s);
	/* A whole number stays a real one for whoever reads it by its looks. */
	if (!strpbrk(s, ".e"))
		buf_puts(b, ".0");
}

static void add_value(struct buf *b, enum store_format format, const struct store_rows *r, int column)
{
	switch (rows_type(r, column)) {
	case ROWS_NULL:
		if (format == STORE_JSON)
			buf_puts(b, "null");
		break;
	case ROWS_INTEGER:
		buf_printf(b, "%" PRId64, rows_int(r, column));
		break;
	case ROWS_REAL:
		add_real(b, rows_real(r, column));
		break;
	case ROWS_TEXT:
		(format == STORE_JSON ? add_json_text : add_csv_text)(b, rows_text(r, column));
		break;
	}
}

/* All columns but the first `skip`, each followed by a comma where more is to come (`open`). */
static void add_columns(struct buf *b, enum store_format format, const struct store_rows *r, int skip, bool open)
{
	int n = rows_columns(r);
	for (int i = skip; i < n; i++) {
		if (format == STORE_JSON) {
			buf_putc(b, '"');
			buf_puts(b, rows_name(r, i));
			buf_puts(b, "\":");
		}
		add_value(b, format, r, i);
		if (open || i + 1 < n)
			buf_putc(b, ',');
	}
}

static void add_names(struct buf *b, const struct store_rows *r, int skip)
{
	for (int i = skip; i < rows_columns(r); i++)
		buf_printf(b, "%s%s", b->len ? "," : "", rows_name(r, i));
}

/* The end of the range of ids that begin so: hexadecimal digits sort below 'g'. */
static char *after(const char *prefix, char *out, size_t n)
{
	snprintf(out, n, "%sg", prefix);
	return out;
}

/* One run's names are made once, for all of its samples. */
struct exporter {
	FILE *f;
	enum store_format format;
	struct store_rows *runs, *samples;
	struct buf run, sample;
	uint64_t n;
};

static int export_run(struct exporter *x, struct error *e)
{
	int rc;
	buf_reset(&x->run);
	rows_bind_int(x->samples, ":run", rows_int(x->runs, 1));
	while ((rc = rows_next(x->samples, e)) > 0 && !ferror(x->f)) {
		if (!x->run.len)
			add_columns(&x->run, x->format, x->runs, 0, true);
		buf_reset(&x->sample);
		add_columns(&x->sample, x->format, x->samples, 0, false);
		if (x->format == STORE_JSON)
			fputs(x->n ? ",\n{" : "\n{", x->f);
		fwrite(x->run.data, 1, x->run.len, x->f);
		fwrite(x->sample.data, 1, x->sample.len, x->f);
		putc(x->format == STORE_JSON ? '}' : '\n', x->f);
		x->n++;
	}
	return rc < 0 ? rc : 0;
}

int store_export(struct store *s, FILE *f, enum store_format format, const struct store_filter *filter, uint64_t *samples, struct error *e)
{
	static const struct store_filter all;
	if (!filter)
		filter = &all;
	struct exporter x = { .f = f, .format = format };
	char end[120];
	/* Both questions see one state of a database that may be written meanwhile. */
	int rc = store_snapshot(s, e);
	if (rc)
		return rc;
	x.runs = rows_open(s, "SELECT * FROM run_long WHERE (:session IS NULL OR session_id = :session) AND (:case IS NULL OR case_id = :case)"
			      " AND (:workload IS NULL OR workload = :workload)"
			      " AND (:commit IS NULL OR (commit_id >= :commit AND commit_id < :after)) ORDER BY round_id, position");
	rows_bind_opt(x.runs, ":session", filter->session_id);
	rows_bind_opt(x.runs, ":case", filter->case_id);
	rows_bind_text(x.runs, ":workload", filter->workload);
	rows_bind_text(x.runs, ":commit", filter->commit);
	rows_bind_text(x.runs, ":after", filter->commit ? after(filter->commit, end, sizeof(end)) : NULL);
	x.samples = rows_open(s, "SELECT metric.name AS metric, metric.unit AS unit, metric.better AS better, sample.value AS value,"
				 " source.name AS source, sample.quality AS quality, sample.enabled_ns AS enabled_ns, sample.running_ns AS running_ns"
				 " FROM sample JOIN metric ON metric.id = sample.metric_id JOIN source ON source.id = sample.source_id"
				 " WHERE sample.run_id = :run AND (:metric IS NULL OR metric.name = :metric) ORDER BY metric.name");
	rows_bind_text(x.samples, ":metric", filter->metric);
	if (format == STORE_CSV) {
		add_names(&x.run, x.runs, 0);
		add_names(&x.run, x.samples, 0);
		fprintf(f, "%s\n", buf_str(&x.run));
	} else {
		putc('[', f);
	}
	int more = 0;
	while (!rc && !ferror(f) && (more = rows_next(x.runs, e)) > 0)
		rc = export_run(&x, e);
	rc = rc ? rc : more < 0 ? more : 0;
	if (!rc) {
		if (format == STORE_JSON)
			fputs(x.n ? "\n]" : "]", f);
		errno = 0;
		rc = fflush(f) || ferror(f) ? error_errno(e, errno ? errno : EIO, "cannot write the export") : 0;
	}
	rows_close(x.runs);
	rows_close(x.samples);
	store_snapshot_end(s);
	buf_release(&x.run);
	buf_release(&x.sample);
	if (samples)
		*samples = x.n;
	return rc;
}
