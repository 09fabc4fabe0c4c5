/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/remote-argument.h"

#include <stdio.h>
#include <string.h>

#include "util/bytesize.h"
#include "util/error.h"

#define DIGEST_DIGITS 16

PvRemoteArgument pv_remote_argument;

gboolean
pv_remote_argument_is_url (const char *argument)
{
  return strstr (argument, "://") != NULL;
}

/* @rate: (out): 0 for no limit. */
static gboolean
parse_rate (guint64 *rate, GError **error)
{
  *rate = 0;
  if (pv_remote_argument.limit_rate == NULL)
    return TRUE;
  if (!pv_bytesize_parse (pv_remote_argument.limit_rate, rate, error))
    {
      g_prefix_error (error, "--limit-rate: ");
      return FALSE;
    }
  return *rate > 0 || pv_throw (error, PV_ERROR_INVALID, "--limit-rate: nothing would ever arrive");
}

gboolean
pv_remote_argument_check (const char *argument, GError **error)
{
  guint64 rate;

  if (!pv_remote_argument_is_url (argument)
      && (pv_remote_argument.endpoint != NULL || pv_remote_argument.region != NULL || pv_remote_argument.ca != NULL
          || pv_remote_argument.credentials != NULL))
    return pv_throw (error, PV_ERROR_INVALID, "--endpoint, --region, --ca and --credentials go with a URL; remote '%s'"
                                              " has its own",
                     argument);
  return (pv_remote_argument_is_url (argument) || pv_mirror_name_check (argument, error)) && parse_rate (&rate, error);
}

static PvRemoteOptions
options_of_arguments (void)
{
  PvRemoteOptions options = { .endpoint = pv_remote_argument.endpoint, .region = pv_remote_argument.region,
                              .ca_file = pv_remote_argument.ca,
                              .credentials_file = pv_remote_argument.credentials };

  return options;
}

PvRemote *
pv_remote_argument_connect (const char *url, GError **error)
{
  PvRemoteOptions options = options_of_arguments ();

  return parse_rate (&options.limit_rate, error) ? pv_remote_open (url, &options, error) : NULL;
}

static char *
name_of_url (PvRemote *remote)
{
  const char *url = pv_remote_url (remote);
  g_autofree char *digest = g_compute_checksum_for_string (G_CHECKSUM_SHA256, url, -1);

  return g_strdup_printf ("%.*s", DIGEST_DIGITS, digest);
}

PvMirror *
pv_remote_argument_open (PvStore *store, const char *argument, const char *name, GError **error)
{
  PvRemoteOptions options = options_of_arguments ();
  g_autoptr(PvRemote) remote = NULL;
  g_autoptr(PvMirror) mirror = NULL;
  g_autofree char *digest = NULL;
  guint64 rate;

  if (!parse_rate (&rate, error))
    return NULL;
  if (!pv_remote_argument_is_url (argument))
    {
      remote = pv_mirror_connect (pv_store_directory (store), argument, rate, error);
      return remote != NULL ? pv_mirror_open (store, argument, remote, error) : NULL;
    }
  remote = pv_remote_argument_connect (argument, error);
  if (remote == NULL)
    return NULL;
  digest = name_of_url (remote);
  mirror = pv_mirror_open (store, name != NULL ? name : digest, remote, error);
  if (mirror == NULL || !pv_mirror_remember (mirror, pv_remote_url (remote), &options, error))
    return NULL;
  return g_steal_pointer (&mirror);
}

gboolean
pv_remote_argument_refresh (PvCli *cli, PvMirror *mirror, GError **error)
{
  g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func (g_free);

  if (!pv_mirror_check_format (mirror, FALSE, cli->cancellable, error)
      || !pv_mirror_refresh_snapshots (mirror, warnings, cli->cancellable, error))
    return FALSE;
  for (guint i = 0; i < warnings->len; i++)
    fprintf (stderr, "pagevault: %s\n", (const char *) warnings->pdata[i]);
  return TRUE;
}
