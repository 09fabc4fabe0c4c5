/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a transport of PvRemote is: a table of functions, and a structure that begins with a PvRemote.
 *
 * remote.c has checked the arguments before it calls: keys are valid, sizes are within their limits, and @length is
 * not 0. The contracts are those of remote.h. @progress may be NULL. */
#pragma once

#include "remote/rate-limit.h"
#include "remote/remote.h"

G_BEGIN_DECLS

typedef struct
{
  gboolean (*put) (PvRemote *self, const char *key, GBytes *bytes, PvRemotePutFlags flags, GCancellable *cancellable,
                   GError **error);
  gboolean (*put_file) (PvRemote *self, const char *key, int fd, guint64 size, GCancellable *cancellable,
                        PvRemoteProgress progress, gpointer data, GError **error);
  GBytes *(*get) (PvRemote *self, const char *key, guint64 offset, gsize length, GCancellable *cancellable,
                  GError **error);
  GBytes *(*get_all) (PvRemote *self, const char *key, gsize max_size, GCancellable *cancellable, GError **error);
  gboolean (*get_file) (PvRemote *self, const char *key, int fd, guint64 size, GCancellable *cancellable,
                        PvRemoteProgress progress, gpointer data, GError **error);
  gboolean (*stat) (PvRemote *self, const char *key, guint64 *size, GCancellable *cancellable, GError **error);
  gboolean (*delete) (PvRemote *self, const char *key, GCancellable *cancellable, GError **error);
  gboolean (*list) (PvRemote *self, const char *prefix, const char *after, PvRemoteVisit visit, gpointer data,
                    GCancellable *cancellable, GError **error);
  gboolean (*sweep) (PvRemote *self, guint64 age, guint64 *n_removed, GCancellable *cancellable, GError **error);
  void (*free) (PvRemote *self);
} PvRemoteOps;

struct _PvRemote
{
  const PvRemoteOps *ops; /* (not owned) */
  gatomicrefcount refs;
  char *url;              /* (owned) */
  PvRateLimit *limit;     /* (owned) */
};

/* @path: what follows file:// in the URL. */
PvRemote *pv_remote_file_open (const char *path, GError **error);

/* @location: what follows s3://; @limit: (not owned): the one that the PvRemote will have. */
PvRemote *pv_remote_s3_open (const char *location, const PvRemoteOptions *options, PvRateLimit *limit, GError **error);

/* FALSE with PV_ERROR_CANCELLED when @cancellable: (nullable) is cancelled. */
gboolean pv_remote_go_on (GCancellable *cancellable, GError **error);

G_END_DECLS
