/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of a store transaction share: txn.c (its life), ingest.c (the pool), volume-writer.c (the caller's
 * side of a volume), node-sink.c (its tree). */
#pragma once

#include "store/claim-set.h"
#include "store/name-map.h"
#include "store/pack-sink.h"
#include "store/store-private.h"
#include "store/tree.h"
#include "store/txn.h"
#include "store/workers.h"

G_BEGIN_DECLS

#define PV_BATCH_CHUNKS 128u /* chunks given to a pool thread at once: 512 KiB */

typedef struct _PvIngestContext PvIngestContext; /* what a pool thread works with (ingest.c) */
typedef struct _PvGather PvGather;               /* chunks of the next frame (ingest.c) */
typedef struct _PvNodeSink PvNodeSink;           /* nodes waiting for their frame (node-sink.c) */

struct _PvTxn
{
  PvStore *store;          /* (owned) */
  PvStoreScratch *scratch; /* (owned) */
  PvIndexWriter *index;    /* (owned) */
  PvSnapshot *base;        /* (nullable) (owned) */
  PvClaimSet *claims;      /* (owned) */
  PvPackSink *sink;        /* (owned) */
  PvNodeSink *nodes;       /* (owned) */
  PvWorkers *pool;         /* (owned) */
  guint batches_max;       /* submitted at once */
  gint failed;             /* atomic: error is set */
  gboolean committed;

  guint64 scanned; /* PvTxnStats; atomic */
  guint64 zero;
  guint64 known;
  guint64 fresh;

  GMutex lock;
  GCond progress;          /* a batch was done, or error was set */
  GError *error;           /* the first; under lock */
  guint n_batches;         /* submitted and not done; under lock */
  GPtrArray *idle;         /* of PvBatch; under lock */
  GPtrArray *contexts;     /* of PvIngestContext, idle; under lock */
  GPtrArray *volumes;      /* of PvVolumeWriter; under lock */
  GHashTable *attachments; /* char* -> GBytes; under lock */

  GMutex gather_lock;
  PvGather *gather;         /* (owned): being filled; under gather_lock */
  GPtrArray *spare_gathers; /* of PvGather; under gather_lock */
};

typedef struct
{
  PvVolumeWriter *volume;
  guint n;
  guint64 chunks[PV_BATCH_CHUNKS];
  guint8 *data; /* (owned): n * PV_CHUNK_SIZE bytes */
} PvBatch;

struct _PvVolumeWriter
{
  PvTxn *txn;
  PvVolumeKind kind;
  char *name;
  PvTree tree;       /* its root is set by finish */
  guint64 size;
  gboolean has_base;
  PvTree base;
  guint64 base_size;
  gboolean finished;
  PvNameMap *map;    /* (owned) until finished */
  guint8 *leaves;    /* a PvLeafState for each leaf; the caller's thread only */
  PvBatch *batch;    /* (nullable) (owned): being filled by the caller's thread */
  guint n_in_flight; /* batches submitted and not done; under txn->lock */
};

/* --- txn.c -------------------------------------------------------------------------------------------------------- */

/* Keeps the first error: every later call on the transaction fails with it. Takes @error. */
void pv_txn_fail (PvTxn *self, GError *error);
/* FALSE with a copy of the first error when the transaction has failed. */
gboolean pv_txn_check (PvTxn *self, GError **error);
/* Bytes of the volume in @chunk. */
guint64 pv_volume_writer_chunk_size (PvVolumeWriter *self, guint64 chunk);
void pv_volume_writer_free (PvVolumeWriter *self);

/* --- ingest.c ----------------------------------------------------------------------------------------------------- */

gboolean pv_ingest_start (PvTxn *txn, guint n_threads, GError **error);
/* An empty batch; its chunks are added by the caller. */
PvBatch *pv_ingest_batch (PvTxn *txn);
void pv_batch_free (PvBatch *batch);
/* Hands @batch to the pool; waits while too many are under way. */
gboolean pv_ingest_submit (PvTxn *txn, PvBatch *batch, GError **error);
/* Waits until no batch of @volume is under way. */
gboolean pv_ingest_wait (PvVolumeWriter *volume, GError **error);
/* Writes the chunks that did not fill a frame. No batch may be under way. */
gboolean pv_ingest_flush (PvTxn *txn, GError **error);
/* Ends the pool; batches not begun are dropped. */
void pv_ingest_stop (PvTxn *txn);

/* --- node-sink.c -------------------------------------------------------------------------------------------------- */

/* @key: (nullable): of an encrypted store. */
PvNodeSink *pv_node_sink_new (const PvStoreKey *key);
void pv_node_sink_free (PvNodeSink *self);
/* Makes the tree of a volume whose chunks are all named, and sets volume->tree.root. */
gboolean pv_node_sink_write_tree (PvVolumeWriter *volume, GError **error);
gboolean pv_node_sink_flush (PvTxn *txn, GError **error);

/* What a leaf of a volume being written is. */
typedef enum
{
  PV_LEAF_ZERO = 0,   /* all zeros; the map is not looked at */
  PV_LEAF_BASE = 1,   /* as the base's leaf at this place; likewise */
  PV_LEAF_MAPPED = 2, /* the map has its entries */
  PV_LEAF_STATE = 3,
  PV_LEAF_USED = 4,   /* flag: the map has been written to: not zeros any more */
} PvLeafState;

G_END_DECLS
