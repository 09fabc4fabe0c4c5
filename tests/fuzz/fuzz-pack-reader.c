/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A pack, as it comes and once more with all checksums and the digest made right, so that what lies behind them is
 * reached. */
#include "config.h"

#include "pack/pack-reader.h"

#include <string.h>

#include "util/error.h"

int LLVMFuzzerTestOneInput (const guint8 *data, size_t size);

/* Field offsets of docs/format-store.md. */
enum
{
  FOOTER_N_FRAMES = 12,
  FOOTER_TABLE_OFFSET = 16,
  FOOTER_NAME = 40,
  FOOTER_CHECKSUM = 72,
};

static guint64
get_le64 (const guint8 *at)
{
  guint64 value;

  memcpy (&value, at, sizeof value);
  return GUINT64_FROM_LE (value);
}

static guint32
get_le32 (const guint8 *at)
{
  guint32 value;

  memcpy (&value, at, sizeof value);
  return GUINT32_FROM_LE (value);
}

static void
set_checksum (guint8 *at, const guint8 *data, gsize size)
{
  guint64 checksum = GUINT64_TO_LE (pv_checksum (data, size));

  memcpy (at, &checksum, sizeof checksum);
}

static void
mend (guint8 *pack, gsize size)
{
  guint8 *footer = pack + size - PV_PACK_FOOTER_SIZE;
  guint64 table_offset = MIN (get_le64 (footer + FOOTER_TABLE_OFFSET), size - PV_PACK_FOOTER_SIZE);
  gsize table_size = size - PV_PACK_FOOTER_SIZE - table_offset;
  guint32 n_frames = MIN (get_le32 (footer + FOOTER_N_FRAMES), table_size / PV_PACK_ENTRY_SIZE);

  for (guint32 i = 0; i < n_frames; i++)
    {
      guint8 *entry = pack + table_offset + (gsize) i * PV_PACK_ENTRY_SIZE;
      guint64 offset = get_le32 (entry), stored_size = get_le32 (entry + 4);

      if (stored_size < PV_FRAME_HEADER_SIZE || offset + stored_size > table_offset)
        continue;
      set_checksum (pack + offset + 8, pack + offset + 16, stored_size - 16);
      memcpy (entry + 8, pack + offset + 8, 8);
    }
  pv_digest (pack + table_offset, table_size, (PvName *) (footer + FOOTER_NAME));
  set_checksum (footer + FOOTER_CHECKSUM, footer, FOOTER_CHECKSUM);
}

static void
count (const PvName *object, guint32 frame, const char *why, gpointer data)
{
  (*(guint64 *) data)++;
}

static void
read_pack (const guint8 *data, gsize size)
{
  g_autoptr(GBytes) bytes = g_bytes_new (data, size);
  g_autoptr(GError) error = NULL;
  g_autoptr(PvPackReader) reader = pv_pack_reader_new_from_bytes (bytes, NULL, &error);
  g_autoptr(PvFrameCodec) codec = NULL;
  g_autoptr(PvNamer) namer = NULL;
  g_autoptr(PvStoreKey) key = NULL;
  g_autofree guint8 *plain = NULL;
  guint64 n_damaged = 0, n_slots = 0;

  g_assert_true ((reader != NULL) == (error == NULL));
  if (reader == NULL)
    return;
  codec = pv_frame_codec_new ();
  namer = pv_namer_new (NULL);
  plain = g_malloc (PV_FRAME_PLAIN_MAX);
  for (guint32 i = 0; i < pv_pack_reader_n_frames (reader); i++)
    {
      PvPackFrame frame;
      PvFrameInfo info;
      guint32 item_size;

      g_assert_true (pv_pack_reader_frame (reader, i, &frame, NULL));
      n_slots += frame.n_slots;
      if (pv_pack_reader_read (reader, codec, i, plain, &info, NULL))
        g_assert_cmpuint (pv_pack_frame_slot (&frame, frame.n_slots - 1, &item_size) + item_size, ==, info.plain_size);
    }
  g_assert_cmpuint (n_slots, ==, pv_pack_reader_n_objects (reader));
  g_assert_true (pv_pack_reader_verify (reader, namer, NULL, count, &n_damaged, NULL));
  g_assert_cmpuint (n_damaged, <=, n_slots);
  key = pv_store_key_new ((const guint8 *) "a key that no pack was made with");
  g_assert_false (pv_pack_reader_unlock (reader, key, NULL));
}

int
LLVMFuzzerTestOneInput (const guint8 *data, size_t size)
{
  g_autofree guint8 *mended = NULL;

  read_pack (data, size);
  if (size < PV_PACK_HEADER_SIZE + PV_PACK_FOOTER_SIZE)
    return 0;
  mended = g_memdup2 (data, size);
  mend (mended, size);
  read_pack (mended, size);
  return 0;
}
