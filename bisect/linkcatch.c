/* SPDX-License-Identifier: Apache-2.0 */
#include "bisect/linkcatch.h"

#include "base/buf.h"
#include "base/fs.h"
#include "harness/artifact.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const unsigned char program[] = {
#include "bisect/linkcatch/ld.h"
};

static const char *const other_names[] = { "ld.bfd", "ld.gold", "ld.lld" };

int linkcatch_install(const char *box, struct error *e)
{
	char *folder = x_printf("%s/ld", box), *links = x_printf("%s/links", box),
	     *ld = x_printf("%s/ld", folder);
	int rc = fs_mkdirs(folder, e);
	rc = rc ? rc : fs_mkdirs(links, e);
	rc = rc ? rc : fs_write(ld, program, sizeof(program), e);
	if (!rc && chmod(ld, 0755))
		rc = error_errno(e, errno, "cannot make %s executable", ld);
	for (size_t i = 0; i < sizeof(other_names) / sizeof(*other_names) && !rc; i++) {
		/* Only linkers that are here: others must not seem to be. */
		char *real = x_printf("/usr/bin/%s", other_names[i]),
		     *name = x_printf("%s/%s", folder, other_names[i]);
		if (access(real, X_OK) == 0 && link(ld, name))
			rc = error_errno(e, errno, "cannot make %s", name);
		free(real);
		free(name);
	}
	free(folder);
	free(links);
	free(ld);
	return rc;
}

static bool made_it(const char *note, const char *loaded_hash)
{
	char *out = x_printf("%s/out", note);
	struct artifact a;
	struct error ignored = { 0 };
	bool same = fs_exists(out) && artifact_read(out, &a, &ignored) == 0 && a.elf &&
		    !strcmp(a.loaded, loaded_hash);
	free(out);
	return same;
}

static bool move_in(const char *note, const char *prefix)
{
	char *share = x_printf("%s/share/hakperf", prefix);
	struct error ignored = { 0 };
	bool ok = fs_mkdirs(share, &ignored) == 0;
	static const char *const parts[] = { "objects", "link.cmd" };
	for (size_t i = 0; i < 2 && ok; i++) {
		char *from = x_printf("%s/%s", note, parts[i]),
		     *to = x_printf("%s/%s", share, parts[i]);
		ok = rename(from, to) == 0;
		free(from);
		free(to);
	}
	free(share);
	return ok;
}

bool linkcatch_adopt(const char *box, const char *loaded_hash, const char *prefix)
{
	char *links = x_printf("%s/links", box);
	DIR *d = opendir(links);
	bool found = false;
	for (struct dirent *ent; d && !found && (ent = readdir(d));) {
		if (ent->d_name[0] == '.')
			continue;
		char *note = x_printf("%s/%s", links, ent->d_name);
		found = made_it(note, loaded_hash) && move_in(note, prefix);
		free(note);
	}
	if (d)
		closedir(d);
	free(links);
	return found;
}
