/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/account_asm.h"

#include "harness/child.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NONE SIZE_MAX
/*
 * Executed addresses further apart than this are disassembled apart: cold parts lie in another
 * section.
 */
#define APART 256
#define LONGEST_INSTRUCTION 16
#define OUTPUT_MAX (64u << 20)

bool account_objdump_line(const char *line, size_t n, uint64_t *address, struct buf *text)
{
	size_t i = 0, digits = 0;
	uint64_t v = 0;
	while (i < n && line[i] == ' ')
		i++;
	for (; i < n && isxdigit((unsigned char)line[i]) && digits < 16; i++, digits++)
		v = v * 16 + (uint64_t)(isdigit((unsigned char)line[i])
						? line[i] - '0'
						: tolower((unsigned char)line[i]) - 'a' + 10);
	if (!digits || i + 1 >= n || line[i] != ':' || line[i + 1] != '\t')
		return false;
	*address = v;
	bool space = false;
	for (i += 2; i < n; i++) {
		char c = line[i];
		if (c == ' ' || c == '\t') {
			space = text->len > 0;
			continue;
		}
		if (space)
			buf_putc(text, ' ');
		space = false;
		buf_putc(text, c < ' ' || c == 127 ? '?' : c);
	}
	return true;
}

/* The row of that name nearest to the instruction, NONE. */
static size_t named(const struct account *a, size_t row, const char *function)
{
	while (row != NONE && !account_is_function(a->rows[row].function, function))
		row = a->rows[row].parent;
	return row;
}

static char *chain_below(const struct account *a, size_t row, size_t top)
{
	if (row == top)
		return x_strdup("");
	char *above = chain_below(a, a->rows[row].parent, top);
	char *all = *above ? x_printf("%s > %s", above, a->rows[row].function)
			   : x_strdup(a->rows[row].function);
	free(above);
	return all;
}

static int by_address(const void *x, const void *y)
{
	const struct account_instruction *a = x, *b = y;
	return a->address < b->address ? -1 : a->address > b->address;
}

/* Instructions that ran, those of several paths as one. Returns the object that has them. */
static const char *collect(const struct account *a, const char *function,
			   struct account_listing *out)
{
	const char *object = NULL;
	size_t cap = 0, n = 0;
	for (size_t i = 0; i < a->n_places; i++) {
		const struct account_place *x = &a->places[i];
		size_t top = named(a, x->row, function);
		if (top == NONE || (object && strcmp(object, a->rows[x->row].object)))
			continue;
		object = a->rows[x->row].object;
		x_grow(out->items, out->n, cap);
		out->items[out->n++] = (struct account_instruction){
			.address = x->address,
			.per_op = x->ir / (double)a->operations,
			.file = x->lines[0].file,
			.line = x->lines[0].line,
			.chain = chain_below(a, x->row, top),
		};
	}
	if (out->n)
		qsort(out->items, out->n, sizeof(*out->items), by_address);
	for (size_t i = 0; i < out->n; i++) {
		out->per_op += out->items[i].per_op;
		if (n && out->items[n - 1].address == out->items[i].address) {
			out->items[n - 1].per_op += out->items[i].per_op;
			free(out->items[i].chain);
		} else {
			out->items[n++] = out->items[i];
		}
	}
	out->n = n;
	for (size_t p = 0; p < a->n_paths; p++) {
		struct account_function f;
		if (account_function(a, p, function, &f))
			out->calls_per_op += f.calls / (double)a->operations;
	}
	return object;
}

static int disassemble(const char *object, uint64_t from, uint64_t to, struct child_result *r,
		       struct error *e)
{
	char *start = x_printf("--start-address=0x%llx", (unsigned long long)from);
	char *stop = x_printf("--stop-address=0x%llx", (unsigned long long)to);
	const char *path = getenv("PATH");
	char *path_env = x_printf("PATH=%s", path && *path ? path : "/usr/bin:/bin");
	const char *argv[] = { "objdump", "-d",   "-w", "--no-show-raw-insn", start, stop,
			       "--",      object, NULL };
	const char *env[] = { path_env, "LC_ALL=C", NULL };
	struct child_spec spec = { .argv = argv,
				   .env = env,
				   .cpu = -1,
				   .pass_fd = -1,
				   .timeout_ns = 60000000000u,
				   .max_output = OUTPUT_MAX };
	int rc = child_run(&spec, r, e);
	if (!rc && r->outcome == CHILD_NOT_STARTED && r->status == ENOENT)
		rc = error_set(e, -ENOENT,
			       "objdump is not installed: run 'apt-get install binutils'");
	if (!rc && (r->outcome != CHILD_EXITED || r->status)) {
		struct buf how = { 0 };
		child_describe(r, &how);
		rc = error_set(e, -EIO, "objdump of %s: %s %.200s", object, buf_str(&how),
			       buf_str(&r->err));
		buf_release(&how);
	}
	free(start), free(stop), free(path_env);
	return rc;
}

/* Texts for items [from, to). */
static void take_texts(struct account_listing *l, size_t from, size_t to, const struct buf *out)
{
	bool skipped = true;
	size_t at = from;
	for (const char *s = buf_str(out), *end; *s && at < to; s = *end ? end + 1 : end) {
		struct buf text = { 0 };
		uint64_t address;
		end = s + strcspn(s, "\n");
		if (!account_objdump_line(s, (size_t)(end - s), &address, &text)) {
			buf_release(&text);
			continue;
		}
		while (at < to && l->items[at].address < address)
			l->items[at++].gap = true;
		if (at < to && l->items[at].address == address) {
			l->items[at].gap = skipped;
			l->items[at++].text = buf_detach(&text);
			skipped = false;
		} else {
			skipped = true;
		}
		buf_release(&text);
	}
}

int account_listing(const struct account *a, const char *function, struct account_listing *out,
		    struct error *e)
{
	*out = (struct account_listing){ 0 };
	const char *object = out->object = collect(a, function, out);
	int rc =
		object ? 0
		       : error_set(e, -ENOENT,
				   "no instruction of a function '%s' ran in the region", function);
	for (size_t from = 0, to; !rc && from < out->n; from = to) {
		struct child_result r = { 0 };
		for (to = from + 1;
		     to < out->n && out->items[to].address - out->items[to - 1].address < APART;
		     to++)
			;
		rc = disassemble(object, out->items[from].address,
				 out->items[to - 1].address + LONGEST_INSTRUCTION, &r, e);
		if (!rc)
			take_texts(out, from, to, &r.out);
		child_release(&r);
	}
	for (size_t i = 0; i < out->n; i++)
		if (!out->items[i].text)
			out->items[i].text = x_strdup("?");
	if (rc)
		account_listing_release(out);
	return rc;
}

void account_listing_release(struct account_listing *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->items[i].text);
		free(l->items[i].chain);
	}
	free(l->items);
	*l = (struct account_listing){ 0 };
}

/* An instruction without the addresses that it names: "jne 1234 <free+0x18>", "mov 0x2e1(%rip),%rax
 * # 4010 <pool>". */
static uint64_t likeness(const char *text)
{
	uint64_t h = 1469598103934665603u;
	size_t n = strcspn(text, "#<");
	bool jumps = text[n] == '<', relative = strstr(text, "(%rip)") != NULL;
	for (size_t i = 0; i < n; i++) {
		if (jumps && text[i] == ' ')
			break; /* what follows is an address */
		if (relative && text[i] == '0' && text[i + 1] == 'x')
			i += strcspn(text + i, "(");
		if (text[i] != ' ')
			h = (h ^ (unsigned char)text[i]) * 1099511628211u;
	}
	return h;
}

static uint64_t *likenesses(const struct account_listing *l)
{
	uint64_t *h = x_calloc(l->n + 1, sizeof(*h));
	for (size_t i = 0; i < l->n; i++)
		h[i] = likeness(l->items[i].text);
	return h;
}

/* Longest common subsequence, by the table of all pairs. */
size_t account_listing_align(const struct account_listing *a, const struct account_listing *b,
			     struct account_pair **rows)
{
	size_t n = a->n, m = b->n, out = 0, i = 0, k = 0;
	*rows = x_calloc(n + m + 1, sizeof(**rows));
	if (n > ACCOUNT_ALIGN_MAX || m > ACCOUNT_ALIGN_MAX) {
		for (; out < n || out < m; out++)
			(*rows)[out] = (struct account_pair){ out < n ? out : NONE,
							      out < m ? out : NONE };
		return out;
	}
	uint64_t *x = likenesses(a), *y = likenesses(b);
	uint16_t *best = x_calloc((n + 1) * (m + 1), sizeof(*best));
	for (size_t r = n; r-- > 0;)
		for (size_t c = m; c-- > 0;) {
			uint16_t skip_a = best[(r + 1) * (m + 1) + c],
				 skip_b = best[r * (m + 1) + c + 1];
			best[r * (m + 1) + c] =
				x[r] == y[c] ? (uint16_t)(best[(r + 1) * (m + 1) + c + 1] + 1)
				: skip_a > skip_b ? skip_a
						  : skip_b;
		}
	while (i < n || k < m) {
		if (i < n && k < m && x[i] == y[k])
			(*rows)[out++] = (struct account_pair){ i++, k++ };
		else if (k == m || (i < n && best[(i + 1) * (m + 1) + k] >=
						     best[i * (m + 1) + k + 1]))
			(*rows)[out++] = (struct account_pair){ i++, NONE };
		else
			(*rows)[out++] = (struct account_pair){ NONE, k++ };
	}
	free(x), free(y), free(best);
	return out;
}
