/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What can be said without a server; the rest is in tests/fault/test-remote-*. */
#include "config.h"

#include "remote/s3-client.h"

#include <string.h>

#include "util/error.h"

static PvRemote *
open_with (const char *url, const char *endpoint, const char *region, GError **error)
{
  PvRemoteOptions options = { .endpoint = endpoint, .region = region, .access_key = "a", .secret_key = "s3cr3t" };

  return pv_remote_open (url, &options, error);
}

static void
test_urls (void)
{
  static const char *const good[][2] = { { "s3://bucket", "s3://bucket" },
                                         { "s3://bucket/", "s3://bucket" },
                                         { "s3://b.u-c_k3t/a/b/", "s3://b.u-c_k3t/a/b" } };
  static const char *const bad[] = { "s3://",         "s3:///x",        "s3://ab",          "s3://bucket//",
                                     "s3://bucket/a//b", "s3://bucket/..", "s3://-bucket",     "s3://b..t/",
                                     "s3://bucket?x", "s3://user@host", "s3://bucket/a%2fb", "s3://bucket:80/x" };

  for (guint i = 0; i < G_N_ELEMENTS (good); i++)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(PvRemote) remote = open_with (good[i][0], NULL, NULL, &error);

      g_assert_no_error (error);
      g_assert_cmpstr (pv_remote_url (remote), ==, good[i][1]);
    }
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr(GError) error = NULL;

      g_assert_null (open_with (bad[i], NULL, NULL, &error));
      g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
    }
}

static void
test_endpoints (void)
{
  static const char *const good[] = { "https://s3.example.org", "http://127.0.0.1:8000/", "https://[::1]:9000" };
  static const char *const bad[] = { "",
                                     "s3.example.org",
                                     "ftp://s3.example.org",
                                     "https://",
                                     "https://user:s3cr3t@s3.example.org",
                                     "https://s3.example.org/path",
                                     "https://s3.example.org/?x=y",
                                     "https://s3.example.org#x",
                                     "https://s3.exam ple.org",
                                     "https://x\r\nHost: y/",
                                     "file:///etc/passwd" };

  for (guint i = 0; i < G_N_ELEMENTS (good); i++)
    {
      g_autoptr(GError) error = NULL;
      g_autoptr(PvRemote) remote = open_with ("s3://bucket", good[i], NULL, &error);

      g_assert_no_error (error);
    }
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr(GError) error = NULL;

      g_assert_null (open_with ("s3://bucket", bad[i], NULL, &error));
      g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
      g_assert_null (strstr (error->message, "s3cr3t"));
    }
}

static void
test_regions (void)
{
  static const char *const bad[] = { "", "eu west", "eu:west", "eu/west", "r\n" };
  g_autoptr(GError) good_error = NULL;
  g_autoptr(PvRemote) good = open_with ("s3://bucket", NULL, "eu-west-1", &good_error);

  g_assert_no_error (good_error);
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr(GError) error = NULL;

      g_assert_null (open_with ("s3://bucket", NULL, bad[i], &error));
      g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
    }
}

static void
test_options (void)
{
  static const PvRemoteOptions bad[] = {
    { .access_key = "a", .secret_key = "s", .part_size = (5 << 20) - 1 },
    { .access_key = "a", .secret_key = "s", .part_size = (G_GUINT64_CONSTANT (1) << 30) + 1 },
    { .access_key = "a", .secret_key = "s", .ca_file = "/no/such/file" },
    { .access_key = "a" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr(GError) error = NULL;

      g_assert_null (pv_remote_open ("s3://bucket", &bad[i], &error));
      g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
    }
}

/* An endpoint at which nobody listens is said to be that at once, without trying again. */
static void
test_nobody (void)
{
  PvRemoteOptions options = { .endpoint = "http://127.0.0.1:1", .access_key = "a", .secret_key = "s3cr3t",
                              .pause_ms = 3600000, .max_tries = 100 };
  g_autoptr(GError) error = NULL;
  g_autoptr(PvRemote) remote = pv_remote_open ("s3://bucket", &options, &error);

  g_assert_no_error (error);
  g_assert_false (pv_remote_stat (remote, "key", NULL, NULL, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_UNREACHABLE);
  g_assert_nonnull (strstr (error->message, "http://127.0.0.1:1"));
  g_assert_null (strstr (error->message, "s3cr3t"));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/s3-client/urls", test_urls);
  g_test_add_func ("/s3-client/endpoints", test_endpoints);
  g_test_add_func ("/s3-client/regions", test_regions);
  g_test_add_func ("/s3-client/options", test_options);
  g_test_add_func ("/s3-client/nobody", test_nobody);
  return g_test_run ();
}
