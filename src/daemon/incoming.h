/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvIncoming: a libvirt save image that is being written into the pool becomes a snapshot.
 *
 *   new -> open -> write … -> close -> open -> write of the complete header: the snapshot is there -> close -> unref
 *
 * libvirt marks an image unfinished, writes it from front to back, and at the end, having opened it again, writes the
 * header once more with the mark of a finished one. That write is the commit point: it returns when everything is
 * durable and listed, or it fails and there is nothing. The stream of a plain image is taken in while it comes; one
 * that is compressed or sparse goes to a scratch file of the store first, for it is not written in order. A file that
 * is marked finished from the start (somebody copies an image) becomes a snapshot when it is closed.
 *
 * While a guest is saved it stands still until the last write returns, its disks flushed and let go of by QEMU: their
 * content is read in that very moment, and memory and disks are one snapshot. See disk-taker.h for when this is so.
 *
 * Letting go of it before the commit point leaves nothing. Functions return 0 (write: bytes) or a negative errno, and
 * log why; nothing here waits for libvirt. Any thread.
 */
#pragma once

#include "daemon/libvirt-link.h"
#include "store/txn.h"

G_BEGIN_DECLS

typedef struct _PvIncoming PvIncoming;

/* @link outlives it. @file: how the file is called; @domain, @name: the snapshot that it becomes. */
PvIncoming *pv_incoming_new (PvStore *store, PvLibvirtLink *link, const char *file, const char *domain,
                             const char *name);
PvIncoming *pv_incoming_ref (PvIncoming *self);
void pv_incoming_unref (PvIncoming *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvIncoming, pv_incoming_unref)

/* The file is removed: nothing of it will be kept, whatever is written yet. Nothing happens behind the commit point. */
void pv_incoming_cancel (PvIncoming *self);

/* Somebody has it open; closed again. */
void pv_incoming_open (PvIncoming *self);
void pv_incoming_close (PvIncoming *self);
/* Seconds for which nobody has had it open; 0 while somebody has. */
gint64 pv_incoming_idle (PvIncoming *self);

int pv_incoming_write (PvIncoming *self, const guint8 *data, gsize size, guint64 offset);
int pv_incoming_truncate (PvIncoming *self, guint64 size);
/* A descriptor is closed. */
int pv_incoming_flush (PvIncoming *self);

guint64 pv_incoming_size (PvIncoming *self); /* bytes written */
/* TRUE behind the commit point: the file is the snapshot now. */
gboolean pv_incoming_done (PvIncoming *self);
/* TRUE when nobody has it open, and it will never become a snapshot. */
gboolean pv_incoming_dead (PvIncoming *self);

G_END_DECLS
