/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What nobody needs goes, in two phases; what anybody needs stays. */
#include "config.h"

#include "store/prune.h"

#include "remote-fixture.h"

enum
{
  SIZE = 1 << 20,
  GRACE = PV_PRUNE_GRACE_MIN,
};

static PvSnapshot *
take_random (Fixture *f, const char *name, guint64 seed)
{
  g_autofree guint8 *bytes = g_malloc (SIZE);

  fill_random (bytes, SIZE, seed);
  return take (f, name, NULL, bytes, SIZE, NULL);
}

/* A prune, so many grace periods from now. */
static PvPruneResult
prune (Hosts *h, guint n_graces)
{
  g_autoptr(PvMirror) mirror = mirror_of (h, &h->a);
  gint64 now = g_get_real_time () + (gint64) n_graces * (GRACE + 60) * G_USEC_PER_SEC;
  g_autoptr(GError) error = NULL;
  PvPruneResult result;

  pv_mirror_prune (mirror, GRACE, now, FALSE, &result, NULL, &error);
  g_assert_no_error (error);
  return result;
}

static void
delete_there (Hosts *h, const char *name)
{
  g_autoptr(PvMirror) mirror = mirror_of (h, &h->a);
  g_autoptr(GError) error = NULL;

  pv_mirror_delete (mirror, "guest", name, NULL, &error);
  g_assert_no_error (error);
}

/* The snapshot can be had on a host that has nothing. */
static void
assert_whole (Hosts *h, PvSnapshot *snapshot)
{
  g_autoptr(PvMirror) mirror = mirror_of (h, &h->b);
  g_autoptr(GPtrArray) list = list_remote (mirror);
  g_autoptr(GError) error = NULL;
  PvPullResult result;

  pv_store_pull (h->b.store, mirror, snapshot, &result, NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  assert_sound (&h->b);
}

static void
test_two_phases (Hosts *h, gconstpointer data)
{
  g_autoptr(PvSnapshot) one = take_random (&h->a, "one", 1), two = take_random (&h->a, "two", 2);
  PvPruneResult result;

  push (h, &h->a, one);
  push (h, &h->a, two);
  g_assert_cmpuint (count_objects (h, "packs"), ==, 2);
  g_assert_cmpuint (prune (h, 5).condemned_packs, ==, 0);
  delete_there (h, "one");
  g_assert_cmpuint (prune (h, 0).condemned_packs, ==, 0); /* its needs are young: a push may be at work */
  result = prune (h, 1);
  g_assert_cmpuint (result.condemned_packs, ==, 1);
  g_assert_cmpuint (result.removed_packs, ==, 0);
  g_assert_cmpuint (count_objects (h, "needs"), ==, 1);
  g_assert_cmpuint (prune (h, 1).waiting_packs, ==, 1);
  g_assert_cmpuint (count_objects (h, "packs"), ==, 2);
  result = prune (h, 3);
  g_assert_cmpuint (result.removed_packs, ==, 1);
  g_assert_cmpuint (count_objects (h, "packs"), ==, 1);
  g_assert_cmpuint (count_objects (h, "condemned"), ==, 0);
  assert_whole (h, two);
}

/* Pushed again while its pack is condemned: it does not rely on that one, and outlives it. */
static void
test_pushed_again (Hosts *h, gconstpointer data)
{
  g_autoptr(PvSnapshot) one = take_random (&h->a, "one", 1);
  PvPushResult pushed;

  push (h, &h->a, one);
  delete_there (h, "one");
  g_assert_cmpuint (prune (h, 1).condemned_packs, ==, 1);
  pushed = push (h, &h->a, one);
  g_assert_cmpuint (pushed.packs_sent, ==, 1);
  g_assert_cmpuint (count_objects (h, "packs"), ==, 2);
  g_assert_cmpuint (prune (h, 3).removed_packs, ==, 1);
  g_assert_cmpuint (count_objects (h, "packs"), ==, 1);
  g_assert_cmpuint (prune (h, 9).condemned_packs, ==, 0);
  assert_whole (h, one);
}

/* A push that was killed before its commit: what it left goes, but not while it may be alive. */
static void
test_given_up (Hosts *h, gconstpointer data)
{
  g_autoptr(PvSnapshot) one = take_random (&h->a, "one", 1);
  g_autofree char *object = NULL;

  push (h, &h->a, one);
  object = object_below (h, "snapshots");
  g_assert_cmpint (g_unlink (object), ==, 0);
  g_assert_cmpuint (prune (h, 0).condemned_packs, ==, 0);
  g_assert_cmpuint (prune (h, 1).condemned_packs, ==, 1);
  g_assert_cmpuint (prune (h, 3).removed_packs, ==, 1);
  g_assert_cmpuint (count_objects (h, ""), ==, 1); /* the marker */
}

/* When it cannot be told what is needed, nothing goes. */
static void
test_not_known (Hosts *h, gconstpointer data)
{
  g_autoptr(PvSnapshot) one = take_random (&h->a, "one", 1);
  g_autoptr(PvMirror) mirror = mirror_of (h, &h->a);
  g_autofree char *needs = NULL;

  push (h, &h->a, one);
  needs = object_below (h, "needs");
  damage_file (needs);
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr(GError) error = NULL;
      PvPruneResult result;

      g_assert_false (pv_mirror_prune (mirror, GRACE, g_get_real_time (), FALSE, &result, NULL, &error));
      g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
      g_assert_cmpuint (count_objects (h, "packs"), ==, 1);
      g_assert_cmpuint (count_objects (h, "condemned"), ==, 0);
      (void) g_unlink (needs);
    }
  g_assert_false (push (h, &h->a, one).was_there); /* then it is known again */
  g_assert_cmpuint (prune (h, 1).condemned_packs, ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func) g_test_add ("/prune/" name, Hosts, NULL, hosts_setup, func, hosts_teardown)
  ADD ("two-phases", test_two_phases);
  ADD ("pushed-again", test_pushed_again);
  ADD ("given-up", test_given_up);
  ADD ("not-known", test_not_known);
  return g_test_run ();
}
