/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvCursor: reading foreign bytes without running past their end.
 *
 * A cursor walks over memory that it does not own. A read past the end latches the cursor: that read and all later ones
 * give zeros, and pv_cursor_end() fails; so a parser reads all fields of a record first and checks once. A count read
 * from the bytes must be checked against its cap before it is used for an allocation.
 *
 * The pv_append_* functions are the writing side: they append to a GByteArray.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct
{
  const guint8 *data; /* (not owned) */
  gsize size;         /* bytes at data */
  gsize offset;       /* bytes read so far, <= size */
  gboolean overrun;   /* a read went past the end */
} PvCursor;

#define PV_CURSOR_INIT(d, n) { .data = (d), .size = (n), .offset = 0, .overrun = FALSE }

guint8 pv_cursor_u8 (PvCursor *self);
guint16 pv_cursor_le16 (PvCursor *self);
guint32 pv_cursor_le32 (PvCursor *self);
guint64 pv_cursor_le64 (PvCursor *self);
guint16 pv_cursor_be16 (PvCursor *self);
guint32 pv_cursor_be32 (PvCursor *self);
guint64 pv_cursor_be64 (PvCursor *self);

/* (nullable): the next @size bytes in place, NULL when there are fewer (the cursor latches). Valid as long as data
 * is. */
const guint8 *pv_cursor_bytes (PvCursor *self, gsize size);

/* Copies @size bytes to @out; zeros it when there are fewer. */
void pv_cursor_copy (PvCursor *self, gpointer out, gsize size);

/* Bytes not read yet; 0 once latched. */
gsize pv_cursor_left (const PvCursor *self);

/* TRUE when nothing was read past the end (bytes may be left over); else PV_ERROR_CORRUPT. */
gboolean pv_cursor_ok (const PvCursor *self, GError **error);

/* TRUE when exactly all bytes were read; else PV_ERROR_CORRUPT. */
gboolean pv_cursor_end (const PvCursor *self, GError **error);

void pv_append_u8 (GByteArray *out, guint8 value);
void pv_append_le16 (GByteArray *out, guint16 value);
void pv_append_le32 (GByteArray *out, guint32 value);
void pv_append_le64 (GByteArray *out, guint64 value);
void pv_append_be16 (GByteArray *out, guint16 value);
void pv_append_be32 (GByteArray *out, guint32 value);
void pv_append_be64 (GByteArray *out, guint64 value);
void pv_append_zeros (GByteArray *out, gsize size);

G_END_DECLS
