/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/error.h"
#include "harness/store.h"

#include <sqlite3.h>

/* Inside of the store, for harness/store*.c alone: nobody else includes sqlite3.h. */

#define STORE_STATEMENTS 64
#define STORE_NAMES 256

struct store_name {
	char *name;
	int64_t id;
};

/* Names already looked up; forgotten on rollback, when their rows may be gone. */
struct store_names {
	struct store_name items[STORE_NAMES];
	size_t n;
};

struct store {
	sqlite3 *db;
	char *path;
	enum store_mode mode;
	int depth;	    /* of store_begin */
	struct error first; /* what broke the transaction that is open */
	struct {
		const char *sql;
		sqlite3_stmt *st;
	} cache[STORE_STATEMENTS];
	size_t n_cache;
	struct store_names metrics, sources;
};

/* Tell what SQLite last said about this store; doing: "store the round". Always negative. */
int db_fail(struct store *s, struct error *e, const char *doing);

/* A bug of ours, not the world: say it, quoting the SQL, and abort. */
_Noreturn void db_bug(const char *what, const char *sql);

/* Compile. SQL that cannot compile on any database of ours is a bug and aborts; a damaged schema gives NULL with *e. */
sqlite3_stmt *db_prepare(struct store *s, const char *sql, unsigned flags, struct error *e);

/* A cached statement, reset and without bindings. sql: a literal, known by its address. As db_prepare. */
sqlite3_stmt *db_statement(struct store *s, const char *sql, struct error *e);

/* Bind by name; an unknown name is a bug and aborts, quoting the SQL. */
void db_int(sqlite3_stmt *st, const char *name, int64_t v);
void db_opt(sqlite3_stmt *st, const char *name, struct store_opt v);
void db_real(sqlite3_stmt *st, const char *name, double v); /* not finite: NULL */
void db_optreal(sqlite3_stmt *st, const char *name, struct store_optreal v);
void db_value(sqlite3_stmt *st, const char *name, struct store_value v);
void db_text(sqlite3_stmt *st, const char *name, const char *v); /* NULL: NULL; copied; made UTF-8 */

/* Run a statement that gives no rows. */
int db_done(struct store *s, sqlite3_stmt *st, const char *doing, struct error *e);
/* Run a statement that gives one integer: 1 and *v, 0 without a row, -errno. */
int db_one(struct store *s, sqlite3_stmt *st, int64_t *v, const char *doing, struct error *e);

/* Run an INSERT; *id (may be NULL) is the new row's. */
int db_insert(struct store *s, sqlite3_stmt *st, int64_t *id, const char *doing, struct error *e);

/* A statement to bind and run; leaves the function when the schema is damaged. */
#define DB_STATEMENT(st, s, e, sql)                       \
	sqlite3_stmt *st = db_statement((s), (sql), (e)); \
	if (!st)                                          \
		return -EUCLEAN

/* A metric's id by name; those of metric_table() come into being when first used, others are -EINVAL. */
int db_metric(struct store *s, const char *name, int64_t *id, struct error *e);

/* End what store_begin began: commit on rc 0, else undo. Returns rc, or the commit's own failure. */
int db_end(struct store *s, int rc, struct error *e);

/*
 * Steps of a migration, ordered; each takes a database from version `to` - 1 to `to`. db_migrate runs what is missing up to `version`
 * and makes the views anew, in one transaction: whatever fails leaves the database as it was.
 */
struct db_step {
	int to;
	const char *sql;
};
int db_migrate(struct store *s, const struct db_step *steps, size_t n, int version, struct error *e);

/* Register ln(x) and median(x). */
int db_functions(sqlite3 *db);
