/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* virDomainSnapshotDelete() of snapshots that the store has: libvirtd deletes them, then they go from the store. */
#include "config.h"

#include "daemon/snapshot-calls-private.h"
#include "restore/lazy-restore.h"
#include "util/error.h"

static void
add_stored (PvSnapshotJob *job, virDomainSnapshot *libvirt, GPtrArray *stored)
{
  PvSnapshot *found = pv_snapshot_job_find_stored (job, libvirt);

  if (found != NULL)
    g_ptr_array_add (stored, found);
}

/* (transfer full) (element-type PvSnapshot): what the call would delete. */
static GPtrArray *
list_stored (PvSnapshotJob *job)
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
for_pool (PvSnapshotJob *job, GPtrArray *stored, gboolean (*func) (PvPoolService *, PvSnapshot *, GError **),
          GError **error)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&job->calls->pool_lock);

  if (g_cancellable_is_cancelled (job->calls->cancellable))
    return pv_throw (error, PV_ERROR_CANCELLED, "pagevaultd ends");
  for (guint i = 0; i < stored->len; i++)
    if (!func (job->calls->pool, stored->pdata[i], error))
      return FALSE;
  return TRUE;
}

GByteArray *
pv_snapshot_job_delete (PvSnapshotJob *job)
{
  g_autoptr(GPtrArray) stored = list_stored (job);
  g_autoptr(GError) error = NULL;
  GByteArray *answer;
  gint32 code;

  if (stored->len == 0)
    return NULL;
  /* who has just reverted to it waits until the memory is there, as libvirt's own revert would have done */
  if (!pv_lazy_wait (job->calls->store, pv_guest_uuid (job->guest), TRUE, NULL, NULL, job->calls->cancellable, &error)
      || !for_pool (job, stored, pv_pool_service_check_unused, &error))
    return pv_snapshot_job_refuse (job, "a deletion", error);
  answer = pv_libvirt_client_ask (job->client, job->message);
  if (answer == NULL)
    return g_byte_array_new (); /* nobody hears it */
  if (pv_rpc_reply_parse (answer->data, answer->len, &code) && !pv_libvirt_client_is_strange (job->client)
      && !for_pool (job, stored, pv_pool_service_delete, &error))
    g_warning ("the libvirt socket: guest %s: %s", job->call->domain.name, error->message);
  return answer;
}
