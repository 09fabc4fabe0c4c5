/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "daemon/incoming.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "capture/ram-ingest.h"
#include "daemon/disk-taker.h"
#include "stream/save-image.h"
#include "util/error.h"
#include "util/fault.h"
#include "util/file.h"
#include "virt/attachments.h"

#define MAGIC_COMPLETE "LibvirtQemudSave"
#define MAGIC_SIZE 16u
#define DATA_LENGTH_AT 20u /* of the header: a number in the byte order of the host */

typedef enum
{
  HEAD,     /* header and description are not all there */
  STREAM,   /* what comes is taken in at once */
  SCRATCH,  /* it goes into a file first */
  FINISHED, /* it is a snapshot */
  FAILED,
} State;

struct _PvIncoming
{
  int ref_count;         /* atomic */
  PvStore *store;        /* (owned) */
  PvLibvirtLink *link;   /* (not owned) */
  char *file;            /* (owned) */
  char *domain, *name;   /* (owned) */
  GMutex use_lock;       /* held for a moment only */
  guint n_open;          /* under use_lock */
  gint64 closed_at;      /* g_get_monotonic_time() when the last one closed it; under use_lock */
  guint64 size;          /* bytes; written under lock, read at any time */
  GMutex lock;           /* for all below: one write at a time, however long it takes */
  State state;           /* written under lock; whether it is FINISHED is read at any time */
  int errnum;            /* FAILED: why */
  GByteArray *head;      /* (owned): header and description, as far as they are there */
  gboolean from_start;   /* the header said from the start that the image is finished */
  PvTxn *txn;            /* (owned) (nullable) */
  PvRamIngest *ingest;   /* (owned) (nullable) */
  GByteArray *held;      /* (owned): STREAM: the last write, not taken in: it may be cut yet */
  PvStoreScratch *scratch; /* (owned) (nullable) */
  PvFd fd;               /* SCRATCH: the file */
  PvDiskTaker *taker;    /* (owned) (nullable) */
};

PvIncoming *
pv_incoming_new (PvStore *store, PvLibvirtLink *link, const char *file, const char *domain, const char *name)
{
  PvIncoming *self = g_new0 (PvIncoming, 1);

  self->ref_count = 1;
  self->store = pv_store_ref (store);
  self->link = link;
  self->file = g_strdup (file);
  self->domain = g_strdup (domain);
  self->name = g_strdup (name);
  self->head = g_byte_array_new ();
  self->held = g_byte_array_new ();
  self->fd = PV_FD_NONE;
  self->closed_at = g_get_monotonic_time ();
  g_mutex_init (&self->lock);
  g_mutex_init (&self->use_lock);
  return self;
}

PvIncoming *
pv_incoming_ref (PvIncoming *self)
{
  g_atomic_int_inc (&self->ref_count);
  return self;
}

/* Everything but the snapshot, if there is one. */
static void
drop (PvIncoming *self)
{
  g_clear_pointer (&self->taker, pv_disk_taker_free);
  g_clear_pointer (&self->ingest, pv_ram_ingest_free);
  g_clear_pointer (&self->txn, pv_txn_free);
  pv_fd_clear (&self->fd);
  g_clear_pointer (&self->scratch, pv_store_scratch_free);
  g_byte_array_set_size (self->head, 0);
  g_byte_array_set_size (self->held, 0);
}

void
pv_incoming_unref (PvIncoming *self)
{
  if (!g_atomic_int_dec_and_test (&self->ref_count))
    return;
  if (self->state != FINISHED)
    g_message ("%s: given up, nothing of it is kept", self->file);
  drop (self);
  g_byte_array_unref (self->head);
  g_byte_array_unref (self->held);
  g_mutex_clear (&self->lock);
  g_mutex_clear (&self->use_lock);
  pv_store_unref (self->store);
  g_free (self->file);
  g_free (self->domain);
  g_free (self->name);
  g_free (self);
}

/* Nothing of it will be kept. */
static int
fail (PvIncoming *self, const GError *error)
{
  self->errnum = g_error_matches (error, PV_ERROR, PV_ERROR_NO_SPACE)      ? ENOSPC
                 : g_error_matches (error, PV_ERROR, PV_ERROR_EXISTS)      ? EEXIST
                 : g_error_matches (error, PV_ERROR, PV_ERROR_INVALID)     ? EINVAL
                 : g_error_matches (error, PV_ERROR, PV_ERROR_UNSUPPORTED) ? ENOTSUP
                                                                           : EIO;
  g_warning ("%s: %s", self->file, error->message);
  drop (self);
  self->state = FAILED;
  return -self->errnum;
}

/* --- the head ---------------------------------------------------------------------------------------------------- */

/* (nullable): header and description, whether they say that the image is finished or not. */
static PvSaveImage *
parse_head (PvIncoming *self, GError **error)
{
  g_autofree guint8 *copy = g_memdup2 (self->head->data, self->head->len);

  memcpy (copy, MAGIC_COMPLETE, MAGIC_SIZE);
  return pv_save_image_parse (copy, self->head->len, error);
}

/* Bytes of header and description; of the header alone while it is not there. 0: no such image. */
static guint64
head_size (PvIncoming *self)
{
  guint32 length;

  if (self->head->len < PV_SAVE_IMAGE_HEADER_SIZE)
    return PV_SAVE_IMAGE_HEADER_SIZE;
  memcpy (&length, self->head->data + DATA_LENGTH_AT, sizeof length);
  if (!pv_save_image_probe (self->head->data, self->head->len) || length == 0 || length > PV_SAVE_IMAGE_DATA_MAX)
    return 0;
  return PV_SAVE_IMAGE_HEADER_SIZE + (guint64) length;
}

static gboolean
begin_txn (PvIncoming *self, GError **error)
{
  g_autoptr(GError) local = NULL;
  g_autoptr(PvSnapshot) base = pv_store_latest (self->store, self->domain, &local);
  PvTxnOptions options = { .base = base };

  if (local != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local));
      return FALSE;
    }
  self->txn = pv_store_begin (self->store, &options, error);
  return self->txn != NULL;
}

static gboolean
begin_scratch (PvIncoming *self, GError **error)
{
  g_autofree char *path = NULL;

  self->scratch = pv_store_scratch_new (self->store, error);
  if (self->scratch == NULL)
    return FALSE;
  path = g_build_filename (pv_store_scratch_path (self->scratch), "image", NULL);
  self->fd = pv_openat (AT_FDCWD, path, O_RDWR | O_CREAT | O_EXCL, 0600, error);
  return self->fd >= 0 && pv_pwrite_all (self->fd, self->head->data, self->head->len, 0, self->file, error);
}

/* Header and description are there: what is it? */
static gboolean
begin (PvIncoming *self, GError **error)
{
  g_autoptr(PvSaveImage) image = parse_head (self, error);
  g_autoptr(PvDomainXml) domain = image != NULL ? pv_domain_xml_parse (image->xml, error) : NULL;

  if (domain == NULL)
    return FALSE;
  if (!g_str_equal (pv_domain_xml_name (domain), self->domain))
    return pv_throw (error, PV_ERROR_INVALID, "this is the memory of guest %s: call the file %s@NAME.save",
                     pv_domain_xml_name (domain), pv_domain_xml_name (domain));
  self->from_start = memcmp (self->head->data, MAGIC_COMPLETE, MAGIC_SIZE) == 0;
  if (!self->from_start && pv_domain_xml_uuid (domain) != NULL)
    self->taker = pv_disk_taker_new (self->link, domain);
  if (!begin_txn (self, error))
    return FALSE;
  self->ingest = pv_ram_ingest_new (self->txn);
  if (image->format == PV_SAVE_FORMAT_RAW)
    {
      self->state = STREAM;
      return TRUE;
    }
  self->state = SCRATCH;
  return begin_scratch (self, error);
}

/* --- writing ----------------------------------------------------------------------------------------------------- */

/* How much of @size more bytes belongs to the head; begins when it is all there. */
static gboolean
add_to_head (PvIncoming *self, const guint8 **data, gsize *size, GError **error)
{
  while (self->state == HEAD && *size > 0)
    {
      guint64 wanted = head_size (self);
      gsize n;

      if (wanted == 0)
        return pv_throw (error, PV_ERROR_INVALID, "this is no save image of libvirt, and nothing else is kept here");
      n = (gsize) MIN (wanted - self->head->len, *size);
      g_byte_array_append (self->head, *data, (guint) n);
      *data += n;
      *size -= n;
      if (self->head->len == head_size (self) && self->head->len > PV_SAVE_IMAGE_HEADER_SIZE && !begin (self, error))
        return FALSE;
    }
  return TRUE;
}

/* Bytes behind all that came before. */
static gboolean
append (PvIncoming *self, const guint8 *data, gsize size, GError **error)
{
  guint64 at = self->size;
  gsize all = size;

  if (!add_to_head (self, &data, &size, error))
    return FALSE;
  at += all - size;
  self->size += all;
  if (size == 0)
    return TRUE;
  if (self->state == SCRATCH)
    return pv_pwrite_all (self->fd, data, size, at, self->file, error);
  if (!pv_ram_ingest_feed (self->held->data, self->held->len, self->ingest, error))
    return FALSE;
  g_byte_array_set_size (self->held, 0);
  g_byte_array_append (self->held, data, (guint) size);
  return TRUE;
}

/* --- the end ----------------------------------------------------------------------------------------------------- */

static gboolean
attach_text (PvTxn *txn, const char *name, const char *text, GError **error)
{
  g_autoptr(GBytes) bytes = text != NULL ? g_bytes_new (text, strlen (text)) : NULL;

  return bytes == NULL || pv_txn_attach (txn, name, bytes, error);
}

static gboolean
take_memory (PvIncoming *self, const PvSaveImage *image, GError **error)
{
  g_autofree char *xml = pv_domain_xml_text_without_incoming (image->xml);

  if (self->state == STREAM)
    {
      if (!pv_ram_ingest_feed (self->held->data, self->held->len, self->ingest, error)
          || !pv_ram_ingest_finish (self->ingest, error))
        return FALSE;
    }
  else if (!pv_ram_ingest_take_file (self->ingest, self->fd, image->stream_offset, image->format, self->file, error))
    return FALSE;
  return attach_text (self->txn, PV_ATTACH_DOMAIN_XML, xml, error)
         && attach_text (self->txn, PV_ATTACH_COOKIE, image->cookie, error);
}

static gboolean
commit (PvIncoming *self, GError **error)
{
  g_autoptr(PvSaveImage) image = parse_head (self, error);
  g_autoptr(PvSnapshot) parent = pv_store_latest (self->store, self->domain, NULL);
  g_autoptr(PvSnapshot) snapshot = NULL;
  gboolean taken = FALSE;
  PvSnapshotMeta meta = {
    .domain = self->domain,
    .name = self->name,
    .parent = parent != NULL ? pv_snapshot_name (parent) : NULL,
    .time = g_get_real_time (),
  };

  if (image == NULL || !take_memory (self, image, error))
    return FALSE;
  if (self->taker != NULL && !pv_disk_taker_take (self->taker, self->txn, &taken, error))
    return FALSE;
  if (!taken)
    g_message ("%s: memory alone, without disks: %s", self->file,
               self->taker != NULL ? "the guest goes on after it" : "it was copied, not saved here");
  meta.state = image->was_running ? PV_GUEST_RUNNING : PV_GUEST_PAUSED;
  snapshot = pv_fault ("incoming.commit", error) ? pv_txn_commit (self->txn, &meta, error) : NULL;
  if (snapshot == NULL)
    return FALSE;
  g_message ("%s: is snapshot %s", self->file, pv_snapshot_full_name (snapshot));
  return TRUE;
}

static int
finish (PvIncoming *self)
{
  g_autoptr(GError) error = NULL;

  if (!commit (self, &error))
    return fail (self, error);
  drop (self);
  __atomic_store_n (&self->state, FINISHED, __ATOMIC_RELEASE);
  return 0;
}

/* Something is written over the head. */
static int
rewrite_head (PvIncoming *self, const guint8 *data, gsize size, guint64 offset)
{
  g_autoptr(GError) error = NULL;
  int result = 0;

  memcpy (self->head->data + offset, data, size);
  if (self->state == SCRATCH && !pv_pwrite_all (self->fd, data, size, offset, self->file, &error))
    return fail (self, error);
  if (offset == 0 && size >= MAGIC_SIZE && memcmp (data, MAGIC_COMPLETE, MAGIC_SIZE) == 0)
    result = finish (self);
  return result != 0 ? result : (int) size;
}

static int
write_locked (PvIncoming *self, const guint8 *data, gsize size, guint64 offset)
{
  g_autoptr(GError) error = NULL;

  if (self->state == FAILED)
    return -self->errnum;
  if (self->state == FINISHED)
    return -EROFS;
  if (self->state != HEAD && offset + size <= self->head->len)
    return rewrite_head (self, data, size, offset);
  if (offset == self->size)
    return append (self, data, size, &error) ? (int) size : fail (self, error);
  if (self->state != SCRATCH)
    pv_throw (&error, PV_ERROR_UNSUPPORTED, "it is not written from front to back");
  else if (pv_pwrite_all (self->fd, data, size, offset, self->file, &error))
    {
      self->size = MAX (self->size, offset + size);
      return (int) size;
    }
  return fail (self, error);
}

int
pv_incoming_write (PvIncoming *self, const guint8 *data, gsize size, guint64 offset)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  return write_locked (self, data, size, offset);
}

static int
truncate_locked (PvIncoming *self, guint64 size)
{
  g_autoptr(GError) error = NULL;

  if (self->state == FINISHED)
    return -EROFS;
  if (size == 0)
    { /* from the start again */
      drop (self);
      self->state = HEAD;
      self->size = 0;
      return 0;
    }
  if (self->state == FAILED)
    return -self->errnum;
  if (self->state == SCRATCH)
    {
      if (size < self->head->len || ftruncate (self->fd, (off_t) size) < 0)
        return -EINVAL;
    }
  else if (size > self->size || self->size - size > self->held->len)
    {
      if (size == self->size || self->size == 0)
        return 0;
      pv_throw (&error, PV_ERROR_UNSUPPORTED, "it cannot be cut to %" G_GUINT64_FORMAT " bytes", size);
      return fail (self, error);
    }
  else
    g_byte_array_set_size (self->held, (guint) (self->held->len - (self->size - size)));
  self->size = size;
  return 0;
}

int
pv_incoming_truncate (PvIncoming *self, guint64 size)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  return truncate_locked (self, size);
}

int
pv_incoming_flush (PvIncoming *self)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  if (self->state == FAILED)
    return -self->errnum;
  return self->from_start && self->state != FINISHED && self->size > self->head->len ? finish (self) : 0;
}

void
pv_incoming_cancel (PvIncoming *self)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  if (self->state == FINISHED)
    return;
  drop (self);
  self->state = FAILED;
  self->errnum = ECANCELED;
}

void
pv_incoming_open (PvIncoming *self)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->use_lock);

  self->n_open++;
}

void
pv_incoming_close (PvIncoming *self)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->use_lock);

  self->n_open--;
  self->closed_at = g_get_monotonic_time ();
}

gint64
pv_incoming_idle (PvIncoming *self)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->use_lock);

  return self->n_open > 0 ? 0 : (g_get_monotonic_time () - self->closed_at) / G_USEC_PER_SEC;
}

guint64
pv_incoming_size (PvIncoming *self)
{
  return __atomic_load_n (&self->size, __ATOMIC_RELAXED);
}

gboolean
pv_incoming_done (PvIncoming *self)
{
  return __atomic_load_n (&self->state, __ATOMIC_ACQUIRE) == FINISHED;
}

gboolean
pv_incoming_dead (PvIncoming *self)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->use_lock);

  return self->n_open == 0 && __atomic_load_n (&self->state, __ATOMIC_ACQUIRE) == FAILED;
}
