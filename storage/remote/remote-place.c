/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "remote/remote-place.h"

#include <string.h>

#include "util/error.h"
#include "util/file.h"

#define GROUP "remote"
#define FILE_SIZE_MAX (64u << 10)

/* By PvRemoteAddressing; the first is not written. */
static const char *const addressings[] = { "auto", "path", "virtual" };

static char *
absolute (const char *path)
{
  return path != NULL ? g_canonicalize_filename (path, NULL) : NULL;
}

PvRemotePlace *
pv_remote_place_new (const char *url, const PvRemoteOptions *options)
{
  static const PvRemoteOptions defaults = { 0 };
  PvRemotePlace *self = g_new0 (PvRemotePlace, 1);

  if (options == NULL)
    options = &defaults;
  self->url = g_strdup (url);
  self->endpoint = g_strdup (options->endpoint);
  self->region = g_strdup (options->region);
  self->ca_file = absolute (options->ca_file);
  self->secret = g_strdup (options->secret);
  self->credentials_file = absolute (options->credentials_file);
  self->profile = g_strdup (options->profile);
  self->addressing = options->addressing;
  return self;
}

void
pv_remote_place_free (PvRemotePlace *self)
{
  if (self == NULL)
    return;
  g_free (self->url);
  g_free (self->endpoint);
  g_free (self->region);
  g_free (self->ca_file);
  g_free (self->secret);
  g_free (self->credentials_file);
  g_free (self->profile);
  g_free (self);
}

/* The strings of a place and what they are called in its file. */
typedef struct
{
  const char *key;
  gsize offset;
} Field;

static const Field fields[] = {
  { "url", G_STRUCT_OFFSET (PvRemotePlace, url) },
  { "endpoint", G_STRUCT_OFFSET (PvRemotePlace, endpoint) },
  { "region", G_STRUCT_OFFSET (PvRemotePlace, region) },
  { "ca", G_STRUCT_OFFSET (PvRemotePlace, ca_file) },
  { "secret", G_STRUCT_OFFSET (PvRemotePlace, secret) },
  { "credentials", G_STRUCT_OFFSET (PvRemotePlace, credentials_file) },
  { "profile", G_STRUCT_OFFSET (PvRemotePlace, profile) },
};

static char **
field_of (const PvRemotePlace *self, const Field *field)
{
  return (char **) G_STRUCT_MEMBER_P (self, field->offset);
}

static gboolean
parse_addressing (GKeyFile *file, PvRemoteAddressing *addressing)
{
  g_autofree char *word = g_key_file_get_string (file, GROUP, "addressing", NULL);

  if (word == NULL)
    return TRUE;
  for (guint i = 0; i < G_N_ELEMENTS (addressings); i++)
    if (g_str_equal (word, addressings[i]))
      {
        *addressing = (PvRemoteAddressing) i;
        return TRUE;
      }
  return FALSE;
}

PvRemotePlace *
pv_remote_place_read (const char *path, GError **error)
{
  g_autoptr(GBytes) bytes = pv_read_file (path, FILE_SIZE_MAX, error);
  g_autoptr(PvRemotePlace) self = g_new0 (PvRemotePlace, 1);
  g_autoptr(GKeyFile) file = g_key_file_new ();

  if (bytes == NULL)
    return NULL;
  if (!g_key_file_load_from_bytes (file, bytes, G_KEY_FILE_NONE, NULL) || !parse_addressing (file, &self->addressing))
    {
      pv_corrupt (error, "'%s' does not say where a remote is: add it again", path);
      return NULL;
    }
  for (guint i = 0; i < G_N_ELEMENTS (fields); i++)
    *field_of (self, &fields[i]) = g_key_file_get_string (file, GROUP, fields[i].key, NULL);
  if (self->url == NULL)
    {
      pv_corrupt (error, "'%s' does not say where a remote is: add it again", path);
      return NULL;
    }
  return g_steal_pointer (&self);
}

gboolean
pv_remote_place_write (const PvRemotePlace *self, const char *path, GError **error)
{
  g_autoptr(GKeyFile) file = g_key_file_new ();
  g_autofree char *text = NULL;
  gsize size;

  for (guint i = 0; i < G_N_ELEMENTS (fields); i++)
    if (*field_of (self, &fields[i]) != NULL)
      g_key_file_set_string (file, GROUP, fields[i].key, *field_of (self, &fields[i]));
  if (self->addressing != PV_REMOTE_ADDRESS_AUTO)
    g_key_file_set_string (file, GROUP, "addressing", addressings[self->addressing]);
  text = g_key_file_to_data (file, &size, NULL);
  return pv_write_file (path, text, size, error);
}

PvRemote *
pv_remote_place_open (const PvRemotePlace *self, guint64 limit_rate, GError **error)
{
  PvRemoteOptions options = { .endpoint = self->endpoint,
                              .region = self->region,
                              .addressing = self->addressing,
                              .ca_file = self->ca_file,
                              .secret = self->secret,
                              .credentials_file = self->credentials_file,
                              .profile = self->profile,
                              .limit_rate = limit_rate };

  return pv_remote_open (self->url, &options, error);
}
