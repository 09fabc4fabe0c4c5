/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What changed between two memory images of one guest, and the least that keeping it should take.
 *
 *   bench-changes OLD NEW     libvirt save images, QEMU streams, or raw files of pages
 *
 * Pages are compared at their places. Those of NEW that differ from OLD's and are not all zero are packed in their
 * order, 32 at a time, by zstd -1. Prints one line of JSON: pages, changed, changed_nonzero, packed_bytes.
 */
#include "config.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <zstd.h>

#include "stream/plain-stream.h"
#include "util/file.h"

#define PAGE_SIZE 4096u
#define GROUP 32u /* pages packed together */

typedef struct
{
  GPtrArray *blocks; /* of guint8 *, in setup order; mapped until the program ends */
  GArray *sizes;     /* of guint64: bytes of each */
} Image;

typedef struct
{
  guint64 pages, changed, nonzero, packed; /* the last one: bytes */
  guint n;                                 /* pages gathered */
  guint8 group[GROUP * PAGE_SIZE];
} Changes;

static void
check (gboolean ok, const char *path, GError *error)
{
  if (!ok)
    g_error ("%s: %s", path, error != NULL ? error->message : "unexpected");
}

static void
add_block (Image *image, guint8 *bytes, guint64 size)
{
  g_ptr_array_add (image->blocks, bytes);
  g_array_append_val (image->sizes, size);
}

static gboolean
on_ram_blocks (const GPtrArray *blocks, gpointer data, GError **error)
{
  for (guint i = 0; i < blocks->len; i++)
    {
      const PvRamBlock *block = blocks->pdata[i];
      gpointer memory = mmap (NULL, block->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

      g_assert (memory != MAP_FAILED);
      add_block (data, memory, block->size);
    }
  return TRUE;
}

static gboolean
on_pages (guint block, guint64 offset, const guint8 *bytes, guint n_bytes, gpointer data, GError **error)
{
  memcpy ((guint8 *) ((Image *) data)->blocks->pdata[block] + offset, bytes, n_bytes);
  return TRUE;
}

static gboolean
on_zero (guint block, guint64 offset, guint64 n_bytes, gpointer data, GError **error)
{
  memset ((guint8 *) ((Image *) data)->blocks->pdata[block] + offset, 0, n_bytes);
  return TRUE;
}

static void
load_raw (Image *image, int fd, const char *path)
{
  off_t size = lseek (fd, 0, SEEK_END);
  gpointer memory = mmap (NULL, (gsize) size, PROT_READ, MAP_PRIVATE, fd, 0);

  check (memory != MAP_FAILED && size % PAGE_SIZE == 0, path, NULL);
  add_block (image, memory, (guint64) size);
}

static void
load (Image *image, const char *path)
{
  static const PvStreamHandler handler = { on_ram_blocks, on_pages, on_zero };
  g_autoptr(PvStreamDecoder) decoder = pv_stream_decoder_new (&handler, image);
  g_autoptr(PvSaveImage) save = NULL;
  g_autoptr(GError) error = NULL;
  g_auto(PvFd) fd = pv_openat (AT_FDCWD, path, O_RDONLY, 0, &error);
  guint8 magic[4] = "";

  image->blocks = g_ptr_array_new ();
  image->sizes = g_array_new (FALSE, FALSE, sizeof (guint64));
  check (fd >= 0 && pv_pread_full (fd, magic, sizeof magic, 0, path, &error) >= 0, path, error);
  if (memcmp (magic, "Libv", 4) == 0)
    {
      save = pv_save_image_read (fd, path, &error);
      check (save != NULL, path, error);
    }
  if (save == NULL && memcmp (magic, "QEVM", 4) != 0)
    load_raw (image, fd, path);
  else
    check (pv_plain_stream_decode (fd, save != NULL ? save->stream_offset : 0,
                                   save != NULL ? save->format : PV_SAVE_FORMAT_RAW, path, decoder, &error),
           path, error);
}

static void
pack_group (Changes *changes)
{
  static guint8 packed[GROUP * PAGE_SIZE * 2];
  gsize size = ZSTD_compress (packed, sizeof packed, changes->group, (gsize) changes->n * PAGE_SIZE, 1);

  g_assert (!ZSTD_isError (size));
  changes->packed += changes->n > 0 ? size : 0;
  changes->n = 0;
}

static void
compare_page (Changes *changes, const guint8 *old, const guint8 *new)
{
  static const guint8 zeros[PAGE_SIZE];

  changes->pages++;
  if (memcmp (old != NULL ? old : zeros, new, PAGE_SIZE) == 0)
    return;
  changes->changed++;
  if (memcmp (new, zeros, PAGE_SIZE) == 0)
    return;
  changes->nonzero++;
  memcpy (changes->group + (gsize) changes->n++ * PAGE_SIZE, new, PAGE_SIZE);
  if (changes->n == GROUP)
    pack_group (changes);
}

int
main (int argc, char **argv)
{
  Changes changes = { 0 };
  Image old, new;

  if (argc != 3)
    {
      g_printerr ("usage: bench-changes OLD NEW\n");
      return 2;
    }
  load (&old, argv[1]);
  load (&new, argv[2]);
  for (guint i = 0; i < new.blocks->len; i++)
    {
      guint64 size = g_array_index (new.sizes, guint64, i);
      guint64 old_size = i < old.sizes->len ? g_array_index (old.sizes, guint64, i) : 0;

      for (guint64 offset = 0; offset + PAGE_SIZE <= size; offset += PAGE_SIZE)
        compare_page (&changes, offset + PAGE_SIZE <= old_size ? (guint8 *) old.blocks->pdata[i] + offset : NULL,
                      (guint8 *) new.blocks->pdata[i] + offset);
    }
  pack_group (&changes);
  g_print ("{\"pages\": %" G_GUINT64_FORMAT ", \"changed\": %" G_GUINT64_FORMAT
           ", \"changed_nonzero\": %" G_GUINT64_FORMAT ", \"packed_bytes\": %" G_GUINT64_FORMAT "}\n",
           changes.pages, changes.changed, changes.nonzero, changes.packed);
  return 0;
}
