/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pack/pack-output.h"

#include <fcntl.h>
#include <string.h>

#include "util/error.h"
#include "util/fault.h"
#include "util/file.h"

typedef struct
{
  char *directory; /* (owned) */
  char *path;      /* (owned): of the file */
  guint8 *bytes;   /* (owned): what is written */
} Fixture;

#define BYTES_MAX (20u * PV_PACK_OUTPUT_BLOCK)

static void
set_up (Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  guint32 word = 1;

  self->directory = g_dir_make_tmp ("pagevault-test-XXXXXX", &error);
  g_assert_no_error (error);
  self->path = g_build_filename (self->directory, "file", NULL);
  self->bytes = g_malloc (BYTES_MAX);
  for (gsize i = 0; i < BYTES_MAX; i += sizeof word)
    {
      word = word * 1664525 + 1013904223;
      memcpy (self->bytes + i, &word, sizeof word);
    }
}

static void
tear_down (Fixture *self, gconstpointer data)
{
  g_assert_true (pv_remove_tree (self->directory, NULL));
  g_free (self->directory);
  g_free (self->path);
  g_free (self->bytes);
}

/* Writes @size bytes in pieces of @piece. */
static gboolean
write_file (Fixture *self, gsize size, gsize piece, GError **error)
{
  g_auto(PvFd) fd = pv_openat (AT_FDCWD, self->path, O_WRONLY | O_CREAT | O_TRUNC, 0600, error);
  g_autoptr(PvPackOutput) output = NULL;

  g_assert_cmpint (fd, >=, 0);
  output = pv_pack_output_new (fd, self->path);
  for (gsize at = 0; at < size; at += piece)
    if (!pv_pack_output_append (output, self->bytes + at, MIN (piece, size - at), error))
      return FALSE;
  return pv_pack_output_finish (output, error);
}

static void
assert_content (Fixture *self, gsize size)
{
  g_autofree char *content = NULL;
  gsize found;

  g_assert_true (g_file_get_contents (self->path, &content, &found, NULL));
  g_assert_cmpuint (found, ==, size);
  g_assert_true (memcmp (content, self->bytes, size) == 0);
}

/* Whatever the size and however it comes, the file has the bytes, in order. */
static void
test_sizes (Fixture *self, gconstpointer data)
{
  static const gsize sizes[] = { 0, 1, 4096, PV_PACK_OUTPUT_BLOCK - 1, PV_PACK_OUTPUT_BLOCK, PV_PACK_OUTPUT_BLOCK + 1,
                                 3 * PV_PACK_OUTPUT_BLOCK + 4096, 3 * PV_PACK_OUTPUT_BLOCK + 5001, BYTES_MAX };
  static const gsize pieces[] = { 4096, 70001, 3 * PV_PACK_OUTPUT_BLOCK };

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    for (guint k = 0; k < G_N_ELEMENTS (pieces); k++)
      {
        g_autoptr(GError) error = NULL;

        g_assert_true (write_file (self, sizes[i], pieces[k], &error));
        g_assert_no_error (error);
        assert_content (self, sizes[i]);
      }
}

/* A write that fails in the thread is told to the caller, at the latest by finish. */
static void
test_faults (Fixture *self, gconstpointer data)
{
  guint nth;

  for (nth = 1;; nth++)
    {
      g_autoptr(GError) error = NULL;
      gboolean written;

      pv_fault_arm_nth ("file.write", nth);
      written = write_file (self, 10 * PV_PACK_OUTPUT_BLOCK + 77, 1000000, &error);
      pv_fault_disarm ();
      if (!pv_fault_fired ())
        {
          g_assert_true (written);
          break;
        }
      g_assert_false (written);
      g_assert_error (error, PV_ERROR, PV_ERROR_FAILED);
    }
  g_assert_cmpuint (nth, >=, 12);
}

static void
test_full_disk (Fixture *self, gconstpointer data)
{
  g_auto(PvFd) fd = pv_openat (AT_FDCWD, "/dev/full", O_WRONLY, 0, NULL);
  g_autoptr(PvPackOutput) output = pv_pack_output_new (fd, "/dev/full");
  g_autoptr(GError) error = NULL;

  g_assert_cmpint (fd, >=, 0);
  if (pv_pack_output_append (output, self->bytes, BYTES_MAX, &error))
    pv_pack_output_finish (output, &error);
  g_assert_error (error, PV_ERROR, PV_ERROR_NO_SPACE);
}

/* Let go of at any time: nothing hangs. */
static void
test_drop (Fixture *self, gconstpointer data)
{
  for (guint i = 0; i < 20; i++)
    {
      g_auto(PvFd) fd = pv_openat (AT_FDCWD, self->path, O_WRONLY | O_CREAT | O_TRUNC, 0600, NULL);
      g_autoptr(PvPackOutput) output = pv_pack_output_new (fd, self->path);

      g_assert_true (pv_pack_output_append (output, self->bytes, i * PV_PACK_OUTPUT_BLOCK / 3, NULL));
    }
}

#define ADD(name, function) g_test_add ("/pack-output/" name, Fixture, NULL, set_up, function, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("sizes", test_sizes);
  ADD ("faults", test_faults);
  ADD ("full-disk", test_full_disk);
  ADD ("drop", test_drop);
  return g_test_run ();
}
