/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the store tells of captures in whose middle the machine died. Journals of this start of the machine are of the
 * whole machine: tests/virt/test-doctor has them. */
#include "config.h"

#include "capture/leftover.h"

#include "util/error.h"
#include "util/file.h"

#define UUID "31ab2a3c-d3d8-45c5-bd1d-7019b663b101"

typedef struct
{
  char *store;
  char *path;
} Fixture;

static void
set_up (Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *directory = NULL;

  self->store = g_dir_make_tmp ("pagevault-test-XXXXXX", &error);
  g_assert_no_error (error);
  self->path = pv_journal_copy_path (self->store, UUID);
  directory = g_path_get_dirname (self->path);
  g_assert_true (pv_mkdirs (directory, 0700, &error));
}

static void
tear_down (Fixture *self, gconstpointer data)
{
  g_assert_true (pv_remove_tree (self->store, NULL));
  g_free (self->store);
  g_free (self->path);
}

static void
write_journal (Fixture *self, const char *text)
{
  g_autoptr(GError) error = NULL;

  g_assert_true (g_file_set_contents (self->path, text, -1, &error));
}

/* (nullable) (transfer full): what is told of our guest. */
static PvLeftover *
find (Fixture *self)
{
  g_autoptr(GPtrArray) list = pv_leftover_list (self->store);

  for (guint i = 0; i < list->len; i++)
    if (g_str_equal (((PvLeftover *) list->pdata[i])->uuid, UUID))
      return g_ptr_array_steal_index (list, i);
  return NULL;
}

static void
nothing (Fixture *self, gconstpointer data)
{
  g_autofree char *elsewhere = g_build_filename (self->store, "no-such-store", NULL);
  g_autofree char *other = pv_journal_copy_path (self->store, "not-a-uuid");
  g_autoptr(GPtrArray) list = pv_leftover_list (elsewhere);

  g_assert_nonnull (list);
  g_assert_null (find (self));
  g_assert_true (g_file_set_contents (other, "x\n", -1, NULL));
  g_assert_null (find (self));
}

static void
earlier_start (Fixture *self, gconstpointer data)
{
  g_autoptr(PvLeftover) found = NULL;

  write_journal (self, "[\"begin\",\"1\",\"we\\\"ird\",\"running\",\"another boot\",\"/copy\"]\n"
                       "[\"overlay\",\"vda\",\"/o\",\"/b\"]\n");
  found = find (self);
  g_assert_nonnull (found);
  g_assert_no_error (found->error);
  g_assert_cmpstr (found->domain, ==, "we\"ird");
  g_assert_cmpstr (found->path, ==, self->path);
  g_assert_true (found->reboot);
  g_assert_false (found->at_work);
  g_assert_true (g_file_test (self->path, G_FILE_TEST_EXISTS));
}

/* Its journal is gone, so it was undone, while the store could not be reached. */
static void
this_start (Fixture *self, gconstpointer data)
{
  g_autofree char *boot = NULL;
  g_autofree char *text = NULL;

  if (!g_file_get_contents ("/proc/sys/kernel/random/boot_id", &boot, NULL, NULL))
    {
      g_test_skip ("this kernel does not tell its boot");
      return;
    }
  text = g_strdup_printf ("[\"begin\",\"1\",\"web\",\"running\",\"%s\",\"/copy\"]\n", g_strstrip (boot));
  write_journal (self, text);
  g_assert_null (find (self));
  g_assert_true (g_file_test (self->path, G_FILE_TEST_EXISTS));
}

static void
nonsense (Fixture *self, gconstpointer data)
{
  g_autoptr(PvLeftover) found = NULL;

  write_journal (self, "[\"begin\",\"1\"]\n");
  found = find (self);
  g_assert_nonnull (found);
  g_assert_error (found->error, PV_ERROR, PV_ERROR_CORRUPT);
  g_assert_null (found->domain);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/leftover/nothing", Fixture, NULL, set_up, nothing, tear_down);
  g_test_add ("/leftover/earlier-start", Fixture, NULL, set_up, earlier_start, tear_down);
  g_test_add ("/leftover/this-start", Fixture, NULL, set_up, this_start, tear_down);
  g_test_add ("/leftover/nonsense", Fixture, NULL, set_up, nonsense, tear_down);
  return g_test_run ();
}
