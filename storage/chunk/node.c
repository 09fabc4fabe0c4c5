/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "chunk/node.h"

#include "util/cursor.h"
#include "util/error.h"

/* docs/format-store.md, "Node". */
enum
{
  FORM_FULL = 1,
  FORM_DELTA = 2,
};

#define BITMAP_SIZE (PV_NODE_FANOUT / 8u)
G_STATIC_ASSERT (PV_NODE_DELTA_HEADER == 100 && BITMAP_SIZE == 64);
G_STATIC_ASSERT (PV_NODE_STORED_MIN == 36 && PV_NODE_STORED_MAX == 16388);

static void
append_header (GByteArray *out, guint8 form, const PvNode *node)
{
  pv_append_u8 (out, form);
  pv_append_u8 (out, (guint8) node->level);
  pv_append_le16 (out, (guint16) node->n_entries);
}

static gboolean
is_valid (const PvNode *node)
{
  return node->level <= PV_NODE_LEVEL_MAX && node->n_entries >= 1 && node->n_entries <= PV_NODE_FANOUT
         && !pv_is_zero (node->entries, node->n_entries * sizeof *node->entries);
}

void
pv_node_encode_full (const PvNode *node, GByteArray *out)
{
  g_return_if_fail (is_valid (node));

  append_header (out, FORM_FULL, node);
  g_byte_array_append (out, node->entries[0].bytes, (guint) (node->n_entries * sizeof *node->entries));
}

guint
pv_node_count_changes (const PvNode *a, const PvNode *b)
{
  guint n = 0;

  g_return_val_if_fail (a->level == b->level && a->n_entries == b->n_entries, a->n_entries);

  for (guint i = 0; i < a->n_entries; i++)
    n += !pv_name_equal (&a->entries[i], &b->entries[i]);
  return n;
}

gboolean
pv_node_equal (const PvNode *a, const PvNode *b)
{
  return a->level == b->level && a->n_entries == b->n_entries
         && memcmp (a->entries, b->entries, a->n_entries * sizeof *a->entries) == 0;
}

gboolean
pv_node_encode_delta (const PvNode *node, const PvNode *base, const PvName *base_name, guint n_recent, GByteArray *out)
{
  guint8 bitmap[BITMAP_SIZE] = { 0 };
  guint n_changed;

  g_return_val_if_fail (is_valid (node), FALSE);
  g_return_val_if_fail (!pv_name_is_zero (base_name), FALSE);

  if (node->level != base->level || node->n_entries != base->n_entries)
    return FALSE;
  n_changed = pv_node_count_changes (node, base);
  if (n_changed == 0
      || PV_NODE_DELTA_HEADER + n_changed * PV_NAME_SIZE >= PV_NODE_FULL_HEADER + node->n_entries * PV_NAME_SIZE
      || (n_recent > 0 && n_changed * n_changed > 2 * node->n_entries * n_recent))
    return FALSE;

  for (guint i = 0; i < node->n_entries; i++)
    if (!pv_name_equal (&node->entries[i], &base->entries[i]))
      bitmap[i / 8] |= (guint8) (1u << (i % 8));
  append_header (out, FORM_DELTA, node);
  g_byte_array_append (out, base_name->bytes, PV_NAME_SIZE);
  g_byte_array_append (out, bitmap, sizeof bitmap);
  for (guint i = 0; i < node->n_entries; i++)
    if ((bitmap[i / 8] >> (i % 8) & 1) != 0)
      g_byte_array_append (out, node->entries[i].bytes, PV_NAME_SIZE);
  return TRUE;
}

static guint
count_bits (const guint8 *bitmap)
{
  guint n = 0;

  for (guint i = 0; i < BITMAP_SIZE; i++)
    n += (guint) __builtin_popcount (bitmap[i]);
  return n;
}

/* Bits of slots that the node does not have must be clear. */
static gboolean
check_bitmap (const guint8 *bitmap, guint n_entries, GError **error)
{
  for (guint i = n_entries; i < PV_NODE_FANOUT; i++)
    if ((bitmap[i / 8] >> (i % 8) & 1) != 0)
      return pv_corrupt (error, "delta node that changes slot %u of %u", i, n_entries);
  if (count_bits (bitmap) == 0)
    return pv_corrupt (error, "delta node that changes nothing");
  return TRUE;
}

/* A stored node taken apart; the pointers lead into its bytes. */
typedef struct
{
  PvNodeHead head;
  const guint8 *bitmap;  /* (nullable): of a DELTA */
  const guint8 *entries; /* all of a FULL node, the changed ones of a DELTA */
} Parts;

static gboolean
take_apart (const guint8 *data, gsize size, Parts *parts, GError **error)
{
  PvCursor cursor = PV_CURSOR_INIT (data, size);
  guint8 form = pv_cursor_u8 (&cursor);
  PvNodeHead *head = &parts->head;
  gsize n_stored;

  head->level = pv_cursor_u8 (&cursor);
  head->n_entries = pv_cursor_le16 (&cursor);
  head->delta = form == FORM_DELTA;
  memset (&head->base, 0, sizeof head->base);
  if (!pv_cursor_ok (&cursor, error))
    return FALSE;
  if (form != FORM_FULL && form != FORM_DELTA)
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "node of unknown form %u", form);
  if (head->level > PV_NODE_LEVEL_MAX || head->n_entries == 0 || head->n_entries > PV_NODE_FANOUT)
    return pv_corrupt (error, "node of level %u with %u entries", head->level, head->n_entries);

  parts->bitmap = NULL;
  n_stored = head->n_entries;
  if (head->delta)
    {
      pv_cursor_copy (&cursor, head->base.bytes, PV_NAME_SIZE);
      parts->bitmap = pv_cursor_bytes (&cursor, BITMAP_SIZE);
      if (!pv_cursor_ok (&cursor, error) || !check_bitmap (parts->bitmap, head->n_entries, error))
        return FALSE;
      if (pv_name_is_zero (&head->base))
        return pv_corrupt (error, "delta node without a base");
      n_stored = count_bits (parts->bitmap);
    }
  parts->entries = pv_cursor_bytes (&cursor, n_stored * PV_NAME_SIZE);
  return pv_cursor_end (&cursor, error);
}

gboolean
pv_node_peek (const guint8 *data, gsize size, PvNodeHead *head, GError **error)
{
  Parts parts;

  if (!take_apart (data, size, &parts, error))
    return FALSE;
  *head = parts.head;
  return TRUE;
}

gboolean
pv_node_decode (const guint8 *data, gsize size, const PvNode *base, PvNode *node, GError **error)
{
  const guint8 *entry;
  Parts parts;

  if (!take_apart (data, size, &parts, error))
    return FALSE;
  if (parts.head.delta && base == NULL)
    return pv_corrupt (error, "delta node where a full one must be");
  if (parts.head.delta && (base->level != parts.head.level || base->n_entries != parts.head.n_entries))
    return pv_corrupt (error, "delta node of level %u with %u entries on a base of level %u with %u",
                       parts.head.level, parts.head.n_entries, base->level, base->n_entries);

  node->level = parts.head.level;
  node->n_entries = parts.head.n_entries;
  if (!parts.head.delta)
    memcpy (node->entries, parts.entries, node->n_entries * sizeof *node->entries);
  else
    {
      memmove (node->entries, base->entries, node->n_entries * sizeof *node->entries);
      entry = parts.entries;
      for (guint i = 0; i < node->n_entries; i++)
        if ((parts.bitmap[i / 8] >> (i % 8) & 1) != 0)
          {
            memcpy (node->entries[i].bytes, entry, PV_NAME_SIZE);
            entry += PV_NAME_SIZE;
          }
    }
  if (pv_is_zero (node->entries, node->n_entries * sizeof *node->entries))
    return pv_corrupt (error, "stored node of zeros only");
  return TRUE;
}
