/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Any bytes as a libvirt save image: refused, or with texts that make the same image again. */
#include "config.h"

#include "stream/save-image.h"

int LLVMFuzzerTestOneInput (const guint8 *data, size_t size);

int
LLVMFuzzerTestOneInput (const guint8 *data, size_t size)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(PvSaveImage) image = pv_save_image_parse (data, size, &error), again = NULL;
  g_autoptr(GBytes) composed = NULL;

  g_assert ((image == NULL) == (error != NULL));
  if (image == NULL)
    return 0;
  g_assert (image->stream_offset <= size && image->xml[0] != '\0');
  composed = pv_save_image_compose (image->xml, image->cookie, image->was_running, image->format, 512, TRUE, &error);
  g_assert_no_error (error);
  g_assert (g_bytes_get_size (composed) % 512 == 0);
  again = pv_save_image_parse (g_bytes_get_data (composed, NULL), g_bytes_get_size (composed), &error);
  g_assert_no_error (error);
  g_assert_cmpstr (again->xml, ==, image->xml);
  g_assert_cmpstr (again->cookie, ==, image->cookie);
  g_assert (again->format == image->format && again->was_running == image->was_running);
  return 0;
}
