/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "harness/store_db.h"

/* Values into statements, and statements run. */

static int place(sqlite3_stmt *st, const char *name)
{
	int i = sqlite3_bind_parameter_index(st, name);
	if (!i)
		db_bug(name, sqlite3_sql(st));
	return i;
}

void db_int(sqlite3_stmt *st, const char *name, int64_t v)
{
	sqlite3_bind_int64(st, place(st, name), v);
}

void db_opt(sqlite3_stmt *st, const char *name, struct store_opt v)
{
	int i = place(st, name);
	if (v.known)
		sqlite3_bind_int64(st, i, v.v);
}

void db_real(sqlite3_stmt *st, const char *name, double v)
{
	int i = place(st, name);
	if (v - v == 0)
		sqlite3_bind_double(st, i, v);
}

void db_optreal(sqlite3_stmt *st, const char *name, struct store_optreal v)
{
	if (v.known)
		db_real(st, name, v.v);
	else
		place(st, name);
}

void db_value(sqlite3_stmt *st, const char *name, struct store_value v)
{
	if (v.real)
		db_real(st, name, v.r);
	else
		db_int(st, name, v.i);
}

/* Length of the UTF-8 sequence at s, 0 when it is none (Unicode 15, table 3-7). */
static size_t utf8_sequence(const unsigned char *s)
{
	if (s[0] < 0x80)
		return 1;
	size_t n = s[0] >= 0xc2 && s[0] <= 0xdf ? 2 : (s[0] & 0xf0) == 0xe0 ? 3 : s[0] >= 0xf0 && s[0] <= 0xf4 ? 4 : 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
	    (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

void db_text(sqlite3_stmt *st, const char *name, const char *v)
{
	int i = place(st, name);
	if (!v)
		return;
	const unsigned char *p = (const unsigned char *)v;
	size_t n;
	while (*p && (n = utf8_sequence(p)))
		p += n;
	if (!*p) {
		sqlite3_bind_text(st, i, v, -1, SQLITE_TRANSIENT);
		return;
	}
	struct buf b = { 0 };
	for (p = (const unsigned char *)v; *p; p += n ? n : 1) {
		n = utf8_sequence(p);
		if (n)
			buf_add(&b, p, n);
		else
			buf_printf(&b, "\\x%02x", *p);
	}
	sqlite3_bind_text(st, i, buf_str(&b), -1, SQLITE_TRANSIENT);
	buf_release(&b);
}

int db_done(struct store *s, sqlite3_stmt *st, const char *doing, struct error *e)
{
	int rc = sqlite3_step(st) == SQLITE_DONE ? 0 : db_fail(s, e, doing);
	sqlite3_reset(st);
	return rc;
}

int db_insert(struct store *s, sqlite3_stmt *st, int64_t *id, const char *doing, struct error *e)
{
	int rc = db_done(s, st, doing, e);
	if (!rc && id)
		*id = sqlite3_last_insert_rowid(s->db);
	return rc;
}

int db_one(struct store *s, sqlite3_stmt *st, int64_t *v, const char *doing, struct error *e)
{
	int rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		*v = sqlite3_column_int64(st, 0);
		rc = 1;
	} else {
		rc = rc == SQLITE_DONE ? 0 : db_fail(s, e, doing);
	}
	sqlite3_reset(st);
	return rc;
}

double store_value_real(struct store_value v)
{
	return v.real ? v.r : (double)v.i;
}
