/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "capture/drain.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/error.h"
#include "util/fault.h"
#include "util/file.h"

#define MIB (1u << 20)

/* A stream that says where it is: the i-th 8 bytes are i. The sink checks that, and can be held up. */
typedef struct
{
  char *directory;
  int ends[2]; /* reading, writing */
  PvDrain *drain;
  GMutex lock;
  GCond changed;
  guint64 taken; /* bytes the sink had; under lock */
  gboolean held; /* under lock */
  gint beats;
  guint64 fail_at; /* bytes; 0: never */
  gboolean to_the_end;
} Fixture;

static void
set_up (Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;

  self->directory = g_dir_make_tmp ("pagevault-test-XXXXXX", &error);
  g_assert_no_error (error);
  g_assert_cmpint (pipe2 (self->ends, O_CLOEXEC), ==, 0);
  g_mutex_init (&self->lock);
  g_cond_init (&self->changed);
}

static void
hold (Fixture *self, gboolean held)
{
  g_mutex_lock (&self->lock);
  self->held = held;
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
}

static void
tear_down (Fixture *self, gconstpointer data)
{
  hold (self, FALSE);
  pv_drain_free (self->drain);
  if (self->ends[1] >= 0)
    close (self->ends[1]);
  g_assert_true (pv_remove_tree (self->directory, NULL));
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->changed);
  g_free (self->directory);
}

static gboolean
sink (const guint8 *bytes, gsize n, gpointer data, GError **error)
{
  Fixture *self = data;
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  while (self->held)
    g_cond_wait (&self->changed, &self->lock);
  for (gsize i = 0; i < n; i++)
    {
      guint64 at = self->taken + i;
      guint64 word = at / 8;

      g_assert_cmpuint (bytes[i], ==, ((guint8 *) &word)[at % 8]);
    }
  self->taken += n;
  g_cond_broadcast (&self->changed);
  if (self->fail_at > 0 && self->taken >= self->fail_at)
    return pv_corrupt (error, "garbled");
  return TRUE;
}

static void
on_beat (gpointer data)
{
  g_atomic_int_inc (&((Fixture *) data)->beats);
}

static void
start (Fixture *self, guint64 buffer, PvOverrun on_overrun)
{
  PvDrainOptions options = {
    .buffer = buffer,
    .on_overrun = on_overrun,
    .spill_directory = self->directory,
    .sink = sink,
    .data = self,
    .to_the_end = self->to_the_end,
    .beat = on_beat,
    .beat_data = self,
  };

  self->drain = pv_drain_new (self->ends[0], &options);
  self->ends[0] = -1;
}

/* Writes bytes @from to @to of the stream; FALSE when the other end is closed. */
static gboolean
send_bytes (Fixture *self, guint64 from, guint64 to)
{
  guint64 words[8192];

  while (from < to)
    {
      gsize n = MIN (sizeof words, to - from);
      const guint8 *bytes = (const guint8 *) words;

      for (guint i = 0; i < G_N_ELEMENTS (words); i++)
        words[i] = from / 8 + i;
      while (n > 0)
        {
          gssize written = write (self->ends[1], bytes, n);

          if (written < 0)
            {
              g_assert_cmpint (errno, ==, EPIPE);
              return FALSE;
            }
          bytes += written;
          from += (guint64) written;
          n -= (gsize) written;
          if (from % 8 != 0)
            {
              while (n > 0 && from % 8 != 0)
                {
                  g_assert_cmpint (write (self->ends[1], bytes, 1), ==, 1);
                  bytes++, from++, n--;
                }
            }
        }
    }
  return TRUE;
}

static void
end_of_stream (Fixture *self)
{
  close (self->ends[1]);
  self->ends[1] = -1;
}

static void
assert_done (Fixture *self, guint64 total)
{
  g_autoptr(GError) error = NULL;
  gboolean done;

  g_assert_true (pv_drain_wait (self->drain, 60 * 1000, &done, &error));
  g_assert_no_error (error);
  g_assert_true (done);
  g_assert_cmpuint (self->taken, ==, total);
  g_assert_cmpuint (pv_drain_received (self->drain), ==, total);
}

static void
assert_fails (Fixture *self, PvError code, const char *pattern)
{
  g_autoptr(GError) error = NULL;
  gboolean done;

  g_assert_false (pv_drain_wait (self->drain, 60 * 1000, &done, &error));
  g_assert_error (error, PV_ERROR, (int) code);
  g_assert_true (g_pattern_match_simple (pattern, error->message));
}

static void
test_all_arrives (Fixture *self, gconstpointer data)
{
  start (self, 4 * MIB, (PvOverrun) GPOINTER_TO_UINT (data));
  g_assert_true (send_bytes (self, 0, 20 * MIB + 8));
  end_of_stream (self);
  assert_done (self, 20 * MIB + 8);
  g_assert_cmpint (g_atomic_int_get (&self->beats), >, 0);
}

static void
test_nothing (Fixture *self, gconstpointer data)
{
  start (self, MIB, PV_OVERRUN_SPILL);
  end_of_stream (self);
  assert_done (self, 0);
}

/* A few bytes reach the sink although more may come at any time. */
static void
test_first_bytes (Fixture *self, gconstpointer data)
{
  start (self, MIB, PV_OVERRUN_FAIL);
  g_assert_true (send_bytes (self, 0, 8));
  g_mutex_lock (&self->lock);
  while (self->taken < 8)
    g_cond_wait (&self->changed, &self->lock);
  g_mutex_unlock (&self->lock);
  g_assert_false (pv_drain_at_end (self->drain));
  end_of_stream (self);
  assert_done (self, 8);
  g_assert_true (pv_drain_at_end (self->drain));
}

/* With the sink held up, everything can still be sent: it goes to the file. Small pieces do not use up the memory. */
static void
test_spill (Fixture *self, gconstpointer data)
{
  g_autoptr(GDir) dir = NULL;

  hold (self, TRUE);
  start (self, 2 * MIB, PV_OVERRUN_SPILL);
  g_assert_true (send_bytes (self, 0, 40 * MIB));
  end_of_stream (self);
  while (!pv_drain_at_end (self->drain))
    g_thread_yield ();
  g_assert_cmpuint (pv_drain_received (self->drain), ==, 40 * MIB);
  g_assert_cmpuint (pv_drain_overrun (self->drain), >=, 37 * MIB);
  g_assert_cmpuint (pv_drain_overrun (self->drain), <, 40 * MIB);
  dir = g_dir_open (self->directory, 0, NULL);
  g_assert_null (g_dir_read_name (dir)); /* nothing that a kill could leave behind */
  hold (self, FALSE);
  assert_done (self, 40 * MIB);
}

/* From the file back to memory, and again. */
static void
test_spill_again (Fixture *self, gconstpointer data)
{
  const guint64 step = 6 * MIB;

  start (self, MIB, PV_OVERRUN_SPILL);
  for (guint round = 0; round < 4; round++)
    {
      guint64 before = pv_drain_overrun (self->drain);

      hold (self, TRUE);
      g_assert_true (send_bytes (self, round * step, (round + 1) * step));
      hold (self, FALSE);
      g_mutex_lock (&self->lock);
      while (self->taken < (round + 1) * step)
        g_cond_wait (&self->changed, &self->lock);
      g_mutex_unlock (&self->lock);
      g_assert_cmpuint (pv_drain_overrun (self->drain), >, before);
      before = pv_drain_overrun (self->drain);
    }
  end_of_stream (self);
  assert_done (self, 4 * step);
}

/* No more than the buffer, and what the pipe itself holds, is taken while the sink is held up. */
static void
test_throttle (Fixture *self, gconstpointer data)
{
  gsize sent = 0;
  int flags = fcntl (self->ends[1], F_GETFL);
  guint64 word = 0;
  guint idle = 0;

  hold (self, TRUE);
  start (self, MIB, PV_OVERRUN_THROTTLE);
  g_assert_cmpint (fcntl (self->ends[1], F_SETFL, flags | O_NONBLOCK), ==, 0);
  while (idle < 2000)
    {
      gssize n = write (self->ends[1], &word, sizeof word);

      if (n < 0)
        {
          g_assert_cmpint (errno, ==, EAGAIN);
          idle++;
          g_usleep (100);
          continue;
        }
      g_assert_cmpint (n, ==, 8);
      idle = 0;
      sent += 8;
      word++;
    }
  g_assert_cmpuint (sent, >=, MIB / 2); /* one block is with the sink, however little is in it */
  g_assert_cmpuint (sent, <=, 2 * MIB);
  g_assert_cmpint (fcntl (self->ends[1], F_SETFL, flags), ==, 0);
  hold (self, FALSE);
  g_assert_true (send_bytes (self, sent, 4 * MIB));
  end_of_stream (self);
  assert_done (self, 4 * MIB);
  g_assert_cmpuint (pv_drain_overrun (self->drain), ==, 0);
}

static void
test_overrun_fails (Fixture *self, gconstpointer data)
{
  hold (self, TRUE);
  start (self, MIB, PV_OVERRUN_FAIL);
  g_assert_false (send_bytes (self, 0, 40 * MIB));
  assert_fails (self, PV_ERROR_FAILED, "*buffer of 1.0 MiB is full*");
}

static void
test_sink_fails (Fixture *self, gconstpointer data)
{
  self->fail_at = 3 * MIB;
  start (self, MIB, (PvOverrun) GPOINTER_TO_UINT (data));
  g_assert_false (send_bytes (self, 0, 400 * MIB));
  assert_fails (self, PV_ERROR_CORRUPT, "garbled");
}

static void
test_file_full (Fixture *self, gconstpointer data)
{
  hold (self, TRUE);
  pv_fault_arm_nth ("capture.spill", 3);
  start (self, MIB, PV_OVERRUN_SPILL);
  g_assert_false (send_bytes (self, 0, 400 * MIB));
  assert_fails (self, PV_ERROR_FAILED, "*");
  pv_fault_disarm ();
}

/* With to_the_end a sender never sees its reader go, whatever happens here. */
static void
test_to_the_end (Fixture *self, gconstpointer data)
{
  gboolean overrun = GPOINTER_TO_UINT (data) == PV_OVERRUN_FAIL;

  hold (self, overrun);
  self->fail_at = 3 * MIB;
  self->to_the_end = TRUE;
  start (self, MIB, (PvOverrun) GPOINTER_TO_UINT (data));
  g_assert_true (send_bytes (self, 0, 40 * MIB));
  end_of_stream (self);
  assert_fails (self, overrun ? PV_ERROR_FAILED : PV_ERROR_CORRUPT, overrun ? "*is full*" : "garbled");
  while (!pv_drain_at_end (self->drain))
    g_thread_yield ();
  g_assert_cmpuint (self->taken, <, 40 * MIB);
}

static void
test_discard (Fixture *self, gconstpointer data)
{
  hold (self, TRUE);
  self->to_the_end = TRUE;
  start (self, MIB, PV_OVERRUN_THROTTLE);
  g_assert_true (send_bytes (self, 0, 8));
  pv_drain_discard (self->drain);
  assert_fails (self, PV_ERROR_CANCELLED, "*cut off*");
  g_assert_true (send_bytes (self, 8, 40 * MIB));
  pv_drain_stop (self->drain);
  g_assert_false (send_bytes (self, 40 * MIB, 400 * MIB));
}

static void
test_stop (Fixture *self, gconstpointer data)
{
  start (self, MIB, PV_OVERRUN_THROTTLE);
  g_assert_true (send_bytes (self, 0, 8));
  pv_drain_stop (self->drain);
  assert_fails (self, PV_ERROR_CANCELLED, "*cut off*");
  g_assert_false (send_bytes (self, 8, 400 * MIB));
}

/* A second descriptor of the socket does not keep the sender waiting for ever. */
static void
test_socket (Fixture *self, gconstpointer data)
{
  int second;

  close (self->ends[0]);
  close (self->ends[1]);
  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, self->ends), ==, 0);
  second = dup (self->ends[0]);
  self->fail_at = MIB;
  start (self, MIB, PV_OVERRUN_SPILL);
  g_assert_false (send_bytes (self, 0, 400 * MIB));
  assert_fails (self, PV_ERROR_CORRUPT, "garbled");
  close (second);
}

#define ADD(path, data, func) g_test_add (path, Fixture, data, set_up, func, tear_down)

int
main (int argc, char **argv)
{
  signal (SIGPIPE, SIG_IGN);
  g_test_init (&argc, &argv, NULL);
  ADD ("/drain/all-arrives/spill", GUINT_TO_POINTER (PV_OVERRUN_SPILL), test_all_arrives);
  ADD ("/drain/all-arrives/throttle", GUINT_TO_POINTER (PV_OVERRUN_THROTTLE), test_all_arrives);
  ADD ("/drain/nothing", NULL, test_nothing);
  ADD ("/drain/first-bytes", NULL, test_first_bytes);
  ADD ("/drain/spill", NULL, test_spill);
  ADD ("/drain/spill-again", NULL, test_spill_again);
  ADD ("/drain/throttle", NULL, test_throttle);
  ADD ("/drain/overrun-fails", NULL, test_overrun_fails);
  ADD ("/drain/sink-fails/spill", GUINT_TO_POINTER (PV_OVERRUN_SPILL), test_sink_fails);
  ADD ("/drain/sink-fails/throttle", GUINT_TO_POINTER (PV_OVERRUN_THROTTLE), test_sink_fails);
  ADD ("/drain/file-full", NULL, test_file_full);
  ADD ("/drain/to-the-end/sink", GUINT_TO_POINTER (PV_OVERRUN_SPILL), test_to_the_end);
  ADD ("/drain/to-the-end/overrun", GUINT_TO_POINTER (PV_OVERRUN_FAIL), test_to_the_end);
  ADD ("/drain/discard", NULL, test_discard);
  ADD ("/drain/stop", NULL, test_stop);
  ADD ("/drain/socket", NULL, test_socket);
  return g_test_run ();
}
