/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "remote/remote-place.h"

#include <string.h>

#include "util/error.h"
#include "util/file.h"

typedef struct
{
  char *directory; /* (owned) */
  char *path;      /* (owned) */
} Fixture;

static void
set_up (Fixture *self, gconstpointer data)
{
  self->directory = g_dir_make_tmp ("pagevault-test-XXXXXX", NULL);
  self->path = g_build_filename (self->directory, "place", NULL);
}

static void
tear_down (Fixture *self, gconstpointer data)
{
  g_assert_true (pv_remove_tree (self->directory, NULL));
  g_free (self->directory);
  g_free (self->path);
}

/* What is kept comes back; what is secret is not kept. */
static void
test_round_trip (Fixture *self, gconstpointer data)
{
  PvRemoteOptions options = { .endpoint = "https://s3.example.org", .region = "eu-1", .ca_file = "/ca; # x.pem",
                              .addressing = PV_REMOTE_ADDRESS_VIRTUAL, .secret = "0000-1",
                              .credentials_file = "/a/../b\n", .profile = " \\other", .access_key = "hidden",
                              .secret_key = "hidden", .session_token = "hidden" };
  g_autoptr(PvRemotePlace) place = pv_remote_place_new ("s3://bucket/pre", &options);
  g_autoptr(PvRemotePlace) bare = pv_remote_place_new ("file:///x", NULL), back = NULL, bare_back = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *text = NULL;

  g_assert_true (pv_remote_place_write (place, self->path, &error));
  g_assert_true (g_file_get_contents (self->path, &text, NULL, NULL));
  g_assert_null (strstr (text, "hidden"));
  back = pv_remote_place_read (self->path, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (back->url, ==, "s3://bucket/pre");
  g_assert_cmpstr (back->endpoint, ==, options.endpoint);
  g_assert_cmpstr (back->region, ==, options.region);
  g_assert_cmpstr (back->ca_file, ==, options.ca_file);
  g_assert_cmpstr (back->secret, ==, options.secret);
  g_assert_cmpstr (back->credentials_file, ==, "/b\n");
  g_assert_cmpstr (back->profile, ==, options.profile);
  g_assert_cmpint (back->addressing, ==, PV_REMOTE_ADDRESS_VIRTUAL);
  g_assert_true (pv_remote_place_write (bare, self->path, &error));
  bare_back = pv_remote_place_read (self->path, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (bare_back->url, ==, "file:///x");
  g_assert_null (bare_back->endpoint);
  g_assert_cmpint (bare_back->addressing, ==, PV_REMOTE_ADDRESS_AUTO);
}

static void
test_refused (Fixture *self, gconstpointer data)
{
  static const char *const texts[] = { "", "nonsense", "[remote]\nregion=x\n",
                                       "[remote]\nurl=file:///x\naddressing=7\n" };
  g_autoptr(GError) missing = NULL;

  g_assert_null (pv_remote_place_read (self->path, &missing));
  g_assert_error (missing, PV_ERROR, PV_ERROR_NOT_FOUND);
  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autoptr(GError) error = NULL;

      g_assert_true (pv_write_file (self->path, texts[i], strlen (texts[i]), NULL));
      g_assert_null (pv_remote_place_read (self->path, &error));
      g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
    }
}

static void
test_open (Fixture *self, gconstpointer data)
{
  g_autofree char *url = g_strconcat ("file://", self->directory, NULL);
  g_autoptr(PvRemotePlace) place = pv_remote_place_new (url, NULL), wrong = pv_remote_place_new ("x://", NULL);
  g_autoptr(GError) error = NULL;
  g_autoptr(PvRemote) remote = pv_remote_place_open (place, 0, &error);

  g_assert_no_error (error);
  g_assert_cmpstr (pv_remote_url (remote), ==, url);
  g_assert_null (pv_remote_place_open (wrong, 0, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_UNSUPPORTED);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/remote-place/round-trip", Fixture, NULL, set_up, test_round_trip, tear_down);
  g_test_add ("/remote-place/refused", Fixture, NULL, set_up, test_refused, tear_down);
  g_test_add ("/remote-place/open", Fixture, NULL, set_up, test_open, tear_down);
  return g_test_run ();
}
