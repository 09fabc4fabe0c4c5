/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/commands.h"

#include <stdio.h>
#include <string.h>

#include "cli/lazy.h"
#include "cli/output.h"
#include "cli/remote-argument.h"
#include "remote/remote-probe.h"
#include "store/mirror-place.h"
#include "util/error.h"

static char *opt_profile, *opt_secret;
static gboolean opt_path_style, opt_virtual_host;

static const GOptionEntry options[] = {
  { "endpoint", 0, 0, G_OPTION_ARG_STRING, &pv_remote_argument.endpoint, "Server of an s3:// URL", "URL" },
  { "region", 0, 0, G_OPTION_ARG_STRING, &pv_remote_argument.region, "Its region", "REGION" },
  { "ca", 0, 0, G_OPTION_ARG_FILENAME, &pv_remote_argument.ca, "Authorities to trust instead of the system's", "FILE" },
  { "credentials", 0, 0, G_OPTION_ARG_FILENAME, &pv_remote_argument.credentials,
    "Keys, in the format of ~/.aws/credentials", "FILE" },
  { "profile", 0, 0, G_OPTION_ARG_STRING, &opt_profile, "Section of the file with credentials (default)", "PROFILE" },
  { "credentials-secret", 0, 0, G_OPTION_ARG_STRING, &opt_secret, "The keys are the value of libvirt's secret UUID",
    "UUID" },
  { "path-style", 0, 0, G_OPTION_ARG_NONE, &opt_path_style, "The bucket is in the path of the server's URLs", NULL },
  { "virtual-host", 0, 0, G_OPTION_ARG_NONE, &opt_virtual_host, "The bucket is in the server's host name", NULL },
  G_OPTION_ENTRY_NULL
};

static PvRemotePlace *
make_place (const char *url)
{
  PvRemoteOptions given = { .endpoint = pv_remote_argument.endpoint,
                            .region = pv_remote_argument.region,
                            .ca_file = pv_remote_argument.ca,
                            .credentials_file = pv_remote_argument.credentials,
                            .profile = opt_profile,
                            .secret = opt_secret };

  given.addressing = opt_path_style     ? PV_REMOTE_ADDRESS_PATH
                     : opt_virtual_host ? PV_REMOTE_ADDRESS_VIRTUAL
                                        : PV_REMOTE_ADDRESS_AUTO;
  return pv_remote_place_new (url, &given);
}

static void
print_name (PvCli *cli, const char *name, const char *text)
{
  if (cli->json)
    {
      g_autoptr(JsonBuilder) builder = json_builder_new ();

      json_builder_begin_object (builder);
      pv_json_string (builder, "remote", name);
      json_builder_end_object (builder);
      pv_json_print (builder);
    }
  else
    printf ("remote '%s' %s\n", name, text);
}

/* What is said of it is checked as far as that can be done from here. */
static gboolean
add_remote (PvCli *cli, const char *name, const char *url, GError **error)
{
  g_autoptr(PvRemotePlace) place = make_place (url);
  g_autoptr(PvRemote) remote = pv_remote_place_open (place, 0, error);
  g_autoptr(PvStore) store = remote != NULL ? pv_cli_open_store (cli, PV_STORE_OPEN_CREATE, error) : NULL;

  if (store == NULL)
    return FALSE;
  g_free (place->url);
  place->url = g_strdup (pv_remote_url (remote));
  if (!pv_mirror_place_write (pv_store_directory (store), name, place, FALSE, error))
    return FALSE;
  print_name (cli, name, "added: 'pagevault remote check' tries it");
  return TRUE;
}

/* --- list --------------------------------------------------------------------------------------------------------- */

static const char *
credentials_of (const PvRemotePlace *place)
{
  return place->secret != NULL ? "secret" : place->credentials_file != NULL ? place->credentials_file : "default";
}

static void
add_json (JsonBuilder *builder, const char *name, const PvRemotePlace *place, gboolean attached)
{
  json_builder_begin_object (builder);
  pv_json_string (builder, "remote", name);
  pv_json_string (builder, "url", place->url);
  pv_json_string (builder, "endpoint", place->endpoint);
  pv_json_string (builder, "region", place->region);
  pv_json_string (builder, "ca", place->ca_file);
  pv_json_string (builder, "credentials", place->credentials_file);
  pv_json_string (builder, "credentials_secret", place->secret);
  pv_json_string (builder, "profile", place->profile);
  pv_json_boolean (builder, "attached", attached);
  json_builder_end_object (builder);
}

static gboolean
list_remotes (PvCli *cli, GError **error)
{
  static const PvColumn columns[] = { { "REMOTE", PV_COLUMN_LEFT },   { "URL", PV_COLUMN_LEFT },
                                      { "ENDPOINT", PV_COLUMN_LEFT }, { "CREDENTIALS", PV_COLUMN_LEFT },
                                      { "ATTACHED", PV_COLUMN_LEFT } };
  g_autoptr(PvTable) table = pv_table_new (columns, G_N_ELEMENTS (columns));
  g_autoptr(JsonBuilder) builder = json_builder_new ();
  g_autoptr(GPtrArray) names = pv_mirror_place_names (cli->store_directory);
  gboolean failed = FALSE;

  json_builder_begin_object (builder);
  json_builder_set_member_name (builder, "remotes");
  json_builder_begin_array (builder);
  for (guint i = 0; i < names->len; i++)
    {
      const char *name = g_ptr_array_index (names, i);
      g_autofree char *mark = g_build_filename (cli->store_directory, PV_MIRRORS, name, "attached", NULL);
      gboolean attached = g_file_test (mark, G_FILE_TEST_EXISTS);
      g_autoptr(GError) local = NULL;
      g_autoptr(PvRemotePlace) place = pv_mirror_place_read (cli->store_directory, name, &local);

      if (place == NULL)
        {
          pv_cli_print_error (cli, "remote", local);
          failed = TRUE;
          continue;
        }
      add_json (builder, name, place, attached);
      pv_table_row (table, name, place->url, place->endpoint != NULL ? place->endpoint : "",
                    g_str_has_prefix (place->url, "s3:") ? credentials_of (place) : "", attached ? "yes" : "no", NULL);
    }
  json_builder_end_array (builder);
  json_builder_end_object (builder);
  if (cli->json)
    pv_json_print (builder);
  else if (names->len > 0)
    pv_table_print (table);
  return !failed || pv_throw (error, PV_ERROR_CORRUPT, "not all remotes could be listed");
}

/* --- check -------------------------------------------------------------------------------------------------------- */

static void
print_probe (PvCli *cli, const char *name, const PvRemoteProbe *probe)
{
  g_autofree char *put = pv_output_duration (probe->put_ms), *get = pv_output_duration (probe->get_ms);
  g_autofree char *both = g_strdup_printf ("%s, %s", put, get);

  if (cli->json)
    {
      g_autoptr(JsonBuilder) builder = json_builder_new ();

      json_builder_begin_object (builder);
      pv_json_string (builder, "remote", name);
      pv_json_boolean (builder, "ranges", probe->ranges);
      pv_json_boolean (builder, "conditional", probe->conditional);
      pv_json_boolean (builder, "lists", probe->lists);
      pv_json_number (builder, "put_ms", probe->put_ms);
      pv_json_number (builder, "get_ms", probe->get_ms);
      json_builder_end_object (builder);
      pv_json_print (builder);
    }
  else
    {
      g_autoptr(PvTable) table = pv_table_new_pairs ();

      pv_table_row (table, "writing, reading, deleting", "work", NULL);
      pv_table_row (table, "reading parts of objects",
                    probe->ranges ? "works" : "no: nothing can be restored lazily", NULL);
      pv_table_row (table, "listing what was just written", probe->lists ? "works" : "no: pruning is not safe there",
                    NULL);
      pv_table_row (table, "writing only what is absent", probe->conditional ? "works" : "no", NULL);
      pv_table_row (table, "first write, first read", both, NULL);
      pv_table_print (table);
    }
}

/* @argument: a name, or a URL with the options. */
static gboolean
check_remote (PvCli *cli, const char *argument, GError **error)
{
  g_autoptr(PvRemotePlace) place = pv_remote_argument_is_url (argument)
                                       ? make_place (argument)
                                       : pv_mirror_place_read (cli->store_directory, argument, error);
  g_autoptr(PvRemote) remote = place != NULL ? pv_remote_place_open (place, 0, error) : NULL;
  PvRemoteProbe probe;

  if (remote == NULL || !pv_remote_probe (remote, &probe, cli->cancellable, error))
    return FALSE;
  print_probe (cli, argument, &probe);
  if (!probe.ranges || !probe.lists)
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "%s lacks what is needed: use another server",
                     pv_remote_url (remote));
  return TRUE;
}

/* --- remove ------------------------------------------------------------------------------------------------------- */

/* Guests whose memory is still coming from the remote need it. */
static gboolean
check_unused (PvStore *store, const char *name, GError **error)
{
  g_autoptr(PvMirror) mirror = pv_mirror_open (store, name, NULL, error);
  g_autoptr(GPtrArray) snapshots = mirror != NULL ? pv_mirror_list (mirror, NULL, error) : NULL;

  if (snapshots == NULL)
    return FALSE;
  for (guint i = 0; i < snapshots->len; i++)
    {
      PvSnapshot *snapshot = g_ptr_array_index (snapshots, i);
      g_autofree char *full = g_strdup_printf ("%s@%s", pv_snapshot_domain (snapshot), pv_snapshot_name (snapshot));

      if (!pv_lazy_check_unused (store, full, error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
remove_remote (PvCli *cli, const char *name, GError **error)
{
  g_autoptr(PvRemotePlace) place = pv_mirror_place_read (cli->store_directory, name, error);
  g_autoptr(PvStore) store = place != NULL ? pv_cli_open_store (cli, 0, error) : NULL;

  if (store == NULL || !check_unused (store, name, error)
      || !pv_mirror_place_remove (pv_store_directory (store), name, error))
    return FALSE;
  print_name (cli, name, "removed; what is in it is still there");
  return TRUE;
}

/* --- the command line --------------------------------------------------------------------------------------------- */

static gboolean
check_arguments (char **args, GError **error)
{
  static const struct
  {
    const char *verb, *arguments;
    guint n;
  } verbs[] = { { "add", " NAME URL", 2 }, { "list", "", 0 }, { "check", " REMOTE", 1 }, { "remove", " NAME", 1 } };

  for (guint i = 0; i < G_N_ELEMENTS (verbs); i++)
    if (g_str_equal (args[0], verbs[i].verb))
      return g_strv_length (args) == verbs[i].n + 1
             || pv_throw (error, PV_ERROR_INVALID, "write 'pagevault remote %s%s'", args[0], verbs[i].arguments);
  return pv_throw (error, PV_ERROR_INVALID, "write 'pagevault remote add', 'list', 'check' or 'remove'");
}

static gboolean
check_options (char **args, GError **error)
{
  gboolean with_url = g_str_equal (args[0], "add") || (args[1] != NULL && pv_remote_argument_is_url (args[1]));

  if (opt_path_style && opt_virtual_host)
    return pv_throw (error, PV_ERROR_INVALID, "--path-style and --virtual-host exclude each other");
  if (opt_secret != NULL && pv_remote_argument.credentials != NULL)
    return pv_throw (error, PV_ERROR_INVALID, "--credentials and --credentials-secret exclude each other");
  if (!with_url && (opt_profile != NULL || opt_secret != NULL || opt_path_style || opt_virtual_host))
    return pv_throw (error, PV_ERROR_INVALID, "the options that say how to reach a remote go with its URL");
  if (args[1] == NULL)
    return TRUE;
  if (g_str_equal (args[0], "add"))
    return pv_mirror_name_check (args[1], error) && pv_remote_argument_check (args[2], error)
           && (pv_remote_argument_is_url (args[2])
               || pv_throw (error, PV_ERROR_INVALID, "'%s' is no URL: give s3://BUCKET[/PREFIX] or file:///DIR",
                            args[2]));
  return pv_remote_argument_check (args[1], error);
}

static PvExit
run_remote (PvCli *cli, char **args, GError **error)
{
  gboolean done;

  if (!check_arguments (args, error) || !check_options (args, error))
    return PV_EXIT_USAGE;
  /* a URL with a user in it is none of ours, and may have a password, too */
  pv_cli_set_subject (cli, args[1] != NULL && strchr (args[1], '@') == NULL ? args[1] : args[0]);
  if (g_str_equal (args[0], "add"))
    done = add_remote (cli, args[1], args[2], error);
  else if (g_str_equal (args[0], "list"))
    done = list_remotes (cli, error);
  else if (g_str_equal (args[0], "check"))
    done = check_remote (cli, args[1], error);
  else
    done = remove_remote (cli, args[1], error);
  return done ? PV_EXIT_OK : PV_EXIT_FAILED;
}

const PvCommand pv_command_remote = {
  .name = "remote",
  .arguments = "add NAME URL | list | check REMOTE | remove NAME",
  .summary = "Name remotes, try them, forget them",
  .details = "A remote is a bucket, s3://BUCKET[/PREFIX], or a directory, file:///DIR. 'push', 'pull', 'attach'\n"
             "and 'prune' take its NAME in place of the URL and its options. 'check' writes, reads, lists and\n"
             "deletes a small object and says what the server can do. 'remove' leaves the remote itself as it\n"
             "is. Keys for S3 never stand on a command line: they come from --credentials FILE, from\n"
             "--credentials-secret UUID (the secret's value is ACCESS-KEY:SECRET-KEY), or else from\n"
             "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or ~/.aws/credentials, each time.\n"
             "\n"
             "Examples:\n"
             "  pagevault remote add archive s3://vault/lab --endpoint https://s3.example.org --region eu-1\n"
             "  pagevault remote check archive && pagevault push web1@monday archive\n"
             "\n"
             "Keys of --json: add, remove: remote; check: remote, ranges, conditional, lists, put_ms, get_ms;\n"
             "list: remotes (an array of remote, url, endpoint, region, ca, credentials, credentials_secret,\n"
             "profile, attached).",
  .min_args = 1,
  .max_args = 3,
  .options = options,
  .run = run_remote,
};
