/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "index/page-vfs.h"

#include <string.h>

#include "chunk/frame.h"
#include "util/error.h"
#include "util/fault.h"

typedef struct
{
  sqlite3_file base;
  gboolean checked; /* the database itself: pages carry checksums */
  gboolean faulty;  /* database or WAL: writes pass the fault points */
} File;             /* followed in memory by the real VFS's file */

static sqlite3_vfs *real_vfs; /* (not owned) SQLite's default */
static sqlite3_vfs page_vfs;
static sqlite3_io_methods page_methods;

static sqlite3_file *
real_file (sqlite3_file *file)
{
  return (sqlite3_file *) ((File *) file + 1);
}

/* Of a page in its place: the offset counts, so that a page at the wrong one is found too. */
static guint64
page_checksum (const guint8 *page, gint64 offset)
{
  guint64 number = (guint64) offset / PV_PAGE_SIZE;

  return GUINT64_TO_LE (pv_checksum (page, PV_PAGE_SIZE - PV_PAGE_RESERVED)
                        ^ number * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15));
}

static gboolean
page_is_good (const guint8 *page, gint64 offset)
{
  guint64 checksum = page_checksum (page, offset);

  if (memcmp (page + PV_PAGE_SIZE - PV_PAGE_RESERVED, &checksum, PV_PAGE_RESERVED) == 0)
    return TRUE;
  return page[0] == 0 && memcmp (page, page + 1, PV_PAGE_SIZE - 1) == 0;
}

static gboolean
is_whole_page (const File *self, int amount, gint64 offset)
{
  return self->checked && amount == (int) PV_PAGE_SIZE && offset % PV_PAGE_SIZE == 0;
}

/* SQLITE_OK, or what an armed fault at @point makes of it. */
static int
pass_fault (const File *self, const char *point, int failure)
{
  g_autoptr(GError) error = NULL;

  if (!self->faulty || pv_fault (point, &error))
    return SQLITE_OK;
  return g_error_matches (error, PV_ERROR, PV_ERROR_NO_SPACE) ? SQLITE_FULL : failure;
}

static int
file_close (sqlite3_file *file)
{
  return real_file (file)->pMethods->xClose (real_file (file));
}

static int
file_read (sqlite3_file *file, void *data, int amount, sqlite3_int64 offset)
{
  int rc = real_file (file)->pMethods->xRead (real_file (file), data, amount, offset);

  if (rc == SQLITE_OK && is_whole_page ((File *) file, amount, offset) && !page_is_good (data, offset))
    rc = SQLITE_IOERR_DATA;
  return rc;
}

static int
file_write (sqlite3_file *file, const void *data, int amount, sqlite3_int64 offset)
{
  int rc = pass_fault ((File *) file, "index.write", SQLITE_IOERR_WRITE);

  if (rc != SQLITE_OK)
    return rc;
  if (is_whole_page ((File *) file, amount, offset))
    {
      /* The reserved bytes belong to this layer, in SQLite's buffer too: nobody else looks at them. */
      guint8 *page = (guint8 *) data;
      guint64 checksum = page_checksum (page, offset);

      memcpy (page + PV_PAGE_SIZE - PV_PAGE_RESERVED, &checksum, PV_PAGE_RESERVED);
    }
  return real_file (file)->pMethods->xWrite (real_file (file), data, amount, offset);
}

static int
file_truncate (sqlite3_file *file, sqlite3_int64 size)
{
  int rc = pass_fault ((File *) file, "index.truncate", SQLITE_IOERR_TRUNCATE);

  return rc != SQLITE_OK ? rc : real_file (file)->pMethods->xTruncate (real_file (file), size);
}

static int
file_sync (sqlite3_file *file, int flags)
{
  int rc = pass_fault ((File *) file, "index.sync", SQLITE_IOERR_FSYNC);

  return rc != SQLITE_OK ? rc : real_file (file)->pMethods->xSync (real_file (file), flags);
}

static int
file_size (sqlite3_file *file, sqlite3_int64 *size)
{
  return real_file (file)->pMethods->xFileSize (real_file (file), size);
}

static int
file_lock (sqlite3_file *file, int level)
{
  return real_file (file)->pMethods->xLock (real_file (file), level);
}

static int
file_unlock (sqlite3_file *file, int level)
{
  return real_file (file)->pMethods->xUnlock (real_file (file), level);
}

static int
file_check_reserved_lock (sqlite3_file *file, int *result)
{
  return real_file (file)->pMethods->xCheckReservedLock (real_file (file), result);
}

static int
file_control (sqlite3_file *file, int op, void *argument)
{
  return real_file (file)->pMethods->xFileControl (real_file (file), op, argument);
}

static int
file_sector_size (sqlite3_file *file)
{
  return real_file (file)->pMethods->xSectorSize (real_file (file));
}

static int
file_device_characteristics (sqlite3_file *file)
{
  int characteristics = real_file (file)->pMethods->xDeviceCharacteristics (real_file (file));

#ifdef SQLITE_IOCAP_SUBPAGE_READ
  characteristics &= ~SQLITE_IOCAP_SUBPAGE_READ; /* a part of a page cannot be checked */
#endif
  return characteristics;
}

static int
file_shm_map (sqlite3_file *file, int region, int size, int extend, void volatile **memory)
{
  return real_file (file)->pMethods->xShmMap (real_file (file), region, size, extend, memory);
}

static int
file_shm_lock (sqlite3_file *file, int offset, int n, int flags)
{
  return real_file (file)->pMethods->xShmLock (real_file (file), offset, n, flags);
}

static void
file_shm_barrier (sqlite3_file *file)
{
  real_file (file)->pMethods->xShmBarrier (real_file (file));
}

static int
file_shm_unmap (sqlite3_file *file, int delete_it)
{
  return real_file (file)->pMethods->xShmUnmap (real_file (file), delete_it);
}

/* No memory-mapped pages: they would be read unchecked. */
static int
file_fetch (sqlite3_file *file, sqlite3_int64 offset, int amount, void **memory)
{
  *memory = NULL;
  return SQLITE_OK;
}

static int
file_unfetch (sqlite3_file *file, sqlite3_int64 offset, void *memory)
{
  return SQLITE_OK;
}

static int
vfs_open (sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out_flags)
{
  File *self = (File *) file;
  int rc;

  memset (self, 0, sizeof *self);
  rc = real_vfs->xOpen (real_vfs, name, real_file (file), flags, out_flags);
  if (real_file (file)->pMethods != NULL)
    self->base.pMethods = &page_methods;
  self->checked = (flags & SQLITE_OPEN_MAIN_DB) != 0;
  self->faulty = (flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)) != 0;
  return rc;
}

static const sqlite3_io_methods methods_template = {
  .iVersion = 3,
  .xClose = file_close,
  .xRead = file_read,
  .xWrite = file_write,
  .xTruncate = file_truncate,
  .xSync = file_sync,
  .xFileSize = file_size,
  .xLock = file_lock,
  .xUnlock = file_unlock,
  .xCheckReservedLock = file_check_reserved_lock,
  .xFileControl = file_control,
  .xSectorSize = file_sector_size,
  .xDeviceCharacteristics = file_device_characteristics,
  .xShmMap = file_shm_map,
  .xShmLock = file_shm_lock,
  .xShmBarrier = file_shm_barrier,
  .xShmUnmap = file_shm_unmap,
  .xFetch = file_fetch,
  .xUnfetch = file_unfetch,
};

void
pv_page_vfs_register (void)
{
  static gsize registered;

  if (!g_once_init_enter (&registered))
    return;
  real_vfs = sqlite3_vfs_find (NULL);
  g_assert (real_vfs != NULL && real_vfs->iVersion >= 2);
  page_methods = methods_template;
  page_vfs = *real_vfs; /* all but opening is the real one's own business */
  page_vfs.pNext = NULL;
  page_vfs.zName = PV_PAGE_VFS;
  page_vfs.szOsFile = (int) sizeof (File) + real_vfs->szOsFile;
  page_vfs.xOpen = vfs_open;
  g_assert (sqlite3_vfs_register (&page_vfs, 0) == SQLITE_OK);
  g_once_init_leave (&registered, 1);
}

gboolean
pv_page_vfs_scan (sqlite3_file *file, guint64 *page)
{
  g_autofree guint8 *data = g_malloc (PV_PAGE_SIZE);
  sqlite3_int64 size;

  *page = 0;
  if (file->pMethods->xFileSize (file, &size) != SQLITE_OK)
    return FALSE;
  for (sqlite3_int64 offset = 0; offset < size; offset += PV_PAGE_SIZE)
    {
      /* SQLite takes the file's lock bytes out of use: the page they are in is never written (1 GiB into the file). */
      int rc = file->pMethods->xRead (file, data, (int) PV_PAGE_SIZE, offset);

      if (rc == SQLITE_IOERR_DATA || rc == SQLITE_IOERR_SHORT_READ)
        {
          *page = (guint64) offset / PV_PAGE_SIZE + 1;
          return TRUE;
        }
      if (rc != SQLITE_OK)
        return FALSE;
    }
  return TRUE;
}

