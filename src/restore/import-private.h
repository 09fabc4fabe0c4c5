/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One import: the file, the transaction, and what the parts of import share. */
#pragma once

#include "restore/image-layout.h"
#include "restore/transfer.h"
#include "stream/save-image.h"

G_BEGIN_DECLS

#define PV_IMPORT_READ_SIZE (1u << 20) /* bytes read at a time */
#define PV_IMPORT_DISK "vda"           /* what the disk of a disk image is called */

typedef struct
{
  PvStore *store;
  PvTxn *txn;
  int fd;               /* of the file */
  const char *path;     /* for messages */
  guint64 size;         /* bytes of the file */
  const char *target;   /* what a disk is called */
  gboolean main_file;   /* keep what gives the same bytes back; a disk that comes along is kept for its content only */
  PvTransfer transfer;
  PvGuestState state;   /* (out) */
} PvImport;

/* A memory image. @image: (nullable): a bare QEMU stream has none. */
gboolean pv_import_memory (PvImport *import, const PvSaveImage *image, GError **error);
/* A raw disk image. */
gboolean pv_import_raw (PvImport *import, GError **error);
gboolean pv_import_qcow2 (PvImport *import, GError **error);

/* The whole of @fd, @size bytes, as one volume; holes are zeros. */
gboolean pv_import_copy (PvImport *import, int fd, guint64 size, PvVolumeKind kind, const char *name, GError **error);
/* Says in PV_ATTACH_IMAGE_HEAD what the main file was: "save-image", "qemu-stream", "raw", "qcow2". */
gboolean pv_import_note_format (PvImport *import, const char *format, GError **error);

G_END_DECLS
