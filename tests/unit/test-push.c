/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Snapshots go into a remote and come back on another host. */
#include "config.h"

#include "store/push.h"

#include "remote-fixture.h"
#include "store/prune.h"
#include "store/read-ahead.h"
#include "util/fault.h"

enum
{
  SIZE = 3 << 20,
};

static guint8 *
content (guint64 seed)
{
  guint8 *data = g_malloc (SIZE);

  fill_random (data, SIZE, seed);
  return data;
}

static void
pull (Hosts *h, Fixture *f, PvSnapshot *snapshot, PvPullResult *result)
{
  g_autoptr(PvMirror) mirror = mirror_of (h, f);
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) list = list_remote (mirror);

  pv_store_pull (f->store, mirror, snapshot, result, NULL, NULL, NULL, &error);
  g_assert_no_error (error);
}

static void
test_there_and_back (Hosts *h, gconstpointer data)
{
  g_autofree guint8 *bytes = content (1);
  g_autoptr(PvSnapshot) one = take (&h->a, "one", NULL, bytes, SIZE, NULL);
  g_autoptr(PvSnapshot) two = NULL;
  g_autoptr(PvMirror) mirror = NULL;
  g_autoptr(GPtrArray) list = NULL;
  PvPushResult pushed = push (h, &h->a, one);
  PvPullResult pulled;

  g_assert_false (pushed.was_there);
  g_assert_cmpuint (pushed.packs_sent, ==, 1);
  memset (bytes + 5 * PV_CHUNK_SIZE, 7, PV_CHUNK_SIZE);
  two = take (&h->a, "two", one, bytes, SIZE, NULL);
  pushed = push (h, &h->a, two);
  g_assert_cmpuint (pushed.packs, ==, 2);
  g_assert_cmpuint (pushed.packs_sent, ==, 1);
  pushed = push (h, &h->a, two);
  g_assert_true (pushed.was_there);
  g_assert_cmpuint (pushed.packs_sent, ==, 0);

  mirror = mirror_of (h, &h->b);
  list = list_remote (mirror);
  g_assert_cmpuint (list->len, ==, 2);
  g_assert_cmpstr (pv_snapshot_full_name (list->pdata[1]), ==, "guest@two");
  pull (h, &h->b, list->pdata[1], &pulled);
  g_assert_cmpuint (pulled.packs_fetched, ==, 2);
  assert_sound (&h->b);
  assert_content (h->b.store, list->pdata[1], PV_VOLUME_RAM, "ram", bytes, SIZE);
  pull (h, &h->b, list->pdata[0], &pulled);
  g_assert_cmpuint (pulled.packs_fetched, ==, 0);
  pull (h, &h->b, list->pdata[0], &pulled);
  g_assert_true (pulled.was_there);
  assert_sound (&h->b);
}

/* What another host's packs have is not sent again; what they have is needed, and said to be. */
static void
test_shared (Hosts *h, gconstpointer data)
{
  g_autofree guint8 *bytes = content (1);
  g_autoptr(PvSnapshot) first = take (&h->a, "first", NULL, bytes, SIZE, NULL);
  g_autoptr(PvSnapshot) second = NULL;
  g_autoptr(PvSnapshot) same = take (&h->b, "same", NULL, bytes, SIZE, NULL); /* in a pack of its own */
  g_autoptr(PvTxn) txn = begin (&h->b, NULL, 1);
  PvVolumeWriter *volume = add_volume (txn, PV_VOLUME_DISK, "vda", 2 * SIZE);
  g_autoptr(GError) error = NULL;
  PvPushResult pushed = push (h, &h->a, first);
  guint64 all = pushed.sent_bytes;
  g_autofree guint8 *own = content (2);

  write_all (volume, bytes, SIZE);
  g_assert_true (pv_volume_writer_write (volume, SIZE, own, SIZE, &error));
  finish (volume);
  second = commit (txn, "other", "second");
  pushed = push (h, &h->b, second);
  g_assert_cmpuint (pushed.sent_bytes, <, all + all / 10);
  g_assert_cmpuint (pushed.packs, >=, 2);
}

/* Whatever step fails: nothing is listed that is not whole, and the next push goes on. */
static void
test_every_step_fails (Hosts *h, gconstpointer data)
{
  g_autofree guint8 *bytes = content (1);
  g_autoptr(PvSnapshot) one = take (&h->a, "one", NULL, bytes, SIZE, NULL);
  g_autoptr(PvMirror) mirror = mirror_of (h, &h->a);
  guint n;

  for (n = 1;; n++)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(PvMirror) other = mirror_of (h, &h->b);
      g_autoptr(GPtrArray) list = NULL;
      PvPushResult result;
      gboolean ok;

      pv_fault_arm_nth ("*", n);
      ok = pv_store_push (h->a.store, mirror, one, &result, NULL, NULL, NULL, &error);
      pv_fault_disarm ();
      g_assert_true (ok == (error == NULL));
      list = list_remote (other);
      g_assert_cmpuint (list->len, <=, 1);
      if (list->len == 1)
        {
          g_assert_true (pv_mirror_prepare (other, list->pdata[0], NULL, &error) || error != NULL);
          break;
        }
      g_assert_false (ok);
    }
  g_test_message ("%u steps", n);
  g_assert_cmpuint (n, >, 5);
  {
    PvPullResult pulled;

    pull (h, &h->b, one, &pulled);
    assert_sound (&h->b);
    assert_content (h->b.store, one, PV_VOLUME_RAM, "ram", bytes, SIZE);
  }
}

static void
test_name_taken (Hosts *h, gconstpointer data)
{
  g_autofree guint8 *bytes = content (1), *others = content (2);
  g_autoptr(PvSnapshot) one = take (&h->a, "one", NULL, bytes, SIZE, NULL);
  g_autoptr(PvSnapshot) other = take (&h->b, "one", NULL, others, SIZE, NULL);
  g_autoptr(PvMirror) mirror = mirror_of (h, &h->b);
  g_autoptr(GError) error = NULL;
  PvPushResult result;

  push (h, &h->a, one);
  g_assert_false (pv_store_push (h->b.store, mirror, other, &result, NULL, NULL, NULL, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_EXISTS);
}

/* A pack that is damaged here never leaves. */
static void
test_damage_stays (Hosts *h, gconstpointer data)
{
  g_autofree guint8 *bytes = content (1);
  g_autoptr(PvSnapshot) one = take (&h->a, "one", NULL, bytes, SIZE, NULL);
  g_autoptr(PvMirror) mirror = mirror_of (h, &h->a);
  g_autoptr(GPtrArray) files = list_files (&h->a);
  g_autoptr(GError) error = NULL;
  PvPushResult result;

  for (guint i = 0; i < files->len; i++)
    if (strstr (files->pdata[i], "/packs/") != NULL)
      damage_file (files->pdata[i]);
  g_assert_false (pv_store_push (h->a.store, mirror, one, &result, NULL, NULL, NULL, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
  g_assert_cmpuint (count_objects (h, "packs"), ==, 0);
  g_assert_cmpuint (count_objects (h, "snapshots"), ==, 0);
}

/* Packs that gc rewrites are found anew, and what was sent before is not sent again. */
static void
test_after_gc (Hosts *h, gconstpointer data)
{
  g_autofree guint8 *bytes = content (1), *more = content (2);
  g_autofree guint8 *both = g_malloc (2 * SIZE);
  g_autoptr(PvSnapshot) big = NULL, one = NULL;
  g_autoptr(GError) error = NULL;
  PvGcResult result;
  PvPushResult pushed;
  PvPullResult pulled;

  memcpy (both, more, SIZE);
  memcpy (both + SIZE, bytes, SIZE);
  big = take (&h->a, "big", NULL, both, 2 * SIZE, NULL);
  one = take (&h->a, "one", NULL, bytes, SIZE, NULL);
  pushed = push (h, &h->a, big);
  g_assert_true (pv_store_delete (h->a.store, "guest", "big", &error));
  g_assert_true (pv_store_gc (h->a.store, 70, &result, NULL, NULL, NULL, &error));
  g_assert_cmpuint (result.packs_rewritten, >, 0);
  pushed = push (h, &h->a, one);
  g_assert_cmpuint (pushed.sent_bytes, <, (guint64) SIZE + SIZE / 8);
  pull (h, &h->b, one, &pulled);
  assert_sound (&h->b);
  assert_content (h->b.store, one, PV_VOLUME_RAM, "ram", bytes, SIZE);
}

/* Whatever of the remote is damaged: nothing wrong is listed here, and a sentence says what it is. */
static void
test_hostile (Hosts *h, gconstpointer data)
{
  const char *prefix = data;
  g_autofree guint8 *bytes = content (1);
  g_autoptr(PvSnapshot) one = take (&h->a, "one", NULL, bytes, SIZE, NULL);
  g_autoptr(PvMirror) mirror = mirror_of (h, &h->b);
  g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func (g_free);
  g_autoptr(GError) error = NULL;
  g_autofree char *victim = NULL;
  PvPullResult result;

  push (h, &h->a, one);
  victim = object_below (h, prefix);
  damage_file (victim);
  g_assert_true (pv_mirror_refresh_snapshots (mirror, warnings, NULL, &error));
  g_assert_no_error (error);
  if (g_str_equal (prefix, "snapshots"))
    {
      g_autoptr(GPtrArray) list = pv_mirror_list (mirror, NULL, &error);

      g_assert_cmpuint (warnings->len, ==, 1);
      g_assert_cmpuint (list->len, ==, 0);
      return;
    }
  if (g_str_equal (prefix, "needs")) /* what it needs is found without being told */
    {
      pull (h, &h->b, one, &result);
      assert_sound (&h->b);
      assert_content (h->b.store, one, PV_VOLUME_RAM, "ram", bytes, SIZE);
      return;
    }
  g_assert_false (pv_store_pull (h->b.store, mirror, one, &result, NULL, NULL, NULL, &error));
  g_test_message ("%s", error->message);
  g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
  g_assert_null (pv_store_lookup (h->b.store, "guest", "one", NULL));
  assert_sound (&h->b);
}

/* Frames are read by range, kept, and fetched again when what was kept is garbled. */
static void
test_read_by_range (Hosts *h, gconstpointer data)
{
  g_autofree guint8 *bytes = content (1);
  g_autoptr(PvSnapshot) one = take (&h->a, "one", NULL, bytes, SIZE, NULL);
  g_autoptr(GError) error = NULL;

  push (h, &h->a, one);
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr(PvMirror) mirror = mirror_of (h, &h->b);
      g_autoptr(GPtrArray) list = list_remote (mirror), files = NULL;
      guint n_blocks = 0;

      g_assert_true (pv_mirror_prepare (mirror, list->pdata[0], NULL, &error));
      pv_object_reader_add_fallback (h->b.store->reader, mirror->reader);
      assert_content (h->b.store, list->pdata[0], PV_VOLUME_RAM, "ram", bytes, SIZE);
      fixture_open (&h->b); /* before the mirror goes */
      files = list_files (&h->b);
      for (guint j = 0; j < files->len; j++)
        if (strstr (files->pdata[j], "/blocks/") != NULL)
          {
            n_blocks++;
            if (i == 1)
              damage_file (files->pdata[j]);
          }
      g_assert_cmpuint (n_blocks, >=, 3);
    }
}

/* What restores asked for first goes along, and goes with the snapshot. */
static void
test_working_set (Hosts *h, gconstpointer data)
{
  g_autofree guint8 *bytes = content (1);
  g_autoptr(PvSnapshot) one = take (&h->a, "one", NULL, bytes, SIZE, NULL);
  g_autofree char *id = pv_name_to_hex (pv_snapshot_id (one));
  g_autofree char *from = g_build_filename (h->a.directory, "working-sets", NULL);
  g_autofree char *there = g_build_filename (from, id, NULL);
  g_autofree char *here = g_build_filename (h->b.directory, "working-sets", id, NULL);
  g_autoptr(PvMirror) mirror = mirror_of (h, &h->b);
  g_autoptr(GPtrArray) list = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *text = NULL;
  PvPruneResult result;

  push (h, &h->a, one);
  g_assert_cmpint (g_mkdir (from, 0700), ==, 0);
  g_assert_true (g_file_set_contents (there, "pages", -1, NULL));
  push (h, &h->a, one);
  list = list_remote (mirror);
  g_assert_true (pv_mirror_prepare (mirror, list->pdata[0], NULL, &error));
  g_assert_true (g_file_get_contents (here, &text, NULL, NULL));
  g_assert_cmpstr (text, ==, "pages");
  g_assert_true (pv_mirror_delete (mirror, "guest", "one", NULL, &error));
  g_assert_true (pv_mirror_prune (mirror, PV_PRUNE_GRACE_MIN, g_get_real_time (), FALSE, &result, NULL, &error));
  g_assert_cmpuint (count_objects (h, "working-sets"), ==, 0);
}

/* What is wanted is fetched ahead, once. */
static void
test_read_ahead (Hosts *h, gconstpointer data)
{
  g_autofree guint8 *bytes = content (1);
  g_autoptr(PvSnapshot) one = take (&h->a, "one", NULL, bytes, SIZE, NULL);
  g_autoptr(PvMirror) mirror = mirror_of (h, &h->b);
  g_autofree char *away = g_strconcat (h->bucket, ".away", NULL);
  g_autofree char *url = g_strconcat ("file://", h->bucket, NULL);
  PvRemoteOptions options = { .endpoint = NULL };
  g_autoptr(PvVolumeReader) reader = NULL;
  g_autoptr(PvSnapshot) snapshot = NULL;
  g_autoptr(GPtrArray) list = NULL;
  g_autoptr(GError) error = NULL;
  PvName names[SIZE / PV_CHUNK_SIZE];

  push (h, &h->a, one);
  list = list_remote (mirror);
  g_assert_true (pv_mirror_remember (mirror, url, &options, &error));
  g_assert_true (pv_mirror_attach (mirror, 0, &error));
  fixture_open (&h->b);
  snapshot = pv_store_find (h->b.store, "guest", "one", NULL, &error);
  g_assert_no_error (error);
  reader = open_volume (h->b.store, snapshot, PV_VOLUME_RAM, "ram");
  g_assert_true (pv_volume_reader_names (reader, 0, G_N_ELEMENTS (names), names, &error));
  pv_store_read_ahead (h->b.store, names, G_N_ELEMENTS (names));
  g_assert_cmpint (g_rename (h->bucket, away), ==, 0);
  assert_content (h->b.store, snapshot, PV_VOLUME_RAM, "ram", bytes, SIZE);
  g_assert_cmpint (g_rename (away, h->bucket), ==, 0);
}

int
main (int argc, char **argv)
{
  static const char *const kinds[] = { "packs", "needs", "snapshots" };

  g_test_init (&argc, &argv, NULL);
#define ADD(name, data, func) g_test_add ("/push/" name, Hosts, data, hosts_setup, func, hosts_teardown)
  ADD ("there-and-back", NULL, test_there_and_back);
  ADD ("shared", NULL, test_shared);
  ADD ("every-step-fails", NULL, test_every_step_fails);
  ADD ("name-taken", NULL, test_name_taken);
  ADD ("damage-stays", NULL, test_damage_stays);
  ADD ("after-gc", NULL, test_after_gc);
  for (guint i = 0; i < G_N_ELEMENTS (kinds); i++)
    {
      g_autofree char *path = g_strconcat ("/push/hostile/", kinds[i], NULL);

      g_test_add (path, Hosts, kinds[i], hosts_setup, test_hostile, hosts_teardown);
    }
  ADD ("read-by-range", NULL, test_read_by_range);
  ADD ("working-set", NULL, test_working_set);
  ADD ("read-ahead", NULL, test_read_ahead);
  return g_test_run ();
}
