/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "chunk/compress.h"

#include <zstd.h>

#include "util/error.h"

#define SMALL (256u << 10) /* bytes */
#define LEVEL_SMALL 15     /* milliseconds for the documents of a guest */
#define LEVEL_LARGE 3

gboolean
pv_compress (const guint8 *data, gsize size, GByteArray *out)
{
  gsize bound = ZSTD_compressBound (size), n;
  guint start = out->len;

  if (ZSTD_isError (bound) || bound > G_MAXUINT - start)
    return FALSE;
  g_byte_array_set_size (out, start + (guint) bound);
  n = ZSTD_compress (out->data + start, bound, data, size, size <= SMALL ? LEVEL_SMALL : LEVEL_LARGE);
  if (ZSTD_isError (n) || n >= size)
    {
      g_byte_array_set_size (out, start);
      return FALSE;
    }
  g_byte_array_set_size (out, start + (guint) n);
  return TRUE;
}

GBytes *
pv_decompress (const guint8 *data, gsize size, gsize plain_size, GError **error)
{
  g_autofree guint8 *plain = NULL;
  gsize n;

  /* Before memory is asked for: one frame, which says how long it is. */
  if (ZSTD_getFrameContentSize (data, size) != plain_size || ZSTD_findFrameCompressedSize (data, size) != size)
    {
      pv_corrupt (error, "compressed data that is not of the size it should have");
      return NULL;
    }
  plain = g_try_malloc (MAX (plain_size, 1));
  if (plain == NULL)
    {
      pv_throw (error, PV_ERROR_FAILED, "no memory for %" G_GSIZE_FORMAT " bytes", plain_size);
      return NULL;
    }
  n = ZSTD_decompress (plain, plain_size, data, size);
  if (ZSTD_isError (n) || n != plain_size)
    {
      pv_corrupt (error, "compressed data that cannot be decompressed: %s",
                  ZSTD_isError (n) ? ZSTD_getErrorName (n) : "it is too short");
      return NULL;
    }
  return g_bytes_new_take (g_steal_pointer (&plain), plain_size);
}
