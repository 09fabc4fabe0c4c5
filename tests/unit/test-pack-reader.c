/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pack-sample.h"
#include "util/file.h"

static void
test_round_trip (void)
{
  g_autoptr(PvNamer) namer = pv_namer_new (NULL);
  g_autoptr(PackSample) sample = pack_sample_new (namer);
  g_autoptr(GError) error = NULL;
  g_autoptr(PvPackReader) reader = pack_sample_open (sample->bytes->data, sample->bytes->len, &sample->name, &error);
  g_autoptr(PvFrameCodec) codec = pv_frame_codec_new ();
  g_autofree guint8 *plain = g_malloc (PV_FRAME_PLAIN_MAX);
  g_autofree PvNode *node = g_new0 (PvNode, 1);
  PvPackFrame frame;
  PvFrameInfo info;
  guint32 offset, size;

  g_assert_no_error (error);
  g_assert_true (pv_name_equal (pv_pack_reader_name (reader), &sample->name));
  g_assert_cmpuint (pv_pack_reader_size (reader), ==, sample->bytes->len);
  g_assert_cmpuint (pv_pack_reader_n_frames (reader), ==, 2);
  g_assert_cmpuint (pv_pack_reader_n_objects (reader), ==, 4);

  g_assert_true (pv_pack_reader_frame (reader, 0, &frame, &error));
  g_assert_null (frame.sizes);
  g_assert_cmpmem (frame.names, 2 * PV_NAME_SIZE, sample->chunk_names, sizeof sample->chunk_names);
  g_assert_true (pv_pack_reader_read (reader, codec, 0, plain, &info, &error));
  g_assert_cmpmem (plain, info.plain_size, sample->chunks, sizeof sample->chunks);
  g_assert_cmpuint (pv_pack_frame_slot (&frame, 1, &size), ==, PV_CHUNK_SIZE);
  g_assert_cmpuint (size, ==, PV_CHUNK_SIZE);

  g_assert_true (pv_pack_reader_frame (reader, 1, &frame, &error));
  g_assert_cmpmem (frame.names, 2 * PV_NAME_SIZE, sample->node_names, sizeof sample->node_names);
  g_assert_true (pv_pack_reader_read (reader, codec, 1, plain, &info, &error));
  offset = pv_pack_frame_slot (&frame, 1, &size);
  g_assert_cmpuint (offset, ==, frame.sizes[0]);
  g_assert_cmpuint (size, ==, 132);
  g_assert_true (pv_node_decode (plain + offset, size, &sample->base, node, &error));
  g_assert_no_error (error);
  g_assert_true (pv_node_equal (node, &sample->node));
}

static void
test_no_such_frame (void)
{
  g_autoptr(PvNamer) namer = pv_namer_new (NULL);
  g_autoptr(PackSample) sample = pack_sample_new (namer);
  g_autoptr(PvPackReader) reader = pack_sample_open (sample->bytes->data, sample->bytes->len, NULL, NULL);
  g_autoptr(PvFrameCodec) codec = pv_frame_codec_new ();
  g_autofree guint8 *plain = g_malloc (PV_FRAME_PLAIN_MAX);
  g_autoptr(GError) error = NULL;
  PvFrameInfo info;

  g_assert_false (pv_pack_reader_read (reader, codec, 2, plain, &info, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
}

static void
test_wrong_name (void)
{
  g_autoptr(PvNamer) namer = pv_namer_new (NULL);
  g_autoptr(PackSample) sample = pack_sample_new (namer);
  g_autoptr(GError) error = NULL;

  g_assert_null (pack_sample_open (sample->bytes->data, sample->bytes->len, &sample->chunk_names[0], &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
}

static void
test_files (void)
{
  g_autoptr(PvNamer) namer = pv_namer_new (NULL);
  g_autoptr(PackSample) sample = pack_sample_new (namer);
  g_autofree char *directory = g_dir_make_tmp ("pagevault-test-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (directory, "pack", NULL);
  g_autoptr(GError) error = NULL, missing = NULL, not_file = NULL;
  g_autoptr(PvPackReader) reader = NULL;
  Damage damage = { .sample = sample };

  g_assert_null (pv_pack_reader_open (path, NULL, &missing));
  g_assert_error (missing, PV_ERROR, PV_ERROR_NOT_FOUND);
  g_assert_null (pv_pack_reader_open (directory, NULL, &not_file));
  g_assert_error (not_file, PV_ERROR, PV_ERROR_CORRUPT);
  g_assert_true (g_file_set_contents (path, (const char *) sample->bytes->data, sample->bytes->len, &error));
  reader = pv_pack_reader_open (path, &sample->name, &error);
  g_assert_no_error (error);
  g_assert_true (pv_pack_reader_verify (reader, namer, pack_sample_base, pack_sample_count_damage, &damage, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (damage.n_damaged, ==, 0);
  g_assert_true (pv_remove_tree (directory, &error));
}

/* Open refuses it, or verify names every object of the frame that was hit. */
static void
assert_found (const PackSample *sample, const guint8 *data, gsize size, PvNamer *namer)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(PvPackReader) reader = pack_sample_open (data, size, &sample->name, &error);
  Damage damage = { .sample = (PackSample *) sample };

  if (reader == NULL)
    {
      g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
      return;
    }
  g_assert_true (pv_pack_reader_verify (reader, namer, NULL, pack_sample_count_damage, &damage, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (damage.n_damaged, ==, 2);
}

static void
test_every_flipped_bit (void)
{
  g_autoptr(PvNamer) namer = pv_namer_new (NULL);
  g_autoptr(PackSample) sample = pack_sample_new (namer);
  guint8 *data = sample->bytes->data;

  for (guint bit = 0; bit < sample->bytes->len * 8; bit++)
    {
      data[bit / 8] ^= (guint8) (1u << (bit % 8));
      if (bit / 8 < PV_PACK_HEADER_SIZE && bit / 8 >= 8)
        {
          /* Every bit of version, flags and reserved bytes stands for a format of the future. */
          g_autoptr(GError) error = NULL;

          g_assert_null (pack_sample_open (data, sample->bytes->len, NULL, &error));
          g_assert_error (error, PV_ERROR, PV_ERROR_UNSUPPORTED);
        }
      else
        {
          assert_found (sample, data, sample->bytes->len, namer);
          assert_found (sample, data, sample->bytes->len, NULL);
        }
      data[bit / 8] ^= (guint8) (1u << (bit % 8));
    }
}

static void
test_every_length (void)
{
  g_autoptr(PvNamer) namer = pv_namer_new (NULL);
  g_autoptr(PackSample) sample = pack_sample_new (namer);

  for (gsize size = 0; size < sample->bytes->len; size++)
    {
      g_autoptr(GError) error = NULL;

      g_assert_null (pack_sample_open (sample->bytes->data, size, NULL, &error));
      g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
    }
  g_byte_array_append (sample->bytes, (const guint8 *) "", 1);
  g_assert_null (pack_sample_open (sample->bytes->data, sample->bytes->len, NULL, NULL));
}

/* Frames are self-delimiting: without table and footer they can still be walked from the start. */
static void
test_lost_tail (void)
{
  g_autoptr(PvNamer) namer = pv_namer_new (NULL);
  g_autoptr(PackSample) sample = pack_sample_new (namer);
  g_autoptr(PvFrameCodec) codec = pv_frame_codec_new ();
  g_autofree guint8 *plain = g_malloc (PV_FRAME_PLAIN_MAX);
  gsize at = PV_PACK_HEADER_SIZE;
  guint n_frames = 0;
  PvFrameInfo info;

  while (pv_frame_info (sample->bytes->data + at, sample->bytes->len - at, &info, NULL))
    {
      g_assert_true (pv_frame_decode (codec, sample->bytes->data + at, info.stored_size, &info, plain,
                                      PV_FRAME_PLAIN_MAX, NULL));
      if (n_frames++ == 0)
        g_assert_cmpmem (plain, info.plain_size, sample->chunks, sizeof sample->chunks);
      at += info.stored_size;
    }
  g_assert_cmpuint (n_frames, ==, 2);
}

/* Changes @n_bytes of the table at @offset (from its end when negative) and makes digest and footer right again. */
static void
assert_table_refused (gssize offset, guint n_bytes, guint64 value, int code)
{
  g_autoptr(PvNamer) namer = pv_namer_new (NULL);
  g_autoptr(PackSample) sample = pack_sample_new (namer);
  guint8 *footer = sample->bytes->data + sample->bytes->len - PV_PACK_FOOTER_SIZE;
  g_autoptr(GError) error = NULL;
  guint64 wire = GUINT64_TO_LE (value), checksum;
  PvPackFooter parsed;
  guint8 *table;

  g_assert_true (pv_pack_footer_parse (footer, sample->bytes->len, &parsed, NULL));
  table = sample->bytes->data + parsed.table_offset;
  memcpy (offset < 0 ? footer + offset : table + offset, &wire, n_bytes);
  pv_digest (table, parsed.table_size, (PvName *) (footer + 40));
  checksum = GUINT64_TO_LE (pv_checksum (footer, 72));
  memcpy (footer + 72, &checksum, sizeof checksum);
  g_assert_null (pack_sample_open (sample->bytes->data, sample->bytes->len, NULL, &error));
  g_assert_error (error, PV_ERROR, code);
}

static void
test_hostile_tables (void)
{
  assert_table_refused (0, 4, 15, PV_ERROR_CORRUPT);              /* frames not where they must be */
  assert_table_refused (0, 4, G_MAXUINT32, PV_ERROR_CORRUPT);
  assert_table_refused (4, 4, 0, PV_ERROR_CORRUPT);               /* frame sizes */
  assert_table_refused (4, 4, G_MAXUINT32, PV_ERROR_CORRUPT);
  assert_table_refused (4, 4, 40, PV_ERROR_CORRUPT);
  assert_table_refused (16, 1, 3, PV_ERROR_CORRUPT);              /* kind */
  assert_table_refused (16, 1, PV_FRAME_KIND_NODES, PV_ERROR_CORRUPT);
  assert_table_refused (17, 1, 1, PV_ERROR_UNSUPPORTED);          /* flags */
  assert_table_refused (18, 2, 0, PV_ERROR_CORRUPT);              /* slots */
  assert_table_refused (18, 2, 3, PV_ERROR_CORRUPT);
  assert_table_refused (18, 2, G_MAXUINT16, PV_ERROR_CORRUPT);
  assert_table_refused (20, 4, 1, PV_ERROR_UNSUPPORTED);          /* reserved */
  assert_table_refused (24 + 16, 1, PV_FRAME_KIND_CHUNKS, PV_ERROR_CORRUPT);
  assert_table_refused (-4, 4, 0, PV_ERROR_CORRUPT);              /* sizes of nodes */
  assert_table_refused (-4, 4, PV_NODE_STORED_MAX + 1, PV_ERROR_CORRUPT);
  assert_table_refused (-4, 4, G_MAXUINT32, PV_ERROR_CORRUPT);
}

/* Likewise for the footer. */
static void
assert_footer_refused (guint offset, guint n_bytes, guint64 value, int code)
{
  g_autoptr(PvNamer) namer = pv_namer_new (NULL);
  g_autoptr(PackSample) sample = pack_sample_new (namer);
  guint8 *footer = sample->bytes->data + sample->bytes->len - PV_PACK_FOOTER_SIZE;
  g_autoptr(GError) error = NULL;
  guint64 wire = GUINT64_TO_LE (value), checksum;

  memcpy (footer + offset, &wire, n_bytes);
  checksum = GUINT64_TO_LE (pv_checksum (footer, 72));
  memcpy (footer + 72, &checksum, sizeof checksum);
  g_assert_null (pack_sample_open (sample->bytes->data, sample->bytes->len, NULL, &error));
  g_assert_error (error, PV_ERROR, code);
}

static void
test_hostile_footers (void)
{
  assert_footer_refused (0, 1, 'X', PV_ERROR_CORRUPT);
  assert_footer_refused (8, 2, 2, PV_ERROR_UNSUPPORTED);
  assert_footer_refused (10, 2, 0x8000, PV_ERROR_UNSUPPORTED);
  assert_footer_refused (12, 4, 0, PV_ERROR_CORRUPT);
  assert_footer_refused (12, 4, 1, PV_ERROR_CORRUPT);
  assert_footer_refused (12, 4, 3, PV_ERROR_CORRUPT);
  assert_footer_refused (12, 4, G_MAXUINT32, PV_ERROR_CORRUPT);
  assert_footer_refused (16, 8, 0, PV_ERROR_CORRUPT);
  assert_footer_refused (16, 8, G_MAXUINT64, PV_ERROR_CORRUPT);
  assert_footer_refused (24, 8, 0, PV_ERROR_CORRUPT);
  assert_footer_refused (24, 8, G_MAXUINT64, PV_ERROR_CORRUPT);
  assert_footer_refused (32, 4, 0, PV_ERROR_CORRUPT);
  assert_footer_refused (32, 4, 3, PV_ERROR_CORRUPT);
  assert_footer_refused (32, 4, 5, PV_ERROR_CORRUPT);
  assert_footer_refused (32, 4, G_MAXUINT32, PV_ERROR_CORRUPT);
  assert_footer_refused (36, 4, 1, PV_ERROR_UNSUPPORTED);
  assert_footer_refused (40, 1, 0x42, PV_ERROR_CORRUPT);
}

/* A pack whose checksums are all right, but whose names are those of other bytes: only naming finds it. */
static void
test_wrong_content (void)
{
  guint8 key[PV_NAME_KEY_SIZE] = { 5 };
  g_autoptr(PvNamer) plain = pv_namer_new (NULL);
  g_autoptr(PvNamer) keyed = pv_namer_new (key);
  g_autoptr(PackSample) sample = pack_sample_new (plain);
  g_autoptr(PvPackReader) reader = pack_sample_open (sample->bytes->data, sample->bytes->len, NULL, NULL);
  Damage unnamed = { .sample = sample }, named = { .sample = sample }, without_base = { .sample = sample };

  g_assert_true (pv_pack_reader_verify (reader, NULL, NULL, pack_sample_count_damage, &unnamed, NULL));
  g_assert_cmpuint (unnamed.n_damaged, ==, 0);
  g_assert_true (pv_pack_reader_verify (reader, keyed, pack_sample_base, pack_sample_count_damage, &named, NULL));
  g_assert_cmpuint (named.n_damaged, ==, 4);
  g_assert_true (pv_pack_reader_verify (reader, keyed, NULL, pack_sample_count_damage, &without_base, NULL));
  g_assert_cmpuint (without_base.n_damaged, ==, 3);
}

static void
test_keyed (void)
{
  guint8 key[PV_NAME_KEY_SIZE] = { 5 };
  g_autoptr(PvNamer) keyed = pv_namer_new (key);
  g_autoptr(PackSample) sample = pack_sample_new (keyed);
  g_autoptr(PvPackReader) reader = pack_sample_open (sample->bytes->data, sample->bytes->len, &sample->name, NULL);
  Damage damage = { .sample = sample };

  g_assert_true (pv_pack_reader_verify (reader, keyed, pack_sample_base, pack_sample_count_damage, &damage, NULL));
  g_assert_cmpuint (damage.n_damaged, ==, 0);
}

static gboolean
no_base (const PvName *name, PvNode *node, gpointer data)
{
  return FALSE;
}

static void
test_missing_base (void)
{
  g_autoptr(PvNamer) namer = pv_namer_new (NULL);
  g_autoptr(PackSample) sample = pack_sample_new (namer);
  g_autoptr(PvPackReader) reader = pack_sample_open (sample->bytes->data, sample->bytes->len, NULL, NULL);
  Damage damage = { .sample = sample };

  g_assert_true (pv_pack_reader_verify (reader, namer, no_base, pack_sample_count_damage, &damage, NULL));
  g_assert_cmpuint (damage.n_damaged, ==, 1);
  g_assert_true (pv_name_equal (&damage.last, &sample->node_names[1]));
}

static gpointer
read_many (gpointer data)
{
  PvPackReader *reader = data;
  g_autoptr(PvFrameCodec) codec = pv_frame_codec_new ();
  g_autofree guint8 *plain = g_malloc (PV_FRAME_PLAIN_MAX);
  PvFrameInfo info;

  for (guint32 i = 0; i < 500; i++)
    if (!pv_pack_reader_read (reader, codec, i % 2, plain, &info, NULL))
      return GINT_TO_POINTER (FALSE);
  return GINT_TO_POINTER (TRUE);
}

static void
test_shared_by_threads (void)
{
  g_autoptr(PvNamer) namer = pv_namer_new (NULL);
  g_autoptr(PackSample) sample = pack_sample_new (namer);
  g_autoptr(PvPackReader) reader = pack_sample_open (sample->bytes->data, sample->bytes->len, NULL, NULL);
  GThread *threads[4];

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("reader", read_many, reader);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_assert_true (GPOINTER_TO_INT (g_thread_join (threads[i])));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/pack-reader/round-trip", test_round_trip);
  g_test_add_func ("/pack-reader/no-such-frame", test_no_such_frame);
  g_test_add_func ("/pack-reader/wrong-name", test_wrong_name);
  g_test_add_func ("/pack-reader/files", test_files);
  g_test_add_func ("/pack-reader/every-flipped-bit", test_every_flipped_bit);
  g_test_add_func ("/pack-reader/every-length", test_every_length);
  g_test_add_func ("/pack-reader/lost-tail", test_lost_tail);
  g_test_add_func ("/pack-reader/hostile-tables", test_hostile_tables);
  g_test_add_func ("/pack-reader/hostile-footers", test_hostile_footers);
  g_test_add_func ("/pack-reader/wrong-content", test_wrong_content);
  g_test_add_func ("/pack-reader/keyed", test_keyed);
  g_test_add_func ("/pack-reader/missing-base", test_missing_base);
  g_test_add_func ("/pack-reader/shared-by-threads", test_shared_by_threads);
  return g_test_run ();
}
