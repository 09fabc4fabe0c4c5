/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the command line of create asks for. */
#pragma once

#include "capture/capture-options.h"

G_BEGIN_DECLS

extern const GOptionEntry pv_create_entries[];
extern char *pv_create_push; /* (nullable): --push: the remote */

/* DOMAIN [NAME] or DOMAIN@NAME. @domain: (out) (transfer full); @name: (out) (transfer full) (nullable). */
gboolean pv_create_options_names (char **args, char **domain, char **name, GError **error);
/* What was parsed by the entries, into @capture: fresh but for its name. Options come before what an --xmlfile says.
 * PV_ERROR_INVALID for what makes no sense. */
gboolean pv_create_options_read (PvCaptureOptions *capture, GError **error);

G_END_DECLS
