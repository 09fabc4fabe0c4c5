/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <unistd.h>

#include "chunk/name.h"
#include "store-fixture.h"

enum
{
  SIZE = 3 * 1024 * 1024, /* bytes */
};

static void
remove_index (Fixture *f)
{
  const char *names[] = { "index.sqlite", "index.sqlite-wal", "index.sqlite-shm", "index.filter" };

  g_clear_pointer (&f->store, pv_store_unref);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *path = g_build_filename (f->directory, names[i], NULL);

      unlink (path);
    }
}

static void
rebuild (Fixture *f, guint n_dropped)
{
  g_autoptr(GPtrArray) dropped = g_ptr_array_new_with_free_func (g_free);
  g_autoptr(GError) error = NULL;

  pv_store_rebuild_index (f->directory, dropped, NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < dropped->len; i++)
    g_test_message ("%s", (char *) dropped->pdata[i]);
  g_assert_cmpuint (dropped->len, ==, n_dropped);
  fixture_open (f);
}

static PvSnapshot *
find (Fixture *f, const char *name)
{
  g_autoptr(GError) error = NULL;
  PvSnapshot *snapshot = pv_store_lookup (f->store, "guest", name, &error);

  g_assert_no_error (error);
  return snapshot;
}

/* Everything is there again, and the store goes on: known is known. */
static void
test_lost (Fixture *f, gconstpointer user_data)
{
  g_autofree guint8 *data = g_malloc (SIZE);
  g_autofree guint8 *changed = g_malloc (SIZE);
  g_autoptr(PvSnapshot) a = NULL;
  g_autoptr(PvSnapshot) b = NULL;
  g_autoptr(PvSnapshot) c = NULL;
  g_autoptr(GError) error = NULL;
  PvTxnStats stats;

  fill_random (data, SIZE, 1);
  memcpy (changed, data, SIZE);
  fill_random (changed + PV_CHUNK_SIZE, PV_CHUNK_SIZE, 2);
  a = take (f, "a", NULL, data, SIZE, NULL);
  b = take (f, "b", a, changed, SIZE, NULL);
  remove_index (f);
  g_assert_null (pv_store_open (f->directory, PV_STORE_OPEN_CREATE, &error));
  rebuild (f, 0);
  pv_snapshot_unref (a);
  a = find (f, "a");
  g_assert_cmpuint (pv_snapshot_stored_size (a), >, SIZE);
  g_assert_cmpuint (pv_snapshot_stored_size (b), <, 8192);
  assert_content (f->store, a, PV_VOLUME_RAM, "ram", data, SIZE);
  assert_content (f->store, b, PV_VOLUME_RAM, "ram", changed, SIZE);
  assert_sound (f);
  c = take (f, "c", b, data, SIZE, &stats);
  g_assert_cmpuint (stats.new_bytes, ==, 0);
}

/* A snapshot that lacks a pack is left out, and nothing else. */
static void
test_incomplete (Fixture *f, gconstpointer user_data)
{
  g_autofree guint8 *data = g_malloc (SIZE);
  g_autofree guint8 *other = g_malloc (SIZE);
  g_autofree char *command = g_strdup_printf ("rm \"$(find %s/packs -type f)\"", f->directory);
  char *argv[] = { (char *) "sh", (char *) "-c", command, NULL };
  g_autoptr(PvSnapshot) a = NULL;
  g_autoptr(PvSnapshot) b = NULL;
  g_autoptr(PvSnapshot) c = NULL;
  g_autoptr(GPtrArray) list = NULL;

  fill_random (data, SIZE, 1);
  fill_random (other, SIZE, 2);
  a = take (f, "a", NULL, data, SIZE, NULL);
  b = take (f, "b", a, data, SIZE, NULL);
  g_assert_true (g_spawn_sync (NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL));
  remove_index (f);
  rebuild (f, 2);
  c = take (f, "c", NULL, other, SIZE, NULL);
  remove_index (f);
  rebuild (f, 0); /* what was left out has been put aside */
  list = pv_store_list (f->store, NULL, NULL);
  g_assert_cmpuint (list->len, ==, 1);
  assert_content (f->store, c, PV_VOLUME_RAM, "ram", other, SIZE);
  assert_sound (f);
}

static void
test_in_use (Fixture *f, gconstpointer user_data)
{
  g_autoptr(PvTxn) txn = begin (f, NULL, 1);
  g_autoptr(GPtrArray) dropped = g_ptr_array_new_with_free_func (g_free);
  g_autoptr(GError) error = NULL;

  g_assert_false (pv_store_rebuild_index (f->directory, dropped, NULL, NULL, NULL, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_BUSY);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func) g_test_add ("/store-rebuild/" name, Fixture, NULL, fixture_setup, func, fixture_teardown)
  ADD ("lost", test_lost);
  ADD ("incomplete", test_incomplete);
  ADD ("in-use", test_in_use);
  return g_test_run ();
}
