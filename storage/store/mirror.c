/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/mirror.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

#include "store/mirror-private.h"
#include "store/snapshot-private.h"
#include "store/store-format.h"
#include "store/store-private.h"
#include "util/error.h"

#define FORMAT_KEY "format"

enum
{
  ATTACHED_MAX = 64, /* bytes of that file */
};

/* --- its life ----------------------------------------------------------------------------------------------------- */

PvMirror *
pv_mirror_ref (PvMirror *self)
{
  g_atomic_int_inc (&self->ref_count);
  return self;
}

void
pv_mirror_unref (PvMirror *self)
{
  if (self == NULL || !g_atomic_int_dec_and_test (&self->ref_count))
    return;
  g_clear_pointer (&self->reader, pv_object_reader_free);
  g_clear_pointer (&self->index, pv_index_unref);
  g_clear_pointer (&self->key, pv_store_key_unref);
  g_clear_pointer (&self->blocks, pv_block_cache_free);
  g_clear_pointer (&self->remote, pv_remote_unref);
  g_clear_pointer (&self->generations, g_hash_table_unref);
  g_mutex_clear (&self->lock);
  g_free (self->name);
  g_free (self->directory);
  g_free (self->tables);
  g_free (self->ready);
  g_free (self->lock_path);
  g_free (self->format);
  g_free (self->attached);
  g_free (self->store);
  g_free (self->packs);
  g_free (self);
}

static PvMirror *
alloc_mirror (PvStore *store, const char *name)
{
  PvMirror *self = g_new0 (PvMirror, 1);

  self->ref_count = 1;
  self->name = g_strdup (name);
  self->store = g_strdup (store->directory);
  self->packs = g_strdup (store->packs);
  self->key = store->key != NULL ? pv_store_key_ref (store->key) : NULL;
  self->directory = g_build_filename (store->directory, PV_MIRRORS, name, NULL);
  self->tables = g_build_filename (self->directory, "tables", NULL);
  self->ready = g_build_filename (self->directory, "ready", NULL);
  self->lock_path = g_build_filename (self->directory, "lock", NULL);
  self->format = g_build_filename (self->directory, "format", NULL);
  self->attached = g_build_filename (self->directory, "attached", NULL);
  g_mutex_init (&self->lock);
  self->generations = g_hash_table_new_full (pv_name_hash, pv_name_equal_func, g_free, NULL);
  return self;
}

/* An index that is damaged is made anew: all that is in it comes from the remote. */
static gboolean
open_index (PvMirror *self, GError **error)
{
  g_autoptr(GError) why = NULL;

  self->index = pv_index_open (self->directory, TRUE, &why);
  if (self->index == NULL && g_error_matches (why, PV_ERROR, PV_ERROR_CORRUPT))
    {
      static const char *const files[] = { PV_INDEX_FILE, PV_INDEX_FILE "-wal", PV_INDEX_FILE "-shm",
                                           PV_INDEX_FILTER_FILE };
      g_auto(PvFd) guard = pv_mirror_lock (self, error);

      if (guard < 0 || !pv_remove_tree (self->ready, error))
        return FALSE;
      for (guint i = 0; i < G_N_ELEMENTS (files); i++)
        {
          g_autofree char *path = g_build_filename (self->directory, files[i], NULL);

          if (!pv_unlink (path, error))
            return FALSE;
        }
      g_clear_error (&why);
      self->index = pv_index_open (self->directory, TRUE, &why);
    }
  if (self->index == NULL)
    return g_propagate_error (error, g_steal_pointer (&why)), FALSE;
  return TRUE;
}

/* What was said when it was attached, else the default. */
static guint64
cache_size (PvMirror *self)
{
  g_autoptr(GBytes) bytes = pv_read_file (self->attached, ATTACHED_MAX, NULL);
  g_autofree char *text = NULL;
  guint64 size;

  if (bytes == NULL)
    return PV_MIRROR_CACHE_DEFAULT;
  text = g_strndup (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
  g_strchomp (text);
  return g_ascii_string_to_unsigned (text, 10, 1, G_MAXINT64, &size, NULL) ? size : PV_MIRROR_CACHE_DEFAULT;
}

PvMirror *
pv_mirror_open (PvStore *store, const char *name, PvRemote *remote, GError **error)
{
  g_autoptr(PvMirror) self = alloc_mirror (store, name);
  g_autofree char *blocks = g_build_filename (self->directory, "blocks", NULL);

  if (!pv_mirror_name_check (name, error))
    return NULL;
  if (remote != NULL)
    self->remote = pv_remote_ref (remote);
  if (!pv_mkdirs (self->directory, 0700, error) || !open_index (self, error)
      || !pv_index_reap (self->index, error))
    {
      g_prefix_error (error, "what is known of remote '%s': ", name);
      return NULL;
    }
  self->blocks = pv_block_cache_new (blocks, cache_size (self), pv_mirror_fetch_block, self);
  self->reader = pv_object_reader_new (self->index, self->packs, self->key);
  pv_object_reader_set_fetch (self->reader, &pv_mirror_fetch, self);
  return g_steal_pointer (&self);
}

const char *
pv_mirror_name (PvMirror *self)
{
  return self->name;
}

int
pv_mirror_lock (PvMirror *self, GError **error)
{
  g_auto(PvFd) fd = pv_openat (AT_FDCWD, self->lock_path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600, error);

  if (fd < 0 || !pv_flock (fd, LOCK_EX, self->lock_path, error))
    return PV_FD_NONE;
  return pv_fd_steal (&fd);
}

PvRemote *
pv_mirror_remote (PvMirror *self, GError **error)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  if (self->remote == NULL)
    self->remote = pv_mirror_connect (self->store, self->name, 0, error);
  return self->remote != NULL ? pv_remote_ref (self->remote) : NULL;
}

/* --- the marker --------------------------------------------------------------------------------------------------- */

/* Whether names of the two stores mean the same. */
static gboolean
check_matches (PvMirror *self, const PvStoreFormat *format, GError **error)
{
  g_autofree char *path = g_build_filename (self->store, "format", NULL);
  g_autoptr(GBytes) ours = pv_read_file (path, PV_STORE_FORMAT_MAX, error);
  PvStoreFormat own;

  if (ours == NULL || !pv_store_format_parse (ours, &own, error))
    return FALSE;
  if (!g_str_equal (own.uuid, format->uuid) && (own.n_key_slots > 0 || format->n_key_slots > 0))
    return pv_throw (error, PV_ERROR_INVALID, "remote '%s' and this store do not have the same key: an encrypted store"
                                              " shares a remote only with stores made from it by 'pagevault attach'",
                     self->name);
  return TRUE;
}

/* The remote must be the one that it was. */
static gboolean
check_same (PvMirror *self, GBytes *marker, const PvStoreFormat *format, GError **error)
{
  g_autoptr(GBytes) known = pv_read_file (self->format, PV_STORE_FORMAT_MAX, NULL);
  PvStoreFormat before;

  if (known != NULL && pv_store_format_parse (known, &before, NULL) && !g_str_equal (before.uuid, format->uuid))
    return pv_throw (error, PV_ERROR_INVALID, "remote '%s' holds another store than before (%s, was %s): remove '%s' if"
                                              " that is meant",
                     self->name, format->uuid, before.uuid, self->directory);
  if (known != NULL && g_bytes_equal (known, marker))
    return TRUE;
  return pv_write_file (self->format, g_bytes_get_data (marker, NULL), g_bytes_get_size (marker), error);
}

/* Two may do this at once: what is read afterwards counts. */
static gboolean
make_marker (PvMirror *self, PvRemote *remote, GCancellable *cancellable, GError **error)
{
  g_autofree char *path = g_build_filename (self->store, "format", NULL);
  g_autoptr(GBytes) marker = pv_read_file (path, PV_STORE_FORMAT_MAX, error);
  g_autoptr(GError) why = NULL;

  if (marker == NULL)
    return FALSE;
  if (pv_remote_put (remote, FORMAT_KEY, marker, PV_REMOTE_PUT_IF_ABSENT, cancellable, &why)
      || g_error_matches (why, PV_ERROR, PV_ERROR_EXISTS))
    return TRUE;
  if (g_error_matches (why, PV_ERROR, PV_ERROR_UNSUPPORTED))
    return pv_remote_put (remote, FORMAT_KEY, marker, PV_REMOTE_PUT_DEFAULT, cancellable, error);
  g_propagate_error (error, g_steal_pointer (&why));
  return FALSE;
}

static GBytes *
read_marker (PvMirror *self, PvRemote *remote, gboolean make, GCancellable *cancellable, GError **error)
{
  g_autoptr(GError) why = NULL;
  GBytes *marker = pv_remote_get_all (remote, FORMAT_KEY, PV_STORE_FORMAT_MAX, cancellable, &why);

  if (marker == NULL && make && g_error_matches (why, PV_ERROR, PV_ERROR_NOT_FOUND))
    {
      g_clear_error (&why);
      if (make_marker (self, remote, cancellable, &why))
        marker = pv_remote_get_all (remote, FORMAT_KEY, PV_STORE_FORMAT_MAX, cancellable, &why);
    }
  if (marker != NULL)
    return marker;
  if (g_error_matches (why, PV_ERROR, PV_ERROR_NOT_FOUND))
    pv_throw (error, PV_ERROR_NOT_FOUND, "there is no store in remote '%s' (%s): push something there first",
              self->name, pv_remote_url (remote));
  else
    g_propagate_error (error, g_steal_pointer (&why));
  return NULL;
}

gboolean
pv_mirror_check_format (PvMirror *self, gboolean make, GCancellable *cancellable, GError **error)
{
  g_autoptr(PvRemote) remote = pv_mirror_remote (self, error);
  g_autoptr(GBytes) marker = remote != NULL ? read_marker (self, remote, make, cancellable, error) : NULL;
  PvStoreFormat format;

  if (marker == NULL)
    return FALSE;
  if (!pv_store_format_parse (marker, &format, error))
    {
      g_prefix_error (error, "the format marker of remote '%s': ", self->name);
      return FALSE;
    }
  return check_matches (self, &format, error) && check_same (self, marker, &format, error);
}

gboolean
pv_mirror_send_format (PvMirror *self, GCancellable *cancellable, GError **error)
{
  g_autofree char *path = g_build_filename (self->store, "format", NULL);
  g_autoptr(PvRemote) remote = pv_mirror_remote (self, error);
  g_autoptr(GBytes) marker = NULL;
  PvStoreFormat format;

  if (remote == NULL || !pv_mirror_check_format (self, FALSE, cancellable, error))
    return FALSE;
  marker = pv_read_file (path, PV_STORE_FORMAT_MAX, error);
  if (marker == NULL || !pv_store_format_parse (marker, &format, error))
    return FALSE;
  if (format.n_key_slots == 0)
    return pv_throw (error, PV_ERROR_INVALID, "the store is not encrypted: there are no keys to send");
  return pv_remote_put (remote, FORMAT_KEY, marker, PV_REMOTE_PUT_DEFAULT, cancellable, error)
         && check_same (self, marker, &format, error);
}
