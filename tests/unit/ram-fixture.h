/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* This process as if it were QEMU: a list of three memory blocks on its heap, and what the monitor tells of them. For
 * tests of src/capture/ram-map.h and of what stands on it. */
#pragma once

#include "capture/ram-map.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* struct RAMBlock, as QEMU lays it out. */
typedef struct Block Block;
struct Block
{
  gpointer rcu[2], region;
  guint8 *host, *colo;
  guint64 offset, used, whole;
  gpointer resized;
  guint32 flags;
  char name[256];
  Block *next, **previous;
};
G_STATIC_ASSERT (G_STRUCT_OFFSET (Block, next) == 336);

enum
{
  N = 3,
  SHARED = 1 << 1,
  MIGRATABLE = 1 << 4,
  PAGE = 4096,
  RAM_PAGES = 0x900,            /* of pc.ram, which begins the memory */
  RAM_BYTES = RAM_PAGES * PAGE,
  TABLES_AT = 0xa00000,         /* where the tables begin */
  TABLES_BYTES = 0x2000,        /* in use */
  MEMORY_BYTES = 0x1000000,     /* of all together */
};

#define LINE(name, offset, used, whole) \
  name " 4 KiB  0x0000000000" offset " 0x0000000000" used " 0x0000000000" whole "\r\n"

static const char told[] = "    Block Name    PSize              Offset               Used              Total\r\n"
                           LINE ("                  pc.ram   ", "000000", "900000", "900000")
                           LINE ("    /rom@etc/acpi/tables   ", "a00000", "002000", "010000")
                           LINE ("                           ", "c00000", "001000", "001000");

typedef struct
{
  Block *blocks[N];
  Block *head;
  guint8 *memory; /* offsets of blocks are offsets into it; never touched, without huge pages */
  Block *arena;   /* N of them */
} List;

static void
list_add (List *list, guint i, const char *name, guint64 offset, guint64 used, guint64 whole, guint32 flags)
{
  Block *block = &list->arena[i];

  *block = (Block){ .host = list->memory + offset, .offset = offset, .used = used, .whole = whole, .flags = flags };
  g_strlcpy (block->name, name, sizeof block->name);
  block->previous = i > 0 ? &list->blocks[i - 1]->next : &list->head;
  *block->previous = block;
  list->blocks[i] = block;
}

/* The list must lie on the heap proper, wherever this build's malloc() takes its memory from. */
static void
list_set_up (List *list)
{
  static Block *arena;

  if (arena == NULL)
    {
      guint8 *end = sbrk (sizeof (Block) * N + 16);

      g_assert_true (end != (gpointer) -1);
      arena = (gpointer) (((gsize) end + 15) & ~(gsize) 15);
    }
  *list = (List){ .arena = arena };
  list->memory = mmap (NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  g_assert_true (list->memory != MAP_FAILED);
  madvise (list->memory, MEMORY_BYTES, MADV_NOHUGEPAGE);
  list_add (list, 0, "pc.ram", 0, RAM_BYTES, RAM_BYTES, MIGRATABLE);
  list_add (list, 1, "/rom@etc/acpi/tables", TABLES_AT, TABLES_BYTES, 0x10000, MIGRATABLE);
  list_add (list, 2, "", 0xc00000, 0x1000, 0x1000, 0);
}

static void
list_tear_down (List *list)
{
  memset (list->arena, 0, sizeof (Block) * N);
  munmap (list->memory, MEMORY_BYTES);
}

static inline PvRamMap *
list_map (void)
{
  g_autoptr(GError) error = NULL;
  PvRamMap *map = pv_ram_map_find (told, NULL, getpid (), &error);

  g_assert_no_error (error);
  return map;
}
