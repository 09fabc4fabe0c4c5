/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvCache: reference counted values by key, of bounded cost; those not used for longest go first.
 *
 * Any thread. A value that is taken out stays alive as long as somebody has a reference to it.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct _PvCache PvCache;

typedef gpointer (*PvCacheRefFunc) (gpointer value);

/* @key_size: bytes of a key, which are compared as they are (<= 32). @limit: of the sum of all costs. */
PvCache *pv_cache_new (gsize key_size, gsize limit, PvCacheRefFunc ref, GDestroyNotify unref);
void pv_cache_free (PvCache *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvCache, pv_cache_free)

/* (nullable) (transfer full): the value of @key, now the one used last. */
gpointer pv_cache_get (PvCache *self, gconstpointer key);
/* Adds @value (a reference is taken), replacing what @key had. A value that costs more than the limit is not kept. */
void pv_cache_put (PvCache *self, gconstpointer key, gpointer value, gsize cost);
void pv_cache_remove (PvCache *self, gconstpointer key);

G_END_DECLS
