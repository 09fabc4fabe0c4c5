/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvProgress: one line on a terminal that tells how far long work has come; erased at the end.
 *
 *   ram  [#########.........]  49%  2.0 GiB of 4.1 GiB  512.3 MiB/s  0:04 left
 *
 * Silent when standard error is no terminal. Any thread may update.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct _PvProgress PvProgress;

PvProgress *pv_progress_new (void);
/* Erases the line. */
void pv_progress_free (PvProgress *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvProgress, pv_progress_free)

/* @data is the PvProgress: fits the store's, restore's and export's progress functions. @done, @total: bytes; a
 * @total of 0 is unknown. Redraws at most ten times a second. Another @phase starts its own clock. */
void pv_progress_update (const char *phase, guint64 done, guint64 total, gpointer data);

/* (transfer full): the line itself, at most @width columns. @seconds: since the phase began. */
char *pv_progress_render (const char *phase, guint64 done, guint64 total, double seconds, guint width);

G_END_DECLS
