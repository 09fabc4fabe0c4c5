/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pack/pack-table.h"

#include <string.h>

#include "chunk/node.h"
#include "pack/pack-table-builder.h"
#include "util/error.h"

static void
fill_names (PvName *names, guint n)
{
  for (guint i = 0; i < n; i++)
    memset (names[i].bytes, (int) i + 1, PV_NAME_SIZE);
}

static PvFrameInfo
chunks (guint n_slots, gsize stored_size)
{
  PvFrameInfo info = { .kind = PV_FRAME_KIND_CHUNKS,
                       .n_slots = n_slots,
                       .plain_size = n_slots * PV_CHUNK_SIZE,
                       .stored_size = stored_size,
                       .checksum = G_GUINT64_CONSTANT (0x0123456789abcdef) };

  return info;
}

static PvFrameInfo
nodes (guint n_slots, gsize plain_size, gsize stored_size)
{
  PvFrameInfo info = chunks (n_slots, stored_size);

  info.kind = PV_FRAME_KIND_NODES;
  info.plain_size = plain_size;
  return info;
}

/* A table is had from the last bytes of a pack alone, as from a range request. */
static void
test_from_the_end (void)
{
  g_autoptr(PvPackTableBuilder) builder = pv_pack_table_builder_new ();
  g_autoptr(GByteArray) tail = g_byte_array_new ();
  g_autoptr(PvPackTable) table = NULL;
  g_autoptr(GBytes) bytes = NULL;
  g_autoptr(GError) error = NULL;
  PvFrameInfo first = chunks (32, 5000), second = nodes (3, 100 + 200 + 300, 432), third = chunks (1, 33);
  static const guint32 sizes[] = { 100, 200, 300 };
  PvPackFooter footer;
  PvPackFrame frame;
  guint64 pack_size;
  guint32 size;
  PvName names[32], pack_name;

  fill_names (names, 32);
  g_assert_true (pv_pack_table_builder_add (builder, &first, names, NULL, &error));
  g_assert_true (pv_pack_table_builder_add (builder, &second, names + 4, sizes, &error));
  g_assert_true (pv_pack_table_builder_add (builder, &third, names + 9, NULL, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (pv_pack_table_builder_offset (builder), ==, PV_PACK_HEADER_SIZE + 5000 + 432 + 33);
  pack_size = pv_pack_table_builder_offset (builder) + pv_pack_table_builder_tail_size (builder);
  pv_pack_table_builder_finish (builder, tail, &pack_name);
  g_assert_cmpuint (tail->len, ==, pv_pack_table_builder_tail_size (builder));

  g_assert_true (pv_pack_footer_parse (tail->data + tail->len - PV_PACK_FOOTER_SIZE, pack_size, &footer, &error));
  g_assert_cmpuint (footer.table_offset, ==, pv_pack_table_builder_offset (builder));
  g_assert_cmpuint (footer.table_size, ==, tail->len - PV_PACK_FOOTER_SIZE);
  g_assert_true (pv_name_equal (&footer.name, &pack_name));
  bytes = g_bytes_new (tail->data, tail->len - PV_PACK_FOOTER_SIZE);
  table = pv_pack_table_parse (&footer, bytes, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (pv_pack_table_n_frames (table), ==, 3);
  g_assert_cmpuint (pv_pack_table_n_objects (table), ==, 36);

  g_assert_true (pv_pack_table_frame (table, 1, &frame, &error));
  g_assert_cmpint (frame.kind, ==, PV_FRAME_KIND_NODES);
  g_assert_cmpuint (frame.offset, ==, PV_PACK_HEADER_SIZE + 5000);
  g_assert_cmpuint (frame.stored_size, ==, 432);
  g_assert_cmpuint (frame.plain_size, ==, 600);
  g_assert_cmpuint (pv_pack_frame_slot (&frame, 2, &size), ==, 300);
  g_assert_cmpuint (size, ==, 300);
  g_assert_cmpmem (frame.names, 3 * PV_NAME_SIZE, names + 4, 3 * PV_NAME_SIZE);
  g_assert_true (pv_pack_frame_check (&frame, &second, &error));
  g_assert_false (pv_pack_frame_check (&frame, &first, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
  g_assert_true (pv_pack_table_frame (table, 2, &frame, NULL));
  g_assert_cmpmem (frame.names, PV_NAME_SIZE, names + 9, PV_NAME_SIZE);
  g_assert_false (pv_pack_table_frame (table, 3, &frame, NULL));
}

/* The layout is a promise: these bytes must never change for version 1. */
static void
test_golden (void)
{
  g_autoptr(PvPackTableBuilder) builder = pv_pack_table_builder_new ();
  g_autoptr(GByteArray) tail = g_byte_array_new ();
  g_autofree char *hex = NULL, *digest = NULL;
  PvFrameInfo info = nodes (1, 36, 68);
  guint32 size = 36;
  PvName name, pack_name;

  fill_names (&name, 1);
  g_assert_true (pv_pack_table_builder_add (builder, &info, &name, &size, NULL));
  pv_pack_table_builder_finish (builder, tail, &pack_name);
  hex = pv_name_to_hex (&pack_name);
  g_assert_cmpstr (hex, ==, "45c53b8b2b12aebfeefde622cbcf15b22540cce28be8455a43b31091b0f8e8a8");
  digest = g_compute_checksum_for_data (G_CHECKSUM_SHA256, tail->data, tail->len);
  g_assert_cmpstr (digest, ==, "7481c81c261a82dd0213f66ee07d9f23308ef816b19fb0381d1f2802d5902846");
}

static void
test_header (void)
{
  guint8 header[PV_PACK_HEADER_SIZE];

  memcpy (header, pv_pack_header, sizeof header);
  g_assert_cmpmem (header, sizeof header, "PVpack\r\n\001\0\0\0\0\0\0\0", 16);
  g_assert_true (pv_pack_header_check (header, sizeof header, NULL));
  for (guint i = 0; i < sizeof header; i++)
    {
      int code = i < 8 ? PV_ERROR_CORRUPT : PV_ERROR_UNSUPPORTED;
      g_autoptr(GError) error = NULL;

      header[i] ^= 1;
      g_assert_false (pv_pack_header_check (header, sizeof header, &error));
      g_assert_error (error, PV_ERROR, code);
      header[i] ^= 1;
    }
  g_assert_false (pv_pack_header_check (header, sizeof header - 1, NULL));
}

/* What a builder takes, a reader takes: it refuses the frame that would be too many. */
static void
test_too_many_frames (void)
{
  g_autoptr(PvPackTableBuilder) builder = pv_pack_table_builder_new ();
  g_autoptr(GError) error = NULL;
  PvFrameInfo info = chunks (1, 33);
  PvName name;

  fill_names (&name, 1);
  for (guint32 i = 0; i < PV_PACK_FRAMES_MAX; i++)
    g_assert_true (pv_pack_table_builder_add (builder, &info, &name, NULL, NULL));
  g_assert_false (pv_pack_table_builder_add (builder, &info, &name, NULL, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_FAILED);
  g_assert_cmpuint (pv_pack_table_builder_n_frames (builder), ==, PV_PACK_FRAMES_MAX);
}

static void
test_too_large (void)
{
  g_autoptr(PvPackTableBuilder) builder = pv_pack_table_builder_new ();
  g_autoptr(GError) error = NULL;
  PvFrameInfo info = chunks (1, PV_FRAME_STORED_MAX);
  PvName name;

  fill_names (&name, 1);
  while (pv_pack_table_builder_add (builder, &info, &name, NULL, &error))
    g_assert_cmpuint (pv_pack_table_builder_offset (builder), <, PV_PACK_SIZE_MAX);
  g_assert_error (error, PV_ERROR, PV_ERROR_FAILED);
  g_assert_cmpuint (pv_pack_table_builder_offset (builder) + pv_pack_table_builder_tail_size (builder), <=,
                    PV_PACK_SIZE_MAX);
  g_assert_cmpuint (pv_pack_table_builder_offset (builder), >, PV_PACK_SIZE_MAX - (1u << 21));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/pack-table/from-the-end", test_from_the_end);
  g_test_add_func ("/pack-table/golden", test_golden);
  g_test_add_func ("/pack-table/header", test_header);
  g_test_add_func ("/pack-table/too-many-frames", test_too_many_frames);
  g_test_add_func ("/pack-table/too-large", test_too_large);
  return g_test_run ();
}
