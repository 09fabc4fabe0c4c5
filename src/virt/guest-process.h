/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The QEMU process of a guest of this host, looked up in /proc. */
#pragma once

#include <glib.h>
#include <sys/types.h>

G_BEGIN_DECLS

/* The process that was started for the domain @uuid; 0 when there is none that we can see. */
pid_t pv_guest_process_find (const char *uuid);

/* (element-type utf8) (transfer full) (nullable): its command line; NULL when it is gone. */
GPtrArray *pv_guest_process_arguments (pid_t pid);

G_END_DECLS
