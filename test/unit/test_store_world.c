/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/fs.h"
#include "harness/store.h"
#include "harness/store_db.h"
#include "harness/store_export.h"
#include "harness/store_read.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* The world's share: kills, full disks, other processes, files that are not ours or not whole. All of it is done, nothing pretended. */

#define OK(call)                                                     \
	do {                                                         \
		struct error ok_ = { 0 };                            \
		struct error *oe = &ok_;                             \
		int rc_ = (call);                                    \
		if (rc_)                                             \
			fail_msg("%s: %d %s", #call, rc_, ok_.text); \
	} while (0)

static char dir[64];

static char *in_dir(const char *name)
{
	return x_printf("%s/%s", dir, name);
}

static int set_up(void **state)
{
	(void)state;
	/* In memory where that is possible: none of these tests is about losing power. */
	strcpy(dir, access("/dev/shm", W_OK) ? "/tmp/hakperf-world-XXXXXX" : "/dev/shm/hakperf-world-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	struct error e = { 0 };
	return fs_remove(dir, &e);
}

struct ids {
	int64_t session, case_id, arm;
};

/* A session with one arm and one case; everything is found again when it is there. Errors end the process: it may be a child. */
static struct ids plan(struct store *s, const char *verb)
{
	struct error e = { 0 };
	struct ids id;
	int64_t machine, build, workload, sitting;
	if (store_machine(s, "fp", NULL, 0, &machine, &e) ||
	    store_build(s, &(struct store_build){ .key = "k", .kind = "preload", .outcome = "ok" }, &build, &e) ||
	    store_workload(s, "w", "w", NULL, &workload, &e) ||
	    store_case(s, &(struct store_case){ .workload_id = workload }, &id.case_id, &e) ||
	    store_session_unfinished(s, verb, "{}", machine, &id.session, &e))
		goto bad;
	if (!id.session && store_session_begin(s, &(struct store_session){ .verb = verb, .request_json = "{}", .machine_id = machine,
									     .toolkit_version = "t" }, &id.session, &e))
		goto bad;
	if (store_arm(s, id.session, &(struct store_arm){ .role = "subject", .build_id = build, .label = "a" }, &id.arm, &e) ||
	    store_cell(s, id.session, id.arm, id.case_id, STORE_TIMED, 1000000, &e) ||
	    store_sitting_begin(s, id.session, (struct store_opt){ 0 }, "t", NULL, 0, &sitting, &e))
		goto bad;
	return id;
bad:
	fprintf(stderr, "plan: %s\n", e.text);
	_exit(99);
}

enum { RUNS = 4, SAMPLES = 5 };

/* A round of RUNS × SAMPLES; the page_faults of each run say its round. */
static int put(struct store *s, struct ids id, int64_t number, struct error *e)
{
	static const char *const names[SAMPLES] = { "page_faults", "cpu_ns", "wall_ns", "ops_per_s", "ops_per_cpu_s" };
	struct store_sample samples[SAMPLES];
	struct store_run runs[RUNS];
	for (int i = 0; i < SAMPLES; i++)
		samples[i] = (struct store_sample){ names[i], STORE_COUNT(number), "proc", "measured", { 0 }, { 0 } };
	for (int i = 0; i < RUNS; i++)
		runs[i] = (struct store_run){ .arm_id = id.arm, .multiplier = 1, .outcome = "ok", .samples = samples, .n_samples = SAMPLES };
	struct store_round r = { .session_id = id.session, .case_id = id.case_id, .number = number, .runs = runs, .n_runs = RUNS };
	return store_round(s, &r, NULL, NULL, e);
}

static int64_t ask(struct store *s, const char *sql, int64_t session)
{
	struct store_rows *r = rows_open(s, sql);
	if (session)
		rows_bind_int(r, ":session", session);
	struct error e = { 0 };
	if (rows_next(r, &e) != 1)
		fail_msg("%s: %s", sql, e.text);
	int64_t n = rows_int(r, 0);
	rows_close(r);
	return n;
}

/* Every round that is there is whole, and the file is sound. Returns their number. */
static int64_t check_whole(struct store *s, int64_t session)
{
	int64_t n = ask(s, "SELECT count(*) FROM round WHERE session_id = :session", session);
	assert_int_equal(ask(s, "SELECT count(*) FROM sample JOIN run ON run.id = run_id JOIN round ON round.id = round_id"
				" WHERE session_id = :session AND value = number", session), n * RUNS * SAMPLES);
	if (n)
		assert_int_equal(ask(s, "SELECT max(number) + 1 FROM round WHERE session_id = :session", session), n);
	assert_int_equal(ask(s, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'", 0), 0);
	assert_int_equal(ask(s, "SELECT count(*) FROM pragma_foreign_key_check", 0), 0);
	return n;
}

/* Writes rounds from the first missing one until killed; tells each number on fd when it is stored. */
static _Noreturn void writer(const char *path, const char *verb, int fd, int64_t most)
{
	struct store *s;
	struct error e = { 0 };
	if (store_open(path, STORE_CREATE, &s, &e)) {
		fprintf(stderr, "writer: %s\n", e.text);
		_exit(98);
	}
	store_set_patience(s, 30000);
	struct ids id = plan(s, verb);
	struct store_cell_rows cells;
	if (store_cells(s, id.session, true, &cells, &e) || cells.n != 1)
		_exit(97);
	for (int64_t i = cells.items[0].next_round; i < most; i++) {
		if (put(s, id, i, &e)) {
			fprintf(stderr, "writer: %s\n", e.text);
			_exit(96);
		}
		if (write(fd, &i, sizeof(i)) != sizeof(i))
			_exit(95);
	}
	store_free(cells.pool);
	store_close(s);
	_exit(0);
}

static void a_kill_loses_nothing(void **state)
{
	(void)state;
	char *path = in_dir("results.db");
	int64_t told = -1;
	unsigned random = 20251110;
	for (int turn = 0; turn < 40; turn++) {
		int fd[2];
		assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
		pid_t pid = fork();
		if (!pid)
			writer(path, "kill", fd[1], INT64_MAX);
		close(fd[1]);
		/* Every other one gets as far as its first round; the rest are killed anywhere, the very first in the making of the file. */
		int64_t i;
		if (turn % 2 && read(fd[0], &i, sizeof(i)) == sizeof(i))
			told = i;
		random = random * 1664525 + 1013904223;
		nanosleep(&(struct timespec){ .tv_nsec = (long)(random >> 8) % 10000000 }, NULL);
		kill(pid, SIGKILL);
		int status;
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFSIGNALED(status))
			fail_msg("the writer ended by itself: %d", WEXITSTATUS(status));
		while (read(fd[0], &i, sizeof(i)) == sizeof(i))
			told = i;
		close(fd[0]);
		struct store *s;
		struct error e = { 0 };
		int rc = store_open(path, STORE_READ, &s, &e);
		if (rc == -ENOENT && told < 0)
			continue; /* killed before there was a database */
		if (rc)
			fail_msg("turn %d: %s", turn, e.text);
		int64_t session = ask(s, "SELECT ifnull (max (id), 0) FROM session", 0);
		int64_t n = session ? check_whole(s, session) : 0;
		assert_true(session <= 1); /* it was taken up again, not begun anew */
		/* What was told is there; at most one round more, stored but not yet told. */
		assert_true(n == told + 1 || n == told + 2);
		told = n - 1;
		store_close(s);
	}
	assert_true(told >= 20);
	free(path);
}

/* Mounts made from here on are this process's own and end with it. */
static bool own_mounts(void)
{
	static int done;
	if (!done)
		done = geteuid() == 0 && !unshare(CLONE_NEWNS) && !mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ? 1 : -1;
	if (done < 0)
		print_message("SKIP: a full disk and a read-only mount need root and mount namespaces\n");
	return done > 0;
}

static void a_full_disk_keeps_what_was_stored(void **state)
{
	(void)state;
	if (!own_mounts())
		skip();
	char *small = in_dir("small"), *path = in_dir("small/results.db"), *filler = in_dir("small/filler");
	assert_int_equal(mkdir(small, 0755), 0);
	assert_int_equal(mount("none", small, "tmpfs", 0, "size=2m"), 0);
	struct store *s;
	OK(store_open(path, STORE_CREATE, &s, oe));
	struct ids id = plan(s, "full");
	/* Fill the disk to within a few pages, by different amounts, so that each kind of write meets its end. */
	int64_t stored = 0;
	for (int turn = 0; turn < 12; turn++) {
		int fd = open(filler, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		char block[4096] = { 0 };
		while (write(fd, block, sizeof(block)) == sizeof(block))
			;
		off_t size = lseek(fd, 0, SEEK_CUR);
		assert_int_equal(ftruncate(fd, size > turn * 4096 ? size - turn * 4096 : 0), 0);
		close(fd);
		struct error e = { 0 };
		int rc = 0;
		int made = 0;
		while (made < 2000 && !(rc = put(s, id, stored, &e)))
			stored++, made++;
		if (rc != -ENOSPC)
			fail_msg("turn %d: %d %s", turn, rc, e.text);
		assert_non_null(strstr(e.text, "full"));
		assert_non_null(strstr(e.text, path));
		/* Readable while full, by this process and after opening again. */
		assert_int_equal(check_whole(s, id.session), stored);
		struct store *reader;
		if (turn % 3 == 0) {
			OK(store_open(path, STORE_READ, &reader, oe));
			assert_int_equal(check_whole(reader, id.session), stored);
			store_close(reader);
		}
		assert_int_equal(unlink(filler), 0);
		OK(put(s, id, stored, oe));
		stored++;
	}
	store_close(s);
	OK(store_open(path, STORE_READ, &s, oe));
	assert_int_equal(check_whole(s, id.session), stored);
	store_close(s);
	/* No room even to begin. */
	char *second = in_dir("small/second.db");
	int fd = open(filler, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	char block[4096] = { 0 };
	while (write(fd, block, sizeof(block)) == sizeof(block))
		;
	close(fd);
	struct error e = { 0 };
	assert_int_equal(store_open(second, STORE_CREATE, &s, &e), -ENOSPC);
	assert_null(s);
	assert_int_equal(unlink(filler), 0);
	OK(store_open(second, STORE_CREATE, &s, oe));
	store_close(s);
	assert_int_equal(umount(small), 0);
	free(small), free(path), free(filler), free(second);
}

static void a_folder_that_cannot_be_written(void **state)
{
	(void)state;
	if (!own_mounts())
		skip();
	char *folder = in_dir("ro ?#%"), *path = in_dir("ro ?#%/results.db"), *fresh = in_dir("ro ?#%/fresh.db");
	assert_int_equal(mkdir(folder, 0755), 0);
	assert_int_equal(mount("none", folder, "tmpfs", 0, "size=4m"), 0);
	struct store *s;
	OK(store_open(path, STORE_CREATE, &s, oe));
	struct ids id = plan(s, "ro");
	OK(put(s, id, 0, oe));
	store_close(s);
	assert_int_equal(mount("none", folder, "tmpfs", MS_REMOUNT | MS_RDONLY, "size=4m"), 0);
	OK(store_open(path, STORE_READ, &s, oe));
	assert_int_equal(check_whole(s, id.session), 1);
	store_close(s);
	struct error e = { 0 };
	assert_int_equal(store_open(path, STORE_WRITE, &s, &e), -EROFS);
	assert_non_null(strstr(e.text, "--db"));
	error_clear(&e);
	assert_int_equal(store_open(fresh, STORE_CREATE, &s, &e), -EROFS);
	/* A database that a killed writer left behind: its log cannot be used here. */
	assert_int_equal(mount("none", folder, "tmpfs", MS_REMOUNT, "size=4m"), 0);
	int fd[2];
	assert_int_equal(pipe2(fd, O_CLOEXEC), 0);
	pid_t pid = fork();
	if (!pid)
		writer(path, "ro", fd[1], INT64_MAX);
	int64_t i = 0;
	while (i < 5 && read(fd[0], &i, sizeof(i)) == sizeof(i))
		;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(fd[0]), close(fd[1]);
	assert_int_equal(mount("none", folder, "tmpfs", MS_REMOUNT | MS_RDONLY, "size=4m"), 0);
	error_clear(&e);
	int rc = store_open(path, STORE_READ, &s, &e);
	if (rc == 0) {
		/* SQLite may read the log without writing. */
		assert_true(check_whole(s, id.session) >= 6);
		store_close(s);
	} else {
		assert_int_equal(rc, -EROFS);
		assert_non_null(strstr(e.text, "-wal"));
	}
	assert_int_equal(umount(folder), 0);
	free(folder), free(path), free(fresh);
}

static void writers_take_turns(void **state)
{
	(void)state;
	char *path = in_dir("results.db");
	enum { WRITERS = 4, EACH = 25 };
	pid_t pid[WRITERS];
	static const char *const verbs[WRITERS] = { "w0", "w1", "w2", "w3" };
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
	/* They also make the database at the same moment. */
	for (int i = 0; i < WRITERS; i++)
		if (!(pid[i] = fork()))
			writer(path, verbs[i], null, EACH);
	for (int i = 0; i < WRITERS; i++) {
		int status;
		assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
		assert_int_equal(status, 0);
	}
	close(null);
	struct store *s;
	OK(store_open(path, STORE_READ, &s, oe));
	assert_int_equal(ask(s, "SELECT count(*) FROM session", 0), WRITERS);
	assert_int_equal(ask(s, "SELECT count(*) FROM build", 0), 1);
	for (int64_t i = 1; i <= WRITERS; i++)
		assert_int_equal(check_whole(s, i), EACH);
	store_close(s);
	free(path);
}

static void a_second_writer_is_told_who_writes(void **state)
{
	(void)state;
	char *path = in_dir("results.db");
	struct store *s;
	OK(store_open(path, STORE_CREATE, &s, oe));
	struct ids id = plan(s, "busy");
	OK(put(s, id, 0, oe));
	int ready[2], go[2];
	assert_int_equal(pipe2(ready, O_CLOEXEC) | pipe2(go, O_CLOEXEC), 0);
	pid_t pid = fork();
	if (!pid) {
		struct store *other;
		struct error e = { 0 };
		char c = 0;
		if (store_open(path, STORE_WRITE, &other, &e) || store_begin(other, &e) || put(other, id, 1, &e) || write(ready[1], &c, 1) != 1 ||
		    read(go[0], &c, 1) != 1 || store_commit(other, &e))
			_exit(1);
		store_close(other);
		_exit(0);
	}
	char c = 0;
	assert_int_equal(read(ready[0], &c, 1), 1);
	store_set_patience(s, 30);
	struct error e = { 0 };
	assert_int_equal(put(s, id, 2, &e), -EBUSY);
	char who[40];
	snprintf(who, sizeof(who), "process %d (", (int)pid);
	if (!strstr(e.text, who))
		fail_msg("not named: %s", e.text);
	/* Meanwhile readers see the last whole state, and opening to read does not wait. */
	assert_int_equal(check_whole(s, id.session), 1);
	struct store *reader;
	OK(store_open(path, STORE_READ, &reader, oe));
	struct store_rows *cursor = rows_open(reader, "SELECT count(*) OVER () FROM sample");
	error_clear(&e);
	assert_int_equal(rows_next(cursor, &e), 1);
	assert_int_equal(write(go[1], &c, 1), 1);
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	/* A cursor that is open keeps its view; the next question sees the new round. */
	int64_t n = 1;
	while (rows_next(cursor, &e) > 0)
		n++;
	assert_int_equal(n, RUNS * SAMPLES);
	rows_close(cursor);
	assert_int_equal(check_whole(reader, id.session), 2);
	store_close(reader);
	OK(put(s, id, 2, oe));
	store_close(s);
	close(ready[0]), close(ready[1]), close(go[0]), close(go[1]);
	free(path);
}

static void spoil(const char *path, const char *sql)
{
	sqlite3 *db;
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	char *why = NULL;
	if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK)
		fail_msg("%s: %s", sql, why);
	sqlite3_close(db);
}

static char *made(const char *name)
{
	char *path = in_dir(name);
	struct store *s;
	OK(store_open(path, STORE_CREATE, &s, oe));
	struct ids id = plan(s, "made");
	for (int i = 0; i < 30; i++)
		OK(put(s, id, i, oe));
	store_close(s);
	return path;
}

static void files_that_cannot_be_opened(void **state)
{
	(void)state;
	struct error e = { 0 };
	char *path = in_dir("text");
	OK(fs_write(path, "hello\n", 6, oe));
	free(path);
	path = in_dir("magic");
	OK(fs_write(path, "SQLite format 3", 16, oe));
	free(path);
	path = in_dir("empty");
	OK(fs_write(path, "", 0, oe));
	free(path);
	path = in_dir("foreign");
	spoil(path, "CREATE TABLE notes (text)");
	free(path);
	path = in_dir("foreign_id");
	spoil(path, "PRAGMA application_id=252006674; PRAGMA journal_mode=WAL; CREATE TABLE event (x)");
	free(path);
	path = in_dir("bare");
	spoil(path, "PRAGMA journal_mode=WAL; CREATE TABLE x (x); DROP TABLE x");
	free(path);
	path = made("newer");
	spoil(path, "PRAGMA user_version=99");
	free(path);
	path = made("older");
	spoil(path, "PRAGMA user_version=0");
	free(path);
	path = made("other_tables");
	spoil(path, "ALTER TABLE round RENAME COLUMN number TO nummer; ALTER TABLE session RENAME COLUMN verb TO verbum");
	free(path);
	path = in_dir("fifo");
	assert_int_equal(mkfifo(path, 0600), 0);
	free(path);
	path = in_dir("folder");
	assert_int_equal(mkdir(path, 0755), 0);
	free(path);

	static const struct {
		int line;
		const char *name;
		enum store_mode mode;
		int code;
		const char *says;
	} rows[] = {
		{ __LINE__, "missing", STORE_READ, -ENOENT, "no database" },
		{ __LINE__, "missing", STORE_WRITE, -ENOENT, "no database" },
		{ __LINE__, "no/such/folder", STORE_CREATE, -EROFS, "folder" },
		{ __LINE__, "text/below", STORE_CREATE, -ENOTDIR, "text/below" },
		{ __LINE__, "text", STORE_READ, -EMEDIUMTYPE, "not a database" },
		{ __LINE__, "text", STORE_CREATE, -EMEDIUMTYPE, "not a database" },
		{ __LINE__, "magic", STORE_READ, -EUCLEAN, "cut short" },
		{ __LINE__, "magic", STORE_CREATE, -EUCLEAN, "cut short" },
		{ __LINE__, "empty", STORE_READ, -ENOENT, "empty" },
		{ __LINE__, "bare", STORE_READ, -ENOENT, "empty" },
		{ __LINE__, "bare", STORE_WRITE, -ENOENT, "empty" },
		{ __LINE__, "foreign", STORE_READ, -EMEDIUMTYPE, "another program" },
		{ __LINE__, "foreign", STORE_CREATE, -EMEDIUMTYPE, "another program" },
		{ __LINE__, "foreign_id", STORE_CREATE, -EMEDIUMTYPE, "0xf055112" },
		{ __LINE__, "newer", STORE_READ, -EPROTO, "newer hakperf (schema version 99" },
		{ __LINE__, "newer", STORE_CREATE, -EPROTO, "update hakperf" },
		{ __LINE__, "older", STORE_READ, -EPROTO, "no way" },
		{ __LINE__, "older", STORE_CREATE, -EPROTO, "no way" },
		{ __LINE__, "fifo", STORE_READ, -EMEDIUMTYPE, "regular file" },
		{ __LINE__, "folder", STORE_CREATE, -EISDIR, "folder" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct store *s = NULL;
		path = in_dir(rows[i].name);
		struct buf before = { 0 }, after = { 0 };
		bool file = rows[i].mode != STORE_READ && strcmp(rows[i].name, "folder") && !strchr(rows[i].name, '/') && fs_exists(path);
		if (file)
			OK(fs_read(path, 1 << 24, &before, oe));
		error_clear(&e);
		int rc = store_open(path, rows[i].mode, &s, &e);
		if (rc != rows[i].code || s || !strstr(e.text, rows[i].says) || !strstr(e.text, path))
			fail_msg("row of line %d: %d '%s'", rows[i].line, rc, e.text);
		/* What is not ours stays as it was. */
		if (file) {
			OK(fs_read(path, 1 << 24, &after, oe));
			assert_int_equal(before.len, after.len);
			assert_memory_equal(buf_str(&before), buf_str(&after), before.len);
		}
		buf_release(&before);
		buf_release(&after);
		free(path);
	}
	/* An empty file, or one where a maker was killed at once, becomes a database. */
	for (int i = 0; i < 2; i++) {
		struct store *s;
		path = in_dir(i ? "bare" : "empty");
		OK(store_open(path, STORE_CREATE, &s, oe));
		plan(s, "x");
		store_close(s);
		free(path);
	}
	/* Tables that are not ours under our name are damage, not a crash. */
	struct store *s;
	path = in_dir("other_tables");
	OK(store_open(path, STORE_READ, &s, oe));
	struct store_session_rows sessions;
	error_clear(&e);
	assert_int_equal(store_sessions(s, (struct store_opt){ 0 }, &sessions, &e), -EUCLEAN);
	store_close(s);
	free(path);
}

/* Read all there is; ends well or with an error that names the file. */
static int read_all(const char *path, enum store_mode mode)
{
	struct store *s;
	struct error e = { 0 };
	int rc = store_open(path, mode, &s, &e);
	if (!rc) {
		FILE *null = fopen("/dev/null", "w");
		struct store_session_rows sessions;
		struct store_cell_rows cells;
		struct store_case_rows cases;
		struct store_arm_rows arms;
		struct store_noises noises;
		rc = store_export(s, null, STORE_JSON, NULL, NULL, &e);
		fclose(null);
		struct error each = { 0 };
		int one = store_sessions(s, (struct store_opt){ 0 }, &sessions, &each);
		store_free(sessions.pool);
		rc = rc ? rc : one;
		one = store_cells(s, 1, false, &cells, &each);
		store_free(cells.pool);
		rc = rc ? rc : one;
		one = store_cases(s, (struct store_opt){ 0 }, &cases, &each);
		store_free(cases.pool);
		rc = rc ? rc : one;
		one = store_arms(s, 1, &arms, &each);
		store_free(arms.pool);
		rc = rc ? rc : one;
		one = store_noise(s, 1, (struct store_opt){ 0 }, NULL, &noises, &each);
		store_free(noises.pool);
		rc = rc ? rc : one;
		if (rc && !e.code)
			e = each;
		if (!rc && mode != STORE_READ) {
			int64_t id;
			rc = store_workload(s, "new", "new", NULL, &id, &e);
		}
		store_close(s);
	}
	if (rc && !e.text[0])
		fail_msg("an error without a message: %d", rc);
	return rc;
}

/* Copy the first bytes of a good file, spoilt at a place by SPAN bytes. */
enum { SPAN = 48 };
static void copy_with(const struct buf *good, const char *to, size_t length, size_t at, unsigned char byte)
{
	char *wal = x_printf("%s-wal", to), *shm = x_printf("%s-shm", to);
	unlink(wal);
	unlink(shm);
	free(wal);
	free(shm);
	struct buf b = { 0 };
	buf_add(&b, good->data, length);
	for (size_t i = at; i < at + SPAN && i < length; i++)
		b.data[i] = (char)(byte += 7);
	int fd = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, b.data, length), (ssize_t)length);
	close(fd);
	buf_release(&b);
}

static void cut_files(void **state)
{
	(void)state;
	char *path = made("whole.db"), *cut = in_dir("cut.db");
	struct buf good = { 0 };
	OK(fs_read(path, 1 << 24, &good, oe));
	assert_true(good.len > 20 * 4096);
	for (size_t length = 1; length < good.len; length += length < 200 ? 13 : 4096 - 1) {
		copy_with(&good, cut, length, good.len, 0);
		for (int mode = STORE_READ; mode <= STORE_CREATE; mode++) {
			struct store *s;
			struct error e = { 0 };
			int rc = store_open(cut, (enum store_mode)mode, &s, &e);
			if (rc != -EUCLEAN || !strstr(e.text, "cut short"))
				fail_msg("cut at %zu: %d %s", length, rc, e.text);
		}
	}
	copy_with(&good, cut, good.len, good.len, 0);
	assert_int_equal(read_all(cut, STORE_CREATE), 0);
	buf_release(&good);
	free(path), free(cut);
}

static void spoiled_files(void **state)
{
	(void)state;
	char *path = made("whole.db"), *spoilt = in_dir("spoilt.db");
	struct buf good = { 0 };
	OK(fs_read(path, 1 << 24, &good, oe));
	unsigned random = 42;
	int failed = 0;
	/* Half of the blows hit the header and the schema. */
	for (int i = 0; i < 150; i++) {
		random = random * 1664525 + 1013904223;
		size_t at = (random >> 4) % (i % 2 ? good.len : 8192);
		random = random * 1664525 + 1013904223;
		copy_with(&good, spoilt, good.len, at, (unsigned char)(random >> 20));
		failed += read_all(spoilt, i % 3 ? STORE_READ : STORE_WRITE) != 0;
	}
	assert_true(failed > 20);
	/* Noise behind a good header. */
	for (size_t i = 4096; i < good.len; i++) {
		random = random * 1664525 + 1013904223;
		good.data[i] = (char)(random >> 20);
	}
	copy_with(&good, spoilt, good.len, good.len, 0);
	assert_int_equal(read_all(spoilt, STORE_READ), -EUCLEAN);
	/* A good file under a foreign log: SQLite's checksums tell. */
	buf_release(&good);
	OK(fs_read(path, 1 << 24, &good, oe));
	copy_with(&good, spoilt, good.len, good.len, 0);
	char *wal = x_printf("%s-wal", spoilt);
	OK(fs_write(wal, good.data, 8192, oe));
	assert_int_equal(read_all(spoilt, STORE_WRITE), 0);
	buf_release(&good);
	free(path), free(spoilt), free(wal);
}

static void steps_of_a_migration(void **state)
{
	(void)state;
	char *path = made("results.db");
	struct store *s;
	OK(store_open(path, STORE_WRITE, &s, oe));
	const int now = STORE_VERSION;
	const struct db_step good[] = {
		{ now + 1, "ALTER TABLE machine ADD COLUMN nickname TEXT; UPDATE machine SET nickname = 'x'" },
		{ now + 2, "CREATE TABLE machine_new (id INTEGER PRIMARY KEY, fingerprint TEXT, first_seen_s INTEGER, nickname TEXT) STRICT;"
			   "INSERT INTO machine_new SELECT * FROM machine; DROP TABLE machine; ALTER TABLE machine_new RENAME TO machine" },
	};
	OK(db_migrate(s, good, 1, now + 1, oe));
	OK(db_migrate(s, good, 2, now + 2, oe));
	OK(db_migrate(s, good, 2, now + 2, oe)); /* nothing is left to do */
	assert_int_equal(ask(s, "SELECT count(*) FROM machine", 0), 1);
	assert_int_equal(check_whole(s, 1), 30);
	assert_int_equal(ask(s, "SELECT foreign_keys FROM pragma_foreign_keys", 0), 1);
	/* A step that fails, or leaves rows that refer to nothing, changes nothing. */
	const struct db_step broken[] = { { now + 3, "CREATE TABLE other (x INTEGER) STRICT; INSERT INTO other VALUES (1); DELETE FROM nowhere" } };
	const struct db_step orphans[] = { { now + 3, "CREATE TABLE other (x INTEGER) STRICT; DELETE FROM bench_case" } };
	struct error e = { 0 };
	assert_true(db_migrate(s, broken, 1, now + 3, &e) < 0);
	error_clear(&e);
	assert_int_equal(db_migrate(s, orphans, 1, now + 3, &e), -EUCLEAN);
	error_clear(&e);
	assert_int_equal(db_migrate(s, good, 2, now + 3, &e), -EPROTO);
	assert_int_equal(ask(s, "SELECT user_version FROM pragma_user_version", 0), now + 2);
	assert_int_equal(ask(s, "SELECT count(*) FROM sqlite_schema WHERE name = 'other'", 0), 0);
	assert_int_equal(check_whole(s, 1), 30);
	store_close(s);
	error_clear(&e);
	assert_int_equal(store_open(path, STORE_READ, &s, &e), -EPROTO); /* to this program it is newer now */
	free(path);
}

/* Tables, columns, types and keys, as text. */
static char *shape(const char *path)
{
	struct store *s;
	OK(store_open(path, STORE_READ, &s, oe));
	struct store_rows *r = rows_open(s, "SELECT group_concat (line, char (10)) FROM (SELECT t.name || '.' || c.name || ' ' || c.type || ' ' || c.\"notnull\""
					    " || ' ' || c.pk AS line FROM sqlite_schema AS t JOIN pragma_table_info (t.name) AS c ORDER BY t.name, c.name)");
	struct error e = { 0 };
	assert_int_equal(rows_next(r, &e), 1);
	char *text = x_strdup(rows_text(r, 0));
	rows_close(r);
	store_close(s);
	return text;
}

/*
 * The schema of every version that was ever released stands in test/store/vN-schema.sql, rows for it in vN-rows.sql. It must open,
 * migrated to the very shape of a new one, with its rows.
 */
static void every_version_opens(void **state)
{
	(void)state;
	char *fresh_path = made("fresh.db"), *fresh = shape(fresh_path);
	for (int version = 1; version <= STORE_VERSION; version++) {
		char *schema_path = x_printf("test/store/v%d-schema.sql", version), *rows_path = x_printf("test/store/v%d-rows.sql", version);
		char *path = x_printf("%s/v%d.db", dir, version);
		struct buf sql = { 0 };
		buf_printf(&sql, "PRAGMA journal_mode=WAL; PRAGMA application_id=%d; PRAGMA user_version=%d;\n", STORE_APPLICATION_ID, version);
		OK(fs_read(schema_path, 1 << 20, &sql, oe));
		OK(fs_read(rows_path, 1 << 20, &sql, oe));
		OK(fs_read("harness/views.sql", 1 << 20, &sql, oe));
		spoil(path, buf_str(&sql));
		char *migrated = shape(path);
		assert_string_equal(migrated, fresh);
		struct store *s;
		OK(store_open(path, STORE_READ, &s, oe));
		assert_int_equal(ask(s, "SELECT user_version FROM pragma_user_version", 0), STORE_VERSION);
		assert_int_equal(ask(s, "SELECT count(*) FROM sample WHERE value IN (9007199254740993, 0.25)", 0), 2);
		store_close(s);
		OK(store_open(path, STORE_WRITE, &s, oe));
		struct ids id = plan(s, "new");
		OK(put(s, id, 0, oe));
		assert_int_equal(check_whole(s, id.session), 1);
		store_close(s);
		buf_release(&sql);
		free(schema_path), free(rows_path), free(path), free(migrated);
	}
	free(fresh_path), free(fresh);
}

static void the_schema_changes_by_versions_only(void **state)
{
	(void)state;
	char *kept = x_printf("test/store/v%d-schema.sql", STORE_VERSION);
	struct buf now = { 0 }, then = { 0 };
	OK(fs_read("harness/schema.sql", 1 << 20, &now, oe));
	OK(fs_read(kept, 1 << 20, &then, oe));
	if (strcmp(buf_str(&now), buf_str(&then)))
		fail_msg("harness/schema.sql is not %s: databases of version %d are about: add a version and its step", kept, STORE_VERSION);
	buf_release(&now);
	buf_release(&then);
	free(kept);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(a_kill_loses_nothing),
		T(a_full_disk_keeps_what_was_stored),
		T(a_folder_that_cannot_be_written),
		T(writers_take_turns),
		T(a_second_writer_is_told_who_writes),
		T(files_that_cannot_be_opened),
		T(cut_files),
		T(spoiled_files),
		T(steps_of_a_migration),
		T(every_version_opens),
		T(the_schema_changes_by_versions_only),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
