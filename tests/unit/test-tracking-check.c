/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "capture/tracking-check.h"

#include "ram-fixture.h"
#include "store-fixture.h"

/* This process watches itself: half of its first block is noise, the rest was never touched. */
typedef struct
{
  List list;
  PvRamMap *map;
  PvTrackingCheck *check;
  guint n_ticks;
} Guest;

static void
set_up (Guest *guest)
{
  g_autoptr(GError) error = NULL;

  *guest = (Guest){ 0 };
  list_set_up (&guest->list);
  guest->map = list_map ();
  fill_random (guest->list.memory, RAM_BYTES / 2, 1);
  guest->check = pv_tracking_check_new (guest->map, &error);
  g_assert_no_error (error);
}

static void
tear_down (Guest *guest)
{
  pv_tracking_check_free (guest->check);
  pv_ram_map_free (guest->map);
  list_tear_down (&guest->list);
}

/* @bytes: NULL: zeros. */
static void
note (Guest *guest, guint block, guint64 offset, guint64 size, const guint8 *bytes)
{
  g_autoptr(PvRamPages) pages = pv_ram_pages_new (PAGE);
  PvRamPiece piece = { block, offset, size, bytes };

  g_array_append_val (pages->pieces, piece);
  pv_tracking_check_note (guest->check, pages);
}

static void
count_tick (gpointer data)
{
  ((Guest *) data)->n_ticks++;
}

static gboolean
compare (Guest *guest, GError **error)
{
  return pv_tracking_check_compare (guest->check, getpid (), count_tick, guest, error);
}

static void
expect_corrupt (Guest *guest, const char *n_pages, const char *first)
{
  g_autoptr(GError) error = NULL;

  g_assert_false (compare (guest, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
  g_assert_true (g_str_has_prefix (error->message, n_pages));
  g_assert_nonnull (strstr (error->message, first));
}

/* What was noted last counts. */
static void
test_same (void)
{
  Guest guest;
  g_autoptr(GError) error = NULL;
  g_autofree guint8 *older = g_malloc0 (PAGE);

  set_up (&guest);
  memset (guest.list.memory + TABLES_AT, 3, TABLES_BYTES);
  note (&guest, 0, 5 * PAGE, PAGE, older);
  note (&guest, 0, 0, RAM_BYTES / 2, guest.list.memory);
  note (&guest, 1, 0, TABLES_BYTES, guest.list.memory + TABLES_AT);
  note (&guest, 0, RAM_BYTES - PAGE, PAGE, guest.list.memory);
  note (&guest, 0, RAM_BYTES - PAGE, PAGE, NULL);
  compare (&guest, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (guest.n_ticks, >=, RAM_BYTES >> 20);
  tear_down (&guest);
}

/* Every byte counts, in every block. */
static void
test_unseen (void)
{
  Guest guest;

  set_up (&guest);
  note (&guest, 0, 0, RAM_BYTES / 2, guest.list.memory);
  guest.list.memory[RAM_BYTES - 1]++;
  expect_corrupt (&guest, "1 pages ", "block pc.ram, offset 0x8ff000:");
  guest.list.memory[0x300000 + 4095]++;
  guest.list.memory[TABLES_AT + PAGE]++;
  expect_corrupt (&guest, "3 pages ", "block pc.ram, offset 0x300000:");
  note (&guest, 0, 0x300000, PAGE, guest.list.memory + 0x300000);
  note (&guest, 0, RAM_BYTES - PAGE, PAGE, guest.list.memory + RAM_BYTES - PAGE);
  expect_corrupt (&guest, "1 pages ", "block /rom@etc/acpi/tables, offset 0x1000:");
  tear_down (&guest);
}

/* A page that was told to be zero and is not. */
static void
test_zero (void)
{
  Guest guest;

  set_up (&guest);
  note (&guest, 0, 0, RAM_BYTES / 2, guest.list.memory);
  note (&guest, 0, 7 * PAGE, PAGE, NULL);
  expect_corrupt (&guest, "1 pages ", "block pc.ram, offset 0x7000:");
  tear_down (&guest);
}

/* Pages that the snapshot before is said to have are compared with what it has. */
static void
test_kept (void)
{
  Guest guest;
  Fixture store = { 0 };
  g_autoptr(PvTxn) txn = NULL;
  g_autoptr(PvSnapshot) base = NULL;
  g_autoptr(GError) error = NULL;
  const PvRamPiece piece = { 0, PAGE, RAM_BYTES / 2 - PAGE, NULL };
  PvVolumeWriter *volume;

  set_up (&guest);
  fixture_setup (&store, NULL);
  txn = begin (&store, NULL, 0);
  volume = add_volume (txn, PV_VOLUME_RAM, "pc.ram", RAM_BYTES);
  write_all (volume, guest.list.memory, RAM_BYTES / 2);
  finish (volume);
  base = commit (txn, "guest", "base");
  note (&guest, 0, 0, PAGE, guest.list.memory);
  pv_tracking_check_note_kept (guest.check, store.store, base, &piece, &error);
  g_assert_no_error (error);
  compare (&guest, &error);
  g_assert_no_error (error);
  guest.list.memory[20 * PAGE + 100]++;
  expect_corrupt (&guest, "1 pages ", "block pc.ram, offset 0x14000:");
  fixture_teardown (&store, NULL);
  tear_down (&guest);
}

/* Memory that cannot be read is another matter than memory that differs. */
static void
test_gone (void)
{
  Guest guest;
  g_autoptr(GError) error = NULL;

  set_up (&guest);
  note (&guest, 0, 0, RAM_BYTES / 2, guest.list.memory);
  munmap (guest.list.memory + 9 * PAGE, PAGE);
  g_assert_false (compare (&guest, &error));
  g_assert_nonnull (error);
  g_assert_false (g_error_matches (error, PV_ERROR, PV_ERROR_CORRUPT));
  tear_down (&guest);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/tracking-check/same", test_same);
  g_test_add_func ("/tracking-check/unseen", test_unseen);
  g_test_add_func ("/tracking-check/zero", test_zero);
  g_test_add_func ("/tracking-check/kept", test_kept);
  g_test_add_func ("/tracking-check/gone", test_gone);
  return g_test_run ();
}
