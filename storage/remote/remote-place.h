/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvRemotePlace: where a remote is and how to reach it, as it is kept in a file; without anything that is secret.
 *
 * The file is a GKeyFile with one group [remote]: url, and what is not as by default of endpoint, region, addressing
 * ("path", "virtual"), ca, secret (UUID of a libvirt secret), credentials (a path), profile.
 */
#pragma once

#include "remote/remote.h"

G_BEGIN_DECLS

typedef struct
{
  char *url;        /* (owned) */
  char *endpoint;   /* the others as in PvRemoteOptions (owned) (nullable) */
  char *region;
  char *ca_file;
  char *secret;
  char *credentials_file;
  char *profile;
  PvRemoteAddressing addressing;
} PvRemotePlace;

/* Takes over of @options what a file keeps. @options: (nullable). Paths of files are made absolute. */
PvRemotePlace *pv_remote_place_new (const char *url, const PvRemoteOptions *options);
void pv_remote_place_free (PvRemotePlace *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvRemotePlace, pv_remote_place_free)

/* PV_ERROR_NOT_FOUND when there is no such file; CORRUPT when it is something else. */
PvRemotePlace *pv_remote_place_read (const char *path, GError **error);
/* Durable; replaces what was there. */
gboolean pv_remote_place_write (const PvRemotePlace *self, const char *path, GError **error);

/* pv_remote_open() there. @limit_rate as in PvRemoteOptions. */
PvRemote *pv_remote_place_open (const PvRemotePlace *self, guint64 limit_rate, GError **error);

G_END_DECLS
