/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Validation by the RelaxNG schemas in schemas/, which are built into the program; for the files of this room only. */
#pragma once

#include <glib.h>
#include <libxml/tree.h>

G_BEGIN_DECLS

/* Validates @document, which must have been read with line numbers, by the schema @name ("policy.rng"). A reader says
 * what is wrong in better words: it comes first. PV_ERROR_INVALID with the line number. Any thread. */
gboolean pv_xml_validate (xmlDoc *document, const char *name, GError **error);

G_END_DECLS
