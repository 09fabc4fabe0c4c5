/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/publish.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "util/error.h"
#include "util/fault.h"

/* The snapshot object, synced, in the scratch directory: (transfer full) its path. */
static char *
write_object (PvStoreScratch *scratch, PvSnapshot *snapshot, GError **error)
{
  g_autofree char *path = g_build_filename (pv_store_scratch_path (scratch), "snapshot", NULL);
  g_autoptr(GBytes) bytes = pv_snapshot_serialize (snapshot);
  gsize size;
  const guint8 *data = g_bytes_get_data (bytes, &size);
  g_auto(PvFd) fd = pv_openat (AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL, 0600, error);

  if (fd < 0 || !pv_write_all (fd, data, size, path, error) || !pv_fsync (fd, path, error))
    return NULL;
  return g_steal_pointer (&path);
}

/* Renames the packs into place and syncs their directories. */
static gboolean
move_packs (PvStore *store, GArray *packs, GError **error)
{
  gboolean touched[256] = { FALSE };
  gboolean made = FALSE;

  for (guint i = 0; i < packs->len; i++)
    {
      const PvSealedPack *pack = &g_array_index (packs, PvSealedPack, i);
      g_autofree char *path = pv_store_pack_path (store, &pack->name);
      g_autofree char *directory = g_path_get_dirname (path);

      if (!pv_fault ("store.mkdir", error))
        return FALSE;
      if (mkdir (directory, 0700) == 0)
        made = TRUE;
      else if (errno != EEXIST)
        return pv_throw_errno (error, errno, "cannot create directory '%s'", directory);
      if (!pv_rename (pack->path, path, error))
        return FALSE;
      touched[pack->name.bytes[0]] = TRUE;
    }
  for (guint i = 0; i < G_N_ELEMENTS (touched); i++)
    {
      g_autofree char *directory = g_strdup_printf ("%s/%02x", store->packs, i);

      if (touched[i] && !pv_fsync_dir (directory, error))
        return FALSE;
    }
  return !made || pv_fsync_dir (store->packs, error);
}

static gboolean
index_commit (PvStore *store, PvIndexWriter *index, PvSnapshot *snapshot, GError **error)
{
  g_autofree char *domain = NULL, *name = NULL;
  g_autoptr(GBytes) bytes = NULL;
  PvSnapshotRow row = { .object = NULL };

  if (!pv_fault ("store.commit", error))
    return FALSE;
  if (snapshot == NULL)
    return pv_index_writer_commit (index, NULL, error);
  bytes = pv_snapshot_serialize (snapshot);
  row.id = *pv_snapshot_id (snapshot);
  row.domain = domain = pv_store_index_domain (store, pv_snapshot_domain (snapshot));
  row.name = name = pv_store_index_name (store, pv_snapshot_domain (snapshot), pv_snapshot_name (snapshot));
  row.time = pv_snapshot_time (snapshot);
  row.stored_size = pv_snapshot_stored_size (snapshot);
  row.object = bytes;
  return pv_index_writer_commit (index, &row, error);
}

/* First rename to index commit, with STORE/lock held shared. */
static gboolean
publish (PvStore *store, GArray *packs, PvSnapshot *snapshot, const char *object, PvIndexWriter *index, GError **error)
{
  g_auto(PvFd) guard = pv_store_lock (store, LOCK_SH, error);

  if (guard < 0 || !move_packs (store, packs, error))
    return FALSE;
  if (snapshot != NULL)
    {
      g_autofree char *path = pv_store_snapshot_path (store, pv_snapshot_id (snapshot));

      if (!pv_publish (object, path, error))
        return FALSE;
    }
  return index_commit (store, index, snapshot, error);
}

gboolean
pv_publish_packs (PvStore *store, PvStoreScratch *scratch, GArray *packs, PvSnapshot *snapshot, PvIndexWriter **index,
                  GError **error)
{
  g_autoptr(GArray) pack_names = g_array_new (FALSE, FALSE, sizeof (PvName));
  g_autoptr(GArray) ids = g_array_new (FALSE, FALSE, sizeof (PvName));
  g_autofree char *object = NULL;
  g_autoptr(GError) why = NULL;

  for (guint i = 0; i < packs->len; i++)
    g_array_append_val (pack_names, g_array_index (packs, PvSealedPack, i).name);
  if (snapshot != NULL)
    {
      g_array_append_val (ids, *pv_snapshot_id (snapshot));
      if ((object = write_object (scratch, snapshot, error)) == NULL)
        return FALSE;
    }
  if (!pv_store_scratch_journal (scratch, pack_names, ids, error))
    return FALSE;
  if (publish (store, packs, snapshot, object, *index, error))
    return TRUE;
  g_clear_pointer (index, pv_index_writer_free);
  if (!pv_store_remove_unlisted (store, pack_names, ids, &why))
    {
      g_debug ("left to the next open: %s", why->message);
      pv_store_scratch_keep (scratch, TRUE);
    }
  return FALSE;
}
