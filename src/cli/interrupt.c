/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/interrupt.h"

#include <errno.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "util/error.h"

static int wake_fd = -1;
static volatile sig_atomic_t got_signal;

static void
on_signal (int signum)
{
  int saved = errno;
  guint64 one = 1;

  if (got_signal == 0)
    {
      got_signal = signum;
      if (write (wake_fd, &one, sizeof one) < 0)
        signal (signum, SIG_DFL);
    }
  else
    {
      signal (signum, SIG_DFL);
      raise (signum);
    }
  errno = saved;
}

static gpointer
wait_for_signal (gpointer data)
{
  g_autoptr(GCancellable) cancellable = data;
  guint64 count;
  gssize n;

  do
    n = read (wake_fd, &count, sizeof count);
  while (n < 0 && errno == EINTR);
  if (n > 0)
    g_cancellable_cancel (cancellable);
  return NULL;
}

gboolean
pv_interrupt_watch (GCancellable *cancellable, GError **error)
{
  static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
  struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

  wake_fd = eventfd (0, EFD_CLOEXEC);
  if (wake_fd < 0)
    return pv_throw_errno (error, errno, "cannot make an event descriptor");
  g_thread_unref (g_thread_new ("interrupt", wait_for_signal, g_object_ref (cancellable)));
  for (guint i = 0; i < G_N_ELEMENTS (signals); i++)
    {
      struct sigaction old;

      /* What nohup or a shell's background job ignores stays ignored. */
      if (sigaction (signals[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
        sigaction (signals[i], &action, NULL);
    }
  return TRUE;
}

int
pv_interrupt_signal (void)
{
  return got_signal;
}
