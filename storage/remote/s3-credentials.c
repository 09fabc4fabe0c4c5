/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "remote/s3-credentials.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "util/error.h"
#include "util/file.h"

#define FILE_SIZE_MAX (1u << 20)

static PvRemoteSecretReader secret_reader;
static gpointer secret_reader_data;

void
pv_remote_set_secret_reader (PvRemoteSecretReader reader, gpointer data)
{
  secret_reader = reader;
  secret_reader_data = data;
}

static void
wipe (char *secret)
{
  if (secret != NULL)
    explicit_bzero (secret, strlen (secret));
  g_free (secret);
}

void
pv_s3_credentials_free (PvS3Credentials *self)
{
  if (self == NULL)
    return;
  wipe (self->access_key);
  wipe (self->secret_key);
  wipe (self->session_token);
  g_free (self->source);
  g_free (self);
}

/* A line break or another control character would end up in a header. */
static gboolean
is_clean (const char *text)
{
  for (; text != NULL && *text != '\0'; text++)
    if (!g_ascii_isgraph (*text))
      return FALSE;
  return TRUE;
}

/* Copies the three; half a pair, or what cannot be a key, is INVALID. */
static PvS3Credentials *
take (const char *access_key, const char *secret_key, const char *session_token, const char *source, GError **error)
{
  PvS3Credentials *self;

  if (access_key == NULL || *access_key == '\0' || secret_key == NULL || *secret_key == '\0')
    {
      pv_throw (error, PV_ERROR_INVALID, "%s has only one half of the credentials: give access key and secret key",
                source);
      return NULL;
    }
  if (!is_clean (access_key) || !is_clean (secret_key) || !is_clean (session_token))
    {
      pv_throw (error, PV_ERROR_INVALID, "the credentials from %s have characters that no key has", source);
      return NULL;
    }
  self = g_new0 (PvS3Credentials, 1);
  self->access_key = g_strdup (access_key);
  self->secret_key = g_strdup (secret_key);
  self->session_token = session_token != NULL && *session_token != '\0' ? g_strdup (session_token) : NULL;
  self->source = g_strdup (source);
  return self;
}

/* The content of a file that only its owner can read; NULL with NOT_FOUND when there is none. */
static char *
read_private (const char *path, GError **error)
{
  g_auto(PvFd) fd = pv_openat (AT_FDCWD, path, O_RDONLY, 0, error);
  g_autofree char *text = NULL;
  struct stat st;
  gssize n;

  if (fd < 0)
    return NULL;
  if (fstat (fd, &st) < 0)
    {
      pv_throw_errno (error, errno, "cannot read '%s'", path);
      return NULL;
    }
  if (!S_ISREG (st.st_mode) || (st.st_mode & 077) != 0)
    {
      pv_throw (error, PV_ERROR_DENIED, "the credentials in '%s' are not used, because others can read them: "
                "chmod 600 '%s'", path, path);
      return NULL;
    }
  text = g_malloc (FILE_SIZE_MAX + 1);
  n = pv_read_full (fd, text, FILE_SIZE_MAX, path, error);
  if (n < 0)
    return NULL;
  text[n] = '\0';
  return g_steal_pointer (&text);
}

static PvS3Credentials *
from_file (const char *path, const char *profile, GError **error)
{
  g_autofree char *source = g_strdup_printf ("profile '%s' of '%s'", profile, path);
  g_autofree char *access_key = NULL, *secret_key = NULL, *session_token = NULL, *text = read_private (path, error);
  g_autoptr(GKeyFile) file = g_key_file_new ();
  PvS3Credentials *self = NULL;

  if (text == NULL)
    return NULL;
  /* What GKeyFile says of a file that it cannot read would quote the line. */
  if (!g_key_file_load_from_data (file, text, strlen (text), G_KEY_FILE_NONE, NULL))
    pv_throw (error, PV_ERROR_INVALID, "'%s' is no file of credentials: it needs lines '[default]', "
              "'aws_access_key_id = …', 'aws_secret_access_key = …'", path);
  else if (!g_key_file_has_group (file, profile))
    pv_throw (error, PV_ERROR_INVALID, "'%s' has no profile '%s': name one that it has", path, profile);
  else
    {
      access_key = g_key_file_get_value (file, profile, "aws_access_key_id", NULL);
      secret_key = g_key_file_get_value (file, profile, "aws_secret_access_key", NULL);
      session_token = g_key_file_get_value (file, profile, "aws_session_token", NULL);
      self = take (access_key, secret_key, session_token, source, error);
    }
  explicit_bzero (text, strlen (text));
  if (secret_key != NULL)
    explicit_bzero (secret_key, strlen (secret_key));
  return self;
}

/* "ACCESS-KEY:SECRET-KEY"; an access key of Swift has a colon of its own. */
static PvS3Credentials *
from_secret (const char *uuid, GError **error)
{
  g_autofree char *source = g_strdup_printf ("secret '%s'", uuid);
  PvS3Credentials *self = NULL;
  char *value, *colon;

  if (secret_reader == NULL)
    {
      pv_throw (error, PV_ERROR_DENIED, "secrets of libvirt cannot be had here: give a file with credentials");
      return NULL;
    }
  value = secret_reader (uuid, secret_reader_data, error);
  if (value == NULL)
    {
      g_prefix_error (error, "the credentials: ");
      return NULL;
    }
  g_strchomp (value);
  colon = strrchr (value, ':');
  if (colon != NULL)
    {
      *colon = '\0';
      self = take (value, colon + 1, NULL, source, error);
      *colon = ':';
    }
  else
    pv_throw (error, PV_ERROR_INVALID, "%s has no credentials: its value must be ACCESS-KEY:SECRET-KEY", source);
  wipe (value);
  return self;
}

static const char *
from_environment (const char *name)
{
  const char *value = g_getenv (name);

  return value != NULL && *value != '\0' ? value : NULL;
}

PvS3Credentials *
pv_s3_credentials_find (const PvRemoteOptions *options, GError **error)
{
  const char *profile = options->profile != NULL ? options->profile : from_environment ("AWS_PROFILE");
  const char *access_key = from_environment ("AWS_ACCESS_KEY_ID");
  const char *secret_key = from_environment ("AWS_SECRET_ACCESS_KEY");
  const char *shared = from_environment ("AWS_SHARED_CREDENTIALS_FILE");
  g_autofree char *home = g_build_filename (g_get_home_dir (), ".aws", "credentials", NULL);
  g_autoptr(GError) local = NULL;
  PvS3Credentials *self;

  profile = profile != NULL ? profile : "default";
  if (options->access_key != NULL || options->secret_key != NULL)
    return take (options->access_key, options->secret_key, options->session_token, "the caller", error);
  if (options->secret != NULL)
    return from_secret (options->secret, error);
  if (options->credentials_file != NULL)
    return from_file (options->credentials_file, profile, error);
  if (access_key != NULL || secret_key != NULL)
    return take (access_key, secret_key, from_environment ("AWS_SESSION_TOKEN"), "the environment", error);
  self = from_file (shared != NULL ? shared : home, profile, &local);
  if (self == NULL && shared == NULL && g_error_matches (local, PV_ERROR, PV_ERROR_NOT_FOUND))
    pv_throw (error, PV_ERROR_DENIED, "there are no credentials: give a file or a secret with them, or set "
              "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY");
  else if (self == NULL)
    g_propagate_error (error, g_steal_pointer (&local));
  return self;
}
