/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvGuest: one libvirt domain: its run state, its XML, its disks' layers, its monitor.
 *
 * Every call blocks until libvirtd answers. Any thread; libvirt serializes changes of one domain. Reference counted.
 * When libvirtd goes away, every call fails from then on (pv_connection_alive() is FALSE): take a new one by
 * pv_guest_reopen(). Not to be used after fork(): a child process opens its own.
 */
#pragma once

#include <gio/gio.h>
#include <json-glib/json-glib.h>

#include "virt/connection.h"

G_BEGIN_DECLS

typedef struct _PvGuest PvGuest;

typedef enum
{
  PV_RUN_RUNNING,
  PV_RUN_PAUSED, /* by the user, or any reason that is not ours */
  PV_RUN_SHUTOFF,
  PV_RUN_OTHER, /* crashed, shutting down, suspended by the guest (pmsuspended) … */
} PvRunState;

/* PV_ERROR_NOT_FOUND when there is no such domain. */
PvGuest *pv_guest_lookup (PvConnection *connection, const char *name, GError **error);
PvGuest *pv_guest_lookup_uuid (PvConnection *connection, const char *uuid, GError **error);
/* (transfer full): the same domain over a new connection; waits up to @timeout_ms for libvirtd to answer. @self stays
 * as it is. */
PvGuest *pv_guest_reopen (PvGuest *self, guint timeout_ms, GError **error);
PvGuest *pv_guest_ref (PvGuest *self);
void pv_guest_unref (PvGuest *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvGuest, pv_guest_unref)

virDomainPtr pv_guest_get (PvGuest *self);
PvConnection *pv_guest_connection (PvGuest *self);
const char *pv_guest_name (PvGuest *self);
const char *pv_guest_uuid (PvGuest *self);

/* As libvirt sees it. @reason: (out) (optional): libvirt's reason number. */
gboolean pv_guest_state (PvGuest *self, PvRunState *state, int *reason, GError **error);
/* What QEMU itself says: "running", "paused", "postmigrate", "finish-migrate", "io-error" … (transfer full) */
char *pv_guest_qemu_status (PvGuest *self, GError **error);
/* Whether libvirt itself is at work on it: saving, migrating, dumping, backing up. */
gboolean pv_guest_has_job (PvGuest *self, gboolean *has, GError **error);
gboolean pv_guest_suspend (PvGuest *self, GError **error);
gboolean pv_guest_resume (PvGuest *self, GError **error);
/* A paused guest that QEMU says is in "postmigrate" after a migration that failed becomes "paused" again, without
 * executing one instruction. Does nothing in any other state. BUSY: somebody uses QEMU's gdb stub, which it takes. Not
 * after a migration that succeeded: the disks are given away then. */
gboolean pv_guest_leave_postmigrate (PvGuest *self, GError **error);

/* FALSE for a transient domain: one that goes when it ends. */
gboolean pv_guest_is_persistent (PvGuest *self);
/* (transfer full): flags as virDomainGetXMLDesc. Always with security info. */
char *pv_guest_xml (PvGuest *self, guint flags, GError **error);

/* The element of namespace @uri in the guest's <metadata>, without that namespace. @text: (out) (transfer full)
 * (nullable): NULL: there is none. The persistent definition counts, which 'virsh edit' changes; the running guest's
 * own where the definition has none. @differs: (out): both are there, and not the same. */
gboolean pv_guest_metadata (PvGuest *self, const char *uri, char **text, gboolean *differs, GError **error);
/* Sets it in the persistent definition and in the running guest. @text: (nullable): an element without namespace; NULL
 * takes it away, if it is there. @prefix: what the namespace is to be called. */
gboolean pv_guest_set_metadata (PvGuest *self, const char *uri, const char *prefix, const char *text, GError **error);

/* --- monitor ---------------------------------------------------------------------------------------------------
 * libvirt marks a domain that is talked to like this as tainted ("custom-monitor", a line in the guest's log); it
 * changes nothing else.
 */

/* Runs QMP @command with @arguments (nullable) (transfer none); the "return" node (transfer full). A QMP error becomes
 * PV_ERROR_FAILED with QEMU's text, led by guest and command; class CommandNotFound becomes UNSUPPORTED, DeviceNotFound
 * NOT_FOUND. */
JsonNode *pv_guest_qmp (PvGuest *self, const char *command, JsonObject *arguments, GError **error);
/* Same, handing descriptors over (getfd, add-fd): libvirt >= 8.2. @fds are not closed. */
JsonNode *pv_guest_qmp_with_fds (PvGuest *self, const char *command, JsonObject *arguments, const int *fds, guint n_fds,
                                 GError **error);
/* Gives QEMU @fd, which is not closed and which QEMU opens, for what it was opened for, as "/dev/fdset/" and @set:
 * (out). @opaque: what query-fdsets calls it. */
gboolean pv_guest_give_fd (PvGuest *self, int fd, const char *opaque, gint64 *set, GError **error);
/* (transfer full): the human monitor's answer. */
char *pv_guest_hmp (PvGuest *self, const char *line, GError **error);

/* Link of the network interface @alias, by the monitor: libvirt's description stays. */
gboolean pv_guest_set_link (PvGuest *self, const char *alias, gboolean up, GError **error);

/* Migration capability by name. UNSUPPORTED when this QEMU does not know it. */
gboolean pv_guest_set_capability (PvGuest *self, const char *capability, gboolean on, GError **error);
gboolean pv_guest_has_capability (PvGuest *self, const char *capability, gboolean *on, GError **error);

typedef struct
{
  char *status; /* (owned): QEMU's word: "none", "setup", "active", "device", "completed", "failed", "cancelled" … */
  char *error_desc;                 /* (owned) (nullable) */
  char *blocked;                    /* (owned) (nullable): why QEMU would refuse to migrate now, "; " between several */
  guint64 ram_normal;               /* pages sent */
  guint64 ram_total, ram_remaining; /* bytes */
} PvMigrationInfo;
void pv_migration_info_clear (PvMigrationInfo *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (PvMigrationInfo, pv_migration_info_clear)
/* xen-save-devices-state does not look at the reasons in .blocked (a mounted 9p share, a device that cannot migrate):
 * who uses it must. */
gboolean pv_guest_query_migrate (PvGuest *self, PvMigrationInfo *info, GError **error);

/* --- events ----------------------------------------------------------------------------------------------------- */

/* Counts the events of QEMU (RESUME, STOP, SHUTDOWN, …) for this domain since registration, with their QEMU time stamps
 * (microseconds since 1970). */
typedef struct _PvGuestEvents PvGuestEvents;
PvGuestEvents *pv_guest_events_new (PvGuest *self, GError **error);
void pv_guest_events_free (PvGuestEvents *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvGuestEvents, pv_guest_events_free)
/* The last event of @name ("RESUME") after the first @seen of them: FALSE when none came within @timeout_ms, or the
 * connection is lost. @time_us: (out) (optional). */
gboolean pv_guest_events_wait (PvGuestEvents *self, const char *name, guint seen, guint timeout_ms, gint64 *time_us);
guint pv_guest_events_count (PvGuestEvents *self, const char *name);
/* (transfer full) (nullable): the "data" of the last event of @name, as JSON text. */
char *pv_guest_events_data (PvGuestEvents *self, const char *name);

/* --- disks ------------------------------------------------------------------------------------------------------ */

/* Freezes all disks of @snapshot_xml at one instant into overlays that exist already: DISK_ONLY | REUSE_EXT |
 * NO_METADATA | ATOMIC. One call to libvirtd. The live and the persistent definition name the overlays afterwards. */
gboolean pv_guest_snapshot_disks (PvGuest *self, const char *snapshot_xml, GError **error);
/* Registers a snapshot's metadata (VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE). */
gboolean pv_guest_redefine_snapshot (PvGuest *self, const char *snapshot_xml, gboolean current, GError **error);
/* Whether libvirt knows a snapshot of that name. */
gboolean pv_guest_has_snapshot (PvGuest *self, const char *name, gboolean *has, GError **error);
/* Name of libvirt's current snapshot of the domain. @name: (out) (nullable) (transfer full): NULL: there is none. */
gboolean pv_guest_current_snapshot (PvGuest *self, char **name, GError **error);
/* Merges the active layer of @target (and what lies between) into @base and makes that the active layer again (active
 * block commit and pivot); waits for it. A job that an earlier try left behind is taken up. Returns TRUE as well when
 * @base is the active layer already. Afterwards the live and the persistent definition name @base; the overlay's file
 * is the caller's to delete. Cancelled or failed: the overlay is still the active layer. BUSY: another block job runs
 * on the disk. NO_SPACE: @base could not grow. */
gboolean pv_guest_commit_overlay (PvGuest *self, const char *target, const char *base, GCancellable *cancellable,
                                  GError **error);
/* (transfer full): path of the active layer of @target as libvirt sees it now. */
char *pv_guest_active_layer (PvGuest *self, const char *target, GError **error);

/* Guest agent; UNSUPPORTED with a sentence when there is none. */
gboolean pv_guest_fsfreeze (PvGuest *self, GError **error);
gboolean pv_guest_fsthaw (PvGuest *self, GError **error);

G_END_DECLS
