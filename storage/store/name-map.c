/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/name-map.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "util/error.h"
#include "util/fault.h"
#include "util/file.h"

#define LEAF_BYTES ((guint64) PV_NODE_FANOUT * PV_NAME_SIZE)
#define GROUP_LEAVES 64u /* leaves that are reserved together: 1 MiB of the file, 128 MiB of the volume */

struct _PvNameMap
{
  guint64 n_chunks;
  guint64 n_leaves;
  PvFd fd;
  PvName *names;     /* mapped; n_leaves * PV_NODE_FANOUT */
  guint64 *busy;     /* mapped; one bit for each chunk; atomic */
  GByteArray *groups; /* 1 = reserved */
};

static gsize
busy_bytes (const PvNameMap *self)
{
  return (gsize) ((self->n_chunks + 63) / 64 * 8);
}

static int
open_unlinked (const char *directory, GError **error)
{
  g_autofree char *path = NULL;
  int fd = TEMP_FAILURE_RETRY (open (directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));

  if (fd >= 0)
    return fd;
  path = g_build_filename (directory, "names-XXXXXX", NULL);
  fd = g_mkstemp_full (path, O_RDWR | O_CLOEXEC, 0600);
  if (fd < 0)
    pv_throw_errno (error, errno, "cannot create a temporary file in '%s'", directory);
  else
    unlink (path);
  return fd;
}

static gpointer
map (gsize size, int fd, GError **error)
{
  gpointer at = mmap (NULL, size, PROT_READ | PROT_WRITE,
                      fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, fd, 0);

  if (at != MAP_FAILED)
    return at;
  pv_throw_errno (error, errno, "cannot map %" G_GSIZE_FORMAT " bytes", size);
  return NULL;
}

PvNameMap *
pv_name_map_new (const char *directory, guint64 n_chunks, GError **error)
{
  g_autoptr(PvNameMap) self = g_new0 (PvNameMap, 1);

  self->n_chunks = n_chunks;
  self->n_leaves = (n_chunks + PV_NODE_FANOUT - 1) / PV_NODE_FANOUT;
  self->fd = PV_FD_NONE;
  self->groups = g_byte_array_new ();
  if (n_chunks == 0)
    return g_steal_pointer (&self);
  self->fd = open_unlinked (directory, error);
  if (self->fd < 0)
    return NULL;
  if (TEMP_FAILURE_RETRY (ftruncate (self->fd, (off_t) (self->n_leaves * LEAF_BYTES))) < 0)
    {
      pv_throw_errno (error, errno, "cannot size a temporary file in '%s'", directory);
      return NULL;
    }
  self->names = map ((gsize) (self->n_leaves * LEAF_BYTES), self->fd, error);
  if (self->names == NULL || (self->busy = map (busy_bytes (self), PV_FD_NONE, error)) == NULL)
    return NULL;
  return g_steal_pointer (&self);
}

void
pv_name_map_free (PvNameMap *self)
{
  if (self == NULL)
    return;
  if (self->names != NULL)
    munmap (self->names, (gsize) (self->n_leaves * LEAF_BYTES));
  if (self->busy != NULL)
    munmap (self->busy, busy_bytes (self));
  pv_fd_clear (&self->fd);
  g_byte_array_unref (self->groups);
  g_free (self);
}

/* For file systems without fallocate(2): writes the zeros. */
static gboolean
write_zeros (int fd, guint64 offset, guint64 size, GError **error)
{
  static const guint8 zeros[64 << 10];

  for (guint64 done = 0; done < size; done += sizeof zeros)
    if (!pv_pwrite_all (fd, zeros, (gsize) MIN (sizeof zeros, size - done), offset + done, "temporary file", error))
      return FALSE;
  return TRUE;
}

gboolean
pv_name_map_reserve (PvNameMap *self, guint64 leaf, GError **error)
{
  guint64 group = leaf / GROUP_LEAVES;
  guint64 offset = group * GROUP_LEAVES * LEAF_BYTES;
  guint64 size = MIN (GROUP_LEAVES, self->n_leaves - group * GROUP_LEAVES) * LEAF_BYTES;

  g_return_val_if_fail (leaf < self->n_leaves, FALSE);
  if (group >= self->groups->len)
    {
      guint old = self->groups->len;

      g_byte_array_set_size (self->groups, (guint) group + 1);
      memset (self->groups->data + old, 0, self->groups->len - old);
    }
  if (self->groups->data[group])
    return TRUE;
  if (!pv_fault ("store.reserve", error))
    return FALSE;
  if (TEMP_FAILURE_RETRY (fallocate (self->fd, 0, (off_t) offset, (off_t) size)) < 0)
    {
      if (errno != EOPNOTSUPP)
        return pv_throw_errno (error, errno, "cannot make room for names in the store's tmp directory");
      if (!write_zeros (self->fd, offset, size, error))
        return FALSE;
    }
  self->groups->data[group] = 1;
  return TRUE;
}

PvName *
pv_name_map_leaf (PvNameMap *self, guint64 leaf)
{
  return self->names + leaf * PV_NODE_FANOUT;
}

gboolean
pv_name_map_set_busy (PvNameMap *self, guint64 chunk)
{
  guint64 bit = 1ull << (chunk % 64);

  return (__atomic_fetch_or (&self->busy[chunk / 64], bit, __ATOMIC_ACQ_REL) & bit) == 0;
}

void
pv_name_map_clear_busy (PvNameMap *self, guint64 chunk)
{
  __atomic_fetch_and (&self->busy[chunk / 64], ~(1ull << (chunk % 64)), __ATOMIC_ACQ_REL);
}

gboolean
pv_name_map_any_busy (PvNameMap *self, guint64 first, guint64 n)
{
  for (guint64 chunk = first; chunk < first + n;)
    {
      guint64 word = __atomic_load_n (&self->busy[chunk / 64], __ATOMIC_ACQUIRE);
      guint64 end = MIN (first + n, (chunk / 64 + 1) * 64);
      guint64 mask = end - chunk == 64 ? ~0ull : ((1ull << (end - chunk)) - 1) << (chunk % 64);

      if ((word & mask) != 0)
        return TRUE;
      chunk = end;
    }
  return FALSE;
}
