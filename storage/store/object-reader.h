/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvObjectReader: objects of a store by name, through bounded caches of decoded frames, expanded nodes and tables of
 * packs.
 *
 * A chunk is checked against its name before anybody sees it, once per cached frame; a node when it is expanded. A pack
 * that vanished between look-up and opening (gc rewrote it) is looked up again. Any thread.
 */
#pragma once

#include "chunk/node.h"
#include "index/index.h"
#include "pack/pack-table.h"

G_BEGIN_DECLS

typedef struct _PvObjectReader PvObjectReader;
typedef struct _PvCachedFrame PvCachedFrame;

/* @packs: the directory of packs. @key: (nullable): that of an encrypted store. */
PvObjectReader *pv_object_reader_new (PvIndex *index, const char *packs, PvStoreKey *key);
void pv_object_reader_free (PvObjectReader *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvObjectReader, pv_object_reader_free)

/* Where packs come from that are no files in the directory of packs: a remote. Any thread; each function blocks. */
typedef struct
{
  /* (transfer full): the table of @pack, not unlocked, which nobody else has. */
  PvPackTable *(*table) (const PvPackRow *pack, gpointer data, GError **error);
  /* Exactly @size bytes at @offset of pack @name, into @buffer. @end: where the pack's last frame ends. @again: what
   * was kept of them is bad and shall be fetched anew. */
  gboolean (*read) (const PvName *name, guint64 end, guint64 offset, gsize size, guint8 *buffer, gboolean again,
                    gpointer data, GError **error);
} PvPackFetch;
/* Before the reader is used. @fetch and @data must outlive it. */
void pv_object_reader_set_fetch (PvObjectReader *self, const PvPackFetch *fetch, gpointer data);

/* Readers that are asked, in the order in which they were added, for chunks and nodes that @self does not have or has
 * damaged. pv_object_reader_locate_node() does not ask them: their locations are of another index. Before the reader is
 * used. @other must outlive it. */
void pv_object_reader_add_fallback (PvObjectReader *self, PvObjectReader *other);

/* One object in a decoded frame; keeps the frame alive. { 0 } is none. */
typedef struct
{
  PvCachedFrame *frame; /* (owned) (nullable) */
  guint slot;
} PvObject;
void pv_object_clear (PvObject *object);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (PvObject, pv_object_clear)

/* Finds chunk @name and gives its PV_CHUNK_SIZE bytes, which live as long as @object holds them. @object: (inout): the
 * object found last, or { 0 }; the slots behind it are looked at before the index. PV_ERROR_NOT_FOUND,
 * PV_ERROR_CORRUPT. */
const guint8 *pv_object_reader_chunk (PvObjectReader *self, const PvName *name, PvObject *object, GError **error);

/* Likewise, but only when chunk @name lies in the frame of the object found last, which costs next to nothing; else
 * NULL. */
const guint8 *pv_object_reader_near (PvObjectReader *self, const PvName *name, PvObject *object);

/* An expanded node; immutable, reference counted. */
typedef struct
{
  gint ref_count; /* atomic */
  PvName base;    /* the node it is stored against; zero: stored FULL */
  PvNode node;
} PvNodeRef;
PvNodeRef *pv_node_ref (PvNodeRef *self);
void pv_node_unref (PvNodeRef *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvNodeRef, pv_node_unref)

/* (transfer full): node @name, which must be of @level and have @n_entries entries (else PV_ERROR_CORRUPT). */
PvNodeRef *pv_object_reader_node (PvObjectReader *self, const PvName *name, guint level, guint n_entries,
                                  GError **error);

/* Likewise, but never from the cache, and says what expanding it took. There may be several copies of a node in
 * different forms, and a dead copy may have lost its base: all are tried. @live_only: copies in condemned packs do not
 * count. @used: (element-type PvLocation): the copies that were used are appended, bases included. */
PvNodeRef *pv_object_reader_locate_node (PvObjectReader *self, const PvName *name, gboolean live_only, GArray *used,
                                         GError **error);

/* (transfer full): the table of the pack with this number. NULL without error when there is no such pack any more. */
PvPackTable *pv_object_reader_table (PvObjectReader *self, guint32 number, GError **error);

G_END_DECLS
