/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "capture/tracker.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "capture/journal.h"
#include "memsnap/process-memory.h"
#include "util/error.h"
#include "util/file.h"
#include "util/helper-program.h"
#include "virt/guest-process.h"

#define PROGRAM "pagevault-tracker"
#define STATE_MAX (4u << 20) /* bytes */
#define END_MS 10000         /* for a process to end that was killed */

struct _PvTracking
{
  PvRamMap *map; /* (owned) */
  PvFd userfaultfd;
  PvFd pidfd;
};

PvTracking *
pv_tracking_new (PvRamMap *map, int userfaultfd, int pidfd)
{
  PvTracking *self = g_new (PvTracking, 1);

  *self = (PvTracking){ map, userfaultfd, pidfd };
  return self;
}

void
pv_tracking_free (PvTracking *self)
{
  if (self == NULL)
    return;
  pv_ram_map_free (self->map);
  pv_fd_clear (&self->userfaultfd);
  pv_fd_clear (&self->pidfd);
  g_free (self);
}

/* --- the file --- */

/* (transfer full) (nullable) */
static char *
state_path (const char *uuid, GError **error)
{
  g_autofree char *directory = pv_journal_run_directory (uuid, error);

  return directory != NULL ? g_build_filename (directory, "tracker", NULL) : NULL;
}

/* (transfer full): which memory of which snapshot; the same text: the same memory. */
static char *
describe (const PvRamMap *map, PvSnapshot *snapshot)
{
  g_autofree char *id = pv_name_to_hex (pv_snapshot_id (snapshot));
  GString *text = g_string_new (NULL);

  g_string_append_printf (text, "snapshot %s\n", id);
  for (guint i = 0; i < pv_ram_map_n_blocks (map); i++)
    {
      const PvRamMapBlock *block = pv_ram_map_block (map, i);

      g_string_append_printf (text, "block %" G_GINT64_MODIFIER "x %" G_GINT64_MODIFIER "x %s\n", block->address,
                              block->size, block->name);
    }
  return g_string_free (text, FALSE);
}

static gboolean
write_state (const char *path, GPid pid, const char *description, GError **error)
{
  g_autofree char *text = g_strdup_printf ("tracker %d\n%s", (int) pid, description);

  return g_file_set_contents_full (path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, error);
}

/* (transfer full) (nullable): its description; @pid: (out). The file is gone then: what it says is used once. */
static char *
take_state (const char *uuid, pid_t *pid)
{
  g_autofree char *path = state_path (uuid, NULL);
  g_autoptr(GBytes) bytes = path != NULL ? pv_read_file (path, STATE_MAX, NULL) : NULL;
  g_autofree char *text = NULL;
  char *end;

  if (bytes == NULL || !pv_unlink (path, NULL))
    return NULL;
  text = g_strndup (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
  if (!g_str_has_prefix (text, "tracker "))
    return NULL;
  *pid = (pid_t) g_ascii_strtoll (text + strlen ("tracker "), &end, 10);
  return *pid > 0 && *end == '\n' ? g_strdup (end + 1) : NULL;
}

/* --- the process --- */

gboolean
pv_tracking_start (PvTracking *self, const char *uuid, PvSnapshot *snapshot, GError **error)
{
  static const char *const places[] = { "../capture", "../../src/capture", NULL };
  g_autofree char *program = pv_helper_program_find (PROGRAM, "PAGEVAULT_TRACKER", places);
  g_autofree char *path = state_path (uuid, error);
  g_autofree char *description = describe (self->map, snapshot);
  const char *argv[] = { program, uuid, NULL };
  const int sources[] = { self->userfaultfd, self->pidfd };
  const int targets[] = { PV_TRACKER_FD_USERFAULTFD, PV_TRACKER_FD_QEMU };
  GPid pid;

  if (path == NULL)
    return FALSE;
  if (g_spawn_async_with_pipes_and_fds ("/", argv, NULL,
                                        G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDOUT_TO_DEV_NULL
                                            | G_SPAWN_STDERR_TO_DEV_NULL,
                                        pv_helper_program_leave_session, NULL, -1, -1, -1, sources, targets, 2, &pid,
                                        NULL, NULL, NULL, error)
      && write_state (path, pid, description, error))
    return TRUE;
  g_prefix_error (error, "the guest's memory is not tracked, the next capture reads all of it: ");
  return FALSE;
}

/* The process of that number may be another one by now. */
static gboolean
is_tracker (pid_t pid, const char *uuid)
{
  g_autoptr(GPtrArray) arguments = pv_guest_process_arguments (pid);

  return arguments != NULL && arguments->len == 2 && g_str_has_suffix (arguments->pdata[0], PROGRAM)
         && g_str_equal (arguments->pdata[1], uuid);
}

static int
get_fd (int pidfd, int number)
{
  return (int) syscall (SYS_pidfd_getfd, pidfd, number, 0);
}

/* Ends the tracker. @qemu: (out): the process that it watched; 0: none, or it has ended. */
static int
take_fd (pid_t tracker, const char *uuid, pid_t *qemu)
{
  g_auto(PvFd) pidfd = (int) syscall (SYS_pidfd_open, tracker, 0);
  g_auto(PvFd) watched = PV_FD_NONE;
  g_auto(PvFd) userfaultfd = PV_FD_NONE;

  struct pollfd gone = { .fd = pidfd, .events = POLLIN };

  *qemu = 0;
  if (pidfd < 0 || !is_tracker (tracker, uuid))
    return PV_FD_NONE;
  userfaultfd = get_fd (pidfd, PV_TRACKER_FD_USERFAULTFD);
  watched = get_fd (pidfd, PV_TRACKER_FD_QEMU);
  if (watched >= 0)
    *qemu = MAX (pv_process_memory_get_pid (watched, NULL), 0);
  if (syscall (SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) < 0)
    g_debug ("the tracker has ended by itself");
  /* its descriptors are closed when it is gone, and not before */
  if (TEMP_FAILURE_RETRY (poll (&gone, 1, END_MS)) <= 0)
    g_debug ("the tracker does not end");
  return pv_fd_steal (&userfaultfd);
}

int
pv_tracker_take (const char *uuid, const PvRamMap *map, pid_t pid, PvSnapshot *snapshot)
{
  pid_t tracker, qemu;
  g_autofree char *state = take_state (uuid, &tracker);
  g_autofree char *wanted = snapshot != NULL ? describe (map, snapshot) : NULL;
  g_auto(PvFd) userfaultfd = state != NULL ? take_fd (tracker, uuid, &qemu) : PV_FD_NONE;

  if (userfaultfd < 0 || qemu != pid || g_strcmp0 (state, wanted) != 0)
    return PV_FD_NONE;
  return pv_fd_steal (&userfaultfd);
}

void
pv_tracker_drop (const char *uuid)
{
  pid_t tracker, qemu;
  g_autofree char *state = take_state (uuid, &tracker);
  g_auto(PvFd) userfaultfd = state != NULL ? take_fd (tracker, uuid, &qemu) : PV_FD_NONE;

  if (userfaultfd >= 0)
    g_debug ("the tracker of guest %s was ended", uuid);
}
