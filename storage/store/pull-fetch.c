/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/pull-fetch.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "pack/pack-reader.h"
#include "store/transfers.h"
#include "util/error.h"
#include "util/fault.h"

typedef struct
{
  PvMirror *mirror;
  PvRemote *remote;
  guint64 total; /* bytes */
  PvStoreProgressFunc progress;
  gpointer data;
} Fetch;

char *
pv_pull_path (PvMirror *self, const PvName *name)
{
  g_autofree char *hex = pv_name_to_hex (name);

  return g_build_filename (self->directory, "incoming", hex, NULL);
}

static void
note_damage (const PvName *object, guint32 frame, const char *why, gpointer data)
{
  GError **error = data;

  if (*error == NULL)
    pv_corrupt (error, "frame %u: %s", frame, why);
}

gboolean
pv_pull_check (PvMirror *self, const char *path, const PvRemotePack *pack, GError **error)
{
  g_autoptr(PvPackReader) reader = pv_pack_reader_open (path, &pack->name, error);
  g_autoptr(PvNamer) namer = pv_namer_new (pv_store_key_for_names (self->key));
  GError *damage = NULL;

  if (reader == NULL || !pv_pack_reader_unlock (reader, self->key, error)
      || !pv_pack_reader_verify (reader, namer, NULL, note_damage, &damage, error))
    {
      g_clear_error (&damage);
      return FALSE;
    }
  if (damage == NULL)
    return TRUE;
  g_propagate_error (error, damage);
  return FALSE;
}

static gboolean
fetch_to (Fetch *self, const PvRemotePack *pack, const char *path, GCancellable *stop, guint64 *done, GError **error)
{
  g_autofree char *key = pv_remote_pack_key (&pack->name, pv_mirror_generation (self->mirror, &pack->name));
  g_auto(PvFd) fd = pv_openat (AT_FDCWD, path, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600, error);

  return fd >= 0 && pv_fault ("pull.fetch", error)
         && pv_remote_get_file (self->remote, key, fd, pack->size, stop, pv_transfer_note, done, error)
         && pv_pull_check (self->mirror, path, pack, error) && pv_fsync (fd, path, error);
}

static gboolean
fetch_pack (const PvRemotePack *pack, GCancellable *stop, guint64 *done, gpointer data, GError **error)
{
  Fetch *self = data;
  g_autofree char *path = pv_pull_path (self->mirror, &pack->name);
  g_autofree char *temporary = g_strdup_printf ("%s.part-%d", path, (int) getpid ());

  if (access (path, F_OK) == 0 && pv_pull_check (self->mirror, path, pack, NULL))
    {
      pv_transfer_note (pack->size, done);
      return TRUE;
    }
  if (fetch_to (self, pack, temporary, stop, done, error) && pv_rename (temporary, path, error))
    return TRUE;
  g_prefix_error (error, "a pack from remote '%s': ", pv_mirror_name (self->mirror));
  (void) unlink (temporary);
  return FALSE;
}

static gboolean
tick (guint64 done, gpointer data, GError **error)
{
  Fetch *self = data;

  if (self->progress != NULL)
    self->progress ("pull", done, self->total, self->data);
  return TRUE;
}

/* What others left half fetched; those of living processes are told by their ids, which is good enough for a cache. */
static void
sweep (const char *directory)
{
  g_autoptr(GDir) dir = g_dir_open (directory, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      const char *part = strstr (name, ".part-");
      g_autofree char *path = g_build_filename (directory, name, NULL);
      g_autofree char *process = part != NULL ? g_strconcat ("/proc/", part + strlen (".part-"), NULL) : NULL;

      if (process != NULL && access (process, F_OK) != 0)
        (void) unlink (path);
    }
}

gboolean
pv_pull_fetch (PvMirror *self, GArray *packs, PvStoreProgressFunc progress, gpointer data, GCancellable *cancellable,
               GError **error)
{
  g_autofree char *directory = g_build_filename (self->directory, "incoming", NULL);
  g_autoptr(PvRemote) remote = pv_mirror_remote (self, error);
  Fetch fetch = { self, remote, 0, progress, data };
  guint64 n_done;

  if (remote == NULL || !pv_mkdirs (directory, 0700, error))
    return FALSE;
  sweep (directory);
  for (guint i = 0; i < packs->len; i++)
    fetch.total += g_array_index (packs, PvRemotePack, i).size;
  return pv_transfers_run (packs, fetch_pack, tick, &fetch, &n_done, cancellable, error);
}
