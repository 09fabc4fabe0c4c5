/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvHookService: answers libvirt's hook (xml/hook-message.h) on a socket that only root can reach.
 *
 * libvirtd waits while the hook asks. So nothing that answers calls libvirt, or waits for somebody who does; each
 * question has a thread of its own, of a bounded number. A question that nobody waits for any more is undone.
 */
#pragma once

#include "daemon/fresh-disks.h"
#include "daemon/pool-service.h"

G_BEGIN_DECLS

typedef struct _PvHookService PvHookService;

/* @socket_path: made anew (named-socket.h). @disks and @pool outlive it. Needs the default main context to run. */
PvHookService *pv_hook_service_new (const char *socket_path, PvFreshDisks *disks, PvPoolService *pool, GError **error);
/* Takes the socket away. What is being answered is answered first. */
void pv_hook_service_free (PvHookService *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvHookService, pv_hook_service_free)

G_END_DECLS
