/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory and snapshots for tests of src/memsnap/memsnap.h. */
#pragma once

#include "memsnap/memsnap.h"

#include <sys/mman.h>
#include <unistd.h>

#define PAGE ((gsize) 4096)
#define HUGE ((gsize) 2 << 20)

typedef enum
{
  ANONYMOUS,
  THP,
  SHARED,
  HUGETLB,
} Kind;

/* NULL when the host has no such memory. */
static guint8 *G_GNUC_NO_INLINE
new_memory (Kind kind, gsize size)
{
  int flags = MAP_PRIVATE | MAP_ANONYMOUS;
  guint8 *memory, *aligned;
  int fd = -1;

  if (kind == SHARED)
    {
      fd = memfd_create ("test", MFD_CLOEXEC);
      g_assert_cmpint (ftruncate (fd, (off_t) size), ==, 0);
      flags = MAP_SHARED;
    }
  if (kind == HUGETLB)
    flags |= MAP_HUGETLB;
  if (kind == THP)
    {
      memory = mmap (NULL, size + HUGE, PROT_READ | PROT_WRITE, flags, -1, 0);
      aligned = (guint8 *) (((gsize) memory + HUGE - 1) & ~(HUGE - 1));
      munmap (memory, (gsize) (aligned - memory));
      munmap (aligned + size, (gsize) (memory + HUGE - aligned));
      madvise (aligned, size, MADV_HUGEPAGE);
      return aligned;
    }
  memory = mmap (NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);
  if (fd >= 0)
    close (fd);
  return memory == MAP_FAILED ? NULL : memory;
}

static inline PvMemsnap *
new_snapshot (PvMemsnapEngine engine, gpointer memory, gsize size)
{
  PvMemsnap *snapshot = pv_memsnap_new ();
  g_autoptr(GError) error = NULL;

  pv_memsnap_set_engine (snapshot, engine);
  pv_memsnap_set_user_writes_only (snapshot, engine == PV_MEMSNAP_ENGINE_MPROTECT);
  pv_memsnap_add_region (snapshot, memory, size, &error);
  g_assert_no_error (error);
  return snapshot;
}

static inline const guint8 *
take (PvMemsnap *snapshot)
{
  g_autoptr(GError) error = NULL;

  pv_memsnap_take (snapshot, &error);
  g_assert_no_error (error);
  return pv_memsnap_get_address (snapshot, 0);
}

static void
fill (guint8 *memory, gsize size, guint seed)
{
  for (gsize i = 0; i < size; i += 8)
    *(guint64 *) (gpointer) (memory + i) = (i + seed) * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);
}

static void
assert_filled (const guint8 *memory, gsize size, guint seed)
{
  for (gsize i = 0; i < size; i += 8)
    {
      guint64 wanted = (i + seed) * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);
      guint64 found = *(const guint64 *) (gconstpointer) (memory + i);

      if (found != wanted)
        g_error ("offset %" G_GSIZE_FORMAT ": %" G_GINT64_MODIFIER "x instead of %" G_GINT64_MODIFIER "x", i, found,
                 wanted);
    }
}

typedef struct
{
  PvMemsnapEngine engine;
  Kind kind;
} Case;
