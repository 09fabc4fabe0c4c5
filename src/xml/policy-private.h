/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Words that reading and writing of policies share. */
#pragma once

#include "xml/policy-xml.h"

G_BEGIN_DECLS

#define PV_POLICY_ALL_DAYS 0x7fu

typedef struct
{
  const char *name;
  guint seconds;
} PvPolicyUnit;

extern const char *const pv_policy_days[7];   /* Monday first */
extern const PvPolicyUnit pv_policy_units[4]; /* the largest first */

/* A number of snapshots. FALSE: it is none, or too large. */
gboolean pv_policy_read_count (const char *text, guint *count);

G_END_DECLS
