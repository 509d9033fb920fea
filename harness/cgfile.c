/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/cgfile.h"

#include "base/buf.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Interned names: one text per kind, in blocks that never move. */
enum kind { KIND_OBJECT, KIND_FILE, KIND_FUNCTION, KINDS };

struct block {
	struct block *next;
	char bytes[];
};

struct name {
	const char *text;
	uint32_t hash;
	uint8_t kind;
};

struct cgfile {
	struct block *blocks;
	size_t block_free;
	char *block_at;
	struct name *name;
	size_t nnames, cap, bytes;
	uint32_t *slot; /* open addressing: index + 1 into name, 0 is free; nslots is a power of two */
	size_t nslots;
};

enum { BLOCK_BYTES = 1 << 18, BUFFER_BYTES = 1 << 18, POSITIONS_MAX = 4, EVENTS_MAX = 64 };

/* What "(id)" stands for in this file. */
struct ids {
	const char **text;
	size_t n;
};

struct reader {
	struct cgfile *f;
	const char *path;
	const struct cgfile_sink *sink;
	struct error *e;
	struct cgfile_stats stats;
	struct ids ids[KINDS];

	/* of this part */
	bool body, totalled;
	unsigned pid, part, thread;
	bool announced;
	uint64_t ir;
	size_t npositions, nevents, ir_at;
	int address_at, line_at; /* index among the positions, -1 without it */
	uint64_t last[POSITIONS_MAX];

	struct cgfile_site at;
	const char *called_object, *called_file, *called_function;
	bool call_pending, jump_pending;
	uint64_t calls, target[POSITIONS_MAX];
};

struct cgfile *cgfile_open(void)
{
	return x_calloc(1, sizeof(struct cgfile));
}

void cgfile_close(struct cgfile *f)
{
	if (!f)
		return;
	for (struct block *b = f->blocks, *next; b; b = next) {
		next = b->next;
		free(b);
	}
	free(f->name);
	free(f->slot);
	free(f);
}

/* FNV-1a, 32 bits: short names, no adversary beyond the bound on their number. */
static uint32_t hash_name(int kind, const char *s, size_t n)
{
	uint32_t h = 2166136261u ^ (uint32_t)kind;
	for (size_t i = 0; i < n; i++)
		h = (h ^ (unsigned char)s[i]) * 16777619u;
	return h;
}

static char *store(struct cgfile *f, const char *s, size_t n)
{
	if (n + 1 > f->block_free) {
		size_t size = n + 1 > BLOCK_BYTES ? n + 1 : BLOCK_BYTES;
		struct block *b = x_realloc(NULL, 1, sizeof(*b) + size);
		b->next = f->blocks;
		f->blocks = b;
		f->block_at = b->bytes;
		f->block_free = size;
	}
	char *p = f->block_at;
	memcpy(p, s, n);
	p[n] = '\0';
	f->block_at += n + 1;
	f->block_free -= n + 1;
	return p;
}

static void grow_slots(struct cgfile *f)
{
	if (2 * (f->nnames + 1) <= f->nslots)
		return;
	f->nslots = f->nslots ? 2 * f->nslots : 1024;
	free(f->slot);
	f->slot = x_calloc(f->nslots, sizeof(*f->slot));
	for (size_t i = 0; i < f->nnames; i++) {
		size_t at = f->name[i].hash & (f->nslots - 1);
		while (f->slot[at])
			at = (at + 1) & (f->nslots - 1);
		f->slot[at] = (uint32_t)i + 1;
	}
}

/* NULL when there are too many. */
static const char *intern(struct cgfile *f, int kind, const char *s, size_t n)
{
	grow_slots(f);
	uint32_t h = hash_name(kind, s, n);
	size_t at = h & (f->nslots - 1);
	for (; f->slot[at]; at = (at + 1) & (f->nslots - 1)) {
		const struct name *x = &f->name[f->slot[at] - 1];
		if (x->hash == h && x->kind == kind && strncmp(x->text, s, n) == 0 && !x->text[n])
			return x->text;
	}
	if (f->nnames >= CGFILE_NAMES_MAX || f->bytes + n + 1 > CGFILE_NAME_BYTES_MAX)
		return NULL;
	const char *text = store(f, s, n);
	x_grow(f->name, f->nnames, f->cap);
	f->name[f->nnames++] = (struct name){ .text = text, .hash = h, .kind = (uint8_t)kind };
	f->bytes += n + 1;
	f->slot[at] = (uint32_t)f->nnames;
	return text;
}

static int refuse(struct reader *r, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static int refuse(struct reader *r, int code, const char *fmt, ...)
{
	char text[400];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return error_set(r->e, code, "%s:%llu: %s", r->path, (unsigned long long)r->stats.lines, text);
}

/* Digits, or 0x and hexadecimal digits, into *out; false on none or overflow. *s moves behind them. */
static bool number(const char **s, uint64_t *out)
{
	const char *p = *s;
	uint64_t v = 0;
	unsigned base = 10;
	if (p[0] == '0' && (p[1] == 'x' || p[1] == 'X')) {
		base = 16;
		p += 2;
	}
	const char *first = p;
	for (;; p++) {
		unsigned d = (unsigned char)*p;
		if (d >= '0' && d <= '9')
			d -= '0';
		else if (base == 16 && (d | 32) >= 'a' && (d | 32) <= 'f')
			d = (d | 32) - 'a' + 10;
		else
			break;
		if (v > (UINT64_MAX - d) / base)
			return false;
		v = v * base + d;
	}
	*s = p;
	*out = v;
	return p != first;
}

static void spaces(const char **s)
{
	while (**s == ' ' || **s == '\t')
		++*s;
}

/* One sub-position: absolute, "+n", "-n" or "*", relative to `last`. */
static bool position(const char **s, uint64_t last, uint64_t *out)
{
	char sign = **s;
	uint64_t v;
	if (sign == '*') {
		++*s;
		*out = last;
		return true;
	}
	if (sign == '+' || sign == '-')
		++*s;
	else
		sign = 0;
	if (!number(s, &v))
		return false;
	if ((sign == '+' && v > UINT64_MAX - last) || (sign == '-' && v > last))
		return false;
	*out = sign == '+' ? last + v : sign == '-' ? last - v : v;
	return true;
}

static bool positions(const struct reader *r, const char **s, uint64_t *out)
{
	for (size_t i = 0; i < r->npositions; i++) {
		if (!position(s, r->last[i], &out[i]))
			return false;
		if (**s && **s != ' ' && **s != '\t')
			return false;
		spaces(s);
	}
	return true;
}

/* "name", "(id) name" or "(id)". Functions are called "(below main)" too: an id is digits alone. */
static int name_of(struct reader *r, int kind, const char *s, const char **out)
{
	const char *p = s + 1;
	uint64_t id;
	if (*s == '(' && number(&p, &id) && *p == ')') {
		struct ids *t = &r->ids[kind];
		p++;
		spaces(&p);
		if (id >= CGFILE_NAMES_MAX)
			return refuse(r, -EBADMSG, "name number %llu is beyond all reason", (unsigned long long)id);
		if (!*p) {
			if (id >= t->n || !t->text[id])
				return refuse(r, -EBADMSG, "name number %llu was never given", (unsigned long long)id);
			*out = t->text[id];
			return 0;
		}
		if (id >= t->n) {
			size_t n = t->n ? t->n : 256;
			while (n <= id)
				n *= 2;
			t->text = x_realloc(t->text, n, sizeof(*t->text));
			memset(t->text + t->n, 0, (n - t->n) * sizeof(*t->text));
			t->n = n;
		}
		const char *text = intern(r->f, kind, p, strlen(p));
		if (!text)
			return refuse(r, -E2BIG, "more names than this reader keeps");
		if (t->text[id] && t->text[id] != text)
			return refuse(r, -EBADMSG, "name number %llu is given twice", (unsigned long long)id);
		*out = t->text[id] = text;
		return 0;
	}
	*out = intern(r->f, kind, s, strlen(s));
	return *out ? 0 : refuse(r, -E2BIG, "more names than this reader keeps");
}

static int announce(struct reader *r)
{
	if (r->announced)
		return 0;
	r->announced = true;
	r->stats.parts++;
	return r->sink->part ? r->sink->part(r->sink->ctx, r->pid, r->part, r->thread) : 0;
}

static int new_part(struct reader *r)
{
	if (r->body && !r->totalled)
		return refuse(r, -EBADMSG, "a new part begins before the totals of the last one");
	r->body = r->totalled = r->announced = false;
	r->ir = 0;
	r->pid = r->part = r->thread = 0;
	r->npositions = 1;
	r->address_at = -1;
	r->line_at = 0;
	r->nevents = 0;
	memset(r->last, 0, sizeof(r->last));
	r->at = (struct cgfile_site){ .object = intern(r->f, KIND_OBJECT, "", 0) };
	r->called_object = r->called_file = r->called_function = NULL;
	return 0;
}

static int positions_header(struct reader *r, const char *s)
{
	r->npositions = 0;
	r->address_at = r->line_at = -1;
	while (*s) {
		size_t n = strcspn(s, " \t");
		if (r->npositions == POSITIONS_MAX)
			return refuse(r, -EBADMSG, "more than %d positions", POSITIONS_MAX);
		if (n == 5 && !memcmp(s, "instr", n))
			r->address_at = (int)r->npositions;
		else if (n == 4 && !memcmp(s, "line", n))
			r->line_at = (int)r->npositions;
		else if (n != 2 || memcmp(s, "bb", n))
			return refuse(r, -EBADMSG, "unknown position '%.*s'", (int)(n > 40 ? 40 : n), s);
		r->npositions++;
		s += n;
		spaces(&s);
	}
	return r->npositions ? 0 : refuse(r, -EBADMSG, "no positions");
}

static int events_header(struct reader *r, const char *s)
{
	bool found = false;
	r->nevents = 0;
	while (*s) {
		size_t n = strcspn(s, " \t");
		if (n == 2 && !memcmp(s, "Ir", 2)) {
			r->ir_at = r->nevents;
			found = true;
		}
		if (++r->nevents > EVENTS_MAX)
			return refuse(r, -EBADMSG, "more than %d events", EVENTS_MAX);
		s += n;
		spaces(&s);
	}
	return found ? 0 : refuse(r, -EBADMSG, "the file does not count instructions (no event Ir)");
}

/* The costs of a line: event `ir_at`, 0 when the line ends before it. */
static int costs(struct reader *r, const char *s, uint64_t *ir)
{
	*ir = 0;
	for (size_t i = 0; *s; i++) {
		uint64_t v;
		if (i == r->nevents)
			return refuse(r, -EBADMSG, "more costs than events");
		if (!number(&s, &v) || (*s && *s != ' ' && *s != '\t'))
			return refuse(r, -EBADMSG, "'%.40s' is no cost", s);
		if (i == r->ir_at)
			*ir = v;
		spaces(&s);
	}
	return 0;
}

static int totals(struct reader *r, const char *s)
{
	uint64_t ir;
	if (!r->nevents)
		return refuse(r, -EBADMSG, "totals without events");
	int rc = announce(r);
	if (!rc)
		rc = costs(r, s, &ir);
	if (rc)
		return rc;
	if (r->call_pending || r->jump_pending)
		return refuse(r, -EBADMSG, "a call without its cost line");
	if (ir != r->ir)
		return refuse(r, -EBADMSG, "the costs add up to %llu, the file says %llu", (unsigned long long)r->ir,
			      (unsigned long long)ir);
	r->stats.total_ir += ir;
	r->body = r->totalled = true;
	return 0;
}

static int header(struct reader *r, const char *key, size_t n, const char *value)
{
	static const struct {
		const char *key;
		size_t at; /* offset of an unsigned in struct reader */
	} numbers[] = {
		{ "pid", offsetof(struct reader, pid) },
		{ "part", offsetof(struct reader, part) },
		{ "thread", offsetof(struct reader, thread) },
	};
#define IS(word) (n == sizeof(word) - 1 && !memcmp(key, word, n))
	if (IS("totals"))
		return totals(r, value);
	if (r->body) {
		int rc = new_part(r);
		if (rc)
			return rc;
	}
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
		uint64_t v;
		if (n != strlen(numbers[i].key) || memcmp(key, numbers[i].key, n))
			continue;
		if (!number(&value, &v) || v > UINT32_MAX)
			return refuse(r, -EBADMSG, "'%.40s' is no number of a %s", value, numbers[i].key);
		memcpy((char *)r + numbers[i].at, &(unsigned){ (unsigned)v }, sizeof(unsigned));
		return 0;
	}
	if (IS("version")) {
		if (strcmp(value, "1"))
			return refuse(r, -EBADMSG, "version %.40s of the format, this reader knows 1", value);
		return 0;
	}
	if (IS("positions"))
		return positions_header(r, value);
	if (IS("events"))
		return events_header(r, value);
	if (IS("creator"))
		snprintf(r->stats.creator, sizeof(r->stats.creator), "%s", value);
	/* cmd, desc, event, summary: nothing to keep. */
	return 0;
#undef IS
}

static int calls_line(struct reader *r, const char *s)
{
	if (!r->called_function)
		return refuse(r, -EBADMSG, "a call without a function to be called");
	if (!number(&s, &r->calls) || *s != ' ')
		return refuse(r, -EBADMSG, "a call without its count");
	spaces(&s);
	if (!positions(r, &s, r->target) || *s)
		return refuse(r, -EBADMSG, "a call without its target's position");
	r->call_pending = true;
	return 0;
}

static int specification(struct reader *r, const char *key, size_t n, const char *value)
{
	if (r->call_pending || r->jump_pending)
		return refuse(r, -EBADMSG, "a call without its cost line");
	if (r->totalled) {
		int rc = new_part(r);
		if (rc)
			return rc;
	}
	r->body = true;
#define IS(word) (n == sizeof(word) - 1 && !memcmp(key, word, n))
	const char *ignored;
	if (IS("fn")) {
		r->at.home = r->at.file;
		return name_of(r, KIND_FUNCTION, value, &r->at.function);
	}
	if (IS("fl") || IS("fi") || IS("fe"))
		return name_of(r, KIND_FILE, value, &r->at.file);
	if (IS("ob"))
		return name_of(r, KIND_OBJECT, value, &r->at.object);
	if (IS("cfn"))
		return name_of(r, KIND_FUNCTION, value, &r->called_function);
	if (IS("cfi") || IS("cfl"))
		return name_of(r, KIND_FILE, value, &r->called_file);
	if (IS("cob"))
		return name_of(r, KIND_OBJECT, value, &r->called_object);
	if (IS("calls"))
		return calls_line(r, value);
	/* Jumps inside a function name a place, whose line follows without a cost. */
	if (IS("jump") || IS("jcnd")) {
		r->jump_pending = true;
		return 0;
	}
	if (IS("jfn"))
		return name_of(r, KIND_FUNCTION, value, &ignored);
	if (IS("jfi"))
		return name_of(r, KIND_FILE, value, &ignored);
	return refuse(r, -EBADMSG, "unknown specification '%.*s'", (int)(n > 40 ? 40 : n), key);
#undef IS
}

static void place(struct cgfile_site *to, const struct reader *r, const uint64_t *p)
{
	to->address = r->address_at < 0 ? 0 : p[r->address_at];
	to->line = r->line_at < 0 ? 0 : p[r->line_at];
}

static int call_cost(struct reader *r, uint64_t ir)
{
	struct cgfile_site to = { .object = r->called_object ? r->called_object : r->at.object,
				  .file = r->called_file ? r->called_file : r->at.file,
				  .function = r->called_function };
	to.home = to.file;
	place(&to, r, r->target);
	r->call_pending = false;
	r->called_object = r->called_file = r->called_function = NULL;
	return r->sink->call ? r->sink->call(r->sink->ctx, &r->at, &to, r->calls, ir) : 0;
}

static int cost_line(struct reader *r, const char *s)
{
	uint64_t ir;
	if (r->totalled)
		return refuse(r, -EBADMSG, "costs behind the totals");
	if (!r->at.function)
		return refuse(r, -EBADMSG, "a cost that belongs to no function");
	if (!r->nevents)
		return refuse(r, -EBADMSG, "a cost before the header says of what");
	if (!positions(r, &s, r->last))
		return refuse(r, -EBADMSG, "'%.40s' is no position", s);
	int rc = announce(r);
	if (!rc)
		rc = costs(r, s, &ir);
	if (rc)
		return rc;
	place(&r->at, r, r->last);
	if (r->jump_pending) {
		r->jump_pending = false;
		return 0;
	}
	if (r->call_pending)
		return call_cost(r, ir);
	if (ir > UINT64_MAX - r->ir)
		return refuse(r, -EBADMSG, "the costs overflow");
	r->ir += ir;
	return r->sink->self ? r->sink->self(r->sink->ctx, &r->at, ir) : 0;
}

static int line(struct reader *r, char *s, size_t n)
{
	if (memchr(s, '\0', n))
		return refuse(r, -EBADMSG, "a zero byte: this is no callgrind file");
	if (n && s[n - 1] == '\r')
		s[--n] = '\0';
	if (!n || *s == '#')
		return 0;
	if ((*s >= '0' && *s <= '9') || *s == '+' || *s == '-' || *s == '*')
		return cost_line(r, s);
	size_t key = strspn(s, "abcdefghijklmnopqrstuvwxyz");
	if (key && s[key] == '=')
		return specification(r, s, key, s + key + 1);
	if (key && s[key] == ':') {
		const char *value = s + key + 1;
		spaces(&value);
		return header(r, s, key, value);
	}
	return refuse(r, -EBADMSG, "'%.40s' is no line of a callgrind file", s);
}

/* Feed whole lines from fd; the buffer grows to the longest line, at most CGFILE_LINE_MAX. */
static int feed(struct reader *r, int fd)
{
	size_t cap = BUFFER_BYTES, have = 0;
	char *buffer = x_realloc(NULL, cap, 1);
	int rc = 0;
	for (;;) {
		ssize_t got = read(fd, buffer + have, cap - have);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			rc = error_errno(r->e, errno, "cannot read %s", r->path);
		if (got <= 0)
			break;
		have += (size_t)got;
		r->stats.bytes += (size_t)got;
		char *at = buffer, *end = buffer + have, *newline;
		while (!rc && (newline = memchr(at, '\n', (size_t)(end - at)))) {
			r->stats.lines++;
			*newline = '\0';
			rc = line(r, at, (size_t)(newline - at));
			at = newline + 1;
		}
		if (rc)
			break;
		have = (size_t)(end - at);
		memmove(buffer, at, have);
		if (have < cap)
			continue;
		if (cap >= CGFILE_LINE_MAX) {
			r->stats.lines++;
			rc = refuse(r, -EBADMSG, "a line longer than %u bytes", CGFILE_LINE_MAX);
			break;
		}
		cap *= 2;
		buffer = x_realloc(buffer, cap, 1);
	}
	if (!rc && have) {
		r->stats.lines++;
		rc = refuse(r, -ENODATA, "the file is cut off inside a line");
	}
	free(buffer);
	return rc;
}

int cgfile_read(struct cgfile *f, const char *path, const struct cgfile_sink *sink, struct cgfile_stats *stats,
		struct error *e)
{
	struct reader r = { .f = f, .path = path, .sink = sink, .e = e };
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_errno(e, errno, "cannot read %s", path);
	new_part(&r);
	int rc = feed(&r, fd);
	close(fd);
	if (!rc && (!r.totalled || r.call_pending || r.jump_pending))
		rc = r.stats.lines ? refuse(&r, -ENODATA, "the file is cut off: it ends without its totals")
				   : error_set(e, -ENODATA, "%s is empty", path);
	for (int i = 0; i < KINDS; i++)
		free(r.ids[i].text);
	r.stats.names = f->nnames;
	r.stats.name_bytes = f->bytes;
	if (stats)
		*stats = r.stats;
	return rc;
}
