/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pagevault-tracker UUID: started by a capture (capture/tracker.h), with a userfaultfd of QEMU as descriptor 3 and a
 * pidfd of it as descriptor 4. Holds the first as long as QEMU lives. Not for users.
 */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "capture/tracker.h"

int
main (int argc, char **argv)
{
  static const int harmless[] = { SIGINT, SIGHUP, SIGPIPE, SIGQUIT, SIGTSTP };
  struct pollfd qemu = { .fd = PV_TRACKER_FD_QEMU, .events = POLLIN };

  for (guint i = 0; i < G_N_ELEMENTS (harmless); i++)
    signal (harmless[i], SIG_IGN);
  for (int ready = 0; argc == 2 && ready <= 0;)
    {
      ready = poll (&qemu, 1, -1);
      if (ready < 0 && errno != EINTR)
        break;
      if (ready > 0 && (qemu.revents & POLLNVAL) == 0)
        return 0;
    }
  fprintf (stderr, "pagevault-tracker: started by pagevault itself, not by hand\n");
  return 2;
}
