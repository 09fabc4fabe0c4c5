/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the parts of PvObjectReader share: object-frames.c reads packs, object-nodes.c expands nodes, object-reader.c
 * does the rest. */
#pragma once

#include "pack/pack-reader.h"
#include "store/cache.h"
#include "store/object-reader.h"

G_BEGIN_DECLS

#define PV_READER_LOOKUPS_MAX 8u /* times that a pack may vanish under a reader */

/* What decoding takes: made as needed, kept for the next. */
typedef struct
{
  PvFrameCodec *codec;
  PvNamer *namer;
} PvReaderContext;

struct _PvCachedFrame
{
  gint ref_count;     /* atomic */
  PvPackTable *table; /* (owned): names and sizes are its */
  guint32 number;     /* in the pack */
  PvFrameKind kind;
  guint32 n_slots;
  const PvName *names;
  const guint32 *sizes; /* (nullable) */
  gint *checked;        /* n_slots; atomic: 1 = the bytes have their name */
  guint8 *plain;
  gsize plain_size;
};

struct _PvObjectReader
{
  PvIndex *index;     /* (owned) */
  PvStoreKey *key;    /* (owned) (nullable) */
  char *packs;
  PvCache *frames;    /* of PvCachedFrame by pack number and frame number */
  PvCache *nodes;     /* of PvNodeRef by name */
  PvCache *tables;    /* of PvPackTable by pack number */
  guint64 next_frame;  /* atomic: pack << 32 | frame behind the one read last */
  const PvPackFetch *fetch; /* (nullable) */
  gpointer fetch_data;
  GPtrArray *fallbacks; /* of PvObjectReader (not owned) */
  GMutex lock;
  GPtrArray *contexts; /* of PvReaderContext, idle; under lock */
};

/* Any thread; a context belongs to who took it until it is given back. */
PvReaderContext *pv_reader_context_take (PvObjectReader *self);
void pv_reader_context_give (PvObjectReader *self, PvReaderContext *context);

PvCachedFrame *pv_cached_frame_ref (PvCachedFrame *frame);
void pv_cached_frame_unref (PvCachedFrame *frame);

/* (transfer full): the frame at @location. NULL without error when its pack is gone. */
PvCachedFrame *pv_object_reader_frame (PvObjectReader *self, const PvLocation *location, GError **error);

/* The pack's own table says that @object is called @name; else PV_ERROR_CORRUPT. */
gboolean pv_object_is (const PvObject *object, const PvName *name, GError **error);
/* Always FALSE. */
gboolean pv_object_throw_missing (const PvName *name, GError **error);
/* Of two errors the one that tells more: @error (inout), unless it only says that the object is not there. */
void pv_object_keep_error (GError **error, GError **why);

G_END_DECLS
