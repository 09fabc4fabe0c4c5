/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of PvMount share. */
#pragma once

#include "pool/mount.h"

#define FUSE_USE_VERSION FUSE_MAKE_VERSION (3, 12)
#include <fuse.h>

G_BEGIN_DECLS

struct _PvMount
{
  PvStore *store;            /* (owned) */
  const PvMountFiles *files; /* (not owned) (nullable) */
  gpointer files_data;       /* (not owned) */
  struct fuse *fuse;         /* (owned) */
  gboolean mounted;
  GMutex lock;
  GHashTable *owners;        /* (owned): path -> PvMountOwner, under lock */
  GPtrArray *open_disks;     /* (owned) (element-type utf8): DOMAIN@NAME of each open disk, under lock */
};

/* Who may read a file, since somebody has said so. */
typedef struct
{
  uid_t uid;
  gid_t gid;
  mode_t mode;
} PvMountOwner;

extern const struct fuse_operations pv_mount_operations;

G_END_DECLS
