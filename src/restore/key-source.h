/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvKeySource: where a program has the key of an encrypted store from: a pass phrase in a file, or asked for on the
 * terminal; or a secret that libvirt keeps.
 *
 * A pass phrase in a file is all of it but one newline at its end. Neither comes by the command line or environment.
 */
#pragma once

#include "store/store-keys.h"

G_BEGIN_DECLS

typedef struct
{
  const char *passphrase_file; /* (nullable): "-" is standard input */
  const char *secret_uuid;     /* (nullable): of a libvirt secret */
  const char *uri;             /* (nullable): of libvirt */
  gboolean ask;                /* on the terminal, when nothing is named */
  guint slot;                  /* (out): the number of the slot that opened the last store; 0: none */
} PvKeySource;

/* From here on every encrypted store that this process opens is opened by @self, which stays where it is. Secrets that
 * a store's slots name are tried, too, when neither file nor secret is named. A wrong pass phrase or secret is
 * PV_ERROR_DENIED at once. When a file or secret is named, stores that are not encrypted are refused. */
void pv_key_source_install (PvKeySource *self);

/* A new slot for @key: asks for a new pass phrase twice when nothing is named. @cost: for scrypt, PV_KEY_COST_MIN to
 * PV_KEY_COST_MAX. @store_uuid: PV_KEY_UUID_SIZE bytes. */
gboolean pv_key_source_wrap (const PvKeySource *self, const PvStoreKey *key, guint cost, const guint8 *store_uuid,
                             PvKeySlot *slot, GError **error);

G_END_DECLS
