/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "util/snapshot-name.h"

#include <string.h>

#include "util/error.h"

char *
pv_escape_for_message (const char *text)
{
  g_autoptr(GString) out = g_string_new (NULL);
  const char *at = text;

  while (*at != '\0' && out->len < 300)
    {
      gunichar c = g_utf8_get_char_validated (at, -1);

      if (c == (gunichar) -1 || c == (gunichar) -2)
        {
          g_string_append_printf (out, "\\x%02x", (guint8) *at);
          at++;
          continue;
        }
      if (g_unichar_isprint (c))
        g_string_append_unichar (out, c);
      else
        g_string_append_printf (out, c < 0x100 ? "\\x%02x" : "\\u%04x", c);
      at = g_utf8_next_char (at);
    }
  if (*at != '\0')
    g_string_append (out, "...");
  return g_string_free (g_steal_pointer (&out), FALSE);
}

/* What both parts have in common; @what and @max name the part. */
static gboolean
check_part (const char *text, const char *what, gsize max, GError **error)
{
  g_autofree char *shown = pv_escape_for_message (text);
  gsize length = strlen (text);

  if (length == 0)
    return pv_throw (error, PV_ERROR_INVALID, "the %s is empty", what);
  if (length > max)
    return pv_throw (error, PV_ERROR_INVALID, "the %s '%s' has %" G_GSIZE_FORMAT " bytes; at most %" G_GSIZE_FORMAT
                                              " are allowed",
                     what, shown, length, max);
  if (!g_utf8_validate (text, -1, NULL))
    return pv_throw (error, PV_ERROR_INVALID, "the %s '%s' is not valid UTF-8", what, shown);
  for (const char *at = text; *at != '\0'; at = g_utf8_next_char (at))
    {
      gunichar c = g_utf8_get_char (at);

      if (c == '/' || c == '@')
        return pv_throw (error, PV_ERROR_INVALID, "the %s '%s' contains '%c', which is not allowed", what, shown,
                         (char) c);
      if (!g_unichar_isprint (c))
        return pv_throw (error, PV_ERROR_INVALID, "the %s '%s' contains a character that cannot be printed", what,
                         shown);
    }
  if (g_str_equal (text, ".") || g_str_equal (text, ".."))
    return pv_throw (error, PV_ERROR_INVALID, "the %s cannot be '%s'", what, shown);
  return TRUE;
}

gboolean
pv_domain_name_check (const char *domain, GError **error)
{
  return check_part (domain, "domain name", PV_DOMAIN_NAME_MAX, error);
}

gboolean
pv_snapshot_name_check (const char *name, GError **error)
{
  if (!check_part (name, "snapshot name", PV_SNAPSHOT_NAME_MAX, error))
    return FALSE;
  if (*name == '-' || *name == '.')
    return pv_throw (error, PV_ERROR_INVALID, "the snapshot name '%s' starts with '%c', which is not allowed", name,
                     *name);
  for (const char *at = name; *at != '\0'; at = g_utf8_next_char (at))
    if (g_unichar_isspace (g_utf8_get_char (at)) && (*at != ' ' || at == name || at[1] == ' ' || at[1] == '\0'))
      return pv_throw (error, PV_ERROR_INVALID,
                       "the snapshot name '%s' has white space at its start or end, or other than single spaces", name);
  return TRUE;
}

gboolean
pv_snapshot_name_parse (const char *full, char **domain, char **name, GError **error)
{
  const char *at = strchr (full, '@');
  g_autofree char *domain_part = NULL;

  if (at == NULL)
    {
      g_autofree char *shown = pv_escape_for_message (full);

      return pv_throw (error, PV_ERROR_INVALID, "'%s' is not a snapshot: write DOMAIN@NAME", shown);
    }
  domain_part = g_strndup (full, (gsize) (at - full));
  if (!pv_domain_name_check (domain_part, error) || !pv_snapshot_name_check (at + 1, error))
    return FALSE;
  if (domain != NULL)
    *domain = g_steal_pointer (&domain_part);
  if (name != NULL)
    *name = g_strdup (at + 1);
  return TRUE;
}

char *
pv_snapshot_name_now (void)
{
  g_autoptr(GDateTime) now = g_date_time_new_now_local ();

  return g_date_time_format (now, "%Y-%m-%dT%H:%M:%S");
}
