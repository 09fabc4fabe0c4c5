/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvSaveImage: the libvirt save image around a stream: header, domain XML, cookie.
 *
 * Read in both byte orders; written little-endian, version 2. An image that libvirt never completed
 * (`LibvirtQemudPart`) is refused. The XML is foreign text: nothing here interprets it.
 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

#define PV_SAVE_IMAGE_HEADER_SIZE 92          /* bytes */
#define PV_SAVE_IMAGE_DATA_MAX (64u << 20)    /* bytes: XML, cookie and padding together */

typedef enum
{
  PV_SAVE_FORMAT_RAW = 0,
  PV_SAVE_FORMAT_GZIP = 1,
  PV_SAVE_FORMAT_BZIP2 = 2,
  PV_SAVE_FORMAT_XZ = 3,
  PV_SAVE_FORMAT_LZOP = 4,
  PV_SAVE_FORMAT_ZSTD = 5,
  PV_SAVE_FORMAT_SPARSE = 6, /* mapped-ram, says the header; the stream itself decides */
} PvSaveFormat;

typedef struct
{
  char *xml;             /* owned: the domain XML */
  char *cookie;          /* owned (nullable): the cookie XML */
  PvSaveFormat format;
  gboolean was_running;  /* the guest ran when it was saved: virsh restore lets it run again */
  gboolean big_endian;   /* byte order the header was found in */
  guint32 version;       /* 1 or 2 */
  guint64 stream_offset; /* bytes from the start of the image to the stream */
} PvSaveImage;

/* "raw", "gzip", … as in qemu.conf. */
const char *pv_save_format_name (PvSaveFormat format);

/* TRUE when @data (≥ 16 bytes) starts like a save image, complete or not. */
gboolean pv_save_image_probe (const guint8 *data, gsize size);

/* (transfer full): parses the image's start; @size must reach to the stream (PV_ERROR_CORRUPT otherwise). */
PvSaveImage *pv_save_image_parse (const guint8 *data, gsize size, GError **error);
/* (transfer full): reads and parses the start of the image at offset 0 of @fd (by pread). @name is for messages. */
PvSaveImage *pv_save_image_read (int fd, const char *name, GError **error);
/* (transfer full): opens @path and reads it; @fd_out (nullable) gets the descriptor, owned by the caller. */
PvSaveImage *pv_save_image_open (const char *path, int *fd_out, GError **error);
void pv_save_image_free (PvSaveImage *self);

/* (transfer full): header, XML NUL [cookie NUL] padding, ready to have a stream appended. The size is a multiple of
 * @align (a power of two, 1 … 1 MiB). Without @complete the image is marked unfinished, as libvirt does while it
 * writes. PV_ERROR_INVALID when XML and cookie are too large. */
GBytes *pv_save_image_compose (const char *xml, const char *cookie, gboolean was_running, PvSaveFormat format,
                               guint align, gboolean complete, GError **error);
/* Writes a composed unfinished start (align 4096) to @fd; the stream is to follow. @stream_offset: (out) (optional). */
gboolean pv_save_image_header_write (int fd, const char *name, const char *xml, const char *cookie,
                                     gboolean was_running, PvSaveFormat format, guint64 *stream_offset,
                                     GError **error);
/* Marks the image at offset 0 of @fd complete. Sync the file before and after. */
gboolean pv_save_image_complete (int fd, const char *name, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvSaveImage, pv_save_image_free)

G_END_DECLS
