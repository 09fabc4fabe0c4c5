/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* qcow2 images: the disk that they show becomes a disk volume, by way of qemu-img; the file itself is kept as a blob,
 * whose data clusters are chunks that the disk has already. */
#include "config.h"

#include <fcntl.h>
#include <unistd.h>

#include "restore/import-private.h"
#include "util/cursor.h"
#include "store/store-keys.h"
#include "util/error.h"
#include "util/file.h"

#define HEADER_SIZE 104u               /* bytes of a version 3 header */
#define INCOMPATIBLE_DATA_FILE (1u << 2)

/* The file is foreign: one that names another file must not make us read that. */
static gboolean
check_header (PvImport *import, GError **error)
{
  guint8 bytes[HEADER_SIZE] = { 0 };
  PvCursor cursor = PV_CURSOR_INIT (bytes, sizeof bytes);
  guint32 version, crypt;
  guint64 backing, features;

  if (!pv_pread_exact (import->fd, bytes, MIN (import->size, HEADER_SIZE), 0, import->path, error))
    return FALSE;
  pv_cursor_be32 (&cursor); /* magic */
  version = pv_cursor_be32 (&cursor);
  backing = pv_cursor_be64 (&cursor);
  cursor.offset = 32;
  crypt = pv_cursor_be32 (&cursor);
  cursor.offset = 72;
  features = pv_cursor_be64 (&cursor);
  if (version != 2 && version != 3)
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "%s: qcow2 version %u is not supported (only 2 and 3)", import->path,
                     version);
  if (backing != 0)
    return pv_throw (error, PV_ERROR_UNSUPPORTED,
                     "%s has a backing file: make one image of both with 'qemu-img convert -O qcow2' first",
                     import->path);
  if (crypt != 0)
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "%s is encrypted: decrypt it with 'qemu-img convert' first",
                     import->path);
  if (version == 3 && (features & INCOMPATIBLE_DATA_FILE) != 0)
    return pv_throw (error, PV_ERROR_UNSUPPORTED,
                     "%s keeps its data in another file: make one image of both with 'qemu-img convert' first",
                     import->path);
  return TRUE;
}

/* Runs "qemu-img @arguments" with the very file that was checked as /dev/fd/3, and @raw, unless it is PV_FD_NONE, as
 * /dev/fd/4. @complaint: (out) (transfer full):
 * what it said. @status: (out): its exit status. */
static gboolean
run_qemu_img (PvImport *import, const char *const *arguments, int raw, int *status, char **complaint, GError **error)
{
  g_autoptr(GSubprocessLauncher) launcher
    = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_STDERR_PIPE | G_SUBPROCESS_FLAGS_STDOUT_SILENCE);
  g_autoptr(GSubprocess) process = NULL;
  g_autoptr(GError) local = NULL;

  g_subprocess_launcher_take_fd (launcher, fcntl (import->fd, F_DUPFD_CLOEXEC, 3), 3);
  if (raw >= 0)
    g_subprocess_launcher_take_fd (launcher, fcntl (raw, F_DUPFD_CLOEXEC, 3), 4);
  process = g_subprocess_launcher_spawnv (launcher, arguments, &local);
  if (process == NULL)
    return pv_throw (error, PV_ERROR_UNSUPPORTED,
                     "qcow2 images are read by qemu-img: install the package 'qemu-utils' (%s)", local->message);
  if (!g_subprocess_communicate_utf8 (process, NULL, import->transfer.cancellable, NULL, complaint, &local))
    {
      g_subprocess_force_exit (process);
      g_subprocess_wait (process, NULL, NULL);
      return pv_transfer_go_on (&import->transfer, error)
             && pv_throw (error, PV_ERROR_FAILED, "qemu-img: %s", local->message);
    }
  *status = g_subprocess_get_if_exited (process) ? g_subprocess_get_exit_status (process) : -1;
  g_strdelimit (g_strstrip (*complaint), "\n", ' ');
  return TRUE;
}

/* qemu-img reads what lies behind the end of a file that is cut off as zeros: ask for damage first. Status 3 is
 * clusters that nobody uses. */
static gboolean
check_image (PvImport *import, GError **error)
{
  static const char *const arguments[] = { "qemu-img", "check", "-q", "-U", "-f", "qcow2", "/dev/fd/3", NULL };
  g_autofree char *complaint = NULL;
  int status = -1;

  if (!run_qemu_img (import, arguments, PV_FD_NONE, &status, &complaint, error))
    return FALSE;
  if (status == 0 || status == 3)
    return TRUE;
  return pv_corrupt (error, "%s is damaged or cut off: qemu-img check: %.300s", import->path, complaint);
}

/* A file without a name for the image as it is read: in the store's place; but nothing that is not encrypted is
 * ever written there when the store is. */
static int
make_file (PvImport *import, GError **error)
{
  const char *elsewhere = g_getenv ("TMPDIR") != NULL ? g_getenv ("TMPDIR") : "/var/tmp";

  return pv_openat (AT_FDCWD, pv_store_get_key (import->store) != NULL ? elsewhere : pv_store_directory (import->store),
                    O_TMPFILE | O_RDWR, 0600, error);
}

/* qemu-img gets @raw as its descriptor 4. */
static gboolean
convert (PvImport *import, int raw, GError **error)
{
  const char *const arguments[]
    = { "qemu-img", "convert", "-U", "-f", "qcow2", "-O", "raw", "/dev/fd/3", "/dev/fd/4", NULL };
  g_autofree char *complaint = NULL;
  int status = -1;

  if (!run_qemu_img (import, arguments, raw, &status, &complaint, error))
    return FALSE;
  return status == 0 || pv_throw (error, PV_ERROR_FAILED, "%s: %.300s", import->path, complaint);
}

gboolean
pv_import_qcow2 (PvImport *import, GError **error)
{
  g_auto(PvFd) fd = PV_FD_NONE;
  off_t size;

  import->transfer.phase = "reading disk";
  import->state = PV_GUEST_SHUTOFF;
  if (!check_header (import, error) || !check_image (import, error))
    return FALSE;
  fd = make_file (import, error);
  if (fd < 0 || !convert (import, fd, error))
    return FALSE;
  size = lseek (fd, 0, SEEK_END);
  if (size < 0)
    return pv_throw_errno (error, errno, "cannot read what qemu-img has written");
  if (!pv_import_copy (import, fd, (guint64) size, PV_VOLUME_DISK, import->target, error))
    return FALSE;
  return !import->main_file
         || (pv_import_copy (import, import->fd, import->size, PV_VOLUME_BLOB, PV_BLOB_IMAGE, error)
             && pv_import_note_format (import, "qcow2", error));
}
