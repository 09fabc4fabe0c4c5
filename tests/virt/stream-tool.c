/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* stream-tool: what tests do with migration streams and save images, by src/stream alone.
 *
 *   stream-tool info FILE         prints what the stream consists of
 *   stream-tool recode IN OUT     decodes IN (any kind), writes the same guest as a plain stream
 *   stream-tool compare A B       fails unless both have the same memory and devices
 *   stream-tool memory A B        fails unless both have the same memory, whatever their devices and order of blocks
 *   stream-tool peek FILE BLOCK OFFSET   prints the 32-bit word there, as 0x%08x
 */
#include "config.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "stream/plain-stream.h"
#include "stream/stream-encoder.h"
#include "util/error.h"
#include "util/file.h"

#define RAM_MAX (8ull << 30) /* bytes: a test's guest is small */

typedef struct
{
  GPtrArray *memory; /* of guint8 *, one for each block */
  guint64 total;     /* bytes */
  PvStreamHead *head;
  GBytes *devices;
  guint64 n_pages, n_zero;
} Guest;

static gboolean
on_ram_blocks (const GPtrArray *blocks, gpointer data, GError **error)
{
  Guest *guest = data;

  for (guint i = 0; i < blocks->len; i++)
    {
      const PvRamBlock *block = blocks->pdata[i];
      gpointer memory;

      guest->total += block->size;
      if (guest->total > RAM_MAX)
        return pv_throw (error, PV_ERROR_UNSUPPORTED, "too much memory for this tool");
      memory = mmap (NULL, block->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      g_assert (memory != MAP_FAILED);
      g_ptr_array_add (guest->memory, memory);
    }
  return TRUE;
}

static gboolean
on_pages (guint block, guint64 offset, const guint8 *bytes, guint n_bytes, gpointer data, GError **error)
{
  memcpy ((guint8 *) ((Guest *) data)->memory->pdata[block] + offset, bytes, n_bytes);
  return TRUE;
}

static gboolean
on_zero (guint block, guint64 offset, guint64 n_bytes, gpointer data, GError **error)
{
  memset ((guint8 *) ((Guest *) data)->memory->pdata[block] + offset, 0, n_bytes);
  return TRUE;
}

static gboolean
load (const char *path, Guest *guest, GError **error)
{
  static const PvStreamHandler handler = { on_ram_blocks, on_pages, on_zero };
  g_autoptr(PvStreamDecoder) decoder = pv_stream_decoder_new (&handler, guest);
  g_autoptr(GBytes) head = NULL;
  g_auto(PvFd) fd = pv_openat (AT_FDCWD, path, O_RDONLY, 0, error);
  PvSaveFormat format = PV_SAVE_FORMAT_RAW;
  guint64 offset = 0;
  guint8 magic[16];

  if (fd < 0)
    return FALSE;
  guest->memory = g_ptr_array_new ();
  if (pv_pread_full (fd, magic, sizeof magic, 0, path, NULL) == sizeof magic
      && pv_save_image_probe (magic, sizeof magic))
    {
      g_autoptr(PvSaveImage) image = pv_save_image_read (fd, path, error);

      if (image == NULL)
        return FALSE;
      format = image->format;
      offset = image->stream_offset;
      printf ("save image: format %s, %zu bytes of XML, stream at %" G_GUINT64_FORMAT "\n",
              pv_save_format_name (format), strlen (image->xml), offset);
    }
  if (!pv_plain_stream_decode (fd, offset, format, path, decoder, error))
    return FALSE;
  head = pv_stream_decoder_head (decoder);
  guest->head = pv_stream_head_parse (g_bytes_get_data (head, NULL), g_bytes_get_size (head), error);
  guest->devices = pv_stream_decoder_devices (decoder);
  guest->n_pages = pv_stream_decoder_n_pages (decoder);
  guest->n_zero = pv_stream_decoder_n_zero (decoder);
  return guest->head != NULL;
}

static void
info (const Guest *guest)
{
  printf ("machine %s, page size %u, footers %s, %u blocks, %" G_GUINT64_FORMAT " pages, %" G_GUINT64_FORMAT
          " zero pages, %zu bytes of devices\n",
          guest->head->machine != NULL ? guest->head->machine : "unknown", guest->head->page_size,
          guest->head->footers ? "yes" : "no", guest->head->blocks->len, guest->n_pages, guest->n_zero,
          g_bytes_get_size (guest->devices));
  for (guint i = 0; i < guest->head->blocks->len; i++)
    {
      const PvRamBlock *block = guest->head->blocks->pdata[i];

      printf ("  %s: %" G_GUINT64_FORMAT "\n", block->name, block->size);
    }
}

static gboolean
is_zero (const guint8 *page, gsize size)
{
  return page[0] == 0 && memcmp (page, page + 1, size - 1) == 0;
}

static gboolean
save (const Guest *guest, const char *path, GError **error)
{
  g_auto(PvFd) fd = pv_openat (AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0600, error);
  g_autoptr(PvStreamEncoder) encoder = NULL;
  guint page_size = guest->head->page_size;

  if (fd < 0)
    return FALSE;
  encoder = pv_stream_encoder_new (guest->head, pv_stream_write_fd, GINT_TO_POINTER (fd));
  for (guint i = 0; i < guest->head->blocks->len; i++)
    {
      const PvRamBlock *block = guest->head->blocks->pdata[i];
      const guint8 *memory = guest->memory->pdata[i];

      for (guint64 offset = 0; offset < block->size; offset += page_size)
        if (is_zero (memory + offset, page_size) ? !pv_stream_encoder_zero (encoder, i, offset, error)
                                                 : !pv_stream_encoder_page (encoder, i, offset, memory + offset, error))
          return FALSE;
    }
  return pv_stream_encoder_finish (encoder, guest->devices, error);
}

static gboolean
compare (const Guest *a, const Guest *b, GError **error)
{
  g_autoptr(GBytes) head_a = pv_stream_head_serialize (a->head), head_b = pv_stream_head_serialize (b->head);

  if (!g_bytes_equal (head_a, head_b))
    return pv_throw (error, PV_ERROR_FAILED, "the heads differ");
  if (!g_bytes_equal (a->devices, b->devices))
    return pv_throw (error, PV_ERROR_FAILED, "the devices differ");
  for (guint i = 0; i < a->memory->len; i++)
    {
      const PvRamBlock *block = a->head->blocks->pdata[i];

      if (memcmp (a->memory->pdata[i], b->memory->pdata[i], block->size) != 0)
        return pv_throw (error, PV_ERROR_FAILED, "block %s differs", block->name);
    }
  return TRUE;
}

static gboolean
compare_memory (const Guest *a, const Guest *b, GError **error)
{
  if (a->memory->len != b->memory->len)
    return pv_throw (error, PV_ERROR_FAILED, "%u and %u blocks", a->memory->len, b->memory->len);
  for (guint i = 0; i < a->memory->len; i++)
    {
      const PvRamBlock *block = a->head->blocks->pdata[i];
      int other = pv_stream_head_find_block (b->head, block->name);

      if (other < 0 || ((PvRamBlock *) b->head->blocks->pdata[other])->size != block->size)
        return pv_throw (error, PV_ERROR_FAILED, "block %s is in one, or has another size", block->name);
      for (guint64 at = 0; at < block->size; at += a->head->page_size)
        if (memcmp ((guint8 *) a->memory->pdata[i] + at, (guint8 *) b->memory->pdata[other] + at, a->head->page_size)
            != 0)
          return pv_throw (error, PV_ERROR_FAILED, "block %s differs at 0x%" G_GINT64_MODIFIER "x", block->name, at);
    }
  return TRUE;
}

static gboolean
peek (const Guest *guest, const char *name, guint64 offset, GError **error)
{
  int block = pv_stream_head_find_block (guest->head, name);
  guint32 word;

  if (block < 0 || offset > ((PvRamBlock *) guest->head->blocks->pdata[block])->size - sizeof word)
    return pv_throw (error, PV_ERROR_NOT_FOUND, "no such memory");
  memcpy (&word, (const guint8 *) guest->memory->pdata[block] + offset, sizeof word);
  printf ("0x%08x\n", GUINT32_FROM_LE (word));
  return TRUE;
}

static gboolean
run (int argc, char **argv, GError **error)
{
  Guest a = { 0 }, b = { 0 };

  if (argc < 3 || !load (argv[2], &a, error))
    return FALSE;
  if (g_str_equal (argv[1], "info"))
    {
      info (&a);
      return TRUE;
    }
  if (g_str_equal (argv[1], "recode") && argc == 4)
    return save (&a, argv[3], error);
  if (g_str_equal (argv[1], "compare") && argc == 4)
    return load (argv[3], &b, error) && compare (&a, &b, error);
  if (g_str_equal (argv[1], "memory") && argc == 4)
    return load (argv[3], &b, error) && compare_memory (&a, &b, error);
  if (g_str_equal (argv[1], "peek") && argc == 5)
    return peek (&a, argv[3], g_ascii_strtoull (argv[4], NULL, 0), error);
  return FALSE;
}

int
main (int argc, char **argv)
{
  g_autoptr(GError) error = NULL;

  if (run (argc, argv, &error))
    return 0;
  fprintf (stderr, "stream-tool: %s\n",
           error != NULL ? error->message : "usage: see the head of stream-tool.c");
  return 1;
}
