/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is damaged here comes back from the remote, and what is damaged there from here. */
#include "config.h"

#include "store/repair.h"

#include "remote-fixture.h"

enum
{
  SIZE = 1 << 20,
};

static PvSnapshot *
take_and_push (Hosts *h)
{
  g_autofree guint8 *bytes = g_malloc (SIZE);
  PvSnapshot *snapshot;

  fill_random (bytes, SIZE, 1);
  snapshot = take (&h->a, "one", NULL, bytes, SIZE, NULL);
  push (h, &h->a, snapshot);
  return snapshot;
}

static char *
local_pack (Hosts *h)
{
  g_autoptr(GPtrArray) files = list_files (&h->a);

  for (guint i = 0; i < files->len; i++)
    if (strstr (files->pdata[i], "/packs/") != NULL)
      return g_strdup (files->pdata[i]);
  g_assert_not_reached ();
}

static guint
n_damaged (Hosts *h, PvStore *store, guint64 *n_repaired)
{
  g_autoptr(PvMirror) mirror = mirror_of (h, &h->a);
  g_autoptr(GError) error = NULL;
  PvVerifyResult result;
  guint n;

  pv_mirror_verify (mirror, 100, store, &result, n_repaired, NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  n = result.damaged->len;
  for (guint i = 0; i < n; i++)
    {
      const PvDamage *damage = result.damaged->pdata[i];

      g_test_message ("%s: %s", damage->what, damage->why);
      g_assert_cmpuint (damage->snapshots->len, ==, 1);
      g_assert_cmpstr (damage->snapshots->pdata[0], ==, "guest@one");
    }
  pv_verify_result_clear (&result);
  return n;
}

/* A flipped bit, or no file at all. */
static void
test_store (Hosts *h, gconstpointer data)
{
  g_autoptr(PvSnapshot) snapshot = take_and_push (h);
  g_autoptr(GPtrArray) failures = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *pack = local_pack (h);
  g_autoptr(PvMirror) mirror = NULL;
  g_autoptr(GError) error = NULL;
  PvVerifyResult found;
  guint64 n_repaired;

  if (data != NULL)
    g_assert_cmpint (g_unlink (pack), ==, 0);
  else
    damage_file (pack);
  fixture_open (&h->a);
  mirror = mirror_of (h, &h->a);
  g_assert_true (pv_store_verify (h->a.store, &found, NULL, NULL, NULL, &error));
  g_assert_cmpuint (found.damaged->len, >=, 1);
  pv_store_repair (h->a.store, mirror, &found, &n_repaired, failures, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (failures->len, ==, 0);
  g_assert_cmpuint (n_repaired, ==, 1);
  pv_verify_result_clear (&found);
  assert_sound (&h->a);
}

static void
test_remote (Hosts *h, gconstpointer data)
{
  g_autoptr(PvSnapshot) snapshot = take_and_push (h);
  g_autofree char *object = object_below (h, "packs");
  guint64 n_repaired;

  g_assert_cmpuint (n_damaged (h, NULL, &n_repaired), ==, 0);
  if (data != NULL)
    g_assert_cmpint (g_unlink (object), ==, 0);
  else
    damage_file (object);
  g_assert_cmpuint (n_damaged (h, NULL, &n_repaired), ==, 1);
  g_assert_cmpuint (n_damaged (h, h->a.store, &n_repaired), ==, 0);
  g_assert_cmpuint (n_repaired, ==, 1);
  g_assert_cmpuint (n_damaged (h, NULL, &n_repaired), ==, 0);
}

/* When both are damaged nothing is made worse, and a sentence says so. */
static void
test_both (Hosts *h, gconstpointer data)
{
  g_autoptr(PvSnapshot) snapshot = take_and_push (h);
  g_autoptr(GPtrArray) failures = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *object = object_below (h, "packs"), *pack = local_pack (h);
  g_autoptr(PvMirror) mirror = mirror_of (h, &h->a);
  g_autoptr(GError) error = NULL;
  PvVerifyResult found;
  guint64 n_repaired;

  damage_file (object);
  damage_file (pack);
  g_assert_true (pv_store_verify (h->a.store, &found, NULL, NULL, NULL, &error));
  pv_store_repair (h->a.store, mirror, &found, &n_repaired, failures, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (failures->len, ==, 1);
  g_assert_cmpuint (n_repaired, ==, 0);
  pv_verify_result_clear (&found);
  g_assert_cmpuint (n_damaged (h, h->a.store, &n_repaired), ==, 1);
  g_assert_cmpuint (n_repaired, ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, data, func) g_test_add ("/repair/" name, Hosts, data, hosts_setup, func, hosts_teardown)
  ADD ("store", NULL, test_store);
  ADD ("store/missing", "missing", test_store);
  ADD ("remote", NULL, test_remote);
  ADD ("remote/missing", "missing", test_remote);
  ADD ("both", NULL, test_both);
  return g_test_run ();
}
