/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "harness/store_db.h"
#include "harness/store_read.h"

#include <stdlib.h>

struct store_rows {
	struct store *s;
	sqlite3_stmt *st;
	struct error broken; /* the schema could not be read: told by rows_next */
};

struct store_rows *rows_open(struct store *s, const char *sql)
{
	struct store_rows *r = x_calloc(1, sizeof(*r));
	r->s = s;
	r->st = db_prepare(s, sql, 0, &r->broken);
	return r;
}

void rows_bind_int(struct store_rows *r, const char *name, int64_t v)
{
	if (r->st)
		db_int(r->st, name, v);
}

void rows_bind_opt(struct store_rows *r, const char *name, struct store_opt v)
{
	if (r->st)
		db_opt(r->st, name, v);
}

void rows_bind_real(struct store_rows *r, const char *name, double v)
{
	if (r->st)
		db_real(r->st, name, v);
}

void rows_bind_text(struct store_rows *r, const char *name, const char *v)
{
	if (r->st)
		db_text(r->st, name, v);
}

int rows_next(struct store_rows *r, struct error *e)
{
	if (!r->st)
		return error_set(e, r->broken.code, "%s", r->broken.text);
	int rc = sqlite3_step(r->st);
	if (rc == SQLITE_ROW)
		return 1;
	rc = rc == SQLITE_DONE ? 0 : db_fail(r->s, e, "read");
	sqlite3_reset(r->st);
	return rc;
}

int rows_columns(const struct store_rows *r)
{
	return r->st ? sqlite3_column_count(r->st) : 0;
}

const char *rows_name(const struct store_rows *r, int column)
{
	return sqlite3_column_name(r->st, column);
}

static int checked(const struct store_rows *r, int column)
{
	if (column < 0 || column >= sqlite3_column_count(r->st))
		db_bug("no such column", sqlite3_sql(r->st));
	return column;
}

enum rows_type rows_type(const struct store_rows *r, int column)
{
	switch (sqlite3_column_type(r->st, checked(r, column))) {
	case SQLITE_INTEGER:
		return ROWS_INTEGER;
	case SQLITE_FLOAT:
		return ROWS_REAL;
	case SQLITE_NULL:
		return ROWS_NULL;
	default:
		return ROWS_TEXT;
	}
}

bool rows_null(const struct store_rows *r, int column)
{
	return rows_type(r, column) == ROWS_NULL;
}

int64_t rows_int(const struct store_rows *r, int column)
{
	return sqlite3_column_int64(r->st, checked(r, column));
}

double rows_real(const struct store_rows *r, int column)
{
	return sqlite3_column_double(r->st, checked(r, column));
}

const char *rows_text(const struct store_rows *r, int column)
{
	return (const char *)sqlite3_column_text(r->st, checked(r, column));
}

struct store_opt rows_opt(const struct store_rows *r, int column)
{
	return rows_null(r, column) ? (struct store_opt){ 0 } : STORE_INT(rows_int(r, column));
}

struct store_optreal rows_optreal(const struct store_rows *r, int column)
{
	return rows_null(r, column) ? (struct store_optreal){ 0 } : STORE_REAL(rows_real(r, column));
}

void rows_close(struct store_rows *r)
{
	if (!r)
		return;
	sqlite3_finalize(r->st);
	free(r);
}
