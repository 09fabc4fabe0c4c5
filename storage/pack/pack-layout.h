/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bytes around the frames of a pack, as docs/format-store.md, "Pack" lays them out: shared by those who read and
 * those who write tables, and by nobody outside this room. */
#pragma once

#include "pack/pack-table.h"

#define PV_PACK_VERSION 1
#define PV_PACK_MAGIC_SIZE 8u /* bytes */
#define PV_PACK_HEADER_BYTES { 'P', 'V', 'p', 'a', 'c', 'k', '\r', '\n', PV_PACK_VERSION }
#define PV_PACK_FOOTER_MAGIC "PVtable\n"
G_STATIC_ASSERT (sizeof PV_PACK_FOOTER_MAGIC - 1 == PV_PACK_MAGIC_SIZE);

enum
{
  PV_PACK_FOOTER_VERSION = 8,
  PV_PACK_FOOTER_FLAGS = 10,
  PV_PACK_FOOTER_N_FRAMES = 12,
  PV_PACK_FOOTER_TABLE_OFFSET = 16,
  PV_PACK_FOOTER_TABLE_SIZE = 24,
  PV_PACK_FOOTER_N_OBJECTS = 32,
  PV_PACK_FOOTER_RESERVED = 36,
  PV_PACK_FOOTER_NAME = 40,
  PV_PACK_FOOTER_CHECKSUM = 72, /* of all before it */
  PV_PACK_FOOTER_END = 80,
};
enum
{
  PV_PACK_FLAG_ENCRYPTED = 1 << 0, /* of the footer */
};

#define PV_PACK_SEAL_SIZE (PV_SALT_SIZE + PV_SEAL_TAG_SIZE) /* bytes at the end of the table of an encrypted pack */

/* Appends the first PV_PACK_FOOTER_NAME bytes of the footer that @footer describes. */
void pv_pack_footer_append_head (const PvPackFooter *footer, GByteArray *out);

G_STATIC_ASSERT (PV_PACK_FOOTER_VERSION == PV_PACK_MAGIC_SIZE);
G_STATIC_ASSERT (PV_PACK_FOOTER_NAME + PV_NAME_SIZE == PV_PACK_FOOTER_CHECKSUM);
G_STATIC_ASSERT (PV_PACK_FOOTER_END == PV_PACK_FOOTER_SIZE);
G_STATIC_ASSERT (PV_PACK_FRAMES_MAX * (guint64) PV_FRAME_NODES <= G_MAXUINT32);
