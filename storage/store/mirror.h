/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvMirror: what this host knows of the store in a remote: its packs' tables, its snapshots, and blocks of its packs.
 *
 * It lies in STORE/mirrors/NAME (docs/format-remote.md, "Local state"), may be removed at any time and is brought up to
 * date by the refresh functions. Whatever comes from the remote is checked before it is used. Any thread, any number of
 * processes; refreshing locks. Errors of the network are those of remote/remote.h.
 */
#pragma once

#include "remote/remote.h"
#include "store/mirror-place.h"
#include "store/store.h"

G_BEGIN_DECLS

typedef struct _PvMirror PvMirror; /* reference counted */

/* @name: of the remote, as in the table of remotes (store/mirror-place.h). @remote: (nullable): NULL: connected to when
 * something is needed. Reads what is on disk, connects nowhere. */
PvMirror *pv_mirror_open (PvStore *store, const char *name, PvRemote *remote, GError **error);
PvMirror *pv_mirror_ref (PvMirror *self);
void pv_mirror_unref (PvMirror *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvMirror, pv_mirror_unref)

const char *pv_mirror_name (PvMirror *self);

/* Reads the remote's format marker and sees that it may be used with this store, and that it is still the store that it
 * was. @make: writes the marker of this store when there is none; else that is PV_ERROR_NOT_FOUND. */
gboolean pv_mirror_check_format (PvMirror *self, gboolean make, GCancellable *cancellable, GError **error);

/* Puts the marker of this encrypted store, with its key slots, in the place of the remote's. PV_ERROR_INVALID when the
 * remote is not one of this store. */
gboolean pv_mirror_send_format (PvMirror *self, GCancellable *cancellable, GError **error);

/* Brings the list of snapshots up to date. Objects that are not what they should be, and snapshots whose name is taken
 * by another one, are left out: a sentence each in @warnings (element-type utf8). */
gboolean pv_mirror_refresh_snapshots (PvMirror *self, GPtrArray *warnings, GCancellable *cancellable, GError **error);

/* What is known of the remote's snapshots, oldest first; @domain: (nullable). (element-type PvSnapshot) */
GPtrArray *pv_mirror_list (PvMirror *self, const char *domain, GError **error);
/* (nullable): NULL without error when it is not known. */
PvSnapshot *pv_mirror_find (PvMirror *self, const char *domain, const char *name, GError **error);

/* Sees to it that all of @snapshot can be found: fetches the tables of the packs that it needs. Quick, and without the
 * network, when that was done before. */
gboolean pv_mirror_prepare (PvMirror *self, PvSnapshot *snapshot, GCancellable *cancellable, GError **error);

/* --- where it is -------------------------------------------------------------------------------------------------- */

/* Notes in STORE/mirrors/NAME/remote how to connect: @url and of @options what is no secret. */
gboolean pv_mirror_remember (PvMirror *self, const char *url, const PvRemoteOptions *options, GError **error);
/* (transfer full): connects as it was noted; @name: of a mirror below @store. PV_ERROR_NOT_FOUND when there is none. */
PvRemote *pv_mirror_connect (const char *store, const char *name, guint64 limit_rate, GError **error);

/* --- attached remotes: their snapshots count as the store's own when it is read ----------------------------------- */

/* @cache_size: bytes of blocks to keep; 0: PV_MIRROR_CACHE_DEFAULT. */
#define PV_MIRROR_CACHE_DEFAULT (G_GUINT64_CONSTANT (8) << 30)
gboolean pv_mirror_attach (PvMirror *self, guint64 cache_size, GError **error);
gboolean pv_mirror_detach (PvMirror *self, GError **error);
gboolean pv_mirror_is_attached (PvMirror *self);

/* (transfer full) (element-type PvMirror): the attached mirrors of @store, by name. One that cannot be opened is told
 * in @warnings (nullable) (element-type utf8), and left out. */
GPtrArray *pv_mirror_open_attached (PvStore *store, GPtrArray *warnings);

G_END_DECLS
