/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "daemon/snapshot-calls.h"

#include <libvirt/virterror.h>
#include <string.h>

#include "capture/capture-job.h"
#include "daemon/snapshot-calls-private.h"
#include "restore/lazy-restore.h"
#include "util/error.h"
#include "util/snapshot-name.h"
#include "virt/attachments.h"
#include "xml/snapshot-xml.h"

#define JOBS_MAX 16 /* at once; libvirtd does what goes beyond */
#define REVERT_FLAGS                                                                                                   \
  (VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING | VIR_DOMAIN_SNAPSHOT_REVERT_PAUSED | VIR_DOMAIN_SNAPSHOT_REVERT_FORCE)
#define DELETE_FLAGS (VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN | VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN_ONLY)

/* --- what all of them need --------------------------------------------------------------------------------------- */

/* (transfer full): the reply that says @error. */
GByteArray *
pv_snapshot_job_refuse (PvSnapshotJob *job, const char *what, const GError *error)
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
find_guest (PvSnapshotJob *job)
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
gboolean
pv_snapshot_job_may (PvSnapshotJob *job, const char *text, int code)
{
  g_autoptr(GByteArray) question = pv_rpc_call_compose (job->call, text);
  g_autoptr(GByteArray) answer = pv_libvirt_client_ask (job->client, question);
  gint32 got = 0;

  return answer != NULL && !pv_rpc_reply_parse (answer->data, answer->len, &got) && got == code
         && !pv_libvirt_client_is_strange (job->client);
}

/* Killed captures and restores, memory that is still to come: as before any command of pagevault's. */
gboolean
pv_snapshot_job_settle (PvSnapshotJob *job, GError **error)
{
  PvSnapshotCalls *calls = job->calls;
  g_autofree char *mended = NULL;

  return pv_lazy_wait (calls->store, pv_guest_uuid (job->guest), TRUE, NULL, NULL, calls->cancellable, error)
         && pv_capture_recover (calls->store, job->guest, &mended, error);
}

/* @xml: a domain description. */
static gboolean
is_of_guest (PvSnapshotJob *job, GBytes *xml)
{
  g_autofree char *text = g_strndup (g_bytes_get_data (xml, NULL), g_bytes_get_size (xml));
  g_autoptr(PvDomainXml) domain = pv_domain_xml_parse (text, NULL);

  return domain != NULL && g_strcmp0 (pv_domain_xml_uuid (domain), pv_guest_uuid (job->guest)) == 0;
}

/* (transfer full) (nullable): the store's snapshot whose memory libvirt's snapshot @name has: of that guest and that
 * second. */
PvSnapshot *
pv_snapshot_job_find_stored (PvSnapshotJob *job, virDomainSnapshot *libvirt)
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

/* --- jobs -------------------------------------------------------------------------------------------------------- */

static GByteArray *
answer_call (PvSnapshotJob *job)
{
  switch (job->call->head.procedure)
    {
    case PV_RPC_SNAPSHOT_CREATE_XML:
      return pv_snapshot_job_create (job);
    case PV_RPC_SNAPSHOT_REVERT:
      return pv_snapshot_job_revert (job);
    default:
      return pv_snapshot_job_delete (job);
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
job_free (PvSnapshotJob *job)
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
  PvSnapshotJob *job = data;
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
  PvSnapshotJob *job;

  if (call == NULL || !is_for_us (call) || !enter (self))
    return FALSE;
  job = g_new0 (PvSnapshotJob, 1);
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
