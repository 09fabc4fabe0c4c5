/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The argument REMOTE of commands, and the options that say how to reach it: a URL, or the name of a remote that was
 * attached. */
#pragma once

#include "cli/cli.h"
#include "store/mirror.h"

G_BEGIN_DECLS

/* What the options below set. */
typedef struct
{
  char *endpoint;
  char *region;
  char *ca;
  char *credentials;
  char *limit_rate;
} PvRemoteArgument;
extern PvRemoteArgument pv_remote_argument;

#define PV_REMOTE_ARGUMENT_OPTIONS                                                                                    \
  { "endpoint", 0, 0, G_OPTION_ARG_STRING, &pv_remote_argument.endpoint, "Server of an s3:// URL", "URL" },           \
  { "region", 0, 0, G_OPTION_ARG_STRING, &pv_remote_argument.region, "Its region", "REGION" },                        \
  { "ca", 0, 0, G_OPTION_ARG_FILENAME, &pv_remote_argument.ca, "Authorities to trust instead of the system's",        \
    "FILE" },                                                                                                         \
  { "credentials", 0, 0, G_OPTION_ARG_FILENAME, &pv_remote_argument.credentials,                                      \
    "Keys, in the format of ~/.aws/credentials", "FILE" },                                                            \
  { "limit-rate", 0, 0, G_OPTION_ARG_STRING, &pv_remote_argument.limit_rate, "Move at most so much a second", "SIZE" }

/* TRUE when @argument is a URL, and not a name. */
gboolean pv_remote_argument_is_url (const char *argument);
/* Checks options and @argument: FALSE: the command line is wrong. */
gboolean pv_remote_argument_check (const char *argument, GError **error);

/* (transfer full): connects to @url as the options say. */
PvRemote *pv_remote_argument_connect (const char *url, GError **error);

/* (transfer full): the mirror of @argument. @name: (nullable): what to call it when @argument is a URL; NULL: by its
 * digest. */
PvMirror *pv_remote_argument_open (PvStore *store, const char *argument, const char *name, GError **error);

/* Brings the list of its snapshots up to date; what is left out is told on standard error. */
gboolean pv_remote_argument_refresh (PvCli *cli, PvMirror *mirror, GError **error);

G_END_DECLS
