/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvTxn: writing one snapshot into the store. Letting go of it aborts; nothing of it is ever seen.
 *
 *   begin -> add volumes, write them (many threads may work behind it), finish each -> attach documents -> commit
 *
 * PvVolumeWriter takes the bytes of one volume in any order, a page more than once (the last write wins), copies what
 * it is given and returns at once; a pool of threads shared by the transaction names chunks, compares them with the
 * base volume's leaf, then with the index, and compresses what is new. Its memory is bounded (@PvTxnOptions.buffer):
 * write() blocks while the pool is behind. Names of the volume's chunks lie in an unlinked temporary file, so memory
 * does not grow with the guest. One thread drives one writer; several writers of one transaction may be driven by
 * several threads.
 */
#pragma once

#include "store/store.h"

G_BEGIN_DECLS

typedef struct _PvTxn PvTxn;
typedef struct _PvVolumeWriter PvVolumeWriter;

typedef struct
{
  PvSnapshot *base; /* (nullable) (not owned): volumes of the same kind and name are looked at first */
  guint n_threads;  /* 0 = one per CPU, at most 8 */
  gsize buffer;     /* bytes waiting for the pool; 0 = 8 MiB */
} PvTxnOptions;

/* Counted at the source, in bytes of plaintext, except stored_bytes. */
typedef struct
{
  guint64 scanned_bytes; /* given to write() and zero() */
  guint64 zero_bytes;
  guint64 known_bytes;   /* already in the store, at the same place of the base or anywhere */
  guint64 new_bytes;
  guint64 stored_bytes;  /* bytes that packs grew by, tables and nodes included */
} PvTxnStats;

PvTxn *pv_store_begin (PvStore *store, const PvTxnOptions *options, GError **error);
/* Aborts when not committed. Waits for the pool. */
void pv_txn_free (PvTxn *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvTxn, pv_txn_free)

/* A new volume, all zeros. PV_ERROR_EXISTS when kind and name are taken. The writer belongs to the transaction: it
 * lives until pv_volume_writer_finish() or pv_txn_free(). */
PvVolumeWriter *pv_txn_add_volume (PvTxn *self, PvVolumeKind kind, const char *name, guint64 size, GError **error);

/* @offset: multiple of PV_CHUNK_SIZE; @size likewise, except up to the end of the volume. */
gboolean pv_volume_writer_write (PvVolumeWriter *self, guint64 offset, const guint8 *data, gsize size, GError **error);
gboolean pv_volume_writer_zero (PvVolumeWriter *self, guint64 offset, guint64 size, GError **error);
/* What the base volume has there (a tracker knows that it did not change). PV_ERROR_INVALID without a base volume of at
 * least that size. */
gboolean pv_volume_writer_keep (PvVolumeWriter *self, guint64 offset, guint64 size, GError **error);
/* Waits for the pool, writes the nodes, makes the volume part of the snapshot. */
gboolean pv_volume_writer_finish (PvVolumeWriter *self, GError **error);

/* A whole small blob volume at once (device state, NVRAM). */
gboolean pv_txn_add_blob (PvTxn *self, const char *name, GBytes *bytes, GError **error);
/* A document that travels inside the snapshot object, at most PV_ATTACHMENT_MAX bytes. */
gboolean pv_txn_attach (PvTxn *self, const char *name, GBytes *bytes, GError **error);

/* Live; any thread. */
void pv_txn_stats (PvTxn *self, PvTxnStats *stats);

/* The commit point. Everything durable and listed, or an error and nothing changed. PV_ERROR_EXISTS when domain@name
 * exists. Afterwards only stats and free. Returns the snapshot (transfer full). */
PvSnapshot *pv_txn_commit (PvTxn *self, const PvSnapshotMeta *meta, GError **error);

G_END_DECLS
