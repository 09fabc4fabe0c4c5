/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sweeping: removing what crashed transactions left. Everything here happens with STORE/lock held exclusively: nobody
 * is between renaming a file into the store and committing it to the index, so a file that is not in the index never
 * will be. */
#include "config.h"

#include "store/store-private.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "util/error.h"

#define JOURNAL_MAX (256u << 20) /* bytes */

/* Names of what the index lists. */
typedef struct
{
  GHashTable *packs;     /* of PvName* (owned) */
  GHashTable *snapshots; /* of PvName* (owned) */
} Listed;

static void
listed_clear (Listed *self)
{
  g_clear_pointer (&self->packs, g_hash_table_unref);
  g_clear_pointer (&self->snapshots, g_hash_table_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Listed, listed_clear)

static gboolean
listed_read (Listed *self, PvStore *store, GError **error)
{
  g_autoptr(GArray) packs = pv_index_packs (store->index, error);
  g_autoptr(GPtrArray) snapshots = packs != NULL ? pv_index_snapshots (store->index, NULL, error) : NULL;

  if (snapshots == NULL)
    return FALSE;
  self->packs = g_hash_table_new_full (pv_name_hash, pv_name_equal_func, g_free, NULL);
  self->snapshots = g_hash_table_new_full (pv_name_hash, pv_name_equal_func, g_free, NULL);
  for (guint i = 0; i < packs->len; i++)
    g_hash_table_add (self->packs, g_memdup2 (&g_array_index (packs, PvPackRow, i).name, sizeof (PvName)));
  for (guint i = 0; i < snapshots->len; i++)
    g_hash_table_add (self->snapshots, g_memdup2 (&((PvSnapshotRow *) snapshots->pdata[i])->id, sizeof (PvName)));
  return TRUE;
}

/* Removes the file of @name unless it is listed. @freed: (inout). */
static gboolean
remove_unlisted (PvStore *store, const Listed *listed, gboolean is_pack, const PvName *name, guint64 *n_files,
                 guint64 *freed, GError **error)
{
  g_autofree char *path = is_pack ? pv_store_pack_path (store, name) : pv_store_snapshot_path (store, name);
  struct stat st;

  if (g_hash_table_contains (is_pack ? listed->packs : listed->snapshots, name) || lstat (path, &st) < 0)
    return TRUE;
  *n_files += 1;
  *freed += (guint64) st.st_size;
  return pv_unlink (path, error);
}

/* --- scratch directories ------------------------------------------------------------------------------------------ */

static gboolean
apply_journal (PvStore *self, const Listed *listed, const char *directory, GError **error)
{
  g_autofree char *path = g_build_filename (directory, PV_SCRATCH_JOURNAL, NULL);
  g_auto(GStrv) lines = pv_read_lines (path, JOURNAL_MAX, NULL);
  guint64 n_files = 0;
  guint64 freed = 0;

  for (guint i = 0; lines != NULL && lines[i] != NULL; i++)
    {
      const char *space = strchr (lines[i], ' ');
      PvName name;

      if (space == NULL || !pv_name_from_hex (space + 1, &name, NULL))
        continue; /* not one of ours */
      if (!remove_unlisted (self, listed, g_str_has_prefix (lines[i], "pack "), &name, &n_files, &freed, error))
        return FALSE;
    }
  return TRUE;
}

/* (nullable): paths of the directories below tmp that nobody owns (element-type utf8). A directory without a lock file
 * counts: it is being made only while STORE/lock is held shared. */
static GPtrArray *
find_dead (PvStore *self, GError **error)
{
  g_autoptr(GPtrArray) dead = g_ptr_array_new_with_free_func (g_free);
  g_autoptr(GDir) dir = g_dir_open (self->tmp, 0, error);
  const char *name;

  if (dir == NULL)
    return NULL;
  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (self->tmp, name, NULL);
      g_autofree char *lock_path = g_build_filename (path, PV_SCRATCH_LOCK, NULL);
      g_auto(PvFd) fd = pv_openat (AT_FDCWD, lock_path, O_RDONLY | O_NOFOLLOW, 0, NULL);

      if (fd < 0 || pv_flock (fd, LOCK_SH | LOCK_NB, lock_path, NULL))
        g_ptr_array_add (dead, g_steal_pointer (&path));
    }
  return g_steal_pointer (&dead);
}

gboolean
pv_store_sweep_scratch (PvStore *self, GError **error)
{
  g_autoptr(GPtrArray) dead = find_dead (self, error);
  g_auto(Listed) listed = { 0 };
  g_auto(PvFd) guard = PV_FD_NONE;
  g_autoptr(GError) busy = NULL;

  if (dead == NULL)
    return FALSE;
  if (dead->len == 0)
    return TRUE;
  guard = pv_store_lock (self, LOCK_EX | LOCK_NB, &busy);
  if (guard < 0)
    return g_error_matches (busy, PV_ERROR, PV_ERROR_BUSY)
           || (g_propagate_error (error, g_steal_pointer (&busy)), FALSE);
  g_ptr_array_unref (dead);
  dead = find_dead (self, error); /* again: now nobody is making one */
  if (dead == NULL || !listed_read (&listed, self, error))
    return FALSE;
  for (guint i = 0; i < dead->len; i++)
    if (!apply_journal (self, &listed, dead->pdata[i], error) || !pv_remove_tree (dead->pdata[i], error))
      return FALSE;
  return TRUE;
}

/* --- everything --------------------------------------------------------------------------------------------------- */

/* Calls remove_unlisted() for each file in @directory that is called like an object; other files are left alone. */
static gboolean
sweep_directory (PvStore *self, const Listed *listed, gboolean packs, const char *directory, guint64 *n_files,
                 guint64 *freed, GError **error)
{
  g_autoptr(GDir) dir = g_dir_open (directory, 0, NULL);
  const char *file;

  while (dir != NULL && (file = g_dir_read_name (dir)) != NULL)
    {
      PvName name;

      if (pv_name_from_hex (file, &name, NULL)
          && !remove_unlisted (self, listed, packs, &name, n_files, freed, error))
        return FALSE;
    }
  return TRUE;
}

gboolean
pv_store_sweep_orphans (PvStore *self, guint64 *n_files, guint64 *freed, GError **error)
{
  g_auto(PvFd) guard = pv_store_lock (self, LOCK_EX, error);
  g_auto(Listed) listed = { 0 };

  *n_files = *freed = 0;
  if (guard < 0 || !listed_read (&listed, self, error))
    return FALSE;
  for (guint i = 0; i < 256; i++)
    {
      g_autofree char *directory = g_strdup_printf ("%s/%02x", self->packs, i);

      if (!sweep_directory (self, &listed, TRUE, directory, n_files, freed, error))
        return FALSE;
    }
  return sweep_directory (self, &listed, FALSE, self->snapshots, n_files, freed, error);
}

gboolean
pv_store_remove_unlisted (PvStore *self, GArray *packs, GArray *snapshots, GError **error)
{
  g_auto(PvFd) guard = pv_store_lock (self, LOCK_EX, error);
  g_auto(Listed) listed = { 0 };
  guint64 n_files = 0;
  guint64 freed = 0;

  if (guard < 0 || !listed_read (&listed, self, error))
    return FALSE;
  for (guint i = 0; packs != NULL && i < packs->len; i++)
    if (!remove_unlisted (self, &listed, TRUE, &g_array_index (packs, PvName, i), &n_files, &freed, error))
      return FALSE;
  for (guint i = 0; snapshots != NULL && i < snapshots->len; i++)
    if (!remove_unlisted (self, &listed, FALSE, &g_array_index (snapshots, PvName, i), &n_files, &freed, error))
      return FALSE;
  return TRUE;
}
