/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How a mount is, asked without hanging together with whoever serves it. */
#include "config.h"

#include "pool/mount.h"

#include <errno.h>
#include <sys/statfs.h>

/* Shared by who asks and the thread that waits: the last one frees it. */
typedef struct
{
  GMutex lock;
  GCond answered;
  char *directory; /* (owned) */
  gboolean done;
  PvMountState state;
} Question;

static void
question_clear (gpointer data)
{
  Question *self = data;

  g_mutex_clear (&self->lock);
  g_cond_clear (&self->answered);
  g_free (self->directory);
}

static PvMountState
ask (const char *directory)
{
  struct statfs status;

  if (statfs (directory, &status) != 0)
    return errno == ENOTCONN ? PV_MOUNT_DEAD : PV_MOUNT_NONE;
  return pv_mount_is_there (directory) ? PV_MOUNT_SERVED : PV_MOUNT_NONE;
}

static gpointer
run (gpointer data)
{
  Question *self = data;
  PvMountState state = ask (self->directory);

  g_mutex_lock (&self->lock);
  self->state = state;
  self->done = TRUE;
  g_cond_signal (&self->answered);
  g_mutex_unlock (&self->lock);
  g_atomic_rc_box_release_full (self, question_clear);
  return NULL;
}

PvMountState
pv_mount_state (const char *directory, guint timeout_ms)
{
  Question *self = g_atomic_rc_box_new0 (Question);
  gint64 deadline = g_get_monotonic_time () + timeout_ms * G_GINT64_CONSTANT (1000);
  PvMountState state;

  g_mutex_init (&self->lock);
  g_cond_init (&self->answered);
  self->directory = g_strdup (directory);
  g_thread_unref (g_thread_new ("mount-state", run, g_atomic_rc_box_acquire (self)));
  g_mutex_lock (&self->lock);
  while (!self->done && g_cond_wait_until (&self->answered, &self->lock, deadline))
    ;
  state = self->done ? self->state : PV_MOUNT_SILENT;
  g_mutex_unlock (&self->lock);
  g_atomic_rc_box_release_full (self, question_clear);
  return state;
}
