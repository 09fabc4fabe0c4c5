/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/store-private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/mirror-private.h"
#include "store/pack-source.h"
#include "store/store-keys.h"
#include "store/unlock.h"
#include "util/error.h"
#include "util/fault.h"
#include "util/snapshot-name.h"

/* --- paths and the lock ------------------------------------------------------------------------------------------- */

char *
pv_store_pack_path (PvStore *self, const PvName *name)
{
  g_autofree char *hex = pv_name_to_hex (name);

  return g_strdup_printf ("%s/%.2s/%s", self->packs, hex, hex);
}

char *
pv_store_snapshot_path (PvStore *self, const PvName *id)
{
  g_autofree char *hex = pv_name_to_hex (id);

  return g_build_filename (self->snapshots, hex, NULL);
}

int
pv_store_lock (PvStore *self, int operation, GError **error)
{
  g_auto(PvFd) fd = pv_openat (AT_FDCWD, self->lock, O_RDWR | O_CREAT | O_NOFOLLOW, 0600, error);

  if (fd < 0 || !pv_flock (fd, operation, self->lock, error))
    return PV_FD_NONE;
  return pv_fd_steal (&fd);
}

static PvStore *
alloc_store (const char *directory)
{
  PvStore *self = g_new0 (PvStore, 1);

  self->ref_count = 1;
  self->directory = g_canonicalize_filename (directory, NULL);
  self->packs = g_build_filename (self->directory, "packs", NULL);
  self->snapshots = g_build_filename (self->directory, "snapshots", NULL);
  self->tmp = g_build_filename (self->directory, "tmp", NULL);
  self->lock = g_build_filename (self->directory, "lock", NULL);
  self->format = g_build_filename (self->directory, "format", NULL);
  return self;
}

PvStore *
pv_store_ref (PvStore *self)
{
  g_atomic_int_inc (&self->ref_count);
  return self;
}

void
pv_store_unref (PvStore *self)
{
  if (self == NULL || !g_atomic_int_dec_and_test (&self->ref_count))
    return;
  if (self->index != NULL)
    pv_pack_source_detach (self->index);
  g_clear_pointer (&self->reader, pv_object_reader_free);
  g_clear_pointer (&self->mirrors, g_ptr_array_unref);
  g_clear_pointer (&self->index, pv_index_unref);
  g_clear_pointer (&self->key, pv_store_key_unref);
  g_free (self->directory);
  g_free (self->packs);
  g_free (self->snapshots);
  g_free (self->tmp);
  g_free (self->lock);
  g_free (self->format);
  g_free (self);
}

const char *
pv_store_directory (PvStore *self)
{
  return self->directory;
}

/* --- making one --------------------------------------------------------------------------------------------------- */

typedef enum
{
  FOUND_NOTHING, /* no directory, or an empty one */
  FOUND_STORE,   /* a format marker */
  FOUND_HALF,    /* only what an interrupted making leaves */
  FOUND_OTHER,
} Found;

static gboolean
is_empty_directory (const char *path)
{
  g_autoptr(GDir) dir = g_dir_open (path, 0, NULL);

  return dir != NULL && g_dir_read_name (dir) == NULL;
}

/* Making a store leaves no other entries before its format marker is there. */
static gboolean
is_half_made (PvStore *self, const char *entry)
{
  g_autofree char *path = g_build_filename (self->directory, entry, NULL);

  if (g_str_equal (entry, "packs") || g_str_equal (entry, "snapshots") || g_str_equal (entry, "tmp"))
    return is_empty_directory (path);
  return g_str_equal (entry, "lock") || g_str_has_prefix (entry, "index.") || g_str_has_prefix (entry, "format.");
}

static gboolean
look (PvStore *self, Found *found, GError **error)
{
  g_autoptr(GDir) dir = NULL;
  const char *entry;
  struct stat st;

  *found = FOUND_NOTHING;
  if (stat (self->directory, &st) < 0)
    return errno == ENOENT || pv_throw_errno (error, errno, "cannot open store '%s'", self->directory);
  if (!S_ISDIR (st.st_mode))
    return pv_throw (error, PV_ERROR_INVALID, "'%s' is not a directory", self->directory);
  if (lstat (self->format, &st) == 0)
    return *found = FOUND_STORE, TRUE;
  if (errno != ENOENT)
    return pv_throw_errno (error, errno, "cannot open store '%s'", self->directory);
  dir = g_dir_open (self->directory, 0, error);
  if (dir == NULL)
    return FALSE;
  while ((entry = g_dir_read_name (dir)) != NULL)
    {
      *found = is_half_made (self, entry) ? FOUND_HALF : FOUND_OTHER;
      if (*found == FOUND_OTHER && lstat (self->format, &st) == 0)
        *found = FOUND_STORE; /* somebody made it, and began to use it, since the first look */
      if (*found != FOUND_HALF)
        return TRUE;
    }
  return TRUE;
}

static gboolean
make_directory (const char *path, GError **error)
{
  if (!pv_fault ("store.mkdir", error))
    return FALSE;
  if (mkdir (path, 0700) == 0 || errno == EEXIST)
    return TRUE;
  return pv_throw_errno (error, errno, "cannot create directory '%s'", path);
}

/* Two may come here at once: the lock makes one wait, and then find the store made. A crash anywhere leaves FOUND_HALF,
 * which the next one completes; the format marker is the last step. */
static gboolean
make_store (PvStore *self, const PvStoreFormat *format, GError **error)
{
  g_autofree char *parent = g_path_get_dirname (self->directory);
  g_autoptr(PvIndex) index = NULL;
  g_autoptr(GBytes) marker = NULL;
  g_auto(PvFd) guard = PV_FD_NONE;
  Found found;

  if (!pv_mkdirs (parent, 0755, error) || !make_directory (self->directory, error))
    return FALSE;
  guard = pv_store_lock (self, LOCK_EX, error);
  if (guard < 0 || !look (self, &found, error))
    return FALSE;
  if (found == FOUND_STORE)
    return pv_throw (error, PV_ERROR_EXISTS, "there is a store in '%s' already", self->directory);
  if (found == FOUND_OTHER)
    return pv_throw (error, PV_ERROR_INVALID, "'%s' holds something else: no store is made there", self->directory);
  if (chmod (self->directory, 0700) < 0)
    return pv_throw_errno (error, errno, "cannot make '%s' private", self->directory);
  if (!make_directory (self->packs, error) || !make_directory (self->snapshots, error)
      || !make_directory (self->tmp, error))
    return FALSE;
  index = pv_index_open (self->directory, TRUE, error);
  if (index == NULL || !pv_fsync_dir (parent, error))
    return FALSE;
  marker = pv_store_format_serialize (format);
  return pv_write_file (self->format, g_bytes_get_data (marker, NULL), g_bytes_get_size (marker), error);
}

gboolean
pv_store_create (const char *directory, const PvStoreFormat *format, GError **error)
{
  g_autoptr(PvStore) self = alloc_store (directory);

  return make_store (self, format, error);
}

static gboolean
ensure_made (PvStore *self, PvStoreOpenFlags flags, GError **error)
{
  g_autoptr(GError) why = NULL;
  PvStoreFormat format;
  Found found;

  if (!look (self, &found, error))
    return FALSE;
  if (found == FOUND_OTHER)
    return pv_throw (error, PV_ERROR_INVALID, "'%s' is not a store and not empty", self->directory);
  if (found == FOUND_STORE)
    return TRUE;
  if ((flags & PV_STORE_OPEN_CREATE) == 0)
    return pv_throw (error, PV_ERROR_NOT_FOUND, "there is no store in '%s': run 'pagevault init'", self->directory);
  if (pv_unlock_is_expected ())
    return pv_throw (error, PV_ERROR_NOT_FOUND,
                     "there is no store in '%s', and only 'pagevault init --encrypt' makes one that has a pass phrase",
                     self->directory);
  pv_store_format_init (&format);
  if (make_store (self, &format, &why) || g_error_matches (why, PV_ERROR, PV_ERROR_EXISTS))
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&why));
  return FALSE;
}

/* --- opening ------------------------------------------------------------------------------------------------------ */

static gboolean
check_format (PvStore *self, GError **error)
{
  g_autoptr(GBytes) bytes = pv_read_file (self->format, PV_STORE_FORMAT_MAX, error);
  const char *directories[] = { self->packs, self->snapshots, self->tmp };
  g_autoptr(GError) why = NULL;
  PvStoreFormat format;

  if (bytes == NULL)
    return FALSE;
  if (!pv_store_format_parse (bytes, &format, error))
    {
      g_prefix_error (error, "'%s': ", self->format);
      return FALSE;
    }
  g_strlcpy (self->uuid, format.uuid, sizeof self->uuid);
  self->key = pv_unlock (self->directory, &format, &why);
  if (why != NULL)
    return g_propagate_error (error, g_steal_pointer (&why)), FALSE;
  for (guint i = 0; i < G_N_ELEMENTS (directories); i++)
    {
      struct stat st;

      if (lstat (directories[i], &st) < 0)
        return pv_throw_errno (error, errno, "the store is damaged: '%s'", directories[i]);
      if (!S_ISDIR (st.st_mode))
        return pv_corrupt (error, "the store is damaged: '%s' is not a directory", directories[i]);
    }
  return TRUE;
}

PvStore *
pv_store_open_without_index (const char *directory, GError **error)
{
  g_autoptr(PvStore) self = alloc_store (directory);

  return ensure_made (self, 0, error) && check_format (self, error) ? g_steal_pointer (&self) : NULL;
}

/* What is in the store can be had whatever is wrong with a mirror. */
static void
attach_mirrors (PvStore *self)
{
  g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func (g_free);

  self->mirrors = pv_mirror_open_attached (self, warnings);
  for (guint i = 0; i < warnings->len; i++)
    g_message ("%s", (const char *) warnings->pdata[i]);
  for (guint i = 0; i < self->mirrors->len; i++)
    pv_object_reader_add_fallback (self->reader, ((PvMirror *) self->mirrors->pdata[i])->reader);
}

PvStore *
pv_store_open (const char *directory, PvStoreOpenFlags flags, GError **error)
{
  g_autoptr(PvStore) self = alloc_store (directory);

  if (!ensure_made (self, flags, error) || !check_format (self, error))
    return NULL;
  self->index = pv_index_open (self->directory, FALSE, error);
  if (self->index == NULL)
    {
      g_prefix_error (error, "store '%s': ", self->directory);
      return NULL;
    }
  self->reader = pv_object_reader_new (self->index, self->packs, self->key);
  pv_pack_source_attach (self->index, self->reader);
  if (!pv_index_reap (self->index, error) || !pv_store_sweep_scratch (self, error))
    {
      g_prefix_error (error, "store '%s': ", self->directory);
      return NULL;
    }
  attach_mirrors (self);
  return g_steal_pointer (&self);
}

/* --- snapshots ---------------------------------------------------------------------------------------------------- */

char *
pv_index_domain_with_key (PvStoreKey *key, const char *domain)
{
  return key != NULL && domain != NULL ? pv_store_key_hide (key, "domain", domain) : g_strdup (domain);
}

char *
pv_index_name_with_key (PvStoreKey *key, const char *domain, const char *name)
{
  g_autofree char *full_name = g_strconcat (domain, "@", name, NULL);

  return key != NULL ? pv_store_key_hide (key, "name", full_name) : g_strdup (name);
}

char *
pv_store_index_domain (PvStore *self, const char *domain)
{
  return pv_index_domain_with_key (self->key, domain);
}

char *
pv_store_index_name (PvStore *self, const char *domain, const char *name)
{
  return pv_index_name_with_key (self->key, domain, name);
}

PvSnapshot *
pv_store_parse_snapshot (PvStore *self, GBytes *bytes, guint64 stored_size, GError **error)
{
  g_autoptr(GError) why = NULL;
  PvSnapshot *snapshot = pv_snapshot_parse_with_key (bytes, self->key, stored_size, &why);

  if (snapshot == NULL && self->key == NULL && g_error_matches (why, PV_ERROR, PV_ERROR_DENIED))
    pv_corrupt (error, "it is encrypted, but its store is not: somebody else has put it there");
  else if (snapshot == NULL)
    g_propagate_error (error, g_steal_pointer (&why));
  return snapshot;
}

gboolean
pv_store_row_is_of (PvStore *self, const PvSnapshotRow *row, PvSnapshot *snapshot)
{
  g_autofree char *domain = pv_store_index_domain (self, pv_snapshot_domain (snapshot));
  g_autofree char *name = pv_store_index_name (self, pv_snapshot_domain (snapshot), pv_snapshot_name (snapshot));

  return pv_name_equal (pv_snapshot_id (snapshot), &row->id) && g_str_equal (domain, row->domain)
         && g_str_equal (name, row->name);
}

static PvSnapshot *
parse_row (PvStore *self, const PvSnapshotRow *row, GError **error)
{
  g_autoptr(PvSnapshot) snapshot = pv_store_parse_snapshot (self, row->object, row->stored_size, error);

  if (snapshot == NULL)
    {
      g_prefix_error (error, "snapshot %s@%s: ", row->domain, row->name);
      return NULL;
    }
  if (!pv_store_row_is_of (self, row, snapshot))
    {
      pv_corrupt (error, "snapshot %s@%s: the index has other bytes than its id and name say: run 'pagevault verify'",
                  row->domain, row->name);
      return NULL;
    }
  return g_steal_pointer (&snapshot);
}

GPtrArray *
pv_store_list (PvStore *self, const char *domain, GError **error)
{
  g_autofree char *index_domain = pv_store_index_domain (self, domain);
  g_autoptr(GPtrArray) rows = pv_index_snapshots (self->index, index_domain, error);
  g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func ((GDestroyNotify) pv_snapshot_unref);

  if (rows == NULL)
    return NULL;
  for (guint i = 0; i < rows->len; i++)
    {
      PvSnapshot *snapshot = parse_row (self, rows->pdata[i], error);

      if (snapshot == NULL)
        return NULL;
      g_ptr_array_add (list, snapshot);
    }
  return g_steal_pointer (&list);
}

/* As pv_index_snapshot(). */
static PvSnapshotRow *
find_row (PvStore *self, const char *domain, const char *name, GError **error)
{
  g_autofree char *index_domain = pv_store_index_domain (self, domain);
  g_autofree char *index_name = pv_store_index_name (self, domain, name);

  return pv_index_snapshot (self->index, index_domain, index_name, error);
}

PvSnapshot *
pv_store_lookup (PvStore *self, const char *domain, const char *name, GError **error)
{
  g_autoptr(PvSnapshotRow) row = NULL;
  g_autoptr(GError) why = NULL;

  if (!pv_domain_name_check (domain, error) || !pv_snapshot_name_check (name, error))
    return NULL;
  row = find_row (self, domain, name, &why);
  if (row != NULL)
    return parse_row (self, row, error);
  if (g_error_matches (why, PV_ERROR, PV_ERROR_NOT_FOUND))
    pv_throw (error, PV_ERROR_NOT_FOUND, "there is no snapshot %s@%s: see 'pagevault list'", domain, name);
  else
    g_propagate_error (error, g_steal_pointer (&why));
  return NULL;
}

GPtrArray *
pv_store_mirrors (PvStore *self)
{
  return self->mirrors;
}

PvSnapshot *
pv_store_latest (PvStore *self, const char *domain, GError **error)
{
  g_autofree char *index_domain = NULL;
  g_autoptr(GPtrArray) rows = NULL;

  if (!pv_domain_name_check (domain, error))
    return NULL;
  index_domain = pv_store_index_domain (self, domain);
  rows = pv_index_snapshots (self->index, index_domain, error);
  if (rows == NULL || rows->len == 0)
    return NULL;
  return parse_row (self, rows->pdata[rows->len - 1], error);
}

/* After the row is gone nobody needs the file; should somebody be publishing just now, it is left to gc. */
static void
remove_snapshot_file (PvStore *self, const PvName *id)
{
  g_auto(PvFd) guard = pv_store_lock (self, LOCK_EX | LOCK_NB, NULL);
  g_autoptr(GPtrArray) rows = guard >= 0 ? pv_index_snapshots (self->index, NULL, NULL) : NULL;
  g_autofree char *path = pv_store_snapshot_path (self, id);
  g_autoptr(GError) error = NULL;

  if (rows == NULL)
    return;
  for (guint i = 0; i < rows->len; i++)
    if (pv_name_equal (&((PvSnapshotRow *) rows->pdata[i])->id, id))
      return;
  if (!pv_unlink (path, &error))
    g_debug ("%s", error->message);
}

gboolean
pv_store_delete (PvStore *self, const char *domain, const char *name, GError **error)
{
  g_autoptr(PvSnapshotRow) row = NULL;
  g_autoptr(GError) why = NULL;

  if (!pv_domain_name_check (domain, error) || !pv_snapshot_name_check (name, error))
    return FALSE;
  row = find_row (self, domain, name, &why);
  if (row == NULL || !pv_index_delete_snapshot (self->index, row->domain, row->name, &why))
    {
      if (g_error_matches (why, PV_ERROR, PV_ERROR_NOT_FOUND))
        return pv_throw (error, PV_ERROR_NOT_FOUND, "there is no snapshot %s@%s: see 'pagevault list'", domain, name);
      g_propagate_error (error, g_steal_pointer (&why));
      return FALSE;
    }
  remove_snapshot_file (self, &row->id);
  return TRUE;
}

gboolean
pv_store_stat (PvStore *self, PvStoreStat *stat_out, GError **error)
{
  g_autoptr(GPtrArray) list = pv_store_list (self, NULL, error);
  g_autoptr(GArray) packs = list != NULL ? pv_index_packs (self->index, error) : NULL;
  PvIndexStats index;

  if (packs == NULL || !pv_index_stats (self->index, &index, error))
    return FALSE;
  *stat_out = (PvStoreStat){ .n_snapshots = list->len, .n_packs = packs->len, .stored_bytes = index.size };
  stat_out->n_chunks = index.n_objects;
  for (guint i = 0; i < packs->len; i++)
    stat_out->stored_bytes += g_array_index (packs, PvPackRow, i).size;
  for (guint i = 0; i < list->len; i++)
    {
      PvSnapshot *snapshot = list->pdata[i];
      g_autoptr(GBytes) bytes = pv_snapshot_serialize (snapshot);

      stat_out->stored_bytes += g_bytes_get_size (bytes);
      for (guint j = 0; j < pv_snapshot_n_volumes (snapshot); j++)
        stat_out->logical_bytes += pv_snapshot_volume (snapshot, j)->size;
    }
  return TRUE;
}
