/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What pool-service.c (life, who needs a snapshot) and pool-files.c (what the mount asks) share. */
#pragma once

#include "daemon/incoming.h"
#include "daemon/pool-service.h"

G_BEGIN_DECLS

struct _PvPoolService
{
  PvStore *store;          /* (owned) */
  PvFreshDisks *disks;     /* (not owned) */
  PvLibvirtLink *link;     /* (not owned) */
  PvMount *mount;          /* (not owned) */
  PvServedImages *images;  /* (owned) */
  guint sweep;             /* source id */
  GMutex lock;
  GHashTable *readers;     /* (owned) (element-type PvPoolFile): open images, under lock */
  GHashTable *incoming;    /* (owned): name -> PvIncoming, under lock */
};

/* An open file: read, or written. */
typedef struct
{
  PvIncoming *incoming;  /* (owned) (nullable) */
  PvMemoryView *view;    /* (owned) */
  PvStorePin *pin;       /* (owned) */
  PvSnapshot *snapshot;  /* (owned) */
  PvPoolService *pool;   /* (not owned) */
  char *name;            /* (owned): for messages */
} PvPoolFile;

/* FALSE, with a sentence, when somebody needs the snapshot @full. @managed: libvirt removes a managed save as soon as
 * its guest runs. The file may not be closed yet, and that is fine: who reads it goes on reading. */
gboolean pv_pool_service_check_name_unused (PvPoolService *self, const char *full, gboolean managed, GError **error);

G_END_DECLS
