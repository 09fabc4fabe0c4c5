/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Telling the service manager how a service is (sd_notify(3)), when there is one. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* @state: "READY=1", "STOPPING=1", "STATUS=…", several with newlines between. Without NOTIFY_SOCKET nothing is done. */
void pv_notify (const char *state);

G_END_DECLS
