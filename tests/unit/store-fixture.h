/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests of the store share: a store in a scratch directory, content by seed, snapshots by a line. */
#pragma once

#include <glib.h>
#include <string.h>

#include "store/store-keys.h"
#include "store/txn.h"
#include "store/unlock.h"
#include "store/volume-reader.h"
#include "util/error.h"
#include "util/file.h"

#define MIB (1ull << 20)

/* A scratch directory of one test; the store is in it. */
typedef struct
{
  char *root;
  char *directory;
  PvStore *store;
} Fixture;

static inline void
fixture_open (Fixture *f)
{
  g_autoptr(GError) error = NULL;

  g_clear_pointer (&f->store, pv_store_unref);
  f->store = pv_store_open (f->directory, PV_STORE_OPEN_CREATE, &error);
  g_assert_no_error (error);
}

/* Makes the store an encrypted one, whose key this process knows from now on. */
static inline void
make_encrypted_store (const char *directory)
{
  g_autoptr(PvStoreKey) key = pv_store_key_new_random (NULL);
  g_autoptr(GError) error = NULL;
  guint8 uuid[PV_KEY_UUID_SIZE];
  PvStoreFormat format;

  pv_store_format_init (&format);
  pv_store_format_uuid (&format, uuid);
  g_assert_true (pv_key_slot_wrap_passphrase (&format.key_slots[0], key, (const guint8 *) "test", 4, PV_KEY_COST_MIN,
                                              uuid, &error));
  format.n_key_slots = 1;
  g_assert_true (pv_store_create (directory, &format, &error));
  g_assert_no_error (error);
  pv_unlock_remember (format.uuid, key);
}

/* PAGEVAULT_TEST_ENCRYPTED in the environment: the same tests, with encrypted stores. */
static inline void
fixture_setup (Fixture *f, gconstpointer data)
{
  g_autoptr(GError) error = NULL;

  /* In memory if possible: what fsync(2) takes on a disk adds up, and no test here pulls the plug. */
  f->root = g_strdup ("/dev/shm/pagevault-test-XXXXXX");
  if (g_getenv ("TMPDIR") != NULL || g_mkdtemp (f->root) == NULL)
    {
      g_free (f->root);
      f->root = g_dir_make_tmp ("pagevault-test-XXXXXX", &error);
      g_assert_no_error (error);
    }
  f->directory = g_build_filename (f->root, "store", NULL);
  if (g_getenv ("PAGEVAULT_TEST_ENCRYPTED") != NULL)
    make_encrypted_store (f->directory);
  fixture_open (f);
}

static inline void
fixture_teardown (Fixture *f, gconstpointer data)
{
  g_clear_pointer (&f->store, pv_store_unref);
  g_assert_true (pv_remove_tree (f->root, NULL));
  g_free (f->root);
  g_free (f->directory);
}

/* Bytes that follow from @seed and do not compress. */
static inline void
fill_random (guint8 *data, gsize size, guint64 seed)
{
  guint64 state = seed * 0x9e3779b97f4a7c15ull + 1;

  for (gsize i = 0; i < size; i += sizeof state)
    {
      guint64 z = (state += 0x9e3779b97f4a7c15ull);

      z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
      z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
      z ^= z >> 31;
      memcpy (data + i, &z, MIN (sizeof z, size - i));
    }
}

static inline PvSnapshotMeta
make_meta (const char *domain, const char *name)
{
  PvSnapshotMeta meta = {
    .domain = domain, .name = name, .time = g_get_real_time (), .state = PV_GUEST_RUNNING
  };

  return meta;
}

static inline PvTxn *
begin (Fixture *f, PvSnapshot *base, guint n_threads)
{
  PvTxnOptions options = { .base = base, .n_threads = n_threads };
  g_autoptr(GError) error = NULL;
  PvTxn *txn = pv_store_begin (f->store, &options, &error);

  g_assert_no_error (error);
  return txn;
}

static inline PvVolumeWriter *
add_volume (PvTxn *txn, PvVolumeKind kind, const char *name, guint64 size)
{
  g_autoptr(GError) error = NULL;
  PvVolumeWriter *volume = pv_txn_add_volume (txn, kind, name, size, &error);

  g_assert_no_error (error);
  return volume;
}

static inline void
write_all (PvVolumeWriter *volume, const guint8 *data, gsize size)
{
  g_autoptr(GError) error = NULL;

  g_assert_true (pv_volume_writer_write (volume, 0, data, size, &error));
  g_assert_no_error (error);
}

static inline void
finish (PvVolumeWriter *volume)
{
  g_autoptr(GError) error = NULL;

  g_assert_true (pv_volume_writer_finish (volume, &error));
  g_assert_no_error (error);
}

static inline PvSnapshot *
commit (PvTxn *txn, const char *domain, const char *name)
{
  PvSnapshotMeta meta = make_meta (domain, name);
  g_autoptr(GError) error = NULL;
  PvSnapshot *snapshot = pv_txn_commit (txn, &meta, &error);

  g_assert_no_error (error);
  return snapshot;
}

/* A snapshot of one RAM volume "ram" with these bytes. @stats: (out) (optional). */
static inline PvSnapshot *
take (Fixture *f, const char *name, PvSnapshot *base, const guint8 *data, gsize size, PvTxnStats *stats)
{
  g_autoptr(PvTxn) txn = begin (f, base, 0);
  PvVolumeWriter *volume = add_volume (txn, PV_VOLUME_RAM, "ram", size);
  PvSnapshot *snapshot;

  write_all (volume, data, size);
  finish (volume);
  snapshot = commit (txn, "guest", name);
  if (stats != NULL)
    pv_txn_stats (txn, stats);
  return snapshot;
}

static inline PvVolumeReader *
open_volume (PvStore *store, PvSnapshot *snapshot, PvVolumeKind kind, const char *name)
{
  g_autoptr(GError) error = NULL;
  const PvVolume *volume = pv_snapshot_find_volume (snapshot, kind, name);
  PvVolumeReader *reader;

  g_assert_nonnull (volume);
  reader = pv_volume_reader_new (store, volume, &error);
  g_assert_no_error (error);
  return reader;
}

/* The volume has exactly these bytes. */
static inline void
assert_content (PvStore *store, PvSnapshot *snapshot, PvVolumeKind kind, const char *name, const guint8 *data,
                gsize size)
{
  g_autoptr(PvVolumeReader) reader = open_volume (store, snapshot, kind, name);
  g_autofree guint8 *read = g_malloc (MAX (size, 1));
  g_autoptr(GError) error = NULL;

  g_assert_cmpuint (pv_volume_reader_size (reader), ==, size);
  pv_volume_reader_read (reader, 0, size, read, &error);
  g_assert_no_error (error);
  g_assert_true (memcmp (read, data, size) == 0);
}

static inline gsize
count_entries (Fixture *f, const char *below)
{
  g_autofree char *path = g_build_filename (f->directory, below, NULL);
  g_autoptr(GDir) dir = g_dir_open (path, 0, NULL);
  gsize n = 0;

  while (dir != NULL && g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

/* verify finds nothing. */
static inline void
assert_sound (Fixture *f)
{
  g_autoptr(GError) error = NULL;
  PvVerifyResult result;

  pv_store_verify (f->store, &result, NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < result.damaged->len; i++)
    {
      PvDamage *damage = result.damaged->pdata[i];

      g_printerr ("%s: %s\n", damage->what, damage->why);
    }
  g_assert_cmpuint (result.damaged->len, ==, 0);
  pv_verify_result_clear (&result);
}

/* (element-type utf8): all files below the store, without the empty ones. */
static inline GPtrArray *
list_files (Fixture *f)
{
  GPtrArray *files = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *command = g_strdup_printf ("find %s -type f -size +0", f->directory);
  char *argv[] = { (char *) "sh", (char *) "-c", command, NULL };
  g_autofree char *output = NULL;
  g_auto(GStrv) lines = NULL;

  g_assert_true (g_spawn_sync (NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &output, NULL, NULL, NULL));
  lines = g_strsplit (output, "\n", -1);
  for (guint i = 0; lines[i] != NULL; i++)
    if (*lines[i] != '\0')
      g_ptr_array_add (files, g_strdup (lines[i]));
  return files;
}
