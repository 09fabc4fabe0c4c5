/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An answer of a server, taken for each of the documents that it could be. */
#include "config.h"

#include "remote/s3-xml.h"

#include <string.h>

int LLVMFuzzerTestOneInput (const guint8 *data, size_t size);

static void
check_printable (const char *text)
{
  for (; *text != '\0'; text++)
    g_assert_true (g_ascii_isprint (*text));
}

int
LLVMFuzzerTestOneInput (const guint8 *data, size_t size)
{
  const char *text = (const char *) data;
  g_autoptr(GError) page_error = NULL, id_error = NULL;
  g_autoptr(PvS3Page) page = pv_s3_page_parse (text, size, &page_error);
  g_autofree char *id = pv_s3_upload_id_parse (text, size, &id_error);
  PvS3Error error;

  g_assert_true ((page == NULL) == (page_error != NULL));
  g_assert_true ((id == NULL) == (id_error != NULL));
  for (guint i = 0; page != NULL && i < page->items->len; i++)
    {
      const PvS3Item *item = g_ptr_array_index (page->items, i);

      g_assert_true (item->key[0] != '\0' && g_utf8_validate (item->key, -1, NULL));
    }
  pv_s3_error_parse (text, size, &error);
  check_printable (error.code);
  check_printable (error.message);
  check_printable (error.region);
  return 0;
}
