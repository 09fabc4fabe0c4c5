/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A frame, as it comes and once more with magic and checksum made right, so that what lies behind them is reached. */
#include "config.h"

#include "chunk/frame.h"

#include <string.h>

#include "util/error.h"

int LLVMFuzzerTestOneInput (const guint8 *data, size_t size);

static void
decode (PvFrameCodec *codec, const guint8 *data, gsize size)
{
  g_autoptr(GError) info_error = NULL, check_error = NULL, error = NULL;
  PvFrameInfo head, checked, info;
  gboolean has_info = pv_frame_info (data, size, &head, &info_error);
  gboolean is_whole = pv_frame_check (data, size, &checked, &check_error);
  /* As much room as the frame asks for, so that a sanitizer sees a byte too many. */
  gsize room = has_info ? head.plain_size : 1;
  g_autofree guint8 *plain = g_malloc (room);
  gboolean decoded = pv_frame_decode (codec, data, size, &info, plain, room, &error);

  g_assert_true (has_info == (info_error == NULL));
  g_assert_true (is_whole == (check_error == NULL));
  g_assert_true (decoded == (error == NULL));
  if (!decoded)
    return;
  g_assert_true (has_info && is_whole && info.stored_size == size && info.plain_size == room);
  g_assert_true (info.plain_size <= PV_FRAME_PLAIN_MAX && info.stored_size <= PV_FRAME_STORED_MAX);
}

int
LLVMFuzzerTestOneInput (const guint8 *data, size_t size)
{
  g_autoptr(PvFrameCodec) codec = pv_frame_codec_new ();
  g_autofree guint8 *mended = NULL;
  guint64 checksum;

  decode (codec, data, size);
  if (size < PV_FRAME_HEADER_SIZE)
    return 0;
  mended = g_memdup2 (data, size);
  checksum = GUINT64_TO_LE (pv_checksum (data + 16, size - 16));
  memcpy (mended, "PVframe\n", 8);
  memcpy (mended + 8, &checksum, sizeof checksum);
  decode (codec, mended, size);
  return 0;
}
