/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "hooks/pool-disks.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/cursor.h"
#include "util/error.h"
#include "util/file.h"
#include "util/snapshot-name.h"
#include "xml/domain-xml.h"
#include "xml/restore-path.h"

#define SUFFIX ".raw"
#define DEPTH_MAX 64    /* layers below a disk */
#define BACKING_MAX 1023u /* bytes: QEMU reads no more */

/* DIR/DOMAIN@NAME.TARGET.raw */
static gboolean
may_be_served (const char *path)
{
  g_autofree char *name = g_path_get_basename (path);
  char *dot;

  if (*path != '/' || !g_str_has_suffix (name, SUFFIX))
    return FALSE;
  name[strlen (name) - strlen (SUFFIX)] = '\0';
  dot = strrchr (name, '.');
  if (dot == NULL || dot[1] == '\0')
    return FALSE;
  *dot = '\0';
  return pv_snapshot_name_parse (name, NULL, NULL, NULL);
}

/* In the child: a file system that hangs, hangs only here. */
static void
look_and_exit (const char *path, int out)
{
  g_auto(PvFd) fd = open (path, O_RDONLY | O_CLOEXEC);
  char byte;
  gboolean there = fd >= 0 && read (fd, &byte, 1) == 1;

  _exit (there && write (out, "+", 1) == 1 ? EXIT_SUCCESS : EXIT_FAILURE);
}

/* TRUE when the first byte of @path could be read before @deadline. */
static gboolean
is_there (const char *path, gint64 deadline)
{
  int ends[2];
  struct pollfd entry = { .events = POLLIN };
  gint64 left = (deadline - g_get_monotonic_time ()) / 1000;
  gboolean there;
  char byte;
  pid_t pid;

  if (left <= 0 || pipe2 (ends, O_CLOEXEC) < 0)
    return FALSE;
  pid = fork ();
  if (pid == 0)
    look_and_exit (path, ends[1]);
  close (ends[1]);
  entry.fd = ends[0];
  there = pid > 0 && poll (&entry, 1, (int) left) > 0 && read (ends[0], &byte, 1) == 1;
  close (ends[0]);
  if (pid > 0)
    {
      kill (pid, SIGKILL);
      waitpid (pid, NULL, there ? 0 : WNOHANG); /* one that hangs is init's when we are gone */
    }
  return there;
}

/* (transfer full) (nullable): the file that the qcow2 file @path lies over, when it says so with an absolute path. */
static char *
read_backing (const char *path)
{
  guint8 header[20];
  PvCursor cursor = PV_CURSOR_INIT (header + 8, sizeof header - 8);
  g_auto(PvFd) fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  g_autofree char *backing = NULL;
  guint64 offset;
  guint32 size;

  if (fd < 0 || pread (fd, header, sizeof header, 0) != (gssize) sizeof header || memcmp (header, "QFI\xfb", 4) != 0)
    return NULL;
  offset = pv_cursor_be64 (&cursor);
  size = pv_cursor_be32 (&cursor);
  if (offset == 0 || offset > G_MAXINT32 || size == 0 || size > BACKING_MAX)
    return NULL;
  backing = g_malloc0 (size + 1);
  if (pread (fd, backing, size, (off_t) offset) != (gssize) size || *backing != '/')
    return NULL;
  return g_steal_pointer (&backing);
}

/* (transfer full) (nullable): the served file that disk @path is, or lies over. */
static char *
find_served (const char *path)
{
  g_autofree char *layer = g_strdup (path);

  for (guint i = 0; layer != NULL && i < DEPTH_MAX; i++)
    {
      char *below;

      if (may_be_served (layer))
        return g_steal_pointer (&layer);
      below = read_backing (layer);
      g_free (layer);
      layer = below;
    }
  return NULL;
}

gboolean
pv_pool_disks_check (const char *xml, guint timeout_ms, GError **error)
{
  gint64 deadline = g_get_monotonic_time () + timeout_ms * G_GINT64_CONSTANT (1000);
  g_autoptr(PvDomainXml) domain = pv_domain_xml_parse (xml, NULL);
  GPtrArray *disks = domain != NULL ? pv_domain_xml_disks (domain) : NULL;

  for (guint i = 0; disks != NULL && i < disks->len; i++)
    {
      const PvDomainDisk *disk = disks->pdata[i];
      g_autofree char *served = NULL;

      if (disk->path == NULL || disk->kind == PV_DISK_OTHER)
        continue;
      served = find_served (disk->path);
      if (served != NULL && !is_there (served, deadline))
        return pv_throw (error, PV_ERROR_NOT_FOUND,
                         "disk %s needs '%s', which is not served: start pagevaultd, or 'pagevault mount'",
                         disk->target, served);
    }
  return TRUE;
}
