/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The value of a libvirt secret: for what is to work unattended. Any usage type. Any thread; asks libvirtd. */
#pragma once

#include "virt/connection.h"

G_BEGIN_DECLS

/* (transfer full): the @size bytes of secret @uuid, to be given to pv_secret_value_free(). PV_ERROR_NOT_FOUND when
 * there is none, or it has no value; DENIED for one that libvirt keeps to itself (private='yes'). */
guint8 *pv_secret_value_fetch (PvConnection *connection, const char *uuid, gsize *size, GError **error);
/* Wipes and frees. NULL is fine. */
void pv_secret_value_free (guint8 *value, gsize size);

G_END_DECLS
