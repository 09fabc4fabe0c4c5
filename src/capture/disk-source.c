/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "capture/disk-source.h"

#include <errno.h>
#include <json-glib/json-glib.h>
#include <libnbd.h>
#include <string.h>
#include <sys/stat.h>

#include "capture/nbd-export.h"
#include "util/error.h"
#include "util/fault.h"

#define READ_SIZE (1u << 20)         /* bytes of one request */
#define READS 8u                     /* requests in flight */
#define STATUS_SIZE (1ull << 30)     /* bytes asked about at a time */
#define DEPTH_CONTEXT "qemu:allocation-depth"

typedef enum
{
  EXTENT_SKIP, /* zeros, as a new volume is */
  EXTENT_KEEP, /* as in the base volume */
  EXTENT_DATA,
} ExtentKind;

/* What one context says: pairs of length and flags, from the start of the range that was asked about. */
typedef struct
{
  guint64 length; /* bytes */
  guint32 flags;
} Extent;

typedef struct
{
  guint8 *buffer; /* (owned): READ_SIZE bytes */
  guint64 offset; /* bytes into the disk */
  gsize size;     /* bytes asked for; 0 = free */
  gboolean done;
  int errnum; /* of a failed read, else 0 */
} Slot;

struct _PvDiskSource
{
  char *path;             /* (owned) */
  PvNbdExport *export;    /* (owned) (nullable) */
  struct nbd_handle *nbd; /* (owned) (nullable) */
  guint64 size; /* bytes */
  Slot slots[READS];
};

/* The state of one copy. */
typedef struct
{
  PvDiskSource *source;     /* (not owned) */
  PvVolumeWriter *writer;   /* (not owned) */
  GCancellable *cancellable; /* (nullable) (not owned) */
  guint new_layers;
  guint64 next; /* everything below was dealt with or asked for */
} Copy;

static gboolean
throw_nbd (PvDiskSource *self, GError **error, const char *what)
{
  return pv_throw (error, PV_ERROR_FAILED, "cannot %s '%s': %s", what, self->path, nbd_get_error ());
}

/* The image as QEMU's block layer names it, so that no character of the path has a meaning. */
static char *
describe_image (const char *path, const char *format)
{
  g_autoptr(JsonObject) image = json_object_new ();
  g_autoptr(JsonNode) node = json_node_new (JSON_NODE_OBJECT);
  JsonObject *file = json_object_new ();
  g_autofree char *json = NULL;
  struct stat st;

  json_object_set_string_member (file, "driver",
                                 stat (path, &st) == 0 && S_ISBLK (st.st_mode) ? "host_device" : "file");
  json_object_set_string_member (file, "filename", path);
  json_object_set_string_member (image, "driver", format);
  json_object_set_boolean_member (image, "force-share", TRUE);
  json_object_set_object_member (image, "file", file);
  json_node_set_object (node, image);
  json = json_to_string (node, FALSE);
  return g_strconcat ("json:", json, NULL);
}

static gboolean
connect_to_export (PvDiskSource *self, GError **error)
{
  gint64 size;

  self->nbd = nbd_create ();
  if (self->nbd == NULL)
    return throw_nbd (self, error, "prepare to read disk");
  if (nbd_add_meta_context (self->nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) < 0
      || nbd_add_meta_context (self->nbd, DEPTH_CONTEXT) < 0
      || nbd_connect_unix (self->nbd, pv_nbd_export_socket (self->export)) < 0)
    return throw_nbd (self, error, "read disk");
  size = nbd_get_size (self->nbd);
  if (size < 0)
    return throw_nbd (self, error, "tell the size of disk");
  self->size = (guint64) size;
  return TRUE;
}

PvDiskSource *
pv_disk_source_open (const char *path, const char *format, const char *run_directory, GError **error)
{
  g_autoptr(PvDiskSource) self = g_new0 (PvDiskSource, 1);
  g_autofree char *image = describe_image (path, format);

  self->path = g_strdup (path);
  if (!pv_fault ("capture.disk.open", error))
    return NULL;
  self->export = pv_nbd_export_start (image, run_directory, error);
  if (self->export == NULL)
    {
      g_prefix_error (error, "cannot read disk '%s': ", path);
      return NULL;
    }
  return connect_to_export (self, error) ? g_steal_pointer (&self) : NULL;
}

void
pv_disk_source_free (PvDiskSource *self)
{
  if (self->nbd != NULL)
    {
      nbd_shutdown (self->nbd, 0);
      nbd_close (self->nbd);
    }
  g_clear_pointer (&self->export, pv_nbd_export_free);
  for (guint i = 0; i < READS; i++)
    g_free (self->slots[i].buffer);
  g_free (self->path);
  g_free (self);
}

guint64
pv_disk_source_size (const PvDiskSource *self)
{
  return self->size;
}

static int
read_finished (void *data, int *errnum)
{
  Slot *slot = data;

  slot->errnum = *errnum;
  slot->done = TRUE;
  return 1;
}

static gboolean
check_cancelled (Copy *copy, GError **error)
{
  if (g_cancellable_is_cancelled (copy->cancellable))
    return pv_throw (error, PV_ERROR_CANCELLED, "stopped while reading disk '%s'", copy->source->path);
  return TRUE;
}

/* Hands finished reads to the writer. */
static gboolean
harvest (Copy *copy, GError **error)
{
  for (guint i = 0; i < READS; i++)
    {
      Slot *slot = &copy->source->slots[i];

      if (slot->size == 0 || !slot->done)
        continue;
      if (slot->errnum != 0)
        return pv_throw_errno (error, slot->errnum, "cannot read disk '%s' at offset %" G_GUINT64_FORMAT,
                               copy->source->path, slot->offset);
      if (!pv_volume_writer_write (copy->writer, slot->offset, slot->buffer, slot->size, error))
        return FALSE;
      slot->size = 0;
    }
  return TRUE;
}

static guint
n_reads_in_flight (const PvDiskSource *self)
{
  guint n = 0;

  for (guint i = 0; i < READS; i++)
    n += self->slots[i].size != 0;
  return n;
}

/* Waits until fewer than @limit reads are in flight. */
static gboolean
wait_below (Copy *copy, guint limit, GError **error)
{
  for (;;)
    {
      if (!check_cancelled (copy, error) || !harvest (copy, error))
        return FALSE;
      if (n_reads_in_flight (copy->source) < limit)
        return TRUE;
      if (nbd_poll (copy->source->nbd, 200) < 0)
        return throw_nbd (copy->source, error, "read disk");
    }
}

static gboolean
read_piece (Copy *copy, guint64 offset, gsize size, GError **error)
{
  Slot *slot = copy->source->slots;

  if (!wait_below (copy, READS, error))
    return FALSE;
  while (slot->size != 0)
    slot++;
  if (slot->buffer == NULL)
    slot->buffer = g_malloc (READ_SIZE);
  slot->offset = offset;
  slot->size = size;
  slot->done = FALSE;
  if (nbd_aio_pread (copy->source->nbd, slot->buffer, size, offset,
                     (nbd_completion_callback){ .callback = read_finished, .user_data = slot }, 0)
      < 0)
    {
      slot->size = 0;
      return throw_nbd (copy->source, error, "read disk");
    }
  return TRUE;
}

/* Reads [@start, @end), widened to whole chunks, except what was asked for before. */
static gboolean
read_range (Copy *copy, guint64 start, guint64 end, GError **error)
{
  start = MAX (copy->next, start / PV_CHUNK_SIZE * PV_CHUNK_SIZE);
  end = MIN (copy->source->size, (end + PV_CHUNK_SIZE - 1) / PV_CHUNK_SIZE * PV_CHUNK_SIZE);
  while (start < end)
    {
      gsize size = MIN (READ_SIZE, end - start);

      if (!read_piece (copy, start, size, error))
        return FALSE;
      start += size;
    }
  copy->next = MAX (copy->next, end);
  return TRUE;
}

/* Deals with the extent [@start, @end): chunks that it only partly covers are read. */
static gboolean
take_extent (Copy *copy, ExtentKind kind, guint64 start, guint64 end, GError **error)
{
  guint64 inner_start = MAX (copy->next, (start + PV_CHUNK_SIZE - 1) / PV_CHUNK_SIZE * PV_CHUNK_SIZE);
  guint64 inner_end = end == copy->source->size ? end : end / PV_CHUNK_SIZE * PV_CHUNK_SIZE;

  if (kind == EXTENT_DATA || inner_start >= inner_end)
    return read_range (copy, start, end, error);
  if (start < inner_start && !read_range (copy, start, inner_start, error))
    return FALSE;
  if (kind == EXTENT_KEEP && !pv_volume_writer_keep (copy->writer, inner_start, inner_end - inner_start, error))
    return FALSE;
  copy->next = inner_end;
  return inner_end == end || read_range (copy, inner_end, end, error);
}

typedef struct
{
  GArray *allocation; /* of Extent */
  GArray *depth;      /* of Extent */
} Status;

static int
note_extents (void *data, const char *context, uint64_t offset, uint32_t *entries, size_t n_entries, int *errnum)
{
  Status *status = data;
  GArray *list = NULL;

  if (g_str_equal (context, LIBNBD_CONTEXT_BASE_ALLOCATION))
    list = status->allocation;
  else if (g_str_equal (context, DEPTH_CONTEXT))
    list = status->depth;
  for (size_t i = 0; list != NULL && i + 1 < n_entries; i += 2)
    {
      Extent extent = { .length = entries[i], .flags = entries[i + 1] };

      g_array_append_val (list, extent);
    }
  return 0;
}

static ExtentKind
kind_of (const Copy *copy, guint32 allocation, guint32 depth)
{
  if (copy->new_layers > 0 && (depth == 0 || depth > copy->new_layers))
    return EXTENT_KEEP;
  return (allocation & LIBNBD_STATE_ZERO) != 0 ? EXTENT_SKIP : EXTENT_DATA;
}

/* Walks both lists side by side. @at: (inout): how far the answer reached. */
static gboolean
take_status (Copy *copy, const Status *status, guint64 *at, GError **error)
{
  guint i = 0, j = 0;
  guint64 i_left = 0, j_left = 0; /* bytes left of entry i, j */

  for (;;)
    {
      guint64 length;

      if (i_left == 0 && i < status->allocation->len)
        i_left = g_array_index (status->allocation, Extent, i).length;
      if (j_left == 0 && j < status->depth->len)
        j_left = g_array_index (status->depth, Extent, j).length;
      length = MIN (MIN (i_left, j_left), copy->source->size - *at);
      if (length == 0)
        return TRUE;
      if (!take_extent (copy,
                        kind_of (copy, g_array_index (status->allocation, Extent, i).flags,
                                 g_array_index (status->depth, Extent, j).flags),
                        *at, *at + length, error))
        return FALSE;
      *at += length;
      i_left -= length;
      j_left -= length;
      i += i_left == 0;
      j += j_left == 0;
    }
}

static gboolean
take_range (Copy *copy, guint64 *at, GError **error)
{
  g_autoptr(GArray) allocation = g_array_new (FALSE, FALSE, sizeof (Extent));
  g_autoptr(GArray) depth = g_array_new (FALSE, FALSE, sizeof (Extent));
  Status status = { .allocation = allocation, .depth = depth };
  guint64 start = *at;

  if (nbd_block_status (copy->source->nbd, MIN (STATUS_SIZE, copy->source->size - start), start,
                        (nbd_extent_callback){ .callback = note_extents, .user_data = &status }, 0)
      < 0)
    return throw_nbd (copy->source, error, "find the allocated parts of disk");
  if (!take_status (copy, &status, at, error))
    return FALSE;
  if (*at == start)
    return pv_throw (error, PV_ERROR_FAILED, "qemu-nbd does not tell which parts of disk '%s' are allocated",
                     copy->source->path);
  return TRUE;
}

gboolean
pv_disk_source_copy (PvDiskSource *self, PvVolumeWriter *writer, guint new_layers, PvDiskProgressFunc progress,
                     gpointer data, GCancellable *cancellable, GError **error)
{
  Copy copy = { .source = self, .writer = writer, .cancellable = cancellable, .new_layers = new_layers };
  guint64 at = 0;

  if (nbd_can_meta_context (self->nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) <= 0
      || nbd_can_meta_context (self->nbd, DEPTH_CONTEXT) <= 0)
    return pv_throw (error, PV_ERROR_UNSUPPORTED,
                     "qemu-nbd does not tell which parts of disk '%s' are allocated: version 5.2 or newer is needed",
                     self->path);
  while (at < self->size)
    {
      if (!check_cancelled (&copy, error) || !pv_fault ("capture.disk.copy", error) || !take_range (&copy, &at, error))
        return FALSE;
      if (progress != NULL)
        progress (at, self->size, data);
    }
  return wait_below (&copy, 1, error);
}
