/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The order of bytes: the queue of blocks in memory is always older than what is in the spill file, because nothing
 * is added to the queue while the file holds anything, and the consumer empties the queue first.
 */
#include "config.h"

#include "capture/drain.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "capture/spill.h"
#include "util/bytesize.h"
#include "util/error.h"
#include "util/fault.h"
#include "util/file.h"

enum
{
  BLOCK_SIZE = 256 << 10,    /* bytes */
  NAP_MIN = 100,             /* microseconds: less is no nap */
  NAP_MAX = 1000,
  NAP_RATE = 4 << 10,        /* bytes of the pipe for a microsecond of nap: QEMU sends a quarter of that */
};

typedef struct
{
  gsize used;
  guint8 bytes[BLOCK_SIZE];
} Block;

struct _PvDrain
{
  PvFd fd;   /* the reader's */
  PvFd wake; /* eventfd: the reader is wanted */
  PvDrainOptions options;
  GThread *reader, *consumer;
  PvSpill *spill;      /* (owned) (nullable) */
  Block *staging;      /* (owned): the reader's, on the way into the spill file */
  guint max_blocks;
  guint nap;           /* microseconds in which what comes fits well into the pipe; 0: none */
  GMutex lock;
  GCond came;          /* for the consumer: bytes, or the end */
  GCond room;          /* for the reader: a spare block */
  GCond over;          /* for who waits from outside: done, or failed */
  gboolean hungry;     /* the consumer waits; under lock */
  gboolean stuck;      /* the reader waits for room; under lock */
  GQueue waiting;      /* of Block, oldest first; under lock */
  GQueue spare;        /* of Block; under lock */
  guint n_blocks;      /* allocated, staging apart; under lock */
  gboolean ended;      /* the reader has seen the end, and all it read is queued; under lock */
  gboolean stopping;   /* close our end; under lock */
  gboolean done;       /* the consumer is through; under lock */
  GError *error;       /* the first one; under lock */
  guint64 received;    /* bytes; under lock */
};

static void
wake_reader (PvDrain *self)
{
  guint64 one = 1;

  if (write (self->wake, &one, sizeof one) < 0)
    g_debug ("cannot wake the reader: %s", g_strerror (errno));
}

/* Under lock: whoever waits looks again. */
static void
wake_all (PvDrain *self)
{
  g_cond_broadcast (&self->came);
  g_cond_broadcast (&self->room);
  g_cond_broadcast (&self->over);
}

/* Under lock: there are bytes for the consumer. A wake-up that nobody needs costs both sides dearly. */
static void
wake_consumer (PvDrain *self)
{
  if (self->hungry)
    g_cond_signal (&self->came);
}

/* Takes @error over. From now on nothing is handed on. */
static void
fail (PvDrain *self, GError *error)
{
  g_mutex_lock (&self->lock);
  if (self->error == NULL)
    self->error = g_steal_pointer (&error);
  self->stopping |= !self->options.to_the_end;
  wake_all (self);
  g_mutex_unlock (&self->lock);
  g_clear_error (&error);
  wake_reader (self);
}

static gboolean
is_over_locked (PvDrain *self)
{
  return self->stopping || self->error != NULL;
}

static void
beat (PvDrain *self)
{
  if (self->options.beat != NULL)
    self->options.beat (self->options.beat_data);
}

/* --- reader --- */

static gboolean
throw_overrun (PvDrain *self, GError **error)
{
  g_autofree char *size = pv_bytesize_format (self->options.buffer);

  return pv_throw (error, PV_ERROR_FAILED,
                   "the memory stream came faster than it could be stored and the buffer of %s is full: give a larger "
                   "--buffer, or "
                   "--on-overrun spill or throttle",
                   size);
}

/* (nullable): a block to read into: a spare one, a new one, the staging block, or, throttling, the first that the
 * consumer gives back. NULL: stopping, or @error. Called and left with the lock held. */
static Block *
take_block_locked (PvDrain *self, GError **error)
{
  for (guint waited_ms = 0; !is_over_locked (self); waited_ms += PV_DRAIN_BEAT_MS)
    {
      Block *block = g_queue_pop_head (&self->spare);

      if (block == NULL && self->n_blocks < self->max_blocks)
        {
          block = g_new (Block, 1);
          self->n_blocks++;
        }
      if (block == NULL && self->options.on_overrun == PV_OVERRUN_SPILL)
        block = self->staging;
      if (block != NULL)
        {
          block->used = 0;
          return block;
        }
      if (self->options.on_overrun == PV_OVERRUN_FAIL)
        {
          throw_overrun (self, error);
          return NULL;
        }
      self->stuck = TRUE;
      g_cond_wait_until (&self->room, &self->lock, g_get_monotonic_time () + PV_DRAIN_BEAT_MS * 1000);
      self->stuck = FALSE;
      if (waited_ms < PV_DRAIN_STUCK_MS)
        beat (self);
    }
  return NULL;
}

/* Queues the bytes of @block: emptied into another place, it stays the reader's; else it belongs to the queue and is
 * NULL. */
static gboolean
queue_block (PvDrain *self, Block **block, GError **error)
{
  g_autoptr(GMutexLocker) locker = NULL;
  Block *last;

  if ((*block)->used == 0)
    return TRUE;
  if (*block == self->staging || (self->spill != NULL && pv_spill_size (self->spill) > 0))
    {
      if (!pv_spill_push (self->spill, (*block)->bytes, (*block)->used, error))
        return FALSE;
      (*block)->used = 0;
      locker = g_mutex_locker_new (&self->lock);
      wake_consumer (self);
      return TRUE;
    }
  locker = g_mutex_locker_new (&self->lock);
  last = g_queue_peek_tail (&self->waiting);
  if (last != NULL && last->used + (*block)->used <= BLOCK_SIZE)
    {
      memcpy (last->bytes + last->used, (*block)->bytes, (*block)->used);
      last->used += (*block)->used;
      (*block)->used = 0;
    }
  else
    g_queue_push_tail (&self->waiting, g_steal_pointer (block));
  wake_consumer (self);
  return TRUE;
}

typedef enum
{
  READ_BYTES,
  READ_NOTHING, /* none there now */
  READ_END,
  READ_ERROR,
} ReadResult;

/* Waits only when the block is empty: bytes that are here are worth more to the consumer than a fuller block. */
static ReadResult
read_some (PvDrain *self, Block *block, GError **error)
{
  struct pollfd fds[2] = { { .fd = self->fd, .events = POLLIN }, { .fd = self->wake, .events = POLLIN } };
  guint64 count;
  ssize_t n;

  if (poll (fds, 2, block->used == 0 ? PV_DRAIN_BEAT_MS : 0) <= 0)
    return READ_NOTHING;
  if (fds[1].revents != 0 && read (self->wake, &count, sizeof count) < 0)
    return READ_NOTHING;
  if (fds[0].revents == 0)
    return READ_NOTHING;
  n = read (self->fd, block->bytes + block->used, BLOCK_SIZE - block->used);
  if (n < 0 && (errno == EINTR || errno == EAGAIN))
    return READ_NOTHING;
  if (n < 0)
    {
      pv_throw_errno (error, errno, "cannot read the memory stream");
      return READ_ERROR;
    }
  if (n == 0)
    return READ_END;
  block->used += (gsize) n;
  return READ_BYTES;
}

/* TRUE: go on. @idle: (out): the consumer has nothing to do. */
static gboolean
account (PvDrain *self, gsize n, gboolean *idle)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  self->received += n;
  *idle = g_queue_is_empty (&self->waiting);
  return !is_over_locked (self);
}

/* QEMU sends a few pages at a time. When the pipe is large, it is worth while to let some come together: neither side
 * is woken up for each of them. */
static void
nap (PvDrain *self)
{
  struct pollfd wake = { .fd = self->wake, .events = POLLIN };
  struct timespec time = { .tv_nsec = (long) self->nap * 1000 };

  if (self->nap > 0)
    (void) ppoll (&wake, 1, &time, NULL);
}

static guint
nap_for_pipe (int fd)
{
  int size = fcntl (fd, F_GETPIPE_SZ); /* fails for a socket */

  return size / NAP_RATE < NAP_MIN ? 0 : MIN (size / NAP_RATE, NAP_MAX);
}

static gboolean
read_all (PvDrain *self, Block **block, GError **error)
{
  for (;;)
    {
      gsize before;
      gboolean idle, filled;
      ReadResult result;

      if (*block == NULL)
        {
          g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);

          *block = take_block_locked (self, error);
          if (*block == NULL)
            return is_over_locked (self);
        }
      before = (*block)->used;
      if (!pv_fault ("capture.drain.read", error))
        return FALSE;
      result = read_some (self, *block, error);
      filled = (*block)->used == BLOCK_SIZE;
      beat (self);
      if (result == READ_ERROR)
        return FALSE;
      if (!account (self, (*block)->used - before, &idle))
        return TRUE;
      if ((result != READ_BYTES || idle || filled) && !queue_block (self, block, error))
        return FALSE;
      /* back to memory as soon as the file is empty */
      if (*block != NULL && *block == self->staging && (*block)->used == 0 && pv_spill_size (self->spill) == 0)
        *block = NULL;
      if (result == READ_END)
        return TRUE;
      if (result == READ_BYTES && !filled)
        nap (self);
    }
}

static gboolean
is_wanted (PvDrain *self)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  return self->options.to_the_end && self->error != NULL && !self->stopping;
}

/* Nobody wants the rest, but its sender must get rid of it. */
static void
discard_rest (PvDrain *self)
{
  g_autofree Block *block = g_new (Block, 1);
  ReadResult result = READ_BYTES;

  while ((result == READ_BYTES || result == READ_NOTHING) && is_wanted (self))
    {
      block->used = 0;
      result = read_some (self, block, NULL);
      beat (self);
    }
}

static gpointer
reader_main (gpointer data)
{
  PvDrain *self = data;
  Block *block = NULL;
  GError *error = NULL;

  if (!read_all (self, &block, &error))
    fail (self, error);
  discard_rest (self);
  /* an engine may hold another descriptor of the same socket */
  shutdown (self->fd, SHUT_RDWR);
  pv_fd_clear (&self->fd);
  if (block != self->staging)
    g_free (block);
  g_mutex_lock (&self->lock);
  self->ended = TRUE;
  wake_all (self);
  g_mutex_unlock (&self->lock);
  return NULL;
}

/* --- consumer --- */

static gboolean
hand_on (PvDrain *self, const guint8 *bytes, gsize n, GError **error)
{
  return pv_fault ("capture.drain.sink", error) && self->options.sink (bytes, n, self->options.data, error);
}

/* The next bytes: from the queue, else from the file. @more FALSE: that was all, or stopping. */
static gboolean
consume (PvDrain *self, Block *scratch, gboolean *more, GError **error)
{
  Block *block = NULL;
  gssize n;
  gboolean ok;

  g_mutex_lock (&self->lock);
  while (!is_over_locked (self) && !self->ended && g_queue_is_empty (&self->waiting)
         && (self->spill == NULL || pv_spill_size (self->spill) == 0))
    {
      self->hungry = TRUE;
      g_cond_wait (&self->came, &self->lock);
      self->hungry = FALSE;
    }
  *more = !is_over_locked (self);
  if (*more)
    block = g_queue_pop_head (&self->waiting);
  g_mutex_unlock (&self->lock);
  if (!*more)
    return TRUE;
  if (block != NULL)
    {
      ok = hand_on (self, block->bytes, block->used, error);
      g_mutex_lock (&self->lock);
      g_queue_push_head (&self->spare, block);
      if (self->stuck)
        g_cond_signal (&self->room);
      g_mutex_unlock (&self->lock);
      return ok;
    }
  n = self->spill != NULL ? pv_spill_pop (self->spill, scratch->bytes, BLOCK_SIZE, error) : 0;
  *more = n > 0;
  return n == 0 || (n > 0 && hand_on (self, scratch->bytes, (gsize) n, error));
}

static gpointer
consumer_main (gpointer data)
{
  PvDrain *self = data;
  g_autofree Block *scratch = self->spill != NULL ? g_new (Block, 1) : NULL;
  GError *error = NULL;
  gboolean more = TRUE;

  while (more)
    if (!consume (self, scratch, &more, &error))
      {
        fail (self, error);
        return NULL;
      }
  g_mutex_lock (&self->lock);
  self->done = TRUE;
  wake_all (self);
  g_mutex_unlock (&self->lock);
  return NULL;
}

/* --- from outside --- */

PvDrain *
pv_drain_new (int fd, const PvDrainOptions *options)
{
  PvDrain *self = g_new0 (PvDrain, 1);

  g_return_val_if_fail (options->sink != NULL, NULL);
  self->fd = fd;
  self->wake = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  self->options = *options;
  self->nap = nap_for_pipe (fd);
  self->max_blocks = (guint) CLAMP (options->buffer / BLOCK_SIZE, 1, G_MAXUINT);
  g_mutex_init (&self->lock);
  g_cond_init (&self->came);
  g_cond_init (&self->room);
  g_cond_init (&self->over);
  g_queue_init (&self->waiting);
  g_queue_init (&self->spare);
  if (options->on_overrun == PV_OVERRUN_SPILL)
    {
      self->spill = pv_spill_new (options->spill_directory);
      self->staging = g_new (Block, 1);
    }
  self->reader = g_thread_new ("capture-reader", reader_main, self);
  self->consumer = g_thread_new ("capture-decoder", consumer_main, self);
  return self;
}

void
pv_drain_free (PvDrain *self)
{
  if (self == NULL)
    return;
  pv_drain_stop (self);
  g_thread_join (self->reader);
  g_thread_join (self->consumer);
  g_queue_clear_full (&self->waiting, g_free);
  g_queue_clear_full (&self->spare, g_free);
  g_free (self->staging);
  pv_spill_free (self->spill);
  pv_fd_clear (&self->wake);
  g_clear_error (&self->error);
  g_cond_clear (&self->came);
  g_cond_clear (&self->room);
  g_cond_clear (&self->over);
  g_mutex_clear (&self->lock);
  g_free (self);
}

gboolean
pv_drain_wait (PvDrain *self, guint timeout_ms, gboolean *done, GError **error)
{
  gint64 deadline = g_get_monotonic_time () + (gint64) timeout_ms * 1000;
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  while (!self->done && !is_over_locked (self))
    if (!g_cond_wait_until (&self->over, &self->lock, deadline))
      break;
  *done = FALSE;
  if (self->error != NULL)
    {
      g_propagate_error (error, g_error_copy (self->error));
      return FALSE;
    }
  if (self->stopping)
    return pv_throw (error, PV_ERROR_CANCELLED, "the memory stream was cut off");
  *done = self->done;
  return TRUE;
}

gboolean
pv_drain_at_end (PvDrain *self)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  return self->ended;
}

void
pv_drain_stop (PvDrain *self)
{
  g_mutex_lock (&self->lock);
  self->stopping = TRUE;
  wake_all (self);
  g_mutex_unlock (&self->lock);
  wake_reader (self);
}

void
pv_drain_discard (PvDrain *self)
{
  GError *error = NULL;

  pv_throw (&error, PV_ERROR_CANCELLED, "the memory stream was cut off");
  fail (self, error);
}

guint64
pv_drain_received (PvDrain *self)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  return self->received;
}

guint64
pv_drain_overrun (PvDrain *self)
{
  return self->spill != NULL ? pv_spill_total (self->spill) : 0;
}
