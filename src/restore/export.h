/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* export and import: files that stock tools understand. */
#pragma once

#include "store/txn.h"
#include "store/volume-reader.h"

G_BEGIN_DECLS

typedef void (*PvTransferProgressFunc) (const char *phase, guint64 done, guint64 total, gpointer data);

/* Writes the memory of @snapshot as a libvirt save image that stock `virsh restore` takes. @xml: (nullable): another
 * domain XML to put into it. A memory image that was imported comes out with the same bytes. */
gboolean pv_export_memory (PvStore *store, PvSnapshot *snapshot, const char *xml, int fd, const char *name,
                           PvTransferProgressFunc progress, gpointer data, GCancellable *cancellable, GError **error);

/* Likewise into the new file @path, mode 0600, which has its name only when it is whole and durable: nothing is left of
 * one that was killed. */
gboolean pv_export_memory_file (PvStore *store, PvSnapshot *snapshot, const char *path, PvTransferProgressFunc progress,
                                gpointer data, GCancellable *cancellable, GError **error);

/* Writes disk @target as @format "raw" or "qcow2" (nullable: as it was imported, else raw) to the new file @path
 * (never overwritten), holes kept. */
gboolean pv_export_disk (PvStore *store, PvSnapshot *snapshot, const char *target, const char *format, const char *path,
                         PvTransferProgressFunc progress, gpointer data, GCancellable *cancellable, GError **error);

typedef struct
{
  char *target; /* (owned): "vda" */
  char *path;   /* (owned): raw or qcow2, told apart by content */
} PvImportDisk;
/* "TARGET=FILE". PV_ERROR_INVALID otherwise. */
PvImportDisk *pv_import_disk_parse (const char *text, GError **error);
void pv_import_disk_free (PvImportDisk *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvImportDisk, pv_import_disk_free)

/* Takes in @path: a libvirt save image, a QEMU stream, a raw or qcow2 disk, told apart by content. @disks: (nullable)
 * (element-type PvImportDisk): disks of the same instant that go into the same snapshot. */
PvSnapshot *pv_import_file (PvStore *store, const char *path, GPtrArray *disks, const char *domain, const char *name,
                            PvTxnStats *stats, PvTransferProgressFunc progress, gpointer data,
                            GCancellable *cancellable, GError **error);

G_END_DECLS
