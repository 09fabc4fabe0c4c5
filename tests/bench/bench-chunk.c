/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How fast one core names, zero-checks, encodes and decodes: the steps that every page of a guest goes through.
 *
 *   bench-chunk [FILE]     the pages come from FILE (a memory image, say), or else are half noise, half text
 *
 * Prints one line per step: name, MB/s (10^6 bytes of plaintext), microseconds per 4 KiB. Medians of five runs; CPU
 * time of the thread, so that a busy machine does not change the picture, but wall-clock time where the disk has its
 * part.
 */
#include "config.h"

#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "chunk/frame.h"
#include "chunk/name.h"
#include "pack/pack-reader.h"
#include "pack/pack-writer.h"
#include "util/file.h"

#define N_CHUNKS 16384u /* 64 MiB: more than caches hold */
#define N_RUNS 5

typedef struct
{
  guint8 *pages;      /* (owned): N_CHUNKS of them */
  guint8 *zeros;      /* (owned): as much of zeros */
  GByteArray *frames; /* (owned): the pages, encoded */
  char *path;         /* (owned): of a pack */
} Bench;

typedef guint64 (*Step) (Bench *self); /* gives the bytes of plaintext that it went through */

static void
fill_pages (Bench *self, const char *path)
{
  g_autoptr(GRand) random = g_rand_new_with_seed (1);
  gsize size = (gsize) N_CHUNKS * PV_CHUNK_SIZE;
  static const char text[] = "the quick brown fox jumps over the lazy dog and over page %x again; ";

  self->pages = g_malloc (size);
  self->zeros = g_malloc (size);
  memset (self->zeros, 1, size); /* real memory, not the kernel's one page of zeros */
  for (gsize i = 0; i < size; i++)
    ((volatile guint8 *) self->zeros)[i] = 0;
  for (gsize i = 0; i < size; i += 4)
    {
      guint32 word = g_rand_int (random);

      if (i % PV_CHUNK_SIZE >= PV_CHUNK_SIZE / 2)
        memcpy (&word, text + (i + word % 3) % (sizeof text - 4), sizeof word);
      memcpy (self->pages + i, &word, sizeof word);
    }
  if (path != NULL)
    {
      g_autoptr(GError) error = NULL;
      g_auto(PvFd) fd = pv_openat (AT_FDCWD, path, O_RDONLY, 0, &error);
      gsize filled = 0;

      if (fd < 0)
        g_error ("%s", error->message);
      while (filled < size)
        {
          gssize n = pv_read_full (fd, self->pages + filled, PV_CHUNK_SIZE, path, &error);

          if (n < (gssize) PV_CHUNK_SIZE)
            g_error ("'%s' has too few pages that are not zero", path);
          if (!pv_is_zero (self->pages + filled, PV_CHUNK_SIZE))
            filled += PV_CHUNK_SIZE;
        }
    }
}

static guint64
step_zero_check_of_zeros (Bench *self)
{
  for (guint i = 0; i < N_CHUNKS; i++)
    if (!pv_is_zero (self->zeros + (gsize) i * PV_CHUNK_SIZE, PV_CHUNK_SIZE))
      g_error ("zeros are not zero");
  return (guint64) N_CHUNKS * PV_CHUNK_SIZE;
}

static guint64
step_zero_check_of_data (Bench *self)
{
  guint n_zero = 0;

  for (guint i = 0; i < N_CHUNKS; i++)
    n_zero += (guint) pv_is_zero (self->pages + (gsize) i * PV_CHUNK_SIZE, PV_CHUNK_SIZE);
  if (n_zero != 0)
    g_error ("%u pages of data are zero", n_zero);
  return (guint64) N_CHUNKS * PV_CHUNK_SIZE;
}

static guint64
name_all (Bench *self, const guint8 *key)
{
  g_autoptr(PvNamer) namer = pv_namer_new (key);
  PvName name;

  for (guint i = 0; i < N_CHUNKS; i++)
    pv_namer_chunk (namer, self->pages + (gsize) i * PV_CHUNK_SIZE, &name);
  return (guint64) N_CHUNKS * PV_CHUNK_SIZE;
}

static guint64
step_name (Bench *self)
{
  return name_all (self, NULL);
}

static guint64
step_name_keyed (Bench *self)
{
  static const guint8 key[PV_NAME_KEY_SIZE] = { 1 };

  return name_all (self, key);
}

static guint64
encode_all (Bench *self, guint n_slots)
{
  g_autoptr(PvFrameCodec) codec = pv_frame_codec_new ();

  g_byte_array_set_size (self->frames, 0);
  for (guint i = 0; i + n_slots <= N_CHUNKS; i += n_slots)
    if (!pv_frame_encode (codec, PV_FRAME_KIND_CHUNKS, n_slots, self->pages + (gsize) i * PV_CHUNK_SIZE,
                          (gsize) n_slots * PV_CHUNK_SIZE, self->frames, NULL))
      g_error ("cannot encode");
  return (guint64) N_CHUNKS * PV_CHUNK_SIZE;
}

static guint64
step_encode_single (Bench *self)
{
  return encode_all (self, 1);
}

static guint64
step_encode (Bench *self)
{
  return encode_all (self, PV_FRAME_CHUNKS);
}

static guint64
step_check (Bench *self)
{
  PvFrameInfo info;

  for (gsize at = 0; at < self->frames->len; at += info.stored_size)
    if (!pv_frame_info (self->frames->data + at, self->frames->len - at, &info, NULL)
        || !pv_frame_check (self->frames->data + at, info.stored_size, NULL, NULL))
      g_error ("cannot check");
  return (guint64) N_CHUNKS * PV_CHUNK_SIZE;
}

static guint64
step_decode (Bench *self)
{
  g_autoptr(PvFrameCodec) codec = pv_frame_codec_new ();
  g_autofree guint8 *plain = g_malloc (PV_FRAME_PLAIN_MAX);
  guint64 total = 0;
  PvFrameInfo info;

  for (gsize at = 0; at < self->frames->len; at += info.stored_size)
    {
      if (!pv_frame_info (self->frames->data + at, self->frames->len - at, &info, NULL)
          || !pv_frame_decode (codec, self->frames->data + at, info.stored_size, &info, plain, PV_FRAME_PLAIN_MAX,
                               NULL))
        g_error ("cannot decode");
      total += info.plain_size;
    }
  return total;
}

/* Appends ready frames with made-up names and seals: what is left is writing, the table's digest and the sync. */
static guint64
step_pack_write (Bench *self)
{
  g_autoptr(PvPackWriter) writer = NULL;
  g_autoptr(GError) error = NULL;
  PvName names[PV_FRAME_CHUNKS], pack_name;
  guint64 size, total = 0;
  PvFrameInfo info;
  guint32 frame;

  pv_unlink (self->path, NULL);
  writer = pv_pack_writer_new (self->path, &error);
  memset (names, 0xab, sizeof names);
  for (gsize at = 0; writer != NULL && at < self->frames->len; at += info.stored_size)
    {
      if (!pv_frame_info (self->frames->data + at, self->frames->len - at, &info, &error)
          || !pv_pack_writer_append (writer, self->frames->data + at, info.stored_size, names, NULL, info.n_slots,
                                     &frame, &error))
        break;
      total += info.plain_size;
    }
  if (error != NULL || !pv_pack_writer_seal (writer, &pack_name, &size, &error))
    g_error ("%s", error->message);
  return total;
}

static guint64
step_pack_read (Bench *self)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(PvPackReader) reader = pv_pack_reader_open (self->path, NULL, &error);
  g_autoptr(PvFrameCodec) codec = pv_frame_codec_new ();
  g_autofree guint8 *plain = g_malloc (PV_FRAME_PLAIN_MAX);
  guint64 total = 0;
  PvFrameInfo info;

  for (guint32 i = 0; reader != NULL && i < pv_pack_reader_n_frames (reader); i++)
    {
      if (!pv_pack_reader_read (reader, codec, i, plain, &info, &error))
        break;
      total += info.plain_size;
    }
  if (error != NULL)
    g_error ("%s", error->message);
  return total;
}

static int
compare_times (gconstpointer a, gconstpointer b)
{
  gint64 left = *(const gint64 *) a, right = *(const gint64 *) b;

  return (left > right) - (left < right);
}

static gint64
now (clockid_t clock)
{
  struct timespec time;

  clock_gettime (clock, &time);
  return (gint64) time.tv_sec * G_USEC_PER_SEC + time.tv_nsec / 1000;
}

static void
run (Bench *self, const char *name, clockid_t clock, Step step)
{
  gint64 times[N_RUNS];
  guint64 bytes = 0;
  double seconds;

  for (guint i = 0; i < N_RUNS; i++)
    {
      gint64 start = now (clock);

      bytes = step (self);
      times[i] = now (clock) - start;
    }
  qsort (times, N_RUNS, sizeof *times, compare_times);
  seconds = (double) MAX (times[N_RUNS / 2], 1) / G_USEC_PER_SEC;
  g_print ("%-24s %8.0f MB/s  %6.2f us/chunk\n", name, (double) bytes / seconds / 1e6,
           seconds * 1e6 * PV_CHUNK_SIZE / (double) bytes);
}

int
main (int argc, char **argv)
{
  Bench bench = { .frames = g_byte_array_new () };
  g_autofree char *directory = g_dir_make_tmp ("pagevault-bench-XXXXXX", NULL);

  bench.path = g_build_filename (directory, "pack", NULL);
  fill_pages (&bench, argc > 1 ? argv[1] : NULL);
  run (&bench, "zero check, zeros", CLOCK_THREAD_CPUTIME_ID, step_zero_check_of_zeros);
  run (&bench, "zero check, data", CLOCK_THREAD_CPUTIME_ID, step_zero_check_of_data);
  run (&bench, "name", CLOCK_THREAD_CPUTIME_ID, step_name);
  run (&bench, "name, keyed", CLOCK_THREAD_CPUTIME_ID, step_name_keyed);
  run (&bench, "encode, 1 chunk", CLOCK_THREAD_CPUTIME_ID, step_encode_single);
  run (&bench, "encode, 32 chunks", CLOCK_THREAD_CPUTIME_ID, step_encode);
  g_print ("%-24s %8.2f : 1\n", "ratio", (double) N_CHUNKS * PV_CHUNK_SIZE / bench.frames->len);
  run (&bench, "checksum", CLOCK_THREAD_CPUTIME_ID, step_check);
  run (&bench, "decode, 32 chunks", CLOCK_THREAD_CPUTIME_ID, step_decode);
  run (&bench, "pack write + sync", CLOCK_MONOTONIC, step_pack_write);
  run (&bench, "pack read + decode", CLOCK_THREAD_CPUTIME_ID, step_pack_read);
  pv_remove_tree (directory, NULL);
  g_byte_array_unref (bench.frames);
  g_free (bench.pages);
  g_free (bench.zeros);
  g_free (bench.path);
  return 0;
}
