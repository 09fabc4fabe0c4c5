/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvRamBlock: one piece of guest memory as QEMU names it ("pc.ram", "/rom@etc/acpi/tables", …).
 *
 * A stream lists its blocks once, when the RAM section starts; that order is the "setup order" by which all of
 * src/stream numbers them. Pages are addressed by (block index, offset in the block).
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define PV_RAM_BLOCK_NAME_MAX 255                /* bytes, without the NUL */
#define PV_RAM_BLOCKS_MAX 4096                   /* blocks in one stream */
#define PV_RAM_TOTAL_MAX (G_GUINT64_CONSTANT (64) << 40) /* bytes, all blocks together */
#define PV_RAM_PAGE_MIN 4096u                    /* bytes; every page size is a power of two from here … */
#define PV_RAM_PAGE_MAX 65536u                   /* … to here */

typedef struct
{
  char *name;      /* owned; 1 … 255 printable ASCII bytes; unique in its stream */
  guint64 size;    /* bytes, > 0, multiple of the stream's page size */
  guint64 address; /* guest-physical; only meaningful when the stream has the x-ignore-shared capability, else 0 */
} PvRamBlock;

/* (transfer full): @name is copied. Both checked by the caller. */
PvRamBlock *pv_ram_block_new (const char *name, guint64 size, guint64 address);
void pv_ram_block_free (PvRamBlock *self);
/* TRUE when @name may name a block: 1 … 255 printable ASCII bytes. */
gboolean pv_ram_block_name_ok (const char *name, gsize len);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvRamBlock, pv_ram_block_free)

G_END_DECLS
