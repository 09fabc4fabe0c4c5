/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvRateLimit: how many bytes per second all operations of a remote may move together. */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct _PvRateLimit PvRateLimit; /* any thread */

/* @rate: bytes per second; 0: no limit. */
PvRateLimit *pv_rate_limit_new (guint64 rate);
void pv_rate_limit_free (PvRateLimit *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvRateLimit, pv_rate_limit_free)

/* The most bytes that should be taken at a time, so that a wait stays short: between 512 and 1 MiB. */
gsize pv_rate_limit_step (const PvRateLimit *self);

/* Takes @size bytes: waits until all that was taken before has had its time. Returns early, with the same account, when
 * @cancellable: (nullable) is cancelled. */
void pv_rate_limit_take (PvRateLimit *self, guint64 size, GCancellable *cancellable);

G_END_DECLS
