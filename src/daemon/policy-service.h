/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvPolicyService: runs the policies of libvirt's guests when they are due.
 *
 * A thread looks every few seconds which guests have a policy, in their own domain XML, and what state it is in
 * (policy/policy-state.h); what is due is done by `pagevault policy run --due`, a process of its own, so that whatever
 * becomes of it leaves pagevaultd as it is. Nothing is remembered here that a restart would lose. A policy that cannot
 * be read is logged and concerns nobody else.
 */
#pragma once

#include "daemon/libvirt-link.h"

G_BEGIN_DECLS

typedef struct _PvPolicyService PvPolicyService;

/* @passphrase_file, @secret_uuid: (nullable): what opens the store, for the commands. @link outlives it. NULL, without
 * an error, when another pagevaultd runs the policies of this store: that is logged. */
PvPolicyService *pv_policy_service_new (const char *store_directory, const char *passphrase_file,
                                        const char *secret_uuid, PvLibvirtLink *link);
/* What is being taken is broken off, cleanly. */
void pv_policy_service_free (PvPolicyService *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvPolicyService, pv_policy_service_free)

G_END_DECLS
