/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "capture/journal.h"

#include <string.h>
#include <sys/stat.h>

#include "util/error.h"
#include "util/fault.h"
#include "util/file.h"

typedef struct
{
  char *directory;
  char *path;
  char *copy;
} Fixture;

static void
set_up (Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;

  self->directory = g_dir_make_tmp ("pagevault-test-XXXXXX", &error);
  g_assert_no_error (error);
  self->path = g_build_filename (self->directory, "journal", NULL);
  self->copy = pv_journal_copy_path (self->directory, "31ab2a3c-d3d8-45c5-bd1d-7019b663b101");
}

static void
tear_down (Fixture *self, gconstpointer data)
{
  g_assert_true (pv_remove_tree (self->directory, NULL));
  g_free (self->directory);
  g_free (self->path);
  g_free (self->copy);
}

static PvJournal *
create (Fixture *self)
{
  g_autoptr(GError) error = NULL;
  PvJournal *journal = pv_journal_create (self->path, self->copy, "we\"ird\nname", "running", &error);

  g_assert_no_error (error);
  return journal;
}

static GPtrArray *
steps_of (PvJournal *journal)
{
  g_autoptr(GError) error = NULL;
  GPtrArray *steps = pv_journal_steps (journal, &error);

  g_assert_no_error (error);
  return steps;
}

static void
assert_step (GPtrArray *steps, guint i, PvStepKind kind, gboolean over, const char *first)
{
  PvStep *step;

  g_assert_cmpuint (i, <, steps->len);
  step = steps->pdata[i];
  g_assert_cmpint (step->kind, ==, kind);
  g_assert_cmpint (step->over, ==, over);
  g_assert_cmpstr (step->arguments[0], ==, first);
}

static void
test_round_trip (Fixture *self, gconstpointer data)
{
  g_autoptr(PvJournal) journal = create (self);
  g_autoptr(PvJournal) other = NULL;
  g_autoptr(GPtrArray) steps = NULL;
  g_autoptr(GError) error = NULL;
  struct stat st;

  g_assert_true (pv_journal_add (journal, TRUE, &error, PV_STEP_OVERLAY, "vda", "/a b/ü.ov", "/a b/ü", NULL));
  g_assert_true (pv_journal_add (journal, FALSE, &error, PV_STEP_CAPABILITY, "return-path", NULL));
  g_assert_true (pv_journal_add (journal, FALSE, &error, PV_STEP_PAUSE, NULL));
  g_assert_true (pv_journal_over (journal, PV_STEP_PAUSE, &error));
  g_assert_cmpint (stat (self->path, &st), ==, 0);
  g_assert_cmpint (st.st_mode & 07777, ==, 0600);
  other = pv_journal_open (self->path, &error);
  g_assert_no_error (error);
  steps = steps_of (other);
  g_assert_cmpuint (steps->len, ==, 5);
  assert_step (steps, 0, PV_STEP_BEGIN, FALSE, "1");
  g_assert_cmpstr (((PvStep *) steps->pdata[0])->arguments[1], ==, "we\"ird\nname");
  assert_step (steps, 1, PV_STEP_OVERLAY, FALSE, "vda");
  g_assert_cmpstr (((PvStep *) steps->pdata[1])->arguments[2], ==, "/a b/ü");
  assert_step (steps, 2, PV_STEP_CAPABILITY, FALSE, "return-path");
  assert_step (steps, 3, PV_STEP_PAUSE, TRUE, NULL);
  g_assert_true (pv_journal_remove (other, &error));
  g_assert_null (pv_journal_find (self->path, self->copy, &error));
  g_assert_no_error (error);
  g_assert_false (g_file_test (self->copy, G_FILE_TEST_EXISTS));
}

/* What tells of overlays outlives the machine, and only that. */
static void
test_durable (Fixture *self, gconstpointer data)
{
  g_autoptr(PvJournal) journal = create (self);
  g_autoptr(PvJournal) copy = NULL;
  g_autoptr(GPtrArray) steps = NULL;

  g_assert_true (pv_journal_add (journal, FALSE, NULL, PV_STEP_PAUSE, NULL));
  g_assert_true (pv_journal_add (journal, TRUE, NULL, PV_STEP_OVERLAY, "vda", "/o", "/b", NULL));
  g_assert_true (pv_journal_add (journal, FALSE, NULL, PV_STEP_MIGRATE, "precopy", NULL));
  copy = pv_journal_open (self->copy, NULL);
  steps = steps_of (copy);
  g_assert_cmpuint (steps->len, ==, 2);
  assert_step (steps, 0, PV_STEP_BEGIN, FALSE, "1");
  assert_step (steps, 1, PV_STEP_OVERLAY, FALSE, "vda");
}

/* As after a start of the machine: the boot id of the copy is another one. */
static void
start_anew (const char *path)
{
  g_autofree char *text = NULL;
  g_autofree char *boot = NULL;
  char *at;

  g_assert_true (g_file_get_contents ("/proc/sys/kernel/random/boot_id", &boot, NULL, NULL));
  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  at = strstr (text, g_strstrip (boot));
  g_assert_nonnull (at);
  *at = *at == '0' ? '1' : '0';
  g_assert_true (g_file_set_contents (path, text, -1, NULL));
}

static void
test_find (Fixture *self, gconstpointer data)
{
  g_autofree char *text = NULL;
  g_autoptr(PvJournal) journal = create (self);
  g_autoptr(PvJournal) found = NULL;
  g_autoptr(GPtrArray) steps = NULL;
  g_autoptr(GError) error = NULL;

  g_assert_true (pv_journal_add (journal, FALSE, NULL, PV_STEP_PAUSE, NULL));
  g_assert_true (pv_journal_add (journal, TRUE, NULL, PV_STEP_OVERLAY, "vda", "/o", "/b", NULL));
  g_assert_true (g_file_get_contents (self->copy, &text, NULL, NULL));

  /* from whichever store one asks */
  found = pv_journal_find (self->path, "/nowhere/captures/x", &error);
  g_assert_no_error (error);
  g_assert_cmpstr (pv_journal_file (found), ==, self->path);
  g_clear_pointer (&found, pv_journal_free);

  /* undone while the store was away: nothing to do, and no trace left */
  g_assert_true (pv_journal_remove (journal, &error));
  g_assert_true (g_file_set_contents (self->copy, text, -1, NULL));
  g_assert_null (pv_journal_find (self->path, self->copy, &error));
  g_assert_no_error (error);
  g_assert_false (g_file_test (self->copy, G_FILE_TEST_EXISTS));

  /* the machine died */
  g_assert_true (g_file_set_contents (self->copy, text, -1, NULL));
  start_anew (self->copy);
  found = pv_journal_find (self->path, self->copy, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (pv_journal_file (found), ==, self->copy);
  steps = steps_of (found);
  assert_step (steps, 1, PV_STEP_OVERLAY, FALSE, "vda");
  g_assert_true (pv_journal_remove (found, &error));
  g_assert_false (g_file_test (self->copy, G_FILE_TEST_EXISTS));
}

/* A run-time directory that outlives the machine: of its QEMU nothing is left to undo. */
static void
test_other_start (Fixture *self, gconstpointer data)
{
  g_autoptr(PvJournal) journal = create (self);
  g_autoptr(GPtrArray) steps = NULL;

  g_assert_true (pv_journal_add (journal, TRUE, NULL, PV_STEP_OVERLAY, "vda", "/o", "/b", NULL));
  g_assert_true (pv_journal_add (journal, FALSE, NULL, PV_STEP_PAUSE, NULL));
  start_anew (self->path);
  steps = steps_of (journal);
  assert_step (steps, 1, PV_STEP_OVERLAY, FALSE, "vda");
  assert_step (steps, 2, PV_STEP_PAUSE, TRUE, NULL);
}

/* Killed between the two files, it is found and replaced. */
static void
test_half_made (Fixture *self, gconstpointer data)
{
  g_autoptr(PvJournal) journal = NULL;
  g_autoptr(PvJournal) found = NULL;
  g_autofree char *directory = g_path_get_dirname (self->copy);
  g_autoptr(GError) error = NULL;

  g_assert_true (pv_mkdirs (directory, 0700, &error));
  g_assert_true (g_file_set_contents (self->path, "", 0, NULL));
  g_assert_true (g_file_set_contents (self->copy, "", 0, NULL));
  found = pv_journal_find (self->path, self->copy, &error);
  g_assert_no_error (error);
  g_assert_true (pv_journal_remove (found, &error));
  g_assert_null (pv_journal_find (self->path, self->copy, &error));
  g_assert_no_error (error);
  journal = create (self);
}

/* Whatever step of the making fails, no file stays. */
static void
test_failing (Fixture *self, gconstpointer data)
{
  for (guint nth = 1;; nth++)
    {
      g_autoptr(PvJournal) journal = NULL;
      g_autoptr(GError) error = NULL;

      pv_fault_arm_nth ("capture.*", nth);
      journal = pv_journal_create (self->path, self->copy, "w", "running", &error);
      pv_fault_disarm ();
      if (journal != NULL)
        {
          g_assert_cmpuint (nth, >, 3);
          return;
        }
      g_assert_error (error, PV_ERROR, PV_ERROR_FAILED);
      g_assert_false (g_file_test (self->path, G_FILE_TEST_EXISTS));
      g_assert_false (g_file_test (self->copy, G_FILE_TEST_EXISTS));
    }
}

/* "over" takes the last one that is not over yet. */
static void
test_over (Fixture *self, gconstpointer data)
{
  g_autoptr(PvJournal) journal = create (self);
  g_autoptr(GPtrArray) steps = NULL;

  g_assert_true (pv_journal_add (journal, FALSE, NULL, PV_STEP_PAUSE, NULL));
  g_assert_true (pv_journal_add (journal, FALSE, NULL, PV_STEP_PAUSE, NULL));
  g_assert_true (pv_journal_over (journal, PV_STEP_PAUSE, NULL));
  steps = steps_of (journal);
  assert_step (steps, 1, PV_STEP_PAUSE, FALSE, NULL);
  assert_step (steps, 2, PV_STEP_PAUSE, TRUE, NULL);
  g_ptr_array_unref (steps);
  g_assert_true (pv_journal_over (journal, PV_STEP_PAUSE, NULL));
  steps = steps_of (journal);
  assert_step (steps, 1, PV_STEP_PAUSE, TRUE, NULL);
}

/* After "over live" only overlays are left. */
static void
test_over_live (Fixture *self, gconstpointer data)
{
  g_autoptr(PvJournal) journal = create (self);
  g_autoptr(GPtrArray) steps = NULL;

  g_assert_true (pv_journal_add (journal, FALSE, NULL, PV_STEP_OVERLAY, "vda", "/o", "/b", NULL));
  g_assert_true (pv_journal_add (journal, FALSE, NULL, PV_STEP_CAPABILITY, "return-path", NULL));
  g_assert_true (pv_journal_add (journal, FALSE, NULL, PV_STEP_MIGRATE, "precopy", NULL));
  g_assert_true (pv_journal_over_live (journal, NULL));
  g_assert_true (pv_journal_add (journal, FALSE, NULL, PV_STEP_CAPABILITY, "return-path", NULL));
  steps = steps_of (journal);
  assert_step (steps, 1, PV_STEP_OVERLAY, FALSE, "vda");
  assert_step (steps, 2, PV_STEP_CAPABILITY, TRUE, "return-path");
  assert_step (steps, 3, PV_STEP_MIGRATE, TRUE, "precopy");
  assert_step (steps, 5, PV_STEP_CAPABILITY, FALSE, "return-path");
}

/* Cut anywhere, it says all that stood on whole lines. */
static void
test_cut (Fixture *self, gconstpointer data)
{
  g_autoptr(PvJournal) journal = create (self);
  g_autofree char *text = NULL;
  gsize size;

  g_assert_true (pv_journal_add (journal, FALSE, NULL, PV_STEP_PAUSE, NULL));
  g_assert_true (g_file_get_contents (self->path, &text, &size, NULL));
  for (gsize cut = 0; cut <= size; cut++)
    {
      g_autoptr(GPtrArray) steps = NULL;
      guint lines = 0;

      for (gsize i = 0; i < cut; i++)
        lines += text[i] == '\n';
      g_assert_true (g_file_set_contents (self->path, text, (gssize) cut, NULL));
      steps = steps_of (journal);
      g_assert_cmpuint (steps->len, ==, lines);
    }
}

static void
test_garbage (Fixture *self, gconstpointer data)
{
  static const char *const bad[] = { "\n",
                                     "{}\n",
                                     "[]\n",
                                     "[\"begin\"]\n",
                                     "[\"dance\"]\n",
                                     "[1]\n",
                                     "[[\"pause\"]]\n",
                                     "[\"pause\",\"x\"]\n",
                                     "[\"fd\",null]\n" };
  g_autoptr(PvJournal) journal = create (self);

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr(GError) error = NULL;

      g_assert_true (g_file_set_contents (self->path, bad[i], -1, NULL));
      g_assert_null (pv_journal_steps (journal, &error));
      g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
    }
}

static void
test_exists (Fixture *self, gconstpointer data)
{
  g_autoptr(PvJournal) journal = create (self);
  g_autoptr(GError) error = NULL;

  g_assert_null (pv_journal_create (self->path, self->copy, "we\"ird\nname", "running", &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_EXISTS);
}

#define ADD(path, func) g_test_add (path, Fixture, NULL, set_up, func, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("/journal/round-trip", test_round_trip);
  ADD ("/journal/durable", test_durable);
  ADD ("/journal/find", test_find);
  ADD ("/journal/other-start", test_other_start);
  ADD ("/journal/half-made", test_half_made);
  ADD ("/journal/failing", test_failing);
  ADD ("/journal/over", test_over);
  ADD ("/journal/over-live", test_over_live);
  ADD ("/journal/cut", test_cut);
  ADD ("/journal/garbage", test_garbage);
  ADD ("/journal/exists", test_exists);
  return g_test_run ();
}
