/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A restore, step by step; what must be undone is written down first (restore/restore-journal.h). */
#include "config.h"

#include "restore/restore-job.h"

#include <stdarg.h>
#include <unistd.h>

#include "restore/restore-job-private.h"
#include "restore/restore-undo.h"
#include "util/error.h"
#include "util/fault.h"
#include "virt/host.h"

/* What is left of a restore that failed, and could not be taken back, is the guard's to mend. */
static void
end_guard (PvRestore *self)
{
  if (self->guard != NULL && access (pv_restore_journal_file (self->journal), F_OK) < 0)
    pv_restore_guard_over (self->guard);
}

void
pv_restore_clear (PvRestore *self)
{
  end_guard (self);
  g_clear_pointer (&self->live, pv_domain_xml_free);
  g_clear_pointer (&self->inactive, pv_domain_xml_free);
  g_clear_pointer (&self->old, pv_guest_unref);
  g_clear_pointer (&self->lazy, pv_lazy_restore_free);
  g_clear_pointer (&self->why_eager, g_free);
  g_clear_pointer (&self->files, pv_restore_files_free);
  g_clear_pointer (&self->image, g_free);
  if (self->image_fd > 0)
    pv_fd_clear (&self->image_fd);
  g_clear_pointer (&self->scratch, pv_store_scratch_free);
  g_clear_pointer (&self->journal, pv_restore_journal_free);
  g_clear_pointer (&self->guard, pv_restore_guard_free); /* behind the journal, whose lock it would meet */
}

void
pv_restore_result_clear (PvRestoreResult *self)
{
  g_clear_pointer (&self->domain, g_free);
  g_clear_pointer (&self->uuid, g_free);
  g_clear_pointer (&self->why_eager, g_free);
  g_clear_pointer (&self->frozen, g_free);
  g_clear_pointer (&self->replaced, g_ptr_array_unref);
}

/* --- the guest that is there ------------------------------------------------------------------------------------- */

/* Disks of the old guest that the new one does not have. */
static void
note_replaced (PvRestore *self, PvRestoreResult *result, const char *text)
{
  g_autoptr(PvDomainXml) xml = pv_domain_xml_parse (text, NULL);
  GPtrArray *disks = xml != NULL ? pv_domain_xml_disks (xml) : NULL;

  for (guint i = 0; disks != NULL && i < disks->len; i++)
    {
      const PvDomainDisk *disk = disks->pdata[i];
      const PvDomainDisk *now = pv_domain_xml_find_disk (self->live, disk->target);

      if (disk->kind == PV_DISK_FILE && disk->path != NULL && !disk->readonly && !disk->shareable && now != NULL
          && g_strcmp0 (now->path, disk->path) != 0)
        g_ptr_array_add (result->replaced, g_strdup (disk->path));
    }
}

/* From here to the commit the guest is away. */
static gboolean
end_old (PvRestore *self, PvRestoreResult *result, GError **error)
{
  const char *checkpoint = self->options->checkpoint != NULL ? self->options->checkpoint : "";
  g_autofree char *xml = NULL;

  if (self->old == NULL)
    return TRUE;
  xml = pv_guest_xml (self->old, VIR_DOMAIN_XML_MIGRATABLE, error);
  if (xml == NULL)
    return FALSE;
  note_replaced (self, result, xml);
  if (self->old_state == PV_RUN_SHUTOFF)
    return TRUE;
  self->guard = pv_restore_guard_start (self->store, pv_connection_uri (self->connection), error);
  if (self->guard == NULL)
    return FALSE;
  return pv_restore_journal_add (self->journal, error, PV_MADE_REPLACE,
                                 self->old_state == PV_RUN_PAUSED ? "paused" : "running", checkpoint, xml, NULL)
         && pv_host_destroy (self->old, error) && pv_fault ("restore.ended", error);
}

/* --- the new one ------------------------------------------------------------------------------------------------- */

/* The devices have read the links' state from the memory image: it is said once more. */
static gboolean
cut_links (PvRestore *self, PvGuest *guest, GError **error)
{
  g_autofree char *text = pv_guest_xml (guest, 0, error);
  g_autoptr(PvDomainXml) xml = text != NULL ? pv_domain_xml_parse (text, error) : NULL;
  g_autoptr(GPtrArray) aliases = xml != NULL ? pv_domain_xml_links_down (xml) : NULL;

  for (guint i = 0; aliases != NULL && i < aliases->len; i++)
    if (!pv_guest_set_link (guest, aliases->pdata[i], FALSE, error))
      return FALSE;
  return aliases != NULL;
}

static gboolean
load (PvRestore *self, PvRestoreResult *result, GError **error)
{
  g_autoptr(PvGuest) guest = NULL;

  if (!pv_transfer_go_on (&self->transfer, error)
      || !pv_restore_journal_add (self->journal, error, PV_MADE_LOAD, NULL)
      || !pv_restore_load_memory (self, result, error)
      || !pv_fault ("restore.loaded", error))
    return FALSE;
  guest = pv_guest_lookup_uuid (self->connection, pv_domain_xml_uuid (self->live), error);
  return guest != NULL && cut_links (self, guest, error);
}

static gboolean
define (PvRestore *self, GError **error)
{
  g_autofree char *xml = NULL;
  g_autofree char *before = NULL;
  g_autoptr(PvGuest) guest = NULL;

  if (self->inactive == NULL)
    return TRUE;
  xml = pv_domain_xml_to_string (self->inactive);
  before = self->old_persistent ? pv_guest_xml (self->old, VIR_DOMAIN_XML_INACTIVE, error) : g_strdup ("");
  if (before == NULL || !pv_restore_journal_add (self->journal, error, PV_MADE_DEFINITION, before, NULL))
    return FALSE;
  guest = pv_host_define (self->connection, xml, error);
  return guest != NULL;
}

/* What fails behind the journal's line is told, and left for the user to mend: the guest is whole. */
static gboolean
commit (PvRestore *self, GError **error)
{
  g_autoptr(PvGuest) guest = NULL;

  if (!pv_restore_journal_add (self->journal, error, PV_MADE_COMMIT, self->run ? "running" : "paused", NULL))
    return FALSE;
  self->committed = TRUE;
  if (!self->has_memory || !self->run)
    return TRUE;
  guest = pv_guest_lookup_uuid (self->connection, pv_domain_xml_uuid (self->live), error);
  if (guest != NULL && pv_guest_resume (guest, error))
    return TRUE;
  g_prefix_error (error, "the guest is back, but stays paused: ");
  return FALSE;
}

static gboolean
make (PvRestore *self, gint64 start, PvRestoreResult *result, GError **error)
{
  if (!pv_restore_journal_add (self->journal, error, PV_MADE_GUEST, "1", self->domain,
                               pv_domain_xml_uuid (self->live), NULL)
      || !pv_restore_make_disks (self, error) || (self->has_memory && !pv_restore_prepare_memory (self, error))
      || !pv_transfer_go_on (&self->transfer, error) || !end_old (self, result, error)
      || (self->has_memory && !load (self, result, error)) || !define (self, error) || !commit (self, error))
    return FALSE;
  result->running_ms = (double) (g_get_monotonic_time () - start) / 1000;
  return TRUE;
}

static void append_to (GError **error, const char *format, ...) G_GNUC_PRINTF (2, 3);

static void
append_to (GError **error, const char *format, ...)
{
  g_autofree char *text = NULL;
  g_autofree char *message = (*error)->message;
  va_list arguments;

  va_start (arguments, format);
  text = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  (*error)->message = g_strconcat (message, text, NULL);
}

/* The error that led here comes first. */
static void
undo (PvRestore *self, GError **error)
{
  PvRestoreRecovery recovery = { self->store, self->connection, self->options->disks, self->options->pool_dir };
  g_autoptr(GError) local = NULL;
  g_autofree char *done = NULL;
  g_autoptr(GPtrArray) steps = pv_restore_journal_steps (self->journal, NULL);
  gboolean replaced = FALSE;
  gboolean ok;

  for (guint i = 0; steps != NULL && i < steps->len; i++)
    replaced |= ((const PvMade *) steps->pdata[i])->kind == PV_MADE_REPLACE;
  g_clear_pointer (&self->lazy, pv_lazy_restore_free); /* its pager is for the guest that was not to be */
  ok = pv_restore_undo (self->journal, self->connection, FALSE, pv_restore_bring_back, &recovery, &done, &local);
  if (error == NULL || *error == NULL || (ok && !replaced))
    return;
  if (!ok)
    append_to (error, "; and not all could be taken back: %s (the next 'pagevault restore' tries again)",
                     local->message);
  else if (done != NULL)
    append_to (error, "; %s", done);
}

gboolean
pv_restore_run_as (PvRestore *self, gboolean way_back, PvRestoreResult *result, GError **error)
{
  gint64 start = g_get_monotonic_time ();

  result->replaced = g_ptr_array_new_with_free_func (g_free);
  if (!pv_restore_check (self, error))
    return FALSE;
  self->run = !self->options->paused
              && (self->options->running || pv_snapshot_state (self->snapshot) == PV_GUEST_RUNNING);
  self->journal = pv_restore_journal_create (pv_store_directory (self->store), self->domain, way_back, error);
  if (self->journal == NULL)
    return FALSE;
  if (!make (self, start, result, error))
    {
      if (!self->committed)
        undo (self, error);
      else
        pv_restore_journal_remove (self->journal, NULL);
      return FALSE;
    }
  result->domain = g_strdup (self->domain);
  result->uuid = g_strdup (pv_domain_xml_uuid (self->live));
  result->why_eager = g_steal_pointer (&self->why_eager);
  pv_restore_thaw (self, result);
  result->total_ms = (double) (g_get_monotonic_time () - start) / 1000;
  return pv_restore_journal_remove (self->journal, error);
}

gboolean
pv_restore_can (PvStore *store, PvConnection *connection, PvSnapshot *snapshot, const PvRestoreOptions *options,
                GError **error)
{
  g_auto(PvRestore) self = { .store = store, .connection = connection, .snapshot = snapshot, .options = options };

  return pv_restore_check (&self, error);
}

gboolean
pv_restore_run (PvStore *store, PvConnection *connection, PvSnapshot *snapshot, const PvRestoreOptions *options,
                PvRestoreResult *result, PvRestoreProgressFunc progress, gpointer data, GCancellable *cancellable,
                GError **error)
{
  g_auto(PvRestore) self = {
    .store = store,
    .connection = connection,
    .snapshot = snapshot,
    .options = options,
    .transfer = { "reading", progress, data, cancellable },
  };

  return pv_restore_run_as (&self, FALSE, result, error);
}
