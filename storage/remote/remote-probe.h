/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a remote can do, found out by trying it with one small object of its own ("probe/…"). */
#pragma once

#include "remote/remote.h"

G_BEGIN_DECLS

typedef struct
{
  gboolean ranges;       /* parts of objects can be read: lazy reading needs it */
  gboolean conditional;  /* a put with IF_ABSENT is refused when the object is there, not taken for any other put */
  gboolean lists;        /* what was put is listed at once */
  double put_ms, get_ms; /* milliseconds that the first put and the first get took */
} PvRemoteProbe;

/* Writes, reads, lists and deletes. Fails with the error of what must work and does not; CORRUPT when other bytes come
 * back. Leaves nothing behind, unless deleting is what does not work. */
gboolean pv_remote_probe (PvRemote *remote, PvRemoteProbe *probe, GCancellable *cancellable, GError **error);

G_END_DECLS
