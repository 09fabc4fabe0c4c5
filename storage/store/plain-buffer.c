/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/plain-buffer.h"

#include <sys/mman.h>

#include "chunk/frame.h"

enum
{
  SMALL = 64 << 10, /* bytes up to which malloc() does as well */
  IDLE_MAX = 32,    /* buffers that are kept: 8 MiB */
};

static GMutex lock;
static guint8 *idle[IDLE_MAX]; /* (owned): under lock */
static guint n_idle;           /* under lock */

guint8 *
pv_plain_buffer_take (gsize size)
{
  guint8 *buffer = NULL;

  g_return_val_if_fail (size <= PV_FRAME_PLAIN_MAX, NULL);

  if (size <= SMALL)
    return g_malloc (MAX (size, 1));
  g_mutex_lock (&lock);
  if (n_idle > 0)
    buffer = idle[--n_idle];
  g_mutex_unlock (&lock);
  if (buffer == NULL)
    buffer = mmap (NULL, PV_FRAME_PLAIN_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (buffer == MAP_FAILED)
    g_error ("no memory for a frame of %" G_GSIZE_FORMAT " bytes", size); /* as g_malloc() */
  return buffer;
}

void
pv_plain_buffer_give (guint8 *buffer, gsize size)
{
  gboolean kept;

  if (buffer == NULL || size <= SMALL)
    {
      g_free (buffer);
      return;
    }
  g_mutex_lock (&lock);
  kept = n_idle < IDLE_MAX;
  if (kept)
    idle[n_idle++] = buffer;
  g_mutex_unlock (&lock);
  if (!kept)
    munmap (buffer, PV_FRAME_PLAIN_MAX);
}
