/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvMountFiles: files of a mount that are not disks of snapshots, brought along by whoever mounts: what pagevaultd
 * adds to the pool. The mount asks it first for every name.
 *
 * Every function is called by many threads at once, and returns 0 (read and write: a number of bytes) or a negative
 * errno; -ENOENT of stat() and open() means that the name is not one of its own. Owners, modes and times are the
 * mount's business. @data is what pv_mount_new_with_files() got; @file is what open() or create() gave.
 */
#pragma once

#include <glib.h>
#include <sys/types.h>

G_BEGIN_DECLS

typedef struct
{
  guint64 size; /* bytes */
  gint64 time;  /* microseconds since 1970; another one when the content is another one */
  mode_t mode;  /* 0400, 0600 */
} PvMountStat;

typedef struct
{
  /* Appends the names (transfer full). */
  int (*list) (gpointer data, GPtrArray *names);
  int (*stat) (gpointer data, const char *name, PvMountStat *stat);
  /* @flags: as for open(2). @direct: (out): the content may change while the file is open: nothing of it is cached. */
  int (*open) (gpointer data, const char *name, int flags, gpointer *file, gboolean *direct);
  /* A new file, open for writing; -EPERM when the name cannot be one. */
  int (*create) (gpointer data, const char *name, gpointer *file);
  int (*read) (gpointer file, guint8 *buffer, gsize size, guint64 offset);
  int (*write) (gpointer file, const guint8 *buffer, gsize size, guint64 offset);
  int (*truncate) (gpointer data, const char *name, guint64 size);
  int (*sync) (gpointer file);
  /* A descriptor of it was closed; there may be more. What fails is told to close(2). */
  int (*flush) (gpointer file);
  void (*release) (gpointer file);
  /* For every name, disks too. */
  int (*remove) (gpointer data, const char *name);
} PvMountFiles;

G_END_DECLS
