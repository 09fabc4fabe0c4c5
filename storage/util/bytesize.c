/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "util/bytesize.h"

#include <errno.h>
#include <string.h>

#include "util/error.h"

gboolean
pv_bytesize_parse (const char *text, guint64 *bytes, GError **error)
{
  static const char units[] = "KMGTP";
  const char *unit;
  char *rest = NULL;
  guint64 value;
  guint shift = 0;

  if (!g_ascii_isdigit (*text))
    return pv_throw (error, PV_ERROR_INVALID, "'%s' is not a size: write for example 512MiB or 4G", text);
  errno = 0;
  value = g_ascii_strtoull (text, &rest, 10);
  if (errno == 0 && *rest != '\0' && (unit = strchr (units, g_ascii_toupper (*rest))) != NULL)
    {
      shift = (guint) (unit - units + 1) * 10;
      rest++;
      if (*rest == 'i')
        rest++;
    }
  if (*rest == 'B')
    rest++;
  if (errno != 0 || *rest != '\0' || (value << shift) >> shift != value)
    return pv_throw (error, PV_ERROR_INVALID, "'%s' is not a size: write for example 512MiB or 4G", text);
  *bytes = value << shift;
  return TRUE;
}

char *
pv_bytesize_format (guint64 bytes)
{
  g_autofree char *formatted = g_format_size_full (bytes, G_FORMAT_SIZE_IEC_UNITS);
  g_auto(GStrv) parts = g_strsplit (formatted, "\302\240", -1);

  return g_strjoinv (" ", parts);
}
