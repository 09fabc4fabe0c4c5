/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pack/pack-writer.h"

#include <sys/stat.h>

#include "pack/pack-reader.h"
#include "util/error.h"
#include "util/fault.h"
#include "util/file.h"

typedef struct
{
  char *directory; /* (owned) */
  char *path;      /* (owned): of the pack to be */
  PvFrameCodec *codec;
  PvNamer *namer;
} Fixture;

static void
set_up (Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;

  self->directory = g_dir_make_tmp ("pagevault-test-XXXXXX", &error);
  g_assert_no_error (error);
  self->path = g_build_filename (self->directory, "pack", NULL);
  self->codec = pv_frame_codec_new ();
  self->namer = pv_namer_new (NULL);
}

static void
tear_down (Fixture *self, gconstpointer data)
{
  g_assert_true (pv_remove_tree (self->directory, NULL));
  g_free (self->directory);
  g_free (self->path);
  pv_frame_codec_free (self->codec);
  pv_namer_free (self->namer);
}

/* Appends a frame of @n_slots chunks that depend on @seed; half of each is noise. */
static gboolean
append_chunks (Fixture *self, PvPackWriter *writer, guint n_slots, guint32 seed, guint32 *frame, GError **error)
{
  g_autoptr(GRand) random = g_rand_new_with_seed (seed);
  g_autofree guint8 *plain = g_malloc0 (n_slots * PV_CHUNK_SIZE);
  g_autoptr(GByteArray) bytes = g_byte_array_new ();
  PvName names[PV_FRAME_CHUNKS];

  for (guint i = 0; i < n_slots; i++)
    {
      for (guint j = 0; j < PV_CHUNK_SIZE / 2; j++)
        plain[i * PV_CHUNK_SIZE + j] = (guint8) g_rand_int (random);
      pv_namer_chunk (self->namer, plain + i * PV_CHUNK_SIZE, &names[i]);
    }
  return pv_frame_encode (self->codec, PV_FRAME_KIND_CHUNKS, n_slots, plain, n_slots * PV_CHUNK_SIZE, bytes, error)
         && pv_pack_writer_append (writer, bytes->data, bytes->len, names, NULL, n_slots, frame, error);
}

static gboolean
write_pack (Fixture *self, guint n_frames, PvName *name, guint64 *size, GError **error)
{
  g_autoptr(PvPackWriter) writer = pv_pack_writer_new (self->path, error);

  if (writer == NULL)
    return FALSE;
  for (guint i = 0; i < n_frames; i++)
    {
      guint32 frame;

      if (!append_chunks (self, writer, 1 + i % PV_FRAME_CHUNKS, i, &frame, error))
        return FALSE;
      g_assert_cmpuint (frame, ==, i);
    }
  *size = pv_pack_writer_size (writer);
  if (!pv_pack_writer_seal (writer, name, size, error))
    return FALSE;
  g_assert_cmpuint (*size, ==, pv_pack_writer_size (writer));
  return TRUE;
}

static void
assert_directory_empty (Fixture *self)
{
  g_autoptr(GDir) dir = g_dir_open (self->directory, 0, NULL);

  g_assert_cmpstr (g_dir_read_name (dir), ==, NULL);
}

static void
test_seal (Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  struct stat st;
  guint64 size;
  PvName name;

  /* 100 frames are more than the writer's buffer holds. */
  g_assert_true (write_pack (self, 100, &name, &size, &error));
  g_assert_no_error (error);
  g_assert_cmpint (stat (self->path, &st), ==, 0);
  g_assert_cmpuint ((guint64) st.st_size, ==, size);
  g_assert_cmpuint (size, >, 3 << 20);
  g_assert_cmpint (st.st_mode & 07777, ==, 0600);
}

static void
test_size_includes_table (Fixture *self, gconstpointer data)
{
  g_autoptr(PvPackWriter) writer = pv_pack_writer_new (self->path, NULL);
  guint64 before = pv_pack_writer_size (writer);
  guint32 frame;

  g_assert_true (append_chunks (self, writer, 2, 1, &frame, NULL));
  g_assert_cmpuint (pv_pack_writer_n_objects (writer), ==, 2);
  g_assert_cmpuint (pv_pack_writer_size (writer), >=, before + PV_FRAME_HEADER_SIZE + 24 + 2 * PV_NAME_SIZE);
}

/* The same frames give the same name, others another. */
static void
test_name_is_of_content (Fixture *self, gconstpointer data)
{
  PvName name, again, other;
  guint64 size;

  g_assert_true (write_pack (self, 3, &name, &size, NULL));
  g_assert_true (pv_unlink (self->path, NULL));
  g_assert_true (write_pack (self, 3, &again, &size, NULL));
  g_assert_true (pv_name_equal (&name, &again));
  g_assert_true (pv_unlink (self->path, NULL));
  g_assert_true (write_pack (self, 4, &other, &size, NULL));
  g_assert_false (pv_name_equal (&name, &other));
}

static void
test_drop_removes (Fixture *self, gconstpointer data)
{
  g_autoptr(PvPackWriter) writer = pv_pack_writer_new (self->path, NULL);
  guint32 frame;

  g_assert_nonnull (writer);
  g_assert_true (append_chunks (self, writer, 2, 1, &frame, NULL));
  g_clear_pointer (&writer, pv_pack_writer_free);
  assert_directory_empty (self);
}

static void
test_never_overwrites (Fixture *self, gconstpointer data)
{
  g_autoptr(PvPackWriter) writer = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *content = NULL;

  g_assert_true (g_file_set_contents (self->path, "mine", 4, NULL));
  writer = pv_pack_writer_new (self->path, &error);
  g_assert_null (writer);
  g_assert_error (error, PV_ERROR, PV_ERROR_EXISTS);
  g_assert_true (g_file_get_contents (self->path, &content, NULL, NULL));
  g_assert_cmpstr (content, ==, "mine");
}

/* Fails at step 1, 2, 3 … until nothing fails any more: nothing is left behind, or a pack that reads back. */
static void
test_faults (Fixture *self, gconstpointer data)
{
  guint n_failed = 0;

  for (guint nth = 1;; nth++)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(PvPackReader) reader = NULL;
      guint64 size;
      PvName name;
      gboolean written;

      pv_fault_arm_nth ("*", nth);
      written = write_pack (self, 100, &name, &size, &error);
      pv_fault_disarm ();
      if (!pv_fault_fired ())
        {
          g_assert_no_error (error);
          reader = pv_pack_reader_open (self->path, &name, &error);
          g_assert_no_error (error);
          g_assert_cmpuint (pv_pack_reader_n_frames (reader), ==, 100);
          break;
        }
      n_failed++;
      g_assert_false (written);
      g_assert_error (error, PV_ERROR, PV_ERROR_FAILED);
      assert_directory_empty (self);
    }
  /* create, seal, fsync, and at least three writes. */
  g_assert_cmpuint (n_failed, >=, 6);
}

#define ADD(name, function) g_test_add ("/pack-writer/" name, Fixture, NULL, set_up, function, tear_down)

/* --- encrypted ---------------------------------------------------------------------------------------------------- */

/* The pack that @n_frames equal frames make; the file is removed again. */
static GBytes *
write_encrypted (Fixture *self, PvStoreKey *key, guint n_frames, PvName *name)
{
  g_autoptr(PvPackWriter) writer = pv_pack_writer_new_encrypted (self->path, key, NULL);
  GBytes *bytes;
  guint64 size;

  for (guint i = 0; i < n_frames; i++)
    {
      guint32 frame;

      g_assert_true (append_chunks (self, writer, 1, 0, &frame, NULL));
    }
  g_assert_true (pv_pack_writer_seal (writer, name, &size, NULL));
  bytes = pv_read_file (self->path, 1 << 20, NULL);
  g_assert_cmpuint (g_bytes_get_size (bytes), ==, size);
  g_assert_true (pv_unlink (self->path, NULL));
  return bytes;
}

/* Frames of equal content, in one pack and in packs that are begun anew, also after one that was given up: no two are
 * alike, and no two packs have a salt in common. */
static void
test_encrypted_never_repeats (Fixture *self, gconstpointer data)
{
  enum { PACKS = 20, FRAMES = 3 };
  g_autoptr(PvStoreKey) key = pv_store_key_new_random (NULL);
  g_autoptr(GHashTable) seen
    = g_hash_table_new_full (g_bytes_hash, g_bytes_equal, (GDestroyNotify) g_bytes_unref, NULL);
  g_autoptr(GError) error = NULL;

  for (guint i = 0; i < PACKS; i++)
    {
      PvName name;
      g_autoptr(GBytes) bytes = write_encrypted (self, key, FRAMES, &name);
      g_autoptr(PvPackReader) reader = pv_pack_reader_new_from_bytes (bytes, &name, &error);
      g_autoptr(PvPackWriter) given_up = pv_pack_writer_new_encrypted (self->path, key, NULL);
      gsize size = g_bytes_get_size (bytes);
      guint32 frame;

      g_assert_no_error (error);
      g_assert_true (append_chunks (self, given_up, 1, 0, &frame, NULL));
      for (guint32 j = 0; j < FRAMES; j++)
        {
          PvPackFrame entry;

          g_assert_true (pv_pack_reader_frame (reader, j, &entry, NULL));
          g_hash_table_add (seen, g_bytes_new_from_bytes (bytes, entry.offset + PV_FRAME_HEADER_SIZE, 64));
        }
      g_hash_table_add (seen, g_bytes_new_from_bytes (bytes, size - PV_PACK_FOOTER_SIZE - 48, 32));
    }
  g_assert_cmpuint (g_hash_table_size (seen), ==, PACKS * (FRAMES + 1));
}

static void
test_encrypted_hides (Fixture *self, gconstpointer data)
{
  g_autoptr(PvStoreKey) key = pv_store_key_new_random (NULL);
  g_autoptr(PvPackWriter) writer = pv_pack_writer_new_encrypted (self->path, key, NULL);
  static const char text[] = "nobody may find this in the file";
  guint8 plain[PV_CHUNK_SIZE];
  g_autoptr(GByteArray) frame_bytes = g_byte_array_new ();
  g_autoptr(GBytes) bytes = NULL;
  guint64 size;
  guint32 frame;
  PvName name;

  for (gsize i = 0; i < sizeof plain; i++) /* not to be compressed away */
    plain[i] = (guint8) (i < sizeof text ? (guint8) text[i] : g_random_int ());
  pv_namer_chunk (self->namer, plain, &name);
  g_assert_true (pv_frame_encode (self->codec, PV_FRAME_KIND_CHUNKS, 1, plain, sizeof plain, frame_bytes, NULL));
  g_assert_nonnull (memmem (frame_bytes->data, frame_bytes->len, text, sizeof text - 1));
  g_assert_true (pv_pack_writer_append (writer, frame_bytes->data, frame_bytes->len, &name, NULL, 1, &frame, NULL));
  g_assert_true (pv_pack_writer_seal (writer, &name, &size, NULL));
  bytes = pv_read_file (self->path, 1 << 20, NULL);
  g_assert_null (memmem (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), text, sizeof text - 1));
  g_assert_null (memmem (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), pv_store_key_bytes (key),
                         PV_STORE_KEY_SIZE));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("seal", test_seal);
  ADD ("size-includes-table", test_size_includes_table);
  ADD ("name-is-of-content", test_name_is_of_content);
  ADD ("drop-removes", test_drop_removes);
  ADD ("never-overwrites", test_never_overwrites);
  ADD ("faults", test_faults);
  g_test_add ("/pack-writer/encrypted/never-repeats", Fixture, NULL, set_up, test_encrypted_never_repeats, tear_down);
  g_test_add ("/pack-writer/encrypted/hides", Fixture, NULL, set_up, test_encrypted_hides, tear_down);
  return g_test_run ();
}
