/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvLeftover: the captures of this machine whose journals are there: at work, or killed together with their guardians
 * and waiting for pv_capture_recover(). For whoever only looks: nothing is changed.
 *
 * One thread.
 */
#pragma once

#include "capture/journal.h"

G_BEGIN_DECLS

typedef struct
{
  char *uuid;       /* (owned): of the guest */
  char *domain;     /* (owned) (nullable): its name, when the journal tells */
  char *path;       /* (owned): the journal, or its copy in the store when the machine was started anew since */
  gboolean at_work; /* the capture, its guardian or whoever mends is at it */
  gboolean reboot;  /* the machine was started anew since: only overlays are left of it */
  GError *error;    /* (owned) (nullable): why the journal cannot be read */
} PvLeftover;

/* (element-type PvLeftover) (transfer full): by UUID. Those of this user, in whichever store; after a start of the
 * machine those of the store at @store_directory, which may be missing. */
GPtrArray *pv_leftover_list (const char *store_directory);
void pv_leftover_free (PvLeftover *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvLeftover, pv_leftover_free)

G_END_DECLS
