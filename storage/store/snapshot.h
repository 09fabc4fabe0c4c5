/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvSnapshot: one snapshot as the store knows it: immutable, small, self-contained.
 *
 * It lists volumes (RAM blocks, disks, device state: bytes in chunks) with the names of their roots, and attachments:
 * small documents that the store does not interpret (domain XML, CPU cookie, stream head …). Its id is the digest of
 * its bytes. Reference counted, any thread. Format: docs/format-store.md, "Snapshot object".
 */
#pragma once

#include <glib.h>

#include "chunk/name.h"
#include "chunk/store-key.h"

G_BEGIN_DECLS

typedef enum
{
  PV_VOLUME_RAM = 1,    /* one RAM block, named as QEMU does ("pc.ram", "/rom@etc/acpi/tables") */
  PV_VOLUME_DISK = 2,   /* one disk, named by its target ("vda") */
  PV_VOLUME_BLOB = 3,   /* bytes kept for the product: "devices" (device state), "nvram", an imported image's head */
} PvVolumeKind;

#define PV_VOLUME_NAME_MAX 255          /* bytes */
#define PV_VOLUMES_MAX 4096             /* in a snapshot */
#define PV_VOLUME_SIZE_MAX (1ull << 46) /* bytes: 64 TiB */
#define PV_ATTACHMENTS_MAX 4096         /* in a snapshot */
#define PV_ATTACHMENT_NAME_MAX 255      /* bytes */
#define PV_DESCRIPTION_MAX 65535        /* bytes */
#define PV_ATTACHMENT_MAX (16u << 20)   /* bytes of one attachment */
#define PV_SNAPSHOT_OBJECT_MAX (64u << 20) /* bytes */

typedef struct
{
  PvVolumeKind kind;
  char *name;   /* (owned) */
  guint64 size; /* bytes; the last chunk is padded with zeros */
  PvName root;  /* name of the top node; zero = all zeros */
} PvVolume;

/* What the guest was doing, as libvirt's snapshot XML says it. */
typedef enum
{
  PV_GUEST_RUNNING = 1,
  PV_GUEST_PAUSED = 2,
  PV_GUEST_SHUTOFF = 3,
  PV_GUEST_DISK_SNAPSHOT = 4, /* running, but only disks were taken */
} PvGuestState;
const char *pv_guest_state_to_string (PvGuestState state); /* "running", "paused", "shutoff", "disk-snapshot" */

/* What its maker says about a snapshot. */
typedef struct
{
  const char *domain;
  const char *name;
  const char *parent;      /* (nullable) */
  const char *description; /* (nullable) */
  gint64 time;             /* microseconds since 1970, UTC */
  PvGuestState state;
} PvSnapshotMeta;

typedef struct _PvSnapshot PvSnapshot;

/* Makes a snapshot of @volumes and @attachments (element-type utf8 GBytes); everything is copied. PV_ERROR_INVALID when
 * a name, a size or a number is outside its range, or two volumes have the same kind and name. Volumes are kept by
 * kind, then name. */
PvSnapshot *pv_snapshot_new (const PvSnapshotMeta *meta, const PvVolume *volumes, guint n_volumes,
                             GHashTable *attachments, guint64 stored_size, GError **error);
PvSnapshot *pv_snapshot_ref (PvSnapshot *self);
void pv_snapshot_unref (PvSnapshot *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvSnapshot, pv_snapshot_unref)

const PvName *pv_snapshot_id (PvSnapshot *self);
const char *pv_snapshot_domain (PvSnapshot *self);
const char *pv_snapshot_name (PvSnapshot *self);
const char *pv_snapshot_parent (PvSnapshot *self);      /* (nullable): NAME of the snapshot of this domain before it */
const char *pv_snapshot_description (PvSnapshot *self); /* (nullable) */
gint64 pv_snapshot_time (PvSnapshot *self);             /* microseconds since 1970, UTC: the consistency point */
PvGuestState pv_snapshot_state (PvSnapshot *self);
guint64 pv_snapshot_stored_size (PvSnapshot *self);     /* bytes it added to the store when made */

/* DOMAIN@NAME */
const char *pv_snapshot_full_name (PvSnapshot *self);

guint pv_snapshot_n_volumes (PvSnapshot *self);
const PvVolume *pv_snapshot_volume (PvSnapshot *self, guint i);
/* (nullable): the volume of that kind and name. */
const PvVolume *pv_snapshot_find_volume (PvSnapshot *self, PvVolumeKind kind, const char *name);
const char *pv_volume_kind_to_string (PvVolumeKind kind); /* "ram", "disk", "blob" */
/* Sum of the sizes of all volumes of @kind. */
guint64 pv_snapshot_volumes_size (PvSnapshot *self, PvVolumeKind kind);
/* (nullable) (transfer none): attachment @name. */
GBytes *pv_snapshot_attachment (PvSnapshot *self, const char *name);
/* (element-type utf8) (transfer container): names of all attachments, sorted. */
GPtrArray *pv_snapshot_attachments (PvSnapshot *self);

/* The snapshot object's bytes (transfer full) and back; PV_ERROR_CORRUPT for anything not exactly well-formed (fuzzed).
 * @stored_size is not part of them. */
GBytes *pv_snapshot_serialize (PvSnapshot *self);
PvSnapshot *pv_snapshot_parse (GBytes *bytes, guint64 stored_size, GError **error);
/* Likewise with the key of an encrypted store, whose objects are encrypted: PV_ERROR_CORRUPT for one that is not, was
 * tampered with, or is of another key. @key NULL: as pv_snapshot_parse(), for which an encrypted object is
 * PV_ERROR_DENIED. */
PvSnapshot *pv_snapshot_parse_with_key (GBytes *bytes, PvStoreKey *key, guint64 stored_size, GError **error);
/* (transfer full): the object @bytes of pv_snapshot_new(), encrypted with @key under a salt of its own. */
GBytes *pv_snapshot_encrypt (GBytes *bytes, PvStoreKey *key, GError **error);

G_END_DECLS
