/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvRamMap: where the blocks of a guest's memory lie in QEMU's process.
 *
 * QEMU's monitor names its blocks ("info ramblock": name, offset, used and whole size) but, before 8.2, not their
 * addresses; "gpa2hva" knows only what the guest can address, not the small blocks of tables. So the addresses are read
 * where QEMU keeps them: in the list of its struct RAMBlock, which lies on its heap. That structure (include/exec/
 * ramblock.h) has begun alike from QEMU 2.12 to 10; what is found counts only if it is the whole list that the monitor
 * tells, in its order, linked from one to the next, from the list's head to its end, and if the address of the first
 * block is the one of gpa2hva where that knows it. Anything else is PV_ERROR_UNSUPPORTED.
 *
 * Immutable; any thread.
 */
#pragma once

#include <sys/types.h>

#include "virt/guest.h"

G_BEGIN_DECLS

typedef struct
{
  char *name;      /* (owned): "pc.ram"; unique */
  guint64 address; /* in QEMU's process; of whole 4096-byte pages */
  guint64 size;    /* bytes in use: what a migration carries; > 0, whole pages */
} PvRamMapBlock;

typedef struct _PvRamMap PvRamMap;

/* The blocks that a migration of the guest carries, in its order. PV_ERROR_UNSUPPORTED with a sentence when they
 * cannot be found, or when some of them is not private, anonymous memory of 4096-byte pages: on huge pages, shared with
 * others, in a file. */
PvRamMap *pv_ram_map_new (PvGuest *guest, pid_t pid, GError **error);
/* From the monitor's answers; @first: that of "gpa2hva 0" (nullable). For pv_ram_map_new(), and for tests. */
PvRamMap *pv_ram_map_find (const char *ramblock, const char *first, pid_t pid, GError **error);
void pv_ram_map_free (PvRamMap *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvRamMap, pv_ram_map_free)

guint pv_ram_map_n_blocks (const PvRamMap *self);
const PvRamMapBlock *pv_ram_map_block (const PvRamMap *self, guint i);
/* Bytes of all blocks. */
guint64 pv_ram_map_total (const PvRamMap *self);

/* Looks into QEMU's list again: PV_ERROR_BUSY when it is not the same any more (memory was plugged in, a block has
 * another size). Some microseconds; no question to the monitor. */
gboolean pv_ram_map_check (const PvRamMap *self, GError **error);
/* Whether both tell the same. */
gboolean pv_ram_map_equal (const PvRamMap *a, const PvRamMap *b);

G_END_DECLS
