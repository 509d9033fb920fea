/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/page.h"

#include "base/buf.h"
#include "bisect/history.h"
#include "cli/cli.h"
#include "cli/table.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const char *page_keep(struct page *p, char *s)
{
	x_grow(p->kept, p->n, p->cap);
	return p->kept[p->n++] = s;
}

const char *page_text(struct page *p, const char *s)
{
	if (!s)
		return "–";
	struct buf b = { 0 };
	history_escape(s, strlen(s), false, &b);
	buf_puts(&b, "");
	return page_keep(p, buf_detach(&b));
}

const char *page_int(struct page *p, int64_t v)
{
	return page_keep(p, x_printf("%" PRId64, v));
}

const char *page_figure(struct page *p, double v)
{
	char text[32];
	return page_keep(p, x_strdup(table_number(v, text, sizeof(text))));
}

void page_release(struct page *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->kept[i]);
	free(p->kept);
}

const char *page_time(struct page *p, int64_t s, bool iso)
{
	char text[32];
	struct tm tm;
	time_t t = (time_t)s;
	if (iso)
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
	else
		strftime(text, sizeof(text), "%Y-%m-%d %H:%M", localtime_r(&t, &tm));
	return page_keep(p, x_strdup(text));
}

json_t *page_json_text(const char *s)
{
	return s ? cli_json_string(s) : json_null();
}

json_t *page_json_int(struct store_opt v)
{
	return v.known ? json_integer(v.v) : json_null();
}

json_t *page_json_real(struct store_optreal v)
{
	return v.known ? json_real(v.v) : json_null();
}

json_t *page_json_parsed(const char *text)
{
	json_t *j = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
	return j ? j : json_null();
}
