/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/image-layout.h"

#include "util/error.h"

static void
test_round_trip (void)
{
  const PvImageRun runs[] = {
    { .residue = 120000, .count = 1, .offset = 0, .block = 0, .source = PV_IMAGE_SOURCE_RAM },
    { .residue = 8, .count = 4000000000u, .offset = 1ull << 40, .block = 4095, .source = PV_IMAGE_SOURCE_RAM },
    { .residue = 0, .count = 7, .offset = 8192, .block = 0, .source = PV_IMAGE_SOURCE_PAGES },
    { .residue = 99, .count = 0, .offset = 0, .block = 0, .source = PV_IMAGE_SOURCE_NONE },
  };
  g_autoptr(GByteArray) bytes = g_byte_array_new ();
  PvCursor cursor;

  for (guint i = 0; i < G_N_ELEMENTS (runs); i++)
    pv_image_run_append (&runs[i], bytes);
  g_assert_cmpuint (bytes->len, ==, G_N_ELEMENTS (runs) * PV_IMAGE_RUN_SIZE);
  cursor = (PvCursor) PV_CURSOR_INIT (bytes->data, bytes->len);
  for (guint i = 0; i < G_N_ELEMENTS (runs); i++)
    {
      g_autoptr(GError) error = NULL;
      PvImageRun run;

      g_assert_true (pv_image_run_read (&run, &cursor, &error));
      g_assert_no_error (error);
      g_assert_cmpuint (run.residue, ==, runs[i].residue);
      g_assert_cmpuint (run.count, ==, runs[i].count);
      g_assert_cmpuint (run.offset, ==, runs[i].offset);
      g_assert_cmpuint (run.block, ==, runs[i].block);
      g_assert_cmpuint (run.source, ==, runs[i].source);
    }
}

static void
test_impossible (void)
{
  const PvImageRun runs[] = {
    { .residue = PV_IMAGE_RESIDUE_MAX + 1, .count = 1 },
    { .residue = 8, .count = 0, .source = PV_IMAGE_SOURCE_RAM },
    { .residue = 8, .count = 1, .source = PV_IMAGE_SOURCE_NONE },
    { .residue = 8, .count = 1, .source = PV_IMAGE_SOURCE_ZERO },
    { .residue = 8, .count = 1, .source = 17 },
  };

  for (guint i = 0; i <= G_N_ELEMENTS (runs); i++)
    {
      g_autoptr(GByteArray) bytes = g_byte_array_new ();
      g_autoptr(GError) error = NULL;
      PvCursor cursor;
      PvImageRun run;

      pv_image_run_append (&runs[MIN (i, G_N_ELEMENTS (runs) - 1)], bytes);
      if (i == G_N_ELEMENTS (runs))
        g_byte_array_set_size (bytes, PV_IMAGE_RUN_SIZE - 1);
      cursor = (PvCursor) PV_CURSOR_INIT (bytes->data, bytes->len);
      g_assert_false (pv_image_run_read (&run, &cursor, &error));
      g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
    }
}

static void
test_merge (void)
{
  PvImageRun run = { .residue = 8, .count = 2, .offset = 4096, .block = 1 };
  PvImageRun next = { .residue = 8, .count = 3, .offset = 12288, .block = 1 };
  PvImageRun other = next;

  g_assert_true (pv_image_run_merge (&run, &next, 4096));
  g_assert_cmpuint (run.count, ==, 5);
  g_assert_cmpuint (run.offset, ==, 4096);
  other = (PvImageRun) { .residue = 8, .count = 1, .offset = 4096 + 5 * 4096, .block = 1 };
  next = other;
  next.residue = 17;
  g_assert_false (pv_image_run_merge (&run, &next, 4096));
  next = other;
  next.block = 0;
  g_assert_false (pv_image_run_merge (&run, &next, 4096));
  next = other;
  next.offset += 4096;
  g_assert_false (pv_image_run_merge (&run, &next, 4096));
  next = other;
  next.source = PV_IMAGE_SOURCE_PAGES;
  g_assert_false (pv_image_run_merge (&run, &next, 4096));
  g_assert_true (pv_image_run_merge (&run, &other, 4096));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/image-layout/round-trip", test_round_trip);
  g_test_add_func ("/image-layout/impossible", test_impossible);
  g_test_add_func ("/image-layout/merge", test_merge);
  return g_test_run ();
}
