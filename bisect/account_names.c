/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/account.h"

#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

struct account_names {
	char **text;
	size_t n, cap;
	size_t *slot,
		n_slots; /* open addressing: index + 1, 0 is free; n_slots is a power of two */
};

/* FNV-1a, 64 bits. */
static uint64_t hash(const char *s)
{
	uint64_t h = 14695981039346656037u;
	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 1099511628211u;
	return h;
}

static void grow(struct account_names *a)
{
	a->n_slots = a->n_slots ? 2 * a->n_slots : 256;
	free(a->slot);
	a->slot = x_calloc(a->n_slots, sizeof(*a->slot));
	for (size_t i = 0; i < a->n; i++) {
		size_t at = hash(a->text[i]) & (a->n_slots - 1);
		while (a->slot[at])
			at = (at + 1) & (a->n_slots - 1);
		a->slot[at] = i + 1;
	}
}

const char *account_name(struct account_names **names, const char *text)
{
	if (!*names)
		*names = x_calloc(1, sizeof(**names));
	struct account_names *a = *names;
	if (2 * (a->n + 1) > a->n_slots)
		grow(a);
	size_t at = hash(text) & (a->n_slots - 1);
	for (; a->slot[at]; at = (at + 1) & (a->n_slots - 1))
		if (!strcmp(a->text[a->slot[at] - 1], text))
			return a->text[a->slot[at] - 1];
	x_grow(a->text, a->n, a->cap);
	a->text[a->n++] = x_strdup(text);
	a->slot[at] = a->n;
	return a->text[a->n - 1];
}

void account_names_release(struct account_names *a)
{
	if (!a)
		return;
	for (size_t i = 0; i < a->n; i++)
		free(a->text[i]);
	free(a->text), free(a->slot);
	free(a);
}

/*
 * Suffixes that gcc and clang give to parts and copies of a function: the number behind them is a
 * detail.
 */
void account_plain_function(const char *name, char *out, size_t n)
{
	static const char *const suffixes[] = { ".cold",     ".part", ".constprop",  ".isra",
						".lto_priv", ".llvm", ".localalias", ".__uniq" };
	size_t len = strlen(name);
	if (!n)
		return;
	const char *at = strchr(name, '@');
	if (at > name)
		len = (size_t)(at - name);
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(*suffixes); i++) {
		const char *s = strstr(name, suffixes[i]);
		char after = s ? s[strlen(suffixes[i])] : 'x';
		if (s > name && (!after || after == '.' || after == ' ' || after == '@') &&
		    (size_t)(s - name) < len)
			len = (size_t)(s - name);
	}
	if (len > n - 1)
		len = n - 1;
	memcpy(out, name, len);
	out[len] = '\0';
}

/* A C++ name in two: what it is a member of, and itself; without parameters. Lengths, 0: none. */
struct cxx_name {
	const char *whole, *last;
	size_t whole_bytes, last_bytes;
};

static struct cxx_name take_apart(const char *name)
{
	struct cxx_name c = { .whole = name, .last = name };
	size_t angles = 0, i = 0;
	for (; name[i] && (name[i] != '(' || angles || !i); i++) {
		if (name[i] == '<')
			angles++;
		else if (name[i] == '>' && angles)
			angles--;
		else if (!angles && name[i] == ':' && name[i + 1] == ':')
			c.last = name + i++ + 2;
	}
	c.whole_bytes = i;
	c.last_bytes = (size_t)(name + i - c.last);
	return c;
}

static bool same_bytes(const char *a, size_t n, const char *b, size_t m)
{
	return n == m && !memcmp(a, b, n);
}

bool account_is_function(const char *row, const char *asked)
{
	if (!strcmp(row, asked))
		return true;
	struct cxx_name r = take_apart(row), q = take_apart(asked);
	/* Both say what they are members of: then it must be the same. */
	if (r.last != r.whole && q.last != q.whole)
		return same_bytes(r.whole, r.whole_bytes, q.whole, q.whole_bytes);
	return same_bytes(r.last, r.last_bytes, q.last, q.last_bytes);
}
