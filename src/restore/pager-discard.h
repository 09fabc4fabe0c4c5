/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Post-copy begins with QEMU's throwing away the memory that is still to come: only of what is missing does it ask. */
#pragma once

#include "restore/pager-shared.h"
#include "restore/pager-source.h"

G_BEGIN_DECLS

/* Appends commands by which QEMU discards every page that is not told to be sent in @shared. There must be one at
 * least: PvPagerAhead leaves one. */
void pv_pager_append_discards (const PvPagerSource *source, const PvPagerShared *shared, GByteArray *out);

G_END_DECLS
