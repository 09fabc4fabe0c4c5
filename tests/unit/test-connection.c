/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Against libvirt's own test driver, which lives in this process: no libvirtd is needed. */
#include "config.h"

#include <libvirt/virterror.h>
#include <string.h>

#include "virt/connection.h"

static void
test_refuses_other_drivers (void)
{
  g_autoptr(GError) error = NULL;

  g_assert_null (pv_connection_open ("test:///default", &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_UNSUPPORTED);
  g_assert_nonnull (strstr (error->message, "test:///default"));
}

static void
test_unreachable (void)
{
  g_autoptr(GError) error = NULL;

  g_assert_null (pv_connection_open ("qemu+unix:///system?socket=/nowhere/libvirt-sock", &error));
  g_assert_nonnull (error);
  g_assert_nonnull (strstr (error->message, "is libvirtd running"));
  g_assert_nonnull (strstr (error->message, "/nowhere/libvirt-sock"));
  g_assert_null (strchr (error->message, '\n'));
}

static void
test_bad_uri (void)
{
  g_autoptr(GError) error = NULL;

  g_assert_null (pv_connection_open ("no such uri", &error));
  g_assert_nonnull (error);
}

static void
test_uri_of_environment (void)
{
  g_autoptr(GError) error = NULL;

  g_setenv ("LIBVIRT_DEFAULT_URI", "test:///default", TRUE);
  g_assert_null (pv_connection_open (NULL, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_UNSUPPORTED);
  g_unsetenv ("LIBVIRT_DEFAULT_URI");
}

static void
assert_thrown (PvError code, const char *text)
{
  g_autoptr(GError) error = NULL;

  g_assert_false (pv_throw_libvirt (&error, "wanted %s", "this"));
  g_assert_error (error, PV_ERROR, (int) code);
  g_assert_true (g_str_has_prefix (error->message, "wanted this: "));
  g_assert_nonnull (strstr (error->message, text));
  g_assert_null (strchr (error->message, '\n'));
}

static void
test_errors (void)
{
  virConnectPtr test = virConnectOpen ("test:///default");
  virDomainPtr domain;
  virDomainBlockJobInfo info;

  g_assert_nonnull (test);
  g_assert_null (virDomainLookupByName (test, "no-such"));
  assert_thrown (PV_ERROR_NOT_FOUND, "Domain not found");
  g_assert_null (virDomainDefineXML (test, "<domain>\n</nothing>"));
  assert_thrown (PV_ERROR_INVALID, "mismatch");
  domain = virDomainLookupByName (test, "test");
  g_assert_nonnull (domain);
  g_assert_cmpint (virDomainGetBlockJobInfo (domain, "vda", &info, 0), <, 0);
  assert_thrown (PV_ERROR_UNSUPPORTED, "not supported");
  virDomainFree (domain);
  virConnectClose (test);
}

static void
test_no_error (void)
{
  g_autoptr(GError) error = NULL;

  virResetLastError ();
  g_assert_false (pv_throw_libvirt (&error, "wanted this"));
  g_assert_error (error, PV_ERROR, PV_ERROR_FAILED);
  g_assert_cmpstr (error->message, ==, "wanted this");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/connection/refuses-other-drivers", test_refuses_other_drivers);
  g_test_add_func ("/connection/unreachable", test_unreachable);
  g_test_add_func ("/connection/bad-uri", test_bad_uri);
  g_test_add_func ("/connection/uri-of-environment", test_uri_of_environment);
  g_test_add_func ("/connection/errors", test_errors);
  g_test_add_func ("/connection/no-error", test_no_error);
  return g_test_run ();
}
