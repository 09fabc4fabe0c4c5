/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From status and error code of an answer to what the caller or the user should do. */
#include "config.h"

#include "remote/s3-private.h"

#include <string.h>

#include "util/error.h"

static gboolean
is_code (const PvS3Answer *answer, const char *const *codes)
{
  return g_strv_contains (codes, answer->error.code);
}

/* (transfer full): " (Code: message)", or "" when the server said nothing. */
static char *
quote (const PvS3Answer *answer)
{
  if (answer->error.code[0] == '\0')
    return g_strdup ("");
  if (answer->error.message[0] == '\0' || g_str_equal (answer->error.message, answer->error.code))
    return g_strdup_printf (" (%s)", answer->error.code);
  return g_strdup_printf (" (%s: %s)", answer->error.code, answer->error.message);
}

/* Credentials, clock. NULL-terminated lists of codes of Amazon, Ceph and Swift. */
static gboolean
judge_access (const PvS3Client *self, const PvS3Answer *answer, const char *said, GError **error)
{
  static const char *const unknown_key[] = { "InvalidAccessKeyId", NULL };
  static const char *const wrong_secret[] = { "SignatureDoesNotMatch", NULL };
  static const char *const old_token[] = { "ExpiredToken", "InvalidToken", "TokenRefreshRequired", NULL };
  static const char *const clock[] = { "RequestTimeTooSkewed", "RequestExpired", NULL };
  const char *source = self->credentials->source;

  if (is_code (answer, clock))
    pv_throw (error, PV_ERROR_DENIED, "the clock of this host and that of %s are too far apart: set the clock%s",
              self->endpoint, said);
  else if (is_code (answer, unknown_key))
    pv_throw (error, PV_ERROR_DENIED, "%s does not know the access key from %s: give the right one%s", self->endpoint,
              source, said);
  else if (is_code (answer, wrong_secret))
    pv_throw (error, PV_ERROR_DENIED, "%s refuses the signature: the secret key from %s does not belong to its access "
              "key%s", self->endpoint, source, said);
  else if (is_code (answer, old_token))
    pv_throw (error, PV_ERROR_DENIED, "the session token from %s is not valid any more: get a new one%s", source, said);
  else if (answer->status == 401 || answer->status == 403)
    pv_throw (error, PV_ERROR_DENIED, "%s refuses access to bucket '%s': allow it to the owner of the access key from "
              "%s%s", self->endpoint, self->bucket, source, said);
  else
    return FALSE;
  return TRUE;
}

/* Endpoint, region, bucket. */
static gboolean
judge_place (const PvS3Client *self, const PvS3Answer *answer, const char *said, GError **error)
{
  static const char *const no_bucket[] = { "NoSuchBucket", NULL };
  static const char *const bad_bucket[] = { "InvalidBucketName", NULL };
  static const char *const wrong_region[] = { "AuthorizationHeaderMalformed", "IllegalLocationConstraintException",
                                              "InvalidRegion", NULL };
  const char *region = answer->error.region[0] != '\0' ? answer->error.region : answer->region;

  if (is_code (answer, no_bucket))
    pv_throw (error, PV_ERROR_INVALID, "there is no bucket '%s' at %s: create it, or name another%s", self->bucket,
              self->endpoint, said);
  else if (is_code (answer, bad_bucket))
    pv_throw (error, PV_ERROR_INVALID, "'%s' cannot be the name of a bucket at %s: name another%s", self->bucket,
              self->endpoint, said);
  else if (is_code (answer, wrong_region) || (answer->status / 100 == 3 && region[0] != '\0'))
    pv_throw (error, PV_ERROR_INVALID, "'%s' is not the region of bucket '%s' at %s: give region %s%s", self->region,
              self->bucket, self->endpoint, region[0] != '\0' ? region : "as the server says", said);
  else if (answer->status / 100 == 3)
    pv_throw (error, PV_ERROR_INVALID, "%s sends us elsewhere for bucket '%s', which is not followed: give the right "
              "endpoint and region%s%s%s", self->endpoint, self->bucket,
              answer->location[0] != '\0' ? "; it names " : "", answer->location, said);
  else
    return FALSE;
  return TRUE;
}

static gboolean
is_passing (const PvS3Answer *answer)
{
  static const char *const codes[] = { "RequestTimeout", "SlowDown", "Throttling", "OperationAborted",
                                       "ConditionalRequestConflict", "BadDigest", "XAmzContentSHA256Mismatch",
                                       "IncompleteBody", NULL };

  return answer->status == 408 || answer->status == 429 || (answer->status >= 500 && answer->status != 501)
         || is_code (answer, codes);
}

static void
judge_object (const PvS3Client *self, const PvS3Request *request, const PvS3Answer *answer, const char *said,
              GError **error)
{
  static const char *const full[] = { "QuotaExceeded", "EntityTooLarge", NULL };
  const char *key = request->key != NULL ? request->key : "";

  if (is_code (answer, full) || answer->status == 507)
    pv_throw (error, PV_ERROR_NO_SPACE, "%s takes no more into bucket '%s': raise the quota%s", self->endpoint,
              self->bucket, said);
  else if (answer->status == 404)
    pv_throw (error, PV_ERROR_NOT_FOUND, "there is no object '%s' in 's3://%s/%s'", key, self->bucket, self->prefix);
  else if (answer->status == 412)
    pv_throw (error, PV_ERROR_EXISTS, "object '%s' is in 's3://%s/%s' already", key, self->bucket, self->prefix);
  else if (answer->status == 416)
    pv_corrupt (error, "object '%s' in 's3://%s/%s' ends early: nothing is at offset %" G_GUINT64_FORMAT, key,
                self->bucket, self->prefix, request->range_offset);
  else if (answer->status == 501)
    pv_throw (error, PV_ERROR_UNSUPPORTED, "%s does not know %s %s of '%s'%s", self->endpoint,
              request->if_absent ? "conditional" : "such a", request->method, key, said);
  else
    pv_throw (error, PV_ERROR_FAILED, "%s answers %s of '%s' in bucket '%s' with status %ld%s", self->endpoint,
              request->method, key, self->bucket, answer->status, said);
}

/* Amazon's InvalidRequest with its sentence; MinIO's code. */
static gboolean
wants_md5 (const PvS3Answer *answer)
{
  static const char *const missing[] = { "MissingContentMD5", NULL };
  g_autofree char *message = g_ascii_strdown (answer->error.message, -1);

  return answer->status == 400 && (is_code (answer, missing) || strstr (message, "content-md5") != NULL);
}

PvS3Outcome
pv_s3_judge (const PvS3Client *self, const PvS3Request *request, const PvS3Answer *answer, GError **error)
{
  g_autofree char *said = quote (answer);

  if (is_passing (answer))
    {
      pv_throw (error, PV_ERROR_UNREACHABLE, "%s cannot do %s of '%s' in bucket '%s' now (status %ld)%s: try again "
                "later", self->endpoint, request->method, request->key != NULL ? request->key : "", self->bucket,
                answer->status, said);
      return PV_S3_AGAIN;
    }
  if (!judge_place (self, answer, said, error) && !judge_access (self, answer, said, error))
    judge_object (self, request, answer, said, error);
  return wants_md5 (answer) ? PV_S3_WANTS_MD5 : PV_S3_FAILED;
}
