/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "remote/s3-credentials.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "util/error.h"
#include "util/file.h"

#define SECRET "wJalrXUtnFEMI/K7MDENG"

static const char *const variables[] = { "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
                                         "AWS_SHARED_CREDENTIALS_FILE", "AWS_PROFILE" };

typedef struct
{
  char *directory; /* also HOME (owned) */
  char *file;      /* (owned) */
} Fixture;

static void
set_up (Fixture *self, gconstpointer data)
{
  const char *text = "# a comment\n[default]\naws_access_key_id = one\naws_secret_access_key = " SECRET "=\n"
                     "region = eu-west-1\n[other]\naws_access_key_id=two\naws_secret_access_key=second\n"
                     "aws_session_token=token\n[half]\naws_access_key_id=three\n";

  self->directory = g_dir_make_tmp ("pagevault-test-XXXXXX", NULL);
  self->file = g_build_filename (self->directory, "credentials", NULL);
  g_assert_true (pv_write_file (self->file, text, strlen (text), NULL));
  for (guint i = 0; i < G_N_ELEMENTS (variables); i++)
    g_unsetenv (variables[i]);
}

static void
tear_down (Fixture *self, gconstpointer data)
{
  g_assert_true (pv_remove_tree (self->directory, NULL));
  g_free (self->directory);
  g_free (self->file);
}

static void
assert_found (const PvRemoteOptions *options, const char *access_key, const char *secret_key, const char *token)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(PvS3Credentials) found = pv_s3_credentials_find (options, &error);

  g_assert_no_error (error);
  g_assert_cmpstr (found->access_key, ==, access_key);
  g_assert_cmpstr (found->secret_key, ==, secret_key);
  g_assert_cmpstr (found->session_token, ==, token);
  g_assert_null (strstr (found->source, "wJalr"));
}

static void
assert_refused (const PvRemoteOptions *options, int code)
{
  g_autoptr(GError) error = NULL;

  g_assert_null (pv_s3_credentials_find (options, &error));
  g_assert_error (error, PV_ERROR, code);
  g_assert_null (strstr (error->message, "wJalr"));
}

/* Each source hides those behind it. */
static void
test_order (Fixture *self, gconstpointer data)
{
  PvRemoteOptions nothing = { 0 }, from_file = { .credentials_file = self->file };
  PvRemoteOptions given = { .credentials_file = self->file, .access_key = "mine", .secret_key = "secret" };

  g_setenv ("AWS_SHARED_CREDENTIALS_FILE", self->file, TRUE);
  assert_found (&nothing, "one", SECRET "=", NULL);
  g_setenv ("AWS_PROFILE", "other", TRUE);
  assert_found (&nothing, "two", "second", "token");
  g_setenv ("AWS_ACCESS_KEY_ID", "env", TRUE);
  g_setenv ("AWS_SECRET_ACCESS_KEY", "envsecret", TRUE);
  assert_found (&nothing, "env", "envsecret", NULL);
  g_setenv ("AWS_SESSION_TOKEN", "envtoken", TRUE);
  assert_found (&nothing, "env", "envsecret", "envtoken");
  assert_found (&from_file, "two", "second", "token");
  from_file.profile = "default";
  assert_found (&from_file, "one", SECRET "=", NULL);
  assert_found (&given, "mine", "secret", NULL);
}

static void
test_refused (Fixture *self, gconstpointer data)
{
  PvRemoteOptions nothing = { 0 }, from_file = { .credentials_file = self->file };
  PvRemoteOptions half = { .access_key = "mine" }, odd = { .access_key = "a", .secret_key = SECRET "\r\nHost: x" };

  assert_refused (&half, PV_ERROR_INVALID);
  assert_refused (&odd, PV_ERROR_INVALID);
  from_file.profile = "nobody";
  assert_refused (&from_file, PV_ERROR_INVALID);
  from_file.profile = "half";
  assert_refused (&from_file, PV_ERROR_INVALID);
  from_file.profile = NULL;
  g_assert_cmpint (g_chmod (self->file, 0644), ==, 0);
  assert_refused (&from_file, PV_ERROR_DENIED);
  g_assert_cmpint (g_chmod (self->file, 0600), ==, 0);
  g_assert_true (pv_write_file (self->file, SECRET "\n[", 23, NULL));
  assert_refused (&from_file, PV_ERROR_INVALID);
  g_assert_true (pv_unlink (self->file, NULL));
  assert_refused (&from_file, PV_ERROR_NOT_FOUND);
  g_setenv ("AWS_ACCESS_KEY_ID", "env", TRUE);
  assert_refused (&nothing, PV_ERROR_INVALID);
}

/* ~/.aws/credentials, when nothing else says. */
static void
test_home (Fixture *self, gconstpointer data)
{
  g_autofree char *folder = g_build_filename (g_get_home_dir (), ".aws", NULL);
  g_autofree char *path = g_build_filename (folder, "credentials", NULL);
  PvRemoteOptions nothing = { 0 };

  assert_refused (&nothing, PV_ERROR_DENIED);
  g_assert_true (pv_mkdirs (folder, 0700, NULL));
  g_assert_true (pv_write_file (path, "[default]\naws_access_key_id=h\naws_secret_access_key=home\n", 57, NULL));
  assert_found (&nothing, "h", "home", NULL);
  g_assert_true (pv_remove_tree (folder, NULL));
}

static char *
read_secret (const char *uuid, gpointer data, GError **error)
{
  if (data == NULL)
    pv_throw (error, PV_ERROR_NOT_FOUND, "there is no secret '%s'", uuid);
  return g_strdup (data);
}

static void
test_secret (Fixture *self, gconstpointer data)
{
  PvRemoteOptions options = { .secret = "uuid", .credentials_file = self->file };
  char value[] = "account:user:" SECRET "\n", no_colon[] = SECRET;

  assert_refused (&options, PV_ERROR_DENIED);
  pv_remote_set_secret_reader (read_secret, value);
  assert_found (&options, "account:user", SECRET, NULL);
  pv_remote_set_secret_reader (read_secret, no_colon);
  assert_refused (&options, PV_ERROR_INVALID);
  pv_remote_set_secret_reader (read_secret, NULL);
  assert_refused (&options, PV_ERROR_NOT_FOUND);
  pv_remote_set_secret_reader (NULL, NULL);
}

int
main (int argc, char **argv)
{
  g_autofree char *home = g_dir_make_tmp ("pagevault-home-XXXXXX", NULL);
  int status;

  g_setenv ("HOME", home, TRUE);
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/s3-credentials/order", Fixture, NULL, set_up, test_order, tear_down);
  g_test_add ("/s3-credentials/refused", Fixture, NULL, set_up, test_refused, tear_down);
  g_test_add ("/s3-credentials/home", Fixture, NULL, set_up, test_home, tear_down);
  g_test_add ("/s3-credentials/secret", Fixture, NULL, set_up, test_secret, tear_down);
  status = g_test_run ();
  g_rmdir (home);
  return status;
}
