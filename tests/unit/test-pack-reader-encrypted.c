/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Packs of encrypted stores: without the key, with another one, and tampered with. */
#include "config.h"

#include "pack-sample.h"
#include "pack/pack-writer.h"
#include "util/file.h"

typedef struct
{
  PvStoreKey *key;
  PvNamer *namer;
  GByteArray *bytes;
  PvName name;
} Encrypted;

/* A pack of three frames of one chunk each, all of the same length. */
static void
set_up (Encrypted *self, gconstpointer unused)
{
  g_autofree char *directory = g_dir_make_tmp ("pagevault-test-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (directory, "pack", NULL);
  g_autoptr(PvFrameCodec) codec = pv_frame_codec_new ();
  g_autoptr(PvPackWriter) writer = NULL;
  g_autoptr(GBytes) bytes = NULL;
  guint64 size;

  self->key = pv_store_key_new_random (NULL);
  self->namer = pv_namer_new (pv_store_key_for_names (self->key));
  writer = pv_pack_writer_new_encrypted (path, self->key, NULL);
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr(GByteArray) frame = g_byte_array_new ();
      guint8 plain[PV_CHUNK_SIZE];
      guint32 number;
      PvName name;

      for (guint j = 0; j < sizeof plain; j++)
        plain[j] = (guint8) (j % 7 + i * 16);
      pv_namer_chunk (self->namer, plain, &name);
      g_assert_true (pv_frame_encode (codec, PV_FRAME_KIND_CHUNKS, 1, plain, sizeof plain, frame, NULL));
      g_assert_true (pv_pack_writer_append (writer, frame->data, frame->len, &name, NULL, 1, &number, NULL));
    }
  g_assert_true (pv_pack_writer_seal (writer, &self->name, &size, NULL));
  bytes = pv_read_file (path, 1 << 20, NULL);
  self->bytes = g_bytes_unref_to_array (g_steal_pointer (&bytes));
  g_assert_true (pv_remove_tree (directory, NULL));
}

static void
tear_down (Encrypted *self, gconstpointer unused)
{
  pv_store_key_unref (self->key);
  pv_namer_free (self->namer);
  g_byte_array_unref (self->bytes);
}

/* The number of objects that can be had back with @key: 3 when all is well. */
static guint
count_readable (const GByteArray *bytes, const PvName *name, PvStoreKey *key, PvNamer *namer, GError **error)
{
  g_autoptr(PvPackReader) reader = pack_sample_open (bytes->data, bytes->len, name, error);
  Damage damage = { NULL, 0, { { 0 } } };

  if (reader == NULL || !pv_pack_reader_unlock (reader, key, error)
      || !pv_pack_reader_verify (reader, namer, NULL, pack_sample_count_damage, &damage, error))
    return 0;
  return 3 - damage.n_damaged;
}

static void
test_locked (Encrypted *self, gconstpointer unused)
{
  g_autoptr(PvPackReader) locked = pack_sample_open (self->bytes->data, self->bytes->len, &self->name, NULL);
  g_autoptr(PvStoreKey) other = pv_store_key_new_random (NULL);
  g_autoptr(PvFrameCodec) codec = pv_frame_codec_new ();
  g_autofree guint8 *plain = g_malloc (PV_FRAME_PLAIN_MAX);
  g_autoptr(GError) error = NULL, without = NULL, another = NULL, no_key = NULL;
  Damage damage = { NULL, 0, { { 0 } } };
  PvFrameInfo info;

  g_assert_true (pv_pack_table_is_encrypted (pv_pack_reader_table (locked)));
  /* what needs no key */
  g_assert_true (pv_pack_reader_verify (locked, NULL, NULL, pack_sample_count_damage, &damage, &error));
  g_assert_cmpuint (damage.n_damaged, ==, 0);
  /* what does */
  g_assert_false (pv_pack_reader_read (locked, codec, 0, plain, &info, &without));
  g_assert_error (without, PV_ERROR, PV_ERROR_DENIED);
  g_assert_false (pv_pack_reader_unlock (locked, other, &another));
  g_assert_error (another, PV_ERROR, PV_ERROR_CORRUPT);
  g_assert_false (pv_pack_reader_unlock (locked, NULL, &no_key));
  g_assert_error (no_key, PV_ERROR, PV_ERROR_DENIED);
  g_assert_cmpuint (count_readable (self->bytes, &self->name, self->key, self->namer, &error), ==, 3);
  g_assert_no_error (error);
}

static void
test_flipped_bits (Encrypted *self, gconstpointer unused)
{
  for (guint bit = 0; bit < 8 * self->bytes->len; bit++)
    {
      self->bytes->data[bit / 8] ^= (guint8) (1u << bit % 8);
      g_assert_cmpuint (count_readable (self->bytes, &self->name, self->key, self->namer, NULL), <, 3);
      self->bytes->data[bit / 8] ^= (guint8) (1u << bit % 8);
    }
  g_assert_cmpuint (count_readable (self->bytes, &self->name, self->key, self->namer, NULL), ==, 3);
}

/* What somebody without the key can do at most: digests and checksums made right. */
static void
mend (Encrypted *self, PvName *name)
{
  guint8 *end = self->bytes->data + self->bytes->len, *footer = end - PV_PACK_FOOTER_SIZE;
  guint64 table_size, checksum;

  memcpy (&table_size, footer + 24, sizeof table_size);
  table_size = GUINT64_FROM_LE (table_size);
  pv_digest (footer - table_size, table_size, name);
  memcpy (footer + 40, name, sizeof *name);
  checksum = GUINT64_TO_LE (pv_checksum (footer, 72));
  memcpy (footer + 72, &checksum, sizeof checksum);
}

static void
swap (guint8 *a, guint8 *b, gsize size)
{
  g_autofree guint8 *keep = g_memdup2 (a, size);

  memcpy (a, b, size);
  memcpy (b, keep, size);
}

static void
test_swapped (Encrypted *self, gconstpointer unused)
{
  g_autoptr(PvPackReader) reader = pack_sample_open (self->bytes->data, self->bytes->len, &self->name, NULL);
  g_autoptr(PvFrameCodec) codec = pv_frame_codec_new ();
  g_autofree guint8 *plain = g_malloc (PV_FRAME_PLAIN_MAX);
  g_autoptr(GError) error = NULL;
  PvPackFrame first, second;
  PvFrameInfo info;
  guint8 *table;
  PvName name;
  PvSeal seal;

  g_assert_true (pv_pack_reader_frame (reader, 0, &first, NULL) && pv_pack_reader_frame (reader, 1, &second, NULL));
  g_assert_cmpuint (first.stored_size, ==, second.stored_size);
  table = self->bytes->data + 16 + 3 * first.stored_size;

  /* two frames */
  swap (self->bytes->data + first.offset, self->bytes->data + second.offset, first.stored_size);
  g_assert_cmpuint (count_readable (self->bytes, &self->name, self->key, self->namer, NULL), ==, 1);

  /* with their checksums and names in the table: a table that nobody with the key has made */
  swap (table + 8, table + PV_PACK_ENTRY_SIZE + 8, 8);
  swap (table + 3 * PV_PACK_ENTRY_SIZE, table + 3 * PV_PACK_ENTRY_SIZE + PV_NAME_SIZE, PV_NAME_SIZE);
  mend (self, &name);
  g_assert_cmpuint (count_readable (self->bytes, &name, NULL, NULL, NULL), ==, 0);
  g_assert_cmpuint (count_readable (self->bytes, &name, self->key, self->namer, &error), ==, 0);
  g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);

  /* and even with the table out of the way a frame opens at no place but its own */
  g_assert_true (pv_pack_reader_unlock (reader, self->key, NULL));
  g_assert_false (pv_frame_decrypt (codec, pv_pack_table_seal (pv_pack_reader_table (reader), 0, &seal),
                                    self->bytes->data + first.offset, first.stored_size, &info, plain,
                                    PV_FRAME_PLAIN_MAX, NULL));
  g_assert_true (pv_frame_decrypt (codec, pv_pack_table_seal (pv_pack_reader_table (reader), 1, &seal),
                                   self->bytes->data + first.offset, first.stored_size, &info, plain,
                                   PV_FRAME_PLAIN_MAX, NULL));
}

/* A pack in the place of another one, and a plain one in an encrypted store. */
static void
test_other_pack (Encrypted *self, gconstpointer unused)
{
  g_autoptr(PvNamer) plain_namer = pv_namer_new (NULL);
  g_autoptr(PackSample) plain = pack_sample_new (plain_namer);
  g_autoptr(GError) other = NULL, not_encrypted = NULL;
  Encrypted second;

  set_up (&second, NULL);
  g_assert_cmpuint (count_readable (second.bytes, &self->name, self->key, self->namer, &other), ==, 0);
  g_assert_error (other, PV_ERROR, PV_ERROR_CORRUPT);
  tear_down (&second, NULL);
  g_assert_cmpuint (count_readable (plain->bytes, &plain->name, self->key, plain_namer, &not_encrypted), ==, 0);
  g_assert_error (not_encrypted, PV_ERROR, PV_ERROR_CORRUPT);
}

int
main (int argc, char **argv)
{
  static const struct
  {
    const char *path;
    void (*test) (Encrypted *self, gconstpointer unused);
  } tests[] = {
    { "/pack-reader-encrypted/locked", test_locked },
    { "/pack-reader-encrypted/flipped-bits", test_flipped_bits },
    { "/pack-reader-encrypted/swapped", test_swapped },
    { "/pack-reader-encrypted/other-pack", test_other_pack },
  };

  g_test_init (&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (tests); i++)
    g_test_add (tests[i].path, Encrypted, NULL, set_up, tests[i].test, tear_down);
  return g_test_run ();
}
