/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/restore-undo.h"

#include <string.h>
#include <sys/stat.h>

#include "util/error.h"
#include "util/fault.h"
#include "util/file.h"
#include "virt/host.h"
#include "xml/domain-xml.h"

enum
{
  PATIENCE_MS = 2000, /* a killed restore's guest appears within this time, if libvirtd is loading it */
  POLL_MS = 100,
};

typedef struct
{
  PvConnection *connection;
  GPtrArray *steps;   /* (element-type PvMade) */
  const char *name;   /* of the guest, from its step */
  const char *uuid;
  gboolean committed;
  gboolean patient;
  gboolean in_use;    /* a guest that is not ours to end runs on the new files */
  PvBringBackFunc bring_back;
  gpointer data;
  GString *done;
} Undo;

static void say (Undo *self, const char *format, ...) G_GNUC_PRINTF (2, 3);

static void
say (Undo *self, const char *format, ...)
{
  va_list arguments;

  g_string_append (self->done, self->done->len > 0 ? ", " : "");
  va_start (arguments, format);
  g_string_append_vprintf (self->done, format, arguments);
  va_end (arguments);
}

/* --- the new guest ----------------------------------------------------------------------------------------------- */

/* (nullable) (transfer full): the guest; NULL without error when there is none. */
static PvGuest *
find_guest (Undo *self, GError **error)
{
  g_autoptr(GError) local = NULL;
  PvGuest *guest = pv_guest_lookup_uuid (self->connection, self->uuid, &local);

  if (guest == NULL && !g_error_matches (local, PV_ERROR, PV_ERROR_NOT_FOUND))
    g_propagate_error (error, g_steal_pointer (&local));
  return guest;
}

static gboolean
made_file (Undo *self, const char *path)
{
  for (guint i = 0; i < self->steps->len; i++)
    {
      const PvMade *made = self->steps->pdata[i];

      if (made->kind == PV_MADE_FILE && g_strcmp0 (made->arguments[0], path) == 0)
        return TRUE;
    }
  return FALSE;
}

static gboolean
made_any_file (Undo *self)
{
  for (guint i = 0; i < self->steps->len; i++)
    if (((const PvMade *) self->steps->pdata[i])->kind == PV_MADE_FILE)
      return TRUE;
  return FALSE;
}

/* @ours: (out): the guest that runs has the files that were made for it. */
static gboolean
is_ours (Undo *self, PvGuest *guest, gboolean *ours, GError **error)
{
  g_autofree char *text = pv_guest_xml (guest, 0, error);
  g_autoptr(PvDomainXml) xml = text != NULL ? pv_domain_xml_parse (text, error) : NULL;
  GPtrArray *disks = xml != NULL ? pv_domain_xml_disks (xml) : NULL;

  if (xml == NULL)
    return FALSE;
  *ours = !made_any_file (self) || made_file (self, pv_domain_xml_nvram (xml));
  for (guint i = 0; i < disks->len && !*ours; i++)
    *ours = made_file (self, ((PvDomainDisk *) disks->pdata[i])->path);
  return TRUE;
}

/* @guest: (out) (transfer full) (nullable): the new guest as far as it runs, with its @state. */
static gboolean
find_new (Undo *self, PvGuest **guest, PvRunState *state, GError **error)
{
  guint waited = 0;

  *guest = NULL;
  for (;;)
    {
      g_autoptr(GError) local = NULL;
      g_autoptr(PvGuest) found = find_guest (self, &local);
      gboolean ours = FALSE;

      if (found != NULL && pv_guest_state (found, state, NULL, &local) && *state != PV_RUN_SHUTOFF
          && is_ours (self, found, &ours, &local) && ours)
        *guest = g_steal_pointer (&found);
      /* one that ended between two questions is not there, which the next turn sees */
      if (*guest != NULL || (local == NULL && (!self->patient || waited >= PATIENCE_MS)))
        return TRUE;
      if (local != NULL && waited >= PATIENCE_MS)
        {
          g_propagate_error (error, g_steal_pointer (&local));
          return FALSE;
        }
      g_usleep (POLL_MS * 1000);
      waited += POLL_MS;
    }
}

static gboolean
undo_load (Undo *self, GError **error)
{
  g_autoptr(PvGuest) guest = NULL;
  PvRunState state = PV_RUN_SHUTOFF;

  if (!find_new (self, &guest, &state, error))
    return FALSE;
  if (guest == NULL)
    return TRUE;
  if (state != PV_RUN_PAUSED)
    {
      self->in_use = TRUE;
      say (self, "the new guest runs already and was left alone");
      return TRUE;
    }
  say (self, "the new guest, which had not run, was ended");
  return pv_host_destroy (guest, error);
}

/* --- the rest ---------------------------------------------------------------------------------------------------- */

static gboolean
undo_definition (Undo *self, const PvMade *made, GError **error)
{
  const char *before = made->arguments[0];
  g_autoptr(PvGuest) guest = NULL;
  g_autoptr(GError) local = NULL;
  gboolean persistent = FALSE;

  if (self->in_use)
    return TRUE;
  if (*before != '\0')
    {
      guest = pv_host_define (self->connection, before, error);
      return guest != NULL;
    }
  guest = find_guest (self, &local);
  if (local != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local));
      return FALSE;
    }
  return guest == NULL
         || (pv_host_persistent (guest, &persistent, error) && (!persistent || pv_host_undefine (guest, error)));
}

/* Only the very file that was made: it may have been removed since, and its name given to another. */
static gboolean
undo_file (Undo *self, const PvMade *made, GError **error)
{
  const char *path = made->arguments[0];
  struct stat st;

  if (self->in_use || lstat (path, &st) < 0 || !S_ISREG (st.st_mode)
      || (guint64) st.st_dev != g_ascii_strtoull (made->arguments[1], NULL, 10)
      || (guint64) st.st_ino != g_ascii_strtoull (made->arguments[2], NULL, 10))
    return TRUE;
  say (self, "'%s' was removed", path);
  return pv_unlink (path, error);
}

/* The domain is there or not, but it does not run: nothing else has taken its place. */
static gboolean
undo_replace (Undo *self, const PvMade *made, GError **error)
{
  g_autoptr(GError) local = NULL;
  g_autoptr(PvGuest) guest = find_guest (self, &local);
  gboolean paused = g_str_equal (made->arguments[0], "paused");
  PvRunState state;

  if (local != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local));
      return FALSE;
    }
  if (guest != NULL && !pv_guest_state (guest, &state, NULL, error))
    return FALSE;
  if (self->in_use || self->bring_back == NULL || (guest != NULL && state != PV_RUN_SHUTOFF))
    return TRUE;
  if (!self->bring_back (made->arguments[1], made->arguments[2], paused, self->data, error))
    return FALSE;
  if (*made->arguments[1] != '\0')
    say (self, "the guest was brought back from %s", made->arguments[1]);
  else
    say (self, "the guest was started again on its own disks");
  return TRUE;
}

static gboolean
undo_step (Undo *self, const PvMade *made, GError **error)
{
  g_autofree char *point = g_strconcat ("restore.undo.", pv_made_kind_to_string (made->kind), NULL);

  if (!pv_fault (point, error))
    return FALSE;
  switch (made->kind)
    {
    case PV_MADE_FILE:
      return undo_file (self, made, error);
    case PV_MADE_LOAD:
      return undo_load (self, error);
    case PV_MADE_DEFINITION:
      return undo_definition (self, made, error);
    default:
      return TRUE;
    }
}

/* Newest first; no step is left out for the failure of another, and a replaced guest comes back when all else is out of
 * its way. */
static gboolean
undo_all (Undo *self, GError **error)
{
  gboolean ok = TRUE;

  for (guint i = self->steps->len; i > 0; i--)
    if (!undo_step (self, self->steps->pdata[i - 1], ok ? error : NULL))
      ok = FALSE;
  for (guint i = 0; ok && i < self->steps->len; i++)
    {
      const PvMade *made = self->steps->pdata[i];

      if (made->kind == PV_MADE_REPLACE && (!pv_fault ("restore.undo.replace", error)
                                            || !undo_replace (self, made, error)))
        return FALSE;
    }
  return ok;
}

/* A guest that is restored lazily was started paused, which libvirt takes for the user's wish. */
static gboolean
is_lazy (PvGuest *guest)
{
  g_autofree char *xml = pv_guest_xml (guest, 0, NULL);

  return xml != NULL && strstr (xml, "-incoming") != NULL;
}

/* The guest is whole; it may not have been let run. */
static gboolean
finish (Undo *self, const PvMade *commit, GError **error)
{
  g_autoptr(PvGuest) guest = NULL;
  PvRunState state = PV_RUN_SHUTOFF;
  int reason = 0;

  if (!g_str_equal (commit->arguments[0], "running"))
    return TRUE;
  if (!find_new (self, &guest, &state, error))
    return FALSE;
  if (guest == NULL || state != PV_RUN_PAUSED || !pv_guest_state (guest, &state, &reason, error)
      || (reason == VIR_DOMAIN_PAUSED_USER && !is_lazy (guest)))
    return TRUE;
  say (self, "the new guest was let run");
  return pv_guest_resume (guest, error);
}

static const PvMade *
look_ahead (Undo *self)
{
  const PvMade *commit = NULL;

  for (guint i = 0; i < self->steps->len; i++)
    {
      const PvMade *made = self->steps->pdata[i];

      if (made->kind == PV_MADE_GUEST)
        {
          self->name = made->arguments[1];
          self->uuid = made->arguments[2];
        }
      else if (made->kind == PV_MADE_COMMIT)
        commit = made;
    }
  return commit;
}

gboolean
pv_restore_undo (PvRestoreJournal *journal, PvConnection *connection, gboolean patient, PvBringBackFunc bring_back,
                 gpointer data, char **done, GError **error)
{
  g_autoptr(GString) said = g_string_new (NULL);
  g_autoptr(GPtrArray) steps = pv_restore_journal_steps (journal, error);
  Undo undo = { .connection = connection, .steps = steps, .patient = patient, .bring_back = bring_back, .data = data,
                .done = said };
  const PvMade *commit = steps != NULL ? look_ahead (&undo) : NULL;
  gboolean ok = steps != NULL;

  if (ok && undo.uuid != NULL)
    ok = commit != NULL ? finish (&undo, commit, error) : undo_all (&undo, error);
  if (done != NULL)
    *done = said->len > 0 ? g_strdup (said->str) : NULL;
  return ok && pv_restore_journal_remove (journal, error);
}
