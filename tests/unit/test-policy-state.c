/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "policy/policy-state.h"

#include <glib/gstdio.h>

#include "util/error.h"

#define UUID "c7a5fdbd-edaf-9455-926a-d65c16db1809"

typedef struct
{
  char *store; /* (owned) */
} Fixture;

static void
setup (Fixture *f, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *directory = NULL;

  f->store = g_dir_make_tmp ("pagevault-policy-XXXXXX", &error);
  g_assert_no_error (error);
  directory = g_build_filename (f->store, PV_POLICIES, NULL);
  g_assert_cmpint (g_mkdir (directory, 0700), ==, 0);
}

static void
teardown (Fixture *f, gconstpointer data)
{
  g_autoptr(GError) error = NULL;

  pv_remove_tree (f->store, &error);
  g_assert_no_error (error);
  g_free (f->store);
}

static void
test_kept (Fixture *f, gconstpointer data)
{
  g_auto(PvPolicyState) state = { 0 };
  g_auto(PvPolicyState) found = { 0 };
  g_autoptr(GError) error = NULL;

  pv_policy_state_see (&state, "Käse; [web]\\1", "<policy/>", 1000);
  pv_policy_state_succeeded (&state, "web1@a;b", 2000);
  pv_policy_state_failed (&state, "line 1\nline 2 = x;\tÿ", 3000);
  pv_policy_state_add_unpushed (&state, "web1@a;b");
  pv_policy_state_add_unpushed (&state, "web1@c\\d");
  pv_policy_state_push_failed (&state, "away", 4000);
  pv_policy_state_save (&state, f->store, UUID, &error);
  g_assert_no_error (error);
  pv_policy_state_load (&found, f->store, UUID);
  g_assert_cmpstr (found.domain, ==, state.domain);
  g_assert_cmpstr (found.digest, ==, state.digest);
  g_assert_cmpint (found.anchor, ==, 2000);
  g_assert_cmpint (found.attempt, ==, 3000);
  g_assert_cmpint (found.success, ==, 2000);
  g_assert_cmpstr (found.snapshot, ==, "web1@a;b");
  g_assert_cmpuint (found.failures, ==, 1);
  g_assert_cmpstr (found.message, ==, state.message);
  g_assert_cmpuint (g_strv_length (found.unpushed), ==, 2);
  g_assert_cmpstr (found.unpushed[0], ==, "web1@a;b");
  g_assert_cmpstr (found.unpushed[1], ==, "web1@c\\d");
  g_assert_cmpint (found.push_attempt, ==, 4000);
  g_assert_cmpstr (found.push_message, ==, "away");
}

static void
test_unreadable (Fixture *f, gconstpointer data)
{
  static const char *const contents[] = { "", "garbage", "[policy]\nanchor=99999999999999999999\nfailures=-3\n",
                                          "[other]\nanchor=1\n", "[policy]\nmessage=\\xff\n" };
  g_autofree char *path = g_build_filename (f->store, PV_POLICIES, UUID, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (contents); i++)
    {
      g_auto(PvPolicyState) state = { 0 };

      if (i == 1) /* no key file at all: that is worth a word */
        g_test_expect_message (NULL, G_LOG_LEVEL_WARNING, "*begins anew*");
      g_assert_true (g_file_set_contents (path, contents[i], -1, NULL));
      pv_policy_state_load (&state, f->store, UUID);
      g_assert_cmpint (state.anchor, ==, 0);
      g_assert_cmpuint (state.failures, ==, 0);
      g_test_assert_expected_messages ();
    }
}

static void
test_lock (Fixture *f, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  g_auto(PvFd) lock = PV_FD_NONE;

  g_assert_false (pv_policy_state_is_locked (f->store, UUID));
  lock = pv_policy_state_lock (f->store, UUID, &error);
  g_assert_no_error (error);
  g_assert_true (pv_policy_state_is_locked (f->store, UUID));
  g_assert_cmpint (pv_policy_state_lock (f->store, UUID, &error), <, 0);
  g_assert_error (error, PV_ERROR, PV_ERROR_BUSY);
  pv_fd_clear (&lock);
  g_assert_false (pv_policy_state_is_locked (f->store, UUID));
}

static void
test_unpushed (Fixture *f, gconstpointer data)
{
  g_auto(PvPolicyState) state = { 0 };

  for (guint i = 0; i < PV_POLICY_UNPUSHED_MAX + 5; i++)
    {
      g_autofree char *name = g_strdup_printf ("web1@%u", i);

      pv_policy_state_add_unpushed (&state, name);
    }
  g_assert_cmpuint (g_strv_length (state.unpushed), ==, PV_POLICY_UNPUSHED_MAX);
  g_assert_cmpstr (state.unpushed[0], ==, "web1@5");
  pv_policy_state_pushed (&state, "web1@5");
  pv_policy_state_pushed (&state, "web1@1");
  g_assert_cmpuint (g_strv_length (state.unpushed), ==, PV_POLICY_UNPUSHED_MAX - 1);
  g_assert_cmpstr (state.unpushed[0], ==, "web1@6");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/policy-state/kept", Fixture, NULL, setup, test_kept, teardown);
  g_test_add ("/policy-state/unreadable", Fixture, NULL, setup, test_unreadable, teardown);
  g_test_add ("/policy-state/lock", Fixture, NULL, setup, test_lock, teardown);
  g_test_add ("/policy-state/unpushed", Fixture, NULL, setup, test_unpushed, teardown);
  return g_test_run ();
}
