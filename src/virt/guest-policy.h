/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The policies of guests as libvirt has them. */
#pragma once

#include "virt/guest.h"
#include "xml/policy-xml.h"

G_BEGIN_DECLS

typedef struct
{
  char *domain;     /* (owned) */
  char *uuid;       /* (owned) */
  PvPolicy *policy; /* (owned) (nullable): NULL: it has none, or a bad one */
  char *text;       /* (owned) (nullable): as it stands there */
  GError *bad;      /* (owned) (nullable): what is wrong with it */
  gboolean differs; /* the running guest has another one than the persistent definition, which counts */
  gboolean running;
} PvGuestPolicy;
void pv_guest_policy_free (PvGuestPolicy *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvGuestPolicy, pv_guest_policy_free)

/* The policy of @guest, if it has one. NULL with @error when libvirt cannot say. */
PvGuestPolicy *pv_guest_policy_read (PvGuest *guest, GError **error);

/* (element-type PvGuestPolicy) (transfer full): of the guests @names; of all guests when there is none, where those
 * that go meanwhile are left out. PV_ERROR_NOT_FOUND names a guest that there is not. */
GPtrArray *pv_guest_policies (PvConnection *connection, char **names, GError **error);

G_END_DECLS
