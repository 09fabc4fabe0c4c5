/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Eager: a libvirt save image is composed in the store's scratch folder, and libvirt loads it. Of an encrypted store it
 * is composed in memory, because it is not encrypted. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "restore/memory-image.h"
#include "restore/restore-job-private.h"
#include "store/store-keys.h"
#include "util/error.h"
#include "util/fault.h"
#include "util/file.h"
#include "virt/host.h"

/* An empty file for the image: its path is (transfer full). */
static int
make_file (PvRestore *self, char **path, GError **error)
{
  if (pv_store_get_key (self->store) == NULL)
    {
      *path = g_build_filename (pv_store_scratch_path (self->scratch), "memory.save", NULL);
      return pv_openat (AT_FDCWD, *path, O_RDWR | O_CREAT | O_EXCL, 0600, error);
    }
  self->image_fd = memfd_create ("memory.save", MFD_CLOEXEC);
  if (self->image_fd < 0)
    {
      pv_throw_errno (error, errno, "cannot make a file in memory");
      return PV_FD_NONE;
    }
  *path = g_strdup_printf ("/proc/%d/fd/%d", getpid (), self->image_fd);
  return dup (self->image_fd);
}

/* (transfer full): path of the image. */
static char *
write_image (PvRestore *self, GError **error)
{
  g_autofree char *xml = pv_domain_xml_to_string (self->live);
  g_autofree char *path = NULL;
  g_auto(PvFd) fd = make_file (self, &path, error);

  if (fd < 0)
    return NULL;
  self->transfer.phase = "writing memory";
  if (pv_fault ("restore.image", error)
      && pv_memory_image_write (self->store, self->snapshot, xml, fd, "memory image", &self->transfer, error))
    return g_steal_pointer (&path);
  if (error != NULL && g_error_matches (*error, PV_ERROR, PV_ERROR_NO_SPACE))
    g_prefix_error (error, "the memory has to fit into '%s' once more while it is loaded: ",
                    pv_store_directory (self->store));
  return NULL;
}

gboolean
pv_restore_prepare_eager (PvRestore *self, GError **error)
{
  self->scratch = pv_store_scratch_new (self->store, error);
  self->image = self->scratch != NULL ? write_image (self, error) : NULL;
  return self->image != NULL;
}

gboolean
pv_restore_load_eager (PvRestore *self, GError **error)
{
  return pv_host_restore (self->connection, self->image, TRUE, error);
}
