/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/restore-journal.h"

#include <glib/gstdio.h>

#include "util/error.h"
#include "util/file.h"

#define ODD_PATH "/a b/\xff\n\"'ü"

typedef struct
{
  char *store;
  PvRestoreJournal *journal;
} Fixture;

static void
set_up (Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;

  self->store = g_dir_make_tmp ("pagevault-test-XXXXXX", &error);
  g_assert_no_error (error);
  self->journal = pv_restore_journal_create (self->store, "web 1", FALSE, &error);
  g_assert_no_error (error);
}

static void
tear_down (Fixture *self, gconstpointer data)
{
  g_clear_pointer (&self->journal, pv_restore_journal_free);
  g_assert_true (pv_remove_tree (self->store, NULL));
  g_free (self->store);
}

static void
fill (Fixture *self)
{
  g_autoptr(GError) error = NULL;

  g_assert_true (pv_restore_journal_add (self->journal, &error, PV_MADE_GUEST, "1", "web 1", "uuid", NULL));
  g_assert_true (pv_restore_journal_add (self->journal, &error, PV_MADE_FILE, ODD_PATH, "7", "18446744073709551615",
                                         NULL));
  g_assert_true (pv_restore_journal_add (self->journal, &error, PV_MADE_LOAD, NULL));
  g_assert_true (pv_restore_journal_add (self->journal, &error, PV_MADE_DEFINITION, "<domain>\n</domain>\n", NULL));
  g_assert_no_error (error);
}

static void
test_round_trip (Fixture *self, gconstpointer data)
{
  g_autoptr(GPtrArray) steps = NULL;
  g_autoptr(GError) error = NULL;
  const PvMade *file, *definition;

  fill (self);
  steps = pv_restore_journal_steps (self->journal, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (steps->len, ==, 4);
  file = steps->pdata[1];
  g_assert_cmpint (file->kind, ==, PV_MADE_FILE);
  g_assert_cmpstr (file->arguments[0], ==, ODD_PATH);
  g_assert_cmpstr (file->arguments[2], ==, "18446744073709551615");
  g_assert_cmpint (((const PvMade *) steps->pdata[2])->kind, ==, PV_MADE_LOAD);
  definition = steps->pdata[3];
  g_assert_cmpstr (definition->arguments[0], ==, "<domain>\n</domain>\n");
}

/* A restore that was killed in the middle of a line has not acted upon it. */
static void
test_half_a_line (Fixture *self, gconstpointer data)
{
  g_autoptr(GPtrArray) steps = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *text = NULL;
  gsize size;

  fill (self);
  g_assert_true (g_file_get_contents (pv_restore_journal_file (self->journal), &text, &size, &error));
  g_assert_cmpint (text[size - 1], ==, '\n');
  g_assert_true (g_file_set_contents (pv_restore_journal_file (self->journal), text, (gssize) size - 1, &error));
  steps = pv_restore_journal_steps (self->journal, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (steps->len, ==, 3);
}

static void
test_nonsense (Fixture *self, gconstpointer data)
{
  static const char *const lines[] = { "x\n", "[b'guest']\n", "[b'load', b'x']\n", "[b'away']\n", "[]\n", "\n" };

  for (guint i = 0; i < G_N_ELEMENTS (lines); i++)
    {
      g_autoptr(GPtrArray) steps = NULL;
      g_autoptr(GError) error = NULL;

      g_assert_true (g_file_set_contents (pv_restore_journal_file (self->journal), lines[i], -1, NULL));
      steps = pv_restore_journal_steps (self->journal, &error);
      g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
      g_assert_null (steps);
    }
}

static void
test_one_at_a_time (Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *path = g_strdup (pv_restore_journal_file (self->journal));
  g_autoptr(PvRestoreJournal) other = NULL;
  g_autoptr(GPtrArray) paths = NULL;

  g_assert_null (pv_restore_journal_create (self->store, "web 1", FALSE, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_BUSY);
  g_clear_error (&error);
  g_assert_null (pv_restore_journal_open (path, &error));
  g_assert_no_error (error);
  other = pv_restore_journal_create (self->store, "web 1", TRUE, &error);
  g_assert_no_error (error);
  paths = pv_restore_journal_list (self->store, &error);
  g_assert_cmpuint (paths->len, ==, 2);
  g_assert_cmpstr (paths->pdata[0], ==, pv_restore_journal_file (other));
  g_assert_cmpstr (paths->pdata[1], ==, path);
}

/* Its owner was killed: it is there, and nobody's. */
static void
test_killed (Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *path = g_strdup (pv_restore_journal_file (self->journal));
  g_autoptr(PvRestoreJournal) journal = NULL;

  fill (self);
  g_clear_pointer (&self->journal, pv_restore_journal_free);
  g_assert_null (pv_restore_journal_create (self->store, "web 1", FALSE, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_EXISTS);
  g_clear_error (&error);
  journal = pv_restore_journal_open (path, &error);
  g_assert_no_error (error);
  g_assert_nonnull (journal);
  g_assert_true (pv_restore_journal_remove (journal, &error));
  g_assert_false (g_file_test (path, G_FILE_TEST_EXISTS));
  g_assert_null (pv_restore_journal_open (path, &error));
  g_assert_no_error (error);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/restore-journal/round-trip", Fixture, NULL, set_up, test_round_trip, tear_down);
  g_test_add ("/restore-journal/half-a-line", Fixture, NULL, set_up, test_half_a_line, tear_down);
  g_test_add ("/restore-journal/nonsense", Fixture, NULL, set_up, test_nonsense, tear_down);
  g_test_add ("/restore-journal/one-at-a-time", Fixture, NULL, set_up, test_one_at_a_time, tear_down);
  g_test_add ("/restore-journal/killed", Fixture, NULL, set_up, test_killed, tear_down);
  return g_test_run ();
}
