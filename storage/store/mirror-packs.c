/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which packs a remote has, and which of them are condemned; and pack lists. */
#include "config.h"

#include <string.h>

#include "store/damage.h"
#include "store/mirror-private.h"
#include "util/error.h"

#define PACKS_PREFIX "packs/"
#define CONDEMNED_PREFIX "condemned/"
#define NEEDS_PREFIX "needs/"

enum
{
  PACKS_MAX = 1 << 20,  /* keys that a listing may have */
  TOKEN_DIGITS = 32,
  LISTS_MAX = 1 << 18,
};

/* --- pack lists --------------------------------------------------------------------------------------------------- */

typedef struct
{
  char *key;
  gint64 mtime;
} ListKey;

static void
list_key_clear (gpointer data)
{
  g_free (((ListKey *) data)->key);
}

char *
pv_mirror_token (void)
{
  g_autofree char *uuid = g_uuid_string_random ();
  g_auto(GStrv) parts = g_strsplit (uuid, "-", -1);

  return g_strjoinv ("", parts);
}

static gboolean
is_token (const char *text)
{
  return strlen (text) == TOKEN_DIGITS && strspn (text, "0123456789abcdef") == TOKEN_DIGITS;
}

/* What @key says of the list: FALSE when it is none of ours. @snapshot: (out): zero for CONDEMNED. */
static gboolean
parse_list_key (const char *key, PvPackListKind *kind, PvName *snapshot)
{
  memset (snapshot, 0, sizeof *snapshot);
  if (g_str_has_prefix (key, CONDEMNED_PREFIX))
    {
      *kind = PV_PACK_LIST_CONDEMNED;
      return is_token (key + strlen (CONDEMNED_PREFIX));
    }
  if (g_str_has_prefix (key, NEEDS_PREFIX))
    {
      const char *hex = key + strlen (NEEDS_PREFIX), *slash = strchr (hex, '/');
      g_autofree char *id = slash != NULL ? g_strndup (hex, (gsize) (slash - hex)) : NULL;

      *kind = PV_PACK_LIST_NEEDS;
      return id != NULL && pv_name_from_hex (id, snapshot, NULL) && is_token (slash + 1);
    }
  return FALSE;
}

static gboolean
note_list (const PvRemoteEntry *entry, gpointer data, GError **error)
{
  GArray *keys = data;
  ListKey key = { .mtime = entry->mtime };
  PvPackListKind kind;
  PvName snapshot;

  if (!parse_list_key (entry->key, &kind, &snapshot))
    return TRUE;
  if (keys->len >= LISTS_MAX)
    return pv_corrupt (error, "the remote lists more than %d lists of packs", LISTS_MAX);
  key.key = g_strdup (entry->key);
  g_array_append_val (keys, key);
  return TRUE;
}

/* NULL without error when it is gone meanwhile. */
static PvPackList *
read_list (PvRemote *remote, const char *key, GCancellable *cancellable, GError **error)
{
  g_autoptr(GError) why = NULL;
  g_autoptr(GBytes) bytes = pv_remote_get_all (remote, key, PV_PACK_LIST_SIZE_MAX, cancellable, &why);
  PvPackListKind kind;
  PvName snapshot;
  PvPackList *list;

  if (bytes == NULL)
    {
      if (!g_error_matches (why, PV_ERROR, PV_ERROR_NOT_FOUND))
        g_propagate_error (error, g_steal_pointer (&why));
      return NULL;
    }
  parse_list_key (key, &kind, &snapshot);
  list = pv_pack_list_parse (bytes, kind, &snapshot, error);
  if (list == NULL)
    g_prefix_error (error, "'%s' of the remote: ", key);
  return list;
}

/* Tells of the damage where somebody listens; else, and for all that is no damage, FALSE. */
static gboolean
tell_damage (const ListKey *key, const GError *why, PvMirrorDamagedFunc damaged, gpointer data)
{
  PvPackListKind kind;
  PvName snapshot;

  if (damaged == NULL || !pv_is_damage (why))
    return FALSE;
  parse_list_key (key->key, &kind, &snapshot);
  damaged (key->key, key->mtime, &snapshot, why, data);
  return TRUE;
}

gboolean
pv_mirror_each_list (PvMirror *self, const char *prefix, PvMirrorListFunc func, PvMirrorDamagedFunc damaged,
                     gpointer data, GCancellable *cancellable, GError **error)
{
  g_autoptr(GArray) keys = g_array_new (FALSE, FALSE, sizeof (ListKey));
  g_autoptr(PvRemote) remote = pv_mirror_remote (self, error);

  g_array_set_clear_func (keys, list_key_clear);
  if (remote == NULL || !pv_remote_list (remote, prefix, NULL, note_list, keys, cancellable, error))
    return FALSE;
  for (guint i = 0; i < keys->len; i++)
    {
      const ListKey *key = &g_array_index (keys, ListKey, i);
      g_autoptr(GError) why = NULL;
      g_autoptr(PvPackList) list = read_list (remote, key->key, cancellable, &why);

      if (why != NULL && !tell_damage (key, why, damaged, data))
        return g_propagate_error (error, g_steal_pointer (&why)), FALSE;
      if (list != NULL && !func (key->key, key->mtime, list, data, error))
        return FALSE;
    }
  return TRUE;
}

/* --- packs -------------------------------------------------------------------------------------------------------- */

typedef struct
{
  PvMirror *mirror;
  GHashTable *condemned; /* of PvRemotePack (owned) */
  GHashTable *packs;     /* PvName -> PvMirrorPack (owned) */
} View;

static gboolean
note_condemned (const char *key, gint64 mtime, PvPackList *list, gpointer data, GError **error)
{
  View *view = data;

  for (guint i = 0; i < list->packs->len; i++)
    {
      const PvRemotePack *pack = &g_array_index (list->packs, PvRemotePack, i);

      g_hash_table_add (view->condemned, g_memdup2 (pack, sizeof *pack));
    }
  return TRUE;
}

/* A pack that is there several times: one that is not condemned is the one to use, an early one of these. */
static gboolean
note_pack (const PvRemoteEntry *entry, gpointer data, GError **error)
{
  View *view = data;
  PvRemotePack found = { .size = entry->size };
  PvMirrorPack *pack;
  gboolean live;

  if (!pv_remote_pack_parse_key (entry->key, &found.name, &found.generation))
    return TRUE;
  if (g_hash_table_size (view->packs) >= PACKS_MAX)
    return pv_corrupt (error, "the remote lists more than %d packs", PACKS_MAX);
  live = !g_hash_table_contains (view->condemned, &found);
  pack = g_hash_table_lookup (view->packs, &found.name);
  if (pack == NULL)
    {
      pack = g_new0 (PvMirrorPack, 1);
      *pack = (PvMirrorPack){ .name = found.name, .size = found.size, .generation = found.generation, .live = live };
      g_hash_table_insert (view->packs, &pack->name, pack);
    }
  else if (live && (!pack->live || found.generation < pack->generation))
    {
      pack->size = found.size;
      pack->generation = found.generation;
      pack->live = TRUE;
    }
  pack->next = MAX (pack->next, found.generation == G_MAXUINT32 ? found.generation : found.generation + 1);
  return TRUE;
}

static void
remember_generations (PvMirror *self, GHashTable *packs)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  GHashTableIter iter;
  gpointer value;

  g_hash_table_remove_all (self->generations);
  g_hash_table_iter_init (&iter, packs);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      const PvMirrorPack *pack = value;

      if (pack->generation != 0)
        g_hash_table_insert (self->generations, g_memdup2 (&pack->name, sizeof pack->name),
                             GUINT_TO_POINTER (pack->generation));
    }
}

static gboolean
set_states (PvMirror *self, gboolean condemn, GArray *packs, GError **error)
{
  const guint32 *numbers = (const guint32 *) packs->data;
  guint64 epoch;

  if (packs->len == 0)
    return TRUE;
  return condemn ? pv_index_condemn (self->index, numbers, packs->len, &epoch, error)
                 : pv_index_pardon (self->index, numbers, packs->len, error);
}

/* Takes rows out of the index. What else is condemned would go with them: it is pardoned before. */
static gboolean
forget_packs (PvMirror *self, GArray *gone, GArray *condemned, GError **error)
{
  g_autoptr(GArray) retired = NULL;
  guint64 epoch;

  if (gone->len == 0)
    return TRUE;
  return pv_remove_tree (self->ready, error) && set_states (self, FALSE, condemned, error)
         && set_states (self, FALSE, gone, error)
         && pv_index_condemn (self->index, (const guint32 *) gone->data, gone->len, &epoch, error)
         && pv_index_retire (self->index, epoch, &retired, error);
}

/* What the remote has no longer leaves the index; what is condemned there is condemned here. Snapshots that were made
 * ready may need what is gone. */
static gboolean
update_index (PvMirror *self, GHashTable *packs, GError **error)
{
  g_autoptr(GArray) rows = pv_index_packs (self->index, error);
  g_autoptr(GArray) condemned = g_array_new (FALSE, FALSE, sizeof (guint32));
  g_autoptr(GArray) pardoned = g_array_new (FALSE, FALSE, sizeof (guint32));
  g_autoptr(GArray) gone = g_array_new (FALSE, FALSE, sizeof (guint32));

  for (guint i = 0; rows != NULL && i < rows->len; i++)
    {
      const PvPackRow *row = &g_array_index (rows, PvPackRow, i);
      const PvMirrorPack *pack = g_hash_table_lookup (packs, &row->name);

      if (pack == NULL)
        g_array_append_val (gone, row->number);
      else if (!pack->live)
        g_array_append_val (condemned, row->number);
      else if (row->state == PV_PACK_CONDEMNED)
        g_array_append_val (pardoned, row->number);
    }
  return rows != NULL && set_states (self, FALSE, pardoned, error) && forget_packs (self, gone, condemned, error)
         && set_states (self, TRUE, condemned, error);
}

/* What a damaged list condemned is not known, so nothing may be relied upon. */
static gboolean
each_condemned (PvMirror *self, View *view, GCancellable *cancellable, GError **error)
{
  g_autoptr(GError) why = NULL;

  if (pv_mirror_each_list (self, CONDEMNED_PREFIX, note_condemned, NULL, view, cancellable, &why))
    return TRUE;
  if (pv_is_damage (why))
    return pv_corrupt (error, "%s: run 'pagevault prune --remote', which puts another list in its place", why->message);
  g_propagate_error (error, g_steal_pointer (&why));
  return FALSE;
}

GHashTable *
pv_mirror_view_packs (PvMirror *self, GCancellable *cancellable, GError **error)
{
  g_autoptr(GHashTable) condemned = g_hash_table_new_full (pv_remote_pack_hash, pv_remote_pack_equal, g_free, NULL);
  g_autoptr(GHashTable) packs = g_hash_table_new_full (pv_name_hash, pv_name_equal_func, NULL, g_free);
  g_autoptr(PvRemote) remote = pv_mirror_remote (self, error);
  View view = { self, condemned, packs };
  g_auto(PvFd) guard = PV_FD_NONE;

  if (remote == NULL)
    return NULL;
  guard = pv_mirror_lock (self, error);
  if (guard < 0
      || !each_condemned (self, &view, cancellable, error)
      || !pv_remote_list (remote, PACKS_PREFIX, NULL, note_pack, &view, cancellable, error))
    return NULL;
  remember_generations (self, packs);
  return update_index (self, packs, error) ? g_steal_pointer (&packs) : NULL;
}

GArray *
pv_mirror_view_list (GHashTable *view, gboolean live_only)
{
  GArray *packs = g_array_new (FALSE, FALSE, sizeof (PvRemotePack));
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, view);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      const PvMirrorPack *pack = value;
      PvRemotePack listed = { pack->name, pack->size, pack->generation };

      if (pack->live || !live_only)
        g_array_append_val (packs, listed);
    }
  return packs;
}
