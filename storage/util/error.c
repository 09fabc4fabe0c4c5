/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "util/error.h"

#include <errno.h>
#include <unistd.h>

G_DEFINE_QUARK (pv-error-quark, pv_error)

static void G_GNUC_PRINTF (4, 0)
set_error_valist (GError **error, PvError code, const char *suffix, const char *format, va_list args)
{
  g_autofree char *message = NULL;

  if (error == NULL)
    return;
  message = g_strdup_vprintf (format, args);
  if (suffix != NULL)
    g_set_error (error, PV_ERROR, code, "%s: %s", message, suffix);
  else
    g_set_error_literal (error, PV_ERROR, code, message);
}

gboolean
pv_corrupt (GError **error, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  set_error_valist (error, PV_ERROR_CORRUPT, NULL, format, args);
  va_end (args);
  return FALSE;
}

gboolean
pv_throw (GError **error, PvError code, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  set_error_valist (error, code, NULL, format, args);
  va_end (args);
  return FALSE;
}

static PvError
code_from_errno (int errnum)
{
  switch (errnum)
    {
    case ENOSPC:
    case EDQUOT:
      return PV_ERROR_NO_SPACE;
    case ENOENT:
      return PV_ERROR_NOT_FOUND;
    case EEXIST:
      return PV_ERROR_EXISTS;
    case EACCES:
    case EPERM:
      return PV_ERROR_DENIED;
    default:
      return PV_ERROR_FAILED;
    }
}

gboolean
pv_throw_errno (GError **error, int errnum, const char *format, ...)
{
  PvError code = code_from_errno (errnum);
  g_autofree char *suffix = g_strconcat (
      g_strerror (errnum), code == PV_ERROR_DENIED && geteuid () != 0 ? ": try it as root (sudo)" : NULL, NULL);
  va_list args;

  va_start (args, format);
  set_error_valist (error, code, suffix, format, args);
  va_end (args);
  return FALSE;
}
