/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* After a restore that was killed, or failed when the guest that it replaced was gone. */
#include "config.h"

#include "restore/restore-job-private.h"
#include "restore/restore-undo.h"
#include "util/error.h"
#include "util/snapshot-name.h"
#include "virt/host.h"

/* From its own disks, as after a power failure. */
static gboolean
boot (PvRestoreRecovery *self, const char *text, gboolean paused, GError **error)
{
  g_autoptr(PvDomainXml) xml = pv_domain_xml_parse (text, error);
  g_autoptr(PvGuest) guest = NULL;

  if (xml == NULL)
    return FALSE;
  guest = pv_guest_lookup_uuid (self->connection, pv_domain_xml_uuid (xml), NULL);
  return guest != NULL ? pv_host_start (guest, paused, error)
                       : pv_host_start_transient (self->connection, text, paused, error);
}

static gboolean
restore (PvRestoreRecovery *self, const char *full_name, gboolean paused, GError **error)
{
  PvRestoreOptions options = {
    .paused = paused, .running = !paused, .eager = TRUE, .disks = self->disks, .pool_dir = self->pool_dir
  };
  g_auto(PvRestore) job = {
    .store = self->store, .connection = self->connection, .options = &options, .transfer = { .phase = "bringing back" }
  };
  PvRestoreResult result = { 0 };
  g_autofree char *domain = NULL;
  g_autofree char *name = NULL;
  g_autoptr(PvSnapshot) snapshot = NULL;
  gboolean ok;

  if (!pv_snapshot_name_parse (full_name, &domain, &name, error))
    return FALSE;
  job.snapshot = snapshot = pv_store_find (self->store, domain, name, NULL, error);
  if (snapshot == NULL)
    return FALSE;
  ok = pv_restore_run_as (&job, TRUE, &result, error);
  pv_restore_result_clear (&result);
  return ok;
}

gboolean
pv_restore_bring_back (const char *snapshot, const char *xml, gboolean paused, gpointer data, GError **error)
{
  PvRestoreRecovery *self = data;
  gboolean ok = *snapshot != '\0' ? restore (self, snapshot, paused, error) : boot (self, xml, paused, error);

  if (!ok)
    g_prefix_error (error, "the guest that was replaced cannot be brought back: ");
  return ok;
}

static gboolean
recover_one (PvStore *store, PvConnection *connection, const char *path, char **done, GError **error)
{
  PvRestoreRecovery recovery = { store, connection, PV_RESTORE_DISKS_COPY, NULL };
  g_autoptr(GError) local = NULL;
  g_autoptr(PvRestoreJournal) journal = pv_restore_journal_open (path, &local);

  if (journal != NULL && pv_restore_undo (journal, connection, TRUE, pv_restore_bring_back, &recovery, done, &local))
    return TRUE;
  if (local == NULL)
    return TRUE;
  g_propagate_prefixed_error (error, g_steal_pointer (&local), "cleaning up after a restore that was killed: ");
  return FALSE;
}

gboolean
pv_restore_recover (PvStore *store, PvConnection *connection, GPtrArray **mended, GError **error)
{
  g_autoptr(GPtrArray) paths = pv_restore_journal_list (pv_store_directory (store), error);
  g_autoptr(GPtrArray) said = g_ptr_array_new_with_free_func (g_free);
  gboolean ok = paths != NULL;

  for (guint i = 0; paths != NULL && i < paths->len; i++)
    {
      char *done = NULL;

      ok &= recover_one (store, connection, paths->pdata[i], &done, ok ? error : NULL);
      if (done != NULL)
        g_ptr_array_add (said, done);
    }
  *mended = g_steal_pointer (&said);
  return ok;
}
