/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "daemon/snapshot-calls.h"

#include <fcntl.h>
#include <libvirt/virterror.h>
#include <string.h>

#include "capture/capture-job.h"
#include "restore/export.h"
#include "restore/lazy-restore.h"
#include "restore/restore-job.h"
#include "util/error.h"
#include "util/file.h"
#include "util/snapshot-name.h"
#include "virt/attachments.h"

#define JOBS_MAX 16 /* at once; libvirtd does what goes beyond */
#define REVERT_FLAGS                                                                                                   \
  (VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING | VIR_DOMAIN_SNAPSHOT_REVERT_PAUSED | VIR_DOMAIN_SNAPSHOT_REVERT_FORCE)
#define DELETE_FLAGS (VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN | VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN_ONLY)

struct _PvSnapshotCalls
{
  PvStore *store;             /* (owned) */
  PvLibvirtLink *link;        /* (not owned) */
  PvPoolService *pool;        /* (not owned) */
  char *pool_directory;       /* (owned) */
  char *disks_directory;      /* (owned) (nullable) */
  GCancellable *cancellable;  /* (owned) */
  GMutex pool_lock;           /* held while the pool is used; cancelled: it is not any more */
  GMutex lock;
  GCond cond;
  guint n_jobs;               /* under lock */
};

typedef struct
{
  PvSnapshotCalls *calls; /* (not owned): waits for us */
  PvLibvirtClient *client; /* (owned) */
  PvRpcCall *call;        /* (owned) */
  GByteArray *message;    /* (owned): the call as it came */
  PvConnection *connection; /* (owned) (nullable) */
  PvGuest *guest;         /* (owned) (nullable) */
} Job;

G_DEFINE_AUTOPTR_CLEANUP_FUNC (virDomainSnapshot, virDomainSnapshotFree)

/* --- what all of them need --------------------------------------------------------------------------------------- */

/* (transfer full): the reply that says @error. */
static GByteArray *
refuse (Job *job, const char *what, const GError *error)
{
  gboolean cancelled = g_error_matches (error, PV_ERROR, PV_ERROR_CANCELLED);
  int code = cancelled ? VIR_ERR_OPERATION_ABORTED : VIR_ERR_OPERATION_FAILED;
  g_autofree char *text = g_strdup_printf ("pagevault: %s", error->message);

  g_warning ("the libvirt socket: %s of guest %s: %s", what, job->call->domain.name, error->message);
  return pv_rpc_reply_error (&job->call->head, VIR_FROM_DOMAIN_SNAPSHOT, code, text);
}

/* The guest as pagevaultd's own connection knows it: the same by name and number, for the client may speak to another
 * driver of libvirtd's. */
static gboolean
find_guest (Job *job)
{
  const guint8 *u = job->call->domain.uuid;
  g_autofree char *uuid = g_strdup_printf ("%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", u[0],
                                           u[1], u[2], u[3], u[4], u[5], u[6], u[7], u[8], u[9], u[10], u[11], u[12],
                                           u[13], u[14], u[15]);

  job->connection = pv_libvirt_link_get (job->calls->link);
  job->guest = job->connection != NULL ? pv_guest_lookup_uuid (job->connection, uuid, NULL) : NULL;
  return job->guest != NULL && g_str_equal (pv_guest_name (job->guest), job->call->domain.name)
         && pv_domain_name_check (job->call->domain.name, NULL);
}

/* libvirtd checks rights before all else: the call with @text, which makes no sense, fails with @code when the client
 * may do it. */
static gboolean
may (Job *job, const char *text, int code)
{
  g_autoptr(GByteArray) question = pv_rpc_call_compose (job->call, text);
  g_autoptr(GByteArray) answer = pv_libvirt_client_ask (job->client, question);
  gint32 got = 0;

  return answer != NULL && !pv_rpc_reply_parse (answer->data, answer->len, &got) && got == code
         && !pv_libvirt_client_is_strange (job->client);
}

/* Killed captures and restores, memory that is still to come: as before any command of pagevault's. */
static gboolean
settle_guest (Job *job, GError **error)
{
  PvSnapshotCalls *calls = job->calls;
  g_autofree char *mended = NULL;

  return pv_lazy_wait (calls->store, pv_guest_uuid (job->guest), TRUE, NULL, NULL, calls->cancellable, error)
         && pv_capture_recover (calls->store, job->guest, &mended, error);
}

/* @xml: a domain description. */
static gboolean
is_of_guest (Job *job, GBytes *xml)
{
  g_autofree char *text = g_strndup (g_bytes_get_data (xml, NULL), g_bytes_get_size (xml));
  g_autoptr(PvDomainXml) domain = pv_domain_xml_parse (text, NULL);

  return domain != NULL && g_strcmp0 (pv_domain_xml_uuid (domain), pv_guest_uuid (job->guest)) == 0;
}

/* (transfer full) (nullable): the store's snapshot whose memory libvirt's snapshot @name has: of that guest and that
 * second. */
static PvSnapshot *
find_stored (Job *job, virDomainSnapshot *libvirt)
{
  const char *name = virDomainSnapshotGetName (libvirt);
  char *text = virDomainSnapshotGetXMLDesc (libvirt, 0);
  g_autoptr(PvSnapshot) stored = NULL;
  GBytes *xml;
  gint64 time = 0;
  gboolean memory = text != NULL && pv_snapshot_xml_has_memory (text, &time);

  free (text);
  if (!memory || !pv_snapshot_name_check (name, NULL))
    return NULL;
  stored = pv_store_lookup (job->calls->store, job->call->domain.name, name, NULL);
  xml = stored != NULL ? pv_snapshot_attachment (stored, PV_ATTACH_DOMAIN_XML) : NULL;
  if (xml == NULL || pv_snapshot_time (stored) / G_USEC_PER_SEC != time || !is_of_guest (job, xml))
    return NULL;
  return g_steal_pointer (&stored);
}

/* --- create ------------------------------------------------------------------------------------------------------ */

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
can_save (Job *job, const char *file, const char *name)
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
check_created (Job *job, const PvCaptureResult *result, GError **error)
{
  const char *full = pv_snapshot_full_name (result->snapshot);
  g_autoptr(virDomainSnapshot) libvirt
      = virDomainSnapshotLookupByName (pv_guest_get (job->guest), pv_snapshot_name (result->snapshot), 0);
  g_autoptr(PvSnapshot) stored = libvirt != NULL ? find_stored (job, libvirt) : NULL;

  for (guint i = 0; i < result->warnings->len; i++)
    g_warning ("snapshot %s: %s", full, (char *) result->warnings->pdata[i]);
  g_message ("the libvirt socket: snapshot %s: the guest was paused for %.1f ms", full, result->pause_ms);
  return stored != NULL
         || pv_throw (error, PV_ERROR_FAILED, "the store has %s, but libvirt has not: %s", full,
                      result->warnings->len > 0 ? (char *) result->warnings->pdata[0] : "it was deleted meanwhile");
}

/* (transfer full): the reply. Takes what it needs from @request. */
static GByteArray *
run_create (Job *job, PvSnapshotRequest *request)
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
  options.save_memory = save_memory;
  options.save_memory_data = job->calls;
  while (request->disks->len > 0)
    g_ptr_array_add (options.disks, g_ptr_array_steal_index (request->disks, 0));
  capture = pv_capture_job_new (job->calls->store, job->guest, &options);
  ok = pv_capture_options_check (&options, &error) && settle_guest (job, &error)
       && pv_capture_job_run (capture, &result, job->calls->cancellable, &error)
       && check_created (job, &result, &error);
  pv_capture_result_clear (&result);
  pv_capture_options_clear (&options);
  return ok ? pv_rpc_reply_snapshot (job->call, name) : refuse (job, "a snapshot", error);
}

/* (transfer full) (nullable): the reply; NULL: libvirtd is to do it. */
static GByteArray *
create (Job *job)
{
  g_autoptr(PvSnapshotRequest) request = pv_snapshot_request_parse_libvirt (job->call->xml, NULL);
  PvRunState state;

  if (request == NULL || !pv_guest_state (job->guest, &state, NULL, NULL)
      || (state != PV_RUN_RUNNING && state != PV_RUN_PAUSED))
    return NULL;
  if (request->name == NULL) /* as libvirt calls it */
    request->name = g_strdup_printf ("%" G_GINT64_FORMAT, g_get_real_time () / G_USEC_PER_SEC);
  if (!pv_snapshot_name_check (request->name, NULL) || !can_save (job, request->memory_file, request->name)
      || !may (job, "<pagevault/>", VIR_ERR_XML_ERROR))
    return NULL;
  return run_create (job, request);
}

/* --- revert ------------------------------------------------------------------------------------------------------ */

/* It is libvirt's current snapshot from now on. The guest is the same by its number, but a new one. */
static void
make_current (Job *job, const char *name)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(virDomainSnapshot) libvirt = virDomainSnapshotLookupByName (pv_guest_get (job->guest), name, 0);
  char *xml = libvirt != NULL ? virDomainSnapshotGetXMLDesc (libvirt, VIR_DOMAIN_SNAPSHOT_XML_SECURE) : NULL;

  if (xml == NULL)
    pv_throw_libvirt (&error, "snapshot '%s'", name);
  else
    pv_guest_redefine_snapshot (job->guest, xml, TRUE, &error);
  free (xml);
  if (error != NULL)
    g_warning ("guest %s: '%s' is not made libvirt's current snapshot: %s", job->call->domain.name, name,
               error->message);
}

static GByteArray *
run_revert (Job *job, PvSnapshot *stored)
{
  PvSnapshotCalls *calls = job->calls;
  PvRestoreOptions options = {
    .replace = TRUE,
    .running = (job->call->flags & VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING) != 0,
    .paused = (job->call->flags & VIR_DOMAIN_SNAPSHOT_REVERT_PAUSED) != 0,
    .disks = PV_RESTORE_DISKS_OVERLAY,
    .pool_dir = calls->pool_directory,
    .disks_dir = calls->disks_directory,
  };
  PvRestoreResult result = { 0 };
  g_autoptr(GPtrArray) mended = NULL;
  g_autoptr(GError) error = NULL;
  gboolean ok = settle_guest (job, &error) && pv_restore_recover (calls->store, job->connection, &mended, &error)
                && pv_restore_can (calls->store, job->connection, stored, &options, &error)
                && pv_restore_run (calls->store, job->connection, stored, &options, &result, NULL, NULL,
                                   calls->cancellable, &error);

  if (ok)
    {
      g_message ("the libvirt socket: guest %s is at %s again, running after %.0f ms%s%s", result.domain,
                 pv_snapshot_full_name (stored), result.running_ms, result.why_eager != NULL ? "; not lazily: " : "",
                 result.why_eager != NULL ? result.why_eager : "");
      make_current (job, job->call->snapshot);
    }
  pv_restore_result_clear (&result);
  return ok ? pv_rpc_reply_void (job->call) : refuse (job, "a revert", error);
}

static GByteArray *
revert (Job *job)
{
  g_autoptr(virDomainSnapshot) libvirt
      = virDomainSnapshotLookupByName (pv_guest_get (job->guest), job->call->snapshot, 0);
  g_autoptr(PvSnapshot) stored = libvirt != NULL ? find_stored (job, libvirt) : NULL;
  g_autofree char *nowhere = g_strdup_printf ("pagevault-asks-%08x%08x", g_random_int (), g_random_int ());
  guint32 both = VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING | VIR_DOMAIN_SNAPSHOT_REVERT_PAUSED;

  if (stored == NULL || (job->call->flags & both) == both || !may (job, nowhere, VIR_ERR_NO_DOMAIN_SNAPSHOT))
    return NULL;
  return run_revert (job, stored);
}

/* --- delete ------------------------------------------------------------------------------------------------------ */

static void
add_stored (Job *job, virDomainSnapshot *libvirt, GPtrArray *stored)
{
  PvSnapshot *found = find_stored (job, libvirt);

  if (found != NULL)
    g_ptr_array_add (stored, found);
}

/* (transfer full) (element-type PvSnapshot): what the call would delete. */
static GPtrArray *
list_stored (Job *job)
{
  GPtrArray *stored = g_ptr_array_new_with_free_func ((GDestroyNotify) pv_snapshot_unref);
  g_autoptr(virDomainSnapshot) libvirt
      = virDomainSnapshotLookupByName (pv_guest_get (job->guest), job->call->snapshot, 0);
  virDomainSnapshot **below = NULL;
  int n = 0;

  if (libvirt == NULL)
    return stored;
  if ((job->call->flags & VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN_ONLY) == 0)
    add_stored (job, libvirt, stored);
  if (job->call->flags != 0)
    n = virDomainSnapshotListAllChildren (libvirt, &below, VIR_DOMAIN_SNAPSHOT_LIST_DESCENDANTS);
  for (int i = 0; i < n; i++)
    {
      add_stored (job, below[i], stored);
      virDomainSnapshotFree (below[i]);
    }
  free (below);
  return stored;
}

/* For each of @stored. */
static gboolean
for_pool (Job *job, GPtrArray *stored, gboolean (*func) (PvPoolService *, PvSnapshot *, GError **), GError **error)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&job->calls->pool_lock);

  if (g_cancellable_is_cancelled (job->calls->cancellable))
    return pv_throw (error, PV_ERROR_CANCELLED, "pagevaultd ends");
  for (guint i = 0; i < stored->len; i++)
    if (!func (job->calls->pool, stored->pdata[i], error))
      return FALSE;
  return TRUE;
}

static GByteArray *
delete (Job *job)
{
  g_autoptr(GPtrArray) stored = list_stored (job);
  g_autoptr(GError) error = NULL;
  GByteArray *answer;
  gint32 code;

  if (stored->len == 0)
    return NULL;
  if (!for_pool (job, stored, pv_pool_service_check_unused, &error))
    return refuse (job, "a deletion", error);
  answer = pv_libvirt_client_ask (job->client, job->message);
  if (answer == NULL)
    return g_byte_array_new (); /* nobody hears it */
  if (pv_rpc_reply_parse (answer->data, answer->len, &code) && !pv_libvirt_client_is_strange (job->client)
      && !for_pool (job, stored, pv_pool_service_delete, &error))
    g_warning ("the libvirt socket: guest %s: %s", job->call->domain.name, error->message);
  return answer;
}

/* --- jobs -------------------------------------------------------------------------------------------------------- */

static GByteArray *
answer_call (Job *job)
{
  switch (job->call->head.procedure)
    {
    case PV_RPC_SNAPSHOT_CREATE_XML:
      return create (job);
    case PV_RPC_SNAPSHOT_REVERT:
      return revert (job);
    default:
      return delete (job);
    }
}

static void
leave (PvSnapshotCalls *self)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  self->n_jobs--;
  g_cond_broadcast (&self->cond);
}

static void
job_free (Job *job)
{
  g_clear_pointer (&job->guest, pv_guest_unref);
  g_clear_pointer (&job->connection, pv_connection_unref);
  pv_libvirt_client_unref (job->client);
  pv_rpc_call_free (job->call);
  g_byte_array_unref (job->message);
  g_free (job);
}

static gpointer
run_job (gpointer data)
{
  Job *job = data;
  PvSnapshotCalls *calls = job->calls;
  g_autoptr(GByteArray) answer = find_guest (job) ? answer_call (job) : NULL;

  if (answer == NULL)
    pv_libvirt_client_pass (job->client, job->message);
  else
    pv_libvirt_client_reply (job->client, answer);
  job_free (job);
  leave (calls);
  return NULL;
}

static gboolean
enter (PvSnapshotCalls *self)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  if (self->n_jobs >= JOBS_MAX || g_cancellable_is_cancelled (self->cancellable))
    return FALSE;
  self->n_jobs++;
  return TRUE;
}

static gboolean
is_for_us (const PvRpcCall *call)
{
  switch (call->head.procedure)
    {
    case PV_RPC_SNAPSHOT_CREATE_XML:
      return (call->flags & ~(guint32) (VIR_DOMAIN_SNAPSHOT_CREATE_LIVE | VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC)) == 0;
    case PV_RPC_SNAPSHOT_REVERT:
      return (call->flags & ~(guint32) REVERT_FLAGS) == 0;
    default:
      return (call->flags & ~(guint32) DELETE_FLAGS) == 0;
    }
}

gboolean
pv_snapshot_calls_take (PvLibvirtClient *client, const guint8 *message, gsize size, gpointer data)
{
  PvSnapshotCalls *self = data;
  g_autoptr(PvRpcCall) call = pv_rpc_call_parse (message, size, NULL);
  GThread *thread;
  Job *job;

  if (call == NULL || !is_for_us (call) || !enter (self))
    return FALSE;
  job = g_new0 (Job, 1);
  job->calls = self;
  job->client = pv_libvirt_client_ref (client);
  job->call = g_steal_pointer (&call);
  job->message = g_byte_array_new ();
  g_byte_array_append (job->message, message, (guint) size);
  thread = g_thread_try_new ("snapshot-call", run_job, job, NULL);
  if (thread != NULL)
    {
      g_thread_unref (thread);
      return TRUE;
    }
  job_free (job);
  leave (self);
  return FALSE;
}

PvSnapshotCalls *
pv_snapshot_calls_new (PvStore *store, PvLibvirtLink *link, PvPoolService *pool, const char *pool_directory,
                       const char *disks_directory)
{
  PvSnapshotCalls *self = g_new0 (PvSnapshotCalls, 1);

  self->store = pv_store_ref (store);
  self->link = link;
  self->pool = pool;
  self->pool_directory = g_strdup (pool_directory);
  self->disks_directory = g_strdup (disks_directory);
  self->cancellable = g_cancellable_new ();
  g_mutex_init (&self->pool_lock);
  g_mutex_init (&self->lock);
  g_cond_init (&self->cond);
  return self;
}

void
pv_snapshot_calls_cancel (PvSnapshotCalls *self)
{
  g_cancellable_cancel (self->cancellable);
  g_mutex_lock (&self->pool_lock); /* whoever is in it has not seen that it is over */
  g_mutex_unlock (&self->pool_lock);
}

void
pv_snapshot_calls_free (PvSnapshotCalls *self)
{
  g_mutex_lock (&self->lock);
  while (self->n_jobs > 0)
    g_cond_wait (&self->cond, &self->lock);
  g_mutex_unlock (&self->lock);
  g_mutex_clear (&self->pool_lock);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->cond);
  g_object_unref (self->cancellable);
  pv_store_unref (self->store);
  g_free (self->pool_directory);
  g_free (self->disks_directory);
  g_free (self);
}
