/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "capture/ram-map.h"

#include "ram-fixture.h"
#include "util/error.h"

static void
expect (PvError code, const char *ramblock, const char *first)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(PvRamMap) map = pv_ram_map_find (ramblock, first, getpid (), &error);

  g_assert_null (map);
  g_assert_error (error, PV_ERROR, (gint) code);
}

static void
test_found (void)
{
  List list;
  g_autoptr(GError) error = NULL;
  g_autoptr(PvRamMap) map = NULL;
  g_autofree char *first = NULL;

  list_set_up (&list);
  first = g_strdup_printf ("Host virtual address for 0x0 (pc.ram) is %p\r\n", (gpointer) list.memory);
  map = pv_ram_map_find (told, first, getpid (), &error);
  g_assert_no_error (error);
  g_assert_cmpuint (pv_ram_map_n_blocks (map), ==, 2);
  g_assert_cmpstr (pv_ram_map_block (map, 0)->name, ==, "pc.ram");
  g_assert_cmpuint (pv_ram_map_block (map, 0)->address, ==, (guint64) (gsize) list.memory);
  g_assert_cmpuint (pv_ram_map_block (map, 1)->address, ==, (guint64) (gsize) list.memory + TABLES_AT);
  g_assert_cmpuint (pv_ram_map_block (map, 1)->size, ==, TABLES_BYTES);
  g_assert_cmpuint (pv_ram_map_total (map), ==, RAM_BYTES + TABLES_BYTES);
  g_assert_true (pv_ram_map_equal (map, map));
  g_assert_true (pv_ram_map_check (map, &error));
  list.blocks[1]->used = 0x3000;
  g_assert_false (pv_ram_map_check (map, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_BUSY);
  list_tear_down (&list);
}

/* A list that is not the one told is none. */
static void
test_other_lists (void)
{
  List list;
  g_autofree char *elsewhere = NULL;

  list_set_up (&list);
  elsewhere = g_strdup_printf ("Host virtual address for 0x0 (pc.ram) is %p", (gpointer) (list.memory + PAGE));
  expect (PV_ERROR_UNSUPPORTED, told, elsewhere);
  expect (PV_ERROR_UNSUPPORTED, "no blocks", NULL);
  list.head = NULL; /* nothing points to the first */
  expect (PV_ERROR_UNSUPPORTED, told, NULL);
  list.head = list.blocks[0];
  list.blocks[2]->next = list.blocks[0]; /* no end */
  expect (PV_ERROR_UNSUPPORTED, told, NULL);
  list.blocks[2]->next = NULL;
  list.blocks[2]->previous = &list.head; /* not linked back */
  expect (PV_ERROR_UNSUPPORTED, told, NULL);
  list.blocks[2]->previous = &list.blocks[1]->next;
  g_strlcpy (list.blocks[1]->name, "other", sizeof list.blocks[1]->name);
  expect (PV_ERROR_UNSUPPORTED, told, NULL);
  list_tear_down (&list);
}

static void
test_other_memory (void)
{
  List list;
  g_autofree char *huge = g_strdup (told);

  list_set_up (&list);
  memcpy (strstr (huge, "4 KiB"), "2 MiB", 5);
  expect (PV_ERROR_UNSUPPORTED, huge, NULL);
  list.blocks[0]->flags |= SHARED;
  expect (PV_ERROR_UNSUPPORTED, told, NULL);
  list.blocks[0]->flags = MIGRATABLE;
  g_assert_true (mmap (list.memory, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
                 == list.memory);
  expect (PV_ERROR_UNSUPPORTED, told, NULL);
  munmap (list.memory, PAGE);
  expect (PV_ERROR_INVALID, told, NULL);
  list_tear_down (&list);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/ram-map/found", test_found);
  g_test_add_func ("/ram-map/other-lists", test_other_lists);
  g_test_add_func ("/ram-map/other-memory", test_other_memory);
  return g_test_run ();
}
