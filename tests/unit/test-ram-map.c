/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "capture/ram-map.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "util/error.h"

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
};

#define LINE(name, offset, used, whole) \
  name " 4 KiB  0x0000000000" offset " 0x0000000000" used " 0x0000000000" whole "\r\n"

static const char told[] = "    Block Name    PSize              Offset               Used              Total\r\n"
                           LINE ("                  pc.ram   ", "000000", "040000", "040000")
                           LINE ("    /rom@etc/acpi/tables   ", "080000", "002000", "010000")
                           LINE ("                           ", "0c0000", "001000", "001000");

typedef struct
{
  Block *blocks[N];
  Block *head;
  guint8 *memory;
  Block *arena; /* N of them */
} List;

static void
add (List *list, guint i, const char *name, guint64 offset, guint64 used, guint64 whole, guint32 flags)
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
set_up (List *list)
{
  static Block *arena;

  if (arena == NULL)
    {
      guint8 *end = sbrk (sizeof (Block) * N + 16);

      g_assert_true (end != (gpointer) -1);
      arena = (gpointer) (((gsize) end + 15) & ~(gsize) 15);
    }
  *list = (List){ .arena = arena };
  list->memory = mmap (NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  g_assert_true (list->memory != MAP_FAILED);
  add (list, 0, "pc.ram", 0, 0x40000, 0x40000, MIGRATABLE);
  add (list, 1, "/rom@etc/acpi/tables", 0x80000, 0x2000, 0x10000, MIGRATABLE);
  add (list, 2, "", 0xc0000, 0x1000, 0x1000, 0);
}

static void
tear_down (List *list)
{
  memset (list->arena, 0, sizeof (Block) * N);
  munmap (list->memory, 1 << 20);
}

static void
expect (PvError code, const char *ramblock, const char *first)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(PvRamMap) map = pv_ram_map_find (ramblock, first, getpid (), &error);

  g_assert_null (map);
  g_assert_error (error, PV_ERROR, (gint) code);
}

static void
test_found (void)
{
  List list;
  g_autoptr(GError) error = NULL;
  g_autoptr(PvRamMap) map = NULL;
  g_autofree char *first = NULL;

  set_up (&list);
  first = g_strdup_printf ("Host virtual address for 0x0 (pc.ram) is %p\r\n", (gpointer) list.memory);
  map = pv_ram_map_find (told, first, getpid (), &error);
  g_assert_no_error (error);
  g_assert_cmpuint (pv_ram_map_n_blocks (map), ==, 2);
  g_assert_cmpstr (pv_ram_map_block (map, 0)->name, ==, "pc.ram");
  g_assert_cmpuint (pv_ram_map_block (map, 0)->address, ==, (guint64) (gsize) list.memory);
  g_assert_cmpuint (pv_ram_map_block (map, 1)->address, ==, (guint64) (gsize) list.memory + 0x80000);
  g_assert_cmpuint (pv_ram_map_block (map, 1)->size, ==, 0x2000);
  g_assert_cmpuint (pv_ram_map_total (map), ==, 0x42000);
  g_assert_true (pv_ram_map_equal (map, map));
  g_assert_true (pv_ram_map_check (map, &error));
  list.blocks[1]->used = 0x3000;
  g_assert_false (pv_ram_map_check (map, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_BUSY);
  tear_down (&list);
}

/* A list that is not the one told is none. */
static void
test_other_lists (void)
{
  List list;
  g_autofree char *elsewhere = NULL;

  set_up (&list);
  elsewhere = g_strdup_printf ("Host virtual address for 0x0 (pc.ram) is %p", (gpointer) (list.memory + PAGE));
  expect (PV_ERROR_UNSUPPORTED, told, elsewhere);
  expect (PV_ERROR_UNSUPPORTED, "no blocks", NULL);
  list.head = NULL; /* nothing points to the first */
  expect (PV_ERROR_UNSUPPORTED, told, NULL);
  list.head = list.blocks[0];
  list.blocks[2]->next = list.blocks[0]; /* no end */
  expect (PV_ERROR_UNSUPPORTED, told, NULL);
  list.blocks[2]->next = NULL;
  list.blocks[2]->previous = &list.head; /* not linked back */
  expect (PV_ERROR_UNSUPPORTED, told, NULL);
  list.blocks[2]->previous = &list.blocks[1]->next;
  g_strlcpy (list.blocks[1]->name, "other", sizeof list.blocks[1]->name);
  expect (PV_ERROR_UNSUPPORTED, told, NULL);
  tear_down (&list);
}

static void
test_other_memory (void)
{
  List list;
  g_autofree char *huge = g_strdup (told);

  set_up (&list);
  memcpy (strstr (huge, "4 KiB"), "2 MiB", 5);
  expect (PV_ERROR_UNSUPPORTED, huge, NULL);
  list.blocks[0]->flags |= SHARED;
  expect (PV_ERROR_UNSUPPORTED, told, NULL);
  list.blocks[0]->flags = MIGRATABLE;
  g_assert_true (mmap (list.memory, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
                 == list.memory);
  expect (PV_ERROR_UNSUPPORTED, told, NULL);
  munmap (list.memory, PAGE);
  expect (PV_ERROR_INVALID, told, NULL);
  tear_down (&list);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/ram-map/found", test_found);
  g_test_add_func ("/ram-map/other-lists", test_other_lists);
  g_test_add_func ("/ram-map/other-memory", test_other_memory);
  return g_test_run ();
}
