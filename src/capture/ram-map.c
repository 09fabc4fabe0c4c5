/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "capture/ram-map.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "memsnap/memory-map.h"
#include "memsnap/process-memory.h"
#include "stream/ram-block.h"
#include "util/error.h"
#include "util/file.h"

/* struct RAMBlock: offsets in bytes. */
enum
{
  BLOCK_HOST = 24,
  BLOCK_OFFSET = 40, /* then used and whole size */
  BLOCK_USED = 48,
  BLOCK_WHOLE = 56,
  BLOCK_FLAGS = 72,
  BLOCK_NAME = 76,
  BLOCK_NAME_SIZE = 256,
  BLOCK_NEXT = 336,
  BLOCK_PREVIOUS = 344, /* address of what points to this block */
  BLOCK_SIZE = 352,
};

enum
{
  FLAG_SHARED = 1 << 1,
  FLAG_MIGRATABLE = 1 << 4,
  PAGE = 4096,
  PIECE = 1 << 20,         /* bytes of the heap looked through at a time */
  ALIGNMENT = 8,           /* of what malloc() gives */
};

#define HEAP_MAX (G_GUINT64_CONSTANT (4) << 30) /* bytes */

/* A line of "info ramblock". */
typedef struct
{
  char *name; /* (owned): "" for one without */
  guint64 offset, used, whole;
  gboolean small_pages;
} Told;

typedef struct
{
  guint64 address;
  guint8 bytes[BLOCK_SIZE];
} Found;

struct _PvRamMap
{
  pid_t pid;
  GPtrArray *blocks; /* (owned) (element-type PvRamMapBlock) */
  GArray *found;     /* (owned) (element-type Found): QEMU's whole list */
};

/* --- what the monitor tells --- */

static void
clear_told (gpointer told)
{
  g_free (((Told *) told)->name);
}

/* "  pc.ram    4 KiB  0x… 0x… 0x…", in later versions with more columns. FALSE: not such a line. */
static gboolean
parse_line (const char *line, Told *told)
{
  g_auto(GStrv) words = g_strsplit_set (line, " \t\r", -1);
  const char *word[8];
  guint n = 0, hex = 0;

  for (guint i = 0; words[i] != NULL && n < G_N_ELEMENTS (word); i++)
    if (*words[i] != '\0')
      word[n++] = words[i];
  while (hex < n && !g_str_has_prefix (word[hex], "0x"))
    hex++;
  if ((hex != 2 && hex != 3) || n < hex + 3)
    return FALSE;
  *told = (Told){
    .name = g_strdup (hex == 3 ? word[0] : ""),
    .offset = g_ascii_strtoull (word[hex], NULL, 16),
    .used = g_ascii_strtoull (word[hex + 1], NULL, 16),
    .whole = g_ascii_strtoull (word[hex + 2], NULL, 16),
    .small_pages = g_str_equal (word[hex - 2], "4") && g_str_equal (word[hex - 1], "KiB"),
  };
  return TRUE;
}

static GArray *
parse_told (const char *text, GError **error)
{
  g_autoptr(GArray) all = g_array_new (FALSE, FALSE, sizeof (Told));
  g_auto(GStrv) lines = g_strsplit (text, "\n", -1);
  Told told;

  g_array_set_clear_func (all, clear_told);
  for (guint i = 0; lines[i] != NULL && all->len <= PV_RAM_BLOCKS_MAX; i++)
    if (parse_line (lines[i], &told))
      g_array_append_val (all, told);
  if (all->len > 0 && all->len <= PV_RAM_BLOCKS_MAX)
    return g_steal_pointer (&all);
  pv_throw (error, PV_ERROR_UNSUPPORTED, "QEMU's list of memory blocks is not understood");
  return NULL;
}

/* --- what lies in QEMU's memory --- */

static guint64
word_at (const guint8 *bytes, gsize offset)
{
  guint64 word;

  memcpy (&word, bytes + offset, sizeof word);
  return word;
}

static guint32
flags_of (const Found *found)
{
  guint32 flags;

  memcpy (&flags, found->bytes + BLOCK_FLAGS, sizeof flags);
  return flags;
}

static gboolean
is_told (const Found *found, const Told *told)
{
  const char *name = (const char *) found->bytes + BLOCK_NAME;

  return word_at (found->bytes, BLOCK_OFFSET) == told->offset && word_at (found->bytes, BLOCK_USED) == told->used
         && word_at (found->bytes, BLOCK_WHOLE) == told->whole && strnlen (name, BLOCK_NAME_SIZE) < BLOCK_NAME_SIZE
         && g_str_equal (name, told->name);
}

/* (nullable): the list that begins at @address, when it is the one that was told; NULL otherwise. */
static GArray *
follow (pid_t pid, guint64 address, GArray *told)
{
  g_autoptr(GArray) list = g_array_new (FALSE, FALSE, sizeof (Found));
  guint64 pointer = 0, from = 0;

  for (guint i = 0; i < told->len; i++)
    {
      Found found = { .address = address };

      if (address == 0 || !pv_process_memory_read (pid, address, found.bytes, BLOCK_SIZE, NULL)
          || !is_told (&found, &g_array_index (told, Told, i))
          || (from != 0 && word_at (found.bytes, BLOCK_PREVIOUS) != from))
        return NULL;
      if (i == 0
          && (!pv_process_memory_read (pid, word_at (found.bytes, BLOCK_PREVIOUS), &pointer, sizeof pointer, NULL)
              || pointer != address))
        return NULL;
      from = address + BLOCK_NEXT;
      address = word_at (found.bytes, BLOCK_NEXT);
      g_array_append_val (list, found);
    }
  return address == 0 ? g_steal_pointer (&list) : NULL;
}

/* (nullable): looks for the first block in @bytes, which lie at @at. */
static GArray *
search (pid_t pid, const guint8 *bytes, gsize size, guint64 at, GArray *told)
{
  const Told *first = &g_array_index (told, Told, 0);
  const guint64 pattern[] = { first->offset, first->used, first->whole };
  const guint8 *from = bytes;

  while ((from = memmem (from, (gsize) (bytes + size - from), pattern, sizeof pattern)) != NULL)
    {
      guint64 address = at + (guint64) (from - bytes);

      if (address % ALIGNMENT == 0 && address >= BLOCK_OFFSET)
        {
          GArray *list = follow (pid, address - BLOCK_OFFSET, told);

          if (list != NULL)
            return list;
        }
      from++;
    }
  return NULL;
}

static gboolean
find_heap (pid_t pid, guint64 *start, guint64 *end, GError **error)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/maps", (int) pid);
  g_autofree char *text = NULL;
  g_auto(GStrv) lines = NULL;

  if (!g_file_get_contents (path, &text, NULL, error))
    return FALSE;
  lines = g_strsplit (text, "\n", -1);
  for (guint i = 0; lines[i] != NULL; i++)
    if (g_str_has_suffix (lines[i], "[heap]")
        && sscanf (lines[i], "%" G_GINT64_MODIFIER "x-%" G_GINT64_MODIFIER "x ", start, end) == 2
        && *end - *start <= HEAP_MAX)
      return TRUE;
  return pv_throw (error, PV_ERROR_UNSUPPORTED, "process %d has no heap that could be looked through", (int) pid);
}

static GArray *
find_list (pid_t pid, GArray *told, GError **error)
{
  g_autofree guint8 *piece = g_malloc (PIECE);
  GArray *list = NULL;
  guint64 at, end;

  if (!find_heap (pid, &at, &end, error))
    return NULL;
  /* pieces overlap: the pattern may lie across a border */
  while (at < end && list == NULL)
    {
      gsize size = MIN (PIECE, end - at);

      if (!pv_process_memory_read (pid, at, piece, size, error))
        return NULL;
      list = search (pid, piece, size, at, told);
      at += size < PIECE ? size : PIECE - PAGE;
    }
  if (list == NULL)
    pv_throw (error, PV_ERROR_UNSUPPORTED, "the list of memory blocks is not found in the memory of this QEMU "
              "(process %d)", (int) pid);
  return list;
}

/* --- what can be captured --- */

static gboolean
check_area (pid_t pid, const PvRamMapBlock *block, GError **error)
{
  g_autoptr(GArray) areas = pv_memory_map_read (pid, block->address, block->address + block->size, error);
  gsize page_size;

  if (areas == NULL || !pv_memory_map_check (areas, block->address, block->address + block->size, &page_size, error))
    return FALSE;
  for (guint i = 0; i < areas->len; i++)
    {
      const PvMemoryArea *area = &g_array_index (areas, PvMemoryArea, i);

      if (area->shared || !area->anonymous)
        return pv_throw (error, PV_ERROR_UNSUPPORTED, "its memory block %s is in a file or a memfd, which others may "
                         "write to unseen", block->name);
    }
  return page_size == PAGE
         || pv_throw (error, PV_ERROR_UNSUPPORTED, "its memory block %s is on huge pages", block->name);
}

static gboolean
add_block (PvRamMap *self, const Told *told, const Found *found, GError **error)
{
  PvRamMapBlock *block;

  if ((flags_of (found) & FLAG_MIGRATABLE) == 0)
    return TRUE;
  if (!pv_ram_block_name_ok (told->name, strlen (told->name)))
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "a memory block of this QEMU has no name");
  if ((flags_of (found) & FLAG_SHARED) != 0 || !told->small_pages)
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "its memory block %s is %s", told->name,
                     told->small_pages ? "shared with other processes" : "on huge pages");
  block = g_new (PvRamMapBlock, 1);
  *block = (PvRamMapBlock){ g_strdup (told->name), word_at (found->bytes, BLOCK_HOST), told->used };
  g_ptr_array_add (self->blocks, block);
  if (block->size == 0 || block->size % PAGE != 0 || block->address % PAGE != 0 || block->address == 0)
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "its memory block %s is not of whole pages", block->name);
  return check_area (self->pid, block, error);
}

/* "Host virtual address for 0x0 (pc.ram) is 0x7f…": a second witness. */
static gboolean
check_first (PvRamMap *self, const char *first, GError **error)
{
  char name[PV_RAM_BLOCK_NAME_MAX + 1];
  guint64 address;

  if (first == NULL
      || sscanf (first, "Host virtual address for 0x0 (%255[^)]) is 0x%" G_GINT64_MODIFIER "x", name, &address) != 2)
    return TRUE;
  for (guint i = 0; i < self->blocks->len; i++)
    {
      const PvRamMapBlock *block = self->blocks->pdata[i];

      if (g_str_equal (block->name, name))
        return block->address == address
               || pv_throw (error, PV_ERROR_UNSUPPORTED, "QEMU and its memory tell different addresses of block %s",
                            name);
    }
  return pv_throw (error, PV_ERROR_UNSUPPORTED, "the memory block %s is not in QEMU's list", name);
}

static void
free_block (gpointer data)
{
  PvRamMapBlock *block = data;

  g_free (block->name);
  g_free (block);
}

PvRamMap *
pv_ram_map_find (const char *ramblock, const char *first, pid_t pid, GError **error)
{
  g_autoptr(GArray) told = parse_told (ramblock, error);
  g_autoptr(PvRamMap) self = g_new0 (PvRamMap, 1);

  self->pid = pid;
  self->blocks = g_ptr_array_new_with_free_func (free_block);
  self->found = told != NULL ? find_list (pid, told, error) : NULL;
  if (self->found == NULL)
    return NULL;
  for (guint i = 0; i < told->len; i++)
    if (!add_block (self, &g_array_index (told, Told, i), &g_array_index (self->found, Found, i), error))
      return NULL;
  if (self->blocks->len == 0)
    pv_throw (error, PV_ERROR_UNSUPPORTED, "QEMU has no memory that a migration would carry");
  return self->blocks->len > 0 && check_first (self, first, error) ? g_steal_pointer (&self) : NULL;
}

PvRamMap *
pv_ram_map_new (PvGuest *guest, pid_t pid, GError **error)
{
  g_autofree char *ramblock = pv_guest_hmp (guest, "info ramblock", error);
  g_autofree char *first = ramblock != NULL ? pv_guest_hmp (guest, "gpa2hva 0", error) : NULL;
  PvRamMap *self = first != NULL ? pv_ram_map_find (ramblock, first, pid, error) : NULL;

  if (self == NULL)
    g_prefix_error (error, "guest %s: ", pv_guest_name (guest));
  return self;
}

void
pv_ram_map_free (PvRamMap *self)
{
  if (self == NULL)
    return;
  g_ptr_array_unref (self->blocks);
  g_clear_pointer (&self->found, g_array_unref);
  g_free (self);
}

guint
pv_ram_map_n_blocks (const PvRamMap *self)
{
  return self->blocks->len;
}

const PvRamMapBlock *
pv_ram_map_block (const PvRamMap *self, guint i)
{
  return self->blocks->pdata[i];
}

guint64
pv_ram_map_total (const PvRamMap *self)
{
  guint64 total = 0;

  for (guint i = 0; i < self->blocks->len; i++)
    total += ((const PvRamMapBlock *) self->blocks->pdata[i])->size;
  return total;
}

gboolean
pv_ram_map_check (const PvRamMap *self, GError **error)
{
  for (guint i = 0; i < self->found->len; i++)
    {
      const Found *found = &g_array_index (self->found, Found, i);
      guint8 now[BLOCK_SIZE];
      guint64 pointer;

      if (!pv_process_memory_read (self->pid, found->address, now, sizeof now, error)
          || !pv_process_memory_read (self->pid, word_at (found->bytes, BLOCK_PREVIOUS), &pointer, sizeof pointer,
                                      error))
        return FALSE;
      /* the first 16 bytes are of QEMU's reclaiming of memory, the next 8 of its tree; some flags come and go */
      if (memcmp (now + BLOCK_HOST, found->bytes + BLOCK_HOST, sizeof (guint64)) != 0
          || memcmp (now + BLOCK_OFFSET, found->bytes + BLOCK_OFFSET, 3 * sizeof (guint64)) != 0
          || memcmp (now + BLOCK_NAME, found->bytes + BLOCK_NAME, BLOCK_SIZE - BLOCK_NAME) != 0
          || pointer != found->address)
        return pv_throw (error, PV_ERROR_BUSY, "the guest's memory got another shape meanwhile (memory was plugged in, "
                         "or it was started anew): try again");
    }
  return TRUE;
}

gboolean
pv_ram_map_equal (const PvRamMap *a, const PvRamMap *b)
{
  if (a->pid != b->pid || a->blocks->len != b->blocks->len)
    return FALSE;
  for (guint i = 0; i < a->blocks->len; i++)
    {
      const PvRamMapBlock *one = a->blocks->pdata[i], *other = b->blocks->pdata[i];

      if (one->address != other->address || one->size != other->size || !g_str_equal (one->name, other->name))
        return FALSE;
    }
  return TRUE;
}
