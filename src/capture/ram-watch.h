/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvRamWatch: which pages of a guest's memory have still to be read, and reading them.
 *
 *   new (all memory is watched) -> scan, take, take … -> scan, take … -> free
 *
 * Watching is asynchronous write protection by a userfaultfd (memsnap/userfault.h): the kernel notes a write and lets
 * it go on. scan() moves what was noted since the last one into the set of pages that are to be taken. What is not
 * there (never touched, or given back by the guest's balloon: the kernel notes nothing when a page goes) is zero, and
 * is told when it was something else before. A page that is read before anybody has written to it is there from then
 * on, and counts as written once.
 *
 * A page that a device is filling at the moment of a scan, by direct I/O, is noted before, and may be filled after it
 * was read, unnoted. So a page must be taken only after all I/O that was under way at its scan has ended: scan while
 * the guest is paused, which is when QEMU has waited for all of it.
 *
 * One thread at a time.
 */
#pragma once

#include "capture/ram-map.h"

G_BEGIN_DECLS

typedef struct _PvRamWatch PvRamWatch;

/* @map: must outlive it. @userfaultfd: of process @pid, for tracking (pv_process_memory_userfaultfd()); not taken over,
 * must stay open; what it watches already goes on being watched. Everything counts as written. PV_ERROR_BUSY when
 * another userfaultfd has the memory. */
PvRamWatch *pv_ram_watch_new (const PvRamMap *map, pid_t pid, int userfaultfd, GError **error);
/* Does not end the watching: closing the last descriptor of the userfaultfd does. */
void pv_ram_watch_free (PvRamWatch *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvRamWatch, pv_ram_watch_free)

/* Some milliseconds for gibibytes; the first time, when all is written, up to 40 ms for each of small pages. */
gboolean pv_ram_watch_scan (PvRamWatch *self, GError **error);
/* Pages that a scan would find now, without making them anything else. */
gboolean pv_ram_watch_peek (PvRamWatch *self, guint64 *n_pages, GError **error);
/* Pages that are to be taken. */
guint64 pv_ram_watch_pending (const PvRamWatch *self);

/* One run of pages of one block. */
typedef struct
{
  guint block;          /* index in the map */
  guint64 offset, size; /* bytes, whole pages */
  const guint8 *bytes;  /* NULL: zeros */
} PvRamPiece;

/* What was taken: a buffer that is used again and again. */
typedef struct
{
  GArray *pieces; /* (owned) (element-type PvRamPiece) */
  guint8 *buffer; /* (owned): there already, so that filling it costs no page faults */
  gsize size;     /* bytes */
} PvRamPages;
PvRamPages *pv_ram_pages_new (gsize size);
void pv_ram_pages_free (PvRamPages *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvRamPages, pv_ram_pages_free)

/* Reads as many of the pages that are to be taken as fit; no pieces: there are none any more. */
gboolean pv_ram_watch_take (PvRamWatch *self, PvRamPages *pages, GError **error);

/* Appends to @pieces (element-type PvRamPiece, without bytes) what is there, is not to be taken and was never taken:
 * memory that nobody has written to since somebody scanned it by the same userfaultfd before. It counts as taken
 * then. */
void pv_ram_watch_keep (PvRamWatch *self, GArray *pieces);

G_END_DECLS
