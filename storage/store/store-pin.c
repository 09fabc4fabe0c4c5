/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pins: a snapshot object in a scratch directory with a living owner, which gc counts among the roots. */
#include "config.h"

#include "store/store-private.h"

#include <fcntl.h>
#include <sys/file.h>

#include "store/mirror.h"
#include "util/error.h"

struct _PvStorePin
{
  PvStoreScratch *scratch;
};

/* First the pin, then the look whether the snapshot is listed still. */
gboolean
pv_store_scratch_pin (PvStore *self, PvStoreScratch *scratch, PvSnapshot *snapshot, GError **error)
{
  g_autofree char *path = g_build_filename (pv_store_scratch_path (scratch), PV_SCRATCH_BASE, NULL);
  g_autofree char *temporary = g_strconcat (path, ".new", NULL);
  g_autoptr(GBytes) bytes = pv_snapshot_serialize (snapshot);
  g_autofree char *domain = pv_store_index_domain (self, pv_snapshot_domain (snapshot));
  g_autofree char *name = pv_store_index_name (self, pv_snapshot_domain (snapshot), pv_snapshot_name (snapshot));
  g_autoptr(PvSnapshotRow) row = NULL;
  gsize size;
  const guint8 *data = g_bytes_get_data (bytes, &size);
  g_auto(PvFd) fd = pv_openat (AT_FDCWD, temporary, O_WRONLY | O_CREAT | O_EXCL, 0600, error);

  if (fd < 0 || !pv_write_all (fd, data, size, temporary, error) || !pv_rename (temporary, path, error))
    return FALSE;
  row = pv_index_snapshot (self->index, domain, name, error);
  if (row == NULL)
    return FALSE;
  return pv_name_equal (&row->id, pv_snapshot_id (snapshot))
         || pv_throw (error, PV_ERROR_NOT_FOUND, "snapshot %s was replaced meanwhile",
                      pv_snapshot_full_name (snapshot));
}

/* TRUE when @snapshot is of an attached remote, and not of the store. */
static gboolean
is_elsewhere (PvStore *store, PvSnapshot *snapshot)
{
  const char *domain = pv_snapshot_domain (snapshot), *name = pv_snapshot_name (snapshot);
  g_autoptr(PvSnapshot) here = pv_store_lookup (store, domain, name, NULL);

  if (here != NULL && pv_name_equal (pv_snapshot_id (here), pv_snapshot_id (snapshot)))
    return FALSE;
  for (guint i = 0; i < store->mirrors->len; i++)
    {
      g_autoptr(PvSnapshot) there = pv_mirror_find (store->mirrors->pdata[i], domain, name, NULL);

      if (there != NULL && pv_name_equal (pv_snapshot_id (there), pv_snapshot_id (snapshot)))
        return TRUE;
    }
  return FALSE;
}

/* Under STORE/lock shared: gc, which takes it exclusively for a moment, sees the pin or sees that nothing is pinned
 * yet. */
PvStorePin *
pv_store_pin (PvStore *store, PvSnapshot *snapshot, GError **error)
{
  gboolean elsewhere = is_elsewhere (store, snapshot);
  g_auto(PvFd) guard = elsewhere ? PV_FD_NONE : pv_store_lock (store, LOCK_SH, error);
  g_autoptr(PvStorePin) self = g_new0 (PvStorePin, 1);

  if (elsewhere)
    return g_steal_pointer (&self);

  if (guard < 0)
    return NULL;
  self->scratch = pv_store_scratch_new_named (store, "pin", error);
  if (self->scratch == NULL || !pv_store_scratch_pin (store, self->scratch, snapshot, error))
    return NULL;
  return g_steal_pointer (&self);
}

void
pv_store_pin_free (PvStorePin *self)
{
  if (self == NULL)
    return;
  pv_store_scratch_free (self->scratch);
  g_free (self);
}
