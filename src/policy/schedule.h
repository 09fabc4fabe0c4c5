/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* When the schedules of a policy are due. Pure: the caller says what time it is. Times are seconds since 1970, UTC.
 *
 * A time of the day that a clock change leaves out is taken as the first moment behind the gap; one that comes twice
 * counts once. Any thread.
 */
#pragma once

#include "xml/policy-xml.h"

G_BEGIN_DECLS

#define PV_NEVER G_MAXINT64

/* The first time after @after, not at it, at which @self is due. */
gint64 pv_schedule_next (const PvSchedule *self, gint64 after);

/* The first of all schedules of @policy; PV_NEVER when it has none. */
gint64 pv_schedules_next (const PvPolicy *policy, gint64 after);

G_END_DECLS
