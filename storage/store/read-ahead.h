/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading ahead from attached remotes: many requests at once for what would otherwise be waited for one by one. */
#pragma once

#include "store/store.h"

G_BEGIN_DECLS

/* Fetches what reading the @n chunks @names takes of attached remotes, into the caches on disk; quick when all is here.
 * What cannot be had is said by whoever reads it. Blocks on the network. */
void pv_store_read_ahead (PvStore *store, const PvName *names, guint n);

G_END_DECLS
