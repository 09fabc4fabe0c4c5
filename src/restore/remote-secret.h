/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Credentials of remotes that libvirt keeps as secrets. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* From here on remotes whose credentials are in a libvirt secret (remote/remote.h) ask the libvirt at @uri: (nullable),
 * when they are opened. */
void pv_remote_secret_install (const char *uri);

G_END_DECLS
