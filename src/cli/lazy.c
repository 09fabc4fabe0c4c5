/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/lazy.h"

#include <stdio.h>

#include "cli/progress.h"
#include "restore/lazy-restore.h"
#include "util/bytesize.h"
#include "util/error.h"

#define PAGE 4096u /* bytes */

static void
show (const PvLazyStatus *status, gpointer data)
{
  pv_progress_update ("memory", pv_lazy_status_there (status), status->total_pages * PAGE, data);
}

gboolean
pv_lazy_finish (PvCli *cli, PvStore *store, const char *uuid, gboolean hurry, GError **error)
{
  g_autoptr(PvProgress) progress = pv_progress_new ();

  return pv_lazy_wait (store, uuid, hurry, show, progress, cli->cancellable, error);
}

/* (transfer full) (element-type PvLazyState): restores of @snapshot. */
static GPtrArray *
restores_of (PvStore *store, const char *snapshot)
{
  GPtrArray *states = pv_lazy_state_list (pv_store_directory (store));

  for (guint i = states->len; snapshot != NULL && i-- > 0;)
    if (!g_str_equal (((PvLazyState *) states->pdata[i])->snapshot, snapshot))
      g_ptr_array_remove_index (states, i);
  return states;
}

/* How it is with the guest, as a person would say it. */
static void
print_one (const PvLazyState *state, const PvLazyStatus *status)
{
  g_autofree char *there = pv_bytesize_format (pv_lazy_status_there (status));
  g_autofree char *total = pv_bytesize_format (status->total_pages * PAGE);

  switch (status->phase)
    {
    case PV_LAZY_DEAD:
      printf ("guest %s: its memory comes from %s no more: 'pagevault restore --recover' lets it go on\n",
              state->domain, state->snapshot);
      return;
    case PV_LAZY_WAITING:
    case PV_LAZY_DAMAGED:
      printf ("guest %s: %s\n", state->domain, status->message);
      return;
    case PV_LAZY_STARTING:
    case PV_LAZY_RUNNING:
    case PV_LAZY_RECOVERING:
    default:
      printf ("guest %s: memory comes from %s: %s of %s there, %" G_GUINT64_FORMAT " pages on demand (%s)\n",
              state->domain, state->snapshot, there, total, status->pages_on_demand,
              pv_lazy_phase_to_string (status->phase));
      return;
    }
}

void
pv_lazy_print (PvStore *store, const char *snapshot)
{
  g_autoptr(GPtrArray) states = restores_of (store, snapshot);

  for (guint i = 0; i < states->len; i++)
    {
      const PvLazyState *state = states->pdata[i];
      g_auto(PvLazyStatus) status = { 0 };

      if (pv_lazy_state_read_status (state, &status, NULL))
        print_one (state, &status);
    }
}

void
pv_lazy_add_json (JsonBuilder *builder, PvStore *store, const char *snapshot)
{
  g_autoptr(GPtrArray) states = restores_of (store, snapshot);

  json_builder_set_member_name (builder, "restores");
  json_builder_begin_array (builder);
  for (guint i = 0; i < states->len; i++)
    {
      const PvLazyState *state = states->pdata[i];
      g_auto(PvLazyStatus) status = { 0 };

      if (!pv_lazy_state_read_status (state, &status, NULL))
        continue;
      json_builder_begin_object (builder);
      pv_json_string (builder, "domain", state->domain);
      pv_json_string (builder, "snapshot", state->snapshot);
      pv_json_string (builder, "phase", pv_lazy_phase_to_string (status.phase));
      pv_json_size (builder, "sent_bytes", status.sent_pages * PAGE);
      pv_json_size (builder, "zero_bytes", status.zero_pages * PAGE);
      pv_json_size (builder, "memory_bytes", status.total_pages * PAGE);
      pv_json_size (builder, "pages_on_demand", status.pages_on_demand);
      pv_json_string (builder, "message", status.message);
      json_builder_end_object (builder);
    }
  json_builder_end_array (builder);
}

gboolean
pv_lazy_check_unused (PvStore *store, const char *snapshot, GError **error)
{
  g_autoptr(GPtrArray) states = restores_of (store, snapshot);
  g_autofree char *user = NULL;

  /* of guests that are gone, and nobody has noticed */
  for (guint i = 0; i < states->len; i++)
    if (!pv_lazy_recover (store, ((PvLazyState *) states->pdata[i])->uuid, NULL, error))
      return FALSE;
  user = pv_lazy_user (pv_store_directory (store), snapshot);
  return user == NULL
         || pv_throw (error, PV_ERROR_BUSY,
                      "guest %s runs, and its memory is still coming from it: try again when 'pagevault list' does not "
                      "name that guest any more, or destroy it",
                      user);
}
