/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/pager-guest.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>

#include "util/error.h"
#include "util/file.h"
#include "virt/guest-migration.h"
#include "virt/host.h"

#define CAPABILITY "postcopy-ram"
#define FD_NAME "pagevault-pager"
#define NODE "pagevault-memory-still-coming" /* what QEMU says of a migration that is asked for meanwhile */
#define KEPT_NODE "pagevault-lazily-restored"   /* likewise of an internal snapshot, also later */

enum
{
  RECONNECT_MS = 5000,
};

struct _PvPagerGuest
{
  char *uri, *uuid, *name;  /* (owned) */
  PvConnection *connection; /* (owned) (nullable) */
  PvGuest *guest;           /* (owned) (nullable) */
};

PvPagerGuest *
pv_pager_guest_new (const PvLazyState *state)
{
  PvPagerGuest *self = g_new0 (PvPagerGuest, 1);

  self->uri = g_strdup (state->uri);
  self->uuid = g_strdup (state->uuid);
  self->name = g_strdup (state->domain);
  return self;
}

void
pv_pager_guest_free (PvPagerGuest *self)
{
  if (self == NULL)
    return;
  g_clear_pointer (&self->guest, pv_guest_unref);
  g_clear_pointer (&self->connection, pv_connection_unref);
  g_free (self->uri);
  g_free (self->uuid);
  g_free (self->name);
  g_free (self);
}

gboolean
pv_pager_guest_connect (PvPagerGuest *self, GError **error)
{
  if (self->connection != NULL && !pv_connection_alive (self->connection))
    {
      PvConnection *again = pv_connection_reopen (self->connection, RECONNECT_MS, error);

      if (again == NULL)
        return FALSE;
      g_clear_pointer (&self->guest, pv_guest_unref);
      pv_connection_unref (self->connection);
      self->connection = again;
    }
  if (self->connection == NULL)
    self->connection = pv_connection_open (self->uri, error);
  return self->connection != NULL;
}

/* (transfer none): the guest over a living connection. */
static PvGuest *
get_guest (PvPagerGuest *self, GError **error)
{
  if (!pv_pager_guest_connect (self, error))
    return NULL;
  if (self->guest == NULL)
    self->guest = pv_guest_lookup_uuid (self->connection, self->uuid, error);
  return self->guest;
}

/* Gives QEMU one end of a new channel under FD_NAME: the other end. */
static int
give_channel (PvGuest *guest, GError **error)
{
  g_autoptr(JsonObject) arguments = json_object_new ();
  g_autoptr(JsonNode) reply = NULL;
  int ends[2];
  g_auto(PvFd) ours = PV_FD_NONE;
  g_auto(PvFd) theirs = PV_FD_NONE;

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
    {
      pv_throw_errno (error, errno, "cannot make a channel");
      return -1;
    }
  ours = ends[0];
  theirs = ends[1];
  json_object_set_string_member (arguments, "fdname", FD_NAME);
  reply = pv_guest_qmp_with_fds (guest, "getfd", arguments, &theirs, 1, error);
  return reply != NULL ? pv_fd_steal (&ours) : -1;
}

static gboolean
run_uri (PvGuest *guest, const char *command, GError **error)
{
  g_autoptr(JsonObject) arguments = json_object_new ();
  g_autoptr(JsonNode) reply = NULL;

  json_object_set_string_member (arguments, "uri", "fd:" FD_NAME);
  reply = pv_guest_qmp (guest, command, arguments, error);
  return reply != NULL;
}

/* Before anything comes in: QEMU answers for certain. Migrations: until pv_pager_guest_complete(); where it cannot be,
 * one that is asked for meanwhile is refused all the same, only worse. Internal snapshots: libvirt takes them together
 * with the description of the guest, "-incoming" included, and when it is to go back to them it ends the guest and
 * starts a QEMU that refuses that option. */
static void
forbid_harm (PvGuest *guest)
{
  g_autoptr(GError) error = NULL;

  if (!pv_guest_forbid_migration (guest, NODE, &error))
    syslog (LOG_NOTICE, "%s: 'virsh save' while memory comes will do QEMU harm", error->message);
  g_clear_error (&error);
  if (!pv_guest_forbid_internal_snapshots (guest, KEPT_NODE, &error))
    syslog (LOG_NOTICE, "%s: libvirt may fail to revert to internal snapshots of it", error->message);
}

int
pv_pager_guest_incoming (PvPagerGuest *self, GError **error)
{
  PvGuest *guest = get_guest (self, error);
  g_autoptr(GError) why = NULL;
  g_auto(PvFd) channel = PV_FD_NONE;

  if (guest == NULL)
    return -1;
  if (!pv_guest_set_capability (guest, CAPABILITY, TRUE, &why))
    {
      pv_throw (error, PV_ERROR_UNSUPPORTED, "%s", why->message);
      return -1;
    }
  forbid_harm (guest);
  channel = give_channel (guest, error);
  return channel >= 0 && run_uri (guest, "migrate-incoming", error) ? pv_fd_steal (&channel) : -1;
}

int
pv_pager_guest_recover (PvPagerGuest *self, GError **error)
{
  PvGuest *guest = get_guest (self, error);
  g_auto(PvFd) channel = guest != NULL ? give_channel (guest, error) : PV_FD_NONE;

  return channel >= 0 && run_uri (guest, "migrate-recover", error) ? pv_fd_steal (&channel) : -1;
}

gboolean
pv_pager_guest_suspend (PvPagerGuest *self, GError **error)
{
  PvGuest *guest = get_guest (self, error);

  return guest != NULL && pv_guest_suspend (guest, error);
}

/* Of a guest that has left "inmigrate". What is not among the words is told of a migration out of this QEMU, which
 * hides what comes in: a save that QEMU refused is "setup" for good. Then trying tells. */
static PvIncoming
incoming_of (const char *status)
{
  static const struct
  {
    const char *word;
    PvIncoming incoming;
  } words[] = {
    { "postcopy-active", PV_INCOMING_ACTIVE },
    { "postcopy-recover", PV_INCOMING_ACTIVE },
    { "postcopy-paused", PV_INCOMING_BROKEN },
    { "completed", PV_INCOMING_COMPLETE },
  };

  for (guint i = 0; i < G_N_ELEMENTS (words); i++)
    if (strcmp (status, words[i].word) == 0)
      return words[i].incoming;
  return strcmp (status, "none") == 0 ? PV_INCOMING_GONE : PV_INCOMING_BROKEN;
}

gboolean
pv_pager_guest_incoming_state (PvPagerGuest *self, PvIncoming *incoming, GError **error)
{
  g_autoptr(GError) local = NULL;
  PvGuest *guest = get_guest (self, &local);
  g_auto(PvMigrationInfo) info = { 0 };
  PvRunState state = PV_RUN_SHUTOFF;
  g_autofree char *status = NULL;

  *incoming = PV_INCOMING_GONE;
  if ((guest == NULL || !pv_guest_state (guest, &state, NULL, &local))
      && g_error_matches (local, PV_ERROR, PV_ERROR_NOT_FOUND))
    return TRUE;
  if (local != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local));
      return FALSE;
    }
  if (state == PV_RUN_SHUTOFF)
    return TRUE;
  status = pv_guest_qemu_status (guest, error);
  if (status == NULL || !pv_guest_query_migrate (guest, &info, error))
    return FALSE;
  *incoming = g_str_equal (status, "inmigrate") ? PV_INCOMING_WAITING : incoming_of (info.status);
  return TRUE;
}

gboolean
pv_pager_guest_complete (PvPagerGuest *self, GError **error)
{
  PvGuest *guest = get_guest (self, error);

  gboolean allowed = guest != NULL && pv_guest_allow_migration (guest, NODE, error);

  return guest != NULL && pv_guest_set_capability (guest, CAPABILITY, FALSE, allowed ? error : NULL) && allowed;
}

gboolean
pv_pager_guest_destroy (PvPagerGuest *self, GError **error)
{
  g_autoptr(GError) local = NULL;
  PvGuest *guest = get_guest (self, &local);
  PvRunState state = PV_RUN_SHUTOFF;

  if (guest != NULL && pv_guest_state (guest, &state, NULL, &local)
      && (state == PV_RUN_SHUTOFF || pv_host_destroy (guest, &local)))
    return TRUE;
  if (g_error_matches (local, PV_ERROR, PV_ERROR_NOT_FOUND))
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&local));
  return FALSE;
}
