/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Engine fork: the part that the service thread calls. */
#pragma once

#include "memsnap/memsnap-private.h"

G_BEGIN_DECLS

/* Looks at how much the child holds alone, and keeps it within the snapshot's limit. */
void pv_fork_look (PvMemsnap *self);

G_END_DECLS
