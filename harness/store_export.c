/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/store_export.h"

#include "harness/store_read.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void print_csv_text(FILE *f, const char *s)
{
	if (*s && !strpbrk(s, ",\"\r\n")) {
		fputs(s, f);
		return;
	}
	putc('"', f);
	for (; *s; s++) {
		if (*s == '"')
			putc('"', f);
		putc(*s, f);
	}
	putc('"', f);
}

/* RFC 8259, section 7. The store's text is UTF-8 already. */
static void print_json_text(FILE *f, const char *s)
{
	putc('"', f);
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;
		if (c == '"' || c == '\\')
			fprintf(f, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			fprintf(f, "\\u%04x", c);
		else
			putc(c, f);
	}
	putc('"', f);
}

/* The shortest of 15 and 17 digits that reads back as the same double. */
static void print_real(FILE *f, double v)
{
	char s[32];
	snprintf(s, sizeof(s), "%.15g", v);
	if (strtod(s, NULL) != v)
		snprintf(s, sizeof(s), "%.17g", v);
	fputs(s, f);
	/* A whole number stays a real one for whoever reads it by its looks. */
	if (!strpbrk(s, ".e"))
		fputs(".0", f);
}

static void print_value(FILE *f, enum store_format format, const struct store_rows *r, int column)
{
	switch (rows_type(r, column)) {
	case ROWS_NULL:
		if (format == STORE_JSON)
			fputs("null", f);
		break;
	case ROWS_INTEGER:
		fprintf(f, "%lld", (long long)rows_int(r, column));
		break;
	case ROWS_REAL:
		print_real(f, rows_real(r, column));
		break;
	case ROWS_TEXT:
		(format == STORE_JSON ? print_json_text : print_csv_text)(f, rows_text(r, column));
		break;
	}
}

static void print_row(FILE *f, enum store_format format, const struct store_rows *r, uint64_t index)
{
	int n = rows_columns(r);
	if (format == STORE_JSON)
		fputs(index ? ",\n{" : "\n{", f);
	for (int i = 0; i < n; i++) {
		if (i)
			putc(',', f);
		if (format == STORE_JSON)
			fprintf(f, "\"%s\":", rows_name(r, i));
		print_value(f, format, r, i);
	}
	putc(format == STORE_JSON ? '}' : '\n', f);
}

static void print_header(FILE *f, enum store_format format, const struct store_rows *r)
{
	if (format == STORE_JSON) {
		putc('[', f);
		return;
	}
	for (int i = 0; i < rows_columns(r); i++)
		fprintf(f, "%s%s", i ? "," : "", rows_name(r, i));
	putc('\n', f);
}

/* The end of the range of ids that begin so: hexadecimal digits sort below 'g'. */
static char *after(const char *prefix, char *out, size_t n)
{
	snprintf(out, n, "%sg", prefix);
	return out;
}

int store_export(struct store *s, FILE *f, enum store_format format, const struct store_filter *filter, uint64_t *samples, struct error *e)
{
	static const struct store_filter all;
	if (!filter)
		filter = &all;
	struct store_rows *r = rows_open(
		s, "SELECT * FROM sample_long WHERE (:session IS NULL OR session_id = :session) AND (:case IS NULL OR case_id = :case)"
		   " AND (:metric IS NULL OR metric = :metric) AND (:workload IS NULL OR workload = :workload)"
		   " AND (:commit IS NULL OR (commit_id >= :commit AND commit_id < :after)) ORDER BY round_id, position, metric");
	char end[120];
	rows_bind_opt(r, ":session", filter->session_id);
	rows_bind_opt(r, ":case", filter->case_id);
	rows_bind_text(r, ":metric", filter->metric);
	rows_bind_text(r, ":workload", filter->workload);
	rows_bind_text(r, ":commit", filter->commit);
	rows_bind_text(r, ":after", filter->commit ? after(filter->commit, end, sizeof(end)) : NULL);
	print_header(f, format, r);
	uint64_t n = 0;
	int rc;
	while ((rc = rows_next(r, e)) > 0 && !ferror(f))
		print_row(f, format, r, n++);
	rows_close(r);
	if (rc >= 0) {
		if (format == STORE_JSON)
			fputs(n ? "\n]" : "]", f);
		rc = fflush(f) || ferror(f) ? error_errno(e, errno ? errno : EIO, "cannot write the export") : 0;
	}
	if (samples)
		*samples = n;
	return rc;
}
