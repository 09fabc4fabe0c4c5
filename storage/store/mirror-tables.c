/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is in the packs of a remote: their tables, read from their ends, and their frames, read through blocks. */
#include "config.h"

#include "pack/pack-reader.h"
#include "store/damage.h"
#include "store/mirror-private.h"
#include "store/pack-source.h"
#include "store/workers.h"
#include "util/error.h"

enum
{
  TAIL_MIN = 64 << 10, /* bytes: read from the end of a pack at first */
  TAIL_SHARE = 32,     /* or this part of the pack: a table names 4096 bytes by 32, and they are compressed */
  BATCH = 64,          /* tables in memory at once */
  BATCH_SIZE = 512 << 20, /* bytes that they may have together, whatever the remote says of them */
};

/* --- generations -------------------------------------------------------------------------------------------------- */

guint32
pv_mirror_generation (PvMirror *self, const PvName *name)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  return GPOINTER_TO_UINT (g_hash_table_lookup (self->generations, name));
}

static void
set_generation (PvMirror *self, const PvName *name, guint32 generation)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  g_hash_table_insert (self->generations, g_memdup2 (name, sizeof *name), GUINT_TO_POINTER (generation));
}

typedef struct
{
  PvName name;
  guint32 generation;
  gboolean found;
} Search;

static gboolean
note_generation (const PvRemoteEntry *entry, gpointer data, GError **error)
{
  Search *search = data;
  PvName name;
  guint32 generation;

  if (pv_remote_pack_parse_key (entry->key, &name, &generation) && pv_name_equal (&name, &search->name))
    {
      search->found = TRUE;
      search->generation = generation;
    }
  return TRUE;
}

/* (transfer full): bytes of pack @name, whichever generation of it there is. */
static GBytes *
get_range (PvMirror *self, const PvName *name, guint64 offset, gsize size, GCancellable *cancellable, GError **error)
{
  g_autoptr(PvRemote) remote = pv_mirror_remote (self, error);
  g_autofree char *key = pv_remote_pack_key (name, pv_mirror_generation (self, name));
  g_autofree char *prefix = pv_remote_pack_key (name, 0);
  g_autofree char *other = NULL;
  g_autoptr(GError) why = NULL;
  Search search = { .name = *name };
  GBytes *bytes;

  if (remote == NULL)
    return NULL;
  bytes = pv_remote_get (remote, key, offset, size, cancellable, &why);
  if (bytes != NULL)
    return bytes;
  if (!g_error_matches (why, PV_ERROR, PV_ERROR_NOT_FOUND)
      || !pv_remote_list (remote, prefix, NULL, note_generation, &search, cancellable, NULL) || !search.found)
    {
      g_propagate_error (error, g_steal_pointer (&why));
      return NULL;
    }
  set_generation (self, name, search.generation);
  other = pv_remote_pack_key (name, search.generation);
  return pv_remote_get (remote, other, offset, size, cancellable, error);
}

/* --- one table ---------------------------------------------------------------------------------------------------- */

static char *
tail_path (PvMirror *self, const PvName *name)
{
  g_autofree char *hex = pv_name_to_hex (name);

  return g_strdup_printf ("%s/%.2s/%s", self->tables, hex, hex);
}

/* @tail: the last bytes of a pack of @size bytes. @missing: (out): of a table that begins before them, how many bytes
 * more it takes; then NULL without error. */
static PvPackTable *
parse_tail (GBytes *tail, const PvName *name, guint64 size, gsize *missing, GError **error)
{
  gsize there;
  const guint8 *data = g_bytes_get_data (tail, &there);
  g_autoptr(GBytes) table = NULL;
  PvPackFooter footer;

  *missing = 0;
  if (there < PV_PACK_FOOTER_SIZE)
    {
      pv_corrupt (error, "the end of a pack has %" G_GSIZE_FORMAT " bytes", there);
      return NULL;
    }
  if (!pv_pack_footer_parse (data + there - PV_PACK_FOOTER_SIZE, size, &footer, error))
    return NULL;
  if (!pv_name_equal (&footer.name, name))
    {
      pv_corrupt (error, "this is another pack");
      return NULL;
    }
  if (footer.table_size > there - PV_PACK_FOOTER_SIZE)
    {
      *missing = (gsize) (footer.table_size - (there - PV_PACK_FOOTER_SIZE));
      return NULL;
    }
  table = g_bytes_new_from_bytes (tail, there - PV_PACK_FOOTER_SIZE - (gsize) footer.table_size,
                                  (gsize) footer.table_size);
  return pv_pack_table_parse (&footer, table, error);
}

/* Table and footer as they were kept. */
static PvPackTable *
kept_table (PvMirror *self, const PvName *name, guint64 size)
{
  g_autofree char *path = tail_path (self, name);
  g_autoptr(GBytes) tail = pv_read_file (path, PV_PACK_TABLE_MAX + PV_PACK_FOOTER_SIZE, NULL);
  gsize missing;

  return tail != NULL ? parse_tail (tail, name, size, &missing, NULL) : NULL;
}

/* Not synced: a table that a crash garbles is read again. */
static void
keep_table (PvMirror *self, const PvName *name, GBytes *tail)
{
  g_autofree char *path = tail_path (self, name);
  g_autofree char *directory = g_path_get_dirname (path);
  g_autoptr(GError) why = NULL;

  if (!pv_mkdirs (directory, 0700, &why)
      || !pv_write_cache_file (path, g_bytes_get_data (tail, NULL), g_bytes_get_size (tail), &why))
    g_debug ("%s", why->message);
}

static GBytes *
join (GBytes *head, GBytes *tail)
{
  GByteArray *all = g_byte_array_sized_new ((guint) (g_bytes_get_size (head) + g_bytes_get_size (tail)));

  g_byte_array_append (all, g_bytes_get_data (head, NULL), (guint) g_bytes_get_size (head));
  g_byte_array_append (all, g_bytes_get_data (tail, NULL), (guint) g_bytes_get_size (tail));
  return g_byte_array_free_to_bytes (all);
}

static PvPackTable *
fetch_table (PvMirror *self, const PvName *name, guint64 size, GCancellable *cancellable, GError **error)
{
  gsize guess = (gsize) MIN (size, MAX (TAIL_MIN, size / TAIL_SHARE));
  g_autoptr(GBytes) tail = get_range (self, name, size - guess, guess, cancellable, error);
  g_autoptr(PvPackTable) table = NULL;
  g_autoptr(GBytes) exact = NULL;
  g_autoptr(GError) why = NULL;
  gsize missing = 0, length;

  if (tail == NULL)
    return NULL;
  table = parse_tail (tail, name, size, &missing, &why);
  if (table == NULL && why == NULL)
    {
      g_autoptr(GBytes) head = get_range (self, name, size - guess - missing, missing, cancellable, error);
      g_autoptr(GBytes) all = head != NULL ? join (head, tail) : NULL;

      if (all == NULL)
        return NULL;
      g_bytes_unref (tail);
      tail = g_steal_pointer (&all);
      table = parse_tail (tail, name, size, &missing, &why);
    }
  if (table == NULL)
    {
      g_propagate_error (error, g_steal_pointer (&why));
      return NULL;
    }
  length = PV_PACK_FOOTER_SIZE + pv_pack_table_size (table);
  exact = g_bytes_new_from_bytes (tail, g_bytes_get_size (tail) - length, length);
  keep_table (self, name, exact);
  return g_steal_pointer (&table);
}

PvPackTable *
pv_mirror_table (PvMirror *self, const PvName *name, guint64 size, GCancellable *cancellable, GError **error)
{
  g_autofree char *hex = pv_name_to_hex (name);
  g_autofree char *path = g_strdup_printf ("%s/%.2s/%s", self->packs, hex, hex);
  g_autoptr(PvPackReader) local = NULL;
  PvPackTable *table;

  if (size < PV_PACK_HEADER_SIZE + PV_PACK_FOOTER_SIZE || size > PV_PACK_SIZE_MAX)
    {
      pv_corrupt (error, "pack %.16s… of %" G_GUINT64_FORMAT " bytes", hex, size);
      return NULL;
    }
  local = pv_pack_reader_open (path, name, NULL);
  if (local != NULL && pv_pack_reader_size (local) == size)
    return pv_pack_table_ref (pv_pack_reader_table (local));
  table = kept_table (self, name, size);
  if (table == NULL)
    table = fetch_table (self, name, size, cancellable, error);
  if (table == NULL)
    g_prefix_error (error, "pack %.16s… of remote '%s': ", hex, self->name);
  return table;
}

/* --- many --------------------------------------------------------------------------------------------------------- */

/* One pack whose table is being had. */
typedef struct
{
  PvMirror *mirror;
  GCancellable *cancellable;
  PvRemotePack pack;
  PvPackTable *table; /* (owned) (nullable) */
  GError *error;      /* (owned) (nullable) */
} Lesson;

static void
lesson_clear (gpointer data)
{
  Lesson *lesson = data;

  g_clear_pointer (&lesson->table, pv_pack_table_unref);
  g_clear_error (&lesson->error);
}

static void
learn (gpointer job, gpointer data)
{
  Lesson *lesson = job;

  lesson->table = pv_mirror_table (lesson->mirror, &lesson->pack.name, lesson->pack.size, lesson->cancellable,
                                   &lesson->error);
}

/* Fetches the tables of @lessons side by side, then lists them in one index transaction. */
static gboolean
learn_batch (PvMirror *self, GArray *lessons, GArray *failed, GError **error)
{
  g_autoptr(PvIndexWriter) writer = NULL;
  g_autoptr(PvWorkers) workers = pv_workers_new ("tables", MIN (PV_MIRROR_THREADS, lessons->len), learn, NULL, error);

  if (workers == NULL)
    return FALSE;
  for (guint i = 0; i < lessons->len; i++)
    pv_workers_push (workers, &g_array_index (lessons, Lesson, i));
  g_clear_pointer (&workers, pv_workers_free);
  writer = pv_index_writer_begin (self->index, self->lock_path, error);
  for (guint i = 0; writer != NULL && i < lessons->len; i++)
    {
      Lesson *lesson = &g_array_index (lessons, Lesson, i);

      if (lesson->table == NULL && !pv_is_damage (lesson->error))
        return g_propagate_error (error, g_steal_pointer (&lesson->error)), FALSE;
      if (lesson->table == NULL)
        {
          g_debug ("%s", lesson->error->message);
          if (failed != NULL)
            g_array_append_val (failed, lesson->pack.name);
        }
      else if (!pv_pack_source_list (writer, &lesson->pack.name, lesson->pack.size, lesson->table, error))
        return FALSE;
    }
  return writer != NULL && pv_index_writer_commit (writer, NULL, error);
}

/* TRUE in @known when the index has the pack, of that size. */
static gboolean
is_known (PvMirror *self, const PvRemotePack *pack, gboolean *known, GError **error)
{
  g_autoptr(GError) why = NULL;
  PvPackRow row;

  *known = pv_index_pack_by_name (self->index, &pack->name, &row, &why) && row.size == pack->size;
  if (why != NULL)
    return g_propagate_error (error, g_steal_pointer (&why)), FALSE;
  return TRUE;
}

gboolean
pv_mirror_learn_packs (PvMirror *self, GArray *packs, GArray *failed, PvStoreProgressFunc progress, gpointer data,
                       GCancellable *cancellable, GError **error)
{
  g_autoptr(GArray) lessons = g_array_new (FALSE, TRUE, sizeof (Lesson));
  g_autoptr(GHashTable) seen = g_hash_table_new (pv_name_hash, pv_name_equal_func);
  guint64 size = 0;
  g_auto(PvFd) guard = pv_mirror_lock (self, error);

  g_array_set_clear_func (lessons, lesson_clear);
  if (guard < 0)
    return FALSE;
  for (guint i = 0; i < packs->len; i++)
    {
      Lesson lesson = { self, cancellable, g_array_index (packs, PvRemotePack, i), NULL, NULL };
      gboolean known;

      if (!is_known (self, &lesson.pack, &known, error))
        return FALSE;
      if (!known && g_hash_table_add (seen, &g_array_index (packs, PvRemotePack, i).name))
        {
          g_array_append_val (lessons, lesson);
          size += MIN (lesson.pack.size, PV_PACK_TABLE_MAX);
        }
      if (lessons->len < BATCH && size < BATCH_SIZE && (i + 1 < packs->len || lessons->len == 0))
        continue;
      if (progress != NULL)
        progress ("tables", i, packs->len, data);
      if (!learn_batch (self, lessons, failed, error))
        return FALSE;
      g_array_set_size (lessons, 0);
      size = 0;
    }
  return TRUE;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static PvPackTable *
table_of_row (const PvPackRow *row, gpointer data, GError **error)
{
  return pv_mirror_table (data, &row->name, row->size, NULL, error);
}

static gboolean
read_frame (const PvName *name, guint64 end, guint64 offset, gsize size, guint8 *buffer, gboolean again, gpointer data,
            GError **error)
{
  return pv_block_cache_read (((PvMirror *) data)->blocks, name, end, offset, size, buffer, again, error);
}

const PvPackFetch pv_mirror_fetch = { table_of_row, read_frame };

GBytes *
pv_mirror_fetch_block (const PvName *name, guint64 offset, gsize size, gpointer data, GError **error)
{
  return get_range (data, name, offset, size, NULL, error);
}

/* --- a whole snapshot --------------------------------------------------------------------------------------------- */

typedef struct
{
  GArray *packs;
  GPtrArray *damaged;
} Needs;

static gboolean
note_needs (const char *key, gint64 mtime, PvPackList *list, gpointer data, GError **error)
{
  g_array_append_vals (((Needs *) data)->packs, list->packs->data, list->packs->len);
  return TRUE;
}

static void
note_damaged (const char *key, gint64 mtime, const PvName *snapshot, const GError *why, gpointer data)
{
  g_ptr_array_add (((Needs *) data)->damaged, g_strdup (key));
}

GArray *
pv_mirror_needs (PvMirror *self, const PvName *id, GPtrArray *damaged, GCancellable *cancellable, GError **error)
{
  g_autoptr(GArray) packs = g_array_new (FALSE, FALSE, sizeof (PvRemotePack));
  g_autofree char *hex = pv_name_to_hex (id);
  g_autofree char *prefix = g_strdup_printf ("needs/%s/", hex);
  Needs needs = { packs, damaged };

  if (!pv_mirror_each_list (self, prefix, note_needs, note_damaged, &needs, cancellable, error))
    return NULL;
  g_array_sort (packs, pv_remote_pack_compare);
  return g_steal_pointer (&packs);
}

/* All packs there are: one look at each finds what a snapshot needs of which that is not told. */
static GArray *
all_packs (PvMirror *self, GCancellable *cancellable, GError **error)
{
  g_autoptr(GHashTable) view = pv_mirror_view_packs (self, cancellable, error);

  return view != NULL ? pv_mirror_view_list (view, FALSE) : NULL;
}

gboolean
pv_mirror_prepare (PvMirror *self, PvSnapshot *snapshot, GCancellable *cancellable, GError **error)
{
  g_autofree char *hex = pv_name_to_hex (pv_snapshot_id (snapshot));
  g_autofree char *ready = g_build_filename (self->ready, hex, NULL);
  g_autoptr(GPtrArray) damaged = g_ptr_array_new_with_free_func (g_free);
  g_autoptr(GArray) packs = NULL;

  if (access (ready, F_OK) == 0)
    return TRUE;
  packs = pv_mirror_needs (self, pv_snapshot_id (snapshot), damaged, cancellable, error);
  if (packs != NULL && (damaged->len > 0 || packs->len == 0))
    {
      g_array_unref (packs);
      packs = all_packs (self, cancellable, error);
    }
  if (packs == NULL
      || !pv_mirror_learn_packs (self, packs, NULL, NULL, NULL, cancellable, error))
    {
      g_prefix_error (error, "snapshot %s of remote '%s': ", pv_snapshot_full_name (snapshot), self->name);
      return FALSE;
    }
  pv_mirror_fetch_working_set (self, pv_snapshot_id (snapshot), cancellable);
  return pv_mkdirs (self->ready, 0700, error) && pv_write_file (ready, "", 0, error);
}
