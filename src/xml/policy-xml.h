/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvPolicy: what a guest's <pagevault:policy> asks for: when to take snapshots, how, where to push them, which to keep.
 *
 * Read from the guest's metadata by parse, written by to_xml. docs/policy.md tells what each element means, and
 * schemas/policy.rng how it is written; policy/ does the arithmetic.
 */
#pragma once

#include <glib.h>

#include "xml/snapshot-xml.h"

G_BEGIN_DECLS

#define PV_POLICY_URI "urn:pagevault:policy:1" /* namespace of its elements */
#define PV_POLICY_PREFIX "pagevault"           /* what that is called in documents that pagevault writes */

#define PV_SCHEDULES_MAX 16               /* in a policy */
#define PV_SCHEDULE_EVERY_MAX (366 * 86400) /* seconds */
#define PV_RETENTION_MAX 10000            /* snapshots of one kind */

/* One rule when to run: every so often, or at a time of the day. */
typedef struct
{
  guint every;  /* seconds, counted from 1970-01-01 00:00 UTC; 0: at a time of the day */
  guint minute; /* of the day, 0 to 1439 */
  guint days;   /* bit 0: Monday … bit 6: Sunday; never 0 with a time of the day */
  char *zone;   /* (owned) (nullable): an IANA name, which this host knows; NULL: the host's own */
} PvSchedule;

/* How many snapshots to keep: of the newest ones, and of the newest one of each hour, day and week. */
typedef struct
{
  guint last, hourly, daily, weekly; /* at most PV_RETENTION_MAX; all 0: keep everything */
} PvRetention;

typedef struct
{
  gboolean enabled;
  GArray *schedules;     /* (owned) (element-type PvSchedule); none: runs only when told to */
  PvRetention retention;
  char *engine;          /* (owned) (nullable): as 'create --engine' */
  guint64 buffer;        /* bytes; 0: the default */
  char *on_overrun;      /* (owned) (nullable): "spill", "throttle", "fail" */
  gboolean disk_only;
  GPtrArray *disks;      /* (owned) (element-type PvDiskSpec) */
  gboolean quiesce;
  char *push;            /* (owned) (nullable): name of a remote */
} PvPolicy;

/* @xml: <policy>, in the namespace of policies or in none. PV_ERROR_INVALID with the line number. */
PvPolicy *pv_policy_parse (const char *xml, GError **error);
void pv_policy_free (PvPolicy *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvPolicy, pv_policy_free)

/* (transfer full): the policy in its normal form. @with_namespace: as it stands in a domain's <metadata>; else as
 * libvirt wants it to be set and gives it out. */
char *pv_policy_to_xml (const PvPolicy *self, gboolean with_namespace);

/* "last=3,hourly=24,daily=7,weekly=4": any of them. PV_ERROR_INVALID. */
gboolean pv_retention_parse (const char *text, PvRetention *retention, GError **error);
/* TRUE when @self keeps everything. */
gboolean pv_retention_keeps_all (const PvRetention *self);
/* (transfer full): as pv_retention_parse() reads it; "everything" */
char *pv_retention_to_string (const PvRetention *self);
/* (transfer full): "every 6h", "at 02:30 mon,fri Europe/Berlin" */
char *pv_schedule_to_string (const PvSchedule *self);

G_END_DECLS
