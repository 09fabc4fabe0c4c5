/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "util/error.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static void
test_corrupt (void)
{
  g_autoptr(GError) error = NULL;

  g_assert_false (pv_corrupt (&error, "frame %u of %s", 3u, "a pack"));
  g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
  g_assert_cmpstr (error->message, ==, "frame 3 of a pack");
}

static void
test_throw (void)
{
  g_autoptr(GError) error = NULL;

  g_assert_false (pv_throw (&error, PV_ERROR_BUSY, "%s", "somebody else has it: 100%"));
  g_assert_error (error, PV_ERROR, PV_ERROR_BUSY);
  g_assert_cmpstr (error->message, ==, "somebody else has it: 100%");
}

/* The code is the decision that a caller takes. */
static void
test_errno (void)
{
  static const struct
  {
    int errnum;
    int code;
  } cases[] = {
    { ENOSPC, PV_ERROR_NO_SPACE }, { EDQUOT, PV_ERROR_NO_SPACE }, { ENOENT, PV_ERROR_NOT_FOUND },
    { EEXIST, PV_ERROR_EXISTS },   { EACCES, PV_ERROR_DENIED },   { EPERM, PV_ERROR_DENIED },
    { EIO, PV_ERROR_FAILED },      { EINVAL, PV_ERROR_FAILED },
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *expected = g_strdup_printf ("cannot write 'x': %s", g_strerror (cases[i].errnum));
      gsize length = strlen (expected);
      g_autoptr(GError) error = NULL;

      g_assert_false (pv_throw_errno (&error, cases[i].errnum, "cannot write '%s'", "x"));
      g_assert_error (error, PV_ERROR, cases[i].code);
      g_assert_cmpmem (error->message, MIN (strlen (error->message), length), expected, length);
    }
}

/* Somebody else is told who could. */
static void
test_denied (void)
{
  g_autoptr(GError) error = NULL;
  uid_t before = geteuid ();

  if (before == 0 && seteuid (65534) < 0)
    g_error ("cannot become somebody else: %s", g_strerror (errno));
  pv_throw_errno (&error, EACCES, "cannot write 'x'");
  if (seteuid (before) < 0)
    g_error ("cannot become root again: %s", g_strerror (errno));
  g_assert_true (g_str_has_suffix (error->message, ": try it as root (sudo)"));
}

static void
test_nobody_asks (void)
{
  g_assert_false (pv_corrupt (NULL, "%s", "x"));
  g_assert_false (pv_throw_errno (NULL, EIO, "%s", "x"));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/error/corrupt", test_corrupt);
  g_test_add_func ("/error/throw", test_throw);
  g_test_add_func ("/error/errno", test_errno);
  g_test_add_func ("/error/denied", test_denied);
  g_test_add_func ("/error/nobody-asks", test_nobody_asks);
  return g_test_run ();
}
