/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "remote/remote-probe.h"

#include <string.h>

#include "util/error.h"

#define SIZE 8192u  /* bytes of the object */
#define OFFSET 1000u
#define LENGTH 5000u

static double
ms_since (gint64 start)
{
  return (double) (g_get_monotonic_time () - start) / G_TIME_SPAN_MILLISECOND;
}

static GBytes *
make_bytes (void)
{
  guint8 *data = g_malloc (SIZE);

  for (guint i = 0; i < SIZE; i++)
    data[i] = (guint8) g_random_int ();
  return g_bytes_new_take (data, SIZE);
}

/* TRUE in @can, or FALSE when the error is UNSUPPORTED, which is then no error. */
static gboolean
allow_unsupported (GError *local, gboolean *can, GError **error)
{
  *can = local == NULL;
  if (local == NULL || g_error_matches (local, PV_ERROR, PV_ERROR_UNSUPPORTED))
    {
      g_clear_error (&local);
      return TRUE;
    }
  g_propagate_error (error, local);
  return FALSE;
}

static gboolean
try_reading (PvRemote *remote, const char *key, GBytes *bytes, PvRemoteProbe *probe, GCancellable *cancellable,
             GError **error)
{
  gint64 start = g_get_monotonic_time ();
  g_autoptr(GBytes) whole = pv_remote_get_all (remote, key, SIZE, cancellable, error);
  g_autoptr(GBytes) part = NULL;
  g_autoptr(GBytes) wanted = g_bytes_new_from_bytes (bytes, OFFSET, LENGTH);
  GError *local = NULL;
  guint64 size;

  if (whole == NULL)
    return FALSE;
  probe->get_ms = ms_since (start);
  part = pv_remote_get (remote, key, OFFSET, LENGTH, cancellable, &local);
  if (!allow_unsupported (local, &probe->ranges, error) || !pv_remote_stat (remote, key, &size, cancellable, error))
    return FALSE;
  if (!g_bytes_equal (whole, bytes) || size != SIZE || (part != NULL && !g_bytes_equal (part, wanted)))
    return pv_corrupt (error, "'%s' gives back other bytes than it was given", pv_remote_url (remote));
  return TRUE;
}

static gboolean
note_listed (const PvRemoteEntry *entry, gpointer data, GError **error)
{
  *(gboolean *) data |= entry->size == SIZE;
  return TRUE;
}

static gboolean
try_condition (PvRemote *remote, const char *key, PvRemoteProbe *probe, GCancellable *cancellable, GError **error)
{
  g_autoptr(GBytes) other = make_bytes ();
  g_autoptr(GError) local = NULL;
  gboolean taken = pv_remote_put (remote, key, other, PV_REMOTE_PUT_IF_ABSENT, cancellable, &local);

  probe->conditional = g_error_matches (local, PV_ERROR, PV_ERROR_EXISTS);
  if (taken || probe->conditional || g_error_matches (local, PV_ERROR, PV_ERROR_UNSUPPORTED))
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&local));
  return FALSE;
}

gboolean
pv_remote_probe (PvRemote *remote, PvRemoteProbe *probe, GCancellable *cancellable, GError **error)
{
  g_autofree char *key = g_strdup_printf ("probe/%08x%08x", g_random_int (), g_random_int ());
  g_autoptr(GBytes) bytes = make_bytes ();
  gint64 start = g_get_monotonic_time ();
  gboolean done;

  memset (probe, 0, sizeof *probe);
  if (!pv_remote_put (remote, key, bytes, PV_REMOTE_PUT_DEFAULT, cancellable, error))
    return FALSE;
  probe->put_ms = ms_since (start);
  done = try_reading (remote, key, bytes, probe, cancellable, error)
         && pv_remote_list (remote, key, NULL, note_listed, &probe->lists, cancellable, error)
         && try_condition (remote, key, probe, cancellable, error);
  if (!done)
    {
      pv_remote_delete (remote, key, NULL, NULL);
      return FALSE;
    }
  if (!pv_remote_delete (remote, key, cancellable, error))
    return FALSE;
  if (pv_remote_stat (remote, key, NULL, cancellable, NULL))
    return pv_corrupt (error, "'%s' still has what was deleted", pv_remote_url (remote));
  return TRUE;
}
