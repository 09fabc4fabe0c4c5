/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "xml/hook-message.h"

#include <gio/gio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/error.h"
#include "util/file.h"

#define PATIENCE_US (60 * G_USEC_PER_SEC)

typedef struct
{
  int ends[2];
} Fixture;

static void
setup (Fixture *f, gconstpointer data)
{
  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, f->ends), ==, 0);
}

static void
teardown (Fixture *f, gconstpointer data)
{
  for (guint i = 0; i < 2; i++)
    if (f->ends[i] >= 0)
      close (f->ends[i]);
}

static gpointer
send_large (gpointer data)
{
  Fixture *f = data;
  g_autofree char *text = g_strnfill (3 << 20, 'x');

  return GINT_TO_POINTER (pv_hook_message_send (f->ends[0], PV_HOOK_XML, text, g_get_monotonic_time () + PATIENCE_US,
                                                NULL));
}

static void
round_trip (Fixture *f, gconstpointer data)
{
  gint64 deadline = g_get_monotonic_time () + PATIENCE_US;
  g_autoptr(GError) error = NULL;
  g_autofree char *small = NULL;
  g_autofree char *large = NULL;
  PvHookVerb verb = 0;
  GThread *thread;

  g_assert_true (pv_hook_message_send (f->ends[0], PV_HOOK_REFUSE, "because", deadline, &error));
  small = pv_hook_message_receive (f->ends[1], &verb, deadline, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (small, ==, "because");
  g_assert_cmpint (verb, ==, PV_HOOK_REFUSE);
  thread = g_thread_new ("send", send_large, f); /* more than the socket holds */
  large = pv_hook_message_receive (f->ends[1], &verb, deadline, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (strlen (large), ==, 3 << 20);
  g_assert_true (GPOINTER_TO_INT (g_thread_join (thread)));
}

static void
assert_refused (const void *bytes, gsize size, int code)
{
  Fixture f;
  g_autoptr(GError) error = NULL;
  PvHookVerb verb = 0;

  setup (&f, NULL);
  g_assert_true (pv_write_all (f.ends[0], bytes, size, "socket", NULL));
  close (f.ends[0]);
  f.ends[0] = -1;
  g_assert_null (pv_hook_message_receive (f.ends[1], &verb, g_get_monotonic_time () + PATIENCE_US, &error));
  g_assert_error (error, PV_ERROR, code);
  teardown (&f, NULL);
}

static void
garbage (void)
{
  assert_refused ("", 0, PV_ERROR_CORRUPT);
  assert_refused ("PVH1x", 5, PV_ERROR_CORRUPT);
  assert_refused ("PVH2x\1\0\0\0y", 10, PV_ERROR_CORRUPT);
  assert_refused ("PVH1x\2\0\0\0y", 10, PV_ERROR_CORRUPT);        /* ends early */
  assert_refused ("PVH1x\1\0\0\0\0", 10, PV_ERROR_CORRUPT);       /* a NUL */
  assert_refused ("PVH1x\377\377\377\377y", 10, PV_ERROR_CORRUPT); /* longer than anything */
}

static void
silence (Fixture *f, gconstpointer data)
{
  g_autofree char *text = g_strnfill (8 << 20, 'x');
  g_autoptr(GError) error = NULL;
  PvHookVerb verb = 0;

  g_assert_null (pv_hook_message_receive (f->ends[1], &verb, g_get_monotonic_time () + 10000, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_BUSY);
  g_clear_error (&error);
  /* nobody reads */
  g_assert_false (pv_hook_message_send (f->ends[0], PV_HOOK_XML, text, g_get_monotonic_time () + 10000, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_BUSY);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/hook-message/round-trip", Fixture, NULL, setup, round_trip, teardown);
  g_test_add_func ("/hook-message/garbage", garbage);
  g_test_add ("/hook-message/silence", Fixture, NULL, setup, silence, teardown);
  return g_test_run ();
}
