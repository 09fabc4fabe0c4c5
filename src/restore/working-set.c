/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/working-set.h"

#include <fcntl.h>
#include <unistd.h>

#include "store/mirror.h"
#include "util/cursor.h"
#include "util/error.h"
#include "util/file.h"

enum
{
  MAGIC = 0x53575650, /* "PVWS" */
  LAYOUT = 1,
  HEADER_SIZE = 12,
  PAGE_SIZE = 8,
};

static char *
directory_of (const char *store_directory)
{
  return g_build_filename (store_directory, "working-sets", NULL);
}

static char *
path_of (const char *store_directory, PvSnapshot *snapshot)
{
  g_autofree char *directory = directory_of (store_directory);
  g_autofree char *id = pv_name_to_hex (pv_snapshot_id (snapshot));

  return g_build_filename (directory, id, NULL);
}

GBytes *
pv_working_set_serialize (const GArray *pages)
{
  GByteArray *out = g_byte_array_sized_new (HEADER_SIZE + pages->len * PAGE_SIZE);

  pv_append_le32 (out, MAGIC);
  pv_append_le32 (out, LAYOUT);
  pv_append_le32 (out, pages->len);
  for (guint i = 0; i < pages->len; i++)
    pv_append_le64 (out, g_array_index (pages, guint64, i));
  return g_byte_array_free_to_bytes (out);
}

GArray *
pv_working_set_parse (const guint8 *data, gsize size, GError **error)
{
  PvCursor cursor = PV_CURSOR_INIT (data, size);
  guint32 magic = pv_cursor_le32 (&cursor);
  guint32 layout = pv_cursor_le32 (&cursor);
  guint32 n = pv_cursor_le32 (&cursor);
  g_autoptr(GArray) pages = NULL;

  if (cursor.overrun || magic != MAGIC || layout != LAYOUT || n > PV_WORKING_SET_MAX)
    {
      pv_corrupt (error, "this is no working set");
      return NULL;
    }
  pages = g_array_sized_new (FALSE, FALSE, sizeof (guint64), n);
  for (guint32 i = 0; i < n; i++)
    {
      guint64 page = pv_cursor_le64 (&cursor);

      g_array_append_val (pages, page);
    }
  if (!pv_cursor_end (&cursor, error))
    {
      g_prefix_error (error, "working set: ");
      return NULL;
    }
  return g_steal_pointer (&pages);
}

/* Appends what of @more is a page and not there yet. */
static void
merge (GArray *pages, GHashTable *known, const guint64 *more, guint n, guint64 n_pages)
{
  for (guint i = 0; i < n && pages->len < PV_WORKING_SET_MAX; i++)
    {
      guint64 page = more[i];
      guint64 *key = NULL;

      if (page >= n_pages || g_hash_table_contains (known, &page))
        continue;
      key = g_new (guint64, 1);
      *key = page;
      g_hash_table_add (known, key);
      g_array_append_val (pages, page);
    }
}

/* What is known of the snapshot, cleaned. @known: filled. */
static GArray *
load (const char *store_directory, PvSnapshot *snapshot, guint64 n_pages, GHashTable *known)
{
  g_autofree char *path = path_of (store_directory, snapshot);
  g_autoptr(GBytes) bytes = pv_read_file (path, HEADER_SIZE + (gsize) PV_WORKING_SET_MAX * PAGE_SIZE, NULL);
  g_autoptr(GArray) found = NULL;
  GArray *pages = g_array_new (FALSE, FALSE, sizeof (guint64));

  if (bytes != NULL)
    found = pv_working_set_parse (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), NULL);
  if (found != NULL)
    merge (pages, known, (const guint64 *) (gpointer) found->data, found->len, n_pages);
  return pages;
}

GArray *
pv_working_set_read (const char *store_directory, PvSnapshot *snapshot, guint64 n_pages)
{
  g_autoptr(GHashTable) known = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);

  return load (store_directory, snapshot, n_pages, known);
}

gboolean
pv_working_set_add (const char *store_directory, PvSnapshot *snapshot, const guint64 *pages, guint n, guint64 n_pages,
                    GError **error)
{
  g_autoptr(GHashTable) known = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  g_autoptr(GArray) all = load (store_directory, snapshot, n_pages, known);
  g_autofree char *directory = directory_of (store_directory);
  g_autofree char *path = path_of (store_directory, snapshot);
  guint n_before = all->len;
  g_autoptr(GBytes) bytes = NULL;

  merge (all, known, pages, n, n_pages);
  if (all->len == n_before)
    return TRUE;
  bytes = pv_working_set_serialize (all);
  return pv_mkdirs (directory, 0700, error)
         && pv_write_file (path, g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), error);
}

static void
add_ids (GHashTable *ids, GPtrArray *snapshots)
{
  for (guint i = 0; i < snapshots->len; i++)
    g_hash_table_add (ids, pv_name_to_hex (pv_snapshot_id (g_ptr_array_index (snapshots, i))));
}

/* (element-type utf8): ids of all snapshots, those of attached remotes included. */
static GHashTable *
listed (PvStore *store, GError **error)
{
  g_autoptr(GPtrArray) snapshots = pv_store_list (store, NULL, error);
  GHashTable *ids;

  if (snapshots == NULL)
    return NULL;
  ids = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  add_ids (ids, snapshots);
  for (guint i = 0; i < pv_store_mirrors (store)->len; i++)
    {
      g_autoptr(GPtrArray) there = pv_mirror_list (pv_store_mirrors (store)->pdata[i], NULL, error);

      if (there == NULL)
        return g_hash_table_unref (ids), NULL;
      add_ids (ids, there);
    }
  return ids;
}

gboolean
pv_working_set_sweep (PvStore *store, GError **error)
{
  g_autofree char *directory = directory_of (pv_store_directory (store));
  g_autoptr(GDir) dir = g_dir_open (directory, 0, NULL);
  g_autoptr(GHashTable) ids = dir != NULL ? listed (store, error) : NULL;
  const char *name;

  if (dir == NULL)
    return TRUE;
  if (ids == NULL)
    return FALSE;
  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (directory, name, NULL);

      if (!g_hash_table_contains (ids, name) && !pv_unlink (path, error))
        return FALSE;
    }
  return TRUE;
}
