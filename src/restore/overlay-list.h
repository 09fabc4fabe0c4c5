/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvOverlayList: the overlays over disks of snapshots that pagevaultd has made, one small file each in STORE/overlays.
 *
 * An entry is there before its overlay has a name; whoever made some syncs them soon, but need not let anybody wait for
 * that. It goes when the overlay is gone, or another file has its name.
 * Any thread.
 */
#pragma once

#include <glib.h>
#include <sys/stat.h>

G_BEGIN_DECLS

typedef struct
{
  char *path;     /* (owned): of the overlay */
  char *snapshot; /* (owned): DOMAIN@NAME */
  char *domain;   /* (owned): for which it was made */
  guint64 inode;
  gint64 made;         /* microseconds since 1970 */
  guint64 size;        /* bytes, when it was made */
  gint64 modified_ns;  /* likewise */
} PvOverlayEntry;
void pv_overlay_entry_free (PvOverlayEntry *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvOverlayEntry, pv_overlay_entry_free)

/* Writes down that the file @st will be called @path. @store_directory: where STORE is. */
gboolean pv_overlay_list_add (const char *store_directory, const char *path, const struct stat *st,
                              const char *snapshot, const char *domain, GError **error);
void pv_overlay_list_sync (const char *store_directory);
/* (element-type PvOverlayEntry) (transfer full): those whose files exist; entries of others are removed. */
GPtrArray *pv_overlay_list_read (const char *store_directory);
/* Removes file and entry when nobody has written to the file since it was made, and no QEMU has it open. */
void pv_overlay_list_remove_unused (const char *store_directory, const PvOverlayEntry *entry);

G_END_DECLS
