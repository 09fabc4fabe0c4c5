/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Layers are told apart by everything that could make their content another one. Files here get times of their own
 * choice, long ago: nothing waits. */
#include "config.h"

#include "capture/layers.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "run-command.h"
#include "util/error.h"
#include "util/file.h"

typedef struct
{
  char *directory; /* (owned) */
} Fixture;

static void
set_up (Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;

  self->directory = g_dir_make_tmp ("pagevault-test-XXXXXX", &error);
  g_assert_no_error (error);
  run_command (self->directory, "qemu-img create -q -f raw DIR/base 1M");
  run_command (self->directory, "qemu-img create -q -f qcow2 -b DIR/base -F raw DIR/middle");
  run_command (self->directory, "qemu-img create -q -f qcow2 -b DIR/middle -F qcow2 DIR/top");
}

static void
tear_down (Fixture *self, gconstpointer data)
{
  pv_remove_tree (self->directory, NULL);
  g_free (self->directory);
}

static PvLayers *
look (Fixture *self, const char *name, const char *format)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *path = g_build_filename (self->directory, name, NULL);
  PvLayers *layers = pv_layers_look (path, format, &error);

  g_assert_no_error (error);
  return layers;
}

static void
test_above (Fixture *self, gconstpointer data)
{
  g_autoptr(PvLayers) top = look (self, "top", "qcow2");
  g_autoptr(PvLayers) middle = look (self, "middle", "qcow2");
  g_autoptr(PvLayers) base = look (self, "base", "raw");

  g_assert_cmpuint (pv_layers_above (top, base), ==, 2);
  g_assert_cmpuint (pv_layers_above (top, middle), ==, 1);
  g_assert_cmpuint (pv_layers_above (middle, base), ==, 1);
  /* nothing above, all of it, nothing known */
  g_assert_cmpuint (pv_layers_above (top, top), ==, 0);
  g_assert_cmpuint (pv_layers_above (base, top), ==, 0);
  g_assert_cmpuint (pv_layers_above (top, NULL), ==, 0);
  g_assert_cmpuint (pv_layers_above (NULL, base), ==, 0);
  g_assert_true (pv_layers_equal (top, top));
  g_assert_false (pv_layers_equal (top, middle));
  g_assert_false (pv_layers_equal (NULL, NULL));
}

/* Each thing that may happen to a lower layer is seen. */
static void
test_changed (Fixture *self, gconstpointer data)
{
  static const char *const changes[] = {
    "dd if=/dev/zero of=DIR/base bs=4096 count=1 conv=notrunc status=none", /* written to, of the same size */
    "sh -c 'touch -r DIR/base DIR/time; echo x | dd of=DIR/base conv=notrunc status=none; touch -r DIR/time DIR/base'",
    "sh -c 'cp --preserve=all DIR/base DIR/copy; mv DIR/copy DIR/base'",    /* replaced by its like */
    "truncate -s 2M DIR/base",
    "qemu-img rebase -u -b DIR/other -F raw DIR/middle",
  };

  run_command (self->directory, "cp DIR/base DIR/other");
  for (guint i = 0; i < G_N_ELEMENTS (changes); i++)
    {
      g_autoptr(PvLayers) before = look (self, "middle", "qcow2");
      g_autoptr(PvLayers) after = NULL;

      /* the change falls into another step of the file system's clock */
      while (!pv_layers_settled (before))
        {
          g_usleep (10000);
          g_clear_pointer (&before, pv_layers_free);
          before = look (self, "middle", "qcow2");
        }
      run_command (self->directory, changes[i]);
      after = look (self, "top", "qcow2");
      if (pv_layers_above (after, before) != 0)
        g_error ("not seen: %s", changes[i]);
    }
}

static void
test_written_down (Fixture *self, gconstpointer data)
{
  g_autoptr(PvLayers) top = look (self, "top", "qcow2");
  g_autoptr(JsonBuilder) builder = json_builder_new ();
  g_autoptr(JsonNode) node = NULL;
  g_autoptr(JsonNode) parsed = NULL;
  g_autoptr(PvLayers) again = NULL;
  g_autofree char *text = NULL;

  pv_layers_write (top, builder);
  node = json_builder_get_root (builder);
  text = json_to_string (node, FALSE);
  parsed = json_from_string (text, NULL);
  again = pv_layers_read (parsed);
  g_assert_true (pv_layers_equal (top, again));
}

static void
test_unreadable (Fixture *self, gconstpointer data)
{
  static const char *const texts[] = {
    "null", "{}", "[]", "[1]", "[{}]", "[{\"device\":1,\"inode\":2,\"size\":3,\"modified_ns\":4}]",
    "[{\"device\":1,\"inode\":2,\"size\":3,\"modified_ns\":4,\"changed_ns\":\"5\"}]",
    "[{\"device\":1,\"inode\":2,\"size\":3,\"modified_ns\":4,\"changed_ns\":5.5}]",
  };

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autoptr(JsonNode) node = json_from_string (texts[i], NULL);

      g_assert_null (pv_layers_read (node));
    }
  g_assert_null (pv_layers_read (NULL));
}

/* Images that keep data elsewhere can change without showing it. */
static void
test_not_whole (Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *missing = g_build_filename (self->directory, "missing", NULL);

  run_command (self->directory, "qemu-img create -q -f qcow2 -o data_file=DIR/data DIR/index 1M");
  g_assert_null (look (self, "index", "qcow2"));
  run_command (self->directory, "qemu-img create -q -f vmdk -o subformat=monolithicFlat DIR/flat.vmdk 1M");
  g_assert_null (look (self, "flat.vmdk", "vmdk"));
  g_assert_null (pv_layers_look (missing, "raw", &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_FAILED);
  g_assert_nonnull (strstr (error->message, "missing"));
}

static void
test_settled (Fixture *self, gconstpointer data)
{
  g_autoptr(PvLayers) fresh = NULL;

  run_command (self->directory, "touch -d +1hour DIR/base");
  fresh = look (self, "top", "qcow2");
  g_assert_false (pv_layers_settled (fresh));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/layers/above", Fixture, NULL, set_up, test_above, tear_down);
  g_test_add ("/layers/changed", Fixture, NULL, set_up, test_changed, tear_down);
  g_test_add ("/layers/written-down", Fixture, NULL, set_up, test_written_down, tear_down);
  g_test_add ("/layers/unreadable", Fixture, NULL, set_up, test_unreadable, tear_down);
  g_test_add ("/layers/not-whole", Fixture, NULL, set_up, test_not_whole, tear_down);
  g_test_add ("/layers/settled", Fixture, NULL, set_up, test_settled, tear_down);
  return g_test_run ();
}
