/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/working-set.h"

#include "util/error.h"

static void
test_round_trip (void)
{
  const guint64 pages[] = { 5, 0, G_MAXUINT32 + 7ull };
  g_autoptr(GArray) set = g_array_new (FALSE, FALSE, sizeof (guint64));
  g_autoptr(GArray) again = NULL;
  g_autoptr(GBytes) bytes = NULL;
  g_autoptr(GError) error = NULL;

  g_array_append_vals (set, pages, G_N_ELEMENTS (pages));
  bytes = pv_working_set_serialize (set);
  g_assert_cmpuint (g_bytes_get_size (bytes), ==, 12 + 3 * 8);
  again = pv_working_set_parse (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), &error);
  g_assert_no_error (error);
  g_assert_cmpmem (again->data, again->len * sizeof (guint64), pages, sizeof pages);
}

static void
test_damaged (void)
{
  const guint64 page = 5;
  g_autoptr(GArray) set = g_array_new (FALSE, FALSE, sizeof (guint64));
  g_autoptr(GBytes) bytes = NULL;
  g_autofree guint8 *copy = NULL;
  gsize size;

  g_array_append_val (set, page);
  bytes = pv_working_set_serialize (set);
  copy = g_memdup2 (g_bytes_get_data (bytes, &size), g_bytes_get_size (bytes));
  for (gsize at = 0; at < 12; at++) /* every byte of the head counts */
    {
      g_autoptr(GError) error = NULL;

      copy[at] ^= 0x40;
      g_assert_null (pv_working_set_parse (copy, size, &error));
      g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
      copy[at] ^= 0x40;
    }
  for (gsize n = 0; n < size; n++)
    g_assert_null (pv_working_set_parse (copy, n, NULL));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/working-set/round-trip", test_round_trip);
  g_test_add_func ("/working-set/damaged", test_damaged);
  return g_test_run ();
}
