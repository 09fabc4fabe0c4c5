/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "remote/s3-xml.h"

#include <string.h>

#include "util/error.h"

#define DEPTH_MAX 16u
#define TEXT_MAX 4096u /* bytes of one element's text: a key has at most 1024, a character reference 6 for one */

/* What is read of any of the documents: the text of each leaf element is handed to @leaf. */
typedef struct _Reader Reader;
struct _Reader
{
  const char *root;                                                              /* its element, without prefix */
  gboolean (*open) (Reader *self, const char *name);                             /* (nullable): an element begins */
  gboolean (*leaf) (Reader *self, const char *parent, const char *name, const char *text); /* an element ends */
  gpointer result;
  GString *text;               /* of the innermost element so far */
  char names[DEPTH_MAX][48];   /* of the open elements */
  guint depth;
  gboolean ended;              /* its root element */
};

static const char *
local_name (const char *name)
{
  const char *colon = strrchr (name, ':');

  return colon != NULL ? colon + 1 : name;
}

static gboolean
refuse (GError **error, const char *why)
{
  g_set_error_literal (error, G_MARKUP_ERROR, G_MARKUP_ERROR_INVALID_CONTENT, why);
  return FALSE;
}

static void
on_start (GMarkupParseContext *context, const char *name, const char **attributes, const char **values, gpointer data,
          GError **error)
{
  Reader *self = data;

  name = local_name (name);
  if (self->depth == DEPTH_MAX)
    refuse (error, "elements are nested too deep");
  else if (self->depth == 0 && (self->ended || !g_str_equal (name, self->root)))
    refuse (error, "it is another document");
  else if (self->open != NULL && !self->open (self, name))
    refuse (error, "it has too many items");
  else
    {
      g_strlcpy (self->names[self->depth++], name, sizeof self->names[0]);
      g_string_truncate (self->text, 0);
    }
}

static void
on_text (GMarkupParseContext *context, const char *text, gsize size, gpointer data, GError **error)
{
  Reader *self = data;

  if (self->text->len + size > TEXT_MAX)
    refuse (error, "an element is too long");
  else
    g_string_append_len (self->text, text, (gssize) size);
}

static void
on_end (GMarkupParseContext *context, const char *name, gpointer data, GError **error)
{
  Reader *self = data;
  const char *parent = self->depth >= 2 ? self->names[self->depth - 2] : "";

  if (!self->leaf (self, parent, self->names[self->depth - 1], self->text->str))
    refuse (error, "an element has no valid content");
  self->ended = --self->depth == 0;
  g_string_truncate (self->text, 0);
}

/* @self->result is filled as far as it went. */
static gboolean
read_document (Reader *self, const char *text, gsize size, gsize max_size, GError **error)
{
  static const GMarkupParser parser = { .start_element = on_start, .end_element = on_end, .text = on_text };
  g_autoptr(GMarkupParseContext) context = g_markup_parse_context_new (&parser, 0, self, NULL);
  g_autoptr(GString) buffer = g_string_new (NULL);
  g_autoptr(GError) local = NULL;

  if (size > max_size)
    return pv_corrupt (error, "the server's answer is too large");
  self->text = buffer;
  if (!g_markup_parse_context_parse (context, text, (gssize) size, &local)
      || !g_markup_parse_context_end_parse (context, &local))
    return pv_corrupt (error, "the server's answer is not the document that it should be: %s", local->message);
  return TRUE;
}

/* ---- errors ---- */

static void
copy_printable (char *to, gsize room, const char *from)
{
  gsize n = 0;

  for (; *from != '\0' && n + 1 < room; from++)
    to[n++] = g_ascii_isprint (*from) ? *from : '?';
  to[n] = '\0';
}

static gboolean
error_leaf (Reader *self, const char *parent, const char *name, const char *text)
{
  PvS3Error *out = self->result;

  if (!g_str_equal (parent, "Error"))
    return TRUE;
  if (g_str_equal (name, "Code"))
    copy_printable (out->code, sizeof out->code, text);
  else if (g_str_equal (name, "Message"))
    copy_printable (out->message, sizeof out->message, text);
  else if (g_str_equal (name, "Region"))
    copy_printable (out->region, sizeof out->region, text);
  return TRUE;
}

void
pv_s3_error_parse (const char *text, gsize size, PvS3Error *out)
{
  Reader reader = { .root = "Error", .leaf = error_leaf, .result = out };

  memset (out, 0, sizeof *out);
  if (size == 0 || !read_document (&reader, text, size, PV_S3_ERROR_MAX, NULL))
    memset (out, 0, sizeof *out);
}

/* ---- listings ---- */

static void
item_free (gpointer data)
{
  PvS3Item *self = data;

  g_free (self->key);
  g_free (self->upload_id);
  g_free (self);
}

void
pv_s3_page_free (PvS3Page *self)
{
  if (self == NULL)
    return;
  g_ptr_array_unref (self->items);
  g_free (self);
}

static gboolean
page_open (Reader *self, const char *name)
{
  PvS3Page *page = self->result;

  if (self->depth != 1 || !(g_str_equal (name, "Contents") || g_str_equal (name, "Upload")))
    return TRUE;
  g_ptr_array_add (page->items, g_new0 (PvS3Item, 1));
  return page->items->len <= PV_S3_PAGE_ITEMS;
}

static gboolean
parse_time (const char *text, gint64 *seconds)
{
  g_autoptr(GTimeZone) utc = g_time_zone_new_utc ();
  g_autoptr(GDateTime) time = g_date_time_new_from_iso8601 (text, utc);

  if (time != NULL)
    *seconds = g_date_time_to_unix (time);
  return time != NULL;
}

static void
replace (char **field, const char *text)
{
  g_free (*field);
  *field = g_strdup (text);
}

static gboolean
item_leaf (PvS3Item *item, const char *name, const char *text)
{
  if (g_str_equal (name, "Key"))
    replace (&item->key, text);
  else if (g_str_equal (name, "UploadId"))
    replace (&item->upload_id, text);
  else if (g_str_equal (name, "Size"))
    return g_ascii_string_to_unsigned (text, 10, 0, G_MAXINT64, &item->size, NULL);
  else if (g_str_equal (name, "LastModified") || g_str_equal (name, "Initiated"))
    return parse_time (text, &item->mtime);
  return TRUE;
}

static gboolean
page_leaf (Reader *self, const char *parent, const char *name, const char *text)
{
  PvS3Page *page = self->result;

  if (self->depth == 3 && (g_str_equal (parent, "Contents") || g_str_equal (parent, "Upload")))
    return item_leaf (g_ptr_array_index (page->items, page->items->len - 1), name, text);
  if (self->depth != 2)
    return TRUE;
  if (g_str_equal (name, "IsTruncated"))
    page->truncated = g_str_equal (text, "true");
  return TRUE;
}

PvS3Page *
pv_s3_page_parse (const char *text, gsize size, GError **error)
{
  g_autoptr(PvS3Page) page = g_new0 (PvS3Page, 1);
  gboolean uploads = g_strstr_len (text, (gssize) MIN (size, 512), "ListMultipartUploadsResult") != NULL;
  Reader reader = { .root = uploads ? "ListMultipartUploadsResult" : "ListBucketResult",
                    .open = page_open,
                    .leaf = page_leaf,
                    .result = page };

  page->items = g_ptr_array_new_with_free_func (item_free);
  if (!read_document (&reader, text, size, PV_S3_ANSWER_MAX, error))
    return NULL;
  for (guint i = 0; i < page->items->len; i++)
    {
      const PvS3Item *item = g_ptr_array_index (page->items, i);

      if (item->key == NULL || item->key[0] == '\0' || (uploads && item->upload_id == NULL))
        {
          pv_corrupt (error, "the server's listing has an item without a name");
          return NULL;
        }
    }
  return g_steal_pointer (&page);
}

/* ---- uploads ---- */

static gboolean
upload_leaf (Reader *self, const char *parent, const char *name, const char *text)
{
  if (self->depth == 2 && g_str_equal (name, "UploadId"))
    replace (self->result, text);
  return TRUE;
}

char *
pv_s3_upload_id_parse (const char *text, gsize size, GError **error)
{
  g_autofree char *id = NULL;
  Reader reader = { .root = "InitiateMultipartUploadResult", .leaf = upload_leaf, .result = &id };

  if (!read_document (&reader, text, size, PV_S3_ERROR_MAX, error))
    return NULL;
  if (id == NULL || *id == '\0')
    {
      pv_corrupt (error, "the server's answer has no upload id");
      return NULL;
    }
  return g_steal_pointer (&id);
}
