/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "util/snapshot-name.h"

#include <string.h>

#include "util/error.h"

static void
test_good (void)
{
  static const struct
  {
    const char *full, *domain, *name;
  } cases[] = {
    { "web1@before-upgrade", "web1", "before-upgrade" },
    { "a@b", "a", "b" },
    { "my guest@two words", "my guest", "two words" },
    { "-dash@a-b", "-dash", "a-b" },
    { ".hidden@x.y", ".hidden", "x.y" },
    { "g\303\244st@\347\211\210", "g\303\244st", "\347\211\210" },
    { "web1@2026-11-21T08:51:22", "web1", "2026-11-21T08:51:22" },
    { "back\\slash@%n$(x)`y`", "back\\slash", "%n$(x)`y`" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *domain = NULL, *name = NULL;
      g_autoptr(GError) error = NULL;

      g_assert_true (pv_snapshot_name_parse (cases[i].full, &domain, &name, &error));
      g_assert_no_error (error);
      g_assert_cmpstr (domain, ==, cases[i].domain);
      g_assert_cmpstr (name, ==, cases[i].name);
      g_assert_true (pv_snapshot_name_parse (cases[i].full, NULL, NULL, NULL));
    }
}

static void
test_hostile (void)
{
  static const char *const cases[] = {
    "",
    "@",
    "web1",
    "web1@",
    "@name",
    "../x",
    "../x@a",
    "..@a",
    ".@a",
    "web1@../x",
    "web1@..",
    "web1@.",
    "web1@.hidden",
    "web1@-f",
    "/etc/passwd@a",
    "web1@/etc/passwd",
    "web1@a/b",
    "web1@a@b",
    "we@b1@a",
    "web1@new\nline",
    "web1\n@a",
    "web1@bell\a",
    "web1@escape\033[31m",
    "web1@tab\tbed",
    "web1@delete\177",
    "web1@c1\302\205control",
    "web1@ leading",
    "web1@trailing ",
    "web1@double  space",
    "web1@ ",
    "web1@no-break\302\240space",
    "web1@wide\343\200\200space",
    "web1@right-to-left\342\200\256override",
    "web1@zero\342\200\213width",
    "web1@latin\344",
    "web1@cut\303",
    "web1@surrogate\355\240\200",
    "web1@overlong\300\257",
    "w\377eb@a",
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *domain = NULL, *name = NULL;
      g_autoptr(GError) error = NULL;

      if (pv_snapshot_name_parse (cases[i], &domain, &name, &error))
        g_error ("case %u was taken", i);
      g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
      g_assert_null (domain);
      g_assert_null (name);
      /* What is shown to the user cannot drive his terminal. */
      g_assert_true (g_utf8_validate (error->message, -1, NULL));
      for (const char *at = error->message; *at != '\0'; at = g_utf8_next_char (at))
        g_assert_true (g_unichar_isprint (g_utf8_get_char (at)));
    }
}

static void
test_lengths (void)
{
  for (guint length = 1; length <= 300; length++)
    {
      g_autofree char *text = g_strnfill (length, 'x');
      g_autoptr(GError) error = NULL;

      g_assert_cmpint (pv_domain_name_check (text, NULL), ==, length <= PV_DOMAIN_NAME_MAX);
      g_assert_cmpint (pv_snapshot_name_check (text, &error), ==, length <= PV_SNAPSHOT_NAME_MAX);
      if (error != NULL)
        g_assert_cmpuint (strlen (error->message), <, 500);
    }
}

static void
test_escape (void)
{
  g_autofree char *escaped = pv_escape_for_message ("a\n\033[1m\377b\342\200\256\303\244");
  g_autofree char *megabyte = g_strnfill (1 << 20, 'x');
  g_autofree char *cut = pv_escape_for_message (megabyte);

  g_assert_cmpstr (escaped, ==, "a\\x0a\\x1b[1m\\xffb\\u202e\303\244");
  g_assert_cmpuint (strlen (cut), <=, 310);
  g_assert_true (g_str_has_suffix (cut, "..."));
}

static void
test_now (void)
{
  g_autofree char *name = pv_snapshot_name_now ();
  g_autoptr(GError) error = NULL;

  g_assert_true (pv_snapshot_name_check (name, &error));
  g_assert_no_error (error);
  g_assert_true (g_regex_match_simple ("^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d$", name, 0, 0));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/snapshot-name/good", test_good);
  g_test_add_func ("/snapshot-name/hostile", test_hostile);
  g_test_add_func ("/snapshot-name/lengths", test_lengths);
  g_test_add_func ("/snapshot-name/escape", test_escape);
  g_test_add_func ("/snapshot-name/now", test_now);
  return g_test_run ();
}
