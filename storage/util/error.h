/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The one error domain of pagevault. A code is a decision a caller takes; the message is for the user.
 *
 * A message says what failed, on which object, and what to do next, in one sentence without a full stop. Each layer
 * adds its own noun once, by g_prefix_error ("pack %s: ").
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define PV_ERROR (pv_error_quark ())

typedef enum
{
  PV_ERROR_FAILED,      /* nothing more specific to decide on */
  PV_ERROR_NOT_FOUND,   /* the object named does not exist */
  PV_ERROR_EXISTS,      /* the object named exists already */
  PV_ERROR_CORRUPT,     /* stored or foreign bytes are not what they claim to be */
  PV_ERROR_INVALID,     /* the caller's argument, name or document is wrong */
  PV_ERROR_BUSY,        /* somebody else holds it; later it may work */
  PV_ERROR_UNSUPPORTED, /* this host, guest or format cannot do that */
  PV_ERROR_NO_SPACE,    /* the file system is full */
  PV_ERROR_CANCELLED,   /* the user asked to stop */
  PV_ERROR_DENIED,      /* permission is missing */
  PV_ERROR_UNREACHABLE, /* another host gives no answer, or no sensible one; later it may work */
} PvError;

GQuark pv_error_quark (void);

/* Sets @error to PV_ERROR_CORRUPT with the printf-like message. Always FALSE, so that a parser can return it. */
gboolean pv_corrupt (GError **error, const char *format, ...) G_GNUC_PRINTF (2, 3);

/* Sets @error with code @code. Always FALSE. */
gboolean pv_throw (GError **error, PvError code, const char *format, ...) G_GNUC_PRINTF (3, 4);

/* Sets @error from errno value @errnum: ENOSPC and EDQUOT become NO_SPACE, ENOENT NOT_FOUND, EEXIST EXISTS, EACCES and
 * EPERM DENIED, others FAILED. The message gets ": " and the system's text appended. Always FALSE. */
gboolean pv_throw_errno (GError **error, int errnum, const char *format, ...) G_GNUC_PRINTF (3, 4);

G_END_DECLS
