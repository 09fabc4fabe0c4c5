/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/error.h"
#include "util/file.h"
#include "virt/overlay-chain.h"

typedef struct
{
  char *directory;                   /* (owned) */
  char *base, *middle, *top, *other; /* (owned): base <- middle <- top; other stands alone */
} Fixture;

static void run (const char *format, ...) G_GNUC_PRINTF (1, 2);

static void
run (const char *format, ...)
{
  g_autofree char *command = NULL;
  g_autoptr(GError) error = NULL;
  va_list arguments;
  int status;

  va_start (arguments, format);
  command = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_spawn_command_line_sync (command, NULL, NULL, &status, &error);
  g_assert_no_error (error);
  g_assert_cmpint (status, ==, 0);
}

static void
set_up (Fixture *fixture, gconstpointer data)
{
  g_autoptr(GError) error = NULL;

  fixture->directory = g_dir_make_tmp ("overlay-chain-XXXXXX", &error);
  g_assert_no_error (error);
  fixture->base = g_build_filename (fixture->directory, "base.raw", NULL);
  fixture->middle = g_build_filename (fixture->directory, "middle", NULL);
  fixture->top = g_build_filename (fixture->directory, "top, odd", NULL);
  fixture->other = g_build_filename (fixture->directory, "other.raw", NULL);
  run ("qemu-img create -q -f raw %s 1M", fixture->base);
  run ("qemu-img create -q -f raw %s 1M", fixture->other);
  run ("qemu-img create -q -f qcow2 -F raw -b %s %s", fixture->base, fixture->middle);
  run ("qemu-img create -q -f qcow2 -F qcow2 -b %s '%s'", fixture->middle, fixture->top);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  g_assert_true (pv_remove_tree (fixture->directory, NULL));
  g_free (fixture->directory);
  g_free (fixture->base);
  g_free (fixture->middle);
  g_free (fixture->top);
  g_free (fixture->other);
}

static void
test_find (Fixture *fixture, gconstpointer data)
{
  g_autofree char *format = NULL;
  g_autofree char *middle_format = NULL;
  g_autoptr(GError) error = NULL;

  g_assert_true (pv_overlay_chain_find (fixture->top, fixture->base, &format, &error));
  g_assert_no_error (error);
  g_assert_cmpstr (format, ==, "raw");
  g_assert_true (pv_overlay_chain_find (fixture->top, fixture->middle, &middle_format, &error));
  g_assert_cmpstr (middle_format, ==, "qcow2");
  g_assert_false (pv_overlay_chain_find (fixture->top, fixture->other, NULL, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_NOT_FOUND);
  g_clear_error (&error);
  g_assert_false (pv_overlay_chain_find (fixture->top, fixture->top, NULL, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_NOT_FOUND);
  g_clear_error (&error);
  g_assert_false (pv_overlay_chain_find ("/nowhere", fixture->base, NULL, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_NOT_FOUND);
}

static void
test_commit (Fixture *fixture, gconstpointer data)
{
  g_autofree char *content = NULL;
  g_autoptr(GError) error = NULL;

  run ("qemu-io -f qcow2 -c 'write -q -P 65 0 4k' %s", fixture->middle);
  run ("qemu-io -f qcow2 -c 'write -q -P 66 4k 4k' '%s'", fixture->top);
  for (guint again = 0; again < 2; again++)
    {
      g_assert_true (pv_overlay_chain_commit (fixture->top, fixture->base, &error));
      g_assert_no_error (error);
    }
  g_file_get_contents (fixture->base, &content, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (content[4095], ==, 'A');
  g_assert_cmpint (content[4096], ==, 'B');
  g_assert_cmpint (content[8192], ==, 0);
  g_assert_true (pv_overlay_chain_find (fixture->top, fixture->base, NULL, NULL));
}

static void
test_commit_refused (Fixture *fixture, gconstpointer data)
{
  g_autoptr(GError) error = NULL;

  g_assert_false (pv_overlay_chain_commit (fixture->top, fixture->other, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_NOT_FOUND);
}

static void
test_commit_busy (Fixture *fixture, gconstpointer data)
{
  const char *argv[] = { "qemu-io", "-f", "qcow2", fixture->top, NULL };
  g_autoptr(GError) error = NULL;
  g_autoptr(GSubprocess) holder =
      g_subprocess_newv (argv, G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE, &error);
  char prompt;

  g_assert_no_error (error);
  /* once it prompts it holds its locks */
  g_assert_cmpint (g_input_stream_read (g_subprocess_get_stdout_pipe (holder), &prompt, 1, NULL, NULL), ==, 1);
  g_assert_false (pv_overlay_chain_commit (fixture->top, fixture->base, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_BUSY);
  g_assert_true (pv_overlay_chain_find (fixture->top, fixture->base, NULL, NULL));
  g_subprocess_force_exit (holder);
  g_assert_true (g_subprocess_wait (holder, NULL, NULL));
}

static void
test_same_image (Fixture *fixture, gconstpointer data)
{
  g_autofree char *link = g_build_filename (fixture->directory, "link", NULL);

  g_assert_cmpint (symlink (fixture->base, link), ==, 0);
  g_assert_true (pv_same_image (fixture->base, fixture->base));
  g_assert_true (pv_same_image (fixture->base, link));
  g_assert_false (pv_same_image (fixture->base, fixture->other));
  g_assert_true (pv_same_image ("/nowhere", "/nowhere"));
  g_assert_false (pv_same_image ("/nowhere", fixture->base));
  g_assert_false (pv_same_image (NULL, NULL));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/overlay-chain/find", Fixture, NULL, set_up, test_find, tear_down);
  g_test_add ("/overlay-chain/commit", Fixture, NULL, set_up, test_commit, tear_down);
  g_test_add ("/overlay-chain/commit-refused", Fixture, NULL, set_up, test_commit_refused, tear_down);
  g_test_add ("/overlay-chain/commit-busy", Fixture, NULL, set_up, test_commit_busy, tear_down);
  g_test_add ("/overlay-chain/same-image", Fixture, NULL, set_up, test_same_image, tear_down);
  return g_test_run ();
}
