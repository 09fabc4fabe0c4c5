/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One try of a request: the only file that drives libcurl's transfers. */
#include "config.h"

#include "remote/s3-private.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "util/error.h"
#include "util/file.h"

#define HEAD_MAX (64u << 10)    /* bytes of all header lines of an answer */
#define CONNECT_SECONDS 20L
#define BUFFER_MIN 1024u        /* what libcurl takes at least */
#define BUFFER_MAX (512u << 10)

typedef struct
{
  PvS3Client *client;
  CURL *handle;
  const PvS3Request *request;
  PvS3Answer *answer;
  guint64 sent;        /* bytes of the body */
  guint64 came_before; /* answer->received when this try began */
  gsize head_size;     /* bytes of header lines */
  gboolean head_seen;  /* the head of the final answer has been checked */
  GByteArray *refusal; /* body of an answer other than 2xx (owned) */
  GError *failure;     /* why a callback gave up (owned) */
} Transfer;

static void
transfer_clear (Transfer *self)
{
  g_clear_pointer (&self->refusal, g_byte_array_unref);
  g_clear_error (&self->failure);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Transfer, transfer_clear)

/* ---- the head of the answer ---- */

static void
copy_value (const char *value, char *to, gsize room)
{
  gsize n = 0;

  for (; *value != '\0' && n + 1 < room; value++)
    to[n++] = g_ascii_isgraph (*value) ? *value : '?';
  to[n] = '\0';
}

static void
forget_head (PvS3Answer *answer)
{
  answer->length = answer->range_first = answer->range_last = answer->range_total = G_MAXUINT64;
  answer->etag[0] = answer->location[0] = answer->region[0] = '\0';
  answer->retry_after = 0;
  memset (&answer->error, 0, sizeof answer->error);
}

/* "bytes FIRST-LAST/TOTAL" */
static void
parse_range (const char *value, PvS3Answer *answer)
{
  g_auto(GStrv) parts = NULL;
  guint64 first, last, total;

  if (!g_str_has_prefix (value, "bytes "))
    return;
  parts = g_strsplit_set (value + strlen ("bytes "), "-/", 4);
  if (g_strv_length (parts) == 3 && g_ascii_string_to_unsigned (parts[0], 10, 0, G_MAXINT64, &first, NULL)
      && g_ascii_string_to_unsigned (parts[1], 10, first, G_MAXINT64, &last, NULL)
      && g_ascii_string_to_unsigned (parts[2], 10, last + 1, G_MAXINT64, &total, NULL))
    {
      answer->range_first = first;
      answer->range_last = last;
      answer->range_total = total;
    }
}

static void
parse_header (const char *name, const char *value, PvS3Answer *answer)
{
  guint64 number;

  if (g_ascii_strcasecmp (name, "etag") == 0 && strlen (value) < sizeof answer->etag)
    copy_value (value, answer->etag, sizeof answer->etag);
  else if (g_ascii_strcasecmp (name, "content-range") == 0)
    parse_range (value, answer);
  else if (g_ascii_strcasecmp (name, "content-length") == 0
           && g_ascii_string_to_unsigned (value, 10, 0, G_MAXINT64, &number, NULL))
    answer->length = number;
  else if (g_ascii_strcasecmp (name, "location") == 0)
    copy_value (value, answer->location, sizeof answer->location);
  else if (g_ascii_strcasecmp (name, "x-amz-bucket-region") == 0)
    copy_value (value, answer->region, sizeof answer->region);
  else if (g_ascii_strcasecmp (name, "retry-after") == 0
           && g_ascii_string_to_unsigned (value, 10, 0, G_MAXINT, &number, NULL))
    answer->retry_after = (guint) number;
}

static size_t
on_header (char *data, size_t one, size_t size, void *user)
{
  Transfer *self = user;
  g_autofree char *line = g_strndup (data, size);
  char *colon = strchr (line, ':');

  self->head_size += size;
  if (self->head_size > HEAD_MAX)
    {
      pv_corrupt (&self->failure, "the head of the server's answer is too long");
      return 0;
    }
  if (g_str_has_prefix (line, "HTTP/"))
    forget_head (self->answer);
  else if (colon != NULL)
    {
      *colon = '\0';
      parse_header (g_strstrip (line), g_strstrip (colon + 1), self->answer);
    }
  return size;
}

/* What a ranged read asked for is what comes. */
static gboolean
check_range (Transfer *self, GError **error)
{
  const PvS3Request *request = self->request;
  const PvS3Answer *answer = self->answer;
  guint64 first = request->range_offset + self->came_before, last = request->range_offset + request->range_size - 1;

  if (answer->status == 200 && first == 0 && answer->length == request->range_size)
    return TRUE;
  if (answer->status == 200 && answer->length != G_MAXUINT64 && first == 0 && request->whole)
    return pv_corrupt (error, "object '%s' has %" G_GUINT64_FORMAT " bytes instead of %" G_GUINT64_FORMAT, request->key,
                       answer->length, request->range_size);
  if (answer->status != 206)
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "%s cannot read parts of objects: use another server",
                     self->client->endpoint);
  if (answer->range_first != first || answer->range_last > last)
    return pv_corrupt (error, "%s answers with other bytes of object '%s' than were asked for", self->client->endpoint,
                       request->key);
  if (answer->range_last < last || (request->whole && answer->range_total != request->range_size))
    return pv_corrupt (error, "object '%s' has %" G_GUINT64_FORMAT " bytes, not what is wanted: %" G_GUINT64_FORMAT
                              " from offset %" G_GUINT64_FORMAT,
                       request->key, answer->range_total, request->range_size, request->range_offset);
  return TRUE;
}

static gboolean
check_head (Transfer *self)
{
  const PvS3Request *request = self->request;

  if (self->head_seen)
    return TRUE;
  self->head_seen = TRUE;
  curl_easy_getinfo (self->handle, CURLINFO_RESPONSE_CODE, &self->answer->status);
  if (self->answer->status / 100 != 2 || strcmp (request->method, "HEAD") == 0)
    return TRUE;
  if (request->ranged)
    return check_range (self, &self->failure);
  if (self->answer->length != G_MAXUINT64 && self->answer->length > request->answer_max)
    return pv_corrupt (&self->failure, "object '%s' has %" G_GUINT64_FORMAT " bytes, more than the %" G_GSIZE_FORMAT
                                       " it can have",
                       request->key != NULL ? request->key : "", self->answer->length, request->answer_max);
  return TRUE;
}

/* ---- bodies ---- */

static gboolean
keep (Transfer *self, const char *data, gsize size)
{
  const PvS3Request *request = self->request;
  PvS3Answer *answer = self->answer;
  guint64 room = request->ranged ? request->range_size : request->answer_max;

  if (answer->received + size > room)
    return pv_corrupt (&self->failure, "%s sends more of '%s' than the %" G_GUINT64_FORMAT " bytes there can be",
                       self->client->endpoint, request->key != NULL ? request->key : "", room);
  if (request->to_fd
      && !pv_pwrite_all (request->sink_fd, data, size, request->sink_offset + answer->received, "the local copy",
                         &self->failure))
    return FALSE;
  if (!request->to_fd)
    {
      if (answer->body == NULL)
        answer->body = g_byte_array_new ();
      g_byte_array_append (answer->body, (const guint8 *) data, (guint) size);
    }
  answer->received += size;
  if (request->progress != NULL)
    request->progress (request->progress_base + answer->received, request->progress_data);
  return TRUE;
}

static size_t
on_body (char *data, size_t one, size_t size, void *user)
{
  Transfer *self = user;

  if (!check_head (self))
    return 0;
  if (self->answer->status / 100 != 2)
    {
      gsize room = PV_S3_ERROR_MAX - MIN (self->refusal->len, PV_S3_ERROR_MAX);

      if (room == 0)
        return 0; /* an endless refusal: what there is of it must do */
      g_byte_array_append (self->refusal, (const guint8 *) data, (guint) MIN (size, room));
      return size;
    }
  pv_rate_limit_take (self->client->limit, size, self->request->cancellable);
  return keep (self, data, size) ? size : 0;
}

static size_t
on_read (char *data, size_t one, size_t room, void *user)
{
  Transfer *self = user;
  const PvS3Request *request = self->request;
  gsize size = (gsize) MIN (request->body_size - self->sent, MIN (room, pv_rate_limit_step (self->client->limit)));

  pv_rate_limit_take (self->client->limit, size, request->cancellable);
  if (request->body != NULL)
    memcpy (data, (const char *) g_bytes_get_data (request->body, NULL) + self->sent, size);
  else if (!pv_pread_exact (request->fd, data, size, request->body_offset + self->sent, request->key, &self->failure))
    return CURL_READFUNC_ABORT;
  self->sent += size;
  if (request->progress != NULL)
    request->progress (request->progress_base + self->sent, request->progress_data);
  return size;
}

static int
on_seek (void *user, curl_off_t offset, int origin)
{
  Transfer *self = user;

  if (origin != SEEK_SET || offset < 0 || (guint64) offset > self->request->body_size)
    return CURL_SEEKFUNC_CANTSEEK;
  self->sent = (guint64) offset;
  return CURL_SEEKFUNC_OK;
}

static int
on_progress (void *user, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
  Transfer *self = user;

  return g_cancellable_is_cancelled (self->request->cancellable);
}

/* ---- setting up ---- */

static void
set_security (PvS3Client *client, CURL *handle)
{
  curl_easy_setopt (handle, CURLOPT_AWS_SIGV4, client->signer);
  curl_easy_setopt (handle, CURLOPT_USERNAME, client->credentials->access_key);
  curl_easy_setopt (handle, CURLOPT_PASSWORD, client->credentials->secret_key);
  curl_easy_setopt (handle, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt (handle, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt (handle, CURLOPT_SSL_VERIFYPEER, 1L);
  curl_easy_setopt (handle, CURLOPT_SSL_VERIFYHOST, 2L);
  if (client->ca_file != NULL)
    {
      curl_easy_setopt (handle, CURLOPT_CAINFO, client->ca_file);
      curl_easy_setopt (handle, CURLOPT_CAPATH, NULL);
    }
}

static void
set_callbacks (Transfer *self)
{
  CURL *handle = self->handle;
  long buffer = (long) CLAMP (pv_rate_limit_step (self->client->limit), BUFFER_MIN, BUFFER_MAX);

  curl_easy_setopt (handle, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt (handle, CURLOPT_PATH_AS_IS, 1L);
  curl_easy_setopt (handle, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1);
  curl_easy_setopt (handle, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
  curl_easy_setopt (handle, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt (handle, CURLOPT_LOW_SPEED_TIME, (long) self->client->stall_seconds);
  curl_easy_setopt (handle, CURLOPT_BUFFERSIZE, buffer);
  curl_easy_setopt (handle, CURLOPT_UPLOAD_BUFFERSIZE, (long) BUFFER_MAX);
  curl_easy_setopt (handle, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt (handle, CURLOPT_HEADERDATA, self);
  curl_easy_setopt (handle, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt (handle, CURLOPT_WRITEDATA, self);
  curl_easy_setopt (handle, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt (handle, CURLOPT_XFERINFOFUNCTION, on_progress);
  curl_easy_setopt (handle, CURLOPT_XFERINFODATA, self);
}

static void
set_method (Transfer *self)
{
  const PvS3Request *request = self->request;
  CURL *handle = self->handle;

  if (strcmp (request->method, "HEAD") == 0)
    curl_easy_setopt (handle, CURLOPT_NOBODY, 1L);
  else if (strcmp (request->method, "DELETE") == 0)
    curl_easy_setopt (handle, CURLOPT_CUSTOMREQUEST, "DELETE");
  else if (strcmp (request->method, "PUT") == 0)
    {
      curl_easy_setopt (handle, CURLOPT_UPLOAD, 1L);
      curl_easy_setopt (handle, CURLOPT_INFILESIZE_LARGE, (curl_off_t) request->body_size);
    }
  else if (strcmp (request->method, "POST") == 0)
    {
      curl_easy_setopt (handle, CURLOPT_POST, 1L);
      curl_easy_setopt (handle, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) request->body_size);
    }
  curl_easy_setopt (handle, CURLOPT_READFUNCTION, on_read);
  curl_easy_setopt (handle, CURLOPT_READDATA, self);
  curl_easy_setopt (handle, CURLOPT_SEEKFUNCTION, on_seek);
  curl_easy_setopt (handle, CURLOPT_SEEKDATA, self);
  if (request->ranged)
    {
      g_autofree char *range = g_strdup_printf (
          "%" G_GUINT64_FORMAT "-%" G_GUINT64_FORMAT, request->range_offset + self->came_before,
          request->range_offset + request->range_size - 1);

      curl_easy_setopt (handle, CURLOPT_RANGE, range);
    }
}

static struct curl_slist *
make_headers (const PvS3Client *client, const PvS3Request *request, const PvS3Digests *digests)
{
  g_autofree char *digest = g_strconcat ("x-amz-content-sha256: ", digests->sha256, NULL);
  struct curl_slist *headers = curl_slist_append (NULL, digest);

  if (client->credentials->session_token != NULL)
    {
      g_autofree char *token = g_strconcat ("x-amz-security-token: ", client->credentials->session_token, NULL);

      headers = curl_slist_append (headers, token);
    }
  if (digests->md5[0] != '\0')
    {
      g_autofree char *md5 = g_strconcat ("Content-MD5: ", digests->md5, NULL);

      headers = curl_slist_append (headers, md5);
    }
  if (strcmp (request->method, "POST") == 0)
    headers = curl_slist_append (headers, "Content-Type: application/xml");
  if (request->if_absent)
    headers = curl_slist_append (headers, "If-None-Match: *");
  return headers;
}

static void
set_url (Transfer *self)
{
  const PvS3Request *request = self->request;
  const char *query = request->query;
  g_autofree char *key = request->key != NULL ? g_strconcat (self->client->prefix, request->key, NULL) : NULL;
  g_autofree char *url = g_strconcat (self->client->base, "/", key != NULL ? key : "", query != NULL ? "?" : "",
                                      query != NULL ? query : "", NULL);

  curl_easy_setopt (self->handle, CURLOPT_URL, url);
}

/* ---- what came of it ---- */

/* libcurl gave up before there was a whole answer. */
static PvS3Outcome
judge_broken (Transfer *self, CURLcode code, const char *detail, GError **error)
{
  const PvS3Client *client = self->client;
  const char *why = detail[0] != '\0' ? detail : curl_easy_strerror (code);
  gboolean unsure = code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST;

  if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE || code == CURLE_SSL_ISSUER_ERROR)
    {
      pv_throw (error, PV_ERROR_INVALID, "the certificate of %s is not trusted (%s): give the file of its authority",
                client->endpoint, why);
      return PV_S3_FAILED;
    }
  if (code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_NOT_BUILT_IN)
    {
      pv_throw (error, PV_ERROR_INVALID, "%s cannot be asked (%s): give another endpoint", client->endpoint, why);
      return PV_S3_FAILED;
    }
  pv_throw (error, PV_ERROR_UNREACHABLE, "%s gives no whole answer to %s of '%s' in bucket '%s' (%s): check network "
            "and endpoint, or try again later", client->endpoint, self->request->method,
            self->request->key != NULL ? self->request->key : "", client->bucket, why);
  return unsure && !g_atomic_int_get (&client->answered) ? PV_S3_FAILED : PV_S3_AGAIN;
}

static PvS3Outcome
judge_transfer (Transfer *self, CURLcode code, const char *detail, GError **error)
{
  PvS3Answer *answer = self->answer;
  gboolean refused;

  if (g_cancellable_is_cancelled (self->request->cancellable) && code != CURLE_OK)
    {
      pv_throw (error, PV_ERROR_CANCELLED, "cancelled");
      return PV_S3_FAILED;
    }
  curl_easy_getinfo (self->handle, CURLINFO_RESPONSE_CODE, &answer->status);
  if (answer->status != 0)
    g_atomic_int_set (&self->client->answered, 1);
  if (code == CURLE_OK)
    check_head (self);
  if (self->failure != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&self->failure));
      return PV_S3_FAILED;
    }
  /* A server may answer before it has read the body, and close. */
  refused = answer->status >= 300 && (code == CURLE_OK || code == CURLE_SEND_ERROR || code == CURLE_RECV_ERROR
                                      || code == CURLE_WRITE_ERROR || code == CURLE_PARTIAL_FILE);
  if (refused)
    {
      pv_s3_error_parse ((const char *) self->refusal->data, self->refusal->len, &answer->error);
      return pv_s3_judge (self->client, self->request, answer, error);
    }
  if (code != CURLE_OK || answer->status / 100 != 2)
    return judge_broken (self, code != CURLE_OK ? code : CURLE_WEIRD_SERVER_REPLY, detail, error);
  if (self->request->ranged && answer->received != self->request->range_size)
    return judge_broken (self, CURLE_PARTIAL_FILE, detail, error);
  g_atomic_int_set (&self->client->has_bucket, 1);
  return PV_S3_DONE;
}

PvS3Outcome
pv_s3_transfer (PvS3Client *self, CURL *handle, const PvS3Request *request, const PvS3Digests *digests,
                PvS3Answer *answer, GError **error)
{
  g_auto(Transfer) transfer = { .client = self, .handle = handle, .request = request, .answer = answer };
  struct curl_slist *headers = make_headers (self, request, digests);
  char detail[CURL_ERROR_SIZE] = "";
  CURLcode code;

  if (!request->ranged)
    {
      g_clear_pointer (&answer->body, g_byte_array_unref);
      answer->received = 0;
    }
  answer->status = 0;
  forget_head (answer);
  transfer.came_before = answer->received;
  transfer.refusal = g_byte_array_new ();
  curl_easy_reset (handle);
  set_security (self, handle);
  set_callbacks (&transfer);
  set_method (&transfer);
  set_url (&transfer);
  curl_easy_setopt (handle, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt (handle, CURLOPT_ERRORBUFFER, detail);
  code = curl_easy_perform (handle);
  curl_easy_setopt (handle, CURLOPT_ERRORBUFFER, NULL);
  curl_easy_setopt (handle, CURLOPT_HTTPHEADER, NULL);
  curl_slist_free_all (headers);
  return judge_transfer (&transfer, code, detail, error);
}
