/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvMemsnap: an instantaneous snapshot of memory of the running process, taken while its other threads go on writing.
 *
 *   g_autoptr(PvMemsnap) snapshot = pv_memsnap_new ();
 *
 *   if (!pv_memsnap_add_region (snapshot, memory, size, &error) || !pv_memsnap_take (snapshot, &error))
 *     return FALSE;
 *   view = pv_memsnap_get_address (snapshot, 0);      // memory as it was, by plain loads
 *
 * Life: new → set options, add regions → (prepare) → take → read, iterate, release → free. All regions of a snapshot
 * show one instant: every store that was finished before it is in, every store after it is not. Reading needs no copy
 * of the whole: a page is copied when somebody overwrites it, or when the view is read there. Several snapshots may
 * exist at once, also of the same memory.
 *
 * Options and regions belong to one thread until take has returned; after that all functions but pv_memsnap_free() may
 * be called from any thread, and loads from the view anyway. docs/memsnap.md tells what each engine can see and what
 * must not be done with memory under a snapshot.
 *
 * Errors are of the domain PV_ERROR (util/error.h): UNSUPPORTED: this host or this memory cannot do that; INVALID: the
 * caller's argument is wrong; BUSY: another userfaultfd has the memory; NO_SPACE and FAILED as they say.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct _PvMemsnap PvMemsnap;

typedef enum
{
  PV_MEMSNAP_ENGINE_AUTO,     /* the first of the following that is safe on this host for this memory */
  PV_MEMSNAP_ENGINE_UFFD,     /* userfaultfd write protection; private anonymous, shared and huge page memory */
  PV_MEMSNAP_ENGINE_FORK,     /* a child process holds the memory; private memory only */
  PV_MEMSNAP_ENGINE_MPROTECT, /* mprotect(2) and SIGSEGV; any memory, but see pv_memsnap_set_user_writes_only() */
} PvMemsnapEngine;

/* What happens when the bytes of pv_memsnap_set_limit() are used up and one more page is to be overwritten. The
 * program itself never gets wrong memory. */
typedef enum
{
  PV_MEMSNAP_THROTTLE, /* the writing thread waits until pages are released (by another thread!) */
  PV_MEMSNAP_SPILL,    /* further copies go into an unnamed file */
  PV_MEMSNAP_FAIL,     /* the snapshot fails: pv_memsnap_check() says so, pages not copied read as zeros */
} PvMemsnapOverrun;

PvMemsnap *pv_memsnap_new (void);
/* Ends the snapshot; its addresses are gone, threads that were throttled go on. @self: (nullable). Nobody may be
 * reading the view any more. */
void pv_memsnap_free (PvMemsnap *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvMemsnap, pv_memsnap_free)

/* Adds @length bytes at @address, both multiples of the memory's page size (4096, or that of its huge pages), wholly
 * mapped and readable; PV_ERROR_INVALID otherwise. At most PV_MEMSNAP_REGIONS_MAX; they may not overlap. */
#define PV_MEMSNAP_REGIONS_MAX 1024
gboolean pv_memsnap_add_region (PvMemsnap *self, gpointer address, gsize length, GError **error);

/* AUTO unless set. */
void pv_memsnap_set_engine (PvMemsnap *self, PvMemsnapEngine engine);

/* No more than about @bytes of copies in memory at a time (0: no limit, which is the default), and what happens then.
 * @directory: (nullable): where PV_MEMSNAP_SPILL makes its file, NULL for g_get_tmp_dir(). Pages that were copied only
 * because the view was read are dropped first. */
void pv_memsnap_set_limit (PvMemsnap *self, gsize bytes, PvMemsnapOverrun overrun, const char *directory);

/* The caller vouches that as long as the snapshot lives no system call writes into the regions (read(2) into them and
 * the like, which would fail with EFAULT), and that none reads from the view. Then a userfaultfd without privileges
 * and mprotect may be used; without it AUTO does not take them, nor does MPROTECT. */
void pv_memsnap_set_user_writes_only (PvMemsnap *self, gboolean only);

/* Optional: does the slow part of pv_memsnap_take() beside the running program and returns at once. Until then stores
 * cost a fault each the first time. Only the uffd engine has such a part; for the others it does nothing. */
gboolean pv_memsnap_prepare (PvMemsnap *self, GError **error);

/* The instant lies inside this call. Once only. */
gboolean pv_memsnap_take (PvMemsnap *self, GError **error);

/* The engine that took it: "uffd", "fork", "mprotect"; NULL before. With AUTO, @passed_over: (out) (optional)
 * (nullable) (transfer none): why others were not taken, a sentence for each. */
const char *pv_memsnap_get_engine (PvMemsnap *self, const char **passed_over);

guint pv_memsnap_get_n_regions (PvMemsnap *self);
/* The first byte of the view of region @region (by order of adding); NULL before take. Read-only, gone in forked
 * children. */
const void *pv_memsnap_get_address (PvMemsnap *self, guint region);
gsize pv_memsnap_get_length (PvMemsnap *self, guint region);
/* Bytes of a page: the unit of copying, of the bitmap and of release. */
gsize pv_memsnap_get_page_size (PvMemsnap *self, guint region);

/* Copies out of the snapshot without making the view resident: better than loads for reading much. A range that was
 * released gives PV_ERROR_NOT_FOUND. */
gboolean pv_memsnap_read (PvMemsnap *self, guint region, gsize offset, gpointer buffer, gsize size, GError **error);

/* Sets bit n of @bitmap (64 bits a word, caller-allocated, (pages + 63) / 64 words) for each page n of @region that was
 * written to since the instant, and clears the others; @n_modified: (out) (optional). */
gboolean pv_memsnap_get_modified (PvMemsnap *self, guint region, guint64 *bitmap, gsize *n_modified, GError **error);

/* The caller has no more use for these pages (whole ones within the range): copies are freed, later stores are not
 * slowed. Their view reads as anything. */
void pv_memsnap_release (PvMemsnap *self, guint region, gsize offset, gsize length);

/* FALSE when the snapshot is not whole (any more): the limit was hit with PV_MEMSNAP_FAIL, memory was unmapped or
 * discarded under it, no memory was left for a copy. To be asked after the last byte was read through the view. */
gboolean pv_memsnap_check (PvMemsnap *self, GError **error);

typedef struct
{
  gsize held_bytes;     /* copies in memory now */
  gsize held_max_bytes; /* the most there were */
  gsize spilled_bytes;  /* copies in the spill file now */
  guint64 copies;       /* pages copied because they were written to */
  gint64 armed_us;      /* microseconds that making ready took beside the program */
  gint64 pause_us;      /* microseconds in which a storing thread could have had to wait for the instant */
} PvMemsnapStats;

void pv_memsnap_get_stats (PvMemsnap *self, PvMemsnapStats *stats);

/* Walks over all pages once, those modified first (their copies are what costs memory). */
typedef struct
{
  guint region;
  gsize offset;      /* bytes into the region */
  gsize length;      /* bytes, whole pages */
  const guint8 *data; /* valid until the next call with the iterator */
} PvMemsnapPiece;

typedef struct _PvMemsnapIter PvMemsnapIter;

/* Pieces of at most @piece_max bytes (at least one page). @consume: release each piece once the next is asked for. One
 * thread at a time; @self must live longer. */
PvMemsnapIter *pv_memsnap_iter_new (PvMemsnap *self, gsize piece_max, gboolean consume);
/* TRUE with a piece; FALSE at the end (@error not set) or when the snapshot is not whole (@error set). Pages released
 * by others are left out. */
gboolean pv_memsnap_iter_next (PvMemsnapIter *iter, PvMemsnapPiece *piece, GError **error);
void pv_memsnap_iter_free (PvMemsnapIter *iter);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvMemsnapIter, pv_memsnap_iter_free)

/* The two calls that were proposed on the kvm list in April 2013: one region, engine and limits as by default. Returns
 * an address that shows the region as it was, NULL (with errno set) when there can be no snapshot. */
void *memory_snapshot_create (void *addr, gsize length);
/* @addr: what memory_snapshot_create() returned; NULL is fine. */
void memory_snapshot_delete (void *addr);

G_END_DECLS
