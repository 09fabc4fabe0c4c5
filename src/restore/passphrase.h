/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvPassphrase: what opens a key slot, in memory as that of keys (pv_secret_new). One thread. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct
{
  guint8 *bytes; /* (owned) */
  gsize size;    /* 1 to PV_KEY_PASSPHRASE_MAX */
} PvPassphrase;

void pv_passphrase_free (PvPassphrase *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvPassphrase, pv_passphrase_free)

/* All of the file at @path, "-": of standard input, but one newline at its end. PV_ERROR_INVALID when it is empty or
 * too long. */
PvPassphrase *pv_passphrase_read (const char *path, GError **error);
/* Asks on the terminal, without showing what is typed. PV_ERROR_DENIED when there is none, CANCELLED by Ctrl-C. */
PvPassphrase *pv_passphrase_ask (const char *prompt, GError **error);
gboolean pv_passphrase_equal (const PvPassphrase *a, const PvPassphrase *b);

G_END_DECLS
