/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "hooks/pool-disks.h"

#include <gio/gio.h>
#include <sys/stat.h>

#include "util/cursor.h"
#include "util/error.h"
#include "util/file.h"

#define PATIENCE_MS 60000

typedef struct
{
  char *root;
} Fixture;

static void
setup (Fixture *f, gconstpointer data)
{
  f->root = g_dir_make_tmp ("pagevault-pool-disks-XXXXXX", NULL);
}

static void
teardown (Fixture *f, gconstpointer data)
{
  pv_remove_tree (f->root, NULL);
  g_free (f->root);
}

static gboolean
check (const char *path, guint timeout_ms, GError **error)
{
  g_autofree char *xml = g_strdup_printf (
      "<domain type='qemu'><name>web1</name><memory>4096</memory><os><type>hvm</type></os><devices>"
      "<disk type='file'><driver name='qemu' type='qcow2'/><source file='%s'/><target dev='vda'/></disk>"
      "</devices></domain>", path);

  return pv_pool_disks_check (xml, timeout_ms, error);
}

static void
write_overlay (const char *path, const char *backing)
{
  g_autoptr(GByteArray) bytes = g_byte_array_new ();

  g_byte_array_append (bytes, (const guint8 *) "QFI\xfb", 4);
  pv_append_be32 (bytes, 3);
  pv_append_be64 (bytes, 20);
  pv_append_be32 (bytes, (guint32) strlen (backing));
  g_byte_array_append (bytes, (const guint8 *) backing, (guint) strlen (backing));
  g_assert_true (g_file_set_contents (path, (const char *) bytes->data, bytes->len, NULL));
}

static void
served (Fixture *f, gconstpointer data)
{
  g_autofree char *disk = g_build_filename (f->root, "web1@a.vda.raw", NULL);
  g_autofree char *overlay = g_build_filename (f->root, "overlay", NULL);
  g_autofree char *upper = g_build_filename (f->root, "upper", NULL);
  g_autoptr(GError) error = NULL;

  write_overlay (overlay, disk);
  write_overlay (upper, overlay);
  g_assert_false (check (disk, PATIENCE_MS, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_NOT_FOUND);
  g_clear_error (&error);
  g_assert_false (check (upper, PATIENCE_MS, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_NOT_FOUND);
  g_assert_nonnull (strstr (error->message, disk));
  g_clear_error (&error);
  g_assert_true (g_file_set_contents (disk, "disk", 4, NULL));
  g_assert_true (check (disk, PATIENCE_MS, &error));
  g_assert_true (check (upper, PATIENCE_MS, &error));
  g_assert_no_error (error);
}

/* A fifo that nobody writes to stands for a file system that does not answer. */
static void
hanging (Fixture *f, gconstpointer data)
{
  g_autofree char *disk = g_build_filename (f->root, "web1@a.vda.raw", NULL);
  g_autoptr(GError) error = NULL;

  g_assert_cmpint (mkfifo (disk, 0600), ==, 0);
  g_assert_false (check (disk, 50, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_NOT_FOUND);
}

static void
others (Fixture *f, gconstpointer data)
{
  g_autofree char *loop = g_build_filename (f->root, "loop", NULL);
  g_autoptr(GError) error = NULL;

  write_overlay (loop, loop);
  g_assert_true (check ("/no/such/file", PATIENCE_MS, &error));
  g_assert_true (check ("/no/such/web1@a.raw", PATIENCE_MS, &error));
  g_assert_true (check (loop, PATIENCE_MS, &error));
  write_overlay (loop, "relative");
  g_assert_true (check (loop, PATIENCE_MS, &error));
  g_assert_true (pv_pool_disks_check ("no description", PATIENCE_MS, &error));
  g_assert_no_error (error);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/pool-disks/served", Fixture, NULL, setup, served, teardown);
  g_test_add ("/pool-disks/hanging", Fixture, NULL, setup, hanging, teardown);
  g_test_add ("/pool-disks/others", Fixture, NULL, setup, others, teardown);
  return g_test_run ();
}
