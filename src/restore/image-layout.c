/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/image-layout.h"

#include "util/error.h"

void
pv_image_run_append (const PvImageRun *run, GByteArray *out)
{
  pv_append_le32 (out, run->residue);
  pv_append_le32 (out, run->count);
  pv_append_le64 (out, run->offset);
  pv_append_le16 (out, run->block);
  pv_append_le16 (out, run->source);
  pv_append_zeros (out, 4);
}

gboolean
pv_image_run_read (PvImageRun *run, PvCursor *cursor, GError **error)
{
  guint32 reserved;

  run->residue = pv_cursor_le32 (cursor);
  run->count = pv_cursor_le32 (cursor);
  run->offset = pv_cursor_le64 (cursor);
  run->block = pv_cursor_le16 (cursor);
  run->source = pv_cursor_le16 (cursor);
  reserved = pv_cursor_le32 (cursor);
  if (!pv_cursor_ok (cursor, error))
    return FALSE;
  if (reserved != 0 || run->source > PV_IMAGE_SOURCE_NONE || run->residue > PV_IMAGE_RESIDUE_MAX
      || (run->count == 0) != (run->source == PV_IMAGE_SOURCE_NONE))
    return pv_corrupt (error, "a run of the image's layout is impossible");
  return TRUE;
}

gboolean
pv_image_run_merge (PvImageRun *run, const PvImageRun *next, guint page_size)
{
  if (run->source != next->source || run->block != next->block || run->source == PV_IMAGE_SOURCE_NONE
      || run->residue != next->residue || run->offset + (guint64) run->count * page_size != next->offset
      || run->count > G_MAXUINT32 - next->count)
    return FALSE;
  run->count += next->count;
  return TRUE;
}
