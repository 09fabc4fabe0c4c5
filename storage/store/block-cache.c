/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/block-cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/error.h"
#include "util/file.h"

enum
{
  KEEP_PERCENT = 90, /* of the limit: what is left when blocks had to go */
  HEX_DIGITS = 2 * PV_NAME_SIZE,
};

typedef struct
{
  PvName name;
  guint64 number;
} BlockKey;

struct _PvBlockCache
{
  char *directory;
  guint64 limit;
  PvBlockFetch fetch;
  gpointer data;
  GMutex lock;
  GCond fetched;        /* a block has left .fetching */
  GHashTable *fetching; /* of BlockKey (owned); under lock */
  gboolean counted;     /* under lock, as the next */
  guint64 size;         /* bytes of all files, about: others add and remove, too */
};

static guint
key_hash (gconstpointer key)
{
  return pv_name_hash (key) ^ (guint) ((const BlockKey *) key)->number;
}

static gboolean
key_equal (gconstpointer a, gconstpointer b)
{
  return pv_name_equal_func (a, b) && ((const BlockKey *) a)->number == ((const BlockKey *) b)->number;
}

PvBlockCache *
pv_block_cache_new (const char *directory, guint64 limit, PvBlockFetch fetch, gpointer data)
{
  PvBlockCache *self = g_new0 (PvBlockCache, 1);

  self->directory = g_strdup (directory);
  self->limit = limit;
  self->fetch = fetch;
  self->data = data;
  g_mutex_init (&self->lock);
  g_cond_init (&self->fetched);
  self->fetching = g_hash_table_new_full (key_hash, key_equal, g_free, NULL);
  return self;
}

void
pv_block_cache_free (PvBlockCache *self)
{
  if (self == NULL)
    return;
  g_hash_table_unref (self->fetching);
  g_cond_clear (&self->fetched);
  g_mutex_clear (&self->lock);
  g_free (self->directory);
  g_free (self);
}

static char *
block_path (PvBlockCache *self, const BlockKey *key)
{
  g_autofree char *hex = pv_name_to_hex (&key->name);

  return g_strdup_printf ("%s/%.2s/%s-%" G_GUINT64_FORMAT, self->directory, hex, hex, key->number);
}

/* --- what there is ------------------------------------------------------------------------------------------------ */

typedef struct
{
  char *path;
  guint64 size;
  struct timespec used;
} BlockFile;

static void
block_file_clear (gpointer data)
{
  g_free (((BlockFile *) data)->path);
}

static gint
compare_used (gconstpointer a, gconstpointer b)
{
  const struct timespec *ta = &((const BlockFile *) a)->used, *tb = &((const BlockFile *) b)->used;

  if (ta->tv_sec != tb->tv_sec)
    return ta->tv_sec < tb->tv_sec ? -1 : 1;
  return ta->tv_nsec < tb->tv_nsec ? -1 : ta->tv_nsec > tb->tv_nsec ? 1 : 0;
}

/* (element-type BlockFile): all files, those not read for longest first. */
static GArray *
list_blocks (PvBlockCache *self, guint64 *sum)
{
  GArray *files = g_array_new (FALSE, FALSE, sizeof (BlockFile));

  g_array_set_clear_func (files, block_file_clear);
  *sum = 0;
  for (guint i = 0; i < 256; i++)
    {
      g_autofree char *directory = g_strdup_printf ("%s/%02x", self->directory, i);
      g_autoptr(GDir) dir = g_dir_open (directory, 0, NULL);
      const char *name;

      while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
        {
          g_autofree char *path = g_build_filename (directory, name, NULL);
          BlockFile file = { .path = NULL };
          struct stat st;

          if (lstat (path, &st) < 0 || !S_ISREG (st.st_mode))
            continue;
          file = (BlockFile){ g_steal_pointer (&path), (guint64) st.st_size, st.st_mtim };
          *sum += file.size;
          g_array_append_val (files, file);
        }
    }
  g_array_sort (files, compare_used);
  return files;
}

/* Under lock. */
static void
make_room (PvBlockCache *self)
{
  g_autoptr(GArray) files = list_blocks (self, &self->size);

  self->counted = TRUE;
  if (self->size <= self->limit)
    return;
  for (guint i = 0; i < files->len && self->size > self->limit / 100 * KEEP_PERCENT; i++)
    {
      const BlockFile *file = &g_array_index (files, BlockFile, i);

      if (unlink (file->path) == 0 || errno == ENOENT)
        self->size -= file->size;
    }
}

/* --- one block ---------------------------------------------------------------------------------------------------- */

/* Keeps @bytes as a file, if that works. */
static void
keep (PvBlockCache *self, const char *path, GBytes *bytes)
{
  g_autofree char *directory = g_path_get_dirname (path);
  g_autoptr(GError) why = NULL;
  gsize size;
  gconstpointer data = g_bytes_get_data (bytes, &size);

  if (self->limit < size)
    return;
  if (!pv_mkdirs (directory, 0700, &why) || !pv_write_cache_file (path, data, size, &why))
    {
      g_debug ("%s", why->message);
      return;
    }
  g_mutex_lock (&self->lock);
  self->size += size;
  if (!self->counted || self->size > self->limit)
    make_room (self);
  g_mutex_unlock (&self->lock);
}

/* TRUE when it was read from the file of the block. */
static gboolean
read_kept (const char *path, gsize offset, gsize size, guint8 *buffer)
{
  g_auto(PvFd) fd = pv_openat (AT_FDCWD, path, O_RDONLY | O_NOFOLLOW, 0, NULL);

  if (fd < 0 || !pv_pread_exact (fd, buffer, size, offset, path, NULL))
    return FALSE;
  (void) futimens (fd, NULL);
  return TRUE;
}

/* Takes the block on, or waits until whoever has it is done. FALSE: he is done. */
static gboolean
claim (PvBlockCache *self, const BlockKey *key)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  if (!g_hash_table_contains (self->fetching, key))
    {
      g_hash_table_add (self->fetching, g_memdup2 (key, sizeof *key));
      return TRUE;
    }
  while (g_hash_table_contains (self->fetching, key))
    g_cond_wait (&self->fetched, &self->lock);
  return FALSE;
}

static void
release (PvBlockCache *self, const BlockKey *key)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  g_hash_table_remove (self->fetching, key);
  g_cond_broadcast (&self->fetched);
}

/* (transfer full): the block, from where it comes from; it is kept. */
static GBytes *
fetch_block (PvBlockCache *self, const BlockKey *key, guint64 end, const char *path, GError **error)
{
  guint64 start = key->number * PV_BLOCK_SIZE;
  gsize size = (gsize) MIN (end - start, PV_BLOCK_SIZE);
  g_autoptr(GBytes) bytes = self->fetch (&key->name, start, size, self->data, error);

  if (bytes == NULL)
    return NULL;
  if (g_bytes_get_size (bytes) != size)
    {
      pv_corrupt (error, "%" G_GSIZE_FORMAT " bytes came instead of %" G_GSIZE_FORMAT, g_bytes_get_size (bytes), size);
      return NULL;
    }
  keep (self, path, bytes);
  return g_steal_pointer (&bytes);
}

/* @size bytes at @offset of the block. */
static gboolean
read_block (PvBlockCache *self, const BlockKey *key, guint64 end, gsize offset, gsize size, guint8 *buffer,
            gboolean again, GError **error)
{
  g_autofree char *path = block_path (self, key);
  gboolean waited = FALSE;

  for (;;)
    {
      g_autoptr(GBytes) bytes = NULL;

      if ((!again || waited) && read_kept (path, offset, size, buffer))
        return TRUE;
      if (!claim (self, key))
        {
          waited = TRUE; /* it is there now, or could not be had, or not be kept: then it is ours to try */
          continue;
        }
      bytes = fetch_block (self, key, end, path, error);
      release (self, key);
      if (bytes == NULL)
        return FALSE;
      memcpy (buffer, (const guint8 *) g_bytes_get_data (bytes, NULL) + offset, size);
      return TRUE;
    }
}

gboolean
pv_block_cache_read (PvBlockCache *self, const PvName *name, guint64 end, guint64 offset, gsize size, guint8 *buffer,
                     gboolean again, GError **error)
{
  if (offset > end || size > end - offset)
    return pv_corrupt (error, "bytes behind the end of a pack are wanted");
  while (size > 0)
    {
      BlockKey key = { *name, offset / PV_BLOCK_SIZE };
      gsize at = (gsize) (offset % PV_BLOCK_SIZE);
      gsize part = MIN (size, PV_BLOCK_SIZE - at);

      if (!read_block (self, &key, end, at, part, buffer, again, error))
        return FALSE;
      offset += part;
      buffer += part;
      size -= part;
    }
  return TRUE;
}

gboolean
pv_block_cache_want (PvBlockCache *self, const PvName *name, guint64 end, guint64 offset, GError **error)
{
  guint8 byte;

  return pv_block_cache_read (self, name, end, offset, 1, &byte, FALSE, error);
}
