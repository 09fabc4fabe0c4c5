/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* DOMAIN@NAME: how a snapshot is called everywhere.
 *
 * DOMAIN is a libvirt domain name: 1 to 255 bytes of UTF-8 without control characters, '/' and '@'. NAME: 1 to 128
 * bytes of UTF-8 without control characters, white space other than inner single spaces, '/' and '@', not starting with
 * '-' or '.'. A name is never used as a path component as it is: files in the store are called by digest.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define PV_DOMAIN_NAME_MAX 255   /* bytes */
#define PV_SNAPSHOT_NAME_MAX 128 /* bytes */

/* TRUE when @domain / @name may be used; else PV_ERROR_INVALID with a sentence that shows the name escaped. */
gboolean pv_domain_name_check (const char *domain, GError **error);
gboolean pv_snapshot_name_check (const char *name, GError **error);

/* Splits "DOMAIN@NAME" and checks both. @domain, @name: (out) (transfer full) (optional). */
gboolean pv_snapshot_name_parse (const char *full, char **domain, char **name, GError **error);

/* (transfer full): a name made of the local time, like 2026-11-21T08:51:22. */
char *pv_snapshot_name_now (void);

/* (transfer full): @text with control characters and invalid UTF-8 made visible, cut at 300 bytes: for messages. */
char *pv_escape_for_message (const char *text);

G_END_DECLS
