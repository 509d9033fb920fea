/* SPDX-License-Identifier: Apache-2.0 */
#include "reports/escape.h"

#include <string.h>

void escape_html(const char *text, struct buf *out)
{
	for (; *text; text++) {
		switch (*text) {
		case '&': buf_puts(out, "&amp;"); break;
		case '<': buf_puts(out, "&lt;"); break;
		case '>': buf_puts(out, "&gt;"); break;
		case '"': buf_puts(out, "&quot;"); break;
		case '\'': buf_puts(out, "&#39;"); break;
		default: buf_putc(out, *text);
		}
	}
}

/*
 * ASCII punctuation that means something in a line gets a backslash; "<", "&" and "@" become
 * entities, since raw HTML, entities and mentions are looked for elsewhere too. A line break is a
 * space: text never begins a line of its own.
 */
void escape_markdown(const char *text, struct buf *out)
{
	const char *start = text;
	size_t digits = strspn(text, "0123456789");
	if (digits && (text[digits] == '.' || text[digits] == ')') &&
		text[digits + 1] == ' ') { /* no numbered list */
		buf_printf(out, "%.*s\\", (int)digits, text);
		text += digits;
	}
	for (; *text; text++) {
		if (*text == '\n' || *text == '\t')
			buf_putc(out, ' ');
		else if (*text == '<')
			buf_puts(out, "&lt;");
		else if (*text == '>')
			buf_puts(out, "&gt;");
		else if (*text == '&')
			buf_puts(out, "&amp;");
		else if (*text == '@')
			buf_puts(out, "&#64;");
		else if (*text == ':' &&
			!strncmp(text, "://", 3)) /* no link without being asked for one */
			buf_puts(out, "&#58;");
		else if (!strncmp(text, "www.", 4))
			buf_puts(out, "www&#46;"), text += 3;
		else if (strchr("\\`*_[]|~#", *text) || (*text == '!' && text[1] == '['))
			buf_printf(out, "\\%c", *text);
		else if ((*text == '-' || *text == '+' || *text == '=') &&
			text == start) /* lists and rules */
			buf_printf(out, "\\%c", *text);
		else
			buf_putc(out, *text);
	}
}

void escape_markdown_code(const char *text, bool cell, struct buf *out)
{
	size_t longest = 0, run = 0, n = strlen(text);
	for (size_t i = 0; i < n; i++) {
		run = text[i] == '`' ? run + 1 : 0;
		longest = run > longest ? run : longest;
	}
	if (!n)
		return;
	for (size_t i = 0; i <= longest; i++)
		buf_putc(out, '`');
	bool pad = text[0] == '`' || text[n - 1] == '`';
	buf_puts(out, pad ? " " : "");
	for (size_t i = 0; i < n; i++) {
		if (cell && text[i] == '|') /* a table cuts its cells before it looks for code */
			buf_puts(out, "\\|");
		else
			buf_putc(out, text[i] == '\n' || text[i] == '\t' ? ' ' : text[i]);
	}
	buf_puts(out, pad ? " " : "");
	for (size_t i = 0; i <= longest; i++)
		buf_putc(out, '`');
}
