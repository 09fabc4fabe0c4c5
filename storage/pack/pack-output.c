/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pack/pack-output.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "util/error.h"
#include "util/fault.h"
#include "util/file.h"

#define ALIGNMENT 4096u /* of memory, offsets and sizes: enough for the disks that there are */

typedef struct
{
  gsize used;
  guint8 *bytes; /* (owned): PV_PACK_OUTPUT_BLOCK, aligned */
} Block;

struct _PvPackOutput
{
  int fd; /* (not owned) */
  char *path;
  gboolean direct; /* O_DIRECT is set; the writing thread's, and the caller's when there is none */
  Block *filling;  /* (nullable) (owned): the caller's */
  GThread *thread; /* (nullable): from the first full block on */
  GMutex lock;
  GCond changed;   /* a block came, or was written */
  GQueue waiting;  /* of Block, oldest first; under lock */
  GQueue spare;    /* of Block; under lock */
  guint n_ahead;   /* blocks handed over and not written; under lock */
  gboolean ending; /* no more blocks; under lock */
  GError *error;   /* the first; under lock */
};

static void
block_free (gpointer data)
{
  Block *block = data;

  g_aligned_free (block->bytes);
  g_free (block);
}

static Block *
block_new (void)
{
  Block *block = g_new0 (Block, 1);

  block->bytes = g_aligned_alloc (1, PV_PACK_OUTPUT_BLOCK, ALIGNMENT);
  return block;
}

PvPackOutput *
pv_pack_output_new (int fd, const char *path)
{
  PvPackOutput *self = g_new0 (PvPackOutput, 1);

  self->fd = fd;
  self->path = g_strdup (path);
  g_mutex_init (&self->lock);
  g_cond_init (&self->changed);
  g_queue_init (&self->waiting);
  g_queue_init (&self->spare);
  return self;
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

static void
set_direct (PvPackOutput *self, gboolean direct)
{
  int flags = fcntl (self->fd, F_GETFL);

  if (flags < 0)
    return;
  flags = direct ? flags | O_DIRECT : flags & ~O_DIRECT;
  if (fcntl (self->fd, F_SETFL, flags) == 0)
    self->direct = direct;
}

static gboolean
write_bytes (PvPackOutput *self, const guint8 *bytes, gsize size, GError **error)
{
  if (!pv_fault ("file.write", error))
    {
      g_prefix_error (error, "cannot write '%s': ", self->path);
      return FALSE;
    }
  while (size > 0)
    {
      ssize_t n = write (self->fd, bytes, size);

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0 && errno == EINVAL && self->direct)
        {
          set_direct (self, FALSE); /* this disk wants a larger alignment, or the last write was a short one */
          continue;
        }
      if (n < 0)
        return pv_throw_errno (error, errno, "cannot write '%s'", self->path);
      bytes += n;
      size -= (gsize) n;
    }
  return TRUE;
}

/* The last block may have any size. */
static gboolean
write_block (PvPackOutput *self, const Block *block, GError **error)
{
  gsize whole = block->used - block->used % ALIGNMENT;

  if (!self->direct || block->used == whole)
    return write_bytes (self, block->bytes, block->used, error);
  if (whole > 0 && !write_bytes (self, block->bytes, whole, error))
    return FALSE;
  set_direct (self, FALSE);
  return write_bytes (self, block->bytes + whole, block->used - whole, error);
}

static gpointer
write_all (gpointer data)
{
  PvPackOutput *self = data;
  gboolean ok = TRUE;

  g_mutex_lock (&self->lock);
  for (;;)
    {
      GError *error = NULL;
      Block *block;

      while (g_queue_is_empty (&self->waiting) && !self->ending)
        g_cond_wait (&self->changed, &self->lock);
      block = g_queue_pop_head (&self->waiting);
      if (block == NULL)
        break;
      g_mutex_unlock (&self->lock);
      ok = ok && write_block (self, block, &error);
      g_mutex_lock (&self->lock);
      block->used = 0;
      g_queue_push_head (&self->spare, block);
      self->n_ahead--;
      if (error != NULL)
        self->error = error; /* the first: after it nothing is written */
      g_cond_broadcast (&self->changed);
    }
  g_mutex_unlock (&self->lock);
  return NULL;
}

/* --- the caller's side -------------------------------------------------------------------------------------------- */

/* Under lock. */
static gboolean
check_error (PvPackOutput *self, GError **error)
{
  if (self->error == NULL)
    return TRUE;
  g_propagate_error (error, g_error_copy (self->error));
  return FALSE;
}

static gboolean
start (PvPackOutput *self, GError **error)
{
  g_autoptr(GError) why = NULL;

  set_direct (self, TRUE);
  self->thread = g_thread_try_new ("pack-output", write_all, self, &why);
  return self->thread != NULL || pv_throw (error, PV_ERROR_FAILED, "cannot start a thread: %s", why->message);
}

/* Gives the block that was filled to the thread, and finds another one. */
static gboolean
hand_over (PvPackOutput *self, GError **error)
{
  g_autoptr(GMutexLocker) locker = NULL;

  if (self->thread == NULL && !start (self, error))
    return FALSE;
  locker = g_mutex_locker_new (&self->lock);
  g_queue_push_tail (&self->waiting, g_steal_pointer (&self->filling));
  self->n_ahead++;
  g_cond_broadcast (&self->changed);
  while (self->n_ahead >= PV_PACK_OUTPUT_AHEAD && self->error == NULL)
    g_cond_wait (&self->changed, &self->lock);
  self->filling = g_queue_pop_head (&self->spare);
  return check_error (self, error);
}

gboolean
pv_pack_output_append (PvPackOutput *self, const guint8 *data, gsize size, GError **error)
{
  while (size > 0)
    {
      gsize n;

      if (self->filling == NULL)
        self->filling = block_new ();
      n = MIN (size, PV_PACK_OUTPUT_BLOCK - self->filling->used);
      memcpy (self->filling->bytes + self->filling->used, data, n);
      self->filling->used += n;
      data += n;
      size -= n;
      if (self->filling->used == PV_PACK_OUTPUT_BLOCK && !hand_over (self, error))
        return FALSE;
    }
  return TRUE;
}

static void
join (PvPackOutput *self)
{
  if (self->thread == NULL)
    return;
  g_mutex_lock (&self->lock);
  self->ending = TRUE;
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
  g_thread_join (g_steal_pointer (&self->thread));
}

gboolean
pv_pack_output_finish (PvPackOutput *self, GError **error)
{
  g_autoptr(GMutexLocker) locker = NULL;

  join (self);
  locker = g_mutex_locker_new (&self->lock);
  return check_error (self, error)
         && (self->filling == NULL || self->filling->used == 0 || write_block (self, self->filling, error));
}

void
pv_pack_output_free (PvPackOutput *self)
{
  if (self == NULL)
    return;
  g_mutex_lock (&self->lock);
  self->n_ahead -= g_queue_get_length (&self->waiting);
  g_queue_clear_full (&self->waiting, block_free);
  g_mutex_unlock (&self->lock);
  join (self);
  if (self->filling != NULL)
    block_free (self->filling);
  g_queue_clear_full (&self->spare, block_free);
  g_clear_error (&self->error);
  g_cond_clear (&self->changed);
  g_mutex_clear (&self->lock);
  g_free (self->path);
  g_free (self);
}
