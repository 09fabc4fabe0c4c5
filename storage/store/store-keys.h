/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The key slots of an encrypted store: who can open it. The store key stays the same; nothing but the format marker is
 * written, as a whole and durably. Slots are numbered from 1, as 'pagevault key list' shows them.
 *
 * Whoever had a copy of the marker keeps what a removed slot gave: see docs/threat-model.md. Any thread; several
 * processes wait for each other.
 */
#pragma once

#include "store/store.h"
#include "store/store-format.h"

G_BEGIN_DECLS

/* Makes a store in @directory with the marker @format: an encrypted one when that has a key slot. PV_ERROR_EXISTS when
 * there is a store already. */
gboolean pv_store_create (const char *directory, const PvStoreFormat *format, GError **error);

/* The marker of the store in @directory; needs no key. */
gboolean pv_store_read_format (const char *directory, PvStoreFormat *format, GError **error);

/* (nullable): the key that the store was opened with. */
PvStoreKey *pv_store_get_key (PvStore *self);

/* @number: (out): that of the new slot. PV_ERROR_FAILED when all are in use. */
gboolean pv_store_keys_add (PvStore *self, const PvKeySlot *slot, guint *number, GError **error);
/* Puts @slot in the place of slot @number, which is @expected still (else PV_ERROR_BUSY). */
gboolean pv_store_keys_replace (PvStore *self, guint number, const PvKeySlot *expected, const PvKeySlot *slot,
                                GError **error);
/* Likewise; those behind it move up. PV_ERROR_INVALID for the last one. */
gboolean pv_store_keys_remove (PvStore *self, guint number, const PvKeySlot *expected, GError **error);

G_END_DECLS
