/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "capture/journal.h"

#include <sys/stat.h>

#include "util/error.h"
#include "util/file.h"

typedef struct
{
  char *directory;
  char *path;
} Fixture;

static void
set_up (Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;

  self->directory = g_dir_make_tmp ("pagevault-test-XXXXXX", &error);
  g_assert_no_error (error);
  self->path = pv_journal_path (self->directory, "31ab2a3c-d3d8-45c5-bd1d-7019b663b101");
}

static void
tear_down (Fixture *self, gconstpointer data)
{
  g_assert_true (pv_remove_tree (self->directory, NULL));
  g_free (self->directory);
  g_free (self->path);
}

static PvJournal *
create (Fixture *self)
{
  g_autoptr(GError) error = NULL;
  PvJournal *journal = pv_journal_create (self->path, &error);

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

  g_assert_true (pv_journal_add (journal, FALSE, &error, PV_STEP_BEGIN, "1", "we\"ird\nname", "running", NULL));
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
  g_assert_null (pv_journal_open (self->path, &error));
  g_assert_no_error (error);
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
  assert_step (steps, 0, PV_STEP_PAUSE, FALSE, NULL);
  assert_step (steps, 1, PV_STEP_PAUSE, TRUE, NULL);
  g_ptr_array_unref (steps);
  g_assert_true (pv_journal_over (journal, PV_STEP_PAUSE, NULL));
  steps = steps_of (journal);
  assert_step (steps, 0, PV_STEP_PAUSE, TRUE, NULL);
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
  assert_step (steps, 0, PV_STEP_OVERLAY, FALSE, "vda");
  assert_step (steps, 1, PV_STEP_CAPABILITY, TRUE, "return-path");
  assert_step (steps, 2, PV_STEP_MIGRATE, TRUE, "precopy");
  assert_step (steps, 4, PV_STEP_CAPABILITY, FALSE, "return-path");
}

/* Cut anywhere, it says all that stood on whole lines. */
static void
test_cut (Fixture *self, gconstpointer data)
{
  g_autoptr(PvJournal) journal = create (self);
  g_autofree char *text = NULL;
  gsize size;

  g_assert_true (pv_journal_add (journal, FALSE, NULL, PV_STEP_BEGIN, "1", "w", "running", NULL));
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

  g_assert_null (pv_journal_create (self->path, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_EXISTS);
}

#define ADD(path, func) g_test_add (path, Fixture, NULL, set_up, func, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("/journal/round-trip", test_round_trip);
  ADD ("/journal/over", test_over);
  ADD ("/journal/over-live", test_over_live);
  ADD ("/journal/cut", test_cut);
  ADD ("/journal/garbage", test_garbage);
  ADD ("/journal/exists", test_exists);
  return g_test_run ();
}
