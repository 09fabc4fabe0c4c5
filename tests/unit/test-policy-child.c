/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "policy/policy-child.h"

#include <glib/gstdio.h>

#include "util/error.h"

/* (transfer full): a shell that runs @script. */
static GPtrArray *
shell (const char *script)
{
  GPtrArray *command = g_ptr_array_new_with_free_func (g_free);

  g_ptr_array_add (command, g_strdup ("/bin/sh"));
  g_ptr_array_add (command, g_strdup ("-c"));
  g_ptr_array_add (command, g_strdup (script));
  return command;
}

/* (transfer full): what is said of @script, which fails. */
static char *
complaint (const char *script)
{
  g_autoptr(GPtrArray) command = shell (script);
  g_autoptr(GError) error = NULL;

  g_assert_false (pv_policy_child_run (command, NULL, NULL, NULL, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_FAILED);
  return g_strdup (error->message);
}

static void
test_command (void)
{
  PvPolicyPlace bare = { .store = "/a b" };
  PvPolicyPlace full = { .store = "/s", .uri = "qemu:///session", .passphrase_file = "/p", .secret_uuid = "u" };
  g_autoptr(GPtrArray) first = pv_policy_child_command ("/bin/pagevault", "gc", &bare);
  g_autoptr(GPtrArray) second = pv_policy_child_command ("x", "push", &full);
  g_autofree char *first_text = NULL;
  g_autofree char *second_text = NULL;

  g_ptr_array_add (first, NULL);
  g_ptr_array_add (second, NULL);
  first_text = g_strjoinv ("|", (char **) first->pdata);
  second_text = g_strjoinv ("|", (char **) second->pdata);
  g_assert_cmpstr (first_text, ==, "/bin/pagevault|gc|--store=/a b");
  g_assert_cmpstr (second_text, ==, "x|push|--store=/s|--connect=qemu:///session|--passphrase-file=/p|--secret=u");
}

static void
test_good (void)
{
  g_autoptr(GPtrArray) command = shell ("echo taken; echo 'pagevault: odd' >&2; printf '\\377' >&2");
  g_autofree char *out = NULL;
  g_autofree char *said = NULL;
  g_autoptr(GError) error = NULL;

  g_assert_true (pv_policy_child_run (command, NULL, &out, &said, &error));
  g_assert_no_error (error);
  g_assert_cmpstr (out, ==, "taken\n");
  g_assert_cmpstr (said, ==, "pagevault: odd\n\357\277\275");
}

static void
test_bad (void)
{
  g_autofree char *words = complaint ("echo 'pagevault: first' >&2; echo 'pagevault: it is full' >&2; exit 1");
  g_autofree char *silent = complaint ("echo lost; exit 3");
  g_autofree char *killed = complaint ("kill -KILL $$");
  g_autoptr(GPtrArray) nowhere = g_ptr_array_new ();
  g_autoptr(GError) error = NULL;

  g_assert_cmpstr (words, ==, "it is full");
  g_assert_cmpstr (silent, ==, "it failed without a word");
  g_assert_cmpstr (killed, ==, "'-c' was killed by signal 9");
  g_ptr_array_add (nowhere, (char *) "/no/such/program");
  g_assert_false (pv_policy_child_run (nowhere, NULL, NULL, NULL, &error));
  g_assert_nonnull (error);
}

typedef struct
{
  GCancellable *cancellable;
  const char *file;
} Patience;

/* The child says with a file that it is there. */
static gpointer
cancel_when_there (gpointer data)
{
  Patience *patience = data;

  while (!g_file_test (patience->file, G_FILE_TEST_EXISTS))
    g_usleep (1000);
  g_cancellable_cancel (patience->cancellable);
  return NULL;
}

/* A child that is told to stop gets its time to do so. */
static void
test_stopped (void)
{
  g_autofree char *directory = g_dir_make_tmp ("pagevault-policy-XXXXXX", NULL);
  g_autofree char *there = g_build_filename (directory, "there", NULL);
  g_autofree char *clean = g_build_filename (directory, "clean", NULL);
  g_autofree char *script = g_strdup_printf ("trap ': >%s; exit 1' TERM; : >%s; while :; do sleep 0.05; done", clean,
                                             there);
  g_autoptr(GPtrArray) command = shell (script);
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  g_autoptr(GError) error = NULL;
  Patience patience = { cancellable, there };
  GThread *thread = g_thread_new ("cancel", cancel_when_there, &patience);

  g_assert_false (pv_policy_child_run (command, cancellable, NULL, NULL, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_CANCELLED);
  g_thread_join (thread);
  g_assert_cmpint (g_remove (there), ==, 0);
  g_assert_cmpint (g_remove (clean), ==, 0); /* it had ended when the function returned */
  g_assert_cmpint (g_rmdir (directory), ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/policy-child/command", test_command);
  g_test_add_func ("/policy-child/good", test_good);
  g_test_add_func ("/policy-child/bad", test_bad);
  g_test_add_func ("/policy-child/stopped", test_stopped);
  return g_test_run ();
}
