/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The CONFIGURATION section of a stream: machine name, then subsections.
 *
 * Parsed piece by piece, because nothing but the next section's type byte says that it is over. Each function reads one
 * piece from @cursor, checks it, and appends it, normalized, to head->configuration. When the cursor latches, more
 * bytes are needed and nothing has happened (TRUE is returned).
 */
#pragma once

#include "stream/stream-head.h"
#include "util/cursor.h"

G_BEGIN_DECLS

/* What the sender's stream says about itself, but a stream written again does not. */
typedef struct
{
  gboolean mapped_ram; /* capability mapped-ram: pages are at fixed places of the file */
} PvStreamCarriage;

/* u32 length, machine name. */
gboolean pv_stream_configuration_read_machine (PvStreamHead *head, PvCursor *cursor, GError **error);
/* One subsection; the cursor is behind its type byte 05. */
gboolean pv_stream_configuration_read_subsection (PvStreamHead *head, PvStreamCarriage *carriage, PvCursor *cursor,
                                                  GError **error);

G_END_DECLS
