/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/artifact.h"

#include "base/buf.h"

#include <elfutils/libdwelf.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int broken(const char *path, struct error *e)
{
	return error_set(e, -EBADMSG, "%s claims to be ELF and is broken: %s", path,
			 elf_errmsg(-1));
}

/* One line per allocated section that is not a note; *n counts them. */
static int describe_sections(Elf *elf, const char *path, struct buf *text, size_t *n,
			     struct error *e)
{
	size_t names;
	if (elf_getshdrstrndx(elf, &names))
		return broken(path, e);
	Elf_Scn *scn = NULL;
	while ((scn = elf_nextscn(elf, scn))) {
		GElf_Shdr sh;
		if (!gelf_getshdr(scn, &sh))
			return broken(path, e);
		if (!(sh.sh_flags & SHF_ALLOC) || sh.sh_type == SHT_NOTE)
			continue;
		const char *name = elf_strptr(elf, names, sh.sh_name);
		char bytes[HASH_HEX] = "-";
		if (sh.sh_type != SHT_NOBITS && sh.sh_size) {
			Elf_Data *data = elf_rawdata(scn, NULL);
			if (!data || !data->d_buf || data->d_size != sh.sh_size)
				return broken(path, e);
			hash_bytes(data->d_buf, data->d_size, bytes);
		}
		buf_printf(text,
			   "%s %" PRIu32 " %" PRIx64 " %" PRIx64 " %" PRIx64 " %" PRIx64 " %s\n",
			   name ? name : "", sh.sh_type, sh.sh_flags, sh.sh_addr, sh.sh_addralign,
			   sh.sh_size, bytes);
		(*n)++;
	}
	return 0;
}

static void read_build_id(Elf *elf, char hex[ARTIFACT_BUILD_ID])
{
	const void *id;
	ssize_t n = dwelf_elf_gnu_build_id(elf, &id);
	for (ssize_t i = 0; i < n && 2 * i + 2 < ARTIFACT_BUILD_ID; i++)
		snprintf(hex + 2 * i, 3, "%02x", ((const unsigned char *)id)[i]);
}

static void read_symbols(Elf_Scn *scn, const GElf_Shdr *sh, Elf *elf, struct artifact *out)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	GElf_Sym sym;
	for (int i = 0; data && sh->sh_entsize && (size_t)i < sh->sh_size / sh->sh_entsize && gelf_getsym(data, i, &sym); i++) {
		if (sym.st_shndx == SHN_UNDEF || GELF_ST_BIND(sym.st_info) == STB_LOCAL)
			continue;
		const char *name = elf_strptr(elf, sh->sh_link, sym.st_name);
		out->owns_malloc |= name && !strcmp(name, "malloc");
	}
}

static void read_dynamic(Elf_Scn *scn, const GElf_Shdr *sh, Elf *elf, struct artifact *out)
{
	Elf_Data *data = elf_getdata(scn, NULL);
	GElf_Dyn dyn;
	for (int i = 0; data && sh->sh_entsize && (size_t)i < sh->sh_size / sh->sh_entsize && gelf_getdyn(data, i, &dyn); i++) {
		if (dyn.d_tag != DT_RPATH && dyn.d_tag != DT_RUNPATH)
			continue;
		const char *path = elf_strptr(elf, sh->sh_link, dyn.d_un.d_val);
		out->origin |= path && (strstr(path, "$ORIGIN") || strstr(path, "${ORIGIN}"));
	}
}

/* What it is to a program: best effort, since nothing that is hashed depends on it. */
static void read_nature(Elf *elf, struct artifact *out)
{
	GElf_Ehdr eh;
	size_t n_segments = 0;
	if (!gelf_getehdr(elf, &eh) || elf_getphdrnum(elf, &n_segments))
		return;
	out->program = eh.e_type == ET_EXEC;
	for (size_t i = 0; i < n_segments; i++) {
		GElf_Phdr ph;
		out->program |= gelf_getphdr(elf, (int)i, &ph) && ph.p_type == PT_INTERP;
	}
	for (Elf_Scn *scn = NULL; (scn = elf_nextscn(elf, scn));) {
		GElf_Shdr sh;
		if (!gelf_getshdr(scn, &sh))
			return;
		if (sh.sh_type == SHT_SYMTAB || sh.sh_type == SHT_DYNSYM)
			read_symbols(scn, &sh, elf, out);
		else if (sh.sh_type == SHT_DYNAMIC)
			read_dynamic(scn, &sh, elf, out);
	}
}

static int read_elf(Elf *elf, const char *path, struct artifact *out, struct error *e)
{
	GElf_Ehdr eh;
	if (!gelf_getehdr(elf, &eh))
		return broken(path, e);
	struct buf text = { 0 };
	size_t n = 0;
	buf_printf(&text, "%u %u %" PRIx64 "\n", eh.e_type, eh.e_machine, eh.e_entry);
	int rc = describe_sections(elf, path, &text, &n, e);
	if (!rc && !n && eh.e_shoff)
		rc = error_set(
			e, -EBADMSG,
			"%s claims to be ELF and is broken: its sections are not in the file",
			path);
	if (!rc && n) {
		out->elf = true;
		hash_bytes(text.data, text.len, out->loaded);
		read_build_id(elf, out->build_id);
		read_nature(elf, out);
	}
	buf_release(&text);
	return rc;
}

int artifact_read(const char *path, struct artifact *out, struct error *e)
{
	*out = (struct artifact){ 0 };
	int rc = hash_file(path, out->file, e);
	if (rc)
		return rc;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_errno(e, errno, "cannot read %s", path);
	elf_version(EV_CURRENT);
	Elf *elf = elf_begin(fd, ELF_C_READ, NULL);
	if (elf && elf_kind(elf) == ELF_K_ELF)
		rc = read_elf(elf, path, out, e);
	elf_end(elf);
	close(fd);
	/* Not ELF, or ELF without section headers: the whole file is what it is. */
	if (!rc && !out->elf)
		memcpy(out->loaded, out->file, HASH_HEX);
	return rc;
}
