/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvRamIngest: guest memory into the volumes of a transaction: one volume for each RAM block.
 *
 *   new -> feed … (one thread) -> finish (when all is fed) -> free
 *   new -> begin -> pages, zero, keep … (one thread) -> devices -> finish -> free
 *
 * The first takes a migration stream, the second what such a stream would carry, from who reads memory himself.
 * finish() closes the volumes, adds the device state as a blob and the stream's head as an attachment.
 */
#pragma once

#include "store/txn.h"
#include "stream/save-image.h"
#include "stream/stream-head.h"

G_BEGIN_DECLS

typedef struct _PvRamIngest PvRamIngest;

/* @txn must outlive it. */
PvRamIngest *pv_ram_ingest_new (PvTxn *txn);
void pv_ram_ingest_free (PvRamIngest *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvRamIngest, pv_ram_ingest_free)

/* A PvDrainSink: @self is a PvRamIngest. */
gboolean pv_ram_ingest_feed (const guint8 *bytes, gsize n, gpointer self, GError **error);

/* Instead of a stream: its head (a reference is taken), … */
gboolean pv_ram_ingest_begin (PvRamIngest *self, PvStreamHead *head, GError **error);
/* … its pages: the last that is said of a page counts, and one of which nothing is said is zero; whole pages. keep():
 * the snapshot before has it right. */
gboolean pv_ram_ingest_pages (PvRamIngest *self, guint block_index, guint64 offset, const guint8 *bytes, gsize n_bytes,
                              GError **error);
gboolean pv_ram_ingest_zero (PvRamIngest *self, guint block_index, guint64 offset, guint64 n_bytes, GError **error);
gboolean pv_ram_ingest_keep (PvRamIngest *self, guint block_index, guint64 offset, guint64 n_bytes, GError **error);
/* … and all that comes after RAM: sections of devices, EOF, description. */
void pv_ram_ingest_devices (PvRamIngest *self, GBytes *devices);

/* PV_ERROR_CORRUPT when the stream is not whole. */
gboolean pv_ram_ingest_finish (PvRamIngest *self, GError **error);
/* Instead of feed() and finish(): the whole stream at @offset of @fd, compressed or mapped-ram as it may be. @name is
 * for messages. */
gboolean pv_ram_ingest_take_file (PvRamIngest *self, int fd, guint64 offset, PvSaveFormat format, const char *name,
                                  GError **error);

/* Any thread: TRUE from the first page on. */
gboolean pv_ram_ingest_started (PvRamIngest *self);
/* Any thread: bytes of memory of all blocks; 0 before they are known. */
guint64 pv_ram_ingest_total (PvRamIngest *self);
/* Any thread: bytes of memory seen, at most total(); pages that were sent twice count twice. */
guint64 pv_ram_ingest_done (PvRamIngest *self);

G_END_DECLS
