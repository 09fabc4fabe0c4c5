/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/export.h"

#include <errno.h>
#include <fcntl.h>
#include <json-glib/json-glib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "restore/import-private.h"
#include "util/error.h"
#include "virt/json-members.h"
#include "util/file.h"
#include "util/snapshot-name.h"
#include "virt/attachments.h"

#define PROBE_SIZE 16u /* bytes */

gboolean
pv_import_note_format (PvImport *import, const char *format, GError **error)
{
  g_autoptr(JsonBuilder) builder = json_builder_new ();
  g_autoptr(GBytes) bytes = NULL;

  json_builder_begin_object (builder);
  pv_json_string (builder, "format", format);
  pv_json_size (builder, "bytes", import->size);
  json_builder_end_object (builder);
  bytes = pv_json_bytes (builder);
  return pv_txn_attach (import->txn, PV_ATTACH_IMAGE_HEAD, bytes, error);
}

/* The next stretch of data at or behind @offset: up to @end; FALSE when only a hole follows. Files without holes are
 * all data. */
static gboolean
find_data (int fd, guint64 offset, guint64 size, guint64 *start, guint64 *end)
{
  off_t data = lseek (fd, (off_t) offset, SEEK_DATA), hole;

  if (data < 0 && errno == ENXIO)
    return FALSE;
  *start = data < 0 ? offset : (guint64) data & ~(guint64) (PV_CHUNK_SIZE - 1);
  hole = data < 0 ? -1 : lseek (fd, data, SEEK_HOLE);
  *end = hole < 0 ? size : MIN (((guint64) hole + PV_CHUNK_SIZE - 1) & ~(guint64) (PV_CHUNK_SIZE - 1), size);
  return *start < size;
}

static gboolean
copy_data (PvImport *import, int fd, PvVolumeWriter *writer, guint8 *buffer, guint64 start, guint64 end, guint64 size,
           GError **error)
{
  for (guint64 offset = start; offset < end; offset += PV_IMPORT_READ_SIZE)
    {
      gsize n = (gsize) MIN (end - offset, PV_IMPORT_READ_SIZE);

      if (!pv_transfer_go_on (&import->transfer, error)
          || !pv_pread_exact (fd, buffer, n, offset, import->path, error)
          || !pv_volume_writer_write (writer, offset, buffer, n, error))
        return FALSE;
      pv_transfer_report (&import->transfer, offset + n, size);
    }
  return TRUE;
}

gboolean
pv_import_copy (PvImport *import, int fd, guint64 size, PvVolumeKind kind, const char *name, GError **error)
{
  PvVolumeWriter *writer = pv_txn_add_volume (import->txn, kind, name, size, error);
  g_autofree guint8 *buffer = g_malloc (PV_IMPORT_READ_SIZE);
  guint64 offset = 0, start = 0, end = 0;

  if (writer == NULL)
    return FALSE;
  while (offset < size && find_data (fd, offset, size, &start, &end))
    {
      if ((start > offset && !pv_volume_writer_zero (writer, offset, start - offset, error))
          || !copy_data (import, fd, writer, buffer, start, end, size, error))
        return FALSE;
      offset = end;
    }
  if (offset < size && !pv_volume_writer_zero (writer, offset, size - offset, error))
    return FALSE;
  return pv_volume_writer_finish (writer, error);
}

gboolean
pv_import_raw (PvImport *import, GError **error)
{
  import->transfer.phase = "reading disk";
  import->state = PV_GUEST_SHUTOFF;
  return (!import->main_file || pv_import_note_format (import, "raw", error))
         && pv_import_copy (import, import->fd, import->size, PV_VOLUME_DISK, import->target, error);
}

/* Tells by content what the file is. */
static gboolean
import_by_content (PvImport *import, GError **error)
{
  guint8 start[PROBE_SIZE] = { 0 };
  gssize n = pv_pread_full (import->fd, start, sizeof start, 0, import->path, error);

  if (n < 0)
    return FALSE;
  if (import->main_file && n == sizeof start && pv_save_image_probe (start, sizeof start))
    {
      g_autoptr(PvSaveImage) image = pv_save_image_read (import->fd, import->path, error);

      return image != NULL && pv_import_memory (import, image, error);
    }
  if (import->main_file && n >= 4 && memcmp (start, "QEVM", 4) == 0)
    return pv_import_memory (import, NULL, error);
  if (n >= 4 && memcmp (start, "QFI\xfb", 4) == 0)
    return pv_import_qcow2 (import, error);
  return pv_import_raw (import, error);
}

/* A regular file or a block device; not a pipe: a wait without end is no error message. */
static gboolean
open_file (PvImport *import, GError **error)
{
  struct stat status;
  off_t size;

  import->fd = pv_openat (AT_FDCWD, import->path, O_RDONLY | O_NONBLOCK, 0, error);
  if (import->fd < 0)
    return FALSE;
  if (fstat (import->fd, &status) < 0)
    return pv_throw_errno (error, errno, "%s", import->path);
  if (!S_ISREG (status.st_mode) && !S_ISBLK (status.st_mode))
    return pv_throw (error, PV_ERROR_INVALID, "%s is neither a file nor a block device", import->path);
  size = lseek (import->fd, 0, SEEK_END);
  if (size < 0)
    return pv_throw_errno (error, errno, "%s", import->path);
  if (size == 0)
    return pv_throw (error, PV_ERROR_INVALID, "%s is empty", import->path);
  import->size = (guint64) size;
  return TRUE;
}

PvImportDisk *
pv_import_disk_parse (const char *text, GError **error)
{
  const char *equals = strchr (text, '=');
  PvImportDisk *self;

  if (equals == NULL || equals == text || equals[1] == '\0' || equals - text > PV_VOLUME_NAME_MAX)
    {
      g_autofree char *shown = pv_escape_for_message (text);

      pv_throw (error, PV_ERROR_INVALID, "'%s' is not TARGET=FILE, like vda=disk.qcow2", shown);
      return NULL;
    }
  self = g_new0 (PvImportDisk, 1);
  self->target = g_strndup (text, (gsize) (equals - text));
  self->path = g_strdup (equals + 1);
  return self;
}

void
pv_import_disk_free (PvImportDisk *self)
{
  g_free (self->target);
  g_free (self->path);
  g_free (self);
}

/* A disk that comes along with @main. */
static gboolean
import_disk (PvImport *main_import, const PvImportDisk *disk, GError **error)
{
  PvImport import = *main_import;
  gboolean done;

  import.fd = PV_FD_NONE;
  import.path = disk->path;
  import.target = disk->target;
  import.main_file = FALSE;
  done = open_file (&import, error) && import_by_content (&import, error);
  pv_fd_clear (&import.fd);
  return done;
}

static gboolean
import_all (PvImport *import, GPtrArray *disks, GError **error)
{
  if (!import_by_content (import, error))
    return FALSE;
  for (guint i = 0; disks != NULL && i < disks->len; i++)
    if (!import_disk (import, g_ptr_array_index (disks, i), error))
      return FALSE;
  return TRUE;
}

static PvSnapshot *
import_opened (PvImport *import, GPtrArray *disks, const char *domain, const char *name, PvTxnStats *stats,
               GError **error)
{
  g_autoptr(GError) local = NULL;
  g_autoptr(PvSnapshot) base = pv_store_latest (import->store, domain, &local);
  PvTxnOptions options = { .base = base };
  g_autoptr(PvTxn) txn = NULL;
  PvSnapshotMeta meta = { .domain = domain, .name = name, .time = g_get_real_time () };
  PvSnapshot *snapshot = NULL;

  if (local != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local));
      return NULL;
    }
  import->txn = txn = pv_store_begin (import->store, &options, error);
  if (txn == NULL || !import_all (import, disks, error))
    return NULL;
  meta.state = import->state;
  meta.parent = base != NULL ? pv_snapshot_name (base) : NULL;
  if (pv_transfer_go_on (&import->transfer, error))
    snapshot = pv_txn_commit (txn, &meta, error);
  pv_txn_stats (txn, stats);
  return snapshot;
}

/* Before the work, not only after it. */
static gboolean
check_free (PvStore *store, const char *domain, const char *name, GError **error)
{
  g_autoptr(GError) local = NULL;
  g_autoptr(PvSnapshot) there = pv_store_lookup (store, domain, name, &local);

  if (there != NULL)
    return pv_throw (error, PV_ERROR_EXISTS, "there is a snapshot of that name already: choose another, or delete it");
  if (g_error_matches (local, PV_ERROR, PV_ERROR_NOT_FOUND))
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&local));
  return FALSE;
}

PvSnapshot *
pv_import_file (PvStore *store, const char *path, GPtrArray *disks, const char *domain, const char *name,
                PvTxnStats *stats, PvTransferProgressFunc progress, gpointer data, GCancellable *cancellable,
                GError **error)
{
  PvImport import = {
    .store = store,
    .fd = PV_FD_NONE,
    .path = path,
    .target = PV_IMPORT_DISK,
    .main_file = TRUE,
    .transfer = { .progress = progress, .data = data, .cancellable = cancellable },
  };
  PvSnapshot *snapshot = NULL;

  if (check_free (store, domain, name, error) && open_file (&import, error))
    snapshot = import_opened (&import, disks, domain, name, stats, error);
  pv_fd_clear (&import.fd);
  return snapshot;
}
