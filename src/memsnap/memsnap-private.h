/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the parts of PvMemsnap share.
 *
 * A snapshot has an owner: the service thread (memsnap-service.h) or whoever holds the trap lock (memsnap-trap.h). Only
 * the owner changes the states of pages, the list of guarded snapshots and what is protected; all of it lies in memory
 * of its own (pv_private_new), because the heap, the stacks and the data of the program may be in a snapshot
 * themselves: the owner must not write there. Others only load states.
 */
#pragma once

#include "memsnap/memsnap.h"

#include "util/file.h"

G_BEGIN_DECLS

/* State of a page: its place, and flags. */
enum
{
  PV_PAGE_SHARED = 0,   /* not written since the instant: the region itself has it */
  PV_PAGE_COPIED = 1,   /* the view has the only copy */
  PV_PAGE_SPILLED = 2,  /* the spill file has it */
  PV_PAGE_RELEASED = 3, /* nobody wants it */
  PV_PAGE_PLACE = 3,
  PV_PAGE_RESIDENT = 0x08, /* the view holds the page */
  PV_PAGE_MODIFIED = 0x10, /* was written to since the instant */
  PV_PAGE_WAITING = 0x20,  /* a thread waits to write to it */
  PV_PAGE_UNARMED = 0x40,  /* written to while it was being made ready */
};

typedef enum
{
  PV_PHASE_NEW,
  PV_PHASE_PREPARING, /* being protected; there is no instant yet */
  PV_PHASE_LIVE,
  PV_PHASE_FAILED,    /* not whole any more; nothing is protected for it */
} PvMemsnapPhase;

typedef struct
{
  guint64 start;      /* address in the program */
  gsize length;       /* bytes */
  gsize page_size;    /* bytes */
  gsize n_pages;
  gsize first;        /* pages of all regions before: where it is in the spill file */
  guint8 *pages;      /* states, n_pages; loaded by anyone, stored by the owner */
  guint64 view;       /* address of what the user reads */
  guint64 alias;      /* the same, writable (trapped views) */
  guint64 alias_offset; /* bytes into the snapshot's memfd (trapped views) */
  gboolean registered; /* our userfaultfd has it (uffd engine) */
  int protection;      /* PROT_ bits of the memory (mprotect engine) */
} PvMemsnapRegion;

typedef struct _PvForkChild PvForkChild;

typedef struct
{
  const char *name;
  PvMemsnapEngine engine;
  /* Whether this host and these regions allow it; else a sentence. */
  gboolean (*probe) (PvMemsnap *self, GError **error);
  gboolean (*prepare) (PvMemsnap *self, GError **error); /* (nullable) */
  gboolean (*take) (PvMemsnap *self, GError **error);
  /* Lifts the protection of pages that nobody needs any more. Owner. (nullable) */
  void (*unguard) (PvMemsnap *self, PvMemsnapRegion *region, gsize first, gsize n);
  /* Brings page content of the instant to @to while its place is SHARED: 0 or errno. Any thread. */
  int (*fetch) (PvMemsnap *self, PvMemsnapRegion *region, gsize offset, gpointer to, gsize size);
  /* Marks what was written to in the states, where that is not known as it happens. (nullable) */
  gboolean (*find_modified) (PvMemsnap *self, PvMemsnapRegion *region, GError **error);
  /* The source of a copy for a view may be the region itself. */
  gboolean in_place;
  void (*drop) (PvMemsnap *self);
} PvMemsnapOps;

struct _PvMemsnap
{
  const PvMemsnapOps *ops;
  PvMemsnapEngine wanted;
  gboolean user_writes_only;
  gboolean trapped;    /* owner: the trap lock; else the service thread */
  guint n_regions;
  PvMemsnapPhase phase; /* owner; loaded by anyone */
  int failed_errno;
  const char *failed_why;

  gsize limit; /* bytes, 0: none */
  PvMemsnapOverrun overrun;
  int spill_fd;
  char *spill_directory;
  gsize evict_region, evict_page; /* where to look for a page that can be dropped */

  PvMemsnapStats stats;
  gsize n_modified; /* grows with each page found modified */
  gsize n_waiting;  /* pages with PV_PAGE_WAITING */
  gsize n_unarmed;
  guint arm_region; /* where making ready goes on */
  gsize arm_page;
  int view_fd;      /* memfd of trapped views */
  PvForkChild *child;

  PvMemsnap *next_guarded; /* list of those whose regions are protected; owner */
  PvMemsnap *next_view;    /* list of those with a view to be filled; owner */
  GPtrArray *passed_over;  /* of char; by the thread that takes */
  char *passed_over_text;
  PvMemsnapRegion regions[PV_MEMSNAP_REGIONS_MAX];
};

extern const PvMemsnapOps pv_memsnap_uffd_ops;
extern const PvMemsnapOps pv_memsnap_fork_ops;
extern const PvMemsnapOps pv_memsnap_mprotect_ops;

/* pv_memsnap_check() without waiting for what the service thread has in its hands. */
gboolean pv_memsnap_check_phase (PvMemsnap *self, GError **error);

/* Zeroed memory of its own, in whole pages; NULL with PV_ERROR_NO_SPACE. */
gpointer pv_private_new (gsize size, GError **error);
void pv_private_free (gpointer memory, gsize size);

/* Copies within this process without a fault that cannot be had: 0 or EFAULT. Writes nothing but @to. */
int pv_copy_memory (gpointer to, guint64 from, gsize size);

/* What owners run: with the snapshot, up to four numbers; the result is the caller's to know. */
typedef gint64 (*PvOwnerFunc) (PvMemsnap *self, const guint64 *args);
gint64 pv_memsnap_run (PvMemsnap *self, PvOwnerFunc func, guint64 a, guint64 b, guint64 c);

static inline guint8
pv_page_load (const PvMemsnapRegion *region, gsize page)
{
  return __atomic_load_n (&region->pages[page], __ATOMIC_ACQUIRE);
}

static inline void
pv_page_store (PvMemsnapRegion *region, gsize page, guint8 state)
{
  __atomic_store_n (&region->pages[page], state, __ATOMIC_RELEASE);
}

G_END_DECLS
