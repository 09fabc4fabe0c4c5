/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "capture/direct-devices.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "stream/stream-decoder.h"
#include "util/error.h"
#include "util/fault.h"
#include "util/file.h"

#define FDSET_NAME "pagevault-devices"

struct _PvDirectDevices
{
  PvFd fd;     /* memory file that QEMU writes into */
  char *fdset; /* (owned): what QEMU calls it */
};

static gboolean
give_file (PvDirectDevices *self, PvCapture *capture, GError **error)
{
  g_auto(PvFd) theirs = PV_FD_NONE;
  gint64 set;

  self->fd = memfd_create (FDSET_NAME, MFD_CLOEXEC);
  if (self->fd < 0)
    return pv_throw_errno (error, errno, "cannot make a memory file for the device state");
  theirs = pv_reopen (self->fd, O_WRONLY, error); /* QEMU takes a descriptor only for what it was opened for */
  if (theirs < 0 || !pv_capture_step (capture, "capture.direct.fdset", error)
      || !pv_journal_add (capture->journal, FALSE, error, PV_STEP_FDSET, FDSET_NAME, NULL))
    return FALSE;
  if (!pv_guest_give_fd (capture->guest, theirs, FDSET_NAME, &set, error))
    return FALSE;
  self->fdset = g_strdup_printf ("/dev/fdset/%" G_GINT64_FORMAT, set);
  return pv_fault ("capture.direct.fdset.given", error);
}

PvDirectDevices *
pv_direct_devices_new (PvCapture *capture, GError **error)
{
  g_autoptr(PvDirectDevices) self = g_new0 (PvDirectDevices, 1);

  self->fd = PV_FD_NONE;
  return give_file (self, capture, error) ? g_steal_pointer (&self) : NULL;
}

void
pv_direct_devices_free (PvDirectDevices *self)
{
  if (self == NULL)
    return;
  pv_fd_clear (&self->fd);
  g_free (self->fdset);
  g_free (self);
}

gboolean
pv_direct_devices_save (PvDirectDevices *self, PvGuest *guest, GError **error)
{
  g_autoptr(JsonObject) arguments = json_object_new ();
  g_autoptr(JsonNode) reply = NULL;

  json_object_set_string_member (arguments, "filename", self->fdset);
  json_object_set_boolean_member (arguments, "live", FALSE);
  reply = pv_guest_qmp (guest, "xen-save-devices-state", arguments, error);
  return reply != NULL;
}

GBytes *
pv_direct_devices_read (PvDirectDevices *self, GError **error)
{
  off_t size = lseek (self->fd, 0, SEEK_END);
  g_autofree guint8 *bytes = NULL;

  if (size <= 0 || size > PV_STREAM_DEVICES_MAX)
    {
      pv_throw (error, PV_ERROR_FAILED, "QEMU has written no device state, or more than can be");
      return NULL;
    }
  bytes = g_malloc ((gsize) size);
  if (!pv_pread_exact (self->fd, bytes, (gsize) size, 0, FDSET_NAME, error))
    return NULL;
  return g_bytes_new_take (g_steal_pointer (&bytes), (gsize) size);
}
