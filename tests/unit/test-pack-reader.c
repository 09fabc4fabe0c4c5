/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pack/pack-reader.h"

#include <string.h>

#include "chunk/node.h"
#include "pack/pack-table-builder.h"
#include "pack/pack-writer.h"
#include "util/error.h"
#include "util/file.h"

/* A small pack in memory: two chunks; then a full leaf of three entries and a delta of it. */
typedef struct
{
  GByteArray *bytes; /* (owned) */
  PvName name;
  guint8 chunks[2 * PV_CHUNK_SIZE];
  PvName chunk_names[2];
  PvNode base, node;
  PvName node_names[2];
} Sample;

static void
sample_free (Sample *self)
{
  g_byte_array_unref (self->bytes);
  g_free (self);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Sample, sample_free)

static void
add_frame (Sample *self, PvPackTableBuilder *table, PvFrameKind kind, const GByteArray *plain, const PvName *names,
           const guint32 *sizes)
{
  g_autoptr(PvFrameCodec) codec = pv_frame_codec_new ();
  g_autoptr(GError) error = NULL;
  guint start = self->bytes->len;
  PvFrameInfo info;

  g_assert_true (pv_frame_encode (codec, kind, 2, plain->data, plain->len, self->bytes, &error));
  g_assert_true (pv_frame_info (self->bytes->data + start, self->bytes->len - start, &info, &error));
  g_assert_true (pv_pack_table_builder_add (table, &info, names, sizes, &error));
  g_assert_no_error (error);
}

static void
add_chunks (Sample *self, PvPackTableBuilder *table, PvNamer *namer)
{
  g_autoptr(GByteArray) plain = g_byte_array_new ();

  for (gsize i = 0; i < sizeof self->chunks; i++)
    self->chunks[i] = (guint8) "page"[i % (i < PV_CHUNK_SIZE ? 4 : 3)];
  for (guint i = 0; i < 2; i++)
    pv_namer_chunk (namer, self->chunks + i * PV_CHUNK_SIZE, &self->chunk_names[i]);
  g_byte_array_append (plain, self->chunks, sizeof self->chunks);
  add_frame (self, table, PV_FRAME_KIND_CHUNKS, plain, self->chunk_names, NULL);
}

static void
add_nodes (Sample *self, PvPackTableBuilder *table, PvNamer *namer)
{
  g_autoptr(GByteArray) plain = g_byte_array_new ();
  guint32 sizes[2];

  self->base.n_entries = 6;
  self->base.entries[0] = self->chunk_names[0];
  for (guint i = 2; i < 6; i++)
    self->base.entries[i] = self->chunk_names[1];
  self->node = self->base;
  self->node.entries[1] = self->chunk_names[0];
  pv_namer_node (namer, 0, self->base.entries, 6, &self->node_names[0]);
  pv_namer_node (namer, 0, self->node.entries, 6, &self->node_names[1]);
  pv_node_encode_full (&self->base, plain);
  sizes[0] = plain->len;
  g_assert_true (pv_node_encode_delta (&self->node, &self->base, &self->node_names[0], 1, plain));
  sizes[1] = plain->len - sizes[0];
  add_frame (self, table, PV_FRAME_KIND_NODES, plain, self->node_names, sizes);
}

static Sample *
sample_new (PvNamer *namer)
{
  g_autoptr(PvPackTableBuilder) table = pv_pack_table_builder_new ();
  Sample *self = g_new0 (Sample, 1);

  self->bytes = g_byte_array_new ();
  g_byte_array_append (self->bytes, pv_pack_header, PV_PACK_HEADER_SIZE);
  add_chunks (self, table, namer);
  add_nodes (self, table, namer);
  pv_pack_table_builder_finish (table, self->bytes, &self->name);
  return self;
}

/* Reads from a copy that is exactly as long as it is said to be, so that a sanitizer sees any read beyond. */
static PvPackReader *
open_bytes (const guint8 *data, gsize size, const PvName *name, GError **error)
{
  g_autoptr(GBytes) bytes = g_bytes_new (data, size);

  return pv_pack_reader_new_from_bytes (bytes, name, error);
}

static gboolean
sample_base (const PvName *name, PvNode *node, gpointer data)
{
  const Sample *sample = *(Sample **) data;

  if (!pv_name_equal (name, &sample->node_names[0]))
    return FALSE;
  *node = sample->base;
  return TRUE;
}

typedef struct
{
  Sample *sample; /* first: sample_base finds it here */
  guint n_damaged;
  PvName last;
} Damage;

static void
count_damage (const PvName *object, guint32 frame, const char *why, gpointer data)
{
  Damage *damage = data;

  g_assert_cmpuint (strlen (why), >, 0);
  damage->n_damaged++;
  damage->last = *object;
}

static void
test_round_trip (void)
{
  g_autoptr(PvNamer) namer = pv_namer_new (NULL);
  g_autoptr(Sample) sample = sample_new (namer);
  g_autoptr(GError) error = NULL;
  g_autoptr(PvPackReader) reader = open_bytes (sample->bytes->data, sample->bytes->len, &sample->name, &error);
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
  g_autoptr(Sample) sample = sample_new (namer);
  g_autoptr(PvPackReader) reader = open_bytes (sample->bytes->data, sample->bytes->len, NULL, NULL);
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
  g_autoptr(Sample) sample = sample_new (namer);
  g_autoptr(GError) error = NULL;

  g_assert_null (open_bytes (sample->bytes->data, sample->bytes->len, &sample->chunk_names[0], &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
}

static void
test_files (void)
{
  g_autoptr(PvNamer) namer = pv_namer_new (NULL);
  g_autoptr(Sample) sample = sample_new (namer);
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
  g_assert_true (pv_pack_reader_verify (reader, namer, sample_base, count_damage, &damage, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (damage.n_damaged, ==, 0);
  g_assert_true (pv_remove_tree (directory, &error));
}

/* Open refuses it, or verify names every object of the frame that was hit. */
static void
assert_found (const Sample *sample, const guint8 *data, gsize size, PvNamer *namer)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(PvPackReader) reader = open_bytes (data, size, &sample->name, &error);
  Damage damage = { .sample = (Sample *) sample };

  if (reader == NULL)
    {
      g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
      return;
    }
  g_assert_true (pv_pack_reader_verify (reader, namer, NULL, count_damage, &damage, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (damage.n_damaged, ==, 2);
}

static void
test_every_flipped_bit (void)
{
  g_autoptr(PvNamer) namer = pv_namer_new (NULL);
  g_autoptr(Sample) sample = sample_new (namer);
  guint8 *data = sample->bytes->data;

  for (guint bit = 0; bit < sample->bytes->len * 8; bit++)
    {
      data[bit / 8] ^= (guint8) (1u << (bit % 8));
      if (bit / 8 < PV_PACK_HEADER_SIZE && bit / 8 >= 8)
        {
          /* Every bit of version, flags and reserved bytes stands for a format of the future. */
          g_autoptr(GError) error = NULL;

          g_assert_null (open_bytes (data, sample->bytes->len, NULL, &error));
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
  g_autoptr(Sample) sample = sample_new (namer);

  for (gsize size = 0; size < sample->bytes->len; size++)
    {
      g_autoptr(GError) error = NULL;

      g_assert_null (open_bytes (sample->bytes->data, size, NULL, &error));
      g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
    }
  g_byte_array_append (sample->bytes, (const guint8 *) "", 1);
  g_assert_null (open_bytes (sample->bytes->data, sample->bytes->len, NULL, NULL));
}

/* Frames are self-delimiting: without table and footer they can still be walked from the start. */
static void
test_lost_tail (void)
{
  g_autoptr(PvNamer) namer = pv_namer_new (NULL);
  g_autoptr(Sample) sample = sample_new (namer);
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
  g_autoptr(Sample) sample = sample_new (namer);
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
  g_assert_null (open_bytes (sample->bytes->data, sample->bytes->len, NULL, &error));
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
  g_autoptr(Sample) sample = sample_new (namer);
  guint8 *footer = sample->bytes->data + sample->bytes->len - PV_PACK_FOOTER_SIZE;
  g_autoptr(GError) error = NULL;
  guint64 wire = GUINT64_TO_LE (value), checksum;

  memcpy (footer + offset, &wire, n_bytes);
  checksum = GUINT64_TO_LE (pv_checksum (footer, 72));
  memcpy (footer + 72, &checksum, sizeof checksum);
  g_assert_null (open_bytes (sample->bytes->data, sample->bytes->len, NULL, &error));
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
  g_autoptr(Sample) sample = sample_new (plain);
  g_autoptr(PvPackReader) reader = open_bytes (sample->bytes->data, sample->bytes->len, NULL, NULL);
  Damage unnamed = { .sample = sample }, named = { .sample = sample }, without_base = { .sample = sample };

  g_assert_true (pv_pack_reader_verify (reader, NULL, NULL, count_damage, &unnamed, NULL));
  g_assert_cmpuint (unnamed.n_damaged, ==, 0);
  g_assert_true (pv_pack_reader_verify (reader, keyed, sample_base, count_damage, &named, NULL));
  g_assert_cmpuint (named.n_damaged, ==, 4);
  g_assert_true (pv_pack_reader_verify (reader, keyed, NULL, count_damage, &without_base, NULL));
  g_assert_cmpuint (without_base.n_damaged, ==, 3);
}

static void
test_keyed (void)
{
  guint8 key[PV_NAME_KEY_SIZE] = { 5 };
  g_autoptr(PvNamer) keyed = pv_namer_new (key);
  g_autoptr(Sample) sample = sample_new (keyed);
  g_autoptr(PvPackReader) reader = open_bytes (sample->bytes->data, sample->bytes->len, &sample->name, NULL);
  Damage damage = { .sample = sample };

  g_assert_true (pv_pack_reader_verify (reader, keyed, sample_base, count_damage, &damage, NULL));
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
  g_autoptr(Sample) sample = sample_new (namer);
  g_autoptr(PvPackReader) reader = open_bytes (sample->bytes->data, sample->bytes->len, NULL, NULL);
  Damage damage = { .sample = sample };

  g_assert_true (pv_pack_reader_verify (reader, namer, no_base, count_damage, &damage, NULL));
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
  g_autoptr(Sample) sample = sample_new (namer);
  g_autoptr(PvPackReader) reader = open_bytes (sample->bytes->data, sample->bytes->len, NULL, NULL);
  GThread *threads[4];

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("reader", read_many, reader);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_assert_true (GPOINTER_TO_INT (g_thread_join (threads[i])));
}

/* --- encrypted ---------------------------------------------------------------------------------------------------- */

typedef struct
{
  PvStoreKey *key;
  PvNamer *namer;
  GByteArray *bytes;
  PvName name;
} Encrypted;

/* A pack of three frames of one chunk each, all of the same length. */
static void
encrypted_set_up (Encrypted *self, gconstpointer unused)
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
encrypted_tear_down (Encrypted *self, gconstpointer unused)
{
  pv_store_key_unref (self->key);
  pv_namer_free (self->namer);
  g_byte_array_unref (self->bytes);
}

/* The number of objects that can be had back with @key: 3 when all is well. */
static guint
count_readable (const GByteArray *bytes, const PvName *name, PvStoreKey *key, PvNamer *namer, GError **error)
{
  g_autoptr(PvPackReader) reader = open_bytes (bytes->data, bytes->len, name, error);
  Damage damage = { NULL, 0, { { 0 } } };

  if (reader == NULL || !pv_pack_reader_unlock (reader, key, error)
      || !pv_pack_reader_verify (reader, namer, NULL, count_damage, &damage, error))
    return 0;
  return 3 - damage.n_damaged;
}

static void
test_encrypted (Encrypted *self, gconstpointer unused)
{
  g_autoptr(PvPackReader) locked = open_bytes (self->bytes->data, self->bytes->len, &self->name, NULL);
  g_autoptr(PvStoreKey) other = pv_store_key_new_random (NULL);
  g_autoptr(PvFrameCodec) codec = pv_frame_codec_new ();
  g_autofree guint8 *plain = g_malloc (PV_FRAME_PLAIN_MAX);
  g_autoptr(GError) error = NULL, without = NULL, another = NULL, no_key = NULL;
  Damage damage = { NULL, 0, { { 0 } } };
  PvFrameInfo info;

  g_assert_true (pv_pack_table_is_encrypted (pv_pack_reader_table (locked)));
  /* what needs no key */
  g_assert_true (pv_pack_reader_verify (locked, NULL, NULL, count_damage, &damage, &error));
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
test_encrypted_flipped_bits (Encrypted *self, gconstpointer unused)
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
test_encrypted_swapped (Encrypted *self, gconstpointer unused)
{
  g_autoptr(PvPackReader) reader = open_bytes (self->bytes->data, self->bytes->len, &self->name, NULL);
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
test_encrypted_other_pack (Encrypted *self, gconstpointer unused)
{
  g_autoptr(PvNamer) plain_namer = pv_namer_new (NULL);
  g_autoptr(Sample) plain = sample_new (plain_namer);
  g_autoptr(GError) other = NULL, not_encrypted = NULL;
  Encrypted second;

  encrypted_set_up (&second, NULL);
  g_assert_cmpuint (count_readable (second.bytes, &self->name, self->key, self->namer, &other), ==, 0);
  g_assert_error (other, PV_ERROR, PV_ERROR_CORRUPT);
  encrypted_tear_down (&second, NULL);
  g_assert_cmpuint (count_readable (plain->bytes, &plain->name, self->key, plain_namer, &not_encrypted), ==, 0);
  g_assert_error (not_encrypted, PV_ERROR, PV_ERROR_CORRUPT);
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
  g_test_add ("/pack-reader/encrypted", Encrypted, NULL, encrypted_set_up, test_encrypted,
              encrypted_tear_down);
  g_test_add ("/pack-reader/encrypted/flipped-bits", Encrypted, NULL, encrypted_set_up, test_encrypted_flipped_bits,
              encrypted_tear_down);
  g_test_add ("/pack-reader/encrypted/swapped", Encrypted, NULL, encrypted_set_up, test_encrypted_swapped,
              encrypted_tear_down);
  g_test_add ("/pack-reader/encrypted/other-pack", Encrypted, NULL, encrypted_set_up, test_encrypted_other_pack,
              encrypted_tear_down);
  return g_test_run ();
}
