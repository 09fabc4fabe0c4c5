/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "remote/s3-client.h"

#include <openssl/evp.h>
#include <string.h>

#include "remote/remote-private.h"
#include "remote/s3-private.h"
#include "util/error.h"
#include "util/file.h"

#define TRIES 8u
#define STALL_SECONDS 30u
#define PAUSE_MS 250u
#define PAUSE_MAX_MS 10000u
#define RETRY_AFTER_MAX 60u     /* seconds that a server may ask for */
#define GOOD_PROGRESS (64u << 10) /* bytes that make a try not count */
#define IDLE_MAX 32u            /* connections kept */
#define DEFAULT_REGION "us-east-1"
#define ALNUM G_CSET_a_2_z G_CSET_A_2_Z G_CSET_DIGITS

void
pv_s3_answer_clear (PvS3Answer *self)
{
  g_clear_pointer (&self->body, g_byte_array_unref);
  memset (self, 0, sizeof *self);
}

/* ---- making one ---- */

static gboolean
is_bucket_name (const char *name)
{
  gsize n = strlen (name);

  return n >= 3 && n <= 63 && strspn (name, ALNUM "._-") == n
         && g_ascii_isalnum (name[0]) && g_ascii_isalnum (name[n - 1]) && strstr (name, "..") == NULL;
}

/* "BUCKET[/PREFIX]" */
static gboolean
parse_location (PvS3Client *self, const char *location, GError **error)
{
  g_auto(GStrv) parts = g_strsplit (location, "/", 2);
  g_autofree char *prefix = g_strdup (parts[0] != NULL && parts[1] != NULL ? parts[1] : "");

  if (g_str_has_suffix (prefix, "/"))
    prefix[strlen (prefix) - 1] = '\0';
  if (parts[0] == NULL || !is_bucket_name (parts[0])
      || (parts[1] != NULL && *parts[1] != '\0' && !pv_remote_key_is_valid (prefix)))
    return pv_throw (error, PV_ERROR_INVALID, "that URL names no bucket: give s3://BUCKET[/PREFIX], of letters, "
                     "digits, '.', '_' and '-'"); /* it is not shown: there may be a secret in it */
  self->bucket = g_strdup (parts[0]);
  self->prefix = *prefix != '\0' ? g_strconcat (prefix, "/", NULL) : g_strdup ("");
  return TRUE;
}

/* Letters, digits and '-': it ends up in a host name and in a header. */
static gboolean
parse_region (PvS3Client *self, const char *region, GError **error)
{
  static const char *const variables[] = { "AWS_REGION", "AWS_DEFAULT_REGION" };

  for (guint i = 0; region == NULL && i < G_N_ELEMENTS (variables); i++)
    region = g_getenv (variables[i]) != NULL && *g_getenv (variables[i]) != '\0' ? g_getenv (variables[i]) : NULL;
  if (region == NULL)
    region = DEFAULT_REGION;
  if (*region == '\0' || strlen (region) > 63
      || strspn (region, ALNUM "_-") != strlen (region))
    return pv_throw (error, PV_ERROR_INVALID, "'%s' cannot be a region: give one like " DEFAULT_REGION, region);
  self->region = g_strdup (region);
  self->signer = g_strdup_printf ("aws:amz:%s:s3", region);
  return TRUE;
}

static gboolean
parse_endpoint (PvS3Client *self, const PvRemoteOptions *options, GError **error)
{
  g_autofree char *amazon = g_strdup_printf ("https://s3.%s.amazonaws.com", self->region);
  const char *endpoint = options->endpoint != NULL ? options->endpoint : amazon;
  g_autoptr(GUri) uri = g_uri_parse (endpoint, G_URI_FLAGS_NONE, NULL);
  const char *scheme = uri != NULL ? g_uri_get_scheme (uri) : "", *host = uri != NULL ? g_uri_get_host (uri) : NULL;
  gboolean virtual_host = options->addressing == PV_REMOTE_ADDRESS_VIRTUAL
                          || (options->addressing == PV_REMOTE_ADDRESS_AUTO && options->endpoint == NULL
                              && strchr (self->bucket, '.') == NULL);
  g_autofree char *port = NULL, *bracketed = NULL;

  if (uri == NULL || (strcmp (scheme, "https") != 0 && strcmp (scheme, "http") != 0) || host == NULL || *host == '\0'
      || g_uri_get_userinfo (uri) != NULL || g_uri_get_query (uri) != NULL || g_uri_get_fragment (uri) != NULL
      || !(g_str_equal (g_uri_get_path (uri), "") || g_str_equal (g_uri_get_path (uri), "/"))
      || strspn (host, ALNUM ".-:") != strlen (host))
    return pv_throw (error, PV_ERROR_INVALID, "that endpoint is no https://HOST[:PORT]: give one without path, user or "
                     "query");
  bracketed = strchr (host, ':') != NULL ? g_strdup_printf ("[%s]", host) : g_strdup (host);
  port = g_uri_get_port (uri) > 0 ? g_strdup_printf (":%d", g_uri_get_port (uri)) : g_strdup ("");
  self->endpoint = g_strdup_printf ("%s://%s%s", scheme, bracketed, port);
  self->base = virtual_host ? g_strdup_printf ("%s://%s.%s%s", scheme, self->bucket, bracketed, port)
                            : g_strdup_printf ("%s/%s", self->endpoint, self->bucket);
  return TRUE;
}

static gboolean
start_curl (GError **error)
{
  static gsize started;

  if (g_once_init_enter (&started))
    g_once_init_leave (&started, 1 + (gsize) curl_global_init (CURL_GLOBAL_ALL));
  if (started != 1)
    return pv_throw (error, PV_ERROR_FAILED, "libcurl cannot be used: %s",
                     curl_easy_strerror ((CURLcode) (started - 1)));
  return TRUE;
}

PvS3Client *
pv_s3_client_new (const char *location, const PvRemoteOptions *options, PvRateLimit *limit, GError **error)
{
  g_autoptr(PvS3Client) self = g_new0 (PvS3Client, 1);

  g_mutex_init (&self->lock);
  self->idle = g_ptr_array_new_with_free_func (curl_easy_cleanup);
  self->limit = limit;
  self->max_tries = options->max_tries > 0 ? options->max_tries : TRIES;
  self->stall_seconds = options->stall_seconds > 0 ? options->stall_seconds : STALL_SECONDS;
  self->pause_ms = options->pause_ms > 0 ? options->pause_ms : PAUSE_MS;
  self->ca_file = g_strdup (options->ca_file);
  if (!start_curl (error) || !parse_location (self, location, error) || !parse_region (self, options->region, error)
      || !parse_endpoint (self, options, error))
    return NULL;
  if (self->ca_file != NULL && !g_file_test (self->ca_file, G_FILE_TEST_IS_REGULAR))
    {
      pv_throw (error, PV_ERROR_INVALID, "there is no file '%s' of authorities to trust", self->ca_file);
      return NULL;
    }
  self->credentials = pv_s3_credentials_find (options, error);
  return self->credentials != NULL ? g_steal_pointer (&self) : NULL;
}

void
pv_s3_client_free (PvS3Client *self)
{
  if (self == NULL)
    return;
  g_ptr_array_unref (self->idle);
  pv_s3_credentials_free (self->credentials);
  g_mutex_clear (&self->lock);
  g_free (self->bucket);
  g_free (self->prefix);
  g_free (self->endpoint);
  g_free (self->base);
  g_free (self->region);
  g_free (self->signer);
  g_free (self->ca_file);
  g_free (self);
}

char *
pv_s3_client_url (const PvS3Client *self)
{
  g_autofree char *url = g_strdup_printf ("s3://%s/%s", self->bucket, self->prefix);

  url[strlen (url) - 1] = '\0'; /* a '/' */
  return g_steal_pointer (&url);
}

const char *
pv_s3_client_prefix (const PvS3Client *self)
{
  return self->prefix;
}

gboolean
pv_s3_client_has_bucket (PvS3Client *self)
{
  return g_atomic_int_get (&self->has_bucket) != 0;
}

/* ---- requests ---- */

static CURL *
take_handle (PvS3Client *self)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  return self->idle->len > 0 ? g_ptr_array_steal_index_fast (self->idle, self->idle->len - 1) : curl_easy_init ();
}

static void
give_handle (PvS3Client *self, CURL *handle)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  curl_easy_reset (handle); /* which forgets the credentials, not the connection */
  if (self->idle->len < IDLE_MAX)
    g_ptr_array_add (self->idle, handle);
  else
    curl_easy_cleanup (handle);
}

static void
write_digests (EVP_MD_CTX *sha256, EVP_MD_CTX *md5, PvS3Digests *digests)
{
  guint8 digest[EVP_MAX_MD_SIZE];
  g_autofree char *text = NULL;
  guint size = 0;

  EVP_DigestFinal_ex (sha256, digest, NULL);
  for (guint i = 0; i < 32; i++)
    g_snprintf (digests->sha256 + 2 * i, 3, "%02x", digest[i]);
  digests->md5[0] = '\0';
  if (md5 == NULL || EVP_DigestFinal_ex (md5, digest, &size) != 1)
    return;
  text = g_base64_encode (digest, size);
  g_strlcpy (digests->md5, text, sizeof digests->md5);
}

/* Only where the server wants it, as it takes twice as long as SHA-256. A host may forbid MD5: then NULL. */
static EVP_MD_CTX *
make_md5 (PvS3Client *self, const PvS3Request *request)
{
  gboolean wanted = g_atomic_int_get (&self->wants_md5) && strcmp (request->method, "PUT") == 0;
  EVP_MD_CTX *context = wanted ? EVP_MD_CTX_new () : NULL;

  if (context == NULL || EVP_DigestInit_ex (context, EVP_md5 (), NULL) == 1)
    return context;
  EVP_MD_CTX_free (context);
  return NULL;
}

static gboolean
add_bytes (EVP_MD_CTX *sha256, EVP_MD_CTX *md5, gconstpointer data, gsize size)
{
  return EVP_DigestUpdate (sha256, data, size) == 1 && (md5 == NULL || EVP_DigestUpdate (md5, data, size) == 1);
}

/* Of what is sent. */
static gboolean
digest_body (PvS3Client *self, const PvS3Request *request, PvS3Digests *digests, GError **error)
{
  g_autofree guint8 *buffer = NULL;
  EVP_MD_CTX *context = EVP_MD_CTX_new (), *md5 = make_md5 (self, request);
  gboolean ok = EVP_DigestInit_ex (context, EVP_sha256 (), NULL) == 1;

  g_assert (ok);
  if (request->body != NULL)
    add_bytes (context, md5, g_bytes_get_data (request->body, NULL), g_bytes_get_size (request->body));
  else if (request->body_size > 0)
    {
      buffer = g_malloc (1 << 20);
      for (guint64 at = 0; ok && at < request->body_size; at += 1 << 20)
        {
          gsize n = (gsize) MIN (request->body_size - at, 1 << 20);

          ok = pv_remote_go_on (request->cancellable, error)
               && pv_pread_exact (request->fd, buffer, n, request->body_offset + at, request->key, error)
               && add_bytes (context, md5, buffer, n);
        }
    }
  write_digests (context, md5, digests);
  EVP_MD_CTX_free (context);
  EVP_MD_CTX_free (md5);
  return ok;
}

/* Between half of the pause and all of it, or what the server asks for; ends early when cancelled. */
static void
pause_before (const PvS3Client *self, const PvS3Request *request, guint n_tries, guint retry_after)
{
  guint pause_ms = MIN (PAUSE_MAX_MS, self->pause_ms << MIN (n_tries - 1, 12));
  gint64 until;

  pause_ms = (guint) g_random_int_range ((gint) pause_ms / 2, (gint) pause_ms + 1);
  pause_ms = MAX (pause_ms, MIN (retry_after, RETRY_AFTER_MAX) * 1000);
  until = g_get_monotonic_time () + pause_ms * G_TIME_SPAN_MILLISECOND;
  while (g_get_monotonic_time () < until && !g_cancellable_is_cancelled (request->cancellable))
    g_usleep ((gulong) CLAMP (until - g_get_monotonic_time (), 1, 50 * G_TIME_SPAN_MILLISECOND));
}

/* Whoever reads page by page meets a server that is away again and again: it is told at once, and asks again when it
 * likes. */
static gboolean
is_last_try (PvS3Client *self, PvS3Outcome outcome, guint n_tries)
{
  if (outcome != PV_S3_AGAIN)
    {
      g_atomic_int_set (&self->away, 0);
      return TRUE;
    }
  if (n_tries < self->max_tries && !g_atomic_int_get (&self->away))
    return FALSE;
  g_atomic_int_set (&self->away, 1);
  return TRUE;
}

/* The server takes nothing without MD5, and this request had none: TRUE when it is to be made once more, with it. */
static gboolean
add_md5 (PvS3Client *self, const PvS3Request *request, PvS3Outcome outcome, PvS3Digests *digests)
{
  if (outcome != PV_S3_WANTS_MD5 || digests->md5[0] != '\0')
    return FALSE;
  g_atomic_int_set (&self->wants_md5, 1);
  return digest_body (self, request, digests, NULL) && digests->md5[0] != '\0';
}

gboolean
pv_s3_client_perform (PvS3Client *self, const PvS3Request *request, PvS3Answer *answer, GError **error)
{
  PvS3Request sized = *request;
  PvS3Digests digests;
  PvS3Outcome outcome;
  guint n_tries = 0;

  if (request->body != NULL)
    sized.body_size = g_bytes_get_size (request->body);
  if (!digest_body (self, &sized, &digests, error))
    return FALSE;
  for (;;)
    {
      g_autoptr(GError) local = NULL;
      guint64 received = answer->received;
      CURL *handle = take_handle (self);

      outcome = pv_s3_transfer (self, handle, &sized, &digests, answer, &local);
      give_handle (self, handle);
      if (outcome == PV_S3_DONE)
        {
          g_atomic_int_set (&self->away, 0);
          return TRUE;
        }
      if (add_md5 (self, &sized, outcome, &digests))
        continue;
      if (sized.ranged && answer->received > received && answer->received - received >= GOOD_PROGRESS)
        n_tries = 0;
      if (is_last_try (self, outcome, ++n_tries))
        {
          g_propagate_error (error, g_steal_pointer (&local));
          return FALSE;
        }
      if (answer->status == 0 || answer->status >= 500)
        answer->n_unknown++;
      pause_before (self, request, n_tries, answer->retry_after);
      if (!pv_remote_go_on (request->cancellable, error))
        return FALSE;
    }
}
