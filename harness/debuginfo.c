/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/debuginfo.h"

#include "base/buf.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Malformed files may nest without end; compilers stay far below. */
#define NESTING_MAX 200
#define NONE SIZE_MAX

struct range {
	uint64_t lo, hi; /* [lo, hi) */
	size_t what;     /* unit, or function */
};

/* A function's own code or a copy of it inlined into another. */
struct code {
	Dwarf_Die die;
	size_t parent, first_child, next; /* of the inlining, NONE without */
	size_t range, n_ranges;
	uint64_t entry;
};

struct unit {
	Dwarf_Die die;
	bool read;
	struct code *codes;
	size_t n_codes, cap_codes;
	struct range *ranges; /* of codes, each code's together */
	size_t n_ranges, cap_ranges;
	struct range *functions; /* ranges of code that is nobody's inlined copy, ascending */
	size_t n_functions, cap_functions;
};

struct debuginfo {
	int fd;
	Dwarf *dwarf; /* NULL: the file has none */
	struct unit *units;
	size_t n_units, cap_units;
	struct range *ranges; /* of units, ascending */
	size_t n_ranges, cap_ranges;
};

static int by_lo(const void *a, const void *b)
{
	const struct range *x = a, *y = b;
	if (x->lo != y->lo)
		return x->lo < y->lo ? -1 : 1;
	return x->hi < y->hi ? -1 : x->hi > y->hi;
}

static void add_range(struct range **list, size_t *n, size_t *cap, uint64_t lo, uint64_t hi,
		      size_t what)
{
	if (lo >= hi)
		return;
	x_grow(*list, *n, *cap);
	(*list)[(*n)++] = (struct range){ lo, hi, what };
}

static void find_units(struct debuginfo *d)
{
	Dwarf_CU *cu = NULL;
	Dwarf_Half version;
	uint8_t type;
	Dwarf_Die die;
	while (!dwarf_get_units(d->dwarf, cu, &cu, &version, &type, &die, NULL)) {
		if (type != DW_UT_compile && type != DW_UT_partial)
			continue;
		x_grow(d->units, d->n_units, d->cap_units);
		size_t at = d->n_units++;
		d->units[at] = (struct unit){ .die = die };
		Dwarf_Addr base, lo, hi;
		for (ptrdiff_t i = 0; (i = dwarf_ranges(&die, i, &base, &lo, &hi)) > 0;)
			add_range(&d->ranges, &d->n_ranges, &d->cap_ranges, lo, hi, at);
	}
	if (d->n_ranges)
		qsort(d->ranges, d->n_ranges, sizeof(*d->ranges), by_lo);
}

int debuginfo_open(struct debuginfo **out, const char *path, struct error *e)
{
	struct debuginfo *d = x_calloc(1, sizeof(*d));
	unsigned char magic[4] = { 0 };
	*out = NULL;
	d->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (d->fd < 0 || pread(d->fd, magic, sizeof(magic), 0) < 0) {
		int rc = error_errno(e, errno, "cannot read %s", path);
		debuginfo_close(d);
		return rc;
	}
	if (memcmp(magic, "\177ELF", 4)) {
		debuginfo_close(d);
		return error_set(e, -ENOEXEC, "%s is no ELF file", path);
	}
	d->dwarf = dwarf_begin(d->fd, DWARF_C_READ);
	if (d->dwarf)
		find_units(d);
	*out = d;
	return 0;
}

void debuginfo_close(struct debuginfo *d)
{
	if (!d)
		return;
	for (size_t i = 0; i < d->n_units; i++) {
		free(d->units[i].codes);
		free(d->units[i].ranges);
		free(d->units[i].functions);
	}
	free(d->units), free(d->ranges);
	if (d->dwarf)
		dwarf_end(d->dwarf);
	if (d->fd >= 0)
		close(d->fd);
	free(d);
}

bool debuginfo_has(const struct debuginfo *d)
{
	return d->n_units > 0;
}

/* DW_AT_entry_pc is an address, or since DWARF 5 also an offset from where the code begins. */
static uint64_t entry_of(Dwarf_Die *die, uint64_t begin)
{
	Dwarf_Attribute attr;
	Dwarf_Addr address;
	Dwarf_Word offset;
	if (!dwarf_attr(die, DW_AT_entry_pc, &attr))
		return begin;
	if (!dwarf_formaddr(&attr, &address))
		return address;
	return dwarf_formudata(&attr, &offset) ? begin : begin + offset;
}

/* Enter a function or an inlined copy that has code; returns its index, NONE when it has none. */
static size_t add_code(struct unit *u, Dwarf_Die *die, size_t parent)
{
	Dwarf_Addr base, lo, hi;
	size_t at = u->n_codes, from = u->n_ranges;
	for (ptrdiff_t i = 0; (i = dwarf_ranges(die, i, &base, &lo, &hi)) > 0;) {
		add_range(&u->ranges, &u->n_ranges, &u->cap_ranges, lo, hi, at);
		if (parent == NONE)
			add_range(&u->functions, &u->n_functions, &u->cap_functions, lo, hi, at);
	}
	if (u->n_ranges == from)
		return NONE;
	x_grow(u->codes, u->n_codes, u->cap_codes);
	u->codes[u->n_codes++] = (struct code){
		.die = *die,
		.parent = parent,
		.first_child = NONE,
		.next = NONE,
		.range = from,
		.n_ranges = u->n_ranges - from,
		.entry = entry_of(die, u->ranges[from].lo),
	};
	if (parent != NONE) {
		u->codes[at].next = u->codes[parent].first_child;
		u->codes[parent].first_child = at;
	}
	return at;
}

/* Blocks are transparent; a function inside a function has code of its own. */
static void walk(struct unit *u, Dwarf_Die *die, size_t parent, unsigned depth)
{
	Dwarf_Die child;
	if (depth > NESTING_MAX || dwarf_child(die, &child))
		return;
	do {
		size_t at = parent;
		switch (dwarf_tag(&child)) {
		case DW_TAG_subprogram: at = add_code(u, &child, NONE); break;
		case DW_TAG_inlined_subroutine:
			at = parent == NONE ? NONE : add_code(u, &child, parent);
			break;
		case DW_TAG_lexical_block:
		case DW_TAG_namespace:
		case DW_TAG_class_type:
		case DW_TAG_structure_type:
		case DW_TAG_module: break;
		default: continue;
		}
		if (at != NONE || parent == NONE)
			walk(u, &child, at, depth + 1);
	} while (!dwarf_siblingof(&child, &child));
}

static void read_unit(struct unit *u)
{
	if (u->read)
		return;
	u->read = true;
	walk(u, &u->die, NONE, 0);
	if (u->n_functions)
		qsort(u->functions, u->n_functions, sizeof(*u->functions), by_lo);
}

/* The last range that begins at or before the address and holds it: of equal ones any. */
static size_t holder(const struct range *list, size_t n, uint64_t address)
{
	size_t lo = 0, hi = n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (list[mid].lo <= address)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo && address < list[lo - 1].hi ? list[lo - 1].what : NONE;
}

static bool holds(const struct unit *u, const struct code *c, uint64_t address)
{
	for (size_t i = c->range; i < c->range + c->n_ranges; i++)
		if (address >= u->ranges[i].lo && address < u->ranges[i].hi)
			return true;
	return false;
}

static size_t deepest(const struct unit *u, size_t at, uint64_t address)
{
	for (size_t child = u->codes[at].first_child; child != NONE;) {
		if (holds(u, &u->codes[child], address)) {
			at = child;
			child = u->codes[at].first_child;
		} else {
			child = u->codes[child].next;
		}
	}
	return at;
}

static const char *call_file(struct unit *u, Dwarf_Die *die)
{
	Dwarf_Attribute attr;
	Dwarf_Word index;
	Dwarf_Files *files;
	size_t n;
	if (!dwarf_attr(die, DW_AT_call_file, &attr) || dwarf_formudata(&attr, &index) ||
	    dwarf_getsrcfiles(&u->die, &files, &n) || index >= n)
		return NULL;
	return dwarf_filesrc(files, index, NULL, NULL);
}

static unsigned call_line(Dwarf_Die *die)
{
	Dwarf_Attribute attr;
	Dwarf_Word line;
	return dwarf_attr(die, DW_AT_call_line, &attr) && !dwarf_formudata(&attr, &line)
		       ? (unsigned)line
		       : 0;
}

static void instruction_line(struct unit *u, uint64_t address, struct debuginfo_frame *f)
{
	int line = 0;
	Dwarf_Line *at = dwarf_getsrc_die(&u->die, address);
	if (!at)
		return;
	f->file = dwarf_linesrc(at, NULL, NULL);
	f->line = !dwarf_lineno(at, &line) && line > 0 ? (unsigned)line : 0;
}

/*
 * The first row of the line table for an address, which names the function's head; later ones name
 * what is inlined there.
 */
static const char *first_file(struct unit *u, uint64_t address)
{
	Dwarf_Lines *lines;
	Dwarf_Addr at;
	size_t n, lo = 0, hi;
	if (dwarf_getsrclines(&u->die, &lines, &n))
		return NULL;
	for (hi = n; lo < hi;) {
		size_t mid = lo + (hi - lo) / 2;
		if (!dwarf_lineaddr(dwarf_onesrcline(lines, mid), &at) && at < address)
			lo = mid + 1;
		else
			hi = mid;
	}
	Dwarf_Line *line = lo < n ? dwarf_onesrcline(lines, lo) : NULL;
	bool ends = false;
	if (line && !dwarf_lineendsequence(line, &ends) && ends)
		line = dwarf_onesrcline(lines, lo + 1);
	return line && !dwarf_lineaddr(line, &at) && at == address ? dwarf_linesrc(line, NULL, NULL)
								   : NULL;
}

/*
 * Compilers keep the first declaration that they saw, a header's: code that is nobody's copy tells
 * by its own lines.
 */
static const char *home_file(struct unit *u, struct code *c)
{
	const char *file = c->parent == NONE ? first_file(u, u->ranges[c->range].lo) : NULL;
	return file ? file : dwarf_decl_file(&c->die);
}

size_t debuginfo_frames(struct debuginfo *d, uint64_t address, struct debuginfo_frame *out,
			size_t max)
{
	size_t at = holder(d->ranges, d->n_ranges, address), n = 0;
	if (at == NONE || !max)
		return 0;
	struct unit *u = &d->units[at];
	read_unit(u);
	struct debuginfo_frame next = { 0 };
	instruction_line(u, address, &next);
	size_t code = holder(u->functions, u->n_functions, address);
	if (code == NONE) {
		*out = next;
		return next.line ? 1 : 0;
	}
	for (code = deepest(u, code, address); code != NONE; code = u->codes[code].parent) {
		struct code *c = &u->codes[code];
		next.function = dwarf_diename(&c->die);
		next.decl_file = home_file(u, c);
		next.entry = c->entry;
		next.instance = dwarf_dieoffset(&c->die);
		/* Beyond max the outermost frames count: they are whose code it is. */
		if (n == max)
			memmove(out, out + 1, --n * sizeof(*out));
		out[n++] = next;
		next = (struct debuginfo_frame){ .file = call_file(u, &c->die),
						 .line = call_line(&c->die) };
	}
	return n;
}

static bool mentions(Dwarf_Die *die, const char *function, unsigned depth)
{
	Dwarf_Die child;
	if (depth > NESTING_MAX || dwarf_child(die, &child))
		return false;
	do {
		int tag = dwarf_tag(&child);
		const char *name = tag == DW_TAG_subprogram ? dwarf_diename(&child) : NULL;
		if (name && !strcmp(name, function))
			return true;
		if ((tag == DW_TAG_subprogram || tag == DW_TAG_namespace ||
		     tag == DW_TAG_class_type || tag == DW_TAG_structure_type) &&
		    mentions(&child, function, depth + 1))
			return true;
	} while (!dwarf_siblingof(&child, &child));
	return false;
}

bool debuginfo_mentions(struct debuginfo *d, const char *function)
{
	for (size_t i = 0; i < d->n_units; i++)
		if (mentions(&d->units[i].die, function, 0))
			return true;
	return false;
}
