/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A format marker with its key slots, as it comes and once more with magic and digest made right. What is accepted is
 * written again as it was, but for its optional features; and a slot that is cheap to open is tried. */
#include "config.h"

#include "store/store-format.h"

#include <string.h>

#include "chunk/name.h"

int LLVMFuzzerTestOneInput (const guint8 *data, size_t size);

#define OPTIONAL_FEATURES 24 /* bytes into the marker */

static void
open_slots (const PvStoreFormat *format)
{
  guint8 uuid[PV_KEY_UUID_SIZE];

  pv_store_format_uuid (format, uuid);
  for (guint i = 0; i < format->n_key_slots; i++)
    {
      const PvKeySlot *slot = &format->key_slots[i];
      g_autoptr(PvStoreKey) key = NULL;

      g_assert_true (pv_key_slot_kind (slot) != PV_KEY_SLOT_EMPTY);
      g_assert_cmpuint (pv_key_slot_cost (slot), <=, PV_KEY_COST_MAX);
      if (pv_key_slot_kind (slot) == PV_KEY_SLOT_SECRET)
        key = pv_key_slot_unwrap (slot, (const guint8 *) "0123456789abcdef0123456789abcdef", 32, uuid, NULL);
    }
}

static void
parse (const guint8 *data, gsize size)
{
  g_autoptr(GBytes) bytes = g_bytes_new (data, size);
  g_autoptr(GBytes) again = NULL;
  g_autoptr(GError) error = NULL;
  PvStoreFormat format;

  if (!pv_store_format_parse (bytes, &format, &error))
    {
      g_assert_nonnull (error);
      return;
    }
  g_assert_cmpuint (size, ==, PV_STORE_FORMAT_SIZE);
  again = pv_store_format_serialize (&format);
  g_assert_cmpmem (data, OPTIONAL_FEATURES, g_bytes_get_data (again, NULL), OPTIONAL_FEATURES);
  g_assert_cmpmem (data + OPTIONAL_FEATURES + 4, size - OPTIONAL_FEATURES - 4 - PV_NAME_SIZE,
                   (const guint8 *) g_bytes_get_data (again, NULL) + OPTIONAL_FEATURES + 4,
                   size - OPTIONAL_FEATURES - 4 - PV_NAME_SIZE);
  open_slots (&format);
}

int
LLVMFuzzerTestOneInput (const guint8 *data, size_t size)
{
  g_autofree guint8 *mended = NULL;

  parse (data, size);
  if (size < 16 + PV_NAME_SIZE)
    return 0;
  mended = g_memdup2 (data, size);
  memcpy (mended, "pagevault store\n", 16);
  pv_digest (mended, size - PV_NAME_SIZE, (PvName *) (mended + size - PV_NAME_SIZE));
  parse (mended, size);
  return 0;
}
