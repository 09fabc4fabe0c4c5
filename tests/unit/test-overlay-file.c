/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "daemon/overlay-file.h"

#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "util/error.h"
#include "util/file.h"

typedef struct
{
  char *root, *base, *overlay;
} Fixture;

static void
setup (Fixture *f, gconstpointer data)
{
  f->root = g_dir_make_tmp ("pagevault-overlay-XXXXXX", NULL);
  f->base = g_build_filename (f->root, "web1@a.vda.raw", NULL);
  f->overlay = g_build_filename (f->root, "overlay", NULL);
}

static void
teardown (Fixture *f, gconstpointer data)
{
  pv_remove_tree (f->root, NULL);
  g_free (f->root);
  g_free (f->base);
  g_free (f->overlay);
}

/* (transfer full) (nullable): what qemu-img prints; NULL when it complains. */
static char *
qemu_img (const char *command, const char *option, const char *path)
{
  GSubprocessFlags flags = G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_SILENCE;
  g_autoptr(GSubprocess) process = g_subprocess_new (flags, NULL, "qemu-img", command, option, path, NULL);
  g_autofree char *out = NULL;

  g_assert_nonnull (process);
  g_assert_true (g_subprocess_communicate_utf8 (process, NULL, NULL, &out, NULL, NULL));
  return g_subprocess_get_successful (process) ? g_steal_pointer (&out) : NULL;
}

static void
check (Fixture *f, guint64 size)
{
  g_auto(PvFd) base = open (f->base, O_RDWR | O_CREAT | O_TRUNC, 0600);
  g_auto(PvFd) fd = open (f->overlay, O_RDWR | O_CREAT | O_TRUNC, 0600);
  g_autoptr(GError) error = NULL;
  g_autofree char *info = NULL;
  g_autofree char *checked = NULL;
  g_autofree char *virtual_size = g_strdup_printf ("\"virtual-size\": %" G_GUINT64_FORMAT, (size + 511) / 512 * 512);

  g_assert_cmpint (ftruncate (base, (off_t) size), ==, 0);
  g_assert_true (pv_overlay_file_write (fd, size, f->base, f->overlay, &error));
  g_assert_no_error (error);
  info = qemu_img ("info", "--output=json", f->overlay);
  g_assert_nonnull (info);
  g_assert_nonnull (strstr (info, "\"format\": \"qcow2\""));
  g_assert_nonnull (strstr (info, "\"backing-filename-format\": \"raw\""));
  g_assert_nonnull (strstr (info, f->base));
  g_assert_nonnull (strstr (info, virtual_size));
  checked = qemu_img ("check", "--output=json", f->overlay);
  g_assert_nonnull (checked);
  g_assert_null (strstr (checked, "leaks"));
}

static void
sizes (Fixture *f, gconstpointer data)
{
  g_autofree char *program = g_find_program_in_path ("qemu-img");

  if (program == NULL)
    {
      g_test_skip ("qemu-img is not installed");
      return;
    }
  check (f, 1);
  check (f, 64 << 20);
  check (f, (512ull << 20) + 1000); /* two tables, and no whole sector */
  check (f, 1ull << 40);
}

static void
refused (Fixture *f, gconstpointer data)
{
  g_auto(PvFd) fd = open (f->overlay, O_RDWR | O_CREAT | O_TRUNC, 0600);
  g_autofree char *name = g_strnfill (1030, 'x');
  g_autoptr(GError) error = NULL;

  name[0] = '/';
  g_assert_false (pv_overlay_file_write (fd, 512, name, f->overlay, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
  g_clear_error (&error);
  g_assert_false (pv_overlay_file_write (fd, 512, "relative", f->overlay, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/overlay-file/sizes", Fixture, NULL, setup, sizes, teardown);
  g_test_add ("/overlay-file/refused", Fixture, NULL, setup, refused, teardown);
  return g_test_run ();
}
