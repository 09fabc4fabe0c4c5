/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An encrypted store: its marker and key slots, and what somebody without the key can do to its files. */
#include "config.h"

#include "store/store-keys.h"

#include <unistd.h>

#include "store-fixture.h"

#define NEW "new pass phrase"

static void
make_slot (Fixture *f, const char *passphrase, PvKeySlot *slot)
{
  PvStoreFormat format;
  guint8 uuid[PV_KEY_UUID_SIZE];

  g_assert_true (pv_store_read_format (f->directory, &format, NULL));
  pv_store_format_uuid (&format, uuid);
  g_assert_true (pv_key_slot_wrap_passphrase (slot, pv_store_get_key (f->store), (const guint8 *) passphrase,
                                              strlen (passphrase), PV_KEY_COST_MIN, uuid, NULL));
}

/* The number of slots that open with @passphrase. */
static guint
count_opened (Fixture *f, const char *passphrase)
{
  PvStoreFormat format;
  guint8 uuid[PV_KEY_UUID_SIZE];
  guint n = 0;

  g_assert_true (pv_store_read_format (f->directory, &format, NULL));
  pv_store_format_uuid (&format, uuid);
  for (guint i = 0; i < format.n_key_slots; i++)
    {
      g_autoptr(PvStoreKey) key = pv_key_slot_unwrap (&format.key_slots[i], (const guint8 *) passphrase,
                                                      strlen (passphrase), uuid, NULL);

      if (key == NULL)
        continue;
      g_assert_cmpmem (pv_store_key_bytes (key), PV_STORE_KEY_SIZE, pv_store_key_bytes (pv_store_get_key (f->store)),
                       PV_STORE_KEY_SIZE);
      n++;
    }
  return n;
}

static void
test_slots (Fixture *f, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  PvStoreFormat format;
  PvKeySlot slot;
  guint number;

  g_assert_cmpuint (count_opened (f, "test"), ==, 1);
  make_slot (f, NEW, &slot);
  g_assert_true (pv_store_keys_add (f->store, &slot, &number, NULL));
  g_assert_cmpuint (number, ==, 2);
  g_assert_cmpuint (count_opened (f, NEW), ==, 1);
  g_assert_true (pv_store_read_format (f->directory, &format, NULL));

  g_assert_false (pv_store_keys_remove (f->store, 3, &slot, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_NOT_FOUND);
  g_clear_error (&error);
  g_assert_false (pv_store_keys_remove (f->store, 1, &slot, &error)); /* not what is there */
  g_assert_error (error, PV_ERROR, PV_ERROR_BUSY);
  g_clear_error (&error);
  g_assert_true (pv_store_keys_remove (f->store, 1, &format.key_slots[0], NULL));
  g_assert_cmpuint (count_opened (f, "test"), ==, 0);
  g_assert_cmpuint (count_opened (f, NEW), ==, 1);
  g_assert_false (pv_store_keys_remove (f->store, 1, &slot, &error)); /* the last one */
  g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
  g_clear_error (&error);

  format.key_slots[0] = slot;
  make_slot (f, "another", &slot);
  g_assert_true (pv_store_keys_replace (f->store, 1, &format.key_slots[0], &slot, NULL));
  g_assert_cmpuint (count_opened (f, NEW), ==, 0);
  g_assert_cmpuint (count_opened (f, "another"), ==, 1);
  for (number = 0; number < PV_STORE_KEY_SLOTS;)
    g_assert_true (pv_store_keys_add (f->store, &slot, &number, NULL));
  g_assert_false (pv_store_keys_add (f->store, &slot, &number, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_FAILED);
}

/* The marker has a digest for accidents, and slots have tags for the rest. */
static void
test_marker_flipped_bits (Fixture *f, gconstpointer data)
{
  g_autofree char *path = g_build_filename (f->directory, "format", NULL);
  g_autoptr(GBytes) bytes = pv_read_file (path, PV_STORE_FORMAT_MAX, NULL);
  gsize size = g_bytes_get_size (bytes);
  g_autofree guint8 *copy = g_memdup2 (g_bytes_get_data (bytes, NULL), size);
  PvStoreFormat format;

  for (guint bit = 0; bit < 8 * size; bit++)
    {
      g_autoptr(GBytes) flipped = NULL;

      copy[bit / 8] ^= (guint8) (1u << bit % 8);
      flipped = g_bytes_new (copy, size);
      g_assert_false (pv_store_format_parse (flipped, &format, NULL));
      copy[bit / 8] ^= (guint8) (1u << bit % 8);
    }
  g_assert_true (pv_store_format_parse (bytes, &format, NULL));
}

/* Runs in a process of its own, which knows no key. */
static void
test_locked_subprocess (void)
{
  const char *directory = g_getenv ("PAGEVAULT_TEST_STORE");
  g_autoptr(GPtrArray) dropped = g_ptr_array_new_with_free_func (g_free);
  g_autoptr(GError) error = NULL, rebuild = NULL;

  if (directory == NULL)
    return g_test_skip ("run by /store-keys/locked");
  g_assert_null (pv_store_open (directory, PV_STORE_OPEN_CREATE, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_DENIED);
  g_assert_false (pv_store_rebuild_index (directory, dropped, NULL, NULL, NULL, &rebuild));
  g_assert_error (rebuild, PV_ERROR, PV_ERROR_DENIED);
  g_assert_cmpuint (dropped->len, ==, 0);
}

static void
test_locked (Fixture *f, gconstpointer data)
{
  g_setenv ("PAGEVAULT_TEST_STORE", f->directory, TRUE);
  g_test_trap_subprocess ("/store-keys/locked/subprocess", 0, 0);
  g_test_trap_assert_passed ();
  g_unsetenv ("PAGEVAULT_TEST_STORE");
}

static PvSnapshot *
take_text (Fixture *f, const char *name, const char *text)
{
  g_autofree guint8 *data = g_malloc (MIB);

  fill_random (data, MIB, g_str_hash (name));
  for (gsize at = 0; at < MIB; at += PV_CHUNK_SIZE)
    memcpy (data + at, text, strlen (text));
  return take (f, name, NULL, data, MIB, NULL);
}

/* No file has anything of the content, the names or the key in it. */
static void
test_nothing_in_the_clear (Fixture *f, gconstpointer data)
{
  static const char secret[] = "what a guest has in its memory";
  g_autoptr(PvSnapshot) snapshot = take_text (f, "monday-evening", secret);
  g_autoptr(GPtrArray) files = list_files (f);
  g_autoptr(GError) error = NULL;

  g_assert_cmpuint (files->len, >=, 4);
  for (guint i = 0; i < files->len; i++)
    {
      g_autoptr(GBytes) bytes = pv_read_file (files->pdata[i], 1 << 30, &error);
      gsize size;
      const guint8 *content = g_bytes_get_data (bytes, &size);

      g_assert_no_error (error);
      if (content == NULL || size == 0)
        continue;
      g_assert_null (memmem (content, size, secret, strlen (secret)));
      g_assert_null (memmem (content, size, "monday-evening", strlen ("monday-evening")));
      g_assert_null (memmem (content, size, pv_store_key_bytes (pv_store_get_key (f->store)), PV_STORE_KEY_SIZE));
    }
}

static GBytes *
read_object (Fixture *f, PvSnapshot *snapshot)
{
  g_autofree char *hex = pv_name_to_hex (pv_snapshot_id (snapshot));
  g_autofree char *path = g_build_filename (f->directory, "snapshots", hex, NULL);

  return pv_read_file (path, PV_SNAPSHOT_OBJECT_MAX, NULL);
}

static void
test_object_flipped_bits (Fixture *f, gconstpointer data)
{
  g_autoptr(PvSnapshot) snapshot = take_text (f, "a", "text");
  g_autoptr(GBytes) bytes = read_object (f, snapshot);
  PvStoreKey *key = pv_store_get_key (f->store);
  g_autoptr(PvSnapshot) whole = pv_snapshot_parse_with_key (bytes, key, 0, NULL);
  g_autoptr(PvStoreKey) other = pv_store_key_new_random (NULL);
  g_autoptr(GError) no_key = NULL, another = NULL;
  gsize size = g_bytes_get_size (bytes);
  g_autofree guint8 *copy = g_memdup2 (g_bytes_get_data (bytes, NULL), size);

  g_assert_cmpstr (pv_snapshot_full_name (whole), ==, "guest@a");
  for (guint bit = 0; bit < 8 * size; bit++)
    {
      g_autoptr(GBytes) flipped = NULL;

      copy[bit / 8] ^= (guint8) (1u << bit % 8);
      flipped = g_bytes_new (copy, size);
      g_assert_null (pv_snapshot_parse_with_key (flipped, key, 0, NULL));
      copy[bit / 8] ^= (guint8) (1u << bit % 8);
    }
  for (gsize n = 0; n < size; n++)
    {
      g_autoptr(GBytes) cut = g_bytes_new_from_bytes (bytes, 0, n);

      g_assert_null (pv_snapshot_parse_with_key (cut, key, 0, NULL));
    }
  g_assert_null (pv_snapshot_parse (bytes, 0, &no_key));
  g_assert_error (no_key, PV_ERROR, PV_ERROR_DENIED);
  g_assert_null (pv_snapshot_parse_with_key (bytes, other, 0, &another));
  g_assert_error (another, PV_ERROR, PV_ERROR_CORRUPT);
}

/* The same snapshot sealed twice has nothing in common. */
static void
test_object_never_repeats (Fixture *f, gconstpointer data)
{
  PvSnapshotMeta meta = make_meta ("guest", "a");
  g_autoptr(PvSnapshot) draft = pv_snapshot_new (&meta, NULL, 0, NULL, 0, NULL);
  g_autoptr(GBytes) plain = pv_snapshot_serialize (draft);
  g_autoptr(GBytes) one = pv_snapshot_encrypt (plain, pv_store_get_key (f->store), NULL);
  g_autoptr(GBytes) two = pv_snapshot_encrypt (plain, pv_store_get_key (f->store), NULL);
  const guint8 *a = g_bytes_get_data (one, NULL), *b = g_bytes_get_data (two, NULL);
  g_autoptr(GError) error = NULL;

  g_assert_cmpint (memcmp (a, b, 16), ==, 0);
  g_assert_cmpint (memcmp (a + 16, b + 16, PV_SALT_SIZE), !=, 0);
  g_assert_cmpint (memcmp (a + 48, b + 48, 32), !=, 0);
  /* an object that somebody wrote without the key */
  g_assert_null (pv_snapshot_parse_with_key (plain, pv_store_get_key (f->store), 0, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
}

/* A store that lost its cipher is not taken for one that never had any. */
static void
test_downgrade (Fixture *f, gconstpointer data)
{
  g_autofree char *path = g_build_filename (f->root, "plain", NULL);
  g_autofree char *missing = g_build_filename (f->root, "missing", NULL);
  g_autoptr(GError) error = NULL, none = NULL;
  PvStoreFormat format;

  pv_store_format_init (&format);
  g_assert_true (pv_store_create (path, &format, NULL));
  pv_unlock_set_func (NULL, NULL, TRUE);
  g_assert_null (pv_store_open (path, 0, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
  g_assert_null (pv_store_open (missing, PV_STORE_OPEN_CREATE, &none));
  g_assert_error (none, PV_ERROR, PV_ERROR_NOT_FOUND);
  g_assert_false (g_file_test (missing, G_FILE_TEST_EXISTS));
  fixture_open (f); /* an encrypted one opens */
  pv_unlock_set_func (NULL, NULL, FALSE);
}

static void
copy_into (const char *from, const char *to)
{
  g_autoptr(GBytes) bytes = pv_read_file (from, 1 << 30, NULL);
  g_autofree char *directory = g_path_get_dirname (to);

  g_assert_true (pv_mkdirs (directory, 0700, NULL));
  g_assert_true (pv_write_file (to, g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), NULL));
}

/* Files of an encrypted store that somebody has put into a plain one, and the other way round: rebuilding the index
 * leaves them out, and keeps what is the store's own. */
static void
test_foreign_files (Fixture *f, gconstpointer data)
{
  g_autofree char *plain_directory = g_build_filename (f->root, "plain", NULL);
  Fixture plain = { .root = f->root, .directory = plain_directory };
  Fixture *stores[] = { f, &plain };

  fixture_open (&plain);
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr(PvSnapshot) snapshot = take_text (stores[i], "own", "text");

      g_assert_nonnull (snapshot);
    }
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr(GPtrArray) files = list_files (stores[i]);

      for (guint j = 0; j < files->len; j++)
        {
          const char *below = (const char *) files->pdata[j] + strlen (stores[i]->directory);
          g_autofree char *to = g_strconcat (stores[1 - i]->directory, below, NULL);

          if (g_str_has_prefix (below, "/packs/") || g_str_has_prefix (below, "/snapshots/"))
            copy_into (files->pdata[j], to);
        }
    }
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr(GPtrArray) dropped = g_ptr_array_new_with_free_func (g_free);
      g_autoptr(GPtrArray) list = NULL;
      g_autoptr(GError) error = NULL;

      g_clear_pointer (&stores[i]->store, pv_store_unref);
      g_assert_true (pv_store_rebuild_index (stores[i]->directory, dropped, NULL, NULL, NULL, &error));
      g_assert_no_error (error);
      g_assert_cmpuint (dropped->len, ==, 2); /* a pack and a snapshot object */
      fixture_open (stores[i]);
      list = pv_store_list (stores[i]->store, NULL, NULL);
      g_assert_cmpuint (list->len, ==, 1);
    }
  pv_store_unref (plain.store);
}

static void
test_hand_over (Fixture *f, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  int fd = pv_unlock_hand_over (&error), ends[2];

  g_assert_no_error (error);
  g_assert_true (pv_unlock_receive (fd, &error));
  g_assert_no_error (error);
  fixture_open (f);
  g_assert_cmpint (pipe (ends), ==, 0);
  g_assert_cmpint (write (ends[1], "short", 5), ==, 5);
  g_assert_cmpint (close (ends[1]), ==, 0);
  g_assert_false (pv_unlock_receive (ends[0], &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
}

int
main (int argc, char **argv)
{
  g_setenv ("PAGEVAULT_TEST_ENCRYPTED", "1", TRUE);
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func) g_test_add ("/store-keys/" name, Fixture, NULL, fixture_setup, func, fixture_teardown)
  ADD ("slots", test_slots);
  ADD ("marker-flipped-bits", test_marker_flipped_bits);
  ADD ("locked", test_locked);
  g_test_add_func ("/store-keys/locked/subprocess", test_locked_subprocess);
  ADD ("nothing-in-the-clear", test_nothing_in_the_clear);
  ADD ("object-flipped-bits", test_object_flipped_bits);
  ADD ("object-never-repeats", test_object_never_repeats);
  ADD ("downgrade", test_downgrade);
  ADD ("foreign-files", test_foreign_files);
  ADD ("hand-over", test_hand_over);
  return g_test_run ();
}
