/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "memsnap/memory-map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "util/error.h"
#include "util/file.h"

/* PROCMAP_QUERY of Linux 6.11, laid out as in its <linux/fs.h>. */
struct procmap_query
{
  guint64 size, query_flags, query_addr;
  guint64 vma_start, vma_end, vma_flags, vma_page_size, vma_offset, inode;
  guint32 dev_major, dev_minor, vma_name_size, build_id_size;
  guint64 vma_name_addr, build_id_addr;
};
#define QUERY_MAP _IOWR (0x66, 17, struct procmap_query)

static gboolean
parse_line (const char *line, PvMemoryArea *area, const char **name)
{
  char permissions[5];
  unsigned long inode;
  int name_at = 0;

  memset (area, 0, sizeof *area);
  if (sscanf (line, "%" G_GINT64_MODIFIER "x-%" G_GINT64_MODIFIER "x %4s %*x %*x:%*x %lu %n", &area->start, &area->end,
              permissions, &inode, &name_at) < 4)
    return FALSE;
  *name = line + name_at;
  area->protection = (permissions[0] == 'r' ? PROT_READ : 0) | (permissions[1] == 'w' ? PROT_WRITE : 0)
                     | (permissions[2] == 'x' ? PROT_EXEC : 0);
  area->shared = permissions[3] == 's';
  area->stack = g_str_has_prefix (*name, "[stack]");
  area->anonymous = inode == 0;
  area->file = inode != 0 && !g_str_has_prefix (*name, "/memfd:") && !g_str_has_prefix (*name, "/dev/zero")
               && !g_str_has_prefix (*name, "/dev/shm/") && !g_str_has_prefix (*name, "/SYSV")
               && !g_str_has_prefix (*name, "/anon_hugepage");
  return TRUE;
}

/* The page size of the area around @address. 0: this kernel has no such query. */
static gsize
query_page_size (int maps, guint64 address)
{
  struct procmap_query query = { .size = sizeof query, .query_addr = address };

  return ioctl (maps, QUERY_MAP, &query) < 0 ? 0 : (gsize) query.vma_page_size;
}

/* Sets page sizes as smaps tells them; it looks at every page for that, so only where there is nothing better. */
static gboolean
sizes_from_smaps (pid_t pid, GArray *areas, GError **error)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/smaps", (int) pid);
  g_autofree char *text = NULL;
  g_auto(GStrv) lines = NULL;
  guint64 at = 0, kib;
  guint n = 0;

  if (!g_file_get_contents (path, &text, NULL, error))
    return FALSE;
  lines = g_strsplit (text, "\n", -1);
  for (char **line = lines; *line != NULL; line++)
    {
      PvMemoryArea area;
      const char *name;

      if (parse_line (*line, &area, &name))
        at = area.start;
      else if (sscanf (*line, "KernelPageSize: %" G_GINT64_MODIFIER "u", &kib) == 1)
        {
          while (n + 1 < areas->len && g_array_index (areas, PvMemoryArea, n).end <= at)
            n++;
          if (n < areas->len && at <= g_array_index (areas, PvMemoryArea, n).start)
            g_array_index (areas, PvMemoryArea, n).page_size = (gsize) kib * 1024;
        }
    }
  return TRUE;
}

GArray *
pv_memory_map_read (pid_t pid, guint64 start, guint64 end, GError **error)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/maps", (int) pid);
  g_autoptr(GArray) areas = g_array_new (FALSE, TRUE, sizeof (PvMemoryArea));
  g_auto(PvFd) fd = pv_openat (AT_FDCWD, path, O_RDONLY, 0, error);
  FILE *maps = fd < 0 ? NULL : fdopen (fd, "r");
  g_autofree char *line = NULL;
  gsize allocated = 0;
  gboolean sized = TRUE;

  if (maps == NULL)
    return NULL;
  while (getline (&line, &allocated, maps) > 0)
    {
      PvMemoryArea area;
      const char *name;

      if (!parse_line (line, &area, &name) || area.end <= start || area.start >= end)
        continue;
      area.page_size = query_page_size (fd, area.start);
      sized = sized && area.page_size != 0;
      area.start = MAX (area.start, start);
      area.end = MIN (area.end, end);
      g_array_append_val (areas, area);
    }
  pv_fd_steal (&fd);
  fclose (maps);
  if (!sized && !sizes_from_smaps (pid, areas, error))
    return NULL;
  return g_steal_pointer (&areas);
}

gboolean
pv_memory_map_check (GArray *areas, guint64 start, guint64 end, gsize *page_size, GError **error)
{
  guint64 at = start;

  *page_size = 0;
  for (guint i = 0; i < areas->len; i++)
    {
      const PvMemoryArea *area = &g_array_index (areas, PvMemoryArea, i);

      if (area->start != at)
        break;
      if ((area->protection & PROT_READ) == 0)
        return pv_throw (error, PV_ERROR_INVALID, "memory at 0x%" G_GINT64_MODIFIER "x is not readable: leave it out",
                         at);
      if (*page_size != 0 && *page_size != area->page_size)
        return pv_throw (error, PV_ERROR_INVALID, "memory at 0x%" G_GINT64_MODIFIER "x has pages of another size than "
                         "what lies before it: make it a region of its own", at);
      *page_size = area->page_size;
      at = area->end;
    }
  if (at != end || *page_size == 0)
    return pv_throw (error, PV_ERROR_INVALID, "nothing is mapped at 0x%" G_GINT64_MODIFIER "x: leave it out", at);
  if (start % *page_size != 0 || end % *page_size != 0)
    return pv_throw (error, PV_ERROR_INVALID, "0x%" G_GINT64_MODIFIER "x and its length are not multiples of the "
                     "page size there, %" G_GSIZE_FORMAT " bytes", start, *page_size);
  return TRUE;
}
