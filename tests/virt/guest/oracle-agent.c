/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* As much of a guest agent as freezing takes: JSON lines on the virtio port org.qemu.guest_agent.0. Frozen, the disks
 * rest at the end of a whole tick, all of them at the same one. With oracle.refuse=1 it refuses to freeze. */
#include "oracle.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_DEVICES = 16, MAX_PORTS = 8 };

/* Whether port @port of virtio device @device is the agent's. @path: where its node is. */
static bool
is_agents (unsigned device, unsigned port, char *path, size_t size)
{
  char name[64] = "";
  FILE *file;

  snprintf (path, size, "/sys/class/virtio-ports/vport%up%u/name", device, port);
  file = fopen (path, "re");
  if (file == NULL)
    return false;
  if (fgets (name, sizeof name, file) == NULL)
    name[0] = '\0';
  fclose (file);
  snprintf (path, size, "/dev/vport%up%u", device, port);
  return strncmp (name, "org.qemu.guest_agent.0", 22) == 0;
}

/* Opens the port of the agent; -1: there is none. */
static int
open_port (void)
{
  char path[64];

  for (unsigned device = 0; device < MAX_DEVICES; device++)
    for (unsigned port = 0; port < MAX_PORTS; port++)
      if (is_agents (device, port, path, sizeof path))
        return open (path, O_RDWR | O_CLOEXEC);
  return -1;
}

static void
freeze (void)
{
  ticks_held = true;
  disks_settle ();
}

/* What to return for a request line, as JSON. */
static void
answer (const char *line, char *value, size_t size)
{
  const char *id = strstr (line, "\"id\"");

  if (strstr (line, "\"guest-sync") != NULL && id != NULL)
    snprintf (value, size, "%lld", atoll (id + 4 + strspn (id + 4, ": ")));
  else if (strstr (line, "\"guest-fsfreeze-status\"") != NULL)
    snprintf (value, size, "\"%s\"", ticks_held ? "frozen" : "thawed");
  else if (strstr (line, "\"guest-fsfreeze-freeze") != NULL)
    {
      freeze ();
      snprintf (value, size, "%u", n_disks);
    }
  else if (strstr (line, "\"guest-fsfreeze-thaw\"") != NULL)
    {
      snprintf (value, size, "%u", ticks_held ? n_disks : 0);
      ticks_held = false;
    }
  else
    snprintf (value, size, "{}");
}

static void
serve_line (int port, const char *line)
{
  char value[64], text[200];
  int length;

  if (line[0] == '\0')
    return;
  if (strstr (line, "\"guest-fsfreeze-freeze") != NULL && parameter ("refuse", 0) != 0)
    length = snprintf (text, sizeof text, "{\"error\": {\"class\": \"GenericError\", \"desc\": \"I will not\"}}\n");
  else
    {
      answer (line, value, sizeof value);
      length = snprintf (text, sizeof text, "%s{\"return\": %s}\n",
                         strstr (line, "\"guest-sync-delimited\"") != NULL ? "\xff" : "", value);
    }
  if (write (port, text, length) != length)
    say ("agent: cannot answer");
}

static void *
run_agent (void *data)
{
  char line[1000];
  size_t length = 0;
  int port = -1;

  for (int i = 0; i < 100 && (port = open_port ()) < 0; i++)
    sleep_us (100000);
  while (port >= 0)
    {
      char c;

      if (read (port, &c, 1) <= 0)
        sleep_us (20000);   /* nobody is there on the other side */
      else if (c == '\n')
        {
          line[length] = '\0';
          length = 0;
          serve_line (port, line);
        }
      else if ((unsigned char) c != 0xff && length < sizeof line - 1)
        line[length++] = c;
    }
  return NULL;
}

void
agent_start (void)
{
  start_thread (run_agent, NULL);
}
