/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "index/recent.h"

#include "index-fixture.h"

static void
test_put (void)
{
  g_autoptr(PvRecent) recent = pv_recent_new ();
  PvName zero = { { 0 } };
  PvLocation location;
  guint kept = 0;

  g_assert_false (pv_recent_get (recent, &zero, &location));
  for (guint i = 0; i < 2 * PV_RECENT_ENTRIES; i++)
    {
      PvIndexEntry entry = { make_name (i), { 1 + i / 16384, i % 16384 / 32, i % 32 } };

      pv_recent_put (recent, &entry);
      if (i % 1000 == 0)
        g_assert_true (pv_recent_get (recent, &entry.name, &location)); /* what came last is there */
    }
  for (guint i = 0; i < 2 * PV_RECENT_ENTRIES; i++)
    {
      PvName name = make_name (i);

      if (!pv_recent_get (recent, &name, &location))
        continue;
      kept++;
      g_assert_cmpuint (location.pack, ==, 1 + i / 16384);
      g_assert_cmpuint (location.slot, ==, i % 32);
    }
  g_assert_cmpuint (kept, >, PV_RECENT_ENTRIES / 10 * 9);
  g_assert_cmpuint (kept, <=, PV_RECENT_ENTRIES);
}

static void
test_put_again (void)
{
  g_autoptr(PvRecent) recent = pv_recent_new ();
  PvIndexEntry entry = { make_name (5), { 1, 2, 3 } };
  PvLocation location;

  pv_recent_put (recent, &entry);
  entry.location.pack = 7; /* moved by gc */
  pv_recent_put (recent, &entry);
  g_assert_true (pv_recent_get (recent, &entry.name, &location));
  g_assert_cmpuint (location.pack, ==, 7);
}

static void
test_count (void)
{
  g_autoptr(PvRecent) recent = pv_recent_new ();
  guint worth = 0;

  for (guint i = 0; i < 3 * PV_RECENT_TRIGGER; i++)
    {
      worth += pv_recent_count (recent, 9);
      g_assert_false (i < PV_RECENT_TRIGGER / 2 && pv_recent_count (recent, 10));
    }
  g_assert_cmpuint (worth, ==, 3);
}

typedef struct
{
  Fixture fixture;
  guint n_given;
  guint32 given; /* the pack, last */
} Case;

static void
give (guint32 number, PvIndexTakeFunc take, gpointer take_data, gpointer data)
{
  Case *self = data;

  for (guint i = 0; i < 1000; i++)
    {
      PvIndexEntry entry = { make_name ((number - 1) * 1000 + i), { number, i / 32, i % 32 } };

      take (&entry, 1, take_data);
    }
  self->n_given++;
  self->given = number;
}

/* A pack that is hit often is read once, and never found again when it is gone. */
static void
test_source (void)
{
  Case self = { .n_given = 0 };
  g_auto(Writing) writing = { NULL, PV_FD_NONE };
  g_auto(Writing) later = { NULL, PV_FD_NONE };
  g_autoptr(GArray) retired = NULL;
  g_autoptr(GError) error = NULL;
  guint32 packs[2];
  PvPackRow row;
  guint64 epoch;

  set_up (&self.fixture, NULL);
  pv_index_set_pack_source (self.fixture.index, give, &self);
  writing = begin (&self.fixture);
  packs[0] = add_pack (&writing, 1, 0, 1000);
  packs[1] = add_pack (&writing, 2, 1000, 1000);
  commit_ok (&writing, NULL, NULL);
  later = begin (&self.fixture);
  for (guint i = 0; i < 1000; i++)
    {
      g_assert_cmpuint (writer_find (&later, i), ==, packs[0]);
      g_assert_cmpuint (find (self.fixture.index, i, NULL), ==, packs[0]);
    }
  g_assert_cmpuint (self.n_given, ==, 1);
  g_assert_cmpuint (self.given, ==, packs[0]);
  g_assert_cmpuint (writer_find (&later, 1500), ==, packs[1]);
  writing_clear (&later);

  g_assert_true (pv_index_condemn (self.fixture.index, packs, 1, &epoch, &error));
  later = begin (&self.fixture);
  g_assert_cmpuint (writer_find (&later, 500), ==, 0);
  g_assert_true (pv_index_retire (self.fixture.index, epoch, &retired, &error));
  g_assert_no_error (error);
  g_assert_false (pv_index_pack (self.fixture.index, packs[0], &row, &error));
  g_assert_cmpuint (find (self.fixture.index, 500, NULL), ==, 0);
  g_assert_cmpuint (find (self.fixture.index, 1500, NULL), ==, packs[1]);
  writing_clear (&later);
  tear_down (&self.fixture, NULL);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/recent/put", test_put);
  g_test_add_func ("/recent/put-again", test_put_again);
  g_test_add_func ("/recent/count", test_count);
  g_test_add_func ("/recent/source", test_source);
  return g_test_run ();
}
