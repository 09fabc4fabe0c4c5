/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Any bytes as a file with a stream in it, mapped-ram or not. So that inputs stay small, the first two bytes say where
 * a hole is put into the file: u8 position in units of 64 bytes, u8 length in units of 64 KiB. */
#include "config.h"

#include <sys/mman.h>
#include <unistd.h>

#include "stream/plain-stream.h"

int LLVMFuzzerTestOneInput (const guint8 *data, size_t size);

static GArray *sizes; /* of guint64: bytes of each block */

static gboolean
on_ram_blocks (const GPtrArray *blocks, gpointer data, GError **error)
{
  for (guint i = 0; i < blocks->len; i++)
    g_array_append_val (sizes, ((const PvRamBlock *) blocks->pdata[i])->size);
  return TRUE;
}

static gboolean
on_pages (guint block, guint64 offset, const guint8 *bytes, guint n_bytes, gpointer data, GError **error)
{
  g_assert (block < sizes->len && offset + n_bytes <= g_array_index (sizes, guint64, block));
  g_assert (n_bytes > 0 && n_bytes % PV_RAM_PAGE_MIN == 0 && offset % PV_RAM_PAGE_MIN == 0);
  *(guint64 *) data += bytes[0] + bytes[n_bytes - 1];
  return TRUE;
}

int
LLVMFuzzerTestOneInput (const guint8 *data, size_t size)
{
  static const PvStreamHandler handler = { on_ram_blocks, on_pages, NULL };
  guint64 sum = 0;
  g_autoptr(PvStreamDecoder) decoder = NULL;
  g_autoptr(GError) error = NULL;
  size_t before;
  int fd;

  if (size < 2)
    return 0;
  before = MIN (data[0] * 64u, size - 2);
  fd = memfd_create ("fuzz", MFD_CLOEXEC);
  g_assert (fd >= 0);
  g_assert (pwrite (fd, data + 2, before, 0) == (ssize_t) before);
  g_assert (pwrite (fd, data + 2 + before, size - 2 - before, (off_t) (before + data[1] * 65536u))
            == (ssize_t) (size - 2 - before));
  sizes = g_array_new (FALSE, FALSE, sizeof (guint64));
  decoder = pv_stream_decoder_new (&handler, &sum);
  if (!pv_plain_stream_decode (fd, 0, PV_SAVE_FORMAT_SPARSE, "fuzz", decoder, &error))
    g_assert (error != NULL && error->message[0] != '\0');
  g_array_unref (sizes);
  close (fd);
  return 0;
}
