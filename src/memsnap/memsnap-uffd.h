/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Engine uffd: the parts that the service thread calls. */
#pragma once

#include "memsnap/memsnap-private.h"

G_BEGIN_DECLS

/* Protects a little more of a snapshot in PV_PHASE_PREPARING; FALSE when all is. */
gboolean pv_uffd_arm_some (PvMemsnap *self);

G_END_DECLS
