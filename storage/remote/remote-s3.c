/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* s3://BUCKET[/PREFIX]: key "a/b" is object PREFIX/a/b. Files larger than part_size go up in parts (s3-upload.c). */
#include "config.h"

#include <string.h>

#include "remote/remote-private.h"
#include "remote/s3-client.h"
#include "remote/s3-upload.h"
#include "util/error.h"

#define PART_SIZE (64u << 20)
#define PART_SIZE_MIN (5u << 20) /* servers refuse smaller ones, but for the last */
#define PART_SIZE_MAX (1u << 30)

typedef struct
{
  PvRemote base;
  PvS3Client *client; /* (owned) */
  guint64 part_size;
} PvRemoteS3;

static PvS3Client *
client_of (PvRemote *self)
{
  return ((PvRemoteS3 *) self)->client;
}

static GBytes *
steal_body (PvS3Answer *answer)
{
  if (answer->body == NULL)
    return g_bytes_new (NULL, 0);
  return g_byte_array_free_to_bytes (g_steal_pointer (&answer->body));
}

/* ---- reading ---- */

static GBytes *
s3_get (PvRemote *remote, const char *key, guint64 offset, gsize length, GCancellable *cancellable, GError **error)
{
  PvS3Request request = { .method = "GET", .key = key, .cancellable = cancellable, .ranged = TRUE,
                          .range_offset = offset, .range_size = length };
  g_auto(PvS3Answer) answer = { 0 };

  return pv_s3_client_perform (client_of (remote), &request, &answer, error) ? steal_body (&answer) : NULL;
}

static GBytes *
s3_get_all (PvRemote *remote, const char *key, gsize max_size, GCancellable *cancellable, GError **error)
{
  PvS3Request request = { .method = "GET", .key = key, .cancellable = cancellable, .answer_max = max_size };
  g_auto(PvS3Answer) answer = { 0 };

  return pv_s3_client_perform (client_of (remote), &request, &answer, error) ? steal_body (&answer) : NULL;
}

/* HEAD has no body that would say why: a refusal is asked for once more with GET. */
static gboolean
s3_stat (PvRemote *remote, const char *key, guint64 *size, GCancellable *cancellable, GError **error)
{
  PvS3Request request = { .method = "HEAD", .key = key, .cancellable = cancellable };
  g_auto(PvS3Answer) answer = { 0 }, again = { 0 };
  g_autoptr(GError) local = NULL;

  if (pv_s3_client_perform (client_of (remote), &request, &answer, &local))
    {
      *size = answer.length;
      if (answer.length == G_MAXUINT64)
        return pv_corrupt (error, "the server does not say how large object '%s' is", key);
      return TRUE;
    }
  request.method = "GET";
  request.ranged = TRUE;
  request.range_size = 1;
  if (answer.status < 300 || answer.status >= 500
      || (answer.status == 404 && pv_s3_client_has_bucket (client_of (remote)))
      || pv_s3_client_perform (client_of (remote), &request, &again, error))
    {
      g_clear_error (error);
      g_propagate_error (error, g_steal_pointer (&local));
    }
  return FALSE;
}

static gboolean
s3_get_file (PvRemote *remote, const char *key, int fd, guint64 size, GCancellable *cancellable,
             PvRemoteProgress progress, gpointer data, GError **error)
{
  PvS3Request request = { .method = "GET", .key = key, .cancellable = cancellable, .progress = progress,
                          .progress_data = data, .ranged = TRUE, .range_size = size, .whole = TRUE,
                          .to_fd = TRUE, .sink_fd = fd };
  g_auto(PvS3Answer) answer = { 0 };
  guint64 found;

  if (size > 0)
    return pv_s3_client_perform (client_of (remote), &request, &answer, error);
  if (!s3_stat (remote, key, &found, cancellable, error))
    return FALSE;
  if (found != 0)
    return pv_corrupt (error, "object '%s' has %" G_GUINT64_FORMAT " bytes instead of none", key, found);
  return TRUE;
}

/* ---- writing ---- */

/* After a refused conditional put: TRUE when what is there is what was to be put. */
static gboolean
is_there (PvRemote *remote, const char *key, GBytes *bytes, GCancellable *cancellable)
{
  g_autoptr(GBytes) there = s3_get_all (remote, key, g_bytes_get_size (bytes), cancellable, NULL);

  return there != NULL && g_bytes_equal (there, bytes);
}

static gboolean
s3_put (PvRemote *remote, const char *key, GBytes *bytes, PvRemotePutFlags flags, GCancellable *cancellable,
        GError **error)
{
  PvS3Request request = { .method = "PUT", .key = key, .cancellable = cancellable, .body = bytes,
                          .if_absent = (flags & PV_REMOTE_PUT_IF_ABSENT) != 0 };
  g_auto(PvS3Answer) answer = { 0 };
  g_autoptr(GError) local = NULL;

  if (pv_s3_client_perform (client_of (remote), &request, &answer, &local)
      || (g_error_matches (local, PV_ERROR, PV_ERROR_EXISTS) && is_there (remote, key, bytes, cancellable)))
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&local));
  return FALSE;
}

static gboolean
s3_put_file (PvRemote *remote, const char *key, int fd, guint64 size, GCancellable *cancellable,
             PvRemoteProgress progress, gpointer data, GError **error)
{
  PvS3Request request = { .method = "PUT", .key = key, .cancellable = cancellable, .progress = progress,
                          .progress_data = data, .fd = fd, .body_size = size };
  guint64 part_size = ((PvRemoteS3 *) remote)->part_size;
  g_auto(PvS3Answer) answer = { 0 };

  if (size <= part_size)
    return pv_s3_client_perform (client_of (remote), &request, &answer, error);
  return pv_s3_upload (client_of (remote), &request, part_size, error);
}

static gboolean
s3_delete (PvRemote *remote, const char *key, GCancellable *cancellable, GError **error)
{
  PvS3Request request = { .method = "DELETE", .key = key, .cancellable = cancellable, .answer_max = PV_S3_ERROR_MAX };
  g_auto(PvS3Answer) answer = { 0 };
  g_autoptr(GError) local = NULL;

  if (pv_s3_client_perform (client_of (remote), &request, &answer, &local)
      || g_error_matches (local, PV_ERROR, PV_ERROR_NOT_FOUND))
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&local));
  return FALSE;
}

/* ---- listing ---- */

static PvS3Page *
get_page (PvRemote *remote, const char *prefix, const char *after, GCancellable *cancellable, GError **error)
{
  const char *own = pv_s3_client_prefix (client_of (remote));
  g_autofree char *full = g_strconcat (own, prefix, NULL), *encoded = g_uri_escape_string (full, NULL, FALSE);
  g_autofree char *start = after != NULL ? g_uri_escape_string (after, NULL, FALSE) : NULL;
  g_autofree char *query = g_strdup_printf ("list-type=2&max-keys=%u&prefix=%s%s%s", PV_S3_PAGE_ITEMS, encoded,
                                            start != NULL ? "&start-after=" : "", start != NULL ? start : "");
  PvS3Request request = { .method = "GET", .query = query, .cancellable = cancellable, .answer_max = PV_S3_ANSWER_MAX };
  g_auto(PvS3Answer) answer = { 0 };
  PvS3Page *page;

  if (!pv_s3_client_perform (client_of (remote), &request, &answer, error))
    return NULL;
  page = answer.body != NULL ? pv_s3_page_parse ((const char *) answer.body->data, answer.body->len, error) : NULL;
  if (answer.body == NULL)
    pv_corrupt (error, "the server's listing is empty");
  if (page == NULL)
    g_prefix_error (error, "cannot list '%s': ", remote->url);
  return page;
}

/* Visits a page; keys must ascend, which also makes sure that the listing ends. @last: the last key of all. */
static gboolean
visit_page (PvRemote *remote, const PvS3Page *page, const char *prefix, char **last, PvRemoteVisit visit, gpointer data,
            GError **error)
{
  const char *own = pv_s3_client_prefix (client_of (remote));

  for (guint i = 0; i < page->items->len; i++)
    {
      const PvS3Item *item = g_ptr_array_index (page->items, i);
      PvRemoteEntry entry = { .key = item->key + strlen (own), .size = item->size, .mtime = item->mtime };

      if (!g_str_has_prefix (item->key, own) || !g_str_has_prefix (entry.key, prefix)
          || (*last != NULL && strcmp (item->key, *last) <= 0))
        return pv_corrupt (error, "cannot list '%s': the server's listing is not in order", remote->url);
      g_free (*last);
      *last = g_strdup (item->key);
      if (pv_remote_key_is_valid (entry.key) && !visit (&entry, data, error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
s3_list (PvRemote *remote, const char *prefix, const char *after, PvRemoteVisit visit, gpointer data,
         GCancellable *cancellable, GError **error)
{
  const char *own = pv_s3_client_prefix (client_of (remote));
  g_autofree char *last = after != NULL ? g_strconcat (own, after, NULL) : NULL;
  gboolean more = TRUE;

  while (more)
    {
      g_autoptr(PvS3Page) page = NULL;

      if (!pv_remote_go_on (cancellable, error))
        return FALSE;
      page = get_page (remote, prefix, last, cancellable, error);
      if (page == NULL || !visit_page (remote, page, prefix, &last, visit, data, error))
        return FALSE;
      more = page->truncated;
      if (more && page->items->len == 0)
        return pv_corrupt (error, "cannot list '%s': the server's listing does not go on", remote->url);
    }
  return TRUE;
}

static gboolean
s3_sweep (PvRemote *remote, guint64 age, guint64 *n_removed, GCancellable *cancellable, GError **error)
{
  return pv_s3_upload_sweep (client_of (remote), age, n_removed, cancellable, error);
}

static void
s3_free (PvRemote *remote)
{
  pv_s3_client_free (client_of (remote));
  g_free (remote);
}

static const PvRemoteOps s3_ops = {
  .put = s3_put,
  .put_file = s3_put_file,
  .get = s3_get,
  .get_all = s3_get_all,
  .get_file = s3_get_file,
  .stat = s3_stat,
  .delete = s3_delete,
  .list = s3_list,
  .sweep = s3_sweep,
  .free = s3_free,
};

PvRemote *
pv_remote_s3_open (const char *location, const PvRemoteOptions *options, PvRateLimit *limit, GError **error)
{
  guint64 part_size = options->part_size != 0 ? options->part_size : PART_SIZE;
  g_autoptr(PvS3Client) client = NULL;
  PvRemoteS3 *self;

  if (part_size < PART_SIZE_MIN || part_size > PART_SIZE_MAX)
    {
      pv_throw (error, PV_ERROR_INVALID, "parts of an upload have 5 MiB to 1 GiB, not %" G_GUINT64_FORMAT " bytes",
                part_size);
      return NULL;
    }
  client = pv_s3_client_new (location, options, limit, error);
  if (client == NULL)
    return NULL;
  self = g_new0 (PvRemoteS3, 1);
  self->base.ops = &s3_ops;
  self->base.url = pv_s3_client_url (client);
  self->client = g_steal_pointer (&client);
  self->part_size = part_size;
  return &self->base;
}
