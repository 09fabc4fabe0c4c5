/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "remote/s3-upload.h"

#include <string.h>

#include "remote/remote-private.h"
#include "util/error.h"

#define PARTS_MAX 10000u

/* (transfer full): the query of a request about upload @id; @part: 0 for none. */
static char *
make_query (const char *id, guint part)
{
  g_autofree char *encoded = g_uri_escape_string (id, NULL, FALSE);

  return part > 0 ? g_strdup_printf ("partNumber=%u&uploadId=%s", part, encoded)
                  : g_strdup_printf ("uploadId=%s", encoded);
}

/* (transfer full): the id of a new upload. */
static char *
begin (PvS3Client *client, const PvS3Request *put, GError **error)
{
  PvS3Request request = { .method = "POST", .key = put->key, .query = "uploads=", .cancellable = put->cancellable,
                          .answer_max = PV_S3_ERROR_MAX };
  g_auto(PvS3Answer) answer = { 0 };

  if (!pv_s3_client_perform (client, &request, &answer, error))
    return NULL;
  return pv_s3_upload_id_parse (answer.body != NULL ? (const char *) answer.body->data : "",
                                answer.body != NULL ? answer.body->len : 0, error);
}

/* An upload that is not there any more is gone. Not cancellable: this is how a cancelled upload ends. */
static gboolean
abort_upload (PvS3Client *client, const char *key, const char *id, GError **error)
{
  g_autofree char *query = make_query (id, 0);
  PvS3Request request = { .method = "DELETE", .key = key, .query = query, .answer_max = PV_S3_ERROR_MAX };
  g_auto(PvS3Answer) answer = { 0 };
  g_autoptr(GError) local = NULL;

  if (pv_s3_client_perform (client, &request, &answer, &local)
      || g_error_matches (local, PV_ERROR, PV_ERROR_NOT_FOUND))
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&local));
  return FALSE;
}

static gboolean
send_parts (PvS3Client *client, const PvS3Request *put, guint64 part_size, const char *id, GString *parts,
            GError **error)
{
  guint number = 1;

  for (guint64 at = 0; at < put->body_size; at += part_size, number++)
    {
      g_autofree char *query = make_query (id, number), *etag = NULL;
      PvS3Request request = *put;
      g_auto(PvS3Answer) answer = { 0 };

      request.query = query;
      request.body_offset = put->body_offset + at;
      request.body_size = MIN (part_size, put->body_size - at);
      request.progress_base = at;
      request.answer_max = PV_S3_ERROR_MAX;
      if (!pv_s3_client_perform (client, &request, &answer, error))
        return FALSE;
      if (answer.etag[0] == '\0')
        return pv_corrupt (error, "the server gives no mark for part %u of object '%s'", number, put->key);
      etag = g_markup_escape_text (answer.etag, -1);
      g_string_append_printf (parts, "<Part><PartNumber>%u</PartNumber><ETag>%s</ETag></Part>", number, etag);
    }
  return TRUE;
}

static gboolean
has_size (PvS3Client *client, const PvS3Request *put, GError **error)
{
  PvS3Request request = { .method = "HEAD", .key = put->key, .cancellable = put->cancellable };
  g_auto(PvS3Answer) answer = { 0 };

  if (!pv_s3_client_perform (client, &request, &answer, error))
    return FALSE;
  if (answer.length != put->body_size)
    return pv_corrupt (error, "the server has made an object '%s' of %" G_GUINT64_FORMAT " bytes out of %"
                              G_GUINT64_FORMAT, put->key, answer.length, put->body_size);
  return TRUE;
}

/* The answer may be an error though its status is 200. When it was lost, the upload may be done, and unknown now: then
 * the object is there. */
static gboolean
finish (PvS3Client *client, const PvS3Request *put, const char *id, const char *parts, GError **error)
{
  g_autofree char *query = make_query (id, 0);
  g_autofree char *text = g_strdup_printf (
      "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">%s</CompleteMultipartUpload>", parts);
  g_autoptr(GBytes) body = g_bytes_new_static (text, strlen (text));
  PvS3Request request = { .method = "POST", .key = put->key, .query = query, .body = body,
                          .cancellable = put->cancellable, .answer_max = PV_S3_ERROR_MAX };
  g_auto(PvS3Answer) answer = { 0 };
  g_autoptr(GError) local = NULL;
  PvS3Error said;

  if (!pv_s3_client_perform (client, &request, &answer, &local)
      && !(answer.n_unknown > 0 && g_error_matches (local, PV_ERROR, PV_ERROR_NOT_FOUND)))
    {
      g_propagate_error (error, g_steal_pointer (&local));
      return FALSE;
    }
  if (answer.body != NULL)
    {
      pv_s3_error_parse ((const char *) answer.body->data, answer.body->len, &said);
      if (said.code[0] != '\0')
        return pv_throw (error, PV_ERROR_UNREACHABLE, "the server could not put object '%s' together (%s: %s): try "
                         "again later", put->key, said.code, said.message);
    }
  return has_size (client, put, error);
}

gboolean
pv_s3_upload (PvS3Client *client, const PvS3Request *put, guint64 part_size, GError **error)
{
  g_autoptr(GString) parts = g_string_new (NULL);
  g_autofree char *id = begin (client, put, error);
  guint64 needed = (put->body_size + PARTS_MAX - 1) / PARTS_MAX;

  if (id == NULL)
    return FALSE;
  if (send_parts (client, put, MAX (part_size, needed), id, parts, error)
      && finish (client, put, id, parts->str, error))
    return TRUE;
  abort_upload (client, put->key, id, NULL);
  return FALSE;
}

/* ---- what others have left ---- */

static PvS3Page *
get_uploads (PvS3Client *client, const char *key_marker, const char *id_marker, GCancellable *cancellable,
             GError **error)
{
  g_autofree char *prefix = g_uri_escape_string (pv_s3_client_prefix (client), NULL, FALSE);
  g_autofree char *key = g_uri_escape_string (key_marker, NULL, FALSE);
  g_autofree char *id = g_uri_escape_string (id_marker, NULL, FALSE);
  g_autofree char *query = *key_marker == '\0'
      ? g_strdup_printf ("max-uploads=%u&prefix=%s&uploads=", PV_S3_PAGE_ITEMS, prefix)
      : g_strdup_printf ("key-marker=%s&max-uploads=%u&prefix=%s&upload-id-marker=%s&uploads=", key, PV_S3_PAGE_ITEMS,
                         prefix, id);
  PvS3Request request = { .method = "GET", .query = query, .cancellable = cancellable, .answer_max = PV_S3_ANSWER_MAX };
  g_auto(PvS3Answer) answer = { 0 };

  if (!pv_s3_client_perform (client, &request, &answer, error))
    return NULL;
  return pv_s3_page_parse (answer.body != NULL ? (const char *) answer.body->data : "",
                           answer.body != NULL ? answer.body->len : 0, error);
}

static gboolean
sweep_page (PvS3Client *client, const PvS3Page *page, guint64 age, guint64 *n_removed, GCancellable *cancellable,
            GError **error)
{
  const char *prefix = pv_s3_client_prefix (client);
  gint64 now = g_get_real_time () / G_USEC_PER_SEC;

  for (guint i = 0; i < page->items->len; i++)
    {
      const PvS3Item *item = g_ptr_array_index (page->items, i);
      const char *key = item->key + strlen (prefix);

      if (!g_str_has_prefix (item->key, prefix) || !pv_remote_key_is_valid (key) || item->upload_id == NULL
          || now < item->mtime || (guint64) (now - item->mtime) < age)
        continue;
      if (!pv_remote_go_on (cancellable, error) || !abort_upload (client, key, item->upload_id, error))
        return FALSE;
      ++*n_removed;
    }
  return TRUE;
}

gboolean
pv_s3_upload_sweep (PvS3Client *client, guint64 age, guint64 *n_removed, GCancellable *cancellable, GError **error)
{
  g_autofree char *key = g_strdup (""), *id = g_strdup ("");

  for (gboolean more = TRUE; more;)
    {
      g_autoptr(PvS3Page) page = get_uploads (client, key, id, cancellable, error);
      PvS3Item *last;

      if (page == NULL || !sweep_page (client, page, age, n_removed, cancellable, error))
        return FALSE;
      more = page->truncated && page->items->len > 0;
      if (!more)
        break;
      /* Swift's own markers of where to go on are empty. */
      last = g_ptr_array_index (page->items, page->items->len - 1);
      if (strcmp (last->key, key) < 0 || (strcmp (last->key, key) == 0 && g_strcmp0 (last->upload_id, id) == 0))
        return pv_corrupt (error, "the server's list of unfinished uploads is not in order");
      g_free (key);
      g_free (id);
      key = g_steal_pointer (&last->key);
      id = last->upload_id != NULL ? g_steal_pointer (&last->upload_id) : g_strdup ("");
    }
  return TRUE;
}
