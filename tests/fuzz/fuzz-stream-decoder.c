/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Any bytes as a migration stream. However they are cut into pieces, the decoder must say the same; and a head that it
 * made must survive being kept. */
#include "config.h"

#include "stream/stream-decoder.h"

int LLVMFuzzerTestOneInput (const guint8 *data, size_t size);

typedef struct
{
  guint64 digest; /* of all that was reported, in order */
  GArray *sizes;  /* of guint64: bytes of each block */
} Seen;

static void
mix (Seen *seen, guint64 value)
{
  seen->digest = (seen->digest ^ value) * G_GUINT64_CONSTANT (0x100000001b3);
}

static gboolean
on_ram_blocks (const GPtrArray *blocks, gpointer data, GError **error)
{
  Seen *seen = data;

  g_assert (seen->sizes->len == 0 && blocks->len > 0);
  for (guint i = 0; i < blocks->len; i++)
    {
      const PvRamBlock *block = blocks->pdata[i];

      g_assert (block->size > 0 && block->size % PV_RAM_PAGE_MIN == 0);
      g_array_append_val (seen->sizes, block->size);
      mix (seen, g_str_hash (block->name));
    }
  return TRUE;
}

static void
check_range (const Seen *seen, guint block, guint64 offset, guint64 n_bytes)
{
  g_assert (block < seen->sizes->len);
  g_assert (n_bytes > 0 && n_bytes % PV_RAM_PAGE_MIN == 0 && offset % PV_RAM_PAGE_MIN == 0);
  g_assert (offset + n_bytes <= g_array_index (seen->sizes, guint64, block) && offset + n_bytes > offset);
}

static gboolean
on_pages (guint block, guint64 offset, const guint8 *bytes, guint n_bytes, gpointer data, GError **error)
{
  check_range (data, block, offset, n_bytes);
  mix (data, offset + block);
  for (guint i = 0; i < n_bytes; i += 64)
    mix (data, bytes[i] + 1u);
  mix (data, bytes[n_bytes - 1]);
  return TRUE;
}

static gboolean
on_zero (guint block, guint64 offset, guint64 n_bytes, gpointer data, GError **error)
{
  check_range (data, block, offset, n_bytes);
  mix (data, ~offset - block);
  return TRUE;
}

static void
check_head (PvStreamDecoder *decoder)
{
  g_autoptr(GBytes) kept = pv_stream_decoder_head (decoder), again = NULL;
  g_autoptr(GError) error = NULL;
  g_autoptr(PvStreamHead) head = pv_stream_head_parse (g_bytes_get_data (kept, NULL), g_bytes_get_size (kept), &error);

  g_assert_no_error (error);
  again = pv_stream_head_serialize (head);
  g_assert_true (g_bytes_equal (kept, again));
}

/* @step: 0 for all at once. The digest, which depends on the verdict too. */
static guint64
decode (const guint8 *data, size_t size, size_t step)
{
  static const PvStreamHandler handler = { on_ram_blocks, on_pages, on_zero };
  Seen seen = { .digest = 1, .sizes = g_array_new (FALSE, FALSE, sizeof (guint64)) };
  g_autoptr(PvStreamDecoder) decoder = pv_stream_decoder_new (&handler, &seen);
  g_autoptr(GError) error = NULL;
  gboolean ok = TRUE;

  for (size_t at = 0; ok && at < size;)
    {
      size_t now = step == 0 ? size : MIN (step, size - at);

      ok = pv_stream_decoder_feed (decoder, data + at, now, &error);
      at += now;
    }
  ok = ok && pv_stream_decoder_finish (decoder, &error);
  g_assert (ok == (error == NULL));
  if (ok)
    check_head (decoder);
  else
    g_assert (error->message[0] != '\0');
  mix (&seen, ok ? 1 : 2);
  g_array_unref (seen.sizes);
  return seen.digest;
}

int
LLVMFuzzerTestOneInput (const guint8 *data, size_t size)
{
  size_t step = size > 0 ? 1 + data[size - 1] % 97 : 1;
  guint64 whole = decode (data, size, 0);

  g_assert (whole == decode (data, size, step));
  return 0;
}
