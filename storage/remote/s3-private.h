/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of PvS3Client share. */
#pragma once

#include <curl/curl.h>

#include "remote/s3-client.h"

G_BEGIN_DECLS

struct _PvS3Client
{
  char *bucket;                 /* (owned) */
  char *prefix;                 /* "" or "PREFIX/" (owned) */
  char *endpoint;               /* "https://HOST[:PORT]", as given or Amazon's: for messages (owned) */
  char *base;                   /* URL of the bucket, without a slash at its end (owned) */
  char *region;                 /* (owned) */
  char *signer;                 /* for CURLOPT_AWS_SIGV4 (owned) */
  char *ca_file;                /* (nullable) (owned) */
  PvS3Credentials *credentials; /* (owned) */
  PvRateLimit *limit;           /* (not owned) */
  guint max_tries;
  guint stall_seconds;
  guint pause_ms;               /* before the second try */
  gint answered;                /* atomic: 1 when the server has answered anything once */
  gint away;                    /* atomic: 1 from a request that was given up until the server answers one */
  gint wants_md5;               /* atomic: 1 when the server has refused a body for want of its MD5 */
  gint has_bucket;              /* atomic: 1 after the first 2xx */
  GMutex lock;
  GPtrArray *idle;              /* of CURL *: handles with their connections; under lock */
};

typedef enum
{
  PV_S3_DONE,   /* 2xx, whole */
  PV_S3_AGAIN,  /* may work when tried again */
  PV_S3_FAILED, /* will not */
  PV_S3_WANTS_MD5, /* will not without Content-MD5 */
} PvS3Outcome;

/* Of the body of a request. */
typedef struct
{
  char sha256[65]; /* hexadecimal: what is signed */
  char md5[25];    /* base64; "" until the server wants it (buckets with object lock), and where OpenSSL has none */
} PvS3Digests;

/* One try. Unless DONE, @error is set, with the message for the case that
 * this was the last try. */
PvS3Outcome pv_s3_transfer (PvS3Client *self, CURL *handle, const PvS3Request *request, const PvS3Digests *digests,
                            PvS3Answer *answer, GError **error);

/* What an answer other than 2xx means: sets @error, with a sentence that says what to do. */
PvS3Outcome pv_s3_judge (const PvS3Client *self, const PvS3Request *request, const PvS3Answer *answer, GError **error);

G_END_DECLS
