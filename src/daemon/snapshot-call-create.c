/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* virDomainSnapshotCreateXML() with external memory, done by a capture. */
#include "config.h"

#include <fcntl.h>
#include <libvirt/virterror.h>

#include "capture/capture-job.h"
#include "daemon/snapshot-calls-private.h"
#include "restore/export.h"
#include "util/error.h"
#include "util/file.h"
#include "util/snapshot-name.h"
#include "xml/snapshot-xml.h"

/* A file of the pool is the snapshot itself. */
static gboolean
is_in_pool (PvSnapshotCalls *self, const char *file)
{
  g_autofree char *directory = g_path_get_dirname (file);

  return g_str_equal (directory, self->pool_directory);
}

static gboolean
save_memory (PvStore *store, PvSnapshot *snapshot, const char *file, GCancellable *cancellable, gpointer data,
             GError **error)
{
  return is_in_pool (data, file) || pv_export_memory_file (store, snapshot, file, NULL, NULL, cancellable, error);
}

/* Whether that file is one that we can make. */
static gboolean
can_save (PvSnapshotJob *job, const char *file, const char *name)
{
  g_autofree char *directory = g_path_get_dirname (file);
  g_autofree char *base = g_path_get_basename (file);
  g_autofree char *wanted = g_strconcat (job->call->domain.name, "@", name, ".save", NULL);
  g_auto(PvFd) probe = PV_FD_NONE;

  if (is_in_pool (job->calls, file))
    return g_str_equal (base, wanted);
  probe = pv_openat (AT_FDCWD, directory, O_WRONLY | O_TMPFILE, 0600, NULL);
  return probe >= 0 && !g_file_test (file, G_FILE_TEST_EXISTS | G_FILE_TEST_IS_SYMLINK);
}

/* A snapshot in the store that libvirt does not know, or knows without its memory, is not what the client asked for. */
static gboolean
check_created (PvSnapshotJob *job, const PvCaptureResult *result, GError **error)
{
  const char *full = pv_snapshot_full_name (result->snapshot);
  g_autoptr(virDomainSnapshot) libvirt
      = virDomainSnapshotLookupByName (pv_guest_get (job->guest), pv_snapshot_name (result->snapshot), 0);
  g_autoptr(PvSnapshot) stored = libvirt != NULL ? pv_snapshot_job_find_stored (job, libvirt) : NULL;

  for (guint i = 0; i < result->warnings->len; i++)
    g_warning ("snapshot %s: %s", full, (char *) result->warnings->pdata[i]);
  g_message ("the libvirt socket: snapshot %s: the guest was paused for %.1f ms", full, result->pause_ms);
  return stored != NULL
         || pv_throw (error, PV_ERROR_FAILED, "the store has %s, but libvirt has not: %s", full,
                      result->warnings->len > 0 ? (char *) result->warnings->pdata[0] : "it was deleted meanwhile");
}

/* (transfer full): the reply. Takes what it needs from @request. */
static GByteArray *
run_create (PvSnapshotJob *job, PvSnapshotRequest *request)
{
  g_autoptr(PvCaptureJob) capture = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *name = g_strdup (request->name);
  PvCaptureOptions options;
  PvCaptureResult result = { 0 };
  gboolean ok;

  pv_capture_options_init (&options);
  options.name = g_steal_pointer (&request->name);
  options.description = g_steal_pointer (&request->description);
  options.memory_file = g_steal_pointer (&request->memory_file);
  options.keep_overlay = TRUE;
  options.libvirt_names = TRUE;
  options.save_memory = save_memory;
  options.save_memory_data = job->calls;
  while (request->disks->len > 0)
    g_ptr_array_add (options.disks, g_ptr_array_steal_index (request->disks, 0));
  capture = pv_capture_job_new (job->calls->store, job->guest, &options);
  ok = pv_capture_options_check (&options, &error) && pv_snapshot_job_settle (job, &error)
       && pv_capture_job_run (capture, &result, job->calls->cancellable, &error)
       && check_created (job, &result, &error);
  pv_capture_result_clear (&result);
  pv_capture_options_clear (&options);
  return ok ? pv_rpc_reply_snapshot (job->call, name) : pv_snapshot_job_refuse (job, "a snapshot", error);
}

/* (transfer full) (nullable): the reply; NULL: libvirtd is to do it. */
GByteArray *
pv_snapshot_job_create (PvSnapshotJob *job)
{
  g_autoptr(PvSnapshotRequest) request = pv_snapshot_request_parse_libvirt (job->call->xml, NULL);
  PvRunState state;

  if (request == NULL || !pv_guest_state (job->guest, &state, NULL, NULL)
      || (state != PV_RUN_RUNNING && state != PV_RUN_PAUSED))
    return NULL;
  if (request->name == NULL) /* as libvirt calls it */
    request->name = g_strdup_printf ("%" G_GINT64_FORMAT, g_get_real_time () / G_USEC_PER_SEC);
  if (!pv_snapshot_name_check (request->name, NULL) || !can_save (job, request->memory_file, request->name)
      || !pv_snapshot_job_may (job, "<pagevault/>", VIR_ERR_XML_ERROR))
    return NULL;
  return run_create (job, request);
}
