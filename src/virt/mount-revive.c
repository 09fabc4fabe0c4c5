/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "virt/mount-revive.h"

#include <fcntl.h>

#include "util/file.h"
#include "virt/guest-layer.h"
#include "virt/host.h"

static gboolean
reopen (PvGuest *guest, GPtrArray *paths, GError **error)
{
  for (guint i = 0; i < paths->len; i++)
    {
      g_auto(PvFd) fd = pv_openat (AT_FDCWD, paths->pdata[i], O_RDONLY, 0, error);

      if (fd < 0 || !pv_guest_reopen_layer (guest, paths->pdata[i], fd, error))
        return FALSE;
    }
  return TRUE;
}

/* A guest that was stopped for another reason is left so. */
static gboolean
go_on (PvGuest *guest, gboolean *resumed, GError **error)
{
  PvRunState state;
  int reason = 0;

  if (!pv_guest_state (guest, &state, &reason, error))
    return FALSE;
  *resumed = state == PV_RUN_PAUSED && reason == VIR_DOMAIN_PAUSED_IOERROR;
  if (*resumed && !pv_guest_resume (guest, error))
    return FALSE;
  pv_guest_forget_layers (guest);
  return TRUE;
}

static void
revive (PvGuest *guest, const char *directory, GPtrArray *said)
{
  g_autoptr(GPtrArray) paths = pv_guest_layers_below (guest, directory);
  g_autoptr(GError) local = NULL;
  gboolean resumed = FALSE;

  if (paths->len == 0 || !pv_guest_has_dead_layer (guest))
    return;
  if (reopen (guest, paths, &local) && go_on (guest, &resumed, &local))
    g_ptr_array_add (said, g_strdup_printf ("guest %s reads its disks again%s", pv_guest_name (guest),
                                            resumed ? ", and goes on" : ""));
  else
    g_ptr_array_add (said, g_strdup_printf ("guest %s cannot be given its disks back: %s", pv_guest_name (guest),
                                            local->message));
}

GPtrArray *
pv_mount_revive (PvConnection *connection, const char *directory)
{
  GPtrArray *said = g_ptr_array_new_with_free_func (g_free);
  g_autoptr(GPtrArray) names = pv_host_domains (connection, TRUE, NULL);

  for (guint i = 0; names != NULL && i < names->len; i++)
    {
      g_autoptr(PvGuest) guest = pv_guest_lookup (connection, names->pdata[i], NULL);

      if (guest != NULL)
        revive (guest, directory, said);
    }
  return said;
}
