/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/store.h"

#include "base/buf.h"
#include "base/fs.h"
#include "harness/store_db.h"
#include "harness/store_file.h"
#include "harness/store_read.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char schema[] =
#include "harness/schema.sql.h"
#include "harness/views.sql.h"
	;
static const char views[] =
#include "harness/views.sql.h"
	;
static const char quick_views[] =
#include "harness/quick_views.sql.h"
	;

/* From version n - 1 to n. The schema file is always the newest version; an entry here takes older databases there. */
static const struct db_step *const steps = NULL;
static const size_t n_steps = 0;

static const char migrating[] = "bring the database up to date";

static int code_of(int sqlite)
{
	switch (sqlite & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_CORRUPT:
		return -EUCLEAN;
	case SQLITE_NOTADB:
		return -EMEDIUMTYPE;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_INTERRUPT:
		return -EINTR;
	case SQLITE_TOOBIG:
		return -EFBIG;
	case SQLITE_CONSTRAINT:
		return sqlite == SQLITE_CONSTRAINT_UNIQUE || sqlite == SQLITE_CONSTRAINT_PRIMARYKEY ? -EEXIST : -EINVAL;
	default:
		return -EIO;
	}
}

int db_fail(struct store *s, struct error *e, const char *doing)
{
	int sqlite = sqlite3_extended_errcode(s->db), err = sqlite3_system_errno(s->db);
	char holder[80];
	switch (sqlite & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		store_file_writer(s->path, holder, sizeof(holder));
		return error_set(e, -EBUSY, "cannot %s: %s is being written by %s: wait for it to end, or give another database with --db",
				 doing, s->path, holder);
	case SQLITE_FULL:
		return error_set(e, -ENOSPC,
				 "cannot %s: the disk of %s is full; what was stored before is whole: free space and run again to go on",
				 doing, s->path);
	case SQLITE_CORRUPT:
		return error_set(e, -EUCLEAN,
				 "cannot %s: %s is damaged (%s): restore a copy, or save what can be read with sqlite3's .recover", doing,
				 s->path, sqlite3_errmsg(s->db));
	case SQLITE_NOTADB:
		return error_set(e, -EMEDIUMTYPE, "%s is not a database: give another with --db", s->path);
	case SQLITE_READONLY:
	case SQLITE_CANTOPEN:
		if ((sqlite & 0xff) == SQLITE_READONLY || !store_file_writable(s->path))
			return error_set(e, -EROFS, "cannot %s: %s or its folder cannot be written: give a database elsewhere with --db",
					 doing, s->path);
		break;
	case SQLITE_IOERR:
		/* Some file systems say "full" only as a failed write. */
		if (err == ENOSPC || err == EDQUOT)
			return error_set(e, -ENOSPC,
					 "cannot %s: the disk of %s is full; what was stored before is whole: free space and run again to go on",
					 doing, s->path);
		break;
	default:
		break;
	}
	if (err && (sqlite & 0xff) != SQLITE_CONSTRAINT)
		return error_errno(e, err, "cannot %s in %s: %s", doing, s->path, sqlite3_errmsg(s->db));
	return error_set(e, code_of(sqlite), "cannot %s in %s: %s", doing, s->path, sqlite3_errmsg(s->db));
}

static int run_sql(struct store *s, const char *sql, const char *doing, struct error *e)
{
	return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : db_fail(s, e, doing);
}

static int pragma_int(struct store *s, const char *sql, int64_t *v, struct error *e)
{
	sqlite3_stmt *st = NULL;
	int rc = 0;
	if (sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) != SQLITE_OK || sqlite3_step(st) != SQLITE_ROW)
		rc = db_fail(s, e, "open the database");
	else
		*v = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return rc;
}

/* ---- transactions ---- */

int store_begin(struct store *s, struct error *e)
{
	if (s->depth == 0) {
		/* A deferred transaction that turns into a writer fails at once when another wrote meanwhile, whatever the patience. */
		int rc = run_sql(s, s->mode == STORE_READ ? "BEGIN" : "BEGIN IMMEDIATE", "begin a transaction", e);
		if (rc)
			return rc;
		error_clear(&s->first);
	}
	s->depth++;
	return 0;
}

static void forget(struct store_names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->items[i].name);
	names->n = 0;
}

static void undo(struct store *s)
{
	/* SQLite has undone it already after some errors (a full disk). */
	if (!sqlite3_get_autocommit(s->db))
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	s->depth = 0;
	forget(&s->metrics);
	forget(&s->sources);
}

int store_commit(struct store *s, struct error *e)
{
	assert(s->depth > 0);
	if (--s->depth > 0)
		return s->first.code;
	if (s->first.code) {
		int rc = error_set(e, s->first.code, "%s", s->first.text);
		undo(s);
		return rc;
	}
	int rc = run_sql(s, "COMMIT", "store", e);
	if (rc)
		undo(s);
	return rc;
}

void store_rollback(struct store *s)
{
	undo(s);
}

int store_snapshot(struct store *s, struct error *e)
{
	if (s->depth == 0) {
		int rc = run_sql(s, "BEGIN", "read", e);
		if (rc)
			return rc;
		error_clear(&s->first);
	}
	s->depth++;
	return 0;
}

void store_snapshot_end(struct store *s)
{
	assert(s->depth > 0);
	if (--s->depth == 0)
		undo(s);
}

int db_end(struct store *s, int rc, struct error *e)
{
	if (rc && !s->first.code)
		error_set(&s->first, rc, "%s", e && e->code ? e->text : "a part of the transaction failed");
	int end = store_commit(s, e);
	return rc ? rc : end;
}

/* ---- statements ---- */

_Noreturn void db_bug(const char *what, const char *sql)
{
	fprintf(stderr, "hakperf: bug in the store: %s: %s\n", what, sql);
	abort();
}

/* Does it compile on a database as it should be? */
static bool is_sound(const char *sql)
{
	sqlite3 *db = NULL;
	sqlite3_stmt *st = NULL;
	bool ok = sqlite3_open(":memory:", &db) == SQLITE_OK && db_functions(db) == SQLITE_OK &&
		  sqlite3_exec(db, schema, NULL, NULL, NULL) == SQLITE_OK && sqlite3_prepare_v2(db, sql, -1, &st, NULL) == SQLITE_OK;
	sqlite3_finalize(st);
	sqlite3_close(db);
	return ok;
}

sqlite3_stmt *db_prepare(struct store *s, const char *sql, unsigned flags, struct error *e)
{
	sqlite3_stmt *st;
	if (sqlite3_prepare_v3(s->db, sql, -1, flags, &st, NULL) == SQLITE_OK)
		return st;
	if (sqlite3_errcode(s->db) != SQLITE_ERROR) {
		db_fail(s, e, "read the schema");
		return NULL;
	}
	char *why = x_strdup(sqlite3_errmsg(s->db));
	if (!is_sound(sql))
		db_bug(why, sql);
	error_set(e, -EUCLEAN, "%s is damaged: its tables are not those of version %d (%s): restore a copy", s->path, STORE_VERSION, why);
	free(why);
	return NULL;
}

sqlite3_stmt *db_statement(struct store *s, const char *sql, struct error *e)
{
	for (size_t i = 0; i < s->n_cache; i++)
		if (s->cache[i].sql == sql) {
			sqlite3_reset(s->cache[i].st);
			sqlite3_clear_bindings(s->cache[i].st);
			return s->cache[i].st;
		}
	sqlite3_stmt *st;
	st = db_prepare(s, sql, SQLITE_PREPARE_PERSISTENT, e);
	if (!st)
		return NULL;
	assert(s->n_cache < STORE_STATEMENTS);
	s->cache[s->n_cache].sql = sql;
	s->cache[s->n_cache++].st = st;
	return st;
}

/* ---- opening ---- */

/* Views are those of the newest version, and would stand in the way of a step that rebuilds a table. */
static int drop_views(struct store *s, struct error *e)
{
	for (;;) {
		sqlite3_stmt *st = db_prepare(s, "SELECT name FROM sqlite_schema WHERE type = 'view' LIMIT 1", 0, e);
		if (!st)
			return -EUCLEAN;
		int rc = sqlite3_step(st);
		char *drop = rc == SQLITE_ROW ? sqlite3_mprintf("DROP VIEW main.\"%w\"", sqlite3_column_text(st, 0)) : NULL;
		sqlite3_finalize(st);
		if (!drop)
			return rc == SQLITE_DONE ? 0 : db_fail(s, e, migrating);
		rc = run_sql(s, drop, migrating, e);
		sqlite3_free(drop);
		if (rc)
			return rc;
	}
}

static int run_steps(struct store *s, const struct db_step *step, size_t n, int version, struct error *e)
{
	int64_t now, orphans;
	int rc = drop_views(s, e);
	if (!rc)
		rc = pragma_int(s, "PRAGMA user_version", &now, e);
	for (size_t i = 0; !rc && i < n; i++) {
		assert(i == 0 || step[i].to == step[i - 1].to + 1);
		if (now + 1 == step[i].to && !(rc = run_sql(s, step[i].sql, migrating, e)))
			now = step[i].to;
	}
	if (!rc && now != version)
		rc = error_set(e, -EPROTO, "%s has schema version %d, from which there is no way to %d: give another database with --db", s->path,
			       (int)now, version);
	if (!rc)
		rc = run_sql(s, views, migrating, e);
	if (!rc)
		rc = pragma_int(s, "SELECT count(*) FROM pragma_foreign_key_check", &orphans, e);
	if (!rc && orphans)
		rc = error_set(e, -EUCLEAN, "cannot %s: in %s %d rows would refer to nothing", migrating, s->path, (int)orphans);
	char set[40];
	snprintf(set, sizeof(set), "PRAGMA user_version=%d", version);
	return rc ? rc : run_sql(s, set, migrating, e);
}

int db_migrate(struct store *s, const struct db_step *step, size_t n, int version, struct error *e)
{
	/* A step may rebuild a table that others refer to; the setting is ignored inside a transaction. */
	int rc = run_sql(s, "PRAGMA foreign_keys=OFF", migrating, e);
	if (!rc)
		rc = run_sql(s, "BEGIN IMMEDIATE", migrating, e);
	if (!rc)
		rc = run_steps(s, step, n, version, e);
	if (!rc)
		rc = run_sql(s, "COMMIT", migrating, e);
	if (rc)
		undo(s);
	/* Cannot fail outside a transaction, and the first cause is told already. */
	sqlite3_exec(s->db, "PRAGMA foreign_keys=ON", NULL, NULL, NULL);
	return rc;
}

enum content { CONTENT_OURS, CONTENT_OLDER, CONTENT_NONE };

/* Whose database is it? To be asked within a transaction, since another process may be making it. */
static int look(struct store *s, enum content *c, struct error *e)
{
	int64_t application, version, tables;
	int rc = pragma_int(s, "PRAGMA application_id", &application, e);
	if (!rc)
		rc = pragma_int(s, "PRAGMA user_version", &version, e);
	if (!rc)
		rc = pragma_int(s, "SELECT count(*) FROM sqlite_schema", &tables, e);
	if (rc)
		return rc;
	*c = CONTENT_OURS;
	if (application == 0 && version == 0 && tables == 0)
		*c = CONTENT_NONE;
	else if (application != STORE_APPLICATION_ID)
		return error_set(e, -EMEDIUMTYPE, "%s is a database of another program (application id %#x): give another with --db",
				 s->path, (unsigned)application);
	else if (version > STORE_VERSION)
		return error_set(e, -EPROTO,
				 "%s was written by a newer hakperf (schema version %d, this one knows %d): update hakperf, or give another database with --db",
				 s->path, (int)version, STORE_VERSION);
	else if (version < STORE_VERSION)
		*c = CONTENT_OLDER;
	return 0;
}

static int identify(struct store *s, enum content *c, struct error *e)
{
	int rc = run_sql(s, "BEGIN", "open the database", e);
	if (!rc)
		rc = look(s, c, e);
	undo(s);
	return rc;
}

static int initialise(struct store *s, struct error *e)
{
	int rc = run_sql(s, "BEGIN IMMEDIATE", "make the database", e);
	if (rc)
		return rc;
	/* Another process may have been quicker. */
	enum content c;
	rc = look(s, &c, e);
	if (!rc && c == CONTENT_NONE) {
		char set[100];
		snprintf(set, sizeof(set), "PRAGMA application_id=%d; PRAGMA user_version=%d", STORE_APPLICATION_ID, STORE_VERSION);
		rc = run_sql(s, schema, "make the database", e);
		if (!rc)
			rc = run_sql(s, set, "make the database", e);
	}
	if (!rc)
		rc = run_sql(s, "COMMIT", "make the database", e);
	if (rc)
		undo(s);
	return rc;
}

static int connect_to(struct store *s, const char *uri, int flags, struct error *e)
{
	int rc = sqlite3_open_v2(uri, &s->db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, NULL);
	if (rc != SQLITE_OK)
		return s->db ? db_fail(s, e, "open the database") : error_set(e, -ENOMEM, "out of memory opening %s", s->path);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_busy_timeout(s->db, 5000);
	if (db_functions(s->db))
		return db_fail(s, e, "register functions");
	rc = run_sql(s, "PRAGMA foreign_keys=ON; PRAGMA cell_size_check=ON; PRAGMA cache_size=-16384", "open the database", e);
	return rc ? rc : run_sql(s, quick_views, "open the database", e);
}

/* The bytes of a path as a file: URI, where '?', '#' and '%' have meanings. */
static char *immutable_uri(const char *path)
{
	struct buf b = { 0 };
	buf_puts(&b, "file:");
	for (; *path; path++)
		if (strchr("?#%", *path))
			buf_printf(&b, "%%%02x", (unsigned)*path);
		else
			buf_putc(&b, *path);
	buf_puts(&b, "?immutable=1");
	return buf_detach(&b);
}

static int open_reader(struct store *s, enum content *c, struct error *e)
{
	struct error first = { 0 };
	int rc = connect_to(s, s->path, SQLITE_OPEN_READONLY, &first);
	if (!rc)
		rc = identify(s, c, &first);
	if (rc != -EROFS)
		return rc ? error_set(e, rc, "%s", first.text) : 0;
	/* A reader needs the two files beside the database; where they cannot be made and nobody can be writing, it does without. */
	sqlite3_close(s->db);
	s->db = NULL;
	if (store_file_has_wal(s->path))
		return error_set(e, -EROFS, "%s was not closed in order and its folder cannot be written: copy it with its -wal file elsewhere and give that with --db",
				 s->path);
	char *uri = immutable_uri(s->path);
	rc = connect_to(s, uri, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, e);
	if (!rc)
		rc = identify(s, c, e);
	free(uri);
	return rc;
}

/* The change into WAL mode does not wait for other processes by itself; two that make a database at once meet here. */
static int use_wal(struct store *s, struct error *e)
{
	for (int turns = 0;; turns++) {
		struct error now = { 0 };
		int rc = run_sql(s, "PRAGMA journal_mode=WAL", "open the database", &now);
		if (rc != -EBUSY || turns == 250)
			return rc ? error_set(e, rc, "%s", now.text) : 0;
		nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL);
	}
}

static int open_writer(struct store *s, enum content *c, struct error *e)
{
	int rc = connect_to(s, s->path, SQLITE_OPEN_READWRITE | (s->mode == STORE_CREATE ? SQLITE_OPEN_CREATE : 0), e);
	if (!rc && sqlite3_db_readonly(s->db, "main") == 1)
		rc = error_set(e, -EROFS, "%s cannot be written: give a database elsewhere with --db", s->path);
	/* Look before changing anything: a file of another program stays as it is. */
	if (!rc)
		rc = identify(s, c, e);
	if (!rc && *c == CONTENT_NONE && s->mode != STORE_CREATE)
		return 0;
	if (!rc)
		rc = use_wal(s, e);
	if (!rc)
		rc = run_sql(s, "PRAGMA synchronous=FULL; PRAGMA journal_size_limit=67108864", "open the database", e);
	if (!rc && *c == CONTENT_NONE)
		rc = initialise(s, e);
	if (!rc && *c == CONTENT_OLDER)
		rc = db_migrate(s, steps, n_steps, STORE_VERSION, e);
	if (!rc)
		*c = CONTENT_OURS;
	return rc;
}

int store_open(const char *path, enum store_mode mode, struct store **out, struct error *e)
{
	*out = NULL;
	int rc = store_file_check(path, mode == STORE_CREATE, e);
	if (rc)
		return rc;
	struct store *s = x_calloc(1, sizeof(*s));
	s->path = x_strdup(path);
	s->mode = mode;
	enum content c = CONTENT_NONE;
	rc = mode == STORE_READ ? open_reader(s, &c, e) : open_writer(s, &c, e);
	if (!rc && c == CONTENT_NONE)
		rc = error_set(e, -ENOENT, "%s is empty: nothing was stored there yet", path);
	store_close(rc ? s : NULL);
	if (!rc && c == CONTENT_OLDER) {
		/* Only a writer can bring it up to date; then it is read as asked. */
		store_close(s);
		rc = store_open(path, STORE_WRITE, &s, e);
		if (rc)
			return rc;
		store_close(s);
		return store_open(path, STORE_READ, out, e);
	}
	if (!rc)
		*out = s;
	return rc;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	if (s->depth)
		undo(s);
	for (size_t i = 0; i < s->n_cache; i++)
		sqlite3_finalize(s->cache[i].st);
	forget(&s->metrics);
	forget(&s->sources);
	int rc = sqlite3_close(s->db);
	assert(rc == SQLITE_OK); /* else a cursor is open */
	(void)rc;
	free(s->path);
	free(s);
}

const char *store_path(const struct store *s)
{
	return s->path;
}

void store_set_patience(struct store *s, int ms)
{
	sqlite3_busy_timeout(s->db, ms);
}
