/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvS3Client: one bucket behind one endpoint, and requests to it: signed, sent, tried again.
 *
 * A request is made up to max_tries times (once, after one was given up, until the server answers again), with growing
 * jittered pauses between: after resets, stalls, truncated answers, 408, 429, 5xx (but 501), and after a body that the
 * server found damaged. A ranged read goes on behind the bytes that it has; a try that brought some does not count.
 * Redirects are never followed.
 */
#pragma once

#include "remote/rate-limit.h"
#include "remote/remote.h"
#include "remote/s3-credentials.h"
#include "remote/s3-xml.h"

G_BEGIN_DECLS

typedef struct _PvS3Client PvS3Client; /* any thread; a connection for each request that is under way */

/* All zeros but method is a request. Pointers are not owned. */
typedef struct
{
  const char *method;      /* "GET", "HEAD", "PUT", "POST" or "DELETE" */
  const char *key;         /* (nullable): without the prefix of the remote; NULL: the bucket */
  const char *query;       /* (nullable): percent-encoded parameters, sorted by name, each with '=' */
  GCancellable *cancellable; /* (nullable) */
  PvRemoteProgress progress; /* (nullable): gets progress_base + the bytes of this body */
  gpointer progress_data;
  guint64 progress_base;

  GBytes *body;            /* (nullable): of PUT and POST; else @fd when body_size > 0 */
  int fd;                  /* what is sent: body_size bytes from body_offset, read with pread */
  guint64 body_offset, body_size;
  gboolean if_absent;      /* If-None-Match: * */

  gboolean ranged;         /* exactly range_size bytes from range_offset are wanted */
  guint64 range_offset, range_size;
  gboolean whole;          /* … and they are the whole object, which must have no more */
  gboolean to_fd;          /* what comes is written to sink_fd from sink_offset on, not kept */
  int sink_fd;
  guint64 sink_offset;
  gsize answer_max;        /* bytes of an answer that is kept, when not ranged */
} PvS3Request;

typedef struct
{
  long status;             /* of HTTP; 0: there was no answer */
  GByteArray *body;        /* (owned) (nullable): what was kept of a 2xx answer */
  guint64 received;        /* bytes of the body of 2xx answers */
  guint64 length;          /* of Content-Length; G_MAXUINT64: unknown */
  guint64 range_first, range_last, range_total; /* of Content-Range; all G_MAXUINT64: there was none */
  char etag[128];          /* as sent, with its quotes; "" when there was none or a strange one */
  char location[256];      /* of a redirect, printable */
  char region[64];         /* of x-amz-bucket-region, printable */
  guint retry_after;       /* seconds; 0: not said */
  PvS3Error error;         /* of other answers */
  guint n_unknown;         /* tries before this one that may have taken effect though their answer was lost */
} PvS3Answer;

void pv_s3_answer_clear (PvS3Answer *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (PvS3Answer, pv_s3_answer_clear)

/* @location: what follows s3://. @limit: (not owned): must live as long. Errors as of pv_remote_open(). */
PvS3Client *pv_s3_client_new (const char *location, const PvRemoteOptions *options, PvRateLimit *limit, GError **error);
void pv_s3_client_free (PvS3Client *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvS3Client, pv_s3_client_free)

/* (transfer full): "s3://BUCKET[/PREFIX]". */
char *pv_s3_client_url (const PvS3Client *self);
/* (transfer none): "" or "PREFIX/". */
const char *pv_s3_client_prefix (const PvS3Client *self);
/* TRUE when an answer of 2xx has shown that the bucket is there. */
gboolean pv_s3_client_has_bucket (PvS3Client *self);

/* Makes the request until it is answered with 2xx. @answer must be zeroed (or cleared) before; it also tells what came
 * when FALSE is returned. */
gboolean pv_s3_client_perform (PvS3Client *self, const PvS3Request *request, PvS3Answer *answer, GError **error);

G_END_DECLS
