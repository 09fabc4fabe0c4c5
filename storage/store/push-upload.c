/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/push-upload.h"

#include <fcntl.h>

#include "pack/pack-reader.h"
#include "util/error.h"
#include "util/fault.h"

typedef struct
{
  PvStore *store;
  PvRemote *remote;
  PvPushPlan *plan;
  PvTransferTick tick;
  gpointer data;
} Upload;

static void
note_damage (const PvName *object, guint32 frame, const char *why, gpointer data)
{
  GError **error = data;

  if (error != NULL && *error == NULL)
    pv_corrupt (error, "frame %u is damaged (%s): run 'pagevault verify'", frame, why);
}

/* The descriptor is had first: gc may unlink the file as it likes from then on. */
static gboolean
send_pack (const PvRemotePack *pack, GCancellable *stop, guint64 *done, gpointer data, GError **error)
{
  Upload *self = data;
  g_autofree char *path = pv_push_plan_path (self->plan, self->store, &pack->name);
  g_autofree char *key = pv_remote_pack_key (&pack->name, pack->generation);
  g_auto(PvFd) fd = pv_openat (AT_FDCWD, path, O_RDONLY, 0, error);
  g_autofree char *same = g_strdup_printf ("/proc/self/fd/%d", fd);
  g_autoptr(PvPackReader) reader = fd >= 0 ? pv_pack_reader_open (same, &pack->name, error) : NULL;
  g_autoptr(GError) damage = NULL;

  if (reader == NULL || !pv_pack_reader_verify (reader, NULL, NULL, note_damage, &damage, error))
    return FALSE;
  if (damage == NULL && pv_pack_reader_size (reader) != pack->size)
    pv_corrupt (&damage, "it has %" G_GUINT64_FORMAT " bytes: run 'pagevault verify'", pv_pack_reader_size (reader));
  if (damage != NULL)
    {
      g_propagate_prefixed_error (error, g_steal_pointer (&damage), "pack '%s': ", path);
      return FALSE;
    }
  return pv_fault ("push.upload", error)
         && pv_remote_put_file (self->remote, key, fd, pack->size, stop, pv_transfer_note, done, error);
}

static gboolean
tick_upload (guint64 done, gpointer data, GError **error)
{
  Upload *self = data;

  return self->tick (done, self->data, error);
}

gboolean
pv_push_upload (PvStore *store, PvRemote *remote, PvPushPlan *plan, guint64 *sent, PvTransferTick tick, gpointer data,
                GCancellable *cancellable, GError **error)
{
  Upload self = { store, remote, plan, tick, data };

  return pv_transfers_run (plan->uploads, send_pack, tick_upload, &self, sent, cancellable, error);
}
