/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "daemon/daemon.h"

#include "daemon/hook-service.h"
#include "daemon/libvirt-socket.h"
#include "daemon/policy-service.h"
#include "daemon/pool-service.h"
#include "daemon/snapshot-calls.h"
#include "pool/mount.h"
#include "util/error.h"
#include "util/file.h"
#include "virt/mount-revive.h"

struct _PvDaemon
{
  PvStore *store;      /* (owned) */
  PvPoolService *pool; /* (owned) */
  PvMount *mount;      /* (owned) */
  PvFreshDisks *disks; /* (owned) */
  PvHookService *hook; /* (owned) */
  PvLibvirtLink *link; /* (owned) */
  PvSnapshotCalls *calls; /* (owned) */
  PvLibvirtSocket *socket; /* (owned) (nullable) */
  PvPolicyService *policies; /* (owned) (nullable) */
  char *pool_directory; /* (owned) */
  GMainLoop *loop;     /* (owned) */
  GThread *thread;     /* (owned): runs the loop */
};

static gpointer
run_loop (gpointer data)
{
  g_main_loop_run (data);
  return NULL;
}

/* Who has been killed may have left his mount. */
static gboolean
mount_pool (PvDaemon *self, const char *directory, GError **error)
{
  pv_mount_clear_dead (directory);
  if (pv_mount_is_there (directory))
    return pv_throw (error, PV_ERROR_EXISTS, "'%s' is served already: is another pagevaultd running?", directory);
  if (!pv_mkdirs (directory, 0711, error))
    return FALSE;
  self->mount = pv_mount_new_with_files (self->store, directory, &pv_pool_service_files, self->pool, error);
  return self->mount != NULL;
}

/* Guests that lost their disks when a pagevaultd was killed, or made way for this one. */
static void
on_libvirt (PvConnection *connection, gpointer data)
{
  PvDaemon *self = data;
  g_autoptr(GPtrArray) said = pv_mount_revive (connection, self->pool_directory);

  for (guint i = 0; i < said->len; i++)
    g_message ("%s", (const char *) said->pdata[i]);
}

PvDaemon *
pv_daemon_new (const PvDaemonOptions *options, GError **error)
{
  g_autoptr(PvDaemon) self = g_new0 (PvDaemon, 1);

  self->loop = g_main_loop_new (NULL, FALSE);
  self->store = pv_store_open (options->store_directory, PV_STORE_OPEN_CREATE, error);
  if (self->store == NULL)
    return NULL;
  self->disks = pv_fresh_disks_new (self->store, options->pool_directory, options->disks_directory);
  self->pool_directory = g_strdup (options->pool_directory);
  self->link = pv_libvirt_link_new (on_libvirt, self);
  self->pool = pv_pool_service_new (self->store, self->disks, self->link);
  if (!mount_pool (self, options->pool_directory, error))
    return NULL;
  pv_libvirt_link_start (self->link);
  pv_pool_service_set_mount (self->pool, self->mount);
  self->hook = pv_hook_service_new (options->hook_socket, self->disks, self->pool, error);
  if (self->hook == NULL)
    return NULL;
  self->calls = pv_snapshot_calls_new (self->store, self->link, self->pool, options->pool_directory,
                                       options->disks_directory);
  if (options->libvirt_socket != NULL
      && (self->socket = pv_libvirt_socket_new (options->libvirt_socket, pv_snapshot_calls_take, self->calls, error))
             == NULL)
    return NULL;
  self->thread = g_thread_new ("services", run_loop, self->loop);
  self->policies = pv_policy_service_new (options->store_directory, options->passphrase_file, options->secret_uuid,
                                          self->link);
  return g_steal_pointer (&self);
}

static gboolean
quit_loop (gpointer data)
{
  g_main_loop_quit (data);
  return G_SOURCE_REMOVE;
}

void
pv_daemon_free (PvDaemon *self)
{
  if (self->calls != NULL)
    pv_snapshot_calls_cancel (self->calls);
  if (self->thread != NULL)
    {
      g_idle_add (quit_loop, self->loop); /* by the loop itself: it may not have begun to run */
      g_thread_join (self->thread);
    }
  g_clear_pointer (&self->mount, pv_mount_free); /* first: whoever waits for a file of it need not any more */
  g_clear_pointer (&self->policies, pv_policy_service_free);
  g_clear_pointer (&self->socket, pv_libvirt_socket_free);
  g_clear_pointer (&self->calls, pv_snapshot_calls_free); /* what clients have begun needs what comes below */
  g_clear_pointer (&self->hook, pv_hook_service_free);
  g_clear_pointer (&self->pool, pv_pool_service_free);
  g_clear_pointer (&self->link, pv_libvirt_link_free);
  g_clear_pointer (&self->disks, pv_fresh_disks_free);
  g_clear_pointer (&self->store, pv_store_unref);
  g_free (self->pool_directory);
  g_clear_pointer (&self->loop, g_main_loop_unref);
  g_free (self);
}

void
pv_daemon_wait_libvirt (PvDaemon *self)
{
  pv_libvirt_link_wait (self->link);
}

gboolean
pv_daemon_run (PvDaemon *self, GError **error)
{
  return pv_mount_run (self->mount, error);
}
