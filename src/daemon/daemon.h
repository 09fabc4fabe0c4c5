/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvDaemon: all services of pagevaultd over one store. Each service is a file of its own, made here, in this order:
 *
 *   pool-service   the pool's files: memory images (and, through pool/mount.h, disks)
 *   libvirt-link   a connection for those services that may call libvirt
 *   hook-service   answers libvirt's hook
 *   libvirt-socket a socket that libvirt's clients take for libvirtd's
 *   policy-service runs the policies of guests
 *
 * new (the pool is there) -> run (until a signal, or it is unmounted) -> free (unmounts). Services that need an event
 * loop have that of the default main context, which a thread of the daemon runs; a service that must not block others
 * brings its own threads.
 */
#pragma once

#include "store/store.h"

G_BEGIN_DECLS

typedef struct
{
  const char *store_directory; /* made when it is missing */
  const char *pool_directory;  /* likewise */
  const char *disks_directory; /* (nullable): where disks of restored guests go; beside their own */
  const char *hook_socket;
  const char *libvirt_socket; /* (nullable): none */
  const char *passphrase_file; /* (nullable): what opens the store, for commands that are run */
  const char *secret_uuid;     /* (nullable): likewise */
} PvDaemonOptions;

typedef struct _PvDaemon PvDaemon;

PvDaemon *pv_daemon_new (const PvDaemonOptions *options, GError **error);
void pv_daemon_free (PvDaemon *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvDaemon, pv_daemon_free)

/* Gives libvirt a moment to answer. Not for a daemon that libvirtd's start waits for. */
void pv_daemon_wait_libvirt (PvDaemon *self);

/* Serves. SIGINT, SIGTERM and SIGHUP end it. */
gboolean pv_daemon_run (PvDaemon *self, GError **error);

G_END_DECLS
