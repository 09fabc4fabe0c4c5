/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How a process comes by the keys of encrypted stores. The program says once how it asks for a key; from then on every
 * store that is opened gets it, and each is asked for once.
 *
 * A process that another one of ours starts gets the key through a pipe: pv_unlock_hand_over() on one side,
 * pv_unlock_receive() on the other; never by its command line or environment, which others can read.
 */
#pragma once

#include "chunk/store-key.h"
#include "store/store-format.h"

G_BEGIN_DECLS

/* (transfer full): the key of the store in @directory, whose marker is @format; NULL with @error: no key, or a wrong
 * one (PV_ERROR_DENIED). May ask the user, and takes as long as scrypt does. */
typedef PvStoreKey *(*PvUnlockFunc) (const char *directory, const PvStoreFormat *format, gpointer data, GError **error);

/* @func: (nullable): called for every encrypted store whose key is not known yet, in the thread that opens it.
 * @expected: the user has named a key: a store that is not encrypted is not the one that is meant, and refused. */
void pv_unlock_set_func (PvUnlockFunc func, gpointer data, gboolean expected);
/* TRUE when the user has named a key. */
gboolean pv_unlock_is_expected (void);

/* The key of the store @uuid is @key, which is kept by reference until the process ends. */
void pv_unlock_remember (const char *uuid, PvStoreKey *key);

/* (transfer full) (nullable): the key for @format; NULL without @error when the store is not encrypted. */
PvStoreKey *pv_unlock (const char *directory, const PvStoreFormat *format, GError **error);

/* An open descriptor, to be inherited by one process of ours, that reads all keys that this process knows. -1 with
 * @error. */
int pv_unlock_hand_over (GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* Reads all that pv_unlock_hand_over() gave, and closes @fd, whatever happens. */
gboolean pv_unlock_receive (int fd, GError **error);

G_END_DECLS
