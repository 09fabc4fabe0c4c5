/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvS3Credentials: an access key and its secret, from where remote.h says. Not printed anywhere; wiped when freed. */
#pragma once

#include "remote/remote.h"

G_BEGIN_DECLS

typedef struct
{
  char *access_key;    /* (owned) */
  char *secret_key;    /* (owned) */
  char *session_token; /* (owned) (nullable) */
  char *source;        /* where they come from, for messages: "the environment", "file '…'" (owned) */
} PvS3Credentials;

/* PV_ERROR_DENIED when there are none, or when they lie in a file that others can read; INVALID for such a file without
 * the profile, or with half of a pair. */
PvS3Credentials *pv_s3_credentials_find (const PvRemoteOptions *options, GError **error);
void pv_s3_credentials_free (PvS3Credentials *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvS3Credentials, pv_s3_credentials_free)

G_END_DECLS
