/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "util/bytesize.h"

#include "util/error.h"

static void
test_parse (void)
{
  static const struct
  {
    const char *text;
    guint64 bytes;
  } cases[] = {
    { "0", 0 },
    { "4096", 4096 },
    { "4096B", 4096 },
    { "1k", 1024 },
    { "1K", 1024 },
    { "64MiB", 64ull << 20 },
    { "64MB", 64ull << 20 },
    { "2G", 2ull << 30 },
    { "2g", 2ull << 30 },
    { "1T", 1ull << 40 },
    { "16383P", 16383ull << 50 },
    { "18446744073709551615", G_MAXUINT64 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr(GError) error = NULL;
      guint64 bytes = 1;

      g_assert_true (pv_bytesize_parse (cases[i].text, &bytes, &error));
      g_assert_no_error (error);
      g_assert_cmpuint (bytes, ==, cases[i].bytes);
    }
}

static void
test_refuse (void)
{
  static const char *const cases[] = {
    "", " 1", "-1", "+1", "k", "MiB", "1x", "1 G", "1Gi B", "1KiBB", "1.5G", "0x10", "1iB", "1GG",
    "18446744073709551616", "16384P", "99999999999T",
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr(GError) error = NULL;
      guint64 bytes = 42;

      if (pv_bytesize_parse (cases[i], &bytes, &error))
        g_error ("'%s' was taken for %" G_GUINT64_FORMAT, cases[i], bytes);
      g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
      g_assert_cmpuint (bytes, ==, 42);
    }
}

static void
test_format (void)
{
  static const struct
  {
    guint64 bytes;
    const char *text;
  } cases[] = {
    { 0, "0 bytes" },
    { 1023, "1023 bytes" },
    { 4096, "4.0 KiB" },
    { (312ull << 20) + (400ull << 10), "312.4 MiB" },
    { 8ull << 30, "8.0 GiB" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *text = pv_bytesize_format (cases[i].bytes);

      g_assert_cmpstr (text, ==, cases[i].text);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/bytesize/parse", test_parse);
  g_test_add_func ("/bytesize/refuse", test_refuse);
  g_test_add_func ("/bytesize/format", test_format);
  return g_test_run ();
}
