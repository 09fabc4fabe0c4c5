/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <stdio.h>
#include <unistd.h>

#include "chunk/name.h"
#include "store-fixture.h"

enum
{
  SIZE = 3 * 1024 * 1024, /* bytes: two leaves and a node above them */
  PER_FILE = 30,          /* positions tried in a file */
};

/* Three snapshots: b shares all but a page with a, c nothing with them. */
static void
make_store (Fixture *f, guint8 *a, guint8 *b, guint8 *c)
{
  g_autoptr(PvSnapshot) sa = NULL;

  fill_random (a, SIZE, 1);
  memcpy (b, a, SIZE);
  fill_random (b + 100 * PV_CHUNK_SIZE, PV_CHUNK_SIZE, 2);
  fill_random (c, SIZE, 3);
  sa = take (f, "a", NULL, a, SIZE, NULL);
  pv_snapshot_unref (take (f, "b", sa, b, SIZE, NULL));
  pv_snapshot_unref (take (f, "c", NULL, c, SIZE, NULL));
  g_clear_pointer (&f->store, pv_store_unref);
}

/* TRUE when the snapshot is listed and gives exactly @data. */
static gboolean
reads_well (PvStore *store, const char *name, const guint8 *data)
{
  g_autoptr(PvSnapshot) snapshot = pv_store_lookup (store, "guest", name, NULL);
  g_autoptr(PvVolumeReader) reader = NULL;
  g_autofree guint8 *read = g_malloc (SIZE);

  if (snapshot == NULL)
    return FALSE;
  reader = open_volume (store, snapshot, PV_VOLUME_RAM, "ram");
  if (!pv_volume_reader_read (reader, 0, SIZE, read, NULL))
    return FALSE;
  g_assert_true (memcmp (read, data, SIZE) == 0); /* never other bytes */
  return TRUE;
}

static gboolean
is_hit (const PvVerifyResult *result, const char *full_name)
{
  for (guint i = 0; i < result->damaged->len; i++)
    {
      PvDamage *damage = result->damaged->pdata[i];

      if (g_ptr_array_find_with_equal_func (damage->snapshots, full_name, g_str_equal, NULL))
        return TRUE;
    }
  return FALSE;
}

/* Looks at a damaged store. What cannot be opened, or is said to be damaged, has been found; else it must be harmless.
 * Whatever cannot be read is charged to its snapshot, unless it is the index that is broken. @found: (out). */
static void
look_at_damage (Fixture *f, const char *path, guint8 **contents, gboolean *found)
{
  const char *names[] = { "a", "b", "c" };
  g_autoptr(GError) error = NULL;
  g_autoptr(PvStore) store = pv_store_open (f->directory, 0, &error);
  PvVerifyResult result;
  gboolean index = FALSE;

  *found = TRUE;
  if (store == NULL)
    {
      /* A format marker that is none may be that of something else; all else is damage, and never "too new". */
      if (!strstr (path, "/format") || !g_error_matches (error, PV_ERROR, PV_ERROR_INVALID))
        g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
      return;
    }
  pv_store_verify (store, &result, NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  *found = result.damaged->len > 0;
  for (guint i = 0; i < result.damaged->len; i++)
    {
      PvDamage *damage = result.damaged->pdata[i];

      g_assert_cmpuint (strlen (damage->what), >, 0);
      g_assert_cmpuint (strlen (damage->why), >, 0);
      index = index || g_str_equal (damage->what, "index");
    }
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *full_name = g_strdup_printf ("guest@%s", names[i]);

      if (!index && !is_hit (&result, full_name))
        g_assert_true (reads_well (store, names[i], contents[i]));
    }
  pv_verify_result_clear (&result);
}

static void
flip (const char *path, gsize offset, guint8 mask)
{
  FILE *file = fopen (path, "r+");
  int c;

  g_assert_nonnull (file);
  g_assert_cmpint (fseek (file, (long) offset, SEEK_SET), ==, 0);
  c = fgetc (file);
  g_assert_cmpint (fseek (file, (long) offset, SEEK_SET), ==, 0);
  g_assert_cmpint (fputc (c ^ mask, file), !=, EOF);
  g_assert_cmpint (fclose (file), ==, 0);
}

static void
copy_back (const char *from, const char *to)
{
  char *argv[] = { (char *) "cp", (char *) "-a", (char *) "--", (char *) from, (char *) to, NULL };

  g_assert_true (pv_remove_tree (to, NULL));
  g_assert_true (g_spawn_sync (NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL));
}

/* Only these may be flipped without anybody noticing: the filter costs deduplication at worst. */
static gboolean
may_be_harmless (const char *path)
{
  return strstr (path, "index.filter") != NULL || strstr (path, "-shm") != NULL;
}

/* One bit at many places of every file of a store: each is found. */
static void
test_every_file (Fixture *f, gconstpointer user_data)
{
  g_autofree guint8 *a = g_malloc (SIZE);
  g_autofree guint8 *b = g_malloc (SIZE);
  g_autofree guint8 *c = g_malloc (SIZE);
  guint8 *contents[] = { a, b, c };
  g_autofree char *good = g_build_filename (f->root, "good", NULL);
  g_autoptr(GPtrArray) files = NULL;

  make_store (f, a, b, c);
  copy_back (f->directory, good);
  files = list_files (f);
  for (guint i = 0; i < files->len; i++)
    {
      g_autofree char *bytes = NULL;
      gsize size;
      gsize step;

      g_assert_true (g_file_get_contents (files->pdata[i], &bytes, &size, NULL));
      step = MAX (size / PER_FILE, 1);
      for (gsize offset = 0; offset < size; offset += step)
        {
          gsize at = MIN (offset + (gsize) g_test_rand_int_range (0, (gint) step), size - 1);
          guint8 mask = (guint8) (1 << g_test_rand_int_range (0, 8));
          gboolean found;

          flip (files->pdata[i], at, mask);
          look_at_damage (f, files->pdata[i], contents, &found);
          if (!found && !may_be_harmless (files->pdata[i]))
            g_error ("%s: nobody noticed byte %" G_GSIZE_FORMAT, (char *) files->pdata[i], at);
          if (strstr (files->pdata[i], "/index.") != NULL)
            copy_back (good, f->directory); /* opening it may have written to it */
          else
            flip (files->pdata[i], at, mask);
        }
    }
}

/* (transfer full): path of the @nth largest pack. */
static char *
find_pack (Fixture *f, guint nth)
{
  g_autofree char *command = g_strdup_printf ("find %s/packs -type f -printf '%%s %%p\\n' | sort -rn"
                                              " | sed -n '%u{s/^[0-9]* //;p;}'",
                                              f->directory, nth);
  char *argv[] = { (char *) "sh", (char *) "-c", command, NULL };
  char *output = NULL;

  g_assert_true (g_spawn_sync (NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &output, NULL, NULL, NULL));
  return g_strstrip (output);
}

static PvVerifyResult
verify (Fixture *f)
{
  g_autoptr(GError) error = NULL;
  PvVerifyResult result;

  fixture_open (f);
  pv_store_verify (f->store, &result, NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  return result;
}

/* The pack of b alone: b is hit, the others are not; and the pack is named. */
static void
test_names_snapshots (Fixture *f, gconstpointer user_data)
{
  g_autofree guint8 *a = g_malloc (SIZE);
  g_autofree guint8 *b = g_malloc (SIZE);
  g_autofree guint8 *c = g_malloc (SIZE);
  g_autofree char *pack = NULL;
  g_autofree char *base = NULL;
  PvVerifyResult result;
  PvDamage *damage;

  make_store (f, a, b, c);
  pack = find_pack (f, 3);
  base = g_path_get_basename (pack);
  flip (pack, 60, 4);
  result = verify (f);
  g_assert_cmpuint (result.damaged->len, ==, 1);
  g_assert_cmpuint (result.checked_bytes, >, 2 * SIZE);
  damage = result.damaged->pdata[0];
  g_assert_true (g_str_has_prefix (damage->what, "pack "));
  g_assert_true (g_str_has_suffix (damage->what, base));
  g_assert_cmpuint (damage->snapshots->len, ==, 1);
  g_assert_cmpstr (damage->snapshots->pdata[0], ==, "guest@b");
  pv_verify_result_clear (&result);

  g_assert_cmpint (unlink (pack), ==, 0);
  result = verify (f);
  g_assert_cmpuint (result.damaged->len, ==, 1);
  g_assert_true (is_hit (&result, "guest@b"));
  g_assert_false (is_hit (&result, "guest@a"));
  g_assert_false (is_hit (&result, "guest@c"));
  g_assert_false (reads_well (f->store, "b", b));
  g_assert_true (reads_well (f->store, "a", a));
  pv_verify_result_clear (&result);
}

/* One page of a and b: both are hit. */
static void
test_shared (Fixture *f, gconstpointer user_data)
{
  g_autofree guint8 *a = g_malloc (SIZE);
  g_autofree guint8 *b = g_malloc (SIZE);
  g_autofree guint8 *c = g_malloc (SIZE);
  PvVerifyResult result;
  guint hits = 0;

  make_store (f, a, b, c);
  for (guint i = 1; i <= 2; i++) /* the two large packs: that of a, and that of c */
    {
      g_autofree char *pack = find_pack (f, i);

      flip (pack, SIZE / 2, 1);
      result = verify (f);
      g_assert_cmpuint (result.damaged->len, ==, 1);
      g_assert_cmpint (is_hit (&result, "guest@a"), ==, is_hit (&result, "guest@b"));
      g_assert_cmpint (is_hit (&result, "guest@a"), !=, is_hit (&result, "guest@c"));
      hits += is_hit (&result, "guest@a");
      pv_verify_result_clear (&result);
      flip (pack, SIZE / 2, 1);
    }
  g_assert_cmpuint (hits, ==, 1);
  assert_sound (f);
}

static void
test_snapshot_object (Fixture *f, gconstpointer user_data)
{
  g_autofree guint8 *a = g_malloc (SIZE);
  g_autofree guint8 *b = g_malloc (SIZE);
  g_autofree guint8 *c = g_malloc (SIZE);
  g_autoptr(PvSnapshot) snapshot = NULL;
  g_autofree char *hex = NULL;
  g_autofree char *path = NULL;
  PvVerifyResult result;
  PvDamage *damage;

  make_store (f, a, b, c);
  fixture_open (f);
  snapshot = pv_store_lookup (f->store, "guest", "c", NULL);
  hex = pv_name_to_hex (pv_snapshot_id (snapshot));
  path = g_build_filename (f->directory, "snapshots", hex, NULL);
  g_assert_cmpint (unlink (path), ==, 0);
  result = verify (f);
  g_assert_cmpuint (result.damaged->len, ==, 1);
  damage = result.damaged->pdata[0];
  g_assert_cmpstr (damage->what, ==, "snapshot guest@c");
  g_assert_true (is_hit (&result, "guest@c"));
  pv_verify_result_clear (&result);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func) g_test_add ("/store-verify/" name, Fixture, NULL, fixture_setup, func, fixture_teardown)
  ADD ("names-snapshots", test_names_snapshots);
  ADD ("shared", test_shared);
  ADD ("snapshot-object", test_snapshot_object);
  ADD ("every-file", test_every_file);
  return g_test_run ();
}
